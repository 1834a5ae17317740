"""Laws that every likelihood obeys, as functions that raise: what a plug-in is checked by on loading.

Each takes one setting of a family, which makes the likelihood anew for K levels, and raises LawBroken with what was
found and a remedy. They are quick (half a second for all of them, `check`); the tests hold the shipped families to the
same laws and to sharper ones besides. What a trained decoder gives is looked at where it is scored (`where_used`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vae_core.laws.alone import (
    REMEDY_PART,
    REMEDY_SHAPE,
    an_image_is_scored_alone,
    scoring_changes_nothing,
    what_is_learned_is_held_in_parts,
)
from vae_core.laws.setting import (
    LawBroken,
    Setting,
    at_17_levels,
    earlier,
    every_level,
    levels_of,
    masses,
    raw_outputs,
    seen,
    sized,
)
from vae_core.likelihoods import Likelihood, stack


def masses_are_given_for_each_dimension(make: Setting) -> None:
    """log_masses is [..., D], log_mass its sum; ln P(k_d) changes with no other dimension's level."""
    for levels in levels_of(make(2)):
        lik = make(levels)
        dims = sized(lik, 3)
        raw = raw_outputs(lik, dims, 4 * 2, "random").reshape(4, 2, -1)
        k = torch.randint(levels, (4, 1, dims), generator=torch.Generator().manual_seed(5))
        each = lik.log_masses(k, raw, levels).detach()
        if each.shape != (4, 2, dims):
            raise LawBroken(
                f"log_masses of data [4, 1, {dims}] and raw [4, 2, R] has shape {list(each.shape)}, not [4, 2, {dims}]",
                "give the dimensions' own, not their sum: log_mass sums them",
            )
        if not torch.allclose(each.sum(-1), lik.log_mass(k, raw, levels).detach(), rtol=1e-5, atol=1e-5):
            raise LawBroken(
                f"log_mass is not the sum of log_masses over dimensions, at {levels} levels",
                "leave out _sum_log_masses, or mend it",
            )
        may = earlier(lik, dims)
        for dim in range(dims):
            others = torch.where(may[dim], k, (levels - 1) - k)
            if not torch.allclose(lik.log_masses(others, raw, levels).detach()[..., dim], each[..., dim], 1e-5, 1e-5):
                raise LawBroken(
                    f"the mass of dimension {dim + 1} of {dims} changes with the levels of "
                    + ("later channels or other pixels" if lik.couples_channels else "the others"),
                    "given z the dimensions are independent: take k_d alone for dimension d; a family that couples "
                    "the channels of a pixel says couples_channels = True, and takes the earlier ones alone",
                )


def masses_sum_to_one(make: Setting) -> None:
    """Σ_k P(k_d = k) = 1 in each of two dimensions in float32, within 1e-5 at random and extreme raw outputs, within
    1e-4 at wide ones, as where masses are used."""
    for levels in levels_of(make(2)):
        lik = make(levels)
        for kind, rows, within in (("random", 50, 1e-5), ("extreme", 50, 1e-5), ("wide", 100, 1e-4)):
            # a pixel of a density whose channels are coupled has three, and each mass is an integral over all of them
            pixels, some = (1, rows // 10) if lik.couples_channels and lik.has_density else (2, rows)
            dims = sized(lik, pixels)
            found = every_level(lik, raw_outputs(lik, dims, some, kind), levels, dims)
            total = found.double().logsumexp(1).exp().flatten()
            worst = total[(total - 1).abs().argmax()] if torch.isfinite(total).all() else torch.tensor(math.nan)
            if not abs(float(worst) - 1) < within:
                raise LawBroken(
                    f"over {levels} levels they sum to {float(worst):.6g} ({kind} raw outputs)",
                    _to_sum_to_one(lik, float(worst)),
                )


def _to_sum_to_one(lik: Likelihood, total: float) -> str:
    if not math.isfinite(total):
        return "compute in log space (logsumexp, logsigmoid, log1p), so that nothing overflows"
    if total > 1:
        return "subtract the ln of what they sum to, or the term of the normaliser that is missing"
    if lik.view == "real":
        return (
            "open the ends: let the mass of level 0 reach down to −∞ and that of level K−1 up to +∞, as "
            "vae_core/likelihoods/_location_scale.py does, or divide by what lies within [0, 1]"
        )
    return "subtract the ln of what they sum to: some level lacks its share, or lies outside of the support"


def values_and_gradients_are_finite(make: Setting) -> None:
    """ln P(k), ln p(x) and their gradients with respect to the raw output, at random and extreme raw outputs."""
    levels = levels_of(make(2))[-1]
    lik = make(levels)
    for kind in ("random", "extreme"):
        dims = sized(lik, 5)
        raw = raw_outputs(lik, dims, 40, kind).requires_grad_()
        k = torch.randint(levels, (40, dims), generator=torch.Generator().manual_seed(1))
        x = seen(lik, k, levels)
        for name, score in (("log_mass", lik.log_mass(k, raw, levels)), ("log_prob", lik.log_prob(x, raw))):
            if not torch.isfinite(score).all():
                raise LawBroken(f"{name} is not finite at {kind} raw outputs", _FINITE)
            if not torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all():
                raise LawBroken(f"the gradient of {name} is not finite at {kind} raw outputs", _FINITE)


def single_precision_agrees_with_double(make: Setting) -> None:
    """ln P(k) in float32 within 1e-4 relative of float64."""
    levels = levels_of(make(2))[-1]
    lik = make(levels)
    dims = sized(lik, 20)
    raw = raw_outputs(lik, dims, 100, "random")
    k = torch.randint(levels, (100, dims), generator=torch.Generator().manual_seed(2))
    single = lik.log_mass(k, raw, levels).detach().double()
    double = lik.log_mass(k, raw.double(), levels).detach()
    off = float(((single - double).abs() / (double.abs() + 0.1)).max())
    if not off < 1e-4:
        raise LawBroken(
            f"log_mass in float32 differs from float64 by {off:.2g} relative",
            "replace a difference of nearly equal numbers: expm1, log1p, or ln(1 − e^−x) "
            "(vae_core/likelihoods/_log1mexp.py); make constants in raw's dtype",
        )


def masses_are_integrals_of_the_density(make: Setting) -> None:
    """P(k) = ∫ over the bin of the density, by Gauss–Legendre on 64 pieces a bin.

    Inner bins only: an end bin may be open, or its density have a pole on the edge; what it holds follows from the sum.
    """
    lik, levels = at_17_levels(make)
    if not lik.has_density or lik.couples_channels or levels == 2:
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
        raise LawBroken(
            f"the mass of level {worst + 1} of {levels} is off by {float(off[worst]):.2g}",
            "let log_masses be ln of the integral of the density over [k/K, (k+1)/K]; one of the two has another "
            "scale, link or Jacobian",
        )


def masses_are_at_least_the_dequantised_bound(make: Setting) -> None:
    """ln P(k) ≥ E_u ln p((k+u)/K) − ln K (Theis et al. 2016, eq. 6)."""
    lik, levels = at_17_levels(make)
    if not lik.has_density or lik.couples_channels:
        return
    raw = raw_outputs(lik, 1, 20, "random", torch.float64)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    inside = torch.as_tensor(0.5 * (nodes + 1))
    y = ((torch.arange(levels).unsqueeze(1) + inside) / levels).reshape(1, -1, 1)
    density = lik.log_density(y.expand(len(raw), -1, -1), raw.unsqueeze(1), levels).detach()
    bound = (density.reshape(len(raw), levels, -1) * torch.as_tensor(0.5 * weights)).sum(-1) - math.log(levels)
    short = (bound - masses(lik, raw, levels)).amax(0)
    if not float(short.max()) < 1e-3:
        raise LawBroken(
            f"the mass of level {int(short.argmax())} of {levels} is {float(short.max()):.2g} nats below",
            "let log_masses be ln of the integral of the density over [k/K, (k+1)/K], at the end levels too",
        )


def samples_follow_the_masses(make: Setting) -> None:
    """Frequencies of 20,000 draws, seen as levels, against P(k): no level off by more than 6 standard errors. Of a
    family that couples channels against the mean of P(k_c | the earlier ones) over the draws' own earlier ones."""
    levels = 5 if make(2).view != "binary" else 2
    lik = make(levels)
    dims = sized(lik, 1)
    raw = raw_outputs(lik, dims, 1, "random")
    draws = lik.sample(raw.expand(20_000, -1), torch.Generator().manual_seed(3)).detach()
    k = lik.level_of(draws, levels)
    if int(k.min()) < 0 or int(k.max()) >= levels:
        raise LawBroken(
            f"sample gives level {int(k.max() if int(k.max()) >= levels else k.min())}, beyond 0…{levels - 1}",
            f"let sample stay within 0…K−1 = {levels - 1}, or clamp in level_of",
        )
    frequency = torch.stack([torch.bincount(k[:, dim], minlength=levels) for dim in range(dims)], 1).double() / len(k)
    given, times = k.unique(dim=0, return_counts=True) if lik.couples_channels else (k[:1], torch.ones(1))
    each = every_level(lik, raw.expand(len(given), -1), levels, dims, held=given).double().exp()
    expected = (each * (times / times.sum()).double().reshape(-1, 1, 1)).sum(0)
    error = (expected * (1 - expected) / len(k)).sqrt() + 1e-4
    off = float(((frequency - expected).abs() / error).max())
    if not off < 6:
        raise LawBroken(
            f"a level's frequency is {off:.0f} standard errors off",
            "draw from what log_masses says, in the family's own view; level_of gives a draw its level",
        )


def a_stack_scores_as_its_members(make: Setting) -> None:
    """Three models of different scale, stacked, give what each gives alone; broadcasting over samples changes nothing.

    Where the key of a stack tells the three apart, they are never put into one: then three equal ones are.
    """
    levels = levels_of(make(2))[0]
    members = [make(levels, member) for member in range(3)]
    if len({repr(lik.stack_key()) for lik in members}) > 1:
        members = [make(levels) for _ in range(3)]
    if len({repr(lik.stack_key()) for lik in members}) > 1:
        raise LawBroken(
            "two models of equal options cannot be stacked: an attribute of one is not the other's", REMEDY_PART
        )
    dims = {sized(member, 4) for member in members}.pop()
    stacked = stack(members)
    raw = raw_outputs(members[0], dims, 3 * 5 * 2, "random").reshape(3, 5, 2, -1)
    k = torch.randint(levels, (3, 5, 1, dims), generator=torch.Generator().manual_seed(4))
    x = seen(members[0], k, levels)
    scores: dict[str, tuple[Tensor, Callable[[Likelihood, Tensor, Tensor], Tensor]]] = {
        "log_mass": (k, lambda lik, data, raw: lik.log_mass(data, raw, levels)),
        "log_prob": (x, lambda lik, data, raw: lik.log_prob(data, raw)),
    }
    for name, (data, score) in scores.items():
        together = score(stacked, data, raw).detach()
        if together.shape != (3, 5, 2):
            raise LawBroken(
                f"{name} of data [3, 5, 1, D] and raw [3, 5, 2, R] has shape {list(together.shape)}, not [3, 5, 2]",
                REMEDY_SHAPE,
            )
        alone = torch.stack([score(lik, data[m], raw[m]).detach() for m, lik in enumerate(members)])
        if not torch.allclose(together, alone, rtol=1e-4, atol=1e-4):
            raise LawBroken(
                f"{name} of the stack is not what each model gives alone",
                "keep what differs between models in a Part, an attribute of its own, whose stack gives it the axis M",
            )


_FINITE = (
    "compute in log space (logsigmoid, softplus, log1p), and clamp what torch.where does not take, or its NaN enters "
    "the gradient"
)

LAWS: tuple[Callable[[Setting], None], ...] = (
    masses_are_given_for_each_dimension,
    masses_sum_to_one,
    values_and_gradients_are_finite,
    single_precision_agrees_with_double,
    masses_are_integrals_of_the_density,
    masses_are_at_least_the_dequantised_bound,
    samples_follow_the_masses,
    a_stack_scores_as_its_members,
    an_image_is_scored_alone,
    scoring_changes_nothing,
    what_is_learned_is_held_in_parts,
)
