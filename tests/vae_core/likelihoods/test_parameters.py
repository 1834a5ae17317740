"""Raw outputs built from the parameters that people have: exact against mpmath, exact as an inverse, and refused where
they are wrong."""

from __future__ import annotations

import math
import zlib
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.natural import DIGITS, NATURAL, Draw, all_options, at, tensors
from vae_core import likelihoods

ROWS, DIMS = 8, 3
LIMIT = {torch.float64: 1e-9, torch.float32: 1e-4}
BOTH = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def shipped() -> list[str]:
    return [name for name in likelihoods.names() if name not in likelihoods.plugins()]


def cases() -> list[Any]:
    return [
        pytest.param(name, options, id="-".join([name, *(f"{key}={value}" for key, value in options.items())]))
        for name in shipped()
        for options in all_options(name)
    ]


def drawn_for(name: str, options: dict[str, Any], levels: int, dtype: torch.dtype) -> dict[str, Any]:
    """Random natural parameters of a family, tensors of this type."""
    rng = np.random.default_rng(zlib.crc32(repr((name, options, levels)).encode()))
    draw = Draw(rng, ROWS, DIMS, levels, dtype == torch.float64, options)
    return tensors(NATURAL[name].draw(draw), dtype)


def with_parameters(lik: Any, given: dict[str, Any]) -> Tensor:
    """Raw outputs of them; what is no raw output is set on the likelihood, by its own name."""
    given = dict(given)
    if "df" in given:
        df = given.pop("df")
        if isinstance(df, Tensor):
            lik.set_df(df)
    if "sigma" in given and not (hasattr(lik, "scale") and lik.scale.mode in ("image", "pixel")):
        sigma = given.pop("sigma")
        if isinstance(sigma, Tensor):
            lik.set_sigma(sigma)
    raw: Tensor = lik.raw(**given)
    return raw


def levels_for(name: str, options: dict[str, Any]) -> int:
    return 2 if likelihoods.get(name).view == "binary" else (17, 256)[len(str(options)) % 2]


def made(name: str, options: dict[str, Any], levels: int, dtype: torch.dtype) -> Any:
    told = {"levels": levels} if likelihoods.get(name).takes_levels else {}
    return likelihoods.make(name, **options, **told).to(dtype)


def error(found: Tensor, exact: np.ndarray, size: np.ndarray | None = None) -> float:
    """The largest |error|, in nats, relative where the numbers are large."""
    scale = np.maximum(1, np.abs(exact) if size is None else size)
    return float((np.abs(found.detach().double().numpy() - exact) / scale).max())


@BOTH
@pytest.mark.parametrize(("name", "options"), cases())
def test_masses_and_densities_of_natural_parameters_are_those_of_mpmath(
    name: str, options: dict[str, Any], dtype: torch.dtype
) -> None:
    levels = levels_for(name, options)
    given = drawn_for(name, options, levels, dtype)
    lik = made(name, options, levels, dtype)
    raw = with_parameters(lik, given)
    assert raw.dtype == dtype
    assert raw.shape == (ROWS, lik.outputs(DIMS))

    generator = torch.Generator().manual_seed(levels)
    k = torch.randint(0, levels, (ROWS, DIMS), generator=generator)
    k[0], k[1] = 0, levels - 1
    likely = lik.level_of(lik.mean(raw), levels).clamp(0, levels - 1)
    k[ROWS // 2 :] = likely[ROWS // 2 :]
    x = 0.001 + 0.998 * torch.rand((ROWS, DIMS), generator=generator)
    natural = NATURAL[name]
    masses, densities = np.zeros((ROWS, DIMS)), np.zeros((ROWS, DIMS))
    with mpmath.workdps(DIGITS):
        for where in np.ndindex(ROWS, DIMS):
            p = at(name, given, options, where, (ROWS, DIMS))
            masses[where] = float(mpmath.log(natural.mass(int(k[where]), levels, p, options)))
            if natural.density is None:
                densities[where] = masses[where]
            else:
                densities[where] = float(mpmath.log(natural.density(mpmath.mpf(float(x[where])), p, options)))

    limit = LIMIT[dtype]
    assert error(lik.log_masses(k, raw, levels), masses) < limit
    assert error(lik.log_mass(k, raw, levels), masses.sum(-1), np.maximum(1, np.abs(masses)).sum(-1)) < limit
    data = (k if natural.density is None else x).to(dtype)
    assert error(lik.log_prob(data, raw), densities.sum(-1), np.maximum(1, np.abs(densities)).sum(-1)) < limit
