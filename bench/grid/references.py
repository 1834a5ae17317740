"""Which references the contests of a grid are given (docs/RULES.md, rule 13): every one of the folder
`vae_core/references`, and of those that belong to a family one for each family, at all settings that the grid tries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.grid.cell import Cell, DataSpec, short_name
from bench.grid.families import Scalar, make, references, registry, views


@dataclass(frozen=True)
class ReferenceSpec:
    """One reference of one contest: of the same numbers, seen and drawn alike, and the same test images."""

    reference: str  # its name, such as "histogram" or "no_latent:gaussian"
    data: DataSpec
    binary: bool
    binarisation: str
    test_images: int | None
    settings: tuple[Mapping[str, Scalar], ...] = ()  # of its family, that the grid tries
    cell: Cell | None = field(default=None, compare=False)  # one of the contest's: what it is scored on is so too

    @property
    def spec(self) -> dict[str, Any]:
        """The whole of it as plain JSON values; `reference` tells it from the spec of a cell."""
        first = dict.fromkeys(("levels", "quantise", "train_images", "block"))  # later keys stand where they are given
        data = {"dataset": self.data.dataset, **first, **self.data.asked}
        settings = [dict(sorted(setting.items())) for setting in self.settings]
        return {
            "reference": self.reference,
            **data,
            "binary": self.binary,
            "binarisation": self.binarisation,
            "test_images": self.test_images,
            "settings": settings,
        }

    @cached_property
    def id(self) -> str:
        """`digits-reference-histogram-1a2b3c4d`; its end hashes the spec."""
        digest = hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()[:8]
        name = self.reference.replace(":", "-")
        return f"{short_name(self.data.dataset)}-reference-{name}-{digest}"

    def __hash__(self) -> int:
        return hash(self.id)


def of_grid(cells: Iterable[Cell]) -> list[ReferenceSpec]:
    """The references of all contests of a grid, in the order in which its cells name them."""
    contests: dict[tuple[DataSpec, bool, str, int | None], list[Cell]] = {}
    for cell in cells:
        binary = bool(views()[cell.view].binary)
        contests.setdefault((cell.data, binary, cell.binarisation, cell.test_images), []).append(cell)
    return [
        ReferenceSpec(name, *contest, settings, members[0])
        for contest, members in contests.items()
        for name, settings in _named(members)
    ]


def _named(cells: Iterable[Cell]) -> Iterable[tuple[str, tuple[Mapping[str, Scalar], ...]]]:
    """The names of a contest's references, each with the settings that it is tried at. One of a family is a table of
    each dimension's own masses: of settings that couple the channels of a pixel there is none."""
    tried: dict[str, dict[str, Mapping[str, Scalar]]] = {}
    for cell in cells:
        if not registry().get(cell.family).recipe:
            setting = json.dumps(dict(cell.options), sort_keys=True)
            if setting not in tried.get(cell.family, {}) and not make(cell.family, cell.options).couples_channels:
                tried.setdefault(cell.family, {})[setting] = cell.options
    for name in references().names():
        if references().get(name).of_families:
            for family, settings in tried.items():
                yield f"{name}:{family}", tuple(settings[setting] for setting in sorted(settings))
        else:
            yield name, ()
