"""Networks are found from their folder, say what they cost, and a new one is one file."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.vae_core.networks.folders import ONE_MORE, beside
from vae_core import likelihoods, networks
from vae_core.data import Dataset
from vae_core.evaluate import Scoring, Trained, assess, log_likelihood
from vae_core.laws import networks as laws
from vae_core.networks import Architecture, create_pair, model_cost
from vae_core.training import Member, Schedule, Trainer, train

#: what each network of the folder, and the one more, can be built as; a new network needs a line
ASKED: dict[str, tuple[tuple[int, ...], str, int]] = {
    "mlp": ((6, 5), "relu", 3),
    "conv": ((6, 5), "relu", 3),
    "resnet": ((6, 5), "tanh", 3),
    "linear": ((), "none", 3),
}
#: images that they can be built for: those of convolutions have sides, and are not too small for the stages
SHAPES = [(12,), (4, 3), (2, 2, 3), (7, 5, 2)]
OF_SIDES = {(4, 3): (5, 4), (2, 2, 3): (4,), (7, 5, 2): (4, 8, 4)}
STAGES = {"conv": OF_SIDES, "resnet": OF_SIDES}
BUILT = [(name, shape) for name in ASKED for shape in SHAPES if shape in STAGES.get(name, dict.fromkeys(SHAPES))]


@pytest.fixture
def one_more() -> Iterator[None]:
    with beside(ONE_MORE):
        yield


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", 5, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def asked(name: str, shape: tuple[int, ...] = (4, 3)) -> Architecture:
    widths = STAGES.get(name, {}).get(shape, (32, 64))
    return Architecture(*ASKED[name], network=name, widths=widths)


# -- the registry ------------------------------------------------------------------------------------------------------


def test_every_file_of_the_folder_is_a_network() -> None:
    folder = Path(networks.__file__).parent
    assert networks.names() == sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    assert networks.get("mlp") is sys.modules["vae_core.networks.mlp"].MLP


@pytest.mark.usefixtures("one_more")
def test_every_network_is_tested() -> None:
    assert set(networks.names()) <= set(ASKED), "say in ASKED what the new one can be built as"


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    sentence = r"unknown network 'mpl' \(did you mean 'mlp'\? allowed: .*mlp.*\)"
    with pytest.raises(ValueError, match=sentence):
        networks.get("mpl")
    with pytest.raises(ValueError, match=sentence):
        Architecture((3,), "tanh", 2, "mpl")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty defines 0 concrete networks: one file, one network"),
        (
            "from vae_core.networks.mlp import MLP\nclass A(MLP): pass\nclass B(MLP): pass\n",
            r"empty defines 2 concrete networks \(A, B\)",
        ),
    ],
)
def test_a_file_that_is_not_one_network_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "empty.py").write_text(text)
    with beside(tmp_path), pytest.raises(ImportError, match=sentence):
        networks.names()
    assert "mlp" in networks.names()


def test_names_are_read_without_executing_torch() -> None:
    script = """
import sys
from bench.grid import lazy_torch
lazy_torch.install()
from vae_core import networks
assert "mlp" in networks.names()
networks.Architecture((200,), "tanh", 10)
assert "torch._C" not in sys.modules, "executed"
"""
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)


# -- what every network keeps to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), BUILT)
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.usefixtures("one_more")
def test_every_network_obeys_the_laws(name: str, shape: tuple[int, ...], law: laws.Law) -> None:
    law(laws.NetworkSetting(asked(name, shape), shape, 2 * math.prod(shape) + 1))


@pytest.mark.parametrize(("name", "shape"), BUILT)
@pytest.mark.usefixtures("one_more")
def test_a_stack_is_its_models(name: str, shape: tuple[int, ...]) -> None:
    """Shapes; a model alone, selected or created, gives what it gives in the stack; models of one seed are equal."""
    dims, architecture = math.prod(shape), asked(name, shape)
    pair = create_pair(architecture, shape, 2 * dims, [0, 1, 0])
    alone = create_pair(architecture, shape, 2 * dims, [1])
    inputs = (torch.randn(3, 7, dims), torch.randn(3, 7, 3))
    for stacked, single, x, width in zip(pair, alone, inputs, (6, 2 * dims), strict=True):
        out = stacked(x)
        assert out.shape == (3, 7, width)
        torch.testing.assert_close(single(x[1:2]), out[1:2])
        torch.testing.assert_close(stacked.select(1)(x[1:2]), out[1:2])
        torch.testing.assert_close(stacked(x[:1].expand(3, -1, -1))[2], out[0])
        assert all(len(tensor) == 3 for tensor in stacked.parameters())
        assert not any(
            t.data_ptr() == s.data_ptr() for t in stacked.select(0).parameters() for s in single.parameters()
        )
        assert [t.shape for t in stacked.to("cpu").parameters()] == [t.shape for t in stacked.parameters()]


@pytest.mark.parametrize(("name", "shape"), BUILT)
@pytest.mark.usefixtures("one_more")
def test_costs_are_what_is_there_and_what_the_profiler_counts(name: str, shape: tuple[int, ...]) -> None:
    dims = math.prod(shape)
    for stacked, width in zip(create_pair(asked(name, shape), shape, 2 * dims, [0]), (dims, 3), strict=True):
        cost = stacked.cost()
        assert cost.parameters == sum(tensor.numel() for tensor in stacked.parameters())
        assert cost.first_operations <= cost.operations
        with FlopCounterMode(display=False) as counter:
            stacked(torch.randn(1, 5, width), torch.baddbmm)
        assert counter.get_total_flops() == 5 * cost.operations


@pytest.mark.parametrize(("name", "shape"), BUILT)
@pytest.mark.usefixtures("one_more")
def test_an_update_costs_what_the_profiler_counts(name: str, shape: tuple[int, ...]) -> None:
    """Forward and backward of one image with L samples, of which no gradient flows into the image."""
    dims, samples, rows = math.prod(shape), 2, 5
    cost = model_cost(asked(name, shape), shape, 2 * dims)
    encoder, decoder = create_pair(asked(name, shape), shape, 2 * dims, [0])
    for tensor in (*encoder.parameters(), *decoder.parameters()):
        tensor.requires_grad_()
    with FlopCounterMode(display=False) as counter:
        encoded = encoder.train(torch.randn(1, rows, dims), torch.baddbmm)
        z = encoded[..., :3].repeat(1, samples, 1)
        decoder.train(z, torch.baddbmm).square().sum().backward()
    assert counter.get_total_flops() == rows * cost.update_operations(samples)


# -- one extra file, carried through -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_more")
def test_a_new_network_is_found_trained_scored_and_assessed(data: Dataset) -> None:
    assert "linear" in networks.names()
    with pytest.raises(ValueError, match=r"linear has no hidden layers, given hidden=\[3\]"):
        Architecture((3,), "tanh", 2, "linear")
    architecture = asked("linear")
    members = [Member(likelihoods.make("gaussian", sigma=0.2), seed=seed) for seed in (0, 1)]
    untrained = Trainer(data, members, architecture, Schedule(1, 20, 1e-3), "cpu")
    bundle = train(data, members, architecture, Schedule(8, 20, 1e-2))
    alone = train(data, members[1:], architecture, Schedule(8, 20, 1e-2))
    assert bundle.failures == [None, None]
    assert bundle.history[0][-1][2] > bundle.history[0][0][2]
    assert bundle.validation[1] == pytest.approx(alone.validation[0], rel=1e-4)
    model = bundle.models[1]
    assert type(model.encoder) is type(untrained.program.encoder)
    estimate = log_likelihood(data.test, model.encode, model.decode, model.likelihood, (1, 10), levels=5)
    (assessment,) = assess(
        data.test,
        model.encode,
        model.decode,
        [Scoring(model.likelihood, "always")],
        levels=5,
        samples=(1, 10),
        trained=Trained(model.likelihood),
        shape=data.shape,
    )
    torch.testing.assert_close(assessment.encoder.bound[10], estimate.bound[10])
    assert (assessment.log_likelihood > assessment.encoder.elbo - 1e-3).double().mean() > 0.5
    assert assessment.pictures.draw.shape == (8, 4, 3)
