"""Bernoulli: ln P(x|z) = x η − ln(1 + e^η), x ∈ {0, 1}, η the logit. The BCE of binary images, and only of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Layout, Mass
from vae_core.likelihoods._parameters import Parameters, as_it_is, probability
from vae_core.likelihoods._raw import logits
from vae_core.numerics.elementwise import logsigmoid, sum_bernoulli_terms

if TYPE_CHECKING:
    from torch import Tensor


class Bernoulli(Mass):
    """A probability of 0 and 1 in each dimension."""

    view = "binary"
    card = Card(
        title="Bernoulli",
        summary="A coin for each dimension: the cross-entropy (BCE) of binary data, a true probability there.",
        formula="ln P(x|z) = x η − ln(1 + e^η)",
        support="0 and 1 (view binary)",
        parameters="η (logits): D outputs",
        source="Kingma & Welling 2014, appendix C.1; Burda et al. 2016 for the benchmark on binarised MNIST",
        users="every VAE on binarised MNIST; wrongly also on grey images (see bce_sum)",
    )

    def outputs(self, dims: int) -> int:
        return dims

    def layout(self) -> Layout:
        return logits("P(1)")

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        # a gradient is taken less x, which torch does not do with booleans
        return sum_bernoulli_terms(x.to(raw.dtype) if x.dtype == torch.bool else x, raw)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if levels != 2:
            raise ValueError(f"bernoulli has 2 levels, not {levels}: binarise the data, or take categorical")
        return logsigmoid(torch.mul(2 * k.to(raw.dtype) - 1, raw))

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return sum_bernoulli_terms(k.to(raw.dtype), raw) if levels == 2 else super()._sum_log_masses(k, raw, levels)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D] of `logits` η or of `probs`, P(1), each [..., D].

        Raises ValueError for an unknown or missing parameter, and for a probability outside of (0, 1).
        """
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, probs=probability("probs"))
        given.done()
        return logits

    def mean(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(raw.shape, generator=generator, dtype=raw.dtype, device=raw.device)
        return (u < torch.sigmoid(raw)).to(raw.dtype)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        return stats.bernoulli(torch.sigmoid(raw.detach()).numpy())
