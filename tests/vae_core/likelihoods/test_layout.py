"""Every family behind a convolutional decoder: pictures are scored as their flat layout, made by hand, is."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases
from vae_core import likelihoods
from vae_core.laws.setting import seen
from vae_core.likelihoods import Density, Likelihood, stack

ALL = cases()
ROWS, HEIGHT, WIDTH = 3, 2, 5


class Decoder(torch.nn.Module):
    """z [B, 4] -> planes [B, n, H, W] by a layer and a convolution."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 6 * HEIGHT * WIDTH)
        self.last = torch.nn.Conv2d(6, planes, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(z)).unflatten(-1, (6, HEIGHT, WIDTH)))


def told(case: Case, channels: int, levels: int) -> tuple[Likelihood, Likelihood]:
    """The likelihood that was told the shape, and the same that was not."""
    flat = case.make(levels)
    shaped = type(flat)(**flat.made_of[0], shape=(channels, HEIGHT, WIDTH))
    shaped.load_state_dict(flat.state_dict())
    return shaped, flat


def levels_for(case: Case) -> int:
    return 2 if likelihoods.get(case.family).view == "binary" else 7


def pictures(case: Case, lik: Likelihood, *leading: int, channels: int) -> tuple[Tensor, Tensor]:
    """Levels k [..., C, H, W] and the same in the likelihood's view."""
    levels = levels_for(case)
    k = torch.randint(levels, (*leading, channels, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
    return k, seen(lik, k, levels)


def by_hand(case: Case, lik: Likelihood, planes: Tensor, channels: int) -> Tensor:
    """Planes [..., n, H, W] as raw outputs [..., R], one pixel after the other: parameter, channel, row, column, of a
    categorical channel, row, column, level; the σ of an image, the last plane, as its mean."""
    flat = []
    whole = dict(case.options).get("sigma") == "image"
    each = planes[..., :-1, :, :] if whole else planes
    parameters = each.shape[-3] // channels
    places = itertools.product(range(channels), range(HEIGHT), range(WIDTH))
    order = (
        [(p, c, h, w) for (c, h, w), p in itertools.product(places, range(parameters))]
        if case.family == "categorical"
        else [(p, *place) for p, place in itertools.product(range(parameters), list(places))]
    )
    for parameter, channel, row, column in order:
        flat.append(each[..., parameter * channels + channel, row, column])
    if whole:
        flat.append(torch.stack([planes[..., -1, h, w] for h in range(HEIGHT) for w in range(WIDTH)]).mean(0))
    return torch.stack(flat, -1)


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_pictures_are_scored_as_the_flat_layout_is(case, channels):
    levels = levels_for(case)
    lik, plain = told(case, channels, levels)
    torch.manual_seed(0)
    decoder = Decoder(lik.outputs(channels))
    planes = decoder(torch.randn(ROWS, 4))
    raw = by_hand(case, lik, planes, channels)
    k, x = pictures(case, lik, ROWS, channels=channels)
    assert raw.shape[-1] == lik.outputs(x[0].numel())
    assert torch.allclose(lik.flat_raw(planes), raw, rtol=1e-6, atol=1e-7)
    shape = (channels, HEIGHT, WIDTH)
    close(lik.log_mass(k, planes, levels), plain.log_mass(k.flatten(1), raw, levels))
    close(lik.log_masses(k, planes, levels), plain.log_masses(k.flatten(1), raw, levels).reshape(ROWS, *shape))
    close(lik.log_prob(x, planes), plain.log_prob(x.flatten(1), raw))
    close(lik.mean(planes), plain.mean(raw).reshape(ROWS, *shape))
    draws = [one.sample(given, torch.Generator().manual_seed(1)) for one, given in ((lik, planes), (plain, raw))]
    close(draws[0], draws[1].reshape(ROWS, *shape))
    if lik.has_density:
        y = (k + 0.5) / levels
        close(lik.log_density(y, planes, levels), plain.log_density(y.flatten(1), raw, levels))
    if (sigma := plain.sigma_in_use(raw)) is not None:
        close(lik.sigma_in_use(planes), sigma)
    lik.eval(), plain.eval()
    close(lik(x, planes), plain(x.flatten(1), raw))
    close(lik.train_log_prob(x, planes), plain.train_log_prob(x.flatten(1), raw))
    for ours, theirs in zip(lik.state(), plain.state(), strict=True):
        close(ours, theirs)  # what sigma="optimal" saw


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_gradients_reach_every_weight_of_the_convolution_as_by_hand(case, channels):
    levels = levels_for(case)
    lik, plain = told(case, channels, levels)
    torch.manual_seed(0)
    decoder = Decoder(lik.outputs(channels))
    k, _ = pictures(case, lik, ROWS, channels=channels)
    planes = decoder(torch.randn(ROWS, 4))
    weights = list(decoder.parameters())
    gradients = [
        torch.autograd.grad(score.sum(), weights, retain_graph=True)
        for score in (
            lik.log_mass(k, planes, levels),
            plain.log_mass(k.flatten(1), by_hand(case, lik, planes, channels), levels),
        )
    ]
    largest = max(float(theirs.abs().max()) for theirs in gradients[1])
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * largest)
    # the weight of a mixture's only component is 1, whatever its planes
    idle = channels if dict(case.options).get("components") == 1 else 0
    of_planes = gradients[0][2].abs().sum((1, 2, 3))
    assert (of_planes[:idle] == 0).all()
    assert (of_planes[idle:] > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_axes_before_the_planes_are_images_and_their_several_z(case, channels):
    levels = levels_for(case)
    lik, plain = told(case, channels, levels)
    k, x = pictures(case, lik, ROWS, 1, channels=channels)
    planes = torch.randn(ROWS, 4, lik.outputs(channels), HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    raw = by_hand(case, lik, planes, channels)
    wanted = plain.log_mass(k.flatten(2), raw, levels)
    assert wanted.shape == (ROWS, 4)
    shape = (channels, HEIGHT, WIDTH)
    close(lik.log_mass(k, planes, levels), wanted)
    close(lik.log_prob(x, planes), plain.log_prob(x.flatten(2), raw))
    close(lik.mean(planes), plain.mean(raw).unflatten(-1, shape))
    close(lik.log_masses(k, planes, levels), plain.log_masses(k.flatten(2), raw, levels).unflatten(-1, shape))
    # one image, without an axis of its own
    close(lik.log_mass(k[0, 0], planes[0, 0], levels), wanted[0, 0])
    # what is flat is taken as before, beside pictures and alone
    close(lik.log_mass(k.flatten(2), raw, levels), wanted)
    close(lik.log_mass(k.flatten(2), planes, levels), wanted)
    close(lik.log_mass(k, raw, levels), wanted)
    assert lik.mean(raw).shape == (ROWS, 4, math.prod(shape))
    assert lik.log_masses(k.flatten(2), planes, levels).shape == (ROWS, 4, math.prod(shape))
    assert lik.log_masses(k, raw, levels).shape == (ROWS, 4, *shape)
    # a stack, whose first axis is that of its models
    both = stack([lik, lik])
    close(both.log_mass(torch.stack([k, k]), torch.stack([planes, planes]), levels), torch.stack([wanted, wanted]))
    quiet = type(lik)(**lik.made_of[0], shape=shape, validate_args=False)
    quiet.load_state_dict(lik.state_dict())
    close(quiet.log_mass(k, planes, levels), wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_categorical_is_the_cross_entropy_of_image_shaped_logits(channels):
    lik = likelihoods.make("categorical", levels=5, shape=(channels, HEIGHT, WIDTH))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(ROWS, 5, channels, HEIGHT, WIDTH, generator=generator)
    k = torch.randint(5, (ROWS, channels, HEIGHT, WIDTH), generator=generator)
    terms = -torch.nn.functional.cross_entropy(logits, k, reduction="none")
    planes = logits.flatten(1, 2)
    close(lik.log_masses(k, planes, 5), terms)
    close(lik.log_mass(k, planes, 5), terms.sum((1, 2, 3)))
    close(lik.mean(planes), (logits.softmax(1) * torch.arange(5.0).reshape(5, 1, 1, 1)).sum(1))


def test_a_gaussian_of_colour_is_torchs():
    lik = likelihoods.make("gaussian", sigma="pixel", shape=(3, HEIGHT, WIDTH))
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(ROWS, 6, HEIGHT, WIDTH, generator=generator)
    x = torch.rand(ROWS, 3, HEIGHT, WIDTH, generator=generator)
    theirs = torch.distributions.Normal(planes[:, :3], planes[:, 3:].exp()).log_prob(x).sum((1, 2, 3))
    close(lik.log_prob(x, planes), theirs)
    lik = likelihoods.make("gaussian", sigma="image", shape=(3, HEIGHT, WIDTH))
    sigma = planes[:, 3].mean((1, 2)).exp().reshape(ROWS, 1, 1, 1)
    close(lik.log_prob(x, planes[:, :4]), torch.distributions.Normal(planes[:, :3], sigma).log_prob(x).sum((1, 2, 3)))


def test_the_plane_of_an_images_sigma_is_averaged_in_full_precision():
    lik = likelihoods.make("gaussian", sigma="image", shape=(1, 28, 28))
    planes = torch.randn(2, 2, 28, 28, generator=torch.Generator().manual_seed(0)).bfloat16()
    x = torch.zeros(2, 1, 28, 28)
    assert torch.equal(lik.log_prob(x, planes), lik.log_prob(x, planes.float()))
    assert not torch.equal(planes[:, 1].mean((1, 2)).float(), planes[:, 1].float().mean((1, 2)))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_way_back_from_flat_raw_outputs_is_the_documented_one(case):
    if dict(case.options).get("sigma") == "image":
        return  # of which any plane of one mean is
    lik, _ = told(case, 3, levels_for(case))
    planes = torch.randn(ROWS, lik.outputs(3), HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    raw = lik.flat_raw(planes)
    if case.family == "categorical":
        back = raw.unflatten(-1, (3, HEIGHT, WIDTH, lik.levels)).movedim(-1, -4).flatten(-4, -3)
    else:
        back = raw.unflatten(-1, (lik.outputs(3), HEIGHT, WIDTH))
    assert torch.equal(back, planes)
    assert lik.flat_raw(raw) is raw


@pytest.mark.parametrize("family", likelihoods.names())
def test_flat_raw_refuses_what_are_no_planes_of_the_shape_told(family):
    options: dict[str, Any] = {"levels": 7} if likelihoods.get(family).takes_levels else {}
    with pytest.raises(ValueError, match=r"was told no shape: make it with shape=\(C, H, W\)"):
        likelihoods.make(family, **options).flat_raw(torch.zeros(2, 1, HEIGHT, WIDTH))
    lik = likelihoods.make(family, shape=(3, HEIGHT, WIDTH), **options)
    planes = lik.outputs(3)
    for shape in ((2, planes + 1, HEIGHT, WIDTH), (2, planes, WIDTH, HEIGHT), (2, 4)):
        with pytest.raises(ValueError, match=rf"or planes \[..., {planes}, {HEIGHT}, {WIDTH}\]"):
            lik.flat_raw(torch.zeros(shape))
    with pytest.raises(TypeError, match=r"torch\.as_tensor"):
        lik.flat_raw(np.zeros((2, planes, HEIGHT, WIDTH)))  # type: ignore[arg-type]


class Whole(Density):
    """Two numbers once an image behind one a dimension: a plug-in that says nothing of planes."""

    view = "unit"

    def outputs(self, dims: int) -> int:
        return dims + 2

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return (x * raw[..., :-2]).sum(-1) + raw[..., -2] + 10 * raw[..., -1]

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        raise NotImplementedError

    def mean(self, raw: Tensor) -> Tensor:
        return raw[..., :-2]

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.mean(raw)


def test_a_plug_in_with_numbers_of_a_whole_image_has_them_as_means_of_its_last_planes():
    lik = Whole(shape=(3, HEIGHT, WIDTH))
    planes = torch.randn(ROWS, 5, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    x = torch.rand(ROWS, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    means = planes.mean((2, 3))
    close(lik.log_prob(x, planes), (x * planes[:, :3]).sum((1, 2, 3)) + means[:, 3] + 10 * means[:, 4])
    assert torch.equal(lik.mean(planes), planes[:, :3])


def test_the_shape_survives_copies_and_pickles():
    lik = likelihoods.make("gaussian", sigma="pixel", shape=(3, HEIGHT, WIDTH))
    planes, x = torch.randn(ROWS, 6, HEIGHT, WIDTH), torch.rand(ROWS, 3, HEIGHT, WIDTH)
    pickled = pickle.loads(pickle.dumps(lik))  # noqa: S301  our own
    closed = lik.renormalised()
    assert closed is not None
    for other in (copy.copy(lik), copy.deepcopy(lik), pickled, closed):
        assert other.shape == (3, HEIGHT, WIDTH)
        assert other.log_prob(x, planes).shape == (ROWS,)


def test_planes_are_laid_flat_in_a_compiled_program():
    for options in ({"sigma": "image"}, {"sigma": "pixel"}):
        lik = likelihoods.make("gaussian", shape=(3, HEIGHT, WIDTH), **options)
        compiled = torch.compile(lambda x, raw, lik=lik: lik.log_prob(x, raw), backend="eager", fullgraph=True)
        planes, x = torch.randn(ROWS, lik.outputs(3), HEIGHT, WIDTH), torch.rand(ROWS, 3, HEIGHT, WIDTH)
        close(compiled(x, planes), lik.log_prob(x, planes))


def test_a_length_of_one_row_is_a_picture_too():
    """Signals, of shape (1, 1, W): what ends so is a picture, and a flat one beside it is the same."""
    lik, raw = likelihoods.make("bernoulli", shape=(1, 1, WIDTH)), torch.randn(ROWS, 1, 1, WIDTH)
    x = torch.ones(ROWS, 1, 1, WIDTH)
    wanted = likelihoods.make("bernoulli").log_prob(x.flatten(1), raw.flatten(1))
    for data, outputs in itertools.product((x, x.flatten(1)), (raw, raw.flatten(1))):
        close(lik.log_prob(data, outputs), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_unchecked_likelihood_takes_all_as_flat(dtype):
    lik = likelihoods.make("bernoulli", shape=(1, 1, WIDTH))
    x, raw = torch.ones(ROWS, 1, 1, WIDTH), torch.randn(ROWS, 1, 1, WIDTH).to(dtype)
    assert lik.log_prob(x, raw).shape == (ROWS,)
    assert lik.unchecked().log_prob(x, raw).shape == (ROWS, 1, 1)
