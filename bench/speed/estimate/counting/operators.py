"""Counts what torch carries out: a dispatch mode sees every operator, those of backward passes included.

What an operator costs is read off its name and the shapes that it is given: nothing is timed. Whether an operator is a
product, a function such as exp, or something that only moves numbers, stands in the tables below; one that is in none
of them moves numbers.
"""

from __future__ import annotations

import math
from collections import Counter as Amounts
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from bench.speed.tensor_bytes import Bytes


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

    def __init__(self, held: Bytes | None = None) -> None:
        """held: takes the bytes that are made, too."""
        super().__init__()
        self._held = held
        self._amounts: dict[str, float] = defaultdict(float)
        self._calls: dict[int, int] = defaultdict(int)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be skipped takes seconds to import, and microseconds of every operator

    @property
    def tally(self) -> Tally:
        amounts = dict(self._amounts)
        for key, calls in self._calls.items():
            for kind in _KNOWN[key].counts:
                amounts[kind] = amounts.get(kind, 0.0) + calls
        return Tally(amounts)

    @property
    def operators(self) -> Amounts[str]:
        """How often each was carried out, for those who look."""
        found: Amounts[str] = Amounts()
        for key, calls in self._calls.items():
            found[_KNOWN[key].name] += calls
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs) if kwargs else func(*args)
        known = _KNOWN.get(id(func)) or _looked_up(func)
        self._calls[known.key] += 1
        if known.does is not None:
            known.does(self._amounts, known, args, kwargs or {}, out)
            if self._held is not None:
                self._held.take(out)
        return out


@dataclass(frozen=True, eq=False)
class _Known:
    """What is asked of an operator each time: its name, the one without the mark of what works in place, what of it is
    counted by calls, and what of it by sizes."""

    func: Any
    key: int
    name: str
    plain: str
    counts: tuple[str, ...]
    does: Callable[[dict[str, float], _Known, Any, Any, Any], None] | None


_KNOWN: dict[int, _Known] = {}  # by the identity of operators, which stay


def _looked_up(func: Any) -> _Known:
    name = func.overloadpacket.__name__
    plain = name.rstrip("_") if not name.startswith("_fused") else name
    counts: tuple[str, ...] = (KERNELS,)
    does: Any = _moves_in_place if name.endswith("_") and name not in AT_ONCE else _moves
    if name in FREE or plain in FREE:
        counts, does = (VIEWS,), None
    elif name == "_local_scalar_dense":
        counts, does = (WAITS, VIEWS), None
    elif name in READING:
        counts = (WAITS, KERNELS)
    elif name in DRAWING:
        counts, does = (KERNELS, DRAWS), _draws
    elif func.overloadpacket in flop_registry:
        does = _products
    elif plain in MATRICES:
        does = _matrices
    elif plain in FUNCTIONS_OF:
        does = _functions
    known = _Known(func, id(func), name, plain, counts, does)
    _KNOWN[known.key] = known
    return known


def _moves(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    amounts[BYTES] += _moved(args) + (_moved(kwargs.values()) if kwargs else 0) + _moved((out,))


def _moves_in_place(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    made: list[Tensor] = []
    _gather((out,), made)
    amounts[BYTES] += _moved(args) + (_moved(kwargs.values()) if kwargs else 0) + _moved(made[:1])


def _draws(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    made: list[Tensor] = []
    _gather((out,), made)
    amounts[DRAWN] += sum(tensor.numel() for tensor in made)


def _products(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    made: list[Tensor] = []
    _gather((out,), made)
    operations = flop_registry[known.func.overloadpacket](*args, **kwargs, out_val=out)
    amounts[f"{PRODUCTS}/{_precision(made)}"] += operations
    amounts[PRODUCT_BYTES] += _moved(args) + (_moved(kwargs.values()) if kwargs else 0) + _moved(made)


def _matrices(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    given: list[Tensor] = []
    _gather(args, given)
    size = given[0].shape[-1] if given else 1
    count = math.prod(given[0].shape[:-2]) if given else 0
    amounts[f"{SMALL}/{MATRICES[known.plain]}/{size}"] += count
    _moves(amounts, known, args, kwargs, out)


def _functions(amounts: dict[str, float], known: _Known, args: Any, kwargs: Any, out: Any) -> None:
    if known.plain == "pow" and _is_multiplied(args):
        (_moves_in_place if known.name.endswith("_") else _moves)(amounts, known, args, kwargs, out)
        return
    which: list[Tensor] = []
    _gather(args if known.plain in OF_INPUT else (out,), which)
    elements = which[0].numel() if which else 0
    amounts[f"{FUNCTIONS}/{FUNCTIONS_OF[known.plain]}/{_precision(which)}"] += elements
    amounts[FUNCTION_BYTES] += _moved(args) + (_moved(kwargs.values()) if kwargs else 0) + _moved((out,))


def _gather(values: Iterable[Any], into: list[Tensor]) -> None:
    """The tensors among them, those in lists too."""
    for value in values:
        if isinstance(value, Tensor):
            into.append(value)
        elif isinstance(value, list | tuple):
            _gather(value, into)


def _moved(values: Iterable[Any]) -> int:
    """Bytes of the tensors among them."""
    total = 0
    for value in values:
        if isinstance(value, Tensor):
            total += value.nbytes if value.is_contiguous() else _bytes(value)
        elif isinstance(value, list | tuple):
            total += _moved(value)
    return total


def _precision(tensors: Sequence[Tensor]) -> str:
    """That of the first of them, of which a profile has rates."""
    return "float64" if tensors and tensors[0].dtype == torch.float64 else "float32"


def _is_multiplied(args: Any) -> bool:
    """Whether a power is one that is made by multiplying."""
    return len(args) > 1 and isinstance(args[1], int | float) and args[1] in (1, 2, 3, -1, -2)


def _bytes(tensor: Tensor) -> int:
    """Of the numbers that it has; those that an expanded one repeats lie there once."""
    count = math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size < 2)
    return count * tensor.element_size()


def counted(call: Callable[[], object], held: Bytes | None = None) -> Tally:
    """What one call carries out; `held`: and the bytes that it makes."""
    with Counter(held) as counter:
        call()
    return counter.tally
