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
from scipy import stats
from torch import Tensor

from tests.vae_core.likelihoods.in_mpmath import DIGITS
from tests.vae_core.likelihoods.natural import NATURAL, Draw, all_options, at, tensors
from vae_core import likelihoods
from vae_core.likelihoods._scale import GAIN

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
    return 2 if likelihoods.get(name).view == "binary" else (2, 17, 256)[zlib.crc32(repr(options).encode()) % 3]


def made(name: str, options: dict[str, Any], levels: int, dtype: torch.dtype) -> Any:
    told = {"levels": levels} if likelihoods.get(name).takes_levels else {}
    return likelihoods.make(name, **options, **told).to(dtype)


def error(found: Tensor, exact: np.ndarray, size: np.ndarray | None = None) -> float:
    """The largest |error|, in nats, relative where the numbers are large."""
    scale = np.maximum(1, np.abs(exact) if size is None else size)
    return float((np.abs(found.detach().double().numpy() - exact) / scale).max())


def require_exact(name: str, options: dict[str, Any], levels: int, dtype: torch.dtype) -> None:
    """Random parameters of a family, as raw outputs, against mpmath: levels anywhere, at both ends, and likely ones."""
    given = drawn_for(name, options, levels, dtype)
    lik = made(name, options, levels, dtype)
    raw = with_parameters(lik, given)
    assert raw.dtype == dtype
    assert raw.shape == (ROWS, lik.outputs(DIMS))

    generator = torch.Generator().manual_seed(levels)
    k = torch.randint(0, levels, (ROWS, DIMS), generator=generator)
    k[0], k[1] = 0, levels - 1
    k[ROWS // 2 :] = lik.level_of(lik.mean(raw), levels).clamp(0, levels - 1)[ROWS // 2 :]
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

    data = (k if natural.density is None else x).to(dtype)
    sizes, density_sizes = (np.maximum(1, np.abs(each)).sum(-1) for each in (masses, densities))
    assert error(lik.log_masses(k, raw, levels), masses) < LIMIT[dtype]
    assert error(lik.log_mass(k, raw, levels), masses.sum(-1), sizes) < LIMIT[dtype]
    assert error(lik.log_prob(data, raw), densities.sum(-1), density_sizes) < LIMIT[dtype]


def test_every_family_has_its_natural_parameters() -> None:
    assert set(NATURAL) == set(shipped())


@BOTH
@pytest.mark.parametrize(("name", "options"), cases())
def test_masses_and_densities_of_natural_parameters_are_those_of_mpmath(
    name: str, options: dict[str, Any], dtype: torch.dtype
) -> None:
    require_exact(name, options, levels_for(name, options), dtype)


@pytest.mark.parametrize(("name", "options"), [case for case in cases() if "sigma" in case.values[1]])
def test_so_they_are_on_a_lattice_of_15_bits(name: str, options: dict[str, Any]) -> None:
    """In float64: in float32 the place of a level itself is rounded by a five-hundredth of its bin."""
    require_exact(name, options, 1 << 15, torch.float64)


# -- what somebody else's numbers mean -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("log_sigma", [-4.0, -5.0, -6.0])
@pytest.mark.parametrize("levels", [None, 256])
def test_somebody_s_mean_and_log_sigma_are_raw_outputs_as_they_are(
    log_sigma: float, levels: int | None, dtype: torch.dtype
) -> None:
    """Of 784 pixels with 256 levels: a hidden map from raw outputs to ln σ would cost whole nats (it did: 57 at −6)."""
    rng = np.random.default_rng(1)
    mean = torch.tensor(rng.uniform(0.1, 0.9, (4, 784)), dtype=torch.float32)
    k = torch.tensor(np.floor(256 * (mean.double().numpy() + math.exp(log_sigma) * rng.normal(size=(4, 784)))))
    k = k.clamp(0, 255)
    x = (k + torch.tensor(rng.uniform(size=(4, 784)))).div(256).float()
    told = {} if levels is None else {"levels": levels}
    lik = likelihoods.make("gaussian", sigma="pixel", **told)
    raw = torch.cat([mean, torch.full_like(mean, log_sigma)], -1).to(dtype)

    normal = stats.norm(mean.double().numpy(), math.exp(log_sigma))
    density = normal.logpdf(x.double().numpy()).sum(-1)
    edges = [np.where(k == 0, -np.inf, k / 256), np.where(k == 255, np.inf, (k + 1) / 256)]
    right = mean.double().numpy() < (k.numpy() + 0.5) / 256
    mass = np.where(right, normal.sf(edges[0]) - normal.sf(edges[1]), normal.cdf(edges[1]) - normal.cdf(edges[0]))
    # the map to ln σ itself: (1/4) ln(1 + (floor/σ)⁴) a dimension
    bent = 784 * (0.25 * (1 / (64 * 256) / math.exp(log_sigma)) ** 4 if levels else 0)
    for found, exact in ((lik.log_prob(x.to(dtype), raw), density), (lik.log_mass(k, raw, 256), np.log(mass).sum(-1))):
        assert np.abs(found.double().numpy() - exact).max() < 5 * bent + (1e-8 if dtype == torch.float64 else 2e-3)


@pytest.mark.parametrize("sigma", ["shared", "pixel"])
@pytest.mark.parametrize("told", [{}, {"levels": 1 << 15}], ids=["no-levels", "levels"])
def test_a_learned_sigma_reaches_that_of_narrow_data_on_a_fine_lattice(sigma: str, told: dict[str, int]) -> None:
    """15-bit data about 2000 ± 5: 4.377 bits a dimension, where a floor of 0.001 of the range had kept it at 6.4."""
    levels = 1 << 15
    k = torch.tensor(np.random.default_rng(0).normal(2000, 5, (400, 16))).round().long()
    mean = torch.full((16,), 2000.5 / levels)

    def bits(lik: Any, raw: Tensor) -> Tensor:
        return -lik.log_mass(k, raw, levels).mean() / (16 * math.log(2))

    fixed = float(bits(likelihoods.make("gaussian", sigma=5 / levels), mean))
    assert fixed == pytest.approx(4.377, abs=0.03)
    assert float(bits(likelihoods.make("gaussian", sigma=1e-3), mean)) > 6.3
    lik = likelihoods.make("gaussian", sigma=sigma, **told)
    free = torch.zeros(16, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": lik.parameters(), "lr": 0.2 / GAIN}, {"params": [free]}]
    optimiser = torch.optim.Adam(groups, lr=0.2)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.99)
    for _ in range(600):
        optimiser.zero_grad()
        loss = bits(lik, torch.cat([mean, free]) if sigma == "pixel" else mean)
        loss.backward()
        optimiser.step()
        decay.step()
    assert float(loss) < fixed + 1e-3


#: families of one σ, whose masses used to lose their sum in float32 where it is far below a bin
NARROW = [name for name in shipped() if likelihoods.get(name).takes_sigma]


@pytest.mark.parametrize("sigma", [1e-5, 1e-4, 1e-3, 0.01, 0.1])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", NARROW)
def test_masses_sum_to_one_however_narrow_sigma_is(name: str, learned: bool, sigma: float) -> None:
    """In float32, with locations on edges of bins, beside them and anywhere.

    Two bins see the edge between them alike, but for the rounding of half a bin in units of σ. (Rounded apart for each,
    as they were for the logit-normal, edges lose several times as much.)
    """
    levels = 17
    edges = torch.arange(levels + 1) / levels
    near = torch.cat([edges, torch.nextafter(edges, torch.ones(())), edges + 0.3 * sigma, edges - sigma, edges + 0.01])
    mean = near.clamp(1e-3, 1 - 1e-3).reshape(-1, 1)
    half = 0.5 / levels
    if name == "logit_normal":
        mean, half = torch.logit(mean), 0.5 * math.log(2 * 16 / 15)
    lik = likelihoods.make(name, sigma="pixel" if learned else sigma)
    raw = lik.raw(mean=mean, **({"sigma": sigma} if learned else {}))
    masses = lik.log_masses(torch.arange(levels).reshape(-1, 1, 1), raw.unsqueeze(0), levels).exp()
    assert float((masses.double().sum(0) - 1).abs().max()) < 2e-6 + 2**-24 * half / sigma
