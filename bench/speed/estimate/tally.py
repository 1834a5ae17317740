"""How much work something is, as counts that carry no noise, and how long a device takes for it.

A tally is linear in what is done: two of a kind are twice one. Its seconds are those of a roofline: on a GPU the device
and the host that feeds it work side by side and the slower one decides; on a CPU one core does one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.speed.estimate.devices.profile import Profile

#: counted amounts: kernels are operators that compute, views those that do not, drawn are random numbers, waits values
#: that the host reads; moved bytes go over the link; bytes are those of products, of functions, and of the rest
KERNELS, VIEWS, DRAWN, DRAWS = "kernels", "views", "drawn", "draws"
BYTES, PRODUCT_BYTES, FUNCTION_BYTES = "bytes", "product bytes", "function bytes"
WAITS, MOVED, HOST = "waits", "moved", "host seconds"
PRODUCTS, FUNCTIONS, SMALL = "products", "functions", "small"
#: amounts that do not grow with the elements of a tensor
OF_CALLS = (KERNELS, VIEWS, DRAWS, WAITS)

#: elementary operations of a function of one element, roughly those of its polynomial or its iterations, on a device
#: where nobody has measured them
OPERATIONS = {
    "exp": 12, "log": 14, "log1p": 20, "expm1": 18, "tanh": 20, "sigmoid": 16, "erf": 25, "erfc": 40, "erfinv": 40,
    "lgamma": 100, "digamma": 60, "polygamma": 150, "logsumexp": 14, "softmax": 14, "softplus": 30, "log_sigmoid": 30,
    "logaddexp": 32, "pow": 30, "sqrt": 6, "sin": 16, "log_ndtr": 60, "erfcx": 60, "drawn": 20, "sort": 60,
    "arithmetic": 1,
}  # fmt: skip
#: operations of a small matrix of n rows, by what is done with it, over n³ (Golub & Van Loan 2013, chapters 4, 5, 8;
#: the eigenvalues by some ten sweeps of Jacobi's rotations)
CUBES = {"eigh": 120.0, "cholesky": 1 / 3, "triangular": 1.0, "qr": 4 / 3}


@dataclass(frozen=True)
class Tally:
    """Amounts by their names: the constants above, "products/float32" (operations), "functions/exp/float32" (elements),
    "small/eigh/20" (matrices of 20 rows)."""

    amounts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        keys = {**self.amounts, **other.amounts}
        return Tally({key: self[key] + other[key] for key in keys})

    def __sub__(self, other: Tally) -> Tally:
        return self + -1 * other

    def __rmul__(self, times: float) -> Tally:
        return Tally({key: times * amount for key, amount in self.amounts.items()})

    def __getitem__(self, key: str) -> float:
        return self.amounts.get(key, 0.0)

    def of_calls(self) -> Tally:
        """Those amounts alone that do not grow with the elements of tensors."""
        return Tally({key: amount for key, amount in self.amounts.items() if key in OF_CALLS})

    def of_elements(self) -> Tally:
        """The others."""
        return Tally({key: amount for key, amount in self.amounts.items() if key not in OF_CALLS})

    def of_functions(self) -> Tally:
        """What computes functions, without the bytes that they move."""
        return Tally({key: amount for key, amount in self.amounts.items() if key.startswith(FUNCTIONS + "/")})

    def but(self, **amounts: float) -> Tally:
        """With other amounts."""
        return Tally({**self.amounts, **amounts})

    def positive(self) -> Tally:
        """Without what a difference of two counts left below 0."""
        return Tally({key: amount for key, amount in self.amounts.items() if amount > 0})

    @property
    def operations(self) -> float:
        """Of matrix products, all precisions."""
        return sum(amount for key, amount in self.amounts.items() if key.startswith(PRODUCTS + "/"))


NOTHING = Tally()


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    return weighed((1.0, one) for one in tallies)


def largest(tallies: Sequence[Tally]) -> Tally:
    """Of each amount the largest that one of them has."""
    return Tally({key: max(one[key] for one in tallies) for tally in tallies for key in tally.amounts})


def weighed(tallies: Iterable[tuple[float, Tally]]) -> Tally:
    """The sum of some, each so many times."""
    amounts: dict[str, float] = {}
    for times, tally in tallies:
        if times:
            for key, amount in tally.amounts.items():
                amounts[key] = amounts.get(key, 0.0) + times * amount
    return Tally(amounts)


class Seconds(NamedTuple):
    """What a device takes for a tally, by what it does; `device` and `host` overlap on a GPU."""

    products: float
    bytes: float
    functions: float
    matrices: float  #: small ones: eigenvalues, factors
    launches: float
    host: float  #: waits, copies over the link, compiling
    overlapping: bool

    @property
    def total(self) -> float:
        device = self.products + self.bytes + self.functions + self.matrices
        return self.host + (max(device, self.launches) if self.overlapping else device + self.launches)

    @property
    def bound(self) -> str:
        """Which of them takes longest."""
        parts = {
            name: getattr(self, name) for name in ("products", "bytes", "functions", "matrices", "launches", "host")
        }
        return max(parts, key=parts.__getitem__) if self.total > 0 else ""

    def __mul__(self, times: float) -> Seconds:  # type: ignore[override]
        return self._of([times * part for part in self[:-1]])

    def _of(self, parts: Sequence[float]) -> Seconds:
        return Seconds(*parts, overlapping=self.overlapping)  # type: ignore[misc, arg-type]

    def plus(self, other: Seconds) -> Seconds:
        return self._of([a + b for a, b in zip(self[:-1], other[:-1], strict=True)])


def seconds(tally: Tally, profile: Profile, *, replayed: bool = False, precision: str = "float32") -> Seconds:
    """What the profile's device takes. `replayed`: as a captured graph, but for what is drawn before it. `precision`:
    of float32 products, where they are abridged."""
    products = functions = matrices = 0.0
    for key, amount in tally.amounts.items():
        kind, _, rest = key.partition("/")
        if kind == PRODUCTS:
            dtype = precision if rest == "float32" else rest
            products += amount / profile.products.get(dtype, profile.products["float32"])
        elif kind == FUNCTIONS:
            functions += amount * of_function(rest, profile)
        elif kind == SMALL:
            name, _, size = rest.partition("/")
            matrices += amount * of_matrix(name, int(size), profile)
    functions += tally[DRAWN] * of_function("drawn/float32", profile)
    if profile.on_cpu:
        moved = tally[BYTES] + tally[PRODUCT_BYTES]
        launches = tally[KERNELS] * profile.launch + tally[VIEWS] * profile.view
        return Seconds(products, moved / profile.bytes_per_s, functions, matrices, launches, tally[HOST], False)
    products = max(products, tally[PRODUCT_BYTES] / profile.bytes_per_s)
    if replayed:
        outside = (tally[DRAWS] + 2) * profile.launch + profile.replay
        launches = max(outside, tally[KERNELS] * profile.replayed)
    else:
        launches = tally[KERNELS] * profile.launch + tally[VIEWS] * profile.view
    host = tally[WAITS] * profile.wait + tally[MOVED] / profile.link + tally[HOST]
    # elementwise kernels read and write while they compute: the slower of the two decides
    moved, computed = (tally[BYTES] + tally[FUNCTION_BYTES]) / profile.bytes_per_s, functions
    if moved >= computed:
        return Seconds(products, moved, 0.0, matrices, launches, host, True)
    return Seconds(products, 0.0, computed, matrices, launches, host, True)


def of_function(name: str, profile: Profile) -> float:
    """Seconds of one element: "exp/float32"."""
    if name in profile.functions:
        return profile.functions[name]
    what, _, dtype = name.partition("/")
    return OPERATIONS.get(what, 20) / profile.operations_per_s["float64" if dtype == "float64" else "float32"]


def of_matrix(name: str, size: int, profile: Profile) -> float:
    """Seconds of one small matrix of `size` rows."""
    if name in profile.small:
        constant, cubic = profile.small[name]
        return constant + cubic * size**3
    return CUBES.get(name, 1.0) * size**3 / profile.small_operations_per_s
