"""Recipes read as true distributions about the mean that their decoder gives (docs/RULES.md, rule 14).

A recipe says nothing of how its data are distributed; a listed set of distributions about its mean does, each a
`Reading` of the same trained weights. The list: the continuous Bernoulli and the binomial, which a mean
settles, and distributions of the real line with a scale σ. σ is what the recipe's own loss implies, where it implies
one, or is fitted to training data, in one of two ways:

* by residuals (`_fitted`): the maximum-likelihood σ of the density of x − mean, in closed form but for the logistic's;
* by masses (`_binned`): the σ that maximises the exact ln P(k|z) of training images, z ~ q(z|x).

They are not one. A density is judged at one point and a mass over a whole bin, so that where many pixels are exact, or
at an end of the grey scale, the second has a σ, and a score, that the first misses.

It is one file, for a reading and the recipe that is read so ask each other.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from vae_core.likelihoods._base import Recipe
from vae_core.likelihoods._location_scale import LocationScale
from vae_core.likelihoods._parameters import one_sigma
from vae_core.likelihoods._scale import Optimal
from vae_core.likelihoods.binomial import Binomial, binomial_log_masses
from vae_core.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vae_core.likelihoods.gaussian import Gaussian
from vae_core.likelihoods.laplace import Laplace
from vae_core.likelihoods.logistic import Logistic
from vae_core.numerics.maximum import highest

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.likelihoods._base import Seen

#: a mean that is read as a probability is moved so far inside (0, 1): a squared error may put it anywhere
CLIP = 1e-3
#: training images at most, at even spacing, whose masses are looked at: σ is one number, and their D pixels are many
FIT_IMAGES = 2000
#: where σ by masses is sought: from this many widths of a grey level, below which nothing changes, …
NARROWEST = 0.02
#: … to this many times the whole grey scale
WIDEST = 10.0
#: σ by residuals is at least so much of the grey scale, also where nothing is left to fit
SMALLEST = 1e-6


@dataclass(frozen=True)
class Reading(ABC):
    """One true distribution about a recipe's mean: what it is to be given a recipe and its raw output."""

    said: str  #: in words, {chance} standing for what the recipe gives as the chance of a coin
    has_density: ClassVar[bool] = True
    needs_fit: ClassVar[bool] = False
    fit_images: ClassVar[int | None] = None  #: training images at most, at even spacing; None: all

    @property
    def open_ends(self) -> bool:
        """Whether the end bins of its masses reach to ±∞."""
        return False

    def renormalised(self) -> Self | None:
        """With closed end bins, each mass divided by the sum over the levels; None where its ends are not open."""
        return None

    @abstractmethod
    def log_masses(self, recipe: MeanRecipe, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """ln P(k_d|z): k [..., D], raw [..., R] -> [..., D], nats."""

    @abstractmethod
    def log_density(self, recipe: MeanRecipe, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        """ln density of dequantised y = (k+u)/K [..., D] -> [...], nats."""

    @abstractmethod
    def sample(self, recipe: MeanRecipe, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        """A draw for each raw output, [..., D], whose level `level_of` tells."""

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        """From a grey value, the nearest level; beyond the ends the end levels."""
        return torch.floor(value * (levels - 1) + 0.5).clamp(0, levels - 1).long()

    def log_sigma(self, recipe: MeanRecipe, raw: Tensor) -> Tensor | None:
        """ln σ in units of the grey scale; None where there is no σ."""
        return None

    def residual_statistic(self, recipe: MeanRecipe, x: Tensor, raw: Tensor) -> Tensor:
        """Whose average over training data gives σ: x [..., D] -> [] or [M]."""
        raise NotImplementedError(f"{recipe.name} read as {recipe.score} has no scale to fit")

    def set_residual_statistic(self, recipe: MeanRecipe, average: Tensor) -> None:
        raise NotImplementedError(f"{recipe.name} read as {recipe.score} has no scale to fit")

    def fit(self, recipe: MeanRecipe, training: Iterable[Seen], levels: int) -> None:
        """Fits σ to what is seen of training images."""
        raise NotImplementedError(f"{recipe.name} read as {recipe.score} has no scale to fit")


@dataclass(frozen=True)
class AsContinuousBernoulli(Reading):
    """The continuous Bernoulli of the recipe's logits, on [0, 1]: λ is the mean of the grey values, not its own."""

    _distribution: ClassVar[ContinuousBernoulli] = ContinuousBernoulli.described()

    def log_masses(self, recipe: MeanRecipe, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self._distribution.log_masses(k, recipe.logits(raw), levels)

    def log_density(self, recipe: MeanRecipe, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self._distribution.log_prob(y, recipe.logits(raw))

    def sample(self, recipe: MeanRecipe, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        return self._distribution.sample(recipe.logits(raw), generator)

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        """From a dequantised value, as every density on [0, 1]."""
        return self._distribution.level_of(value, levels)


@dataclass(frozen=True)
class AsBinomial(Reading):
    """The level as heads in K−1 throws of a coin whose chance is the mean."""

    has_density: ClassVar[bool] = False

    def log_masses(self, recipe: MeanRecipe, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return binomial_log_masses(k, recipe.logits(raw), levels)

    def log_density(self, recipe: MeanRecipe, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        raise NotImplementedError(f"{recipe.name} read as binomial has no density: it is one of the levels themselves")

    def sample(self, recipe: MeanRecipe, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        """Heads over throws, a grey value. Raises ValueError where the recipe was made without K."""
        if recipe.levels is None:
            raise ValueError(
                f"a draw of {recipe.name} read as binomial needs the number of levels: make it with levels=K"
            )
        return Binomial.described(recipe.levels).sample(recipe.logits(raw), generator) / (recipe.levels - 1)


@dataclass(frozen=True)
class AboutMean(Reading):
    """A location-scale distribution about the mean, one σ for all pixels, in the grey values' own bins.

    Those are [g − ½/(K−1), g + ½/(K−1)] about g = k/(K−1), open at both ends: with y = (g (K−1) + ½)/K the same bins
    as every other family's.
    """

    distribution: LocationScale

    @property
    def open_ends(self) -> bool:
        return self.distribution.open_ends

    def renormalised(self) -> Self | None:
        closed = self.distribution.renormalised()
        return None if closed is None else dataclasses.replace(self, distribution=closed)

    @abstractmethod
    def log_sigma(self, recipe: MeanRecipe, raw: Tensor) -> Tensor: ...

    def log_masses(self, recipe: MeanRecipe, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.masses_at(self.log_sigma(recipe, raw), k, recipe.mean(raw), levels)

    def masses_at(self, log_sigma: Tensor, k: Tensor, mean: Tensor, levels: int) -> Tensor:
        """ln P(k_d) for a given ln σ and mean of grey values, [..., D]."""
        return self.distribution.binned_log_masses(k, *_in_unit_view(mean, log_sigma, levels), levels)

    def log_density(self, recipe: MeanRecipe, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = _in_unit_view(recipe.mean(raw), self.log_sigma(recipe, raw), levels)
        return self.distribution._log_prob(y, loc, log_scale)

    def sample(self, recipe: MeanRecipe, raw: Tensor, generator: torch.Generator | None) -> Tensor:
        """A grey value. Raises ValueError where the ends are closed and the recipe was made without K."""
        mean, log_sigma = recipe.mean(raw), self.log_sigma(recipe, raw)
        if self.open_ends:
            return self.distribution._sample_at(mean, log_sigma, generator)
        if recipe.levels is None:
            raise ValueError(
                f"a draw of {recipe.name} between closed ends needs the number of levels: make it with levels=K"
            )
        y = self.distribution._sample_at(*_in_unit_view(mean, log_sigma, recipe.levels), generator)
        return (y * recipe.levels - 0.5) / (recipe.levels - 1)


@dataclass(frozen=True)
class AtImplied(AboutMean):
    """At the σ that the weight of the recipe's loss implies."""

    def log_sigma(self, recipe: MeanRecipe, raw: Tensor) -> Tensor:
        return torch.full((), recipe.implied_log_sigma(raw.shape[-1]), dtype=raw.dtype, device=raw.device)


@dataclass(frozen=True)
class ByResiduals(AboutMean):
    """At the maximum-likelihood σ of the density of training residuals x − mean. (The logistic's has no closed form:
    it is the mean over blocks of the images.)"""

    needs_fit: ClassVar[bool] = True

    def log_sigma(self, recipe: MeanRecipe, raw: Tensor) -> Tensor:
        return recipe.fitted.split(raw)[1]

    def residual_statistic(self, recipe: MeanRecipe, x: Tensor, raw: Tensor) -> Tensor:
        residual = x - recipe.mean(raw)
        return self.distribution._statistic(residual, tuple(range(0 if recipe.models is None else 1, residual.ndim)))

    def set_residual_statistic(self, recipe: MeanRecipe, average: Tensor) -> None:
        recipe.fitted.set_log(self.distribution._log_sigma(average).clamp(min=math.log(SMALLEST)))

    def fit(self, recipe: MeanRecipe, training: Iterable[Seen], levels: int) -> None:
        recipe.fit_to_residuals(training)


@dataclass(frozen=True)
class ByMasses(ByResiduals):
    """At the σ that maximises the mean exact ln P(k|z) of training images."""

    fit_images: ClassVar[int | None] = FIT_IMAGES

    def fit(self, recipe: MeanRecipe, training: Iterable[Seen], levels: int) -> None:
        parts = [(k, recipe.mean(raw)) for k, _, raw in training]

        def total(log_sigma: float) -> float:
            """Σ ln P(k|z) over the images."""
            parted = (
                self.masses_at(torch.full((), log_sigma, dtype=mean.dtype, device=mean.device), k, mean, levels)
                for k, mean in parts
            )
            return sum(float(log_masses.sum(dtype=torch.float64)) for log_masses in parted)

        best = highest(total, math.log(NARROWEST / (levels - 1)), math.log(WIDEST))
        recipe.fitted.set_log(torch.tensor(best))


_LINE = {
    "Gaussian": Gaussian.described(1.0),
    "Laplace": Laplace.described(1.0),
    "logistic": Logistic.described(1.0),
}
_FITS: dict[str, tuple[type[AboutMean], str]] = {
    "fitted": (ByResiduals, "σ from training residuals"),
    "binned": (ByMasses, "the σ that maximises the masses of training images"),
}
#: what any mean may be read as, and a scale fitted to training data
FITTED: dict[str, Reading] = {
    f"{shape.lower()}_{word}": kind(f"{shape} about the mean, {said}", distribution)
    for shape, distribution in _LINE.items()
    for word, (kind, said) in _FITS.items()
}
#: what any mean may be read as, and settles
SETTLED: dict[str, Reading] = {
    "continuous_bernoulli": AsContinuousBernoulli("continuous Bernoulli with λ = {chance}"),
    "binomial": AsBinomial("binomial, K−1 throws with the chance {chance}"),
}
#: of a loss whose weight is a Gaussian's 1/(2σ²)
IMPLIED: dict[str, Reading] = {
    "gaussian_implied": AtImplied(
        "Gaussian about the mean, the σ that the weight of the loss implies", _LINE["Gaussian"]
    )
}


class MeanRecipe(Recipe):
    """A recipe whose decoder gives the mean of each grey value, and which is read as each of `readings`.

    Args:
        score: as which of its readings `log_mass` scores it. Raises ValueError for anything else.
        levels: K, the data's number of levels, without which the binomial draws no samples. Raises ValueError if
            below 2 or no integer.
    """

    takes_levels = True
    readings: ClassVar[Mapping[str, Reading]]
    twins: ClassVar[Mapping[str, tuple[str, str]]] = {}  #: what `twin` gives, by reading
    chance: ClassVar[str]  #: in words, what `logits` are of
    fitted: Optimal  #: σ where it is fitted: a part like any other, for stacks, snapshots and files of weights

    def __init__(self, score: str, levels: int | None = None) -> None:
        if score not in self.scorings:
            raise ValueError(f"score={score!r} is unknown (allowed: {', '.join(self.scorings)})")
        if levels is not None and (isinstance(levels, bool) or not isinstance(levels, int) or levels < 2):
            raise ValueError(f"levels={levels!r} is no number of levels: give an integer of 2 or more")
        self.levels = levels
        self._read_as(score)

    def _read_as(self, score: str) -> None:
        reading = self.readings[score]
        self.score, self.reading = score, reading
        self.needs_fit, self.fit_images = reading.needs_fit, reading.fit_images
        self.has_density, self.open_ends = reading.has_density, reading.open_ends
        if "fitted" in self._parts():
            del self.fitted  # that of another reading, where this is a copy
        if reading.needs_fit:
            self.fitted = Optimal()
            if self.models is not None:
                self.fitted = self.fitted.stack([self.fitted] * self.models)

    @abstractmethod
    def logits(self, raw: Tensor) -> Tensor:
        """ln(λ/(1−λ)) of the mean as a probability λ: raw [..., R] -> [..., D]."""

    def implied_log_sigma(self, dims: int) -> float:
        """ln σ of the Gaussian that the loss is, but for constants, for D = dims."""
        raise NotImplementedError(f"the loss of {self.name} implies no σ")

    @classmethod
    def twin(cls, scoring: str) -> tuple[str, str] | None:
        return cls.twins.get(scoring)

    @classmethod
    def opened(cls) -> tuple[str, ...]:
        return tuple(name for name, reading in cls.readings.items() if reading.open_ends)

    @classmethod
    def scoring_said(cls, scoring: str) -> str:
        return cls.readings[scoring].said.format(chance=cls.chance)

    def scored(self, scoring: str) -> Self:
        rescored = copy.copy(super().scored(scoring))
        rescored.made_of = tuple({**each, "score": scoring} for each in self.made_of)
        rescored._read_as(scoring)
        return rescored

    def renormalised(self) -> Self | None:
        reading = self.reading.renormalised()
        if reading is None:
            return None
        closed = copy.copy(self)
        closed.reading, closed.open_ends = reading, reading.open_ends
        return closed

    def outputs(self, dims: int) -> int:
        return dims

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.reading.log_masses(self, k, raw, levels)

    def log_density(self, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.reading.log_density(self, y, raw, levels)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.reading.sample(self, raw, generator)

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        return self.reading.level_of(value, levels)

    def computes(self) -> dict[str, Any]:
        """A fitted σ is a tensor, however it was fitted; of the recipe its mean alone matters, unless σ is implied."""
        if not self.needs_fit and isinstance(self.reading, AboutMean):
            return super().computes()
        distribution = getattr(self.reading, "distribution", None)
        shape = type(self.reading if distribution is None else distribution).__qualname__
        mean = [f"{of.__module__}.{of.__qualname__}" for of in (type(self).mean, type(self).logits)]
        (options,) = self.made_of
        return {name: value for name, value in options.items() if name != "score"} | {"mean": mean, "read as": shape}

    def set_sigma(self, sigma: float | Tensor) -> None:
        if not self.needs_fit:
            raise ValueError(f"{self.name} read as {self.score} has no σ to be set")
        self.fitted.set_log(one_sigma(sigma))

    def log_sigma(self, raw: Tensor) -> Tensor | None:
        """ln σ, in units of the grey values, that this one is scored with; None where its reading has none."""
        return self.reading.log_sigma(self, raw)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        log_sigma = self.log_sigma(raw)
        return None if log_sigma is None else torch.exp(log_sigma)

    def fit(self, training: Iterable[Seen], levels: int) -> None:
        self.reading.fit(self, training, levels)

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        return self.reading.residual_statistic(self, x, raw)

    def set_residual_statistic(self, average: Tensor) -> None:
        self.reading.set_residual_statistic(self, average)


def _in_unit_view(mean: Tensor, log_sigma: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Location and ln σ carried from grey values g to the unit view's y = (g (K−1) + ½)/K."""
    return (mean * (levels - 1) + 0.5) / levels, log_sigma + math.log((levels - 1) / levels)
