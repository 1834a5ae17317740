"""Layouts that several families have: what raw outputs are, in lines of Python that run."""

from __future__ import annotations

import math

from vae_core.likelihoods._base import Layout
from vae_core.likelihoods._parameters import SIGMA


def location(said: str, link: str = "identity") -> Layout:
    """The first D raw outputs as a location μ behind its link; said: its unit."""
    code = "raw[..., :D]" if link == "identity" else f"torch.{link}(raw[..., :D])"
    return Layout((f"mean = {code}  # {said}",), (("mean",),))


def logits(probs: str) -> Layout:
    """All D raw outputs as logits; probs: what of, in words."""
    return Layout(("logits = raw", f"probs = torch.sigmoid(raw)  # {probs}"), (("logits", "probs"),))


def of_decoder(shape: str, floor: float, sharpness: float, start: str = "D") -> Layout:
    """All raw outputs behind the first D, or `start`, as σ, `shape` of them, above e^floor (_scale.py has the formula,
    here without its logarithm)."""
    lines = (
        f"floor = 1 / {math.exp(-floor):.9g}  # of σ, 1/(64 K): a 64th of a bin",
        f"sigma = (torch.exp({sharpness:g} * raw[..., {start}:]) + floor**{sharpness:g}) "
        f"** {1 / sharpness:g}  # {shape}",
    )
    return Layout(lines, (tuple(SIGMA),), ("A raw output of sigma is ln σ, but near that floor",))
