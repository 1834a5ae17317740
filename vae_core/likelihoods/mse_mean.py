"""MSE averaged over pixels, plus KL: a Gaussian with σ² = D/2, wider than the data's whole range."""

from __future__ import annotations

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._squared_error import SquaredError


class MseMean(SquaredError):
    __doc__ = SquaredError.__doc__
    examples = ({}, {"score": "logistic_binned"})
    card = Card(
        title="MSE, averaged",
        summary="Squared error averaged over pixels beside a summed KL: a Gaussian of σ² = D/2; posterior collapse.",
        formula="loss = (1/D) Σ (x−μ)² + KL (unnormalised; σ² = D/2 up to a constant)",
        support="the real line (view grey: k/(K−1))",
        parameters="μ: D outputs",
        source="folk recipe (a framework's default reduction='mean')",
        users="code that took the loss function's default, often with a hand-tuned β to undo it",
    )

    def weight(self, dims: int) -> float:
        return 1.0 / dims
