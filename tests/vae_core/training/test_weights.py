"""A trained model goes to a file and comes back to the bit, or is refused in a sentence."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from tests.conftest import TRIANGULAR
from tests.vae_core.likelihoods.cases import Case, cases
from tests.vae_core.networks.folders import ONE_MORE, beside
from tests.vae_core.networks.test_networks import ASKED
from vae_core import likelihoods, plugins
from vae_core.data import Dataset
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.numerics import tensor_file
from vae_core.training import (
    Blueprint,
    Member,
    Schedule,
    TrainedModel,
    fit_scale,
    load_model,
    save_model,
    train,
)

NETWORK = Architecture((7, 5), "tanh", 3)
GAUSSIAN = Blueprint(NETWORK, (4, 3), "gaussian", {"sigma": "shared"})


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", 5, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def trained(data: Dataset, blueprint: Blueprint) -> TrainedModel:
    schedule = Schedule(2, 20, 1e-2)
    return train(data, [Member(blueprint.likelihood())], blueprint.architecture, schedule).models[0]


@pytest.fixture(scope="module")
def gaussian(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, Path]:
    """A model with a learned scale, and its file."""
    model, path = trained(data, GAUSSIAN), tmp_path_factory.mktemp("weights") / "g.safetensors"
    save_model(path, model, GAUSSIAN)
    return model, path


def seen(model: TrainedModel, likelihood: Likelihood, data: Dataset) -> list[Tensor]:
    """What a model makes of some images: q, raw outputs, masses, means, draws."""
    k = (data.test > 2).to(torch.uint8) if model.view.binary else data.test
    levels = 2 if model.view.binary else data.levels
    with torch.no_grad():
        mean, log_variance = model.encode(k)
        raw = model.decode(mean)
        draws = likelihood.sample(raw, torch.Generator().manual_seed(0))
        return [mean, log_variance, raw, likelihood.log_mass(k, raw, levels), likelihood.mean(raw), draws]


def require_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_family_at_every_scale_comes_back_to_the_bit(case: Case, data: Dataset, tmp_path: Path) -> None:
    family, options = likelihoods.get(case.family), dict(case.options)
    if family.takes_levels:
        options["levels"] = data.levels
    blueprint = Blueprint(NETWORK, data.shape, case.family, options)
    model, path = trained(data, blueprint), tmp_path / "m.safetensors"
    ways = {scoring: model.likelihood.scored(scoring) for scoring in family.scorings}
    for likelihood in [way for way in (*ways.values(), model.likelihood) if way.needs_fit]:
        fit_scale(likelihood, data, model.encode, model.decode)
    save_model(path, model, blueprint, ways)
    for scoring, likelihood in ways.items():
        loaded = load_model(path, scoring)
        assert (loaded.scoring, loaded.blueprint, loaded.view) == (scoring, blueprint, model.view)
        assert loaded.levels == (2 if model.view.binary else 5)
        assert loaded.parameters == model.parameters
        require_equal(seen(loaded, loaded.likelihood, data), seen(model, likelihood, data))
        again = tmp_path / "again.safetensors"
        save_model(again, loaded, loaded.blueprint, {scoring: loaded.likelihood})
        require_equal(seen(load_model(again), likelihood, data), seen(model, likelihood, data))


@pytest.mark.parametrize("name", ASKED)
def test_every_network_comes_back_to_the_bit(name: str, data: Dataset, tmp_path: Path) -> None:
    with beside(ONE_MORE):
        blueprint = dataclasses.replace(GAUSSIAN, architecture=Architecture(*ASKED[name], network=name))
        model, path = trained(data, blueprint), tmp_path / "m.safetensors"
        for stack in (model.encoder, model.decoder):
            assert len(set(stack.names())) == len(stack.names()) == len(stack.parameters())
        save_model(path, model, blueprint)
        loaded = load_model(path)
        require_equal(seen(loaded, loaded.likelihood, data), seen(model, model.likelihood, data))
    if name == "linear":  # a file of the folder that is not there any more
        with pytest.raises(ValueError, match=f"m.safetensors: unknown network '{name}'"):
            load_model(path)


def test_models_of_a_bundle_come_back_each_as_itself(data: Dataset, tmp_path: Path) -> None:
    members = [Member(likelihoods.make("student_t", sigma=sigma, df="shared"), seed=1) for sigma in (0.1, 0.3)]
    for sigma, model in zip((0.1, 0.3), train(data, members, NETWORK, Schedule(2, 20, 1e-2)).models, strict=True):
        path = tmp_path / f"{sigma}.safetensors"
        save_model(path, model, Blueprint(NETWORK, data.shape, "student_t", {"sigma": sigma, "df": "shared"}))
        loaded = load_model(path)
        require_equal(seen(loaded, loaded.likelihood, data), seen(model, model.likelihood, data))


def test_a_running_mean_goes_on_where_it_was(data: Dataset, tmp_path: Path) -> None:
    blueprint = dataclasses.replace(GAUSSIAN, options={"sigma": "optimal"})
    model, path = trained(data, blueprint), tmp_path / "m.safetensors"
    save_model(path, model, blueprint)
    x, raw = torch.rand(6, 12), torch.rand(6, 12)
    loaded = load_model(path).likelihood
    assert float(loaded.named_state()["scale.weight"]) > 0
    assert torch.equal(loaded.train_log_prob(x, raw), model.likelihood.train_log_prob(x, raw))
    require_equal(loaded.state(), model.likelihood.state())


# -- what the file is --------------------------------------------------------------------------------------------------


def test_any_reader_of_safetensors_finds_tensors_by_name_and_facts_as_json(
    gaussian: tuple[TrainedModel, Path], data: Dataset
) -> None:
    model, path = gaussian
    arrays = load_file(path)
    assert {name: array.shape for name, array in arrays.items() if not name.startswith("decoder")} == {
        "encoder.0.weight": (12, 7),
        "encoder.0.bias": (1, 7),
        "encoder.1.weight": (7, 5),
        "encoder.1.bias": (1, 5),
        "encoder.2.weight": (5, 6),
        "encoder.2.bias": (1, 6),
        "likelihood.scale.theta": (),
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    h = data.test.numpy() / np.float32(4)
    for layer in range(3):
        h = (np.tanh(h) if layer else h) @ arrays[f"encoder.{layer}.weight"] + arrays[f"encoder.{layer}.bias"]
    mean, _ = model.encode(data.test)
    np.testing.assert_allclose(h[:, :3], mean, rtol=1e-4, atol=1e-5)
    _, facts = tensor_file.read(path)
    assert facts["network"] == {"hidden": [7, 5], "activation": "tanh", "latent": 3, "network": "mlp"}
    assert facts["likelihood"] == {"family": "gaussian", "options": {"sigma": "shared"}, "plugin": None}
    assert (facts["shape"], facts["view"], facts["levels"], facts["scorings"]) == ([4, 3], "real", 5, ["itself"])


def test_a_file_of_before_is_read_with_the_floor_that_it_was_trained_above(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In format 1 σ was e^raw + 0.001, at any K; now raw is ln σ but near a 64th of a bin."""
    path, blueprint = tmp_path / "m.safetensors", Blueprint(NETWORK, (4, 3), "gaussian", {"sigma": "pixel"})
    model = trained(data, blueprint)
    raw = torch.tensor([[0.2, 0.3, -7.0, -3.0]])
    for written, expected in ((1, np.exp([-7.0, -3.0]) + 1e-3), (2, np.exp([-7.0, -3.0]))):
        monkeypatch.setattr(tensor_file, "FORMAT", written)
        save_model(path, model, blueprint)
        sigma = load_model(path).likelihood._parts()["scale"].split(raw)[1].exp()[0]  # type: ignore[attr-defined]
        np.testing.assert_allclose(sigma, expected, rtol=1e-4)


def test_what_is_said_about_a_model_is_kept(gaussian: tuple[TrainedModel, Path], tmp_path: Path) -> None:
    model, path = gaussian[0], tmp_path / "m.safetensors"
    save_model(path, model, GAUSSIAN, about={"for whom": ["σ", 1.5, None]})
    assert load_model(path).about == {"for whom": ["σ", 1.5, None]}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.safetensors"]
    with pytest.raises(ValueError, match="about='levels' is a fact of the file's own"):
        save_model(path, model, GAUSSIAN, about={"levels": 9})


def test_loading_needs_no_bench(gaussian: tuple[TrainedModel, Path]) -> None:
    script = (
        "import sys\nfrom vae_core.training import load_model\n"
        f"model = load_model({str(gaussian[1])!r})\nassert model.blueprint.shape == (4, 3)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'bench']"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)


def test_a_file_is_read_and_copied_without_torch(gaussian: tuple[TrainedModel, Path], tmp_path: Path) -> None:
    copied = tmp_path / "c.safetensors"
    script = (
        "import sys\nfrom pathlib import Path\nfrom vae_core.numerics import tensor_file\n"
        f"arrays, facts = tensor_file.read(Path({str(gaussian[1])!r}))\n"
        f"tensor_file.write(Path({str(copied)!r}), arrays, facts)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)
    assert tensor_file.read(copied)[1] == tensor_file.read(gaussian[1])[1]


def test_the_example_of_the_loader_is_true() -> None:
    module = importlib.import_module("vae_core.training.weights")
    assert doctest.testmod(module).failed == 0


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_blueprint_of_another_model_is_refused(gaussian: tuple[TrainedModel, Path], data: Dataset) -> None:
    model, path = gaussian
    before = path.read_bytes()
    fixed = dataclasses.replace(GAUSSIAN, options={"sigma": 0.2})
    for wrong, right in (
        (dataclasses.replace(GAUSSIAN, family="laplace"), model),
        (dataclasses.replace(GAUSSIAN, architecture=Architecture((7, 6), "tanh", 3)), model),
        (dataclasses.replace(GAUSSIAN, options={"sigma": 0.3}), trained(data, fixed)),
    ):
        with pytest.raises(ValueError, match=r"is not what the blueprint says|is needed"):
            save_model(path, right, wrong)
    assert path.read_bytes() == before


def rewritten(path: Path, to: Path, **facts: object) -> Path:
    arrays, before = tensor_file.read(path)
    tensor_file.write(to, arrays, {**before, **facts})
    return to


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda whole: b"", "is no model file: vae-bench model and vae_core.training.save_model write such"),
        (lambda whole: b"a year of notes", "is no model file"),
        (lambda whole: whole[:60], "is no model file"),
        (lambda whole: whole[:-9], r"is damaged \(.*\): take another copy of it"),
        (lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], r"is damaged \(its checksum is another\)"),
        (lambda whole: whole.replace(b"shared", b"Shared"), r"is damaged \(its checksum is another\)"),
        (
            lambda whole: whole.replace(b'"vae_core.format":"2"', b'"vae_core.format":"3"'),
            r"was written by another version \(its format is 3, this one's 2\): read it with that version",
        ),
    ],
)
def test_what_is_no_whole_file_gets_a_sentence(gaussian, tmp_path, damage, sentence) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(damage(gaussian[1].read_bytes()))
    with pytest.raises(ValueError, match=rf"^{path} {sentence}[^\n]*$"):
        load_model(path)


def test_files_of_others_and_files_that_are_not_there_get_a_sentence(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "theirs.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"theirs.safetensors is no model file"):
        load_model(tmp_path / "theirs.safetensors")
    for lacking in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(ValueError, match=f"^{lacking} cannot be read: "):
            load_model(lacking)


def test_tensors_of_another_type_or_shape_are_refused(gaussian: tuple[TrainedModel, Path], tmp_path: Path) -> None:
    arrays, facts = tensor_file.read(gaussian[1])
    path, name = tmp_path / "m.safetensors", "encoder.0.bias"
    for changed, sentence in (
        ({name: arrays[name].astype(np.float16)}, r"encoder.0.bias is torch.float16 \[1, 7\], where torch.float32"),
        ({name: arrays[name][0]}, r"encoder.0.bias is torch.float32 \[7\], where torch.float32 \[1, 7\] is needed"),
        ({"encoder.3.weight": arrays[name]}, r"not those of the network .*\(encoder.3.weight\)"),
    ):
        tensor_file.write(path, {**arrays, **changed}, facts)
        with pytest.raises(ValueError, match=rf"^{path}: its .*{sentence}"):
            load_model(path)
    tensor_file.write(path, {key: array for key, array in arrays.items() if key != name}, facts)
    with pytest.raises(ValueError, match=r"not those of the network .*\(encoder.0.bias\)"):
        load_model(path)


def test_facts_that_lack_something_are_refused(gaussian: tuple[TrainedModel, Path], tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    arrays, facts = tensor_file.read(gaussian[1])
    tensor_file.write(path, arrays, {key: fact for key, fact in facts.items() if key != "network"})
    with pytest.raises(ValueError, match=rf"^{path} lacks what a model is built from \('network'\)"):
        load_model(path)
    with pytest.raises(ValueError, match=r"unknown family 'gausian' \(did you mean 'gaussian'"):
        load_model(rewritten(gaussian[1], path, likelihood={**facts["likelihood"], "family": "gausian"}))
    with pytest.raises(ValueError, match=r"was not scored as 'gaussian_fitted' \(there is: itself\)"):
        load_model(gaussian[1], "gaussian_fitted")


@pytest.mark.usefixtures("same_catalogue_afterwards")
def test_a_plug_in_is_asked_for_by_its_file(data: Dataset, tmp_path: Path) -> None:
    blueprint = Blueprint(NETWORK, data.shape, "triangular")
    model, path = trained(data, blueprint), tmp_path / "m.safetensors"
    save_model(path, model, blueprint)
    del likelihoods._FAMILIES["triangular"], likelihoods._PLUGINS["triangular"]
    sentence = r"its family 'triangular' is a plug-in: vae_core.plugins.register\('triangular.py'\) first, then load it"
    with pytest.raises(ValueError, match=sentence):
        load_model(path)
    plugins.register(TRIANGULAR, check=False)
    loaded = load_model(path)
    require_equal(seen(loaded, loaded.likelihood, data), seen(model, model.likelihood, data))
    _, facts = tensor_file.read(path)
    plugin = {**facts["likelihood"]["plugin"], "sha256": "0" * 64}
    with pytest.warns(UserWarning, match=r"not the code that this model was trained with \(triangular.py, checksum 0"):
        load_model(rewritten(path, path, likelihood={**facts["likelihood"], "plugin": plugin}))
    assert json.dumps(facts).count(str(Path.home())) == 0


def test_a_recipe_s_file_of_before_it_had_readings_is_read(data: Dataset, tmp_path: Path) -> None:
    """Squared error kept an unused scale of its own, cross-entropy none; neither was told the levels."""
    for family, extra in (("mse_sum", True), ("bce_sum", False)):
        blueprint = Blueprint(NETWORK, data.shape, family)
        model, path = trained(data, blueprint), tmp_path / f"{family}.safetensors"
        save_model(path, model, blueprint)
        arrays, facts = tensor_file.read(path)
        assert not {name for name in arrays if name.startswith(("likelihood.", "scored."))}
        if extra:
            arrays |= {f"likelihood.fitted.{name}": np.zeros((), np.float32) for name in ("log", "mean", "weight")}
            tensor_file.write(path, arrays, facts)
        require_equal(seen(load_model(path), model.likelihood, data), seen(model, model.likelihood, data))
