"""raw() is the inverse of how raw outputs are read, over the whole range: next to floors and ceilings too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.vae_core.likelihoods.natural import NATURAL
from vae_core import likelihoods
from vae_core.likelihoods import beta, beta_binomial, kumaraswamy, logistic_mixture
from vae_core.likelihoods._scale import FINEST, FLOOR_OF_A_BIN, SHARPNESS, make_scale

BOTH = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
LEVELS = 17

#: two numbers in [−1, 1] that say where in its range a parameter lies, and how near an end: as powers of ten
PLACE = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


def towards(place: float, low: float, high: float, least: float) -> float:
    """A number in (low, high) by a place in [−1, 1], evenly in the logarithm of its distance, least or more as a share
    of the whole, from the end that the sign of the place names."""
    share = least ** abs(place) / 2
    return low + (high - low) * share if place < 0 else high - (high - low) * share


def chance(place: float, least: float) -> float:
    """A probability, next to 0 at −1, next to 1 at 1."""
    return towards(place, 0.0, 1.0, least)


@dataclass(frozen=True)
class Inverse:
    """How a family's parameters are drawn from places in [−1, 1] and the distance that a float type tells, and how they
    are read back from raw outputs: both as numbers whose error is a multiple of the type's last digit."""

    options: dict[str, Any]
    draw: Callable[[tuple[float, float], float], dict[str, float]]
    read: Callable[[Any, Tensor], dict[str, Tensor]]


def _of_line(place: tuple[float, float], eps: float) -> dict[str, float]:
    floor = math.log(1 / (64 * LEVELS))
    far = floor + 10.0 ** (place[1] * 4 if place[1] > 0 else place[1] * -math.log10(64 * eps))
    return {"mean": math.copysign(10.0 ** (6 * abs(place[0])) - 1, place[0]), "log_sigma": min(far, 80.0)}


def _of_sigmoid(place: tuple[float, float], eps: float) -> dict[str, float]:
    return {"mean": chance(place[0], 4 * eps), "log_sigma": _of_line(place, eps)["log_sigma"]}


def _read_line(lik: Any, raw: Tensor) -> dict[str, Tensor]:
    location, log_sigma = lik._split(raw) if hasattr(lik, "_split") else lik.scale.split(raw)
    return {"mean": location, "log_sigma": log_sigma}


def _of_beta(place: tuple[float, float], eps: float) -> dict[str, float]:
    """α and β as near their floor, and their sum as near its ceiling, as the type tells."""
    total = 10 ** towards(place[1], -6, math.log10(beta.CEILING), eps) * (1 - 64 * eps)
    mean, least = chance(place[0], 1e-6), 8 * eps * beta.FLOOR
    return {"alpha": beta.FLOOR + max(total * mean, least), "beta": beta.FLOOR + max(total * (1 - mean), least)}


def _of_kumaraswamy(place: tuple[float, float], eps: float) -> dict[str, float]:
    a, b = kumaraswamy._WIDEST_A, kumaraswamy._WIDEST_B
    return {"log_a": towards(place[0], -a, a, 16 * eps), "log_b": towards(place[1], -b, b, 16 * eps)}


def _of_beta_binomial(place: tuple[float, float], eps: float) -> dict[str, float]:
    w = beta_binomial._WIDEST
    total, mean = 2 * math.exp(towards(place[1], -w, w, 64 * eps)), chance(place[0], 1e-6)
    return {"alpha": total * mean, "beta": total * (1 - mean)}


def _read_beta_binomial(lik: Any, raw: Tensor) -> dict[str, Tensor]:
    log_mean, log_rest, log_total = lik._split(raw)
    return {"alpha": (log_mean + log_total).exp(), "beta": (log_rest + log_total).exp()}


def _of_mixture(place: tuple[float, float], eps: float) -> dict[str, float]:
    low = logistic_mixture._LOG_FLOOR - math.log(LEVELS)
    high = logistic_mixture._LOG_CEILING - math.log(LEVELS)
    return {"weights": 1.0, "mean": place[0] * 3, "log_scale": towards(place[1], low, high, 64 * eps)}


def _read_mixture(lik: Any, raw: Tensor) -> dict[str, Tensor]:
    logits, location, log_scale = lik._split(raw)
    return {
        "weights": logits.softmax(-2)[0],
        "mean": location[0] / LEVELS,
        "log_scale": log_scale[0] - math.log(LEVELS),
    }


def _of_probs(place: tuple[float, float], eps: float) -> dict[str, float]:
    return {"probs": chance(place[0], 4 * eps)}


def _of_mean(place: tuple[float, float], eps: float) -> dict[str, float]:
    return {"mean": 1e6 * place[0]}


def _read_probs(lik: Any, raw: Tensor) -> dict[str, Tensor]:
    return {"probs": torch.sigmoid(raw)}


COIN = Inverse({}, _of_probs, _read_probs)
SCALE = {"sigma": "pixel", "levels": LEVELS}
INVERSES: dict[str, tuple[Inverse, ...]] = {
    **dict.fromkeys(
        ("gaussian", "laplace", "logistic", "student_t", "truncated_gaussian"),
        (Inverse(SCALE, _of_line, _read_line), Inverse(SCALE | {"link": "sigmoid"}, _of_sigmoid, _read_line)),
    ),
    "logit_normal": (Inverse(SCALE, _of_line, _read_line),),
    "beta": (Inverse({}, _of_beta, lambda lik, raw: dict(zip(("alpha", "beta"), lik._split(raw), strict=True))),),
    "kumaraswamy": (
        Inverse({}, _of_kumaraswamy, lambda lik, raw: dict(zip(("log_a", "log_b"), lik._split(raw), strict=True))),
    ),
    "beta_binomial": (Inverse({"levels": LEVELS}, _of_beta_binomial, _read_beta_binomial),),
    "logistic_mixture": (Inverse({"levels": LEVELS, "components": 1}, _of_mixture, _read_mixture),),
    "binomial": (Inverse({"levels": LEVELS}, _of_probs, _read_probs),),
    **dict.fromkeys(("bernoulli", "continuous_bernoulli", "bce_sum", "bce_mean"), (COIN,)),
    **dict.fromkeys(("mse_sum", "mse_mean", "beta_mse"), (Inverse({}, _of_mean, lambda _, raw: {"mean": raw}),)),
}
#: of which a parameter is a vector: beneath
OTHERS = {"categorical"}


def test_every_family_s_inverse_is_looked_at() -> None:
    assert set(INVERSES) | OTHERS == set(NATURAL)


@BOTH
@pytest.mark.parametrize(
    ("name", "inverse"),
    [
        pytest.param(name, each, id=f"{name}-{index}")
        for name, several in INVERSES.items()
        for index, each in enumerate(several)
    ],
)
@given(place=PLACE)
def test_parameters_are_read_back_from_the_raw_outputs_built_of_them(
    name: str, inverse: Inverse, dtype: torch.dtype, place: tuple[float, float]
) -> None:
    """To a few last digits: of a number, or of one where it is small, since ln σ and the like are logarithms."""
    eps = torch.finfo(dtype).eps
    drawn = inverse.draw(place, eps)
    parameters = {called: torch.tensor([value], dtype=dtype) for called, value in drawn.items()}
    lik = likelihoods.make(name, **inverse.options)
    shape = (1, 1) if name == "logistic_mixture" else (1,)
    raw = lik.raw(**{called: value.reshape(shape) for called, value in parameters.items()})
    assert raw.dtype == dtype
    assert bool(raw.isfinite().all())
    back = inverse.read(lik, raw)
    assert set(back) == set(parameters)
    for called, value in parameters.items():
        least = 1.0 if called.startswith(("log_", "mean")) else 0.0
        off = (back[called] - value).abs() / value.abs().clamp(min=least)
        assert float(off) < 80 * eps, f"{called}={float(value)!r} is read as {float(back[called])!r}"


@BOTH
@given(values=st.lists(st.floats(0, 30), min_size=LEVELS, max_size=LEVELS))
def test_probabilities_of_levels_are_read_back(dtype: torch.dtype, values: list[float]) -> None:
    probs = (-torch.tensor([values], dtype=torch.float64)).softmax(-1).to(dtype)
    raw = likelihoods.make("categorical", levels=LEVELS).raw(probs=probs)
    assert raw.shape == (LEVELS,)
    torch.testing.assert_close(raw.softmax(-1), probs[0], rtol=100 * torch.finfo(dtype).eps, atol=0)
    torch.testing.assert_close(likelihoods.make("categorical", levels=LEVELS).raw(logits=raw.unsqueeze(0)), raw)


def test_weights_of_components_are_read_back() -> None:
    weights = torch.tensor([[0.5], [0.3], [0.2]], dtype=torch.float64)
    lik: Any = likelihoods.make("logistic_mixture", levels=LEVELS, components=3)
    logits, location, log_scale = lik._split(lik.raw(weights=weights, mean=0.25, scale=0.1))
    torch.testing.assert_close(logits.softmax(-2), weights)
    torch.testing.assert_close(location, torch.full((3, 1), 0.25 * LEVELS, dtype=torch.float64))
    torch.testing.assert_close(log_scale, torch.full((3, 1), math.log(0.1 * LEVELS), dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "options", "wide"),
    [
        ("gaussian", {"sigma": "image"}, {"mean": 0.5, "sigma": 0.1}),
        ("gaussian", {"sigma": 0.2}, {"mean": 0.5}),
        ("beta", {}, {"alpha": 2.0, "beta": 3}),
        ("beta_binomial", {"levels": 5}, {"alpha": 2.0, "beta": 3}),
        ("kumaraswamy", {}, {"a": 2.0, "b": 3.0}),
        ("bernoulli", {}, {"probs": 0.25}),
    ],
)
def test_a_number_is_one_for_all_dimensions(name: str, options: dict[str, Any], wide: dict[str, Any]) -> None:
    """It broadcasts against what is given as [..., D]; alone it is of one dimension."""
    lik = likelihoods.make(name, **options)
    assert lik.raw(**wide).shape == (lik.outputs(1),)
    first = next(iter(wide))
    many = lik.raw(**wide | {first: torch.full((4, 3), float(wide[first]))})
    assert many.shape == (4, lik.outputs(3))


@pytest.mark.parametrize("tensor", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_raw_outputs_are_float32_or_the_wider_type_that_is_given(tensor: torch.dtype) -> None:
    given_mean = torch.ones(3, dtype=tensor)
    raw = likelihoods.make("gaussian", sigma="pixel").raw(mean=given_mean, sigma=0.1)
    assert raw.dtype == (torch.float64 if tensor == torch.float64 else torch.float32)


# -- σ: its names, its floor, its map ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", ["image", "pixel"])
@pytest.mark.parametrize("name", [name for name in NATURAL if likelihoods.get(name).takes_sigma])
def test_sigma_is_given_by_each_of_its_names(name: str, sigma: str) -> None:
    lik = likelihoods.make(name, sigma=sigma)
    s = torch.tensor([[0.03], [0.7]], dtype=torch.float64)
    ways = {"sigma": s, "log_sigma": s.log(), "variance": s.square(), "log_variance": s.square().log()}
    each = [lik.raw(mean=torch.full((2, 1), 0.5, dtype=torch.float64), **{way: value}) for way, value in ways.items()]
    for one, other in itertools.pairwise(each):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=0)
    torch.testing.assert_close(each[0][:, 1:].exp(), s, rtol=1e-12, atol=0)


@pytest.mark.parametrize("levels", [2, 17, 256, 1 << 15, 1 << 16, None])
def test_the_floor_of_sigma_is_a_64th_of_a_bin(levels: int | None) -> None:
    floor = math.exp(make_scale("pixel", levels).floor)
    assert floor == pytest.approx(1 / (64 * (levels or 1 << 16)), rel=1e-13)
    assert floor == pytest.approx(FLOOR_OF_A_BIN / (levels or FINEST), rel=1e-13)
    if levels is None:
        assert floor == pytest.approx(2.4e-7, rel=0.01)


@BOTH
@pytest.mark.parametrize("mode", ["image", "pixel", "shared"])
@given(above=st.floats(-200, 200))
def test_a_raw_output_becomes_ln_sigma_by_the_documented_map(mode: str, dtype: torch.dtype, above: float) -> None:
    """ln σ = f + ln(1 + e^{4 (raw − f)})/4, f = ln(1/(64 K)), in extended precision."""
    scale = make_scale(mode, LEVELS)
    raw = torch.tensor([scale.floor + above], dtype=dtype)
    with mpmath.workdps(40):
        f = -mpmath.log(64 * LEVELS)
        exact = float(f + mpmath.log1p(mpmath.exp(4 * (mpmath.mpf(float(raw)) - f))) / 4)
    found = float(scale.from_raw(raw))
    assert found == pytest.approx(exact, rel=8 * torch.finfo(dtype).eps, abs=8 * torch.finfo(dtype).eps)
    assert SHARPNESS == 4


def test_the_map_bends_nothing_that_data_can_tell() -> None:
    """Not in float32's digits at σ of a bin and above; by 6e-5 at an eighth of one."""
    scale = make_scale("pixel", 256)
    for sigma in (1, 2, 10, 256):
        raw = torch.tensor([math.log(sigma / 256)])
        assert float(scale.from_raw(raw)) == pytest.approx(float(raw), rel=1.2e-7, abs=1e-7)
    eighth = torch.tensor([math.log(1 / 8 / 256)], dtype=torch.float64)
    assert float(scale.from_raw(eighth) - eighth) == pytest.approx(6e-5, rel=0.05)
