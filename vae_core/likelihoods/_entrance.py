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

    def sigma_in_use(self: Any, raw: Tensor) -> Tensor | None:
        if _as_it_is(self, raw):
            in_use: Tensor | None = super().sigma_in_use(raw)  # type: ignore[misc]
            return in_use
        return _called(self, "sigma_in_use", None, raw)

    def check(self: Any, data: Tensor, raw: Tensor, levels: int | None = None) -> None:
        """Raises ValueError or TypeError where data [..., D] and raw [..., R] cannot be scored: by `log_prob`, or with
        `levels`, as integers, by `log_mass`. With validate_args=True all do this by themselves."""
        _checks.tensors(self, data, raw)
        raw, data = _layout.flat_raw(self, _whole(raw)), _layout.flat(_whole(data), self.shape)
        _checks.shapes(self, data, raw)
        _checks.values(self, data, raw, levels, unit=False)

    def flat_raw(self: Any, planes: Tensor) -> Tensor:
        """Raw outputs [..., R] as the family reads them, of a convolutional decoder's planes [..., P C, H, W]: for a
        likelihood that was told shape=(C, H, W). What is [..., R] already is given back.

        The planes are parameters × channels, the parameter slowest; what there is once an image (the σ of
        sigma="image") is the mean over a plane of its own, the last. Gradients flow.

        >>> import torch
        >>> from vae_core import likelihoods
        >>> lik = likelihoods.make("gaussian", sigma="pixel", shape=(3, 8, 8))
        >>> lik.outputs(3)  # planes that the last layer gives: 3 of μ, then 3 of ln σ
        6
        >>> lik.flat_raw(torch.zeros(5, 6, 8, 8)).shape
        torch.Size([5, 384])

        Raises:
            TypeError: no tensor.
            ValueError: no shape was told; neither planes of that shape nor outputs(C H W) wide.
        """
        if self.shape is None:
            raise ValueError(f"this {self.name} was told no shape: make it with shape=(C, H, W)")
        _checks.tensors(self, planes)
        raw = _layout.flat_raw(self, planes)
        _checks.shapes(self, None, raw)
        return raw

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
    if not (lik.validate_args or lik.pictures or raw.dtype.itemsize < FULL or _autocast(raw)):
        return True
    return not torch.compiler.is_compiling() and _HERE.inside


def _called(lik: Any, name: str, data: Tensor | None, raw: Tensor, *rest: Any, unit: bool = False) -> Tensor:
    """A family's own method of this name on what was checked and made ready."""
    levels = rest[0] if data is not None and rest else None
    if lik.validate_args:
        _checks.tensors(lik, *(() if data is None else (data,)), raw)
    raw, data = _whole(raw), None if data is None else _whole(data)
    if lik.pictures:
        raw, data = _layout.flat_raw(lik, raw), None if data is None else _layout.flat(data, lik.shape)
    if lik.validate_args:
        _checks.shapes(lik, data, raw)
        _checks.values(lik, data, raw, levels, unit)
        if name in SCORES and not torch.is_grad_enabled():
            lik.warn_if_untouched(stacklevel=4)
    arguments = (raw, *rest) if data is None else (data, raw, *rest)
    method = getattr(super(Entrance, lik), name)
    if _autocast(raw):
        with torch.autocast(raw.device.type, enabled=False):
            return _inside(method, arguments)
    return _inside(method, arguments)


def _autocast(raw: Tensor) -> bool:
    """Whether autocast is on where raw is; tensors without storage are of no device that has it."""
    return not raw.is_meta and torch.is_autocast_enabled(raw.device.type)


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
