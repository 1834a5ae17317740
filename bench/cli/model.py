"""`vae-bench model`: takes a trained model out of a run."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RUN_NAME, Refused, run_file
from bench.grid.errors import printable, quoted, some

if TYPE_CHECKING:
    from bench.store.weights import OfCell

NAMED = 3  # cells that a sentence names at most
LISTED = 80  # letters that they take
LONGEST = 300  # letters of a label that is looked for
NONE_NEAR = "vae-bench report shows the labels"


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
    from bench.store.guard.errors import shown
    from bench.store.weights import cells_of, copy_out, folder_of, whose_folder
    from vae_core.numerics.tensor_file import is_one

    path = run_file(run)
    chosen = _the_cell(cells_of(path), cell, seed, path)
    places.written_over(to, "--to", is_one, "file of weights")
    folders = [to.parent, Path(os.path.realpath(to)).parent]
    own = os.path.realpath(folder_of(path)) in map(os.path.realpath, folders)
    if own or any(map(whose_folder, folders)):
        whose = "the run's own" if own else "another run's"
        raise Refused(f"--to {shown(to)} lies in {whose} folder of weights; give another --to.")
    to.parent.mkdir(parents=True, exist_ok=True)
    plugin = copy_out(path, chosen, to)
    typer.echo(f"{printable(to)}: {printable(chosen.label)}, seed {chosen.seed}, for vae_core.training.load_model")
    if plugin:
        typer.echo(f'its family is a plug-in: vae_core.plugins.register("{plugin["file"]}") comes first')
    return 0


def _the_cell(cells: Sequence[OfCell], given: str, seed: int | None, run: Path) -> OfCell:
    """The one cell that is meant. Raises Refused, with what is near."""
    from bench.store.guard.errors import shown

    for cell in cells:
        if cell.cell == given and seed in (None, cell.seed):
            return cell
    label, name = " ".join(given.replace("sigma=", "σ=").split()), shown(run)
    labelled = [cell for cell in cells if cell.current and cell.label == label]
    of_seed = [cell for cell in labelled if seed in (None, cell.seed)]
    if labelled and not of_seed:
        raise Refused(f"{name} has no {quoted(label)} of seed {seed} ({_seeds(labelled)}).")
    if len(of_seed) > 1:
        raise Refused(f"{name} has {quoted(label)} more than once; say which with --seed ({_seeds(labelled)}).")
    begun = of_seed or [cell for cell in cells if given and cell.cell.startswith(given) and seed in (None, cell.seed)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        listed = some((cell.cell for cell in begun), LISTED)
        raise Refused(f"{quoted(given)} begins the ids of {len(begun):,} cells of {name} ({listed}); give more of one.")
    known = [cell.label for cell in cells if cell.current] + [cell.cell for cell in cells]
    near = difflib.get_close_matches(label[:LONGEST], list(dict.fromkeys(known)), n=NAMED, cutoff=0.4)
    named = " or ".join(map(quoted, near))
    hint = f"did you mean {named if len(named) <= LISTED else quoted(near[0])}?" if near else NONE_NEAR
    raise Refused(f"{name} has no cell {quoted(given)} ({hint}).")


def _seeds(cells: Sequence[OfCell]) -> str:
    return f"there is {some((str(cell.seed) for cell in cells), LISTED)}"
