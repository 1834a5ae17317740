"""The parameters that people have, as keywords of `Likelihood.raw`: read once, checked, made tensors of one type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


#: so far may a sum of probabilities be from 1, as of rounded ones; what is given is normalised
OFF = 1e-4


class Parameters:
    """What `raw` was given, by name: tensors of one floating type and device, to be taken one after the other.

    Args:
        name: the family's, for errors.
        given: numbers or tensors by name; a number is one for one dimension, [1].

    Raises:
        ValueError: something that is neither, complex numbers, or a value that is not finite.
    """

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        self._name = name
        tensors = [value for value in given.values() if isinstance(value, torch.Tensor)]
        dtype = torch.get_default_dtype()
        for tensor in tensors:
            if tensor.is_floating_point():
                dtype = torch.promote_types(dtype, tensor.dtype)
        device = tensors[0].device if tensors else None
        self._left: dict[str, Tensor] = {}
        self._known: list[str] = []
        for key, value in given.items():
            if isinstance(value, torch.Tensor) and value.is_complex():
                raise ValueError(f"{key} is {value.dtype}: {name} takes real numbers")
            try:
                self._left[key] = torch.atleast_1d(torch.as_tensor(value, dtype=dtype, device=device))
            except (TypeError, ValueError, RuntimeError):
                raise ValueError(f"{key}={value!r} is neither a number nor a tensor of them") from None
            if not bool(self._left[key].isfinite().all()):
                raise ValueError(f"{key} holds NaN or infinite numbers, for which there is no raw output")

    def one(self, ways: Mapping[str, Callable[[Tensor], Tensor]], needed: bool = True) -> Tensor | None:
        """The parameter that can be given under each of these names, brought to one form by its function.

        Raises ValueError where two of them are given, or none and it is needed.
        """
        self._known += ways
        found = [key for key in ways if key in self._left]
        if len(found) > 1:
            raise ValueError(f"{self._name} takes only one of {_listed(found)}")
        if not found:
            if needed:
                given = f" (given: {_listed(list(self._left))})" if self._left else ""
                raise ValueError(f"{self._name} needs {' or '.join(ways)}{given}")
            return None
        return ways[found[0]](self._left.pop(found[0]))

    def need(self, **ways: Callable[[Tensor], Tensor]) -> Tensor:
        """`one` that is needed."""
        found = self.one(ways)
        assert found is not None
        return found

    def done(self) -> None:
        """Raises ValueError for what was given and never taken."""
        for key in self._left:
            raise ValueError(f"{self._name} has no parameter {key!r} (allowed: {_listed(self._known)})")


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def together(**parts: Tensor) -> tuple[Tensor, ...]:
    """Tensors of one shape, that to which these broadcast. Raises ValueError where there is none."""
    try:
        return torch.broadcast_tensors(*parts.values())
    except RuntimeError:
        shapes = " and ".join(f"{name} {list(part.shape)}" for name, part in parts.items())
        raise ValueError(f"{shapes} do not broadcast: give each a number or [..., D]") from None


def as_it_is(value: Tensor) -> Tensor:
    return value


def positive(name: str) -> Callable[[Tensor], Tensor]:
    """ln of what must be a finite number > 0. The function raises ValueError where it is none."""

    def logarithm(value: Tensor) -> Tensor:
        if not bool(((value > 0) & value.isfinite()).all()):
            raise ValueError(f"{name}={float(value.amin()):g} is no finite number > 0")
        return torch.log(value)

    return logarithm


def probability(name: str) -> Callable[[Tensor], Tensor]:
    """The logit of what must lie in (0, 1). The function raises ValueError where it does not."""

    def logit(value: Tensor) -> Tensor:
        if not bool(((value > 0) & (value < 1)).all()):
            raise ValueError(
                f"{name} must lie strictly between 0 and 1, given [{float(value.amin()):g}, {float(value.amax()):g}]: "
                "what is sure of an end has no finite raw output"
            )
        return torch.log(value) - torch.log1p(-value)

    return logit


def probabilities(name: str, over: str, axis: int) -> Callable[[Tensor], Tensor]:
    """ln of what must be > 0 and sum to 1 over an axis, in words. The function raises ValueError where it does not."""

    def logarithm(value: Tensor) -> Tensor:
        if value.ndim < -axis or not bool(((value.sum(axis) - 1).abs() < OFF).all() and (value > 0).all()):
            raise ValueError(
                f"{name} must be > 0 and sum to 1 over axis {axis}, the {over}: what has no probability has no finite "
                "raw output"
            )
        return torch.log(value)

    return logarithm


def one_sigma(sigma: float | Tensor) -> Tensor:
    """ln of a σ that is one number for all data, [] or [M], in float64. Raises ValueError where it is none."""
    return positive("sigma")(torch.as_tensor(sigma, dtype=torch.float64))


def require_one_each(name: str, value: Tensor, kept: Tensor) -> None:
    """Raises ValueError unless `value` is a number, or [M] for what is kept of a stack of M, [M]."""
    if value.ndim and value.shape != kept.shape:
        many = f"a number or [{len(kept)}], one for each model" if kept.ndim else "one number"
        raise ValueError(f"{name} is {many}, not {list(value.shape)}")


#: σ by the names it has in people's code, as ln σ
SIGMA: dict[str, Callable[[Tensor], Tensor]] = {
    "sigma": positive("sigma"),
    "log_sigma": as_it_is,
    "variance": lambda value: 0.5 * positive("variance")(value),
    "log_variance": lambda value: 0.5 * value,
}
