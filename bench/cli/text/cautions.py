"""What is said of a grid before any of it is trained: what of its run cannot be ranked or compared, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.cli.text.lines import several
from bench.grid.cell import Cell
from bench.grid.settings import shown
from bench.statistics.trust import KHAT_NEEDS
from vae_core.statistics.blocks import FEWEST_IMAGES

ENOUGH = 100  # samples at which a grid is advised to end: at fewer k̂ is noise


def cautions(cells: Iterable[Cell]) -> Iterator[str]:
    """A sentence for each thing that a run of these cells cannot give; nothing where it can give all.

    It is carried out all the same: ELBOs and samples may be all that is wanted.
    """
    configs = {cell.config: cell for cell in cells}
    few = [cell for cell in configs.values() if max(cell.eval_samples) < KHAT_NEEDS]
    if few:
        whole = {size for cell in few for size in cell.eval_samples}
        remedy = shown(sorted({*whole, ENOUGH})).replace(" ", "")
        yield (
            f"{_nothing(len(few), len(configs), 'ranked')}: eval_samples ends at L = {max(whole)}, and a bound is "
            f"ranked by its k̂, which needs {KHAT_NEEDS} samples; --set eval_samples={remedy} mends it."
        )
    small = [cell for cell in configs.values() if cell.test_images is not None and cell.test_images < FEWEST_IMAGES]
    if small:
        most = max(cell.test_images or 0 for cell in small)
        yield (
            f"{_nothing(len(small), len(configs), 'told apart')}: test_images = {most}, and intervals and verdicts "
            f"need {FEWEST_IMAGES}; --set test_images={FEWEST_IMAGES} mends it, more images tell more."
        )


def _nothing(part: int, whole: int, done: str) -> str:
    if part == whole:
        return f"Nothing of this run can be {done}"
    return f"{part} of {several(whole, 'configuration')} cannot be {done}"
