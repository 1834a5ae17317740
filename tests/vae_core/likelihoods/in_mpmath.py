"""What the parameters that people have say of a level and of a density, for every family: in extended precision, by
mpmath alone. Nothing here calls the code under test, nor reads its raw outputs.

A function of a level k is P(k) among K levels, one of x is the density; p are the parameters of one dimension by name,
and o the family's options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
from mpmath import mpf

#: digits: an inner bin may be a 1e-8 of σ wide, and its mass is a difference of tails
DIGITS = 60
INFINITE = mpf("inf")

Parameters = dict[str, Any]

# -- distributions on the line -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A symmetric standard distribution: its density f(z), and P(Z > z) for z ≥ 0."""

    density: Callable[..., mpf]
    tail: Callable[..., mpf]


def _t_density(z: mpf, nu: mpf) -> mpf:
    constant = mpmath.gamma((nu + 1) / 2) / mpmath.gamma(nu / 2) / mpmath.sqrt(nu * mpmath.pi)
    return constant * (1 + z * z / nu) ** (-(nu + 1) / 2)


def _t_tail(z: mpf, nu: mpf) -> mpf:
    return mpmath.betainc(nu / 2, mpf(1) / 2, 0, nu / (nu + z * z), regularized=True) / 2


LINES = {
    "gaussian": Line(
        lambda z: mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi), lambda z: mpmath.erfc(z / mpmath.sqrt(2)) / 2
    ),
    "laplace": Line(lambda z: mpmath.exp(-abs(z)) / 2, lambda z: mpmath.exp(-z) / 2),
    "logistic": Line(
        lambda z: mpmath.exp(-abs(z)) / (1 + mpmath.exp(-abs(z))) ** 2, lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z))
    ),
    "student_t": Line(_t_density, _t_tail),
}


def between(line: Line, low: mpf, high: mpf, *shape: mpf) -> mpf:
    """P(low < Z < high), from tails on the smaller side."""
    if high <= 0:
        low, high = -high, -low

    def tail(z: mpf) -> mpf:
        return mpf(0) if z == INFINITE else line.tail(z, *shape)

    if low >= 0:
        return tail(low) - tail(high)
    return 1 - tail(-low) - tail(high)


def _standard(edge: mpf, p: Parameters) -> mpf:
    return (edge - p["mean"]) / p["sigma"]


def _shape(p: Parameters) -> tuple[mpf, ...]:
    return (p["df"],) if "df" in p else ()


def edges(k: int, levels: int, opened: bool) -> tuple[mpf, mpf]:
    """Of the bin of a level, the outer ones at infinity where its ends are open."""
    low, high = mpf(k) / levels, mpf(k + 1) / levels
    return (-INFINITE if opened and k == 0 else low), (INFINITE if opened and k == levels - 1 else high)


def on_line(name: str, ends: str = "") -> tuple[Callable[..., mpf], Callable[..., mpf]]:
    """Mass of a level and density of a location-scale family, with the ends of its options, or these."""
    line = LINES[name]

    def is_open(o: Mapping[str, Any]) -> bool:
        return (ends or o["ends"]) == "open"

    def whole(p: Parameters) -> mpf:
        return between(line, _standard(mpf(0), p), _standard(mpf(1), p), *_shape(p))

    def mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
        low, high = edges(k, levels, is_open(o))
        part = between(line, _standard(low, p), _standard(high, p), *_shape(p))
        return part if is_open(o) else part / whole(p)

    def density(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
        part = line.density(_standard(x, p), *_shape(p)) / p["sigma"]
        return part if is_open(o) else part / whole(p)

    return mass, density


# -- the others ----------------------------------------------------------------------------------------------------


def logit(x: mpf) -> mpf:
    if x in (0, 1):
        return INFINITE if x else -INFINITE
    return mpmath.log(x / (1 - x))


def logit_normal_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    low, high = (_standard(logit(mpf(edge) / levels), p) for edge in (k, k + 1))
    return between(LINES["gaussian"], low, high)


def logit_normal_density(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
    return LINES["gaussian"].density(_standard(logit(x), p)) / p["sigma"] / (x * (1 - x))


def beta_below(a: mpf, b: mpf, x: mpf) -> mpf:
    """P(X < x), x below the mean: x^a (1−x)^b/(a B(a, b)) times a series of positive terms (DLMF 8.17.8)."""
    term = total = mpf(1)
    j = 0
    while term > total * mpf(10) ** -40:
        term *= x * (a + b + j) / (a + 1 + j)
        total += term
        j += 1
    return total * x**a * (1 - x) ** b / (a * mpmath.beta(a, b))


def beta_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    a, b, low, high = p["alpha"], p["beta"], mpf(k) / levels, mpf(k + 1) / levels
    if low > a / (a + b):  # all is from the smaller side
        a, b, low, high = b, a, 1 - high, 1 - low
    if high <= a / (a + b):
        return beta_below(a, b, high) - beta_below(a, b, low)
    return 1 - beta_below(a, b, low) - beta_below(b, a, 1 - high)


def beta_density(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
    a, b = p["alpha"], p["beta"]
    return x ** (a - 1) * (1 - x) ** (b - 1) / mpmath.beta(a, b)


def kumaraswamy_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    """(1 − x^a)^b − (1 − y^a)^b, each by its logarithm."""

    def log_survival(edge: mpf) -> mpf:
        return p["b"] * mpmath.log1p(-(edge ** p["a"])) if edge else mpf(0)

    low = log_survival(mpf(k) / levels)
    if k == levels - 1:
        return mpmath.exp(low)
    return mpmath.exp(low) * -mpmath.expm1(log_survival(mpf(k + 1) / levels) - low)


def kumaraswamy_density(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
    a, b = p["a"], p["b"]
    return a * b * x ** (a - 1) * mpmath.exp((b - 1) * mpmath.log1p(-(x**a)))


def continuous_bernoulli_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    slope = p["logits"]
    if slope == 0:
        return mpf(1) / levels
    return mpmath.exp(slope * k / levels) * mpmath.expm1(slope / levels) / mpmath.expm1(slope)


def continuous_bernoulli_density(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
    slope = p["logits"]
    return mpmath.exp(slope * x) * (slope / mpmath.expm1(slope) if slope else mpf(1))


def binomial_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    n, eta = levels - 1, p["logits"]
    return mpmath.binomial(n, k) * mpmath.exp(k * eta) / (1 + mpmath.exp(eta)) ** n


def beta_binomial_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    n, a, b = levels - 1, p["alpha"], p["beta"]
    return mpmath.binomial(n, k) * mpmath.beta(k + a, n - k + b) / mpmath.beta(a, b)


def categorical_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    return mpmath.exp(p["logits"][k]) / sum(map(mpmath.exp, p["logits"]))


def mixture_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    parts = list(zip(p["weights"], p["mean"], p["scale"], strict=True))

    def within(low: mpf, high: mpf) -> mpf:
        return sum(w * between(LINES["logistic"], (low - m) / s, (high - m) / s) for w, m, s in parts)

    whole = sum(p["weights"]) if o["ends"] == "open" else within(mpf(0), mpf(1))
    return within(*edges(k, levels, o["ends"] == "open")) / whole


def reading_mass(k: int, levels: int, p: Parameters, o: Mapping[str, Any]) -> mpf:
    """Of a recipe read about its mean g of a grey value k/(K−1): the bins reach half a grey level to either side."""
    kind = str(o["score"]).partition("_")[0]
    if kind in LINES:
        p = p if "mean" in p else p | {"mean": 1 / (1 + mpmath.exp(-p["logits"]))}
        low = -INFINITE if k == 0 else (mpf(k) - mpf(1) / 2) / (levels - 1)
        high = INFINITE if k == levels - 1 else (mpf(k) + mpf(1) / 2) / (levels - 1)
        return between(LINES[kind], _standard(low, p), _standard(high, p))
    mass = {"continuous": continuous_bernoulli_mass, "binomial": binomial_mass}[kind]
    return mass(k, levels, {"logits": p["logits"] if "logits" in p else logit(p["mean"])}, o)


def squared_error(weight: Callable[[Mapping[str, Any], int], Any]) -> Callable[..., mpf]:
    """e^{−w (x−μ)²}, which is what is summed up in a loss, not a density."""
    return lambda x, p, o: mpmath.exp(-mpf(weight(o, p["dims"])) * (x - p["mean"]) ** 2)


def cross_entropy(weight: Callable[[int], Any]) -> Callable[..., mpf]:
    def score(x: mpf, p: Parameters, o: Mapping[str, Any]) -> mpf:
        return mpmath.exp(mpf(weight(p["dims"])) * (x * p["logits"] - mpmath.log1p(mpmath.exp(p["logits"]))))

    return score


#: σ² of what a loss implies, where no parameter says it
IMPLIED: dict[str, Callable[[Mapping[str, Any], int], mpf]] = {
    "mse_sum": lambda o, dims: mpf(1) / 2,
    "mse_mean": lambda o, dims: mpf(dims) / 2,
    "beta_mse": lambda o, dims: mpf(o["beta"]) / 2,
}
