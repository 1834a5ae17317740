"""Counts what torch carries out: a dispatch mode sees every operator, those of backward passes included.

What an operator costs is read off its name and the shapes that it is given: nothing is timed. Whether an operator is a
product, a function such as exp, or something that only moves numbers, stands in the tables below; one that is in none
of them moves numbers.
"""

from __future__ import annotations

import functools
import math
from collections import Counter as Amounts
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.speed.estimate.tally import (
    BYTES,
    DRAWN,
    DRAWS,
    FUNCTION_BYTES,
    FUNCTIONS,
    KERNELS,
    PRODUCT_BYTES,
    PRODUCTS,
    SMALL,
    VIEWS,
    WAITS,
    Tally,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: operators that make no kernel: they give what there is another shape, or room that nobody has written to
FREE = _words(
    """view _unsafe_view reshape expand select slice unsqueeze squeeze t transpose permute detach alias as_strided split
    split_with_sizes unbind chunk unfold diagonal view_as_real lift_fresh empty empty_like new_empty empty_strided
    new_empty_strided resize _reshape_alias set_ narrow movedim unflatten is_same_size"""
)
#: functions, and the operators that compute each; logaddexp and the like count by what they give
FUNCTIONS_OF = {
    operator: function
    for function, operators in {
        "exp": "exp exp2 elu selu log_sigmoid_backward _log_softmax_backward_data elu_backward",
        "log": "log log2 xlogy binary_cross_entropy",
        "log1p": "log1p",
        "expm1": "expm1",
        "tanh": "tanh",
        "sigmoid": "sigmoid silu silu_backward",
        "erf": "erf gelu gelu_backward",
        "erfc": "erfc",
        "erfinv": "erfinv special_ndtri",
        "erfcx": "special_erfcx",
        "lgamma": "lgamma",
        "digamma": "digamma",
        "polygamma": "polygamma",
        "logsumexp": "logsumexp",
        "softmax": "_log_softmax _softmax",
        "softplus": "softplus softplus_backward mish binary_cross_entropy_with_logits",
        "log_sigmoid": "log_sigmoid_forward",
        "logaddexp": "logaddexp",
        "pow": "pow",
        "sqrt": "sqrt rsqrt norm linalg_vector_norm",
        "sin": "sin cos tan",
        "log_ndtr": "special_log_ndtr",
        "sort": "sort topk",
    }.items()
    for operator in operators.split()
}
#: of them those that take many inputs to one number, or to fewer: their elements are those of the input
OF_INPUT = _words("logsumexp _log_softmax _softmax _log_softmax_backward_data sort topk norm linalg_vector_norm")
MATRICES = {
    "_linalg_eigh": "eigh",
    "linalg_cholesky_ex": "cholesky",
    "linalg_lu_factor_ex": "cholesky",
    "linalg_solve_triangular": "triangular",
    "linalg_qr": "qr",
    "linalg_inv_ex": "qr",
}
DRAWING = _words("normal_ uniform_ randn rand randint randperm random_ bernoulli_ bernoulli exponential_ normal")
READING = _words("_local_scalar_dense equal nonzero is_nonzero")
#: several tensors by one kernel
AT_ONCE = frozenset(["_fused_adam_"])


class Counter(TorchDispatchMode):
    """The amounts of what is carried out inside; `tally` gives them so far."""

    def __init__(self) -> None:
        super().__init__()
        self._amounts: Amounts[str] = Amounts()
        self.operators: Amounts[str] = Amounts()  #: how often each was carried out, for those who look

    @property
    def tally(self) -> Tally:
        return Tally(dict(self._amounts))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self._take(func, args, kwargs, out)
        return out

    def _take(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        name, plain, does = _known(func)
        self.operators[name] += 1
        if does == "free":
            self._amounts[VIEWS] += 1
            return
        if does == "read":
            self._amounts[WAITS] += 1
            if name == "_local_scalar_dense":
                self._amounts[VIEWS] += 1
                return
        self._amounts[KERNELS] += 1
        given: list[Tensor] = []
        made: list[Tensor] = []
        _gather(args, given)
        if kwargs:
            _gather(kwargs.values(), given)
        _gather((out,), made)
        moved = sum(map(_bytes, given)) + sum(map(_bytes, made))
        if does == "draw":
            self._amounts[DRAWS] += 1
            self._amounts[DRAWN] += sum(tensor.numel() for tensor in made)
        elif does == "product":
            operations = flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)
            self._amounts[f"{PRODUCTS}/{_precision(made)}"] += operations
            self._amounts[PRODUCT_BYTES] += moved
        elif does == "matrices":
            size = given[0].shape[-1] if given else 1
            count = math.prod(given[0].shape[:-2]) if given else 0
            self._amounts[f"{SMALL}/{MATRICES[plain]}/{size}"] += count
            self._amounts[BYTES] += moved
        elif does == "function" and not (plain == "pow" and _is_multiplied(args)):
            which = given if plain in OF_INPUT else made
            elements = which[0].numel() if which else 0
            self._amounts[f"{FUNCTIONS}/{FUNCTIONS_OF[plain]}/{_precision(which)}"] += elements
            self._amounts[FUNCTION_BYTES] += moved
        else:
            in_place = name.endswith("_") and name not in AT_ONCE
            self._amounts[BYTES] += moved if not in_place else sum(map(_bytes, given)) + sum(map(_bytes, made[:1]))


@functools.cache
def _known(func: Any) -> tuple[str, str, str]:
    """An operator's name, the one without the mark of what works in place, and what it does, looked up once."""
    name = func.overloadpacket.__name__
    plain = name.rstrip("_") if not name.startswith("_fused") else name
    if name in FREE or plain in FREE:
        return name, plain, "free"
    if name in READING:
        return name, plain, "read"
    if name in DRAWING:
        return name, plain, "draw"
    if func.overloadpacket in flop_registry:
        return name, plain, "product"
    if plain in MATRICES:
        return name, plain, "matrices"
    return name, plain, "function" if plain in FUNCTIONS_OF else "moves"


def _gather(values: Iterable[Any], into: list[Tensor]) -> None:
    """The tensors among them, those in lists too."""
    for value in values:
        if isinstance(value, Tensor):
            into.append(value)
        elif isinstance(value, list | tuple):
            _gather(value, into)


def _precision(tensors: Sequence[Tensor]) -> str:
    """That of the first of them, of which a profile has rates."""
    return "float64" if tensors and tensors[0].dtype == torch.float64 else "float32"


def _is_multiplied(args: Any) -> bool:
    """Whether a power is one that is made by multiplying."""
    return len(args) > 1 and isinstance(args[1], int | float) and args[1] in (1, 2, 3, -1, -2)


def _bytes(tensor: Tensor) -> int:
    """Of the numbers that it has; those that an expanded one repeats lie there once."""
    if tensor.is_contiguous():
        return tensor.numel() * tensor.element_size()
    count = math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size < 2)
    return count * tensor.element_size()


def counted(call: Callable[[], object]) -> Tally:
    """What one call carries out."""
    with Counter() as counter:
        call()
    return counter.tally
