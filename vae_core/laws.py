"""Laws that every likelihood obeys, as functions that raise: what a plug-in is checked by on loading.

Each takes one setting of a family, which makes the likelihood anew for K levels, and raises LawBroken with what was
found. They are quick (half a second for all of them); the tests hold the shipped families to the same laws and to
sharper ones besides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core.likelihoods import Likelihood, stack
from vae_core.likelihoods._plugins import undeclared

LEVELS = (2, 17, 256)


class LawBroken(ValueError):
    """A likelihood that is none: the message says which law it breaks, and where."""


@dataclass(frozen=True)
class Setting:
    """A family at one setting of its options.

    Calling it gives the likelihood for K levels, learned scalars set so that it can be used at once; members 0, 1, 2 of
    a stack differ in their scale.
    """

    family: type[Likelihood]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.options.items()) or "no options"

    def __call__(self, levels: int, member: int = 0) -> Likelihood:
        apart = 1.0 + 0.5 * member
        options = dict(self.options) | ({"levels": levels} if self.family.takes_levels else {})
        if isinstance(options.get("sigma"), float):
            options["sigma"] *= apart
        lik = self.family(**options)
        lik.initialise(0.2 * apart)
        if lik.needs_fit or options.get("sigma") == "optimal":
            lik.set_residual_statistic(torch.tensor(0.04 * apart))
        return lik


def settings(family: type[Likelihood]) -> Iterator[Setting]:
    """The family at each of its examples, the first of them with each kind of scale that it takes."""
    for index, example in enumerate(family.examples):
        if not family.takes_sigma:
            yield Setting(family, example)
            continue
        for sigma in (0.02, 0.3, 2.0, *family.sigma_modes) if index == 0 else (0.1,):
            yield Setting(family, {"sigma": sigma, **example})


def check(family: type[Likelihood]) -> None:
    """Holds a family to all laws at all its settings. Raises LawBroken for the first that it breaks."""
    if missing := undeclared(family):
        raise LawBroken(f"{family.name} {missing}")
    for setting in settings(family):
        for law in LAWS:
            named = f"{family.name} ({setting}) breaks the law '{law.__name__.replace('_', ' ')}'"
            try:
                law(setting)
            except LawBroken as broken:
                raise LawBroken(f"{named}: {broken}") from None
            except Exception as error:  # a plug-in may raise anything
                said = " ".join(str(error).split())
                raise LawBroken(f"{named}: {type(error).__name__}: {said}") from error


def levels_of(lik: Likelihood) -> tuple[int, ...]:
    """The numbers of levels that a likelihood can score."""
    return (2,) if lik.view == "binary" else LEVELS


def raw_outputs(
    lik: Likelihood, dims: int, rows: int, kind: str, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Tensor:
    """Raw outputs [rows, R]: "random" as a network gives them, or "extreme" (±50 and 0 mixed)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, lik.outputs(dims))
    if kind == "random":
        return torch.randn(shape, generator=generator, dtype=dtype)
    picks = torch.tensor([-50.0, 50.0, 0.0, 1e-4, -20.0, 7.0], dtype=dtype)
    return picks[torch.randint(len(picks), shape, generator=generator)]


def masses(lik: Likelihood, raw: Tensor, levels: int) -> Tensor:
    """ln P(k) of every level for one dimension: raw [rows, R(1)] -> [rows, levels]."""
    return _every_level(lik, raw, levels, 1).squeeze(-1)


def _every_level(lik: Likelihood, raw: Tensor, levels: int, dims: int) -> Tensor:
    """ln P(k) of every level for every dimension: raw [rows, R(D)] -> [rows, levels, D]."""
    k = torch.arange(levels).reshape(1, levels, 1).expand(len(raw), -1, dims)
    return lik.log_masses(k, raw.unsqueeze(1).expand(-1, levels, -1), levels).detach()


def masses_are_given_for_each_dimension(make: Setting) -> None:
    """log_masses is [..., D], log_mass its sum; ln P(k_d) changes with no other dimension's level."""
    levels = levels_of(make(2))[0]
    lik = make(levels)
    raw = raw_outputs(lik, 3, 4 * 2, "random").reshape(4, 2, -1)
    k = torch.randint(levels, (4, 1, 3), generator=torch.Generator().manual_seed(5))
    each = lik.log_masses(k, raw, levels).detach()
    if each.shape != (4, 2, 3):
        raise LawBroken(
            f"log_masses of data [4, 1, 3] and raw [4, 2, R] has shape {list(each.shape)}, not [4, 2, 3]: give the "
            "dimensions' own, not their sum"
        )
    if not torch.allclose(each.sum(-1), lik.log_mass(k, raw, levels).detach(), rtol=1e-5, atol=1e-5):
        raise LawBroken("log_mass is not the sum of log_masses over dimensions")
    for dim in range(3):
        others = (levels - 1) - k
        others[..., dim] = k[..., dim]
        if not torch.allclose(lik.log_masses(others, raw, levels).detach()[..., dim], each[..., dim], 1e-5, 1e-5):
            raise LawBroken(f"the mass of dimension {dim + 1} of 3 changes with the levels of the others")


def masses_sum_to_one(make: Setting) -> None:
    """Σ_k P(k_d = k) = 1 in each of two dimensions, within 1e-5 in float32, at random and extreme raw outputs."""
    for levels in levels_of(make(2)):
        lik = make(levels)
        for kind in ("random", "extreme"):
            total = _every_level(lik, raw_outputs(lik, 2, 50, kind), levels, 2).double().logsumexp(1).exp().flatten()
            worst = total[(total - 1).abs().argmax()] if torch.isfinite(total).all() else torch.tensor(math.nan)
            if not abs(float(worst) - 1) < 1e-5:
                raise LawBroken(f"over {levels} levels they sum to {float(worst):.6g} ({kind} raw outputs)")


def values_and_gradients_are_finite(make: Setting) -> None:
    """ln P(k), ln p(x) and their gradients with respect to the raw output, at random and extreme raw outputs."""
    levels = levels_of(make(2))[-1]
    lik = make(levels)
    for kind in ("random", "extreme"):
        raw = raw_outputs(lik, 5, 40, kind).requires_grad_()
        k = torch.randint(levels, (40, 5), generator=torch.Generator().manual_seed(1))
        x = _seen(lik, k, levels)
        for name, score in (("log_mass", lik.log_mass(k, raw, levels)), ("log_prob", lik.log_prob(x, raw))):
            if not torch.isfinite(score).all():
                raise LawBroken(f"{name} is not finite at {kind} raw outputs")
            if not torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all():
                raise LawBroken(f"the gradient of {name} is not finite at {kind} raw outputs")


def single_precision_agrees_with_double(make: Setting) -> None:
    """ln P(k) in float32 within 1e-4 relative of float64."""
    levels = levels_of(make(2))[-1]
    lik = make(levels)
    raw = raw_outputs(lik, 20, 100, "random")
    k = torch.randint(levels, (100, 20), generator=torch.Generator().manual_seed(2))
    single = lik.log_mass(k, raw, levels).detach().double()
    double = lik.log_mass(k, raw.double(), levels).detach()
    off = float(((single - double).abs() / (double.abs() + 0.1)).max())
    if not off < 1e-4:
        raise LawBroken(f"log_mass in float32 differs from float64 by {off:.2g} relative")


def masses_are_integrals_of_the_density(make: Setting) -> None:
    """P(k) = ∫ over the bin of the density, by Gauss–Legendre on 64 pieces a bin.

    Inner bins only: an end bin may be open, or its density have a pole on the edge; what it holds follows from the sum.
    """
    lik, levels = _at_17_levels(make)
    if not lik.has_density or levels == 2:
        return
    raw = raw_outputs(lik, 1, 20, "random", torch.float64)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    pieces = 64
    edges = np.arange(pieces * levels) / (pieces * levels)
    y = torch.as_tensor(edges[:, None] + 0.5 * (nodes + 1) / (pieces * levels)).reshape(1, -1, 1)
    density = lik.log_density(y.expand(len(raw), -1, -1), raw.unsqueeze(1), levels).detach().exp()
    weight = torch.as_tensor(np.tile(0.5 * weights / (pieces * levels), pieces * levels))
    area = (density * weight).reshape(len(raw), levels, -1).sum(-1)
    off = (masses(lik, raw, levels).exp() - area).abs().amax(0)[1:-1]
    worst = int(off.argmax()) if torch.isfinite(off).all() else int((~torch.isfinite(off)).double().argmax())
    if not float(off[worst]) < 1e-3:
        raise LawBroken(f"the mass of level {worst + 1} of {levels} is off by {float(off[worst]):.2g}")


def masses_are_at_least_the_dequantised_bound(make: Setting) -> None:
    """ln P(k) ≥ E_u ln p((k+u)/K) − ln K (Theis et al. 2016, eq. 6)."""
    lik, levels = _at_17_levels(make)
    if not lik.has_density:
        return
    raw = raw_outputs(lik, 1, 20, "random", torch.float64)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    inside = torch.as_tensor(0.5 * (nodes + 1))
    y = ((torch.arange(levels).unsqueeze(1) + inside) / levels).reshape(1, -1, 1)
    density = lik.log_density(y.expand(len(raw), -1, -1), raw.unsqueeze(1), levels).detach()
    bound = (density.reshape(len(raw), levels, -1) * torch.as_tensor(0.5 * weights)).sum(-1) - math.log(levels)
    short = (bound - masses(lik, raw, levels)).amax(0)
    if not float(short.max()) < 1e-3:
        raise LawBroken(f"the mass of level {int(short.argmax())} of {levels} is {float(short.max()):.2g} nats below")


def samples_follow_the_masses(make: Setting) -> None:
    """Frequencies of 20,000 draws, seen as levels, against P(k): no level off by more than 6 standard errors."""
    levels = 5 if make(2).view != "binary" else 2
    lik = make(levels)
    raw = raw_outputs(lik, 1, 1, "random")
    draws = lik.sample(raw.expand(20_000, -1), torch.Generator().manual_seed(3)).detach()
    k = lik.level_of(draws, levels).flatten()
    seen = torch.bincount(k, minlength=levels).double() / len(k)
    expected = masses(lik, raw, levels).double().exp()[0]
    error = (expected * (1 - expected) / len(k)).sqrt() + 1e-4
    off = float(((seen - expected).abs() / error).max())
    if not off < 6:
        raise LawBroken(f"a level's frequency is {off:.0f} standard errors off")


def a_stack_scores_as_its_members(make: Setting) -> None:
    """Three models of different scale, stacked, give what each gives alone; broadcasting over samples changes nothing.

    Where the key of a stack tells the three apart, they are never put into one: then three equal ones are.
    """
    levels = levels_of(make(2))[0]
    members = [make(levels, member) for member in range(3)]
    if len({repr(lik.stack_key()) for lik in members}) > 1:
        members = [make(levels) for _ in range(3)]
    stacked = stack(members)
    raw = raw_outputs(members[0], 4, 3 * 5 * 2, "random").reshape(3, 5, 2, -1)
    k = torch.randint(levels, (3, 5, 1, 4), generator=torch.Generator().manual_seed(4))
    x = _seen(members[0], k, levels)
    scores: dict[str, tuple[Tensor, Callable[[Likelihood, Tensor, Tensor], Tensor]]] = {
        "log_mass": (k, lambda lik, data, raw: lik.log_mass(data, raw, levels)),
        "log_prob": (x, lambda lik, data, raw: lik.log_prob(data, raw)),
    }
    for name, (data, score) in scores.items():
        together = score(stacked, data, raw).detach()
        if together.shape != (3, 5, 2):
            raise LawBroken(
                f"{name} of data [3, 5, 1, D] and raw [3, 5, 2, R] has shape {list(together.shape)}, not [3, 5, 2]"
            )
        alone = torch.stack([score(lik, data[m], raw[m]).detach() for m, lik in enumerate(members)])
        if not torch.allclose(together, alone, rtol=1e-4, atol=1e-4):
            raise LawBroken(f"{name} of the stack is not what each model gives alone")


def _at_17_levels(make: Setting) -> tuple[Likelihood, int]:
    """The likelihood for 17 levels, or for 2 in the binary view."""
    levels = 2 if make(2).view == "binary" else 17
    return make(levels), levels


def _seen(lik: Likelihood, k: Tensor, levels: int) -> Tensor:
    """Integer levels as float data in the likelihood's own view, without noise."""
    return k.float() if lik.view in ("levels", "binary") else (k + 0.5) / levels


LAWS: tuple[Callable[[Setting], None], ...] = (
    masses_are_given_for_each_dimension,
    masses_sum_to_one,
    values_and_gradients_are_finite,
    single_precision_agrees_with_double,
    masses_are_integrals_of_the_density,
    masses_are_at_least_the_dequantised_bound,
    samples_follow_the_masses,
    a_stack_scores_as_its_members,
)
