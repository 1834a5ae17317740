"""The example that scores a Pythae model: its numbers against hand-written ones, on a stand-in with Pythae's interface
and, where it is installed, on Pythae itself."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vae_core import data

EXAMPLE = Path(__file__).parents[1] / "examples" / "score_pythae.py"
LOSSES = ("mse", "bce")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_pythae", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_pythae"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    whole = data.load("digits")
    images = [split[:20].reshape(-1, *whole.shape).numpy() for split in (whole.train, whole.valid, whole.test)]
    return data.Dataset.from_arrays("digits", whole.levels, *images)


class Encoder(nn.Module):
    def __init__(self, dims: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(dims, latent), nn.Linear(dims, latent)

    def forward(self, x: Tensor) -> SimpleNamespace:
        flat = x.flatten(1)
        return SimpleNamespace(embedding=self.mean(flat), log_covariance=self.log_variance(flat) - 2)


class Decoder(nn.Module):
    def __init__(self, shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.shape, self.linear = shape, nn.Linear(latent, math.prod(shape))

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return {"reconstruction": torch.sigmoid(self.linear(z)).reshape(len(z), *self.shape)}


class StandIn(nn.Module):
    """What the example uses of pythae.models.VAE, after the text of Pythae 0.1.2's `get_nll` and `loss_function`."""

    def __init__(self, shape: tuple[int, ...], loss: str, latent: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder, self.loss = Encoder(math.prod(shape), latent), Decoder(shape, latent), loss

    def _draw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z, mean, ln variance, and the error per image: ½ squared, or the cross-entropy."""
        encoded = self.encoder(x)
        mean, log_variance = encoded.embedding, encoded.log_covariance
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        given, shown = x.flatten(1), self.decoder(z)["reconstruction"].flatten(1)
        if self.loss == "mse":
            error = 0.5 * (given - shown).square()
        else:
            error = nn.functional.binary_cross_entropy(shown, given, reduction="none")
        return z, mean, log_variance, error.sum(1)

    def forward(self, inputs: dict[str, Tensor]) -> SimpleNamespace:
        _, mean, log_variance, error = self._draw(inputs["data"])
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return SimpleNamespace(loss=(error + kl).mean())

    def get_nll(self, x: Tensor, n_samples: int, batch_size: int) -> float:
        """The mean of +ln p, over ⌊n_samples/batch_size⌋ whole chunks or one."""
        constant = 0.5 * x[0].numel() * math.log(2 * math.pi) if self.loss == "mse" else 0.0
        values = []
        for image in x:
            log_weights = []
            for _ in range(max(n_samples // batch_size, 1)):
                z, mean, log_variance, error = self._draw(image.expand(batch_size, *image.shape))
                log_q = -0.5 * (log_variance + (z - mean).square() / log_variance.exp()).sum(1)
                log_weights.append(-error - constant - 0.5 * z.square().sum(1) - log_q)
            values.append(torch.cat(log_weights).logsumexp(0) - math.log(len(log_weights) * batch_size))
        return float(torch.stack(values).mean())


@pytest.fixture(scope="module", params=["stand-in", "pythae"])
def models(request: pytest.FixtureRequest, example: ModuleType, digits: data.Dataset) -> dict[str, Any]:
    """A model for each reconstruction loss."""
    if request.param == "stand-in":
        return {loss: StandIn(digits.shape, loss).eval() for loss in LOSSES}
    pytest.importorskip("pythae")
    return {loss: example.train(loss, digits, epochs=1, latent=3) for loss in LOSSES}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("asked", "drawn"), [(25, 20), (20, 20), (3, 10)])
def test_the_terms_add_up_to_what_pythae_returned(
    example: ModuleType, models: dict[str, Any], digits: data.Dataset, loss: str, asked: int, drawn: int
) -> None:
    recipe = example.RECIPES[loss]
    found = example.bridge(models[loss], recipe, digits.test, digits.levels, digits.shape, asked=asked, chunk=10)
    assert found.drawn == drawn
    assert abs(found.left_over) < 1e-4  # float32 sums of about 60 nats
    terms = {text: value for text, _, value in found.terms}
    assert (terms[f"{drawn} samples drawn where {asked} were asked for"] == 0) == (asked == drawn)
    width = {"mse": 16, "bce": 17}[loss]
    assert terms["the bins' width left out"] == pytest.approx(64 * math.log(width), abs=1e-9)


def test_the_terms_do_not_add_up_to_a_number_that_is_not_pythaes(
    example: ModuleType, digits: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay is of that number: a get_nll without its constant, or of another sign, leaves something over."""
    model = StandIn(digits.shape, "mse").eval()
    own = model.get_nll
    for change, left in ((lambda nll: nll + 1, 1), (lambda nll: -nll, 100)):
        monkeypatch.setattr(model, "get_nll", lambda *args, change=change, **kwargs: change(own(*args, **kwargs)))
        found = example.bridge(model, example.RECIPES["mse"], digits.test, digits.levels, digits.shape, 20, 10)
        assert found.left_over > 0.99 * left


@pytest.mark.parametrize("loss", LOSSES)
def test_the_training_loss_is_the_elbo_without_the_gaussians_constant(
    example: ModuleType, models: dict[str, Any], digits: data.Dataset, loss: str
) -> None:
    found = example.training_loss(models[loss], example.RECIPES[loss], digits.test, digits.levels, digits.shape)
    assert abs(found.left_over) < 1e-4
    assert found.constant == pytest.approx(32 * math.log(2 * math.pi) if loss == "mse" else 0, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_scores_are_masses_and_what_pythae_calls_density_is_not(
    example: ModuleType, models: dict[str, Any], digits: data.Dataset, loss: str
) -> None:
    """Better than a uniform guess is possible, better than certainty is not; the fitted σ comes from training data."""
    scored = dict(example.scorings(models[loss], example.RECIPES[loss], digits))
    readings = example.RECIPES[loss].likelihood().scorings
    assert [name.partition(",")[0] for name in scored] == [reading.replace("_", " ") for reading in readings]
    for estimate in scored.values():
        assert estimate.bound[1000].shape == (20,)
        assert (estimate.bound[1000] < 0).all()
        assert (estimate.bound[1000].mean() > estimate.bound[10].mean() - 0.1).all()
    if loss == "mse":
        x = data.grey(digits.train, digits.levels)
        encode = example.encoder_of(models[loss], digits.shape)
        decode = example.decoder_of(models[loss], example.RECIPES[loss])
        with torch.no_grad():
            at_the_mean = (x - decode(encode(x)[0])).square().mean().sqrt()
        (fitted,) = [name for name in scored if name.startswith("gaussian fitted")]
        assert float(fitted.rpartition("=")[2]) == pytest.approx(float(at_the_mean), rel=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_report_fits_a_terminal_and_labels_every_number(
    example: ModuleType, models: dict[str, Any], digits: data.Dataset, loss: str
) -> None:
    text = example.report(models[loss], loss, digits, "Pythae")
    assert max(len(line.replace("\N{COMBINING CIRCUMFLEX ACCENT}", "")) for line in text.splitlines()) <= 79
    last = {"mse": "[density]", "bce": "[unnormalised]"}[loss]
    for line in text.splitlines():
        if line.startswith(("  exact mass", "  Pythae's get_nll", "  ELBO", "  minus Pythae's loss")):
            assert "[" in line
    (own,) = [line for line in text.splitlines() if line.startswith("  Pythae's get_nll")]
    assert last in own


def test_without_pythae_one_sentence_says_what_to_do() -> None:
    script = (
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'pythae' else find(name, *rest)\n"
        f"sys.argv = ['score_pythae.py']\nrunpy.run_path({str(EXAMPLE)!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.strip() == 'Pythae is not installed: pip install "pythae==0.1.2"'
