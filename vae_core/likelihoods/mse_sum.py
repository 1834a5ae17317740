"""MSE summed over pixels, plus KL: a Gaussian with σ² = ½ whose constants were dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._squared_error import SquaredError


class MseSum(SquaredError):
    __doc__ = SquaredError.__doc__
    card = Card(
        title="MSE, summed",
        summary="Squared error summed over pixels beside the KL: a Gaussian of σ = 0.71, whatever the data's noise is.",
        formula="loss = Σ (x−μ)² + KL (unnormalised; σ² = ½ up to a constant)",
        support="the real line (view grey: k/(K−1))",
        parameters="μ: D outputs",
        source="folk recipe; what it assumes: Rybkin et al. 2021, section 3",
        users="code with an 'MSE plus KL' loss and reduction='sum'",
    )

    #: its loss is that of a Gaussian of one σ, about a linear layer's outputs, with all terms in σ left out
    twins: ClassVar[Mapping[str, tuple[str, str]]] = dict.fromkeys(
        ("gaussian_fitted", "gaussian_binned"), ("gaussian", "shared")
    )

    def weight(self, dims: int) -> float:
        return 1.0
