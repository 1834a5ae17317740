"""Likelihoods as a trained model is scored, and programs that no compiler has seen: graphs, carried out as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate.programs import Kept
from vae_core.evaluate.programs.kept import Program
from vae_core.evaluate.programs.kinds import Kind
from vae_core.evaluate.programs.making import traced
from vae_core.likelihoods import Likelihood

CPU = torch.device("cpu")
LEVELS, DIMS = 17, 12


def scored(family: str, scored_as: str = "itself", sigma: Any = None, levels: int = LEVELS) -> Likelihood:
    """With a scale of its own, where it has one."""
    cls = likelihoods.get(family)
    options: dict[str, Any] = {} if sigma is None else {"sigma": sigma}
    if cls.takes_levels:
        options["levels"] = levels
    one: Likelihood = likelihoods.make(family, **options)
    one = one.scored(scored_as) if scored_as != "itself" else one
    one.initialise(0.1)
    if one.needs_fit or sigma == "optimal":
        one.set_sigma(0.1)
    return one.eval().unchecked()


def kind_of(likelihood: Likelihood, levels: int = LEVELS, dims: int = DIMS, integers: Any = torch.uint8) -> Kind:
    return Kind(likelihood, dims, levels, CPU, integers)


def by_graph(kept: Kept, kind: Kind, which: str) -> list[int]:
    """Puts the graph of a program where a compiled one is looked for; gives a list that grows with its calls."""
    graph, calls = traced(kind, which, kind.example(which)), []

    def carry_out(*inputs: Tensor) -> Any:
        calls.append(len(inputs[-1]))
        with torch.no_grad():
            return graph(*inputs)

    kept._loaded[kind.name(which)] = Program(carry_out, which)
    return calls


def empty(folder: Path) -> Kept:
    return Kept(folder / "programs")
