"""A user's own encoder and decoder: trained in bundles as the shipped ones, held to the laws, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.laws import networks as laws
from vae_core.laws.setting import LawBroken
from vae_core.networks import Architecture, create_pair, get, mean_own, model_cost, places_of, read_own
from vae_core.networks._own_file import executed
from vae_core.training import Blueprint, Member, Schedule, Trainer, load_model, save_model, train

SMALL = str(Path(__file__).parent / "own" / "small.py")
PLAIN = """import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self, shape, latent):
        super().__init__()
        channels, height, width = shape
        self.body = nn.Linear(channels * height * width, 2 * latent)

    def forward(self, x):
        return self.body(x.flatten(1))

class Decoder(nn.Module):
    def __init__(self, latent, outputs):
        super().__init__()
        self.body = nn.Linear(latent, outputs)

    def forward(self, z):
        return self.body(z)
"""


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", 5, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def written(folder: Path, *changes: tuple[str, str], name: str = "own.py") -> str:
    text = PLAIN
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / name
    path.write_text(text)
    return str(path)


def setting(network: str, shape: tuple[int, ...] = (4, 3)) -> laws.NetworkSetting:
    return laws.NetworkSetting(Architecture((5,), "tanh", 3, network), shape, 2 * int(np.prod(shape)))


# -- as the shipped ones -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_it_obeys_the_laws(law: laws.Law, dropout: float) -> None:
    law(laws.NetworkSetting(Architecture((5,), "tanh", 3, SMALL, dropout=dropout), (5, 4, 3), 120))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_model_is_the_same_alone_and_in_a_bundle(data: Dataset, dropout: float) -> None:
    own, schedule = Architecture((5,), "tanh", 3, SMALL, dropout=dropout), Schedule(3, 20, 1e-3, train_samples=2)
    members = [
        Member(likelihoods.make("gaussian", sigma="pixel"), seed=1),
        Member(likelihoods.make("beta"), seed=0),
        Member(likelihoods.make("laplace", sigma="pixel"), seed=1, bound="iwae"),
    ]
    before = torch.get_rng_state()
    bundle = train(data, members, own, schedule)
    assert torch.equal(before, torch.get_rng_state())
    assert bundle.failures == [None] * 3
    for place, member in enumerate(members):
        alone = train(data, [member], own, schedule)
        assert bundle.validation[place] == pytest.approx(alone.validation[0], rel=1e-5)


def test_it_computes_what_its_modules_do(data: Dataset) -> None:
    """The parameters, called by hand: images come as [B, C, H, W], maps go to the pixels that they are of."""
    images = torch.rand(1, 6, 60)
    places = places_of(likelihoods.make("gaussian", sigma="pixel"), (5, 4, 3), 5)
    encoder, decoder = create_pair(Architecture((5,), "tanh", 2, SMALL), (5, 4, 3), 120, [3], lambda: [places])
    module = executed(read_own(SMALL))
    by_hand = module.Encoder((3, 5, 4), 2)
    by_hand.load_state_dict({n: t[0] for n, t in zip(encoder.names(), encoder.parameters(), strict=True)})
    pictures = images[0].reshape(6, 5, 4, 3).movedim(-1, 1)
    torch.testing.assert_close(encoder(images)[0], torch.cat(by_hand(pictures), 1))
    maps = module.Decoder(120, 2, (3, 5, 4), (5,))
    maps.load_state_dict({n: t[0] for n, t in zip(decoder.names(), decoder.parameters(), strict=True)}, strict=False)
    z = torch.randn(1, 6, 2)
    wanted = (
        maps(z[0]).reshape(6, 2, 3, 5, 4).movedim(2, -1).reshape(6, -1)
    )  # the parameter slowest, the channel fastest
    torch.testing.assert_close(decoder(z)[0], wanted)


def test_it_goes_to_a_file_and_comes_back(data: Dataset, tmp_path: Path) -> None:
    """With a buffer that is its seed's own, which is in no parameter."""
    path = written(
        tmp_path,
        (LAYER, f"{LAYER}\n        self.register_buffer('held', torch.randn(outputs))"),
        ("return self.body(z)", "return self.body(z) + self.held"),
    )
    blueprint = Blueprint(Architecture((), "tanh", 3, path), data.shape, "gaussian", {"sigma": "shared"})
    members = [Member(blueprint.likelihood(), seed=seed) for seed in (4, 7)]
    models = train(data, members, blueprint.architecture, Schedule(2, 20, 1e-2)).models
    assert not torch.equal(models[0].decoder.held()["held"], models[1].decoder.held()["held"])
    for seed, model in zip((4, 7), models, strict=True):
        file = tmp_path / f"{seed}.safetensors"
        save_model(file, model, blueprint)
        loaded = load_model(file)
        k = data.test
        assert torch.equal(loaded.decode(loaded.encode(k)[0]), model.decode(model.encode(k)[0]))
    Path(path).write_text(Path(path).read_text() + "# mended since\n")
    with pytest.warns(UserWarning, match=r"the network own.py is not the code that this model was trained with"):
        load_model(file)
    Path(path).unlink()
    with pytest.raises(ValueError, match=r"there is no network '.*own.py': give the path of a .py that is there"):
        load_model(file)


def test_what_is_no_parameter_is_not_trained(data: Dataset, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        (LAYER, f"{LAYER}\n        self.body.bias.requires_grad = False"),
    )
    trainer = Trainer(
        data,
        [Member(likelihoods.make("gaussian", sigma=0.2))],
        Architecture((), "tanh", 3, path),
        Schedule(1, 20, 1e-1),
        "cpu",
    )
    before = {name: tensor.clone() for name, tensor in trainer.program.decoder.held().items()}
    for index in trainer.epoch():
        trainer.step(index)
    assert list(before) == ["body.bias"]
    assert torch.equal(trainer.program.decoder.held()["body.bias"], before["body.bias"])
    assert trainer.program.decoder.names() == ["body.weight"]


def test_its_costs_are_those_of_its_layers(tmp_path: Path) -> None:
    cost = model_cost(Architecture((), "tanh", 3, written(tmp_path)), (4, 3), 24)
    assert (cost.encoder.operations, cost.encoder.first_operations) == (2 * 12 * 6, 2 * 12 * 6)
    assert (cost.decoder.operations, cost.parameters) == (2 * 3 * 24, 13 * 6 + 4 * 24)
    assert cost.update_operations(2) == 2 * 2 * 12 * 6 + 2 * 3 * 2 * 3 * 24


def test_flat_data_come_flat(tmp_path: Path) -> None:
    path = written(tmp_path, ("channels, height, width = shape", "channels, height, width = (*shape, 1, 1)"))
    laws.check(setting(path, (7,)))


def test_it_is_not_executed_before_it_is_created(tmp_path: Path) -> None:
    path = written(tmp_path, ("import torch\n", "raise SystemExit('now')\n"))
    Architecture((), "tanh", 3, path)
    assert get(path).reads == ("latent",)
    assert get(SMALL).reads == ("latent", "hidden", "dropout")
    with pytest.raises(ValueError, match=r"the network own.py .*SystemExit.*now"):
        create_pair(Architecture((), "tanh", 3, path), (4, 3), 12, [0])


def test_code_that_was_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    mean_own({path: read_own(path).sha256})
    get(path)
    written(tmp_path, ("import torch\n", "import torch  # another\n"))
    with pytest.raises(ValueError, match=r"the network own.py was changed while it was in use; begin again"):
        get(path)


# -- refused -----------------------------------------------------------------------------------------------------------

LAYER = "self.body = nn.Linear(latent, outputs)"
DECODED, ENCODED = "return self.body(z)", "return self.body(x.flatten(1))"
NORMALISED = "self.body = nn.Sequential(nn.BatchNorm1d(latent), nn.Linear(latent, outputs))"
UNUSED = f"{LAYER}\n        self.more = nn.Linear(2, 5)"
OF_NOBODY = f"{LAYER}\n        self.body.bias.data += next(counter)"
ONES = f"{LAYER}\n        nn.init.ones_(self.body.weight)\n        nn.init.ones_(self.body.bias)"
COUNTED = "self.calls = getattr(self, 'calls', 0) + 1\n        return self.body(z) + self.calls"
NOISY = "return self.body(z + torch.randn_like(z) if self.training else z)"
ALWAYS = "return nn.functional.dropout(self.body(x.flatten(1)), 0.5, True)"
E, D = r"of own.py the encoder, \[B, 12\] to \[B, 6\],", r"of own.py the decoder, \[B, 3\] to \[B, 24\],"

#: what is changed in a network that is one, and what is said of it
BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "a decoder that is too wide": (
        {LAYER: "self.body = nn.Linear(latent, outputs + 1)"},
        r"the Decoder of own.py gives \[2, 25\] for \[2, 3\], and \[2, 24\] is wanted",
    ),
    "an encoder of means alone": (
        {"2 * latent": "latent"},
        r"the Encoder of own.py gives \[2, 3\] for \[2, 1, 4, 3\], and \[2, 6\] is wanted",
    ),
    "maps of other sides": (
        {DECODED: f"{DECODED}.view(-1, 2, 3, 4)"},
        r"the Decoder of own.py gives \[2, 2, 3, 4\] for \[2, 3\], and \[2, 24\] is wanted",
    ),
    "a sum over the batch": (
        {DECODED: f"{DECODED}.sum(0)"},
        r"the Decoder of own.py gives \[24\] for \[2, 3\], and \[2, 24\] is wanted",
    ),
    "no tensor": ({DECODED: "return {'raw': self.body(z)}"}, "gives dict and no tensor of shape"),
    "a mean over the batch": ({ENCODED: f"{ENCODED} - x.mean()"}, f"{E} depends on its neighbours in the batch"),
    "batch normalisation": ({LAYER: NORMALISED}, f"{D} depends on its neighbours in the batch: .* in training"),
    "a neighbour's row": ({DECODED: "return self.body(z.roll(1, 0))"}, f"{D} depends on its neighbours in the batch"),
    "noise in evaluation": (
        {DECODED: "return self.body(z + 0.1 * torch.randn_like(z))"},
        f"{D} is not deterministic in evaluation",
    ),
    "dropout that never ends": ({ENCODED: ALWAYS}, f"{E} is not deterministic in evaluation"),
    "a counter": ({DECODED: COUNTED}, f"{D} is not deterministic in evaluation"),
    "noise in training": ({DECODED: NOISY}, f"{D} .* in training"),
    "a layer that is not used": ({LAYER: UNUSED}, r"no gradient reaches more.weight \[5, 2\] of the decoder"),
    "weights of nobody's seed": (
        {"import torch\n": "import itertools\nimport torch\ncounter = itertools.count()\n", LAYER: OF_NOBODY},
        r"body.bias \[24\] of the decoder is not the same each time for one seed",
    ),
    "the same weights for all": ({LAYER: ONES}, f"{D} has the same weights for every seed"),
    "an argument of its own": (
        {"self, latent, outputs": "self, latent, outputs, width"},
        r"the Decoder of own.py wants 'width', which nobody gives it .*: give it a default",
    ),
    "an error of its own": (
        {DECODED: "return self.body(z.view(5, 5))"},
        r"the Decoder of own.py fails on \[B, 3\] in line 19 \(RuntimeError: shape '\[5, 5\]' is invalid",
    ),
    "no class": (
        {"class Decoder": "class Decodr"},
        "own.py has no class Decoder: write two classes of torch.nn.Module",
    ),
    "no module": ({"class Decoder(nn.Module)": "class Decoder(dict)"}, "Decoder of own.py is no class of torch.nn"),
    "no Python": ({"import torch\n": "import torch(\n"}, "own.py is no Python in line 1: mend it"),
    "no parameters": (
        {LAYER: "self.width = outputs", "self.body(z)": "z.sum(1, True).expand(-1, self.width)"},
        "the Decoder of own.py has no parameters",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_network_is_refused_in_a_sentence(fault: str, tmp_path: Path) -> None:
    changes, said = BROKEN[fault]
    path = written(tmp_path, *changes.items())
    with pytest.raises(ValueError, match=said) as refused:
        laws.check(setting(path))
    assert len(str(refused.value)) <= 280
    assert "own.py" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(ValueError, match=r"there is no network|unknown network"):
            Architecture((), "tanh", 3, str(path))
    with pytest.raises(ValueError, match="latent=0"):
        Architecture((), "tanh", 0, written(tmp_path))


def test_a_precision_that_its_products_cannot_have_is_refused(data: Dataset, tmp_path: Path) -> None:
    schedule = Schedule(1, 20, 1e-3, precision="bf16")
    with pytest.raises(ValueError, match="a network of one's own is trained in float32: leave precision out"):
        train(
            data,
            [Member(likelihoods.make("gaussian", sigma=0.2))],
            Architecture((), "tanh", 3, written(tmp_path)),
            schedule,
        )


def test_a_law_that_a_shipped_network_would_break_is_said_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(LawBroken, match=r"; take torch.nn.GroupNorm for BatchNorm, and nothing over axis 0$"):
        laws.check(setting(written(tmp_path, *BROKEN["batch normalisation"][0].items())))
