"""BCE averaged over grey pixels: the same with the reconstruction divided by D, a β-VAE with β = D unawares."""

from __future__ import annotations

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._cross_entropy import CrossEntropy


class BceMean(CrossEntropy):
    __doc__ = CrossEntropy.__doc__
    examples = ({}, {"score": "laplace_fitted"})
    card = Card(
        title="BCE on grey, averaged",
        summary="Cross-entropy averaged over pixels beside a summed KL: β = D unawares, so the posterior collapses.",
        formula="loss = −(1/D) Σ [x η − ln(1 + e^η)] + KL (unnormalised)",
        support="[0, 1] (view grey: k/(K−1))",
        parameters="η (logits): D outputs",
        source="folk recipe (a framework's default reduction='mean')",
        users="code that took the loss function's default",
    )

    def weight(self, dims: int) -> float:
        return 1.0 / dims
