"""What a run keeps of each family, as plain text: the report shows it without knowing the registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bench.grid.families import ends_said, make, measure_said, registry, scales, trainable_on, view_said, widths
from bench.grid.families.code import code


def cards(families: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a person wants to know of every one of the families, as plain text: its card, how it sees the data, what
    its numbers are, how far its end bins reach, what the decoder must give, and which file it is where it is a plug-in.
    The report shows them without knowing the registry."""
    catalogue = registry()
    plugins = catalogue.plugins()
    described = {}
    for name in sorted(set(families)):
        family = catalogue.get(name)
        facts = {"view": view_said(family), "measure": measure_said(family), "outputs": widths(name)}
        facts["ends"] = ends_said(family)
        facts["plugin"] = plugins[name].file.name if name in plugins else ""
        facts["loss"] = losses(name)
        described[name] = asdict(family.card) | facts
    return described


def losses(family: str) -> dict[str, dict[str, str]]:
    """The loss to copy, as `vae-bench explain` prints it, for each way that σ can be given and each objective that the
    family can then be trained on."""
    return {
        mode: {
            objective: code("loss", family, options, objective)
            for objective, why in trainable_on(make(family, options)).items()
            if not why
        }
        for mode, options in scales(family).items()
    }
