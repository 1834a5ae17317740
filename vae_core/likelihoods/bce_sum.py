"""BCE summed over grey pixels: the loss of most VAE tutorials on grey MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._cross_entropy import CrossEntropy


class BceSum(CrossEntropy):
    __doc__ = CrossEntropy.__doc__
    card = Card(
        title="BCE on grey, summed",
        summary="Cross-entropy against grey values: no distribution; its decoder is read as several.",
        formula="loss = −Σ [x η − ln(1 + e^η)] + KL (unnormalised)",
        support="[0, 1] (view grey: k/(K−1))",
        parameters="η (logits): D outputs",
        source="folk recipe; what it is: Loaiza-Ganem & Cunningham 2019, section 2",
        users="the VAE examples of the big frameworks, on grey MNIST",
    )

    #: its loss is that of the continuous Bernoulli with ln C(λ) left out
    twins: ClassVar[Mapping[str, tuple[str, str]]] = {"continuous_bernoulli": ("continuous_bernoulli", "")}

    def weight(self, dims: int) -> float:
        return 1.0
