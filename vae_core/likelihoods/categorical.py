"""Categorical: one free probability for each of the K levels of each dimension (softmax)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._integers import IntegerMass
from vae_core.likelihoods._parameters import Parameters, as_it_is, probabilities

if TYPE_CHECKING:
    from torch import Tensor


class Categorical(IntegerMass):
    """A softmax over K levels in each dimension; raw [..., D·K] is read as [..., D, K].

    Args:
        levels: K ≥ 2, the number of levels of the data. Raises ValueError if smaller or no integer.
    """

    card = Card(
        title="categorical (softmax)",
        summary="Any distribution of the K levels at all, and no notion that neighbouring levels are alike.",
        formula="ln P(k|z) = η_k − ln Σ_j e^{η_j}",
        support="the integers 0…K−1 (view levels)",
        parameters="η: K·D outputs",
        source="van den Oord et al. 2016, Pixel Recurrent Neural Networks, section 3.3",
        users="autoregressive pixel models; VAEs where outputs are cheap",
    )

    def outputs(self, dims: int) -> int:
        return dims * self.levels

    def layout(self) -> Layout:
        lines = (
            f"logits = raw.unflatten(-1, (D, {self.levels}))  # [..., D, K]",
            "probs = logits.softmax(-1)",
        )
        return Layout(lines, (("logits", "probs"),))

    def _logits(self, raw: Tensor) -> Tensor:
        return raw.unflatten(-1, (-1, self.levels))

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        logits = self._logits(raw)
        shape = torch.broadcast_shapes(k.shape, logits.shape[:-1])
        index = k.long().expand(shape).unsqueeze(-1)
        chosen = logits.expand(*shape, self.levels).gather(-1, index).squeeze(-1)
        return chosen - logits.logsumexp(-1)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D·K] of `logits` η or of `probs`, which sum to 1, each [..., D, K].

        Raises ValueError for an unknown or missing parameter, another number of levels, and for probabilities that
        are not > 0 or whose sum is off 1 by 1e-4 (what is less is normalised).
        """
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, probs=probabilities("probs", "K levels", -1))
        given.done()
        if logits.ndim < 2 or logits.shape[-1] != self.levels:
            raise ValueError(f"logits and probs are [..., D, {self.levels}], not {list(logits.shape)}")
        return logits.flatten(-2)

    def from_planes(self, planes: Tensor, channels: int) -> Tensor:
        """[..., K C, H, W], level slowest, as [..., C·H·W·K], level fastest."""
        return planes.unflatten(-3, (self.levels, channels)).flatten(-3).movedim(-2, -1).flatten(-2)

    def mean(self, raw: Tensor) -> Tensor:
        levels = torch.arange(self.levels, dtype=raw.dtype, device=raw.device)
        return self._logits(raw).softmax(-1) @ levels

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        probabilities = self._logits(raw).softmax(-1)
        flat = torch.multinomial(probabilities.flatten(0, -2), 1, replacement=True, generator=generator)
        return flat.reshape(probabilities.shape[:-1]).to(raw.dtype)

    def oracle(self, raw: Tensor) -> Any:
        """ln P(k) of an independent formula, [..., D, K], where scipy has no such distribution."""
        from scipy.special import log_softmax

        return log_softmax(self._logits(raw.detach()).numpy(), axis=-1)
