"""`vae-bench model`: takes a trained model out of a run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RUN_NAME, Refused, run_file

if TYPE_CHECKING:
    from bench.store.weights import OfCell

NAMED = 3  # cells that a sentence names at most


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_NAME)],
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's label, its id, or the beginning of its id.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The .safetensors file to write.")],
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Which of a label's seeds, where there are several.")
    ] = None,
) -> int:
    """Take a trained model out of a run: its weights, in one file.

    The file holds all tensors by name, the cell, its data and the code that
    trained it. vae_core.training.load_model(FILE) gives the model: encode,
    decode, and the likelihood that it was scored as.

    Example:  vae-bench model digits categorical --seed 0 --to c.safetensors
    """
    from bench.store.guard import places
    from bench.store.weights import cells_of, copy_out, folder_of
    from vae_core.numerics.tensor_file import is_one

    path = run_file(run)
    chosen = _the_cell(cells_of(path), cell, seed, path)
    if to.is_dir():
        raise Refused(f"{to} is a folder; give a file, such as --to {to / 'model.safetensors'}.")
    if to.absolute().parent == folder_of(path).absolute():
        raise Refused(f"{to.parent} is the run's own folder of weights; give another --to.")
    if to.exists() and to.stat().st_size and not is_one(to):
        raise Refused(f"{to} is not a file of weights, so nothing is written over it; give another --to.")
    places.written_over(to, "--to", is_one, "file of weights")
    to.parent.mkdir(parents=True, exist_ok=True)
    plugin = copy_out(path, chosen, to)
    typer.echo(f"{to}: {chosen.label}, seed {chosen.seed}, for vae_core.training.load_model")
    if plugin:
        typer.echo(f'its family is a plug-in: vae_core.plugins.register("{plugin["file"]}") comes first')
    return 0


def _the_cell(cells: Sequence[OfCell], given: str, seed: int | None, run: Path) -> OfCell:
    """The one cell that is meant. Raises Refused, with what is near."""
    for cell in cells:
        if cell.cell == given and seed in (None, cell.seed):
            return cell
    label = " ".join(given.replace("sigma=", "σ=").split())
    labelled = [cell for cell in cells if cell.current and cell.label == label]
    of_seed = [cell for cell in labelled if seed in (None, cell.seed)]
    if labelled and not of_seed:
        raise Refused(f"{run} has no {label!r} of seed {seed} ({_seeds(labelled)}).")
    if len(of_seed) > 1:
        raise Refused(f"{run} has {label!r} more than once; say which with --seed ({_seeds(labelled)}).")
    begun = of_seed or [cell for cell in cells if given and cell.cell.startswith(given) and seed in (None, cell.seed)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        some = ", ".join(cell.cell for cell in begun[:NAMED]) + (", …" if len(begun) > NAMED else "")
        raise Refused(f"{given!r} begins the ids of {len(begun)} cells of {run} ({some}); give more of one.")
    known = [cell.label for cell in cells if cell.current] + [cell.cell for cell in cells]
    near = difflib.get_close_matches(label, list(dict.fromkeys(known)), n=NAMED, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "vae-bench report shows the labels"
    raise Refused(f"{run} has no cell {given!r} ({hint}).")


def _seeds(cells: Sequence[OfCell]) -> str:
    return f"there is {', '.join(str(cell.seed) for cell in cells)}"
