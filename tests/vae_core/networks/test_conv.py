"""Networks of convolutions: where outputs belong, what is refused, and models that are theirs alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.vae_core.training.test_capture import Fixed, recorder
from vae_core import laws, likelihoods
from vae_core.data import Dataset
from vae_core.laws.networks import NetworkSetting, check
from vae_core.likelihoods import told
from vae_core.networks import Architecture, _layered, create_pair, names, places_of
from vae_core.networks._layers import Chain, Pass
from vae_core.numerics.convolutions import convolution_with
from vae_core.numerics.precision import PRODUCTS
from vae_core.training import Member, Schedule, Trainer, train
from vae_core.training.capture import WARM_UP, Replay

OF_MAPS = [name for name in names() if name != "mlp"]
LEVELS = 5


def architecture(network: str, **others: object) -> Architecture:
    return Architecture((9,), "tanh", 3, network, **{"widths": (8, 4), **others})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", LEVELS, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def colours(count: int) -> np.ndarray:
    """Integer images of 5×3 in two colours: an edge at a random row, one colour the other's inverse."""
    edges = np.random.default_rng(3).integers(0, 6, (count, 1, 1))
    dark = np.broadcast_to((np.arange(5)[:, None] < edges) * (LEVELS - 1), (count, 5, 3))
    return np.stack([dark, LEVELS - 1 - dark], -1).astype(np.uint8)


# -- where outputs belong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", likelihoods.names())
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 3)])
def test_outputs_belong_to_the_pixel_whose_mass_they_change(family: str, shape: tuple[int, ...]) -> None:
    """Of every family in every setting: where one pixel's maps change, the masses of that pixel alone do."""
    height, width, channels = (*shape, 1)[:3]
    dims, pixel = math.prod(shape), 4
    for make in laws.settings(likelihoods.get(family)):
        levels = 2 if make(LEVELS).view == "binary" else LEVELS
        lik = make(LEVELS)
        if lik.couples_channels and channels < 3:
            with pytest.raises(ValueError, match="couples red, green and blue, and these data have 1 channel"):
                places_of(lik, shape, LEVELS)
            continue
        told(lik, shape)
        places = places_of(lik, shape, LEVELS)
        assert places.each * height * width + places.whole == lik.outputs(dims), str(make)
        assert places.each >= channels, str(make)
        if lik.needs_fit or "optimal" in str(make) or "fitted" in str(make):
            continue  # whose σ is found in data
        maps = torch.randn(1, places.each + places.whole, height, width, generator=torch.Generator().manual_seed(1))
        moved = maps.clone()
        moved[:, : places.each, pixel // width, pixel % width] += 0.3
        k = torch.randint(levels, (1, dims), generator=torch.Generator().manual_seed(2))
        scored = lik.scored(lik.scorings[0])
        before, after = (scored.log_masses(k, places.laid_flat(given), levels).detach() for given in (maps, moved))
        changed = (before != after).reshape(height * width, channels).any(1).nonzero()[:, 0].tolist()
        assert changed in ([pixel], []), str(make)


def test_outputs_in_an_order_of_nobodys_find_their_pixels() -> None:
    """A family that nobody has met, whose outputs lie in a shuffled order with two of the whole image among them."""
    shape, dims = (3, 4), 12
    shuffled = torch.randperm(2 * dims + 2, generator=torch.Generator().manual_seed(5))

    class Shuffled:
        name, view, scorings, couples_channels = "shuffled", "levels", ("itself",), False

        def outputs(self, dims: int) -> int:
            return 2 * dims + 2

        def to(self, device: str) -> Shuffled:
            return self

        def scored(self, scoring: str) -> Shuffled:
            return self

        def train_log_prob(self, x: Tensor, raw: Tensor) -> None: ...

        def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
            mean, scale, whole = raw[:, shuffled].split([dims, dims, 2], 1)
            return -((k - mean) ** 2) * torch.exp(scale + whole.sum(1, keepdim=True))

    places = places_of(Shuffled(), shape, LEVELS)  # type: ignore[arg-type]
    assert (places.each, places.whole) == (2, 2)
    maps = torch.arange(12.0).reshape(1, 1, 3, 4).expand(1, 4, 3, 4)
    flat = places.laid_flat(maps)[:, shuffled]
    np.testing.assert_array_equal(flat[0, :dims], np.arange(12))
    np.testing.assert_array_equal(flat[0, dims : 2 * dims], np.arange(12))
    np.testing.assert_allclose(flat[0, 2 * dims :], 5.5)


@pytest.mark.parametrize("network", OF_MAPS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (7, 5), (3, 9), (13, 16)])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_images_of_any_sides_come_back_in_their_sides(network: str, height: int, width: int, kernel: int) -> None:
    encoder, decoder = create_pair(architecture(network, kernel=kernel), (height, width, 2), 4 * height * width, [0])
    assert encoder(torch.rand(1, 2, 2 * height * width)).shape == (1, 2, 6)
    assert decoder(torch.rand(1, 2, 3)).shape == (1, 2, 4 * height * width)


@pytest.mark.parametrize("network", OF_MAPS)
def test_a_pixel_is_made_from_its_surroundings(network: str) -> None:
    """The top left of an image enters the top left of the maps of the first stage, and no more of them."""
    encoder, _ = create_pair(architecture(network, widths=(4,), normalisation="none"), (8, 8), 64, [0])
    moved = torch.zeros(1, 2, 64)
    moved[0, 1, 0] = 1.0  # the pixel at (0, 0)
    chain = encoder.chain  # type: ignore[attr-defined]
    weights = {name: tensor[0] for name, tensor in zip(encoder.names(), encoder.parameters(), strict=True)}
    x = Chain(chain.layers[:2])(moved[0], weights, Pass(torch.baddbmm, convolution_with(torch.baddbmm)))
    changed = (x[0] - x[1]).abs().sum(0).nonzero().tolist()
    assert changed
    assert max(max(place) for place in changed) <= 2


# -- models that are theirs alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", OF_MAPS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_model_is_the_same_alone_and_in_a_bundle(data: Dataset, network: str, dropout: float) -> None:
    """Also beside a family whose outputs have one width and another order: 2 D of a categorical of 2 levels and of a
    Gaussian with σ of each pixel."""
    own = architecture(network, dropout=dropout)
    schedule = Schedule(3, 20, 1e-3, train_samples=2)  # slow: what rounding does is not made larger by training
    members = [
        Member(likelihoods.make("gaussian", sigma="pixel"), seed=1),
        Member(likelihoods.make("beta"), seed=0),
        Member(likelihoods.make("laplace", sigma="pixel"), seed=1, bound="iwae"),
    ]
    bundle = train(data, members, own, schedule)
    assert bundle.failures == [None] * 3
    for place, member in enumerate(members):
        alone = train(data, [member], own, schedule)
        assert bundle.validation[place] == pytest.approx(alone.validation[0], rel=1e-5)
        for ours, theirs in zip(
            bundle.models[place].decoder.parameters(), alone.models[0].decoder.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", OF_MAPS)
def test_colour_images_are_trained_and_fit_better_than_at_first(network: str) -> None:
    images = colours(120)
    colour = Dataset.from_arrays("colour", LEVELS, images[:80], images[80:100], images[100:])
    bundle = train(
        colour, [Member(likelihoods.make("categorical", levels=LEVELS))], architecture(network), Schedule(20, 20, 1e-2)
    )
    assert bundle.history[0][-1][2] > bundle.history[0][0][2] + 20
    model = bundle.models[0]
    raw = model.decode(model.encode(colour.test)[0])
    assert torch.isfinite(model.likelihood.log_mass(colour.test, raw, LEVELS)).all()


@pytest.mark.parametrize("network", OF_MAPS)
def test_decoding_in_parts_is_decoding(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, decoder = create_pair(architecture(network), (5, 4), 20, [0, 1])
    z = torch.randn(2, 37, 3)
    with torch.no_grad():
        whole = decoder(z)
        monkeypatch.setattr(_layered, "AT_ONCE", 5 * decoder.cost().numbers)
        torch.testing.assert_close(decoder(z), whole)


# -- dropout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", names())
def test_dropout_is_of_training_alone_and_of_the_seed(data: Dataset, network: str) -> None:
    """Off in evaluation and in validation; of its share in training, alike for models of one seed."""
    share = 0.4
    with_dropout, without = architecture(network, dropout=share), architecture(network)
    encoder, decoder = create_pair(with_dropout, data.shape, 12, [0, 0])
    plain, _ = create_pair(without, data.shape, 12, [0, 0])
    x = torch.rand(1, 2000, 12).expand(2, -1, -1)
    assert torch.equal(encoder(x), plain(x))
    noise = torch.rand(1, 2000, encoder.noise).expand(2, -1, -1)
    trained = encoder.train(x, noise=noise)
    assert torch.equal(trained[0], trained[1])
    assert not torch.allclose(trained, encoder(x))
    assert torch.equal(
        encoder.train(x, noise=torch.ones_like(noise)), encoder.train(x, noise=torch.full_like(noise, share))
    )
    assert (encoder.noise > 0, decoder.noise > 0, plain.noise) == (True, True, 0)
    trainer = Trainer(
        data,
        [Member(likelihoods.make("gaussian", sigma=0.2), seed=s) for s in (0, 1)],
        with_dropout,
        Schedule(2, 20, 1e-3, train_samples=3),
        "cpu",
    )
    trainer.step(next(trainer.epoch()))
    drawn = trainer._noise
    assert drawn.of_encoder is not None
    assert drawn.of_decoder is not None
    assert drawn.of_encoder.shape == (2, 20, encoder.noise)
    assert drawn.of_decoder.shape == (2, 60, decoder.noise)
    assert not torch.equal(drawn.of_encoder[0], drawn.of_encoder[1])
    trainer.step(next(trainer.epoch()))
    with pytest.raises(ValueError, match=r"dropout must be 0 .none. or more and below 1, such as 0.1, given 1"):
        architecture(network, dropout=1)


# -- a GPU that is not here --------------------------------------------------------------------------------------------


class Lint(TorchDispatchMode):
    """What a CUDA graph would refuse to capture: values that the host reads, and copies between it and the device."""

    SYNCS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal.default")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        kinds = [{t.device.type for t in tree_leaves(x) if isinstance(t, Tensor)} for x in ((args, kwargs), out)]
        if any(word in str(function) for word in self.SYNCS) and "meta" in kinds[0]:
            self.found.append(str(function))
        if kinds[0] | kinds[1] == {"cpu", "meta"}:
            self.found.append(f"{function} between devices")
        return out


@pytest.mark.parametrize("network", names())
@pytest.mark.parametrize("precision", PRODUCTS)
def test_nothing_in_a_step_keeps_a_graph_from_being_captured(network: str, precision: str) -> None:
    """On tensors of a device that has no numbers to be read, forward and backward."""
    own = architecture(network, dropout=0.2, normalisation="usual", depth=2)
    places = lambda: [places_of(likelihoods.make("categorical", levels=3), (5, 4, 3), 3)] * 2  # noqa: E731
    pair = create_pair(own, (5, 4, 3), 180, [0, 1], places)
    for stack, width in zip(pair, (60, 3), strict=True):
        there = stack.to("meta")
        for tensor in there.parameters():
            tensor.requires_grad_()
        x, noise = torch.rand(2, 6, width, device="meta"), torch.rand(2, 6, stack.noise, device="meta")
        with Lint() as lint:
            there.train(x, PRODUCTS[precision], noise).square().sum().backward()
        assert lint.found == []


@pytest.mark.parametrize("network", OF_MAPS)
def test_training_by_replays_is_training(data: Dataset, network: str) -> None:
    """To the bit, dropout's noise included: a step reads and writes nothing but tensors that stay."""
    members = [Member(likelihoods.make("gaussian", sigma="shared"), seed=seed) for seed in (0, 1)]
    own = architecture(network, dropout=0.2)
    plain, replayed = (Trainer(data, members, own, Schedule(3, 20, 3e-3), "cpu") for _ in range(2))
    made: list[Fixed] = []
    replayed._replay = Replay(torch.device("cpu"), recorder(made, replayed.failed_at.float()))
    for _ in range(2):
        for index, other in zip(plain.epoch(), replayed.epoch(), strict=True):
            assert torch.equal(plain.step(index), replayed.step(other))
    assert made[0].replays == 2 * plain.steps - WARM_UP
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(plain.state(), replayed.state(), strict=True))


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", OF_MAPS)
@pytest.mark.parametrize(
    ("shape", "widths", "said"),
    [
        ((8, 8), (4, 4, 4, 4), "images of 8 x 8 are too small .* with 4 stages .*: list 3 widths at most$"),
        ((28, 3, 3), (4, 4, 4), "images of 28 x 3 are too small .* with 3 stages .*: list 2 widths at most$"),
        ((1, 28), (4,), "images of 1 x 28 are too small .* with 1 stages .*: take network = 'mlp'$"),
        ((64,), (4,), r"need images of height and width, and these are of shape \(64,\): take network = 'mlp'"),
    ],
)
def test_images_too_small_for_the_depth_are_refused(
    network: str, shape: tuple[int, ...], widths: tuple[int, ...], said: str
) -> None:
    """In one sentence that names the shapes, whose remedy works to the letter."""
    with pytest.raises(ValueError, match=said) as refused:
        create_pair(architecture(network, widths=widths), shape, math.prod(shape), [0])
    assert len(str(refused.value)) <= 280
    if "at most" in said:
        able = widths[: int(str(refused.value).split("list ")[1][0])]
        check(NetworkSetting(architecture(network, widths=able), shape, math.prod(shape)))


@pytest.mark.parametrize("network", OF_MAPS)
@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"widths": ()}, r"widths must be 1 or more, of one stage at least, given widths=\[\]"),
        ({"widths": (8, 0)}, r"given widths=\[8, 0\]"),
        ({"depth": 0}, "depth must be 1 or more and kernel 2 or more, given depth=0 kernel=3"),
        ({"kernel": 1}, "given depth=1 kernel=1"),
        ({"widths": (3, 8), "normalisation": "group"}, r"widths=\[3, 8\] are too few to be normalised: give each"),
        ({"normalisation": "batch"}, r"unknown normalisation 'batch' \(allowed: usual, none, group, layer\)"),
    ],
)
def test_what_no_network_can_be_built_from_is_refused(network: str, others: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        architecture(network, **others)
    with pytest.raises(ValueError, match="unknown activation 'tahn'"):
        Architecture((9,), "tahn", 3, network)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
