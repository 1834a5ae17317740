"""A likelihood of one's own, as a plug-in: the triangular density on [0, 1] with its mode c where the decoder says.

    vae-bench explain triangular --plugin examples/triangular.py
    vae-bench run examples/triangular.toml --plugin examples/triangular.py

f(x) = 2x/c left of the mode and 2(1−x)/(1−c) right of it, so F(x) = x²/c and 1 − F(x) = (1−x)²/(1−c) there. The decoder
gives η with c = 1/(1+e^{−η}); ln c and ln(1−c) are taken from η itself, since c rounds to 1 at η = 17 in float32.

What a plug-in is: one file, one class on likelihoods.Density, Mass or Recipe; the file's name is the family's name.
`vae-bench run` and `explain` hold it to the laws of vae_core/laws before they use it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import Card, Density

if TYPE_CHECKING:
    from torch import Tensor


class Triangular(Density):
    """A triangle on the unit interval in each dimension."""

    view = "unit"
    card = Card(
        title="triangular",
        summary="A density on [0,1] that rises in a straight line to its mode and falls in another to 0 at the ends.",
        formula="ln p(x|z) = ln 2 + [ln x − ln c if x < c, else ln(1−x) − ln(1−c)]",
        support="[0, 1] (view unit: dequantised levels (k+u)/K)",
        parameters="η (logit of the mode, c = 1/(1+e^−η)): D outputs",
        source="Kotz & van Dorp 2004, Beyond Beta, chapter 1",
        users="an example of a plug-in: copy it and change the formulas",
    )

    def outputs(self, dims: int) -> int:
        return dims

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        eps = torch.finfo(raw.dtype).eps
        x = x.clamp(eps, 1 - eps)  # ln 0 at the very ends, which dequantised data may touch
        left = torch.log(x) - torch.nn.functional.logsigmoid(raw)
        right = torch.log1p(-x) - torch.nn.functional.logsigmoid(-raw)
        return (math.log(2) + torch.where(x < torch.sigmoid(raw), left, right)).sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """Left of the mode (b² − a²)/c with a = k/K, b = (k+1)/K; right of it the mirror image; in the mode's own bin
        1 − a²/c − (1−b)²/(1−c), which is at least 1/K."""
        k = k.to(raw.dtype)
        log_c, log_rest = torch.nn.functional.logsigmoid(raw), torch.nn.functional.logsigmoid(-raw)
        left = torch.log(2 * k + 1) - 2 * math.log(levels) - log_c
        right = torch.log(2 * (levels - k) - 1) - 2 * math.log(levels) - log_rest
        below = torch.exp((2 * torch.log(k / levels) - log_c).clamp(max=0))
        above = torch.exp((2 * torch.log1p(-(k + 1) / levels) - log_rest).clamp(max=0))
        # the clamps only touch bins where another formula is taken, to keep NaN out of its gradient
        own = torch.log1p(-(below + above).clamp(max=1 - 0.5 / levels))
        c = torch.sigmoid(raw)
        return torch.where((k + 1) / levels <= c, left, torch.where(k / levels >= c, right, own))

    def mean(self, raw: Tensor) -> Tensor:
        return (1 + torch.sigmoid(raw)) / 3

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """By the inverse CDF: √(uc) where u < c, else 1 − √((1−u)(1−c))."""
        u = torch.rand(raw.shape, generator=generator, dtype=raw.dtype, device=raw.device)
        c, rest = torch.sigmoid(raw), torch.sigmoid(-raw)
        return torch.where(u < c, torch.sqrt(u * c), 1 - torch.sqrt((1 - u) * rest))

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with (optional: only tests ask for it)."""
        from scipy import stats

        return stats.triang(torch.sigmoid(raw.detach()).numpy())
