"""Boxes, a pixel's bins, and the Gaussians whose mass in them is asked for (see _cube)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Box:
    """Boxes and Gaussians, elementwise: edges less means, `low` < `high`, ±BEYOND where open; ln of the conditional
    standard deviations; regressions. All in bins. A Gaussian of two dimensions has its second as the third here."""

    low1: Tensor
    high1: Tensor
    low2: Tensor
    high2: Tensor
    low3: Tensor
    high3: Tensor
    log_s1: Tensor
    log_s2: Tensor
    log_s3: Tensor
    a: Tensor
    b: Tensor
    c: Tensor
    zero1: Tensor  #: 0 with the gradient of the first's edges, which are ±BEYOND where they have none themselves
    zero2: Tensor
    two: bool = False  #: whether the second is none: low2 = high2 = a = c = log_s2 = zero2 = 0

    def tensors(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "two"}

    def at(self, index: Tensor) -> Box:
        return replace(self, **{name: each.index_select(0, index) for name, each in self.tensors().items()})

    def detached(self) -> Box:
        return replace(self, **{name: each.detach() for name, each in self.tensors().items()})

    def flat(self) -> Box:
        """One row [n] of them all."""
        broadcast = torch.broadcast_tensors(*self.tensors().values())
        named = zip(self.tensors(), broadcast, strict=True)
        return replace(self, **{name: each.reshape(-1) for name, each in named})
