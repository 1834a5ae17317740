"""The parameters that people have, for every family: random ones, and what they say of a level and of a density, in
extended precision by mpmath alone. Nothing here calls the code under test, nor reads its raw outputs.

A family that is in the registry and not in `NATURAL`, or an option that is not in `OPTIONS`, fails its tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import torch
from mpmath import mpf

from vae_core import likelihoods

#: digits: an inner bin may be a 1e-8 of σ wide, and its mass is a difference of tails
DIGITS = 60
INFINITE = mpf("inf")

Parameters = dict[str, Any]

# -- options: every mode, link, end and reading ------------------------------------------------------------------------

#: the values at which each option is tried; None: the family says them, or the data
OPTIONS: dict[str, tuple[Any, ...] | None] = {
    "sigma": None,
    "score": None,
    "levels": None,
    "link": ("identity", "sigmoid"),
    "ends": ("open", "renormalised"),
    "df": (0.1, 2.5, 200.0, "shared"),
    "beta": (0.1, 4.0),
    "components": (1, 5),
}


def all_options(name: str) -> Iterator[dict[str, Any]]:
    """Every combination of a family's options but `levels`; not those which it refuses."""
    family = likelihoods.get(name)
    values: dict[str, tuple[Any, ...]] = {}
    for option in family.option_names():
        if option == "sigma":
            values[option] = (0.07, *family.sigma_modes)
        elif option == "score":
            values[option] = family.scorings
        elif (tried := OPTIONS[option]) is not None:
            values[option] = tried
    for combination in itertools.product(*values.values()):
        options = dict(zip(values, combination, strict=True))
        if options.get("sigma") == "optimal" and options.get("ends") == "renormalised":
            continue
        yield options


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


# -- random ones ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """What random parameters are drawn for: [rows, dims] of K levels, over the whole range in float64, and in float32
    where a rounded μ still tells a bin from half of it."""

    rng: np.random.Generator
    rows: int
    dims: int
    levels: int
    wide: bool
    options: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.dims

    def log_uniform(self, low: float, high: float, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(np.exp(self.rng.uniform(math.log(low), math.log(high), self.shape if shape is None else shape)))

    def chance(self, spread: float = 2.0) -> np.ndarray:
        return 1 / (1 + np.exp(-self.rng.normal(0, spread, self.shape)))

    def location(self) -> np.ndarray:
        return self.rng.uniform(-0.3, 1.3, self.shape) if self.options.get("link") != "sigmoid" else self.chance()

    def sigma(self, low: float, high: float) -> Any:
        """Of its mode: a number, [] , [rows, 1] or [rows, dims]."""
        mode = self.options.get("sigma")
        if isinstance(mode, float):
            return mode
        shapes = {"image": (self.rows, 1), "pixel": self.shape}
        return self.log_uniform(low, high, shapes.get(str(mode), ()))

    def line(self) -> Parameters:
        least = 1.05 / 64 if self.wide else 0.5
        drawn = {"mean": self.location(), "sigma": self.sigma(least / self.levels, 30 if self.wide else 3)}
        if "df" in self.options:
            drawn["df"] = self.log_uniform(1.1, 90, ()) if self.options["df"] == "shared" else self.options["df"]
        return drawn

    def of_logit(self) -> Parameters:
        return {"mean": self.rng.normal(0, 3, self.shape), "sigma": self.sigma(0.01 if self.wide else 0.05, 10)}

    def logits(self) -> Parameters:
        return {"logits": self.rng.normal(0, 20 if self.wide else 5, self.shape)}

    def levels_logits(self) -> Parameters:
        return {"logits": self.rng.normal(0, 5, (*self.shape, self.levels))}

    def beta(self) -> Parameters:
        n, mean = self.log_uniform(1e-3, 3e4 if self.wide else 3e3), self.chance(3)
        return {"alpha": 0.0201 + n * mean, "beta": 0.0201 + n * (1 - mean)}

    def kumaraswamy(self) -> Parameters:
        low, high, widest = (-6.9, 6.9, 58.0) if self.wide else (-4.0, 5.0, 20.0)
        least = -widest if self.wide else -4.0
        return {"a": np.exp(self.rng.uniform(low, high, self.shape)), "b": self.log_uniform(*np.exp((least, widest)))}

    def beta_binomial(self) -> Parameters:
        total, mean = self.log_uniform(1e-4, 4.3e4 if self.wide else 1e4), self.chance(4)
        return {"alpha": total * mean, "beta": total * (1 - mean)}

    def mixture(self) -> Parameters:
        shape = (self.rows, self.options["components"], self.dims)
        weights = self.rng.gamma(1.0, size=shape) + 1e-3
        least = (1.05 / 16 if self.wide else 0.5) / self.levels
        drawn = {"mean": self.rng.uniform(-0.3, 1.3, shape), "scale": self.log_uniform(least, 3, shape)}
        return {"weights": weights / weights.sum(1, keepdims=True), **drawn}

    def grey(self) -> Parameters:
        """μ of a grey value, which is a chance too, and σ where its reading has one to be fitted."""
        drawn: Parameters = {"mean": self.rng.uniform(0.01, 0.99, self.shape)}
        return drawn | self._fitted()

    def grey_logits(self) -> Parameters:
        return {"logits": self.rng.normal(0, 3, self.shape)} | self._fitted()

    def _fitted(self) -> Parameters:
        if not str(self.options["score"]).endswith(("_fitted", "_binned")):
            return {}
        return {"sigma": self.log_uniform((0.02 if self.wide else 0.5) / self.levels, 3, ())}


@dataclass(frozen=True)
class Natural:
    """A family by its parameters: random ones, P(k), and the density or the loss of one dimension (None: of a family
    whose data are levels, P(k) again)."""

    draw: Callable[[Draw], Parameters]
    mass: Callable[..., mpf]
    density: Callable[..., mpf] | None


NATURAL: dict[str, Natural] = {
    **{name: Natural(Draw.line, *on_line(name)) for name in LINES},
    "truncated_gaussian": Natural(Draw.line, *on_line("gaussian", "renormalised")),
    "logit_normal": Natural(Draw.of_logit, logit_normal_mass, logit_normal_density),
    "beta": Natural(Draw.beta, beta_mass, beta_density),
    "kumaraswamy": Natural(Draw.kumaraswamy, kumaraswamy_mass, kumaraswamy_density),
    "continuous_bernoulli": Natural(Draw.logits, continuous_bernoulli_mass, continuous_bernoulli_density),
    "bernoulli": Natural(Draw.logits, binomial_mass, None),
    "binomial": Natural(Draw.logits, binomial_mass, None),
    "beta_binomial": Natural(Draw.beta_binomial, beta_binomial_mass, None),
    "categorical": Natural(Draw.levels_logits, categorical_mass, None),
    "logistic_mixture": Natural(Draw.mixture, mixture_mass, None),
    "mse_sum": Natural(Draw.grey, reading_mass, squared_error(lambda o, dims: 1)),
    "mse_mean": Natural(Draw.grey, reading_mass, squared_error(lambda o, dims: mpf(1) / dims)),
    "beta_mse": Natural(Draw.grey, reading_mass, squared_error(lambda o, dims: 1 / mpf(o["beta"]))),
    "bce_sum": Natural(Draw.grey_logits, reading_mass, cross_entropy(lambda dims: 1)),
    "bce_mean": Natural(Draw.grey_logits, reading_mass, cross_entropy(lambda dims: mpf(1) / dims)),
}

#: σ² of what a loss implies, where no parameter says it
IMPLIED: dict[str, Callable[[Mapping[str, Any], int], mpf]] = {
    "mse_sum": lambda o, dims: mpf(1) / 2,
    "mse_mean": lambda o, dims: mpf(dims) / 2,
    "beta_mse": lambda o, dims: mpf(o["beta"]) / 2,
}


def tensors(drawn: Parameters, dtype: torch.dtype) -> Parameters:
    """What was drawn, as tensors of this type; numbers as they are."""
    return {
        name: value if type(value) is float else torch.as_tensor(np.asarray(value), dtype=dtype)
        for name, value in drawn.items()
    }


def at(name: str, given: Parameters, options: Mapping[str, Any], where: tuple[int, int], shape: tuple[int, int]) -> Parameters:
    """The parameters of one dimension of one row, exactly as given, for mpmath; with D, and what is implied."""
    (row, dim), (rows, dims) = where, shape
    p: Parameters = {"dims": dims}
    for called, value in given.items():
        if isinstance(value, float):
            p[called] = mpf(value)
        elif value.ndim <= 2:
            p[called] = mpf(float(torch.broadcast_to(value, (rows, dims))[row, dim]))
        else:
            vector = value[row, :, dim] if name == "logistic_mixture" else value[row, dim]
            p[called] = [mpf(float(each)) for each in vector]
    if options.get("score") == "gaussian_implied":
        p["sigma"] = mpmath.sqrt(IMPLIED[name](options, dims))
    return p
