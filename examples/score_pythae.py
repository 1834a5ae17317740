"""A VAE trained with Pythae, scored by `log_likelihood`: what Pythae's own numbers are, and what they leave out.

    pip install -e ".[examples]"           # in the repository: this project, and Pythae
    python examples/score_pythae.py        # the digits inside scikit-learn: no download, a minute on two idle cores
    python examples/score_pythae.py --dataset mnist

Written against Pythae 0.1.2 (September 2023, its last release). Its `VAE.get_nll`

* returns the mean of +ln p(x), higher is better, under the name "nll";
* draws whole chunks: ⌊n_samples/batch_size⌋ of them, the remainder dropped, and one whole chunk where fewer samples are
  asked for, so the default n_samples=1 gives the bound of 100 samples and not the ELBO;
* scores grey values as they are. With reconstruction_loss="mse" that is a density, N(μ, 1) at the grey value; with
  "bce" it is no distribution at all, since the cross-entropy of a grey value has no normaliser.

Its training loss with "mse" is ½ Σ (x−μ)² + KL, the same Gaussian without D/2 ln 2π (up to 0.1.1 it was Σ (x−μ)² + KL,
a Gaussian of σ² = ½, beside a get_nll of σ² = 1). What follows replays Pythae's own samples z with this library's
likelihoods, names each step between the exact mass of the integers and Pythae's number, and then scores the model.

To score a VAE of your own, keep `score`: mean and ln variance of q(z|x), a decoder and a likelihood are all it takes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import itertools
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_core import data, likelihoods
from vae_core.evaluate import Estimate, log_likelihood
from vae_core.likelihoods import Likelihood
from vae_core.objectives import Posterior, iwae

ASKED, CHUNK = 250, 100  # get_nll's n_samples and batch_size: a chunk that does not divide the samples, as happens
SAMPLES = (10, 100, 1000)  # L of the honest bounds
GAUSSIAN = likelihoods.make("gaussian", sigma=1.0)
CONTINUOUS_BERNOULLI = likelihoods.make("continuous_bernoulli")
WIDTH = 79

#: (integers k, grey values x, raw decoder outputs, levels K) -> ln of something [...], nats
Score = Callable[[Tensor, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Step:
    """One change on the way from the exact mass to Pythae's number."""

    change: str  #: what was done to the step before
    measure: str  #: of the result
    score: Score


@dataclass(frozen=True)
class Recipe:
    """What one of Pythae's reconstruction losses is."""

    likelihood: Callable[[], Likelihood]  #: trained on the same loss (log_prob), scored by exact masses (log_mass)
    raw: Callable[[Tensor], Tensor]  #: Pythae's "reconstruction" -> the likelihood's raw output
    means: str  #: what get_nll gives with it
    steps: tuple[Step, ...]  #: from the exact mass to what get_nll sums
    note: str  #: what a reader of the steps will ask


def logit(mean: Tensor) -> Tensor:
    """Of the sigmoid that Pythae's decoders end with; what float32 rounded to 1 is taken as the last number below."""
    wide = mean.double().clamp(min=1e-40, max=1 - 2**-25)
    return (wide.log() - torch.log1p(-wide)).to(mean.dtype)


def _mass(likelihood: Likelihood) -> Score:
    return lambda k, x, raw, levels: likelihood.log_mass(k, raw, levels)


def _density(likelihood: Likelihood, widths: Callable[[int], float] | None = None) -> Score:
    """Density at the grey value, times the width of the D bins where that is given."""

    def score(k: Tensor, x: Tensor, raw: Tensor, levels: int) -> Tensor:
        return likelihood.log_prob(x, raw) + (x.shape[-1] * math.log(widths(levels)) if widths else 0.0)

    return score


RECIPES = {
    "mse": Recipe(
        likelihood=lambda: likelihoods.make("beta_mse", beta=2.0),  # Σ (x−μ)² + 2 KL: twice Pythae's loss
        raw=lambda mean: mean,
        means="a density: N(μ, 1) at the grey values, per unit of grey",
        steps=(
            Step("exact mass of the integers, N(μ, 1)", "pmf", _mass(likelihoods.make("beta_mse", beta=2.0))),
            Step(
                "density at the grey value × width for the mass",
                "unnormalised",
                _density(GAUSSIAN, lambda levels: 1 / (levels - 1)),
            ),
            Step("the bins' width left out", "density", _density(GAUSSIAN)),
        ),
        note="σ=1 is wider than all of the grey scale: the open end bins hold most mass",
    ),
    "bce": Recipe(
        likelihood=lambda: likelihoods.make("bce_sum"),
        raw=logit,
        means="no distribution: cross-entropy of grey values, no normaliser",
        steps=(
            Step("exact mass, continuous Bernoulli", "pmf", _mass(CONTINUOUS_BERNOULLI)),
            Step(
                "density at the grey value × width for the mass",
                "unnormalised",
                _density(CONTINUOUS_BERNOULLI, lambda levels: 1 / levels),
            ),
            Step("the bins' width left out", "density", _density(CONTINUOUS_BERNOULLI)),
            Step("the normaliser left out", "unnormalised", _density(likelihoods.make("bce_sum"))),
        ),
        note="the normaliser is the continuous Bernoulli's, ln ∫ exp(ηx) dx on [0,1]",
    ),
}


# -- a Pythae model as two functions ----------------------------------------------------------------------------------


def encoder_of(model: Any, shape: Sequence[int]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Grey values [N, D] -> mean and ln variance of q(z|x), each [N, Z]."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        output = model.encoder(x.reshape(-1, *shape))
        return output.embedding, output.log_covariance

    return encode


def decoder_of(model: Any, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """z [..., Z] -> raw [..., D]; Pythae's decoders take [B, Z] and give the pixels' means."""

    def decode(z: Tensor) -> Tensor:
        mean = model.decoder(z.flatten(0, -2))["reconstruction"]
        return recipe.raw(mean.reshape(*z.shape[:-1], -1))

    return decode


@contextlib.contextmanager
def recorded(model: Any) -> Iterator[list[Tensor]]:
    """The z [B, Z] that the decoder is given meanwhile."""
    seen: list[Tensor] = []
    handle = model.decoder.register_forward_hook(lambda _, given, __: seen.append(given[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()


# -- Pythae's numbers, replayed ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bridge:
    """Pythae's get_nll and the terms that lead to it, nats per image."""

    pythae: float  #: what get_nll returned
    drawn: int  #: samples that it drew of those asked for
    terms: tuple[tuple[str, str, float], ...]  #: (label, measure of the sum so far, term); the first is the exact mass

    @property
    def left_over(self) -> float:
        """Pythae's number less the sum of the terms: floating-point error."""
        return self.pythae - math.fsum(value for _, _, value in self.terms)


def bridge(
    model: Any, recipe: Recipe, k: Tensor, levels: int, shape: Sequence[int], asked: int = ASKED, chunk: int = CHUNK
) -> Bridge:
    """get_nll of integer images k [N, D], and its own samples scored step by step."""
    x = data.grey(k, levels)
    decode = decoder_of(model, recipe)
    with torch.no_grad():
        with recorded(model) as seen:
            returned = float(model.get_nll(x.reshape(-1, *shape), n_samples=asked, batch_size=chunk))
        mean, log_variance = encoder_of(model, shape)(x)
        posterior = Posterior(mean.double(), log_variance.double())
        z = torch.cat(seen).reshape(len(k), -1, mean.shape[-1]).double()
        drawn = z.shape[1]
        eps = (z - posterior.mean.unsqueeze(1)) / (0.5 * posterior.log_variance).exp().unsqueeze(1)
        missing = max(asked - drawn, 0)
        more = torch.randn(len(k), missing, z.shape[-1], dtype=z.dtype, generator=torch.Generator().manual_seed(0))
        eps, z = torch.cat([eps, more], 1), torch.cat([z, posterior.sample(more)], 1)
        raw = torch.cat([decode(part.float()) for part in z.split(50)]).double()

    def bound(score: Score, samples: int) -> float:
        log_x = score(k.unsqueeze(1), x.double().unsqueeze(1), raw[:, :samples], levels)
        return float(iwae(log_x, posterior.log_ratio(z[:, :samples], eps[:, :samples])).mean())

    first, *others = recipe.steps
    sums = [bound(first.score, min(asked, z.shape[1])), bound(first.score, drawn)]
    labels = [
        (f"{first.change}, L={asked}", f"{first.measure}-{levels}"),
        (f"{drawn} samples drawn where {asked} were asked for", f"{first.measure}-{levels}"),
    ]
    for step in others:
        sums.append(bound(step.score, drawn))
        labels.append((step.change, f"{step.measure}-{levels}" if step.measure.endswith("pmf") else step.measure))
    terms = [sums[0], *(after - before for before, after in itertools.pairwise(sums))]
    return Bridge(
        returned, drawn, tuple((text, measure, term) for (text, measure), term in zip(labels, terms, strict=True))
    )


@dataclass(frozen=True)
class Loss:
    """Pythae's loss of all images in one batch, beside the ELBO of what get_nll sums, on the same z; nats per image."""

    pythae: float
    elbo: float
    constant: float  #: that the loss leaves out

    @property
    def left_over(self) -> float:
        return -self.pythae - (self.elbo + self.constant)


def training_loss(model: Any, recipe: Recipe, k: Tensor, levels: int, shape: Sequence[int]) -> Loss:
    """−loss = ELBO + the constant dropped (D/2 ln 2π for "mse", none for "bce")."""
    x = data.grey(k, levels)
    with torch.no_grad():
        with recorded(model) as seen:
            loss = float(model({"data": x.reshape(-1, *shape)}).loss)
        kl = Posterior(*encoder_of(model, shape)(x)).kl().double().mean()
        raw = decoder_of(model, recipe)(torch.cat(seen)).double()
        summed = recipe.steps[-1].score(k, x.double(), raw, levels).mean()
        trained_on = recipe.likelihood().log_prob(x.double(), raw).mean()
    return Loss(loss, float(summed - kl), float(trained_on - summed))


# -- the model, scored ------------------------------------------------------------------------------------------------


def score(model: Any, recipe: Recipe, likelihood: Likelihood, k: Tensor, levels: int, shape: Sequence[int]) -> Estimate:
    """Exact masses of the integers k [N, D] under the importance-weighted bound."""
    encode = encoder_of(model, shape)
    return log_likelihood(
        k,
        encode=lambda k: encode(data.grey(k, levels)),
        decode=decoder_of(model, recipe),
        likelihood=likelihood,
        samples=SAMPLES,
        levels=levels,
    )


def fitted(model: Any, recipe: Recipe, likelihood: Likelihood, digits: data.Dataset) -> Likelihood:
    """The likelihood with the scale that training images give, by residuals or by masses, at one z ~ q(z|x) each."""
    x = data.grey(digits.train, digits.levels)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        posterior = Posterior(*encoder_of(model, digits.shape)(x))
        eps = torch.randn(len(x), 1, posterior.mean.shape[-1], generator=generator)
        raw = decoder_of(model, recipe)(posterior.sample(eps)[:, 0])
    likelihood.fit([(digits.train, x, raw)], digits.levels)
    return likelihood


def scorings(model: Any, recipe: Recipe, digits: data.Dataset) -> Iterator[tuple[str, Estimate]]:
    """Each true distribution that the decoder is read as, with σ where there is one."""
    for name in recipe.likelihood().scorings:
        likelihood = recipe.likelihood().scored(name)
        if likelihood.needs_fit:
            likelihood = fitted(model, recipe, likelihood, digits)
        sigma = likelihood.sigma_in_use(torch.zeros(digits.dims))
        label = name.replace("_", " ") + (f", σ={float(sigma):.3f}" if sigma is not None else "")
        yield label, score(model, recipe, likelihood, digits.test, digits.levels, digits.shape)


# -- the report -------------------------------------------------------------------------------------------------------


def report(model: Any, loss: str, digits: data.Dataset, program: str) -> str:
    """All of it as text, at most WIDTH columns."""
    recipe, k, levels, shape = RECIPES[loss], digits.test, digits.levels, digits.shape
    size = "x".join(map(str, shape))
    found, trained = bridge(model, recipe, k, levels, shape), training_loss(model, recipe, k, levels, shape)
    return "\n".join(
        [
            f'{program}, reconstruction_loss="{loss}"',
            f"{digits.name} {size}, {levels} grey levels, {len(k)} test images; all in nats per image, higher is",
            "better, unless it says bits/dim",
            "=" * WIDTH,
            f"get_nll(n_samples={ASKED}, batch_size={CHUNK}) returned {found.pythae:.4f}",
            f"  which is the mean of +ln p (not its negative) at L={found.drawn} samples, and p is",
            f"  {recipe.means}",
            "",
            "From the exact mass to that number, on the z that Pythae drew",
            *(_line(f"  {label}", measure, f"{term:+.4f}") for label, measure, term in found.terms),
            _line("  Pythae's get_nll", found.terms[-1][1], f"{found.pythae:+.4f}"),
            _line("  left over", "", f"{found.left_over:+.1e}"),
            f"  ({recipe.note})",
            "",
            "The training loss, on the z that Pythae drew",
            _line("  ELBO of the same p", found.terms[-1][1], f"{trained.elbo:+.4f}"),
            _line("  constant left out of the loss", "unnormalised", f"{trained.constant:+.4f}"),
            _line("  minus Pythae's loss", "unnormalised", f"{-trained.pythae:+.4f}"),
            _line("  left over", "", f"{trained.left_over:+.1e}"),
            "",
            f"The model: exact mass of the integers [pmf-{levels}], bits/dim, lower is better",
            _columns("  scored as", [f"L={size}" for size in SAMPLES], "±MC", "±images", "ESS", "bad k̂"),
            *(_scored(label, estimate, digits.dims) for label, estimate in scorings(model, recipe, digits)),
            f"  Upper bounds. ±MC, ±images: standard errors at L={SAMPLES[-1]} from the samples z and",
            f"  from the choice of images. ESS: median, of {SAMPLES[-1]}. bad k̂: images whose weights",
            "  have so heavy a tail that the true value may be far better than shown.",
        ]
    )


def _line(label: str, measure: str, value: str) -> str:
    tag = f"[{measure}]" if measure else ""
    return f"{label:<51}{tag:<16}{value:>12}"


def _columns(label: str, bits: Sequence[str], monte_carlo: str, images: str, ess: str, bad: str) -> str:
    padded = bad.rjust(7 + bad.count("\N{COMBINING CIRCUMFLEX ACCENT}"))  # k̂ is two characters in one column
    return f"{label:<28}" + "".join(f"{b:>7}" for b in bits) + f"{monte_carlo:>9}{images:>9}{ess:>5}" + padded


def _scored(label: str, estimate: Estimate, dims: int) -> str:
    unit = dims * math.log(2)
    last = estimate.samples
    return _columns(
        f"  {label}",
        [f"{-float(estimate.bound[size].mean()) / unit:.3f}" for size in SAMPLES],
        f"{float(estimate.standard_error[last].square().sum().sqrt()) / len(estimate.ess) / unit:.5f}",
        f"{float(estimate.bound[last].std()) / math.sqrt(len(estimate.ess)) / unit:.3f}",
        f"{float(estimate.ess.median()):.0f}",
        f"{int(estimate.bad.sum())}",
    )


# -- Pythae -----------------------------------------------------------------------------------------------------------


def train(loss: str, digits: data.Dataset, epochs: int, latent: int = 10) -> Any:
    """Pythae's default VAE (an MLP) by its own pipeline; the weights that were best on the validation split."""
    logging.disable(logging.INFO)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        from pythae.models import VAE, VAEConfig
        from pythae.pipelines import TrainingPipeline
        from pythae.trainers import BaseTrainerConfig

        torch.manual_seed(0)
        model = VAE(VAEConfig(input_dim=digits.shape, latent_dim=latent, reconstruction_loss=loss))
        train, valid = (
            data.grey(split, digits.levels).reshape(-1, *digits.shape) for split in (digits.train, digits.valid)
        )
        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(output_dir=folder, num_epochs=epochs, learning_rate=1e-3, no_cuda=True, seed=0)
            pipeline = TrainingPipeline(model=model, training_config=settings)
            pipeline(train_data=train, eval_data=valid)
            model = VAE.load_from_folder(str(Path(pipeline.trainer.training_dir) / "final_model"))
    return model.eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains with each reconstruction loss and prints the reports; 2 where Pythae is not installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", default="digits", help="a name or path as vae-bench takes it (default: digits)")
    parser.add_argument("--epochs", type=int, default=50, help="of training, for each of the two losses (default: 50)")
    chosen = parser.parse_args(arguments)
    if importlib.util.find_spec("pythae") is None:
        print('Pythae is not installed: pip install "pythae==0.1.2"', file=sys.stderr)
        return 2
    images = data.load(chosen.dataset)
    for number, loss in enumerate(RECIPES):
        model = train(loss, images, chosen.epochs)
        torch.manual_seed(0)  # Pythae draws from torch's global generator
        print("\n" * (2 * (number > 0)) + report(model, loss, images, f"Pythae {version('pythae')}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
