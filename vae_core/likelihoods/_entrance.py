"""What comes into a likelihood from outside: its shape and values are checked, half precision is made whole, pictures
are laid flat. One way in for every family; what a family itself computes with is flat and float32 or better.

Values are looked at in eager mode alone, and neither in bundles nor where `validate_args` is False, as in
torch.distributions; shapes also while a program is compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _checks, _layout

if TYPE_CHECKING:
    from torch import Tensor


#: bytes of a float32
FULL = 4


#: the methods that score, where no gradient is recorded
SCORES = ("log_prob", "log_mass")


class Entrance:
    """The public methods of a family's Module, each around the family's own of that name."""

    validate_args: bool
    shape: tuple[int, ...] | None
    pictures: bool  #: whether what is given may be of the shape told, and not flat

    def log_prob(self: Any, x: Tensor, raw: Tensor) -> Tensor:
        if _as_it_is(self, raw):
            return super().log_prob(x, raw)  # type: ignore[misc]
        return _called(self, "log_prob", x, raw)

    def train_log_prob(self: Any, x: Tensor, raw: Tensor) -> Tensor:
        if _as_it_is(self, raw):
            return super().train_log_prob(x, raw)  # type: ignore[misc]
        return _called(self, "train_log_prob", x, raw)

    def log_density(self: Any, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        if _as_it_is(self, raw):
            return super().log_density(y, raw, levels)  # type: ignore[misc]
        if self.validate_args:
            _checks.density_of(y, levels)
        return _called(self, "log_density", y, raw, levels, unit=True)

    def log_mass(self: Any, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if _as_it_is(self, raw):
            return super().log_mass(k, raw, levels)  # type: ignore[misc]
        return _called(self, "log_mass", k, raw, levels)

    def log_masses(self: Any, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if _as_it_is(self, raw):
            return super().log_masses(k, raw, levels)  # type: ignore[misc]
        each = _called(self, "log_masses", k, raw, levels)
        return _layout.as_picture(each, self.shape) if _layout.is_picture(k, self.shape) else each

    def mean(self: Any, raw: Tensor) -> Tensor:
        if _as_it_is(self, raw):
            return super().mean(raw)  # type: ignore[misc]
        mean = _called(self, "mean", None, raw)
        return _layout.as_picture(mean, self.shape) if _layout.is_raw_picture(self, raw) else mean

    def sample(self: Any, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if _as_it_is(self, raw):
            return super().sample(raw, generator)  # type: ignore[misc]
        drawn = _called(self, "sample", None, raw, generator)
        return _layout.as_picture(drawn, self.shape) if _layout.is_raw_picture(self, raw) else drawn

    def check(self: Any, data: Tensor, raw: Tensor, levels: int | None = None) -> None:
        """Raises ValueError or TypeError where data [..., D] and raw [..., R] cannot be scored: by `log_prob`, or with
        `levels`, as integers, by `log_mass`. With validate_args=True all do this by themselves."""
        _checks.tensors(self, data, raw)
        raw, data = _layout.flat_raw(self, raw), _layout.flat(data, self.shape)
        _checks.shapes(self, data, raw)
        _checks.values(self, data, raw, levels, unit=False)

    def residual_statistic(self: Any, x: Tensor, raw: Tensor) -> Tensor:
        if _as_it_is(self, raw):
            return super().residual_statistic(x, raw)  # type: ignore[misc]
        return _called(self, "residual_statistic", x, raw)


class _Here(threading.local):
    """Whether this thread is inside of a likelihood, where nothing comes from outside any more."""

    inside = False


_HERE = _Here()


def _as_it_is(lik: Any, raw: Tensor) -> bool:
    """Whether nothing is to be done with what is given: neither checked, nor made whole, nor laid flat."""
    if not (lik.validate_args or lik.pictures or raw.dtype.itemsize < FULL or _autocasts(raw)):
        return True
    return not torch.compiler.is_compiling() and _HERE.inside


def _called(lik: Any, name: str, data: Tensor | None, raw: Tensor, *rest: Any, unit: bool = False) -> Tensor:
    """A family's own method of this name on what was checked and made ready."""
    given = () if data is None else (data,)
    levels = rest[0] if data is not None and rest else None
    if lik.validate_args:
        _checks.tensors(lik, *given, raw)
    raw = _layout.flat_raw(lik, raw)
    if data is not None:
        data = _layout.flat(data, lik.shape)
    if lik.validate_args:
        _checks.shapes(lik, data, raw)
        _checks.values(lik, data, raw, levels, unit)
        if name in SCORES and not (torch.compiler.is_compiling() or torch.is_grad_enabled()):
            lik.warn_if_untouched(stacklevel=4)
    raw = _whole(raw)
    arguments = (raw, *rest) if data is None else (_whole(data), raw, *rest)
    method = getattr(super(Entrance, lik), name)
    if _autocasts(raw):
        with torch.autocast(raw.device.type, enabled=False):
            return _inside(method, arguments)
    return _inside(method, arguments)


def _autocasts(tensor: Tensor) -> bool:
    """Whether autocast would change what is computed with it; torch does not want to be asked that of "meta"."""
    kind = tensor.device.type
    return kind != "meta" and torch.is_autocast_enabled(kind)


def _inside(method: Callable[..., Tensor], arguments: tuple[Any, ...]) -> Tensor:
    if torch.compiler.is_compiling():
        return method(*arguments)
    _HERE.inside = True
    try:
        return method(*arguments)
    finally:
        _HERE.inside = False


def _whole(tensor: Tensor) -> Tensor:
    """Half precision as float32, which holds each of its numbers; all else as it is."""
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < FULL else tensor
