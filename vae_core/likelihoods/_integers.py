"""What the masses of the integers 0…K−1 have in common: they are made for one K, and are their own `log_mass`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from vae_core.likelihoods._base import Mass

if TYPE_CHECKING:
    from torch import Tensor


class IntegerMass(Mass):
    """A probability of each of K levels.

    Args:
        levels: K ≥ 2, the number of levels of the data. Raises ValueError if smaller or no integer.
    """

    view = "levels"
    takes_levels = True

    def __init__(self, levels: int) -> None:
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
            raise ValueError(f"levels={levels!r} is no number of levels: give an integer of 2 or more")
        self.levels = levels

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        self._of_these(levels)
        return self._log_masses(k, raw)

    def _of_these(self, levels: int) -> None:
        """Raises ValueError where it is made for another number of levels than the data's."""
        if levels != self.levels:
            raise ValueError(
                f"this {self.name} has {self.levels} levels, the data {levels}: make it with levels={levels}"
            )

    @abstractmethod
    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        """ln P(k|z) of each dimension for this one's own K: k [..., D], raw [..., R] -> [..., D], nats."""

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return self._log_masses(x, raw).sum(-1)
