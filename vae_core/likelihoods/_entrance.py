"""What comes into a likelihood from outside: its shape and values are checked, half precision is made whole, pictures
are laid flat. One way in for every family; what a family itself computes with is flat and float32 or better.

Values are looked at in eager mode alone, and neither in bundles nor where `validate_args` is False, as in
torch.distributions; shapes also while a program is compiled.

Half precision then costs what its rounding of raw outputs costs, and nothing on the way: a score is the float32 score
of the rounded numbers, also under autocast. That is, in nats an image of D = 784 (K = 256; ln P(k|z) of rounded raw
outputs against that of the same in float32, without sign, median and most of 200 images), for what an untrained decoder
with 500 hidden units gives and data drawn of it (`cost_of_rounding` in tests/vae_core/likelihoods/test_precision.py):

==============================  ===============  ================
..                            bfloat16          float16
family                        median   most     median   most
==============================  ===============  ================
bce_mean                      0.0024   0.011    0.0005   0.0015
bce_sum                       0.0024   0.011    0.0005   0.0015
bernoulli                     0.0041   0.020    0.0005   0.0026
beta                          0.0107   0.040    0.0015   0.0059
beta_binomial                 0.0112   0.040    0.0015   0.0063
beta_mse                      0.0305   0.110    0.0037   0.0178
binomial                      0.0667   0.218    0.0076   0.0298
categorical                   0.0083   0.038    0.0010   0.0044
continuous_bernoulli          0.0024   0.011    0.0005   0.0015
gaussian sigma=0.1            0.0599   0.232    0.0083   0.0433
gaussian sigma=pixel          0.0103   0.065    0.0013   0.0071
gaussian sigma=0.01           0.6602   2.412    0.0778   0.4005
kumaraswamy                   0.0103   0.044    0.0015   0.0068
laplace sigma=0.1             0.0625   0.243    0.0074   0.0380
laplace sigma=pixel           0.0083   0.045    0.0012   0.0044
logistic sigma=0.1            0.0376   0.162    0.0049   0.0188
logistic sigma=pixel          0.0061   0.032    0.0009   0.0039
logistic_mixture              0.0276   0.115    0.0034   0.0168
logit_normal sigma=0.1        0.0852   0.307    0.0105   0.0437
logit_normal sigma=pixel      0.0151   0.068    0.0020   0.0093
mse_mean                      0.0003   0.001    0.0001   0.0002
mse_sum                       0.0090   0.045    0.0012   0.0049
student_t sigma=0.1           0.0485   0.197    0.0060   0.0298
student_t sigma=pixel         0.0093   0.040    0.0012   0.0061
truncated_gaussian sigma=0.1  0.0647   0.240    0.0083   0.0291
truncated_gaussian sigma=pixel  0.0049  0.020    0.0005   0.0039
==============================  ===============  ================

It grows as 1/σ where μ is rounded (a bfloat16 near 1 is known to 0.004, one grey level of 256), and with the outputs:
ten times as large (up to ±17) the median is 0.02 in bfloat16 for a Bernoulli, 0.17 for a categorical, 0.25 for a
binomial, and 2.3 (most: 3,500) for a logit-normal with sigma="pixel", whose σ then reach down to e^-17.
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
        if name in SCORES and not (torch.compiler.is_compiling() or torch.is_grad_enabled()):
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
