"""A family that couples the channels of a pixel, and some that do it wrongly; as a plug-in would be written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vae_core.likelihoods import Card
from vae_core.likelihoods._channels import by_channel, from_channels
from vae_core.likelihoods._integers import IntegerMass
from vae_core.likelihoods.logistic import Logistic

_LOGISTIC = Logistic.described(1.0)


class Coupled(IntegerMass):
    """Logistics on the levels' bins, each channel's location moved by the level of the channel before it (PixelCNN++
    moves it by all earlier ones); raw [..., 3 D] is (location, ln scale, coupling)."""

    couples_channels = True
    open_ends = True
    card = Card(*["channels in a row"] * 7)

    def outputs(self, dims: int) -> int:
        return 3 * dims

    def _places(self, k: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Location and ln scale of each dimension, [..., D]."""
        location, log_scale, coupling = raw.chunk(3, -1)
        grey = by_channel(self, (k.to(raw.dtype) + 0.5) / self.levels)
        before = torch.cat([torch.zeros_like(grey[..., :1, :]), grey[..., :-1, :]], -2)
        return location + torch.tanh(coupling) * from_channels(self, before), log_scale.clamp(-4, 4)

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        location, log_scale = self._places(k, raw)
        return _LOGISTIC.binned_log_masses(k, location, log_scale, self.levels)

    def mean(self, raw: Tensor) -> Tensor:
        return self.sample(raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One channel after the other."""
        drawn = torch.zeros((*raw.shape[:-1], raw.shape[-1] // 3), dtype=raw.dtype)
        u = torch.rand(drawn.shape, generator=generator, dtype=raw.dtype).clamp(1e-6, 1 - 1e-6)
        channels = by_channel(self, torch.arange(drawn.shape[-1]))
        for channel in channels:
            location, log_scale = self._places(drawn, raw)
            x = location + torch.exp(log_scale) * torch.logit(u)
            level = torch.floor(x * self.levels).clamp(0, self.levels - 1)
            drawn[..., channel] = level[..., channel]
        return drawn


class LooksAhead(Coupled):
    """Moves a channel by the one after it, too: no factorisation of a joint probability."""

    def _places(self, k: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = super()._places(k, raw)
        grey = by_channel(self, (k.to(raw.dtype) + 0.5) / self.levels)
        return location + 0.3 * from_channels(self, grey.roll(-1, -2)), log_scale


class NextPixel(Coupled):
    """Moves a channel by the same channel of the pixel beside it."""

    def _places(self, k: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = super()._places(k, raw)
        grey = by_channel(self, (k.to(raw.dtype) + 0.5) / self.levels)
        return location + 0.3 * from_channels(self, grey.roll(1, -1)), log_scale


class GivesMore(Coupled):
    """Masses that sum to more than one, the more the higher the channel before: only where that is high it shows."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        grey = by_channel(self, k.to(raw.dtype) / self.levels)
        before = torch.cat([torch.zeros_like(grey[..., :1, :]), grey[..., :-1, :]], -2)
        return super()._log_masses(k, raw) + 0.01 * from_channels(self, before)


class SecondPixel(Coupled):
    """Masses that sum to more than one in every pixel but the first."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        more = torch.full_like(by_channel(self, k.to(raw.dtype)), 0.01)
        more[..., 0] = 0
        return super()._log_masses(k, raw) + from_channels(self, more)


class Unordered(Coupled):
    """Draws all channels at once, as if each stood alone."""

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        shape: Any = (*raw.shape[:-1], raw.shape[-1] // 3)
        location, log_scale = self._places(torch.zeros(shape, dtype=raw.dtype), raw)
        u = torch.rand(shape, generator=generator, dtype=raw.dtype).clamp(1e-6, 1 - 1e-6)
        return torch.floor((location + torch.exp(log_scale) * torch.logit(u)) * self.levels).clamp(0, self.levels - 1)
