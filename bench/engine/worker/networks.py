"""What is asked of a worker before there is work: whether networks can be built for the images of a data set, and
whether a user's own obey the laws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from bench.engine.worker.from_cell import architecture_of, options_of
from bench.grid.cell import Cell
from vae_core import likelihoods
from vae_core.laws.networks import NetworkSetting, check
from vae_core.networks import Architecture, get, is_own, places_of_each


def inspect_networks(cells: Iterable[Cell], shape: Sequence[int], levels: int) -> dict[str, int]:
    """How many networks were looked at, of cells on data of this shape, a tuned one's candidates among them. Raises
    ValueError, one sentence, for images that are too small for one, and for one of a user's own that breaks a law."""
    shape = tuple(shape)
    seen: set[tuple[Architecture, int]] = set()
    for cell in cells:
        for values in cell.candidates:
            settled = cell.settled(values)
            architecture = architecture_of(settled)
            likelihood = likelihoods.make(settled.family, **options_of(settled, levels))
            outputs = likelihood.outputs(torch.Size(shape).numel())
            if (architecture, outputs) in seen:
                continue
            seen.add((architecture, outputs))
            get(architecture.network).fit(architecture, shape)
            if is_own(architecture.network):
                if settled.precision != "float32":
                    raise ValueError(
                        f"precision = {settled.precision!r}, but a network of one's own is trained in float32: leave "
                        "it out"
                    )
                places = places_of_each([likelihood], shape, levels) if len(shape) > 1 else None
                check(NetworkSetting(architecture, shape, outputs, places))
    return {"networks": len(seen)}
