"""A Laplace whose σ is the spread of the means of the images that are scored beside: alone an image has another score.
Stacked, broadcast and summed over levels it is all that the other laws ask for."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vae_core.likelihoods.laplace import Laplace


class Beside(Laplace):
    sigma_modes: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    def __init__(self, sigma: float = 0.3) -> None:
        super().__init__(sigma)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = super()._split(raw)
        if loc.ndim >= 3 and loc.shape[-3] > 1:
            log_scale = loc.std((-3, -1), keepdim=True).clamp(min=1e-3).log()
        return loc, log_scale
