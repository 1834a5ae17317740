"""The parameters that people have, for every family at every setting of its options: random ones, and what in_mpmath
makes of them.

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

from tests.vae_core.likelihoods import in_mpmath
from tests.vae_core.likelihoods.in_mpmath import IMPLIED, LINES, Parameters
from vae_core import likelihoods

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
    "channels": ("independent",),  # coupled ones have tests of their own
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
        return np.asarray(
            np.exp(self.rng.uniform(math.log(low), math.log(high), self.shape if shape is None else shape))
        )

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
    **{name: Natural(Draw.line, *in_mpmath.on_line(name)) for name in LINES},
    "truncated_gaussian": Natural(Draw.line, *in_mpmath.on_line("gaussian", "renormalised")),
    "logit_normal": Natural(Draw.of_logit, in_mpmath.logit_normal_mass, in_mpmath.logit_normal_density),
    "beta": Natural(Draw.beta, in_mpmath.beta_mass, in_mpmath.beta_density),
    "kumaraswamy": Natural(Draw.kumaraswamy, in_mpmath.kumaraswamy_mass, in_mpmath.kumaraswamy_density),
    "continuous_bernoulli": Natural(
        Draw.logits, in_mpmath.continuous_bernoulli_mass, in_mpmath.continuous_bernoulli_density
    ),
    "bernoulli": Natural(Draw.logits, in_mpmath.binomial_mass, None),
    "binomial": Natural(Draw.logits, in_mpmath.binomial_mass, None),
    "beta_binomial": Natural(Draw.beta_binomial, in_mpmath.beta_binomial_mass, None),
    "categorical": Natural(Draw.levels_logits, in_mpmath.categorical_mass, None),
    "logistic_mixture": Natural(Draw.mixture, in_mpmath.mixture_mass, None),
    "mse_sum": Natural(Draw.grey, in_mpmath.reading_mass, in_mpmath.squared_error(lambda o, dims: 1)),
    "mse_mean": Natural(Draw.grey, in_mpmath.reading_mass, in_mpmath.squared_error(lambda o, dims: mpf(1) / dims)),
    "beta_mse": Natural(Draw.grey, in_mpmath.reading_mass, in_mpmath.squared_error(lambda o, dims: 1 / mpf(o["beta"]))),
    "bce_sum": Natural(Draw.grey_logits, in_mpmath.reading_mass, in_mpmath.cross_entropy(lambda dims: 1)),
    "bce_mean": Natural(Draw.grey_logits, in_mpmath.reading_mass, in_mpmath.cross_entropy(lambda dims: mpf(1) / dims)),
}


def tensors(drawn: Parameters, dtype: torch.dtype) -> Parameters:
    """What was drawn, as tensors of this type; numbers as they are."""
    return {
        name: value if type(value) is float else torch.as_tensor(np.asarray(value), dtype=dtype)
        for name, value in drawn.items()
    }


def at(
    name: str, given: Parameters, options: Mapping[str, Any], where: tuple[int, int], shape: tuple[int, int]
) -> Parameters:
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
