"""Trained weights beside a run file: results/NAME.weights, one file a trained model, as many as there is room for.

A model's file holds all cells that were scored of it. A worker writes it under another name (`Weights.part`); the
process of the run moves it into place and then stores its name with the rows of its cells, so that a name in the run
file is always that of a whole file. What is no file of weights is neither written over nor removed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.grid.errors import printable
from bench.store.database import StoreError, open_to_read
from bench.store.guard.errors import detail, shown
from bench.store.run_file import CellResult, RunFile

MEGABYTES = 256.0  #: that a run's folder may hold, unless the run is told otherwise
NONE_ASKED = "the run was told to keep none (--weights 0)"
SUFFIX, PART = ".safetensors", ".vae-bench-part"


def folder_of(run: Path) -> Path:
    """The folder of weights of a run file, whichever of its names is given: NAME.weights of NAME.sqlite. A file without
    that ending has one of another name, so that the two never share a folder, and the one does not remove what it takes
    for nobody's."""
    run = run.resolve() if run.is_symlink() else run
    if run.suffix == ".sqlite":
        return run.with_name(f"{run.stem}.weights")
    own, before = (run.with_name(f"{run.name}{end}") for end in (".run.weights", ".weights"))
    alone = before.exists() and not own.exists() and not run.with_name(f"{run.name}.sqlite").exists()
    return before if alone else own  # where such runs kept them before


def whose_folder(folder: Path) -> Path | None:
    """The run file whose folder of weights this is, by whatever names; None of any other folder. What lies in one and
    is named by no cell goes when the run goes on (`Weights.sweep`)."""
    real = os.path.realpath(folder)
    for name in (Path(os.path.abspath(folder)), Path(real)):  # noqa: PTH100  links stay: such a folder may be one
        stem = name.name.removesuffix(".weights")
        runs = [name.parent / run for run in (f"{stem}.sqlite", stem, stem.removesuffix(".run"))]
        for run in runs if stem != name.name else ():
            if run.is_file() and os.path.realpath(folder_of(run)) == real:
                return run
    return None


def file_name(cells: Sequence[str], model: str) -> str:
    """The name of the file of one trained model and the cells that were scored of it: of a cell its id."""
    stem = re.sub(r"[^A-Za-z0-9_.=-]+", "_", cells[0] if len(cells) == 1 else model)
    if len(cells) > 1 or len(stem) > 200:
        digest = hashlib.sha256("\n".join(cells).encode()).hexdigest()[:8]
        stem = f"{stem[:200]}-{len(cells)}-{digest}"
    return stem + SUFFIX


@dataclass
class Weights:
    """The folder of a run, and how many bytes it may hold."""

    folder: Path
    limit: int
    full_was_said: bool = False

    @classmethod
    def of(cls, run: Path, megabytes: float = MEGABYTES) -> Weights:
        return cls(folder_of(run).absolute(), int(megabytes * 1e6))

    @property
    def no_room(self) -> str:
        """The reason of a model that is not kept because the folder is full."""
        return f"their folder had reached its limit of {self.limit / 1e6:g} MB (--weights)"

    # -- in a worker -------------------------------------------------------------------------------------------------

    def part(self, name: str) -> Path:
        """Where the file of this name is written."""
        return self.folder / f".{name}{PART}"

    def refusal(self, name: str, size: int) -> str | None:
        """Why a file of so many bytes cannot be kept; None where it can, in place of an older one of its name."""
        if not self.limit:
            return NONE_ASKED
        own = (name, self.part(name).name)
        others = sum(_size(file) for file in (*self._files(), *self._parts()) if file.name not in own)
        return self.no_room if others + size > self.limit else None

    # -- in the process of the run -----------------------------------------------------------------------------------

    @contextmanager
    def settled(
        self, file: RunFile, results: Sequence[CellResult], say: Callable[[str], None]
    ) -> Iterator[list[CellResult]]:
        """Moves what the results name into place, or says in them why not; inside, they are written to the run file.
        Then the files that no cell of the run file names any more are gone, of those that these cells named before."""
        reasons = {name: self._place(name) for name in dict.fromkeys(map(_name_in, results)) if name}
        stored = [
            _without(result, reason) if (reason := reasons.get(_name_in(result))) else result for result in results
        ]
        if not self.full_was_said and any(result.values.get("weights_reason") == self.no_room for result in stored):
            self.full_was_said = True
            say(f"{self.folder.name} has reached its limit of {self.limit / 1e6:g} MB: no more weights (--weights MB)")
        cells = {result.cell for result in stored}
        before = {name for cell, name in file.weights().items() if cell in cells}
        yield stored
        for name in before - set(file.weights().values()):
            self._remove(self.folder / name)

    def sweep(self, named: Collection[str] | None = None) -> None:
        """Removes what killed workers left half-written, what no cell names if `named` says which are, and the folder
        where nothing is in it."""
        for part in self._parts():
            self._remove(part, ours=True)
        if named is not None:
            for file in self._files():
                if file.name not in named:
                    self._remove(file)
        with suppress(OSError):
            self.folder.rmdir()

    def clear(self) -> None:
        """Removes all weights: of a run that begins afresh. Whatever else lies in the folder stays."""
        for file in self._files():
            self._remove(file)
        self.sweep()

    def _place(self, name: str) -> str | None:
        part, place = self.part(name), self.folder / name
        reason: str | None
        try:
            reason = self.refusal(name, part.stat().st_size)
            if reason is None and place.exists() and not _is_ours(place):
                reason = f"{place.name} is another file"
            if reason is None:
                part.replace(place)
        except OSError as error:
            reason = f"they could not be written ({error.strerror})"
        if reason:
            self._remove(part, ours=True)
        return reason

    def _files(self) -> list[Path]:
        return [file for file in self._inside() if file.name.endswith(SUFFIX) and not file.name.startswith(".")]

    def _parts(self) -> list[Path]:
        ends = (PART, f"{PART}.new")  # the second while it is being written
        return [file for file in self._inside() if file.name.startswith(".") and file.name.endswith(ends)]

    def _inside(self) -> list[Path]:
        try:
            return sorted(self.folder.iterdir())
        except OSError:
            return []

    def _remove(self, file: Path, *, ours: bool = False) -> None:
        with suppress(OSError):
            if ours or _is_ours(file):
                file.unlink()


def _name_in(result: CellResult) -> str:
    return str(result.values.get("weights") or "")


def _without(result: CellResult, reason: str) -> CellResult:
    return dataclasses.replace(result, values={**result.values, "weights": None, "weights_reason": reason})


def _is_ours(file: Path) -> bool:
    from vae_core.numerics.tensor_file import is_one

    return is_one(file)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # it was moved into place just now


# -- for readers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfCell:
    """What a run file says of a cell and its weights."""

    cell: str
    label: str
    seed: int
    status: str
    reason: str | None
    current: bool  #: whether it is of the present grid
    weights: str | None
    weights_reason: str | None


def cells_of(run: Path) -> list[OfCell]:
    """Every cell of a run file, without the references. Raises StoreError."""
    names = [field.name for field in dataclasses.fields(OfCell)]
    with open_to_read(run, ["cells"]) as opened:
        rows = opened.content["cells"].columns
    return [
        OfCell(**{name: rows[name][index] for name in names})
        for index, reference in enumerate(rows["reference"])
        if reference == 0
    ]


def copy_out(run: Path, cell: OfCell, target: Path) -> dict[str, str] | None:
    """Writes the weights of one cell, and what it is scored as, to a file of their own. Gives the file and the checksum
    of the plug-in that its family is of, None for a shipped one.

    Raises StoreError, one sentence, where there are none, or they cannot be read or written.
    """
    from vae_core.numerics import tensor_file

    name, whose = shown(cell.cell, 60), shown(run)
    again = f"vae-bench run with another --out and --weights {2 * MEGABYTES:g} trains it again and keeps them"
    if cell.status != "done":
        raise StoreError(f"{name} ended without a model ({cell.status}: {detail(cell.reason)}), so it has no weights.")
    if cell.weights is None:
        why = cell.weights_reason or "the run is from before they were kept"
        raise StoreError(f"{whose} has no weights of {name}: {detail(why)}; {again}.")
    source = folder_of(run) / cell.weights
    if not source.is_file():
        raise StoreError(f"the weights of {name} are not where they were written ({shown(source, 90)}); {again}.")
    try:
        arrays, facts = tensor_file.read(source)
    except ValueError as error:
        raise StoreError(f"{printable(error)}; {again}.") from None
    own = _own(facts, cell.cell)
    if own is None:
        raise StoreError(f"{shown(source)} does not hold {name}; {again}.")
    scoring = own["scored_as"]
    chosen = {
        name: array for name, array in arrays.items() if not name.startswith("scored.") or name.split(".")[1] == scoring
    }
    tensor_file.write(target, chosen, {**facts, "cells": [own], "scorings": [scoring]})
    plugin: dict[str, str] | None = facts["likelihood"]["plugin"]
    return plugin


def _own(facts: Mapping[str, Any], cell: str) -> dict[str, Any] | None:
    """What a file of weights says of a cell; None where it says nothing that could be read."""
    entries, likelihood = facts.get("cells"), facts.get("likelihood")
    plugin = likelihood.get("plugin", "") if isinstance(likelihood, dict) else ""
    if not isinstance(entries, list) or not (plugin is None or (isinstance(plugin, dict) and "file" in plugin)):
        return None
    known = (entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("scored_as"), str))
    return next((entry for entry in known if entry.get("cell") == cell), None)
