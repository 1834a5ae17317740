"""Views: how a likelihood sees integer levels k = 0…K−1 (docs/RULES.md).

========  ============================  ========================================
view      what the likelihood gets      noise, drawn afresh at every visit
========  ============================  ========================================
binary    0/1                           u < k/(K−1) (stochastic binarisation)
levels    k                             none
unit      (k+u)/K in [0, 1)             u ~ U[0, 1)
real      the same numbers, on the line u ~ U[0, 1)
grey      k/(K−1)                       none
========  ============================  ========================================

The encoder sees k/(K−1) without noise in every view but `binary`, where it sees the 0/1 draw: so cells differ in their
likelihood alone, q(z|·) is a function of what is scored, and both the mass and the dequantised density are bounded
with one and the same q.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_core.data.levels import binarise, dequantise, grey

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """One way of seeing integer levels; all functions act elementwise on any shape."""

    name: str
    said: str  #: in plain words
    code: str  #: of integers k, of any shape, and K levels, for a loss of one's own
    code_said: str  #: the comment beside it
    see: Callable[[Tensor, int, Tensor], Tensor]  #: (k, levels, uniform) -> float data for the likelihood
    to_grey: Callable[[Tensor, int], Tensor]  #: (value in this view, levels) -> grey value in [0, 1] for a picture
    random: bool = False  #: whether it draws from the uniforms
    binary: bool = False  #: whether the encoder sees the same 0/1 draw, and the pmf is over 2 levels

    def for_encoder(self, k: Tensor, levels: int) -> Tensor:
        """What the encoder sees of integers k, which are 0/1 in the binary view."""
        return k.float() if self.binary else k.float() / (levels - 1)


def _unit_to_grey(value: Tensor, levels: int) -> Tensor:
    return ((value * levels - 0.5) / (levels - 1)).clamp(0, 1)


VIEWS = {
    view.name: view
    for view in (
        View(
            "binary",
            said="0 and 1, drawn from the grey values",
            code="k.float()",
            code_said="0 and 1",
            see=lambda k, levels, u: binarise(k, levels, u).to(u.dtype),
            to_grey=lambda v, levels: v,
            random=True,
            binary=True,
        ),
        View(
            "levels",
            said="the integers 0…K−1",
            code="k.float()",
            code_said="the integers themselves",
            see=lambda k, levels, u: k.to(u.dtype),
            to_grey=lambda v, levels: (v / (levels - 1)).clamp(0, 1),
        ),
        View(
            "unit",
            said="dequantised, (k+u)/K with u uniform on [0, 1)",
            code="(k + torch.rand_like(k, dtype=torch.float)) / K",
            code_said="dequantised afresh at every visit",
            see=lambda k, levels, u: dequantise(k, levels, u),
            to_grey=_unit_to_grey,
            random=True,
        ),
        View(
            "real",
            said="dequantised, (k+u)/K with u uniform on [0, 1), on the real line",
            code="(k + torch.rand_like(k, dtype=torch.float)) / K",
            code_said="dequantised afresh at every visit",
            see=lambda k, levels, u: dequantise(k, levels, u),
            to_grey=_unit_to_grey,
            random=True,
        ),
        View(
            "grey",
            said="grey values k/(K−1), without noise",
            code="k / (K - 1)",
            code_said="grey values, without noise",
            see=lambda k, levels, u: grey(k, levels, u.dtype),
            to_grey=lambda v, levels: v.clamp(0, 1),
        ),
    )
}
