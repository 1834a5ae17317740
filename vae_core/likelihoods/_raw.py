"""What raw outputs are, in words that run: lines of Python from `raw` [..., R] to a distribution's parameters, and the
names by which `Likelihood.raw` takes these back. `vae-bench explain` prints them, and tests carry them out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae_core.likelihoods._parameters import SIGMA


@dataclass(frozen=True)
class Layout:
    """How a family reads raw outputs; two of them side by side are `one + another`.

    Attributes:
        lines: assignments that may name `raw`, `D`, `torch` and what stands in a line before; each parameter is
            assigned under its first name below, and may be under others.
        names: keywords of `raw`, one tuple a parameter: its name, then others that can be given in its place.
        beside: sentences on what is learned or told, and is no raw output.
    """

    lines: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    beside: tuple[str, ...] = ()

    def __add__(self, other: Layout) -> Layout:
        return Layout(self.lines + other.lines, self.names + other.names, self.beside + other.beside)


def location(said: str, link: str = "identity") -> Layout:
    """The first D raw outputs as a location μ behind its link; said: its unit."""
    code = "raw[..., :D]" if link == "identity" else f"torch.{link}(raw[..., :D])"
    return Layout((f"mean = {code}  # {said}",), (("mean",),))


def logits(probs: str) -> Layout:
    """All D raw outputs as logits; probs: what of, in words."""
    return Layout(("logits = raw", f"probs = torch.sigmoid(raw)  # {probs}"), (("logits", "probs"),))


def scale(shape: str, floor: float, sharpness: float) -> Layout:
    """All raw outputs behind the first D as σ, `shape` of them, above e^floor (_scale.py has the formula, here without
    its logarithm)."""
    lines = (
        f"floor = 1 / {math.exp(-floor):.9g}  # of σ, 1/(64 K): a 64th of a bin",
        f"sigma = (torch.exp({sharpness:g} * raw[..., D:]) + floor**{sharpness:g}) ** {1 / sharpness:g}  # {shape}",
    )
    return Layout(lines, (tuple(SIGMA),), ("A raw output of sigma is ln σ, but near that floor",))
