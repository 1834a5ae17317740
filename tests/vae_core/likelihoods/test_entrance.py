"""What a likelihood refuses, each with a sentence whose advice works; and that it refuses nothing that is right, nor
looks at anything where it was told not to. It is one file: what is refused is read against what is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases, raw_for
from vae_core import likelihoods
from vae_core.evaluate import log_likelihood
from vae_core.laws.setting import seen
from vae_core.likelihoods import Likelihood, stack

ALL = cases()
#: two settings of each family that has as many
SOME = sorted(set({c.family: c for c in ALL}.values()) | set({c.family: c for c in reversed(ALL)}.values()), key=str)
ROWS, DIMS, LEVELS = 3, 6, 17


@dataclass
class Given:
    """A likelihood with what it takes."""

    lik: Likelihood
    levels: int
    k: Tensor  #: [ROWS, DIMS]
    x: Tensor  #: the same in its own view
    raw: Tensor  #: [ROWS, R]

    @property
    def view(self) -> str:
        return self.lik.view

    def call(self, data: Any, raw: Any = None) -> Tensor:
        return self.lik.log_prob(data, self.raw if raw is None else raw)

    def mass(self, k: Any, levels: Any = None, raw: Any = None) -> Tensor:
        return self.lik.log_mass(k, self.raw if raw is None else raw, self.levels if levels is None else levels)


def given(case: Case, levels: int = LEVELS, rows: int = ROWS, dims: int = DIMS) -> Given:
    levels = 2 if likelihoods.get(case.family).view == "binary" else levels
    lik = case.make(levels)
    k = torch.randint(levels, (rows, dims), generator=torch.Generator().manual_seed(1))
    k.flatten()[:2] = torch.tensor([0, levels - 1])  # both ends are among them
    return Given(lik, levels, k, seen(lik, k, levels), raw_for(lik, dims, "random", rows=rows))


def sigma_of(name: str, **told: Any) -> Likelihood:
    """A family at a fixed σ where it takes one, at its defaults elsewhere."""
    family = likelihoods.get(name)
    options = {"sigma": 0.3} if family.takes_sigma else {}
    lik = family(**options, **({"levels": LEVELS} if family.takes_levels else {}), **told)
    if lik.needs_fit:
        lik.set_residual_statistic(torch.tensor(0.04))
    return lik


# -- what was taken without a word -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("rows", [1, 3, 28])
def test_pictures_are_refused_where_a_row_of_theirs_would_fit(case, rows):
    lik = case.make(2)
    wide = lik.outputs(28)
    for data, raw in (
        ((rows, 1, 28, 28), (rows, wide)),
        ((rows, 28, 28), (rows, wide)),
        ((rows, 1, 28, 28), (rows, 5, wide)),
        ((rows, 1, 28, 28), (wide,)),
        ((28, 28, 28), (wide,)),
    ):
        for call in (
            lambda x, r: lik.log_prob(x, r),
            lambda x, r: lik.train_log_prob(x, r),
            lambda x, r: lik.log_mass(x, r, 2),
            lambda x, r: lik.log_masses(x, r, 2),
            lambda x, r: lik(x, r),
        ):
            with pytest.raises(ValueError, match="have more axes than raw outputs"):
                call(torch.zeros(data), torch.zeros(raw))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_flattening_that_is_advised_for_pictures_is_taken(case):
    it = given(case, rows=4, dims=16)
    for pictures, raw in (
        (it.x.reshape(4, 1, 4, 4), it.raw),
        (it.x.reshape(4, 4, 4), it.raw),
        (it.x.reshape(4, 1, 4, 4), it.raw.unsqueeze(1)),
        (it.x.reshape(4, 4, 2, 2), it.raw.unsqueeze(1).expand(-1, 5, -1)),
        (it.x.reshape(4, 4, 4), it.raw.unsqueeze(0).expand(5, -1, -1)),
        (it.x, it.raw.unsqueeze(1)),
        (it.x, it.raw.unsqueeze(1).expand(-1, 5, -1)),
    ):
        with pytest.raises(ValueError) as caught:
            it.call(pictures, raw)
        way = re.search(r"x(\.(flatten|unsqueeze)\(-?\d\))+", str(caught.value))
        assert way, str(caught.value)
        ours = it.call(eval(way[0], {"x": pictures}), raw)
        assert torch.equal(ours, it.lik.unchecked().log_prob(*_aligned(it, pictures, raw)))


def _aligned(it: Given, pictures: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Images of what `it` has, each in as many copies as raw outputs [4, R], [4, L, R] or [5, 4, R] want."""
    if raw.ndim == 2:
        return it.x, raw
    return (it.x, raw) if raw.shape[:2] == (5, 4) else (it.x.unsqueeze(1), raw)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_grey_values_of_0_to_255_are_refused_by_what_lives_in_0_to_1(case):
    it = given(case)
    if it.view == "real" and it.lik.open_ends:
        assert it.call(it.x * 255).isfinite().all()  # the real line has all numbers
        return
    bytes_ = torch.linspace(0, 255, ROWS * DIMS).round().reshape(ROWS, DIMS)
    if it.view == "levels":
        with pytest.raises(ValueError, match=r"levels lie within \[0, 255\], but this \w+ has 0..16: make it with"):
            it.call(bytes_)
        return
    with pytest.raises(ValueError, match=r"within \[0, 255\].*(x/255|binarise)") as caught:
        it.call(bytes_)
    if it.view != "binary":
        assert "x = (k + u)/256" in str(caught.value)
        assert it.call(bytes_ / 255).shape == (ROWS,)
        assert it.call((bytes_ + torch.rand_like(bytes_)) / 256).isfinite().all()
        if it.lik.view != "levels":
            assert it.mass(bytes_.long(), 256).isfinite().all()


@pytest.mark.parametrize("levels", [None, 2])
def test_grey_values_are_refused_by_a_bernoulli(levels):
    lik, x, raw = likelihoods.make("bernoulli"), torch.rand(3, 4), torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"binarise|are levels again") as caught:
        lik.log_prob(x, raw) if levels is None else lik.log_mass(x, raw, levels)
    way = re.search(r"\(torch.rand_like.*?float\(\)|\(x \* 1\)\.round\(\)\.long\(\)", str(caught.value))
    assert way
    drawn = eval(way[0], {"x": x, "torch": torch})
    scores = lik.log_prob(drawn, raw) if levels is None else lik.log_mass(drawn, raw, levels)
    assert torch.allclose(scores, torch.full((3,), -4 * float(np.log(2))))


@pytest.mark.parametrize("value", [0.5, 1e-6, 1 - 2**-24, 1e-40, 2.0, -1.0, torch.inf, -torch.inf, torch.nan])
def test_one_number_of_a_million_that_is_neither_0_nor_1_is_seen(value):
    x = torch.zeros(1000, 1000)
    x[:, ::3] = 1
    lik, raw = likelihoods.make("bernoulli"), torch.zeros(1, 1000)
    assert lik.log_prob(x, raw).shape == (1000,)
    x[500, 500] = value
    with pytest.raises(ValueError, match=r"probability of 0 and 1|data hold NaN"):
        lik.log_prob(x, raw)


def test_numbers_that_are_neither_0_nor_1_do_not_make_up_for_each_other():
    x = torch.tensor([[-0.5, 0.5, 0.5, 0.5, 0.0, 1.0]])  # whose x − x² are 0 in sum
    with pytest.raises(ValueError, match=r"probability of 0 and 1, given numbers within \[-0.5, 1\]"):
        likelihoods.make("bernoulli").log_prob(x, torch.zeros(1, 6))


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_integers_without_levels_are_refused_by_all_but_probabilities_of_integers(case, dtype):
    it = given(case)
    k = it.k.to(dtype)
    if it.view in ("binary", "levels"):
        assert torch.equal(it.call(k), it.call(it.x))
        return
    for call in (it.call, it.lik.train_log_prob):
        with pytest.raises(ValueError, match=r"integers 0..K-1 have a log_mass\(k, raw, levels=K\)"):
            call(k, it.raw)
    assert it.mass(k).isfinite().all()


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("where", ["data", "raw"])
def test_nan_is_refused_wherever_it_is(case, where):
    it = given(case)
    x, k, raw = it.x.clone(), it.k.double(), it.raw.clone()
    for one in (x, k) if where == "data" else (raw,):
        one[1, 2] = torch.nan
    said = "data hold NaN" if where == "data" else "raw outputs hold NaN \\(in 1 of"
    for call in (
        lambda: it.call(x, raw),
        lambda: it.lik.train_log_prob(x, raw),
        lambda: it.mass(k, raw=raw),
        lambda: it.lik.log_masses(k, raw, it.levels),
        *([lambda: it.lik.log_density(x, raw, it.levels)] if it.lik.has_density else []),
        *([lambda: it.lik.mean(raw), lambda: it.lik.sample(raw)] if where == "raw" else []),
    ):
        with pytest.raises(ValueError, match=said):
            call()


# -- and other wrong input ---------------------------------------------------------------------------------------------

FLOATS = ("unit", "grey", "real")
WRONG: dict[str, tuple[str, Callable[[Given], Any]]] = {
    "raw outputs one too wide": (r"needs R = \d+ for D = 6", lambda it: it.call(it.x, _wider(it.raw))),
    "data one too wide": (r"for D = 7 \(outputs", lambda it: it.call(_wider(it.x))),
    "levels one too wide": (r"for D = 7 \(outputs", lambda it: it.mass(_wider(it.k))),
    "integer raw outputs": (r"raw outputs are torch.int64, but floats", lambda it: it.call(it.x, it.raw.long())),
    "arguments in the other order": (r"data come first", lambda it: it.mass(it.raw, raw=it.k)),
    "boolean raw outputs": (r"raw outputs are torch.bool, but floats", lambda it: it.call(it.x, it.raw > 0)),
    "a numpy array of data": (r"not ndarray: torch.as_tensor makes one", lambda it: it.call(it.x.numpy())),
    "a numpy array of raw": (r"not ndarray: torch.as_tensor makes one", lambda it: it.call(it.x, it.raw.numpy())),
    "a list": (r"not list: torch.as_tensor makes one", lambda it: it.call(it.x.tolist())),
    "two tensors for raw": (r"not a tuple of tensors: raw\(\) makes", lambda it: it.call(it.x, (it.raw, it.raw))),
    "complex data": (r"takes real numbers, not torch.complex64", lambda it: it.call(it.x.to(torch.complex64))),
    "complex raw": (r"takes real numbers, not torch.complex64", lambda it: it.call(it.x, it.raw.to(torch.complex64))),
    "sparse data": (r"takes dense tensors, not torch.sparse_coo", lambda it: it.call(it.x.to_sparse())),
    "another device": (r"data are on meta and raw outputs on cpu", lambda it: it.call(it.x.to("meta"))),
    "raw on another device": (r"data are on cpu and raw outputs on meta", lambda it: it.mass(it.k, raw=_meta(it.raw))),
    "a lone number": (r"not a lone number", lambda it: it.call(torch.tensor(0.5))),
    "a lone raw number": (r"not a lone number", lambda it: it.lik.mean(torch.tensor(0.5))),
    "levels=True": (r"levels=True is no number of levels", lambda it: it.mass(it.k, True)),
    "levels=1": (r"levels=1 is no number of levels", lambda it: it.mass(torch.zeros_like(it.k), 1)),
    "levels=17.0": (r"levels=17.0 is no number of levels", lambda it: it.mass(it.k, 17.0)),
    "levels as a word": (r"levels='all' is no number of levels", lambda it: it.mass(it.k, "all")),
    "a negative level": (r"levels lie within \[-1, \d+\], but levels=", lambda it: it.mass(it.k - 1)),
    "a level too many": (r"levels lie within \[1, \d+\], but levels=", lambda it: it.mass(it.k + 1)),
    "an infinite level": (r"levels (hold|lie)", lambda it: it.mass(_put(it.k.float(), torch.inf))),
    "grey values for levels": (r"\(x \* \d+\)\.round\(\)\.long\(\)", lambda it: it.mass(it.k / (it.levels - 1) * 0.9)),
    "levels with noise": (r"no integers.*(floor|round)", lambda it: it.mass(it.k + 0.25)),
    "infinite data": (r"infinite|within \[.*inf", lambda it: it.call(_put(it.x, torch.inf))),
    "data that are −∞": (r"infinite|within \[-inf", lambda it: it.call(_put(it.x, -torch.inf))),
    "infinities that cancel": (r"infinite|within", lambda it: it.call(_put(_put(it.x, torch.inf), -torch.inf, 1))),
    "images that do not pair": (r"do not broadcast before their last axis", lambda it: it.call(_more(it.x))),
    "z before images": (r"x\.unsqueeze\(-2\)", lambda it: it.call(it.x, _several(it.raw))),
    "one z, as an axis": (r"scores of all pairs, \[3, 3\].*x\.unsq", lambda it: it.call(it.x, it.raw.unsqueeze(1))),
    "one z of masses": (r"scores of all pairs, \[3, 3\].*x\.unsq", lambda it: it.mass(it.k, raw=it.raw.unsqueeze(1))),
    "levels with more axes": (r"more axes than raw", lambda it: it.mass(it.k.reshape(3, 1, 2, 3))),
    "an axis too many": (r"more axes than raw", lambda it: it.call(it.x.unsqueeze(1))),
}


def _wider(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor[..., :1]], -1)


def _more(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor[:1]])


def _several(raw: Tensor) -> Tensor:
    return raw.unsqueeze(1).expand(-1, 5, -1)


def _meta(tensor: Tensor) -> Tensor:
    return tensor.to("meta")


def _put(tensor: Tensor, value: float, at: int = 0) -> Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[at] = value
    return tensor


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused_with_a_sentence(case, wrong):
    said, call = WRONG[wrong]
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        call(given(case))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_data_scaled_to_minus_1_to_1_are_put_back_as_the_sentence_says(case):
    it = given(case)
    scaled = 2 * it.x / max(1.0, float(it.x.max())) - 1
    if it.view == "real" and it.lik.open_ends:
        assert it.call(scaled).isfinite().all()
        return
    with pytest.raises(ValueError) as caught:
        it.call(scaled)
    if it.view != "levels":
        assert "(x + 1)/2" in str(caught.value)
        assert it.call((scaled + 1) / 2).shape == (ROWS,)


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize(
    ("made", "way"),
    [
        (lambda k, levels: k / (levels - 1), r"\(x \* \d+\)\.round\(\)\.long\(\)"),
        (lambda k, levels: k + 0.25, r"x\.floor\(\)\.long\(\)"),
    ],
)
def test_levels_come_back_as_the_sentence_says(case, made, way):
    it = given(case, levels=256)
    x = made(it.k, it.levels)
    if it.levels == 2 and float(x.max()) == 1:
        return  # grey values of two levels are levels
    with pytest.raises(ValueError) as caught:
        it.mass(x)
    found = re.search(way, str(caught.value))
    assert found, str(caught.value)
    assert torch.equal(eval(found[0], {"x": x}), it.k)
    assert torch.equal(it.mass(eval(found[0], {"x": x})), it.mass(it.k))


@pytest.mark.parametrize("case", [case for case in ALL if case.make(2).renormalised() is not None], ids=str)
def test_a_density_with_closed_ends_is_of_numbers_in_0_to_1_alone(case):
    it = given(case)
    closed = it.lik.renormalised()
    assert closed is not None
    if not closed.has_density or it.view == "levels":
        return
    beyond = it.x + 0.5
    for call in (closed.log_density, lambda x, raw, levels: closed.log_prob(x, raw)):
        with pytest.raises(ValueError, match=r"takes numbers in \[0, 1\] here"):
            call(beyond, it.raw, it.levels)
        assert call(it.x, it.raw, it.levels).isfinite().all()


@pytest.mark.parametrize("case", SOME, ids=str)
def test_a_mean_and_a_draw_are_of_a_width_that_some_data_have(case):
    it = given(case)
    widths = {it.lik.outputs(dims) for dims in range(2 * DIMS)}
    for width in range(1, it.lik.outputs(DIMS)):
        raw = torch.zeros(2, width)
        if width in widths:
            assert it.lik.outputs(it.lik.mean(raw).shape[-1]) == width
        else:
            for call in (it.lik.mean, it.lik.sample, it.lik.sigma_in_use):
                with pytest.raises(ValueError, match="end in"):
                    call(raw)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_a_stack_that_checks_wants_an_axis_of_its_models(case):
    it = given(case)
    stacked = stack([case.make(it.levels) for _ in range(2)])
    stacked.validate_args = True
    both = torch.stack([it.raw, it.raw])
    assert stacked.log_prob(it.x, both).shape == (2, ROWS)
    assert stacked.log_mass(it.k.expand(2, -1, -1).unsqueeze(2), both.unsqueeze(2), it.levels).shape == (2, ROWS, 1)
    for raw in (it.raw, both[0, 0], torch.cat([both, both])):
        with pytest.raises(ValueError, match=r"a stack of 2 takes raw outputs \[2, ..., R\]"):
            stacked.log_mass(it.k, raw, it.levels)


@pytest.mark.parametrize(
    "told", [28, (28, 28), (1, 28, 28, 1), (1, 0, 28), (1, -1, 28), (1.0, 28, 28), "123", (True, 2, 2)]
)
def test_a_shape_that_is_none_is_refused(told):
    with pytest.raises(
        ValueError, match=r"is no \(channels, rows, columns\): grey pictures of 28 x 28 are \(1, 28, 28\)"
    ):
        likelihoods.make("bernoulli", shape=told)
    for right in ((1, 28, 28), [1, 28, 28], torch.Size((1, 28, 28)), tuple(np.array([1, 28, 28]))):
        assert likelihoods.make("bernoulli", shape=right).shape == (1, 28, 28)


@pytest.mark.parametrize("family", likelihoods.names())
def test_channels_come_before_rows_and_columns(family):
    lik = sigma_of(family, shape=(3, 4, 5))
    x, planes = torch.zeros(2, 3, 4, 5), torch.zeros(2, lik.outputs(3), 4, 5)
    ours = lik.log_prob(x, planes)
    for data, raw in ((x.movedim(-3, -1), planes), (x, planes.movedim(-3, -1))):
        with pytest.raises(ValueError, match="channels come before rows and columns") as caught:
            lik.log_prob(data, raw)
        found = re.search(r"(x|raw)\.movedim\(-1, -3\)", str(caught.value))
        assert found
        way, name = found[0], found[1]
        right = eval(way, {"x": data, "raw": raw})
        assert torch.equal(lik.log_prob(right, raw) if name == "x" else lik.log_prob(data, right), ours)
    with pytest.raises(ValueError, match="channels come before rows and columns"):
        lik.mean(planes.movedim(-3, -1))


@pytest.mark.parametrize("family", likelihoods.names())
def test_data_of_another_shape_than_told_are_refused(family):
    lik = sigma_of(family, shape=(1, 4, 5))
    for data in ((2, 1, 5, 5), (2, 25), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"are not of the shape told, 1 x 4 x 5 \(D = 20\)"):
            lik.log_prob(torch.zeros(data), torch.zeros(2, lik.outputs(20)))
    with pytest.raises(ValueError, match=r"x\.flatten\(-2\)"):
        lik.log_prob(torch.zeros(2, 4, 5), torch.zeros(2, lik.outputs(20)))
    with pytest.raises(ValueError, match=rf"or planes \[..., {lik.outputs(1)}, 4, 5\]"):
        lik.log_prob(torch.zeros(2, 1, 4, 5), torch.zeros(2, lik.outputs(1), 5, 5))


@pytest.mark.parametrize("family", likelihoods.names())
def test_planes_are_taken_once_the_shape_is_told_as_the_sentence_says(family):
    lik = sigma_of(family)
    x, planes = torch.zeros(2, 3, 4, 5), torch.zeros(2, lik.outputs(3), 4, 5)
    if lik.outputs(5) == 5:
        return  # [2, 3, 4] rows of 5 are what is said, and may be meant
    with pytest.raises(ValueError, match=r"make it with shape=\(3, 4, 5\)"):
        lik.log_prob(x, planes)
    assert sigma_of(family, shape=(3, 4, 5)).log_prob(x, planes).shape == (2,)


@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_validate_args_is_true_or_false(wrong):
    with pytest.raises(ValueError, match="is neither True nor False"):
        likelihoods.make("bernoulli", validate_args=wrong)


# -- in evaluation -----------------------------------------------------------------------------------------------------


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(x), 2), torch.zeros(len(x), 2)


def decode_for(lik: Likelihood, dims: int = DIMS) -> Callable[[Tensor], Tensor]:
    weight = 0.1 * torch.randn(2, lik.outputs(dims), generator=torch.Generator().manual_seed(0))
    return lambda z: z @ weight


def scored(lik: Likelihood, x: Any, levels: Any = None) -> Any:
    return log_likelihood(x, encode, decode_for(lik), lik, samples=(1, 5), levels=levels)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_evaluation_refuses_integers_without_levels(case):
    it = given(case)
    if it.view in ("binary", "levels"):
        theirs = scored(it.lik, it.k, it.levels).bound[5]
        assert torch.allclose(scored(it.lik, it.k).bound[5], theirs)
        return
    with pytest.raises(ValueError, match=r"and levels=K in vae_core.evaluate.log_likelihood"):
        scored(it.lik, it.k)
    assert scored(it.lik, it.k, it.levels).bound[5].isfinite().all()


@pytest.mark.parametrize("family", [name for name in likelihoods.names() if likelihoods.get(name).view == "real"])
@pytest.mark.parametrize("low", [0, -1])
def test_evaluation_refuses_whole_numbers_for_a_density_of_the_line(family, low):
    lik = likelihoods.make(family, sigma=0.3)
    k = torch.randint(3, (20, DIMS), generator=torch.Generator().manual_seed(0))
    k[0, :2] = torch.tensor([0, 2])
    x = k.float() + low
    with pytest.raises(ValueError, match="x are whole numbers") as caught:
        scored(lik, x)
    found = re.search(r"K, (\S*x.*\.long\(\)), levels=(\d+)", str(caught.value))
    assert found
    integers, levels = found[1], found[2]
    assert torch.equal(eval(integers, {"x": x}), k)
    assert scored(lik, eval(integers, {"x": x}), int(levels)).bound[5].isfinite().all()
    for right in (x + 0.5, x.clamp(0, 1), torch.zeros_like(x)):  # two values may be black and white
        assert scored(lik, right).bound[5].isfinite().all()


@pytest.mark.parametrize(
    ("x", "levels", "said"),
    [
        (torch.full((3, DIMS), torch.nan), None, "data hold NaN"),
        (torch.full((3, DIMS), torch.inf), None, "data hold infinite numbers"),
        (torch.rand(3, DIMS), 17, "x must be integers"),
        (torch.full((3, DIMS), 17), 17, "x must be integers"),
        (torch.zeros(3, DIMS).long(), True, "levels=True is no number of levels"),
        (torch.zeros(3, DIMS).long(), 1, "levels=1 is no number of levels"),
        (torch.zeros(3, DIMS).long(), 17.0, "levels=17.0 is no number of levels"),
        (torch.zeros(3, 1, 2, 3), None, r"x\.flatten\(1\)"),
        (torch.zeros(DIMS), None, r"x\.unsqueeze\(0\)"),
        (torch.zeros(0, DIMS), None, "no images"),
        (torch.zeros(3, 0), None, "no values"),
        (torch.zeros(3, DIMS + 1), None, f"decode gave {DIMS} outputs, gaussian needs {DIMS + 1} for D={DIMS + 1}"),
        (np.zeros((3, DIMS)), None, "torch.as_tensor"),
    ],
)
def test_evaluation_refuses_what_cannot_be_scored(x, levels, said):
    with pytest.raises((ValueError, TypeError), match=said):
        scored(likelihoods.make("gaussian", sigma=0.3), x, levels)


def test_evaluation_refuses_a_stack_and_raw_outputs_that_are_nan():
    lik = likelihoods.make("gaussian", sigma=0.3)
    with pytest.raises(ValueError, match="is a stack of 2 models: select one"):
        scored(stack([lik, lik]), torch.rand(2, DIMS))
    with pytest.raises(ValueError, match="raw outputs hold NaN"):
        log_likelihood(torch.rand(2, DIMS), encode, lambda z: decode_for(lik)(z) * torch.nan, lik, samples=(1,))


def test_evaluation_of_planes_takes_them_as_its_sentence_says():
    lik = likelihoods.make("bernoulli", shape=(1, 2, 3))
    x, flat = torch.ones(4, 6), decode_for(lik)
    planes = lambda z: flat(z).unflatten(-1, (1, 2, 3))  # noqa: E731
    with pytest.raises(ValueError, match=r"decode gives \[..., R\], flat_raw\(planes\)"):
        log_likelihood(x, encode, planes, lik, samples=(1,))
    ours = log_likelihood(x, encode, lambda z: lik.flat_raw(planes(z)), lik, samples=(1,))
    assert torch.equal(ours.bound[1], log_likelihood(x, encode, flat, lik, samples=(1,)).bound[1])


# -- nothing that is right is refused ----------------------------------------------------------------------------------

LEADING: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((), (4,)),
    ((), (4, 5)),
    ((4,), ()),
    ((4,), (4,)),
    ((1,), (4,)),
    ((1,), (4, 5)),
    ((4,), (1,)),
    ((4, 1), (4, 5)),
    ((4, 1), (1, 5)),
    ((4,), (5, 4)),
    ((4,), (5, 1, 4)),
    ((2, 4, 1), (2, 4, 5)),
    ((1, 4, 1), (2, 4, 5)),
    ((4, 1), (2, 4, 5)),
    ((0,), (0,)),
    ((4, 1), (4, 0)),
]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_axes_before_the_last_broadcast_as_they_do_written_out(case):
    for before, behind in LEADING:
        it = given(case, rows=1)
        generator = torch.Generator().manual_seed(2)
        k = torch.randint(it.levels, (*before, DIMS), generator=generator)
        raw = torch.randn(*behind, it.raw.shape[-1], generator=generator)
        x, whole = seen(it.lik, k, it.levels), torch.broadcast_shapes(before, behind)
        full = ((*whole, DIMS), (*whole, raw.shape[-1]))
        theirs = it.lik.unchecked()
        ours = it.call(x, raw), it.mass(k, raw=raw), it.lik.log_masses(k, raw, it.levels).sum(-1)
        wanted = (
            theirs.log_prob(x.expand(full[0]).clone(), raw.expand(full[1]).clone()),
            *[theirs.log_mass(k.expand(full[0]).clone(), raw.expand(full[1]).clone(), it.levels)] * 2,
        )
        for one, other in zip(ours, wanted, strict=True):
            assert one.shape == whole
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_checking_changes_no_number(case):
    it = given(case)
    quiet = it.lik.unchecked()
    assert it.lik.validate_args
    assert not quiet.validate_args
    assert torch.equal(it.call(it.x), quiet.log_prob(it.x, it.raw))
    assert torch.equal(it.mass(it.k), quiet.log_mass(it.k, it.raw, it.levels))
    assert torch.equal(it.lik.mean(it.raw), quiet.mean(it.raw))
    draws = [one.sample(it.raw, torch.Generator().manual_seed(0)) for one in (it.lik, quiet)]
    assert torch.equal(*draws)
    if it.lik.has_density:
        y = (it.k + 0.5) / it.levels
        assert torch.equal(it.lik.log_density(y, it.raw, it.levels), quiet.log_density(y, it.raw, it.levels))


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("levels", [2, 256])
def test_levels_may_be_of_any_type_that_holds_them(case, levels):
    it = given(case, levels=levels)
    wanted = it.mass(it.k)
    types = [torch.uint8, torch.uint16, torch.int16, torch.int32, torch.float32, torch.float64]
    for dtype in types + ([torch.bool] if it.levels == 2 else []):
        raw = it.raw.clone().requires_grad_()
        ours = it.mass(it.k.to(dtype), raw=raw)
        assert torch.allclose(ours.to(wanted), wanted, rtol=1e-6), dtype
        ours.sum().backward()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()
        if it.view in ("levels", "binary"):
            raw = it.raw.clone().requires_grad_()
            ours = it.call(it.k.to(dtype), raw)
            assert torch.allclose(ours.to(wanted), wanted, rtol=1e-6), dtype
            ours.sum().backward()
    assert torch.equal(it.mass(it.k, np.int64(it.levels)), wanted)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_an_empty_batch_is_scored_and_has_gradients(case):
    it = given(case)
    raw = it.raw[:0].clone().requires_grad_()
    for score in (it.call(it.x[:0], raw), it.mass(it.k[:0], raw=raw), it.lik.mean(raw).sum(-1)):
        assert score.shape == (0,)
        score.sum().backward()
    assert raw.grad is not None
    assert raw.grad.shape == raw.shape
    assert it.lik.sample(raw).shape == (0, DIMS)


def test_large_finite_numbers_are_no_infinite_ones():
    lik = likelihoods.make("gaussian", sigma=1e30)
    x = torch.full((3, 4), 3e38)  # their sum is no float32
    assert lik.log_prob(x, torch.full((3, 4), 3e38)).isfinite().all()


def test_raw_outputs_may_be_infinite_where_that_means_something():
    lik = likelihoods.make("categorical", levels=3)
    raw = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    assert torch.allclose(lik.log_mass(torch.tensor([[0, 1]]), raw, 3), torch.tensor([-float(np.log(2))]))


# -- where nothing is looked at ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("how", ["validate_args=False", "the attribute", "unchecked", "a stack"])
def test_nothing_is_looked_at_where_that_was_told(case, how):
    it = given(case)
    raw, x = _put(it.raw, torch.nan), it.x
    lik = {
        "validate_args=False": lambda: it.lik,
        "the attribute": lambda: it.lik,
        "unchecked": it.lik.unchecked,
        "a stack": lambda: stack([it.lik, it.lik]),
    }[how]()
    if how == "validate_args=False":
        lik = type(it.lik)(**it.lik.made_of[0], validate_args=False)
        lik.initialise(0.2)
        if lik.needs_fit or lik.untouched().startswith("sigma='optimal'"):
            lik.set_residual_statistic(torch.tensor(0.04))
    elif how == "the attribute":
        lik.validate_args = False
    else:
        with pytest.raises(ValueError, match="NaN"):
            it.call(x, raw)
    if how == "a stack":
        x, raw = torch.stack([x, x]), torch.stack([raw, raw])
    score = lik.log_prob(x, raw)
    assert score[..., 0].isnan().all()
    assert score[..., 1:].isfinite().all()
    if how == "the attribute":
        lik.validate_args = True
        with pytest.raises(ValueError, match="NaN"):
            lik.log_prob(x, raw)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian"])
def test_values_are_not_looked_at_in_a_compiled_program_but_shapes_are(name):
    lik = sigma_of(name)
    compiled = torch.compile(lambda x, raw: lik.log_prob(x, raw), backend="eager", fullgraph=True)
    x, raw = torch.full((3, 4), 0.5), torch.zeros(3, 4)
    assert torch.allclose(compiled(x, raw), lik.unchecked().log_prob(x, raw))
    assert compiled(x, raw * torch.nan).isnan().all()
    with pytest.raises(Exception, match="have more axes than raw outputs"):
        compiled(torch.zeros(3, 1, 4, 4), raw)


def test_values_are_not_looked_at_in_transforms_but_shapes_are():
    lik = likelihoods.make("bernoulli")
    x, raw = torch.full((3, 4), 0.5), torch.zeros(3, 4)
    assert torch.allclose(torch.func.vmap(lik.log_prob)(x, raw), lik.unchecked().log_prob(x, raw))
    with pytest.raises(ValueError, match="needs R = 3 for D = 3"):
        torch.func.vmap(lik.log_prob)(x[:, :3], raw)


def test_tensors_without_numbers_have_a_shape():
    lik = likelihoods.make("gaussian", sigma="pixel")
    raw = torch.empty(3, 8, device="meta")
    assert lik.log_mass(torch.empty(3, 4, device="meta"), raw, 16).shape == (3,)
    with pytest.raises(ValueError, match="needs R = 6 for D = 3"):
        lik.log_mass(torch.empty(3, 3, device="meta"), raw, 16)
