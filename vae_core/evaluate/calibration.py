"""Is the noise right that a decoder predicts? And which latent dimensions say anything?

With z ~ q(z|x) for a test image x, and q the model's own posterior, (x, z) is a draw from the model's joint p(z) p(x|z)
wherever the data come from the model. Then each F(x_d|z), F the distribution function that the decoder predicts for a
pixel, is uniform on [0, 1] (the probability integral transform, PIT), a central 50 % interval holds half of the pixels,
and the variance that is predicted is the one that is met. A deviation says that the likelihood is wrong (in its shape
or its scale), that q is not the posterior, or that the model has not learned the data; it does not say which.

Levels are discrete: each observation k is spread evenly over [F(k−1), F(k)] (Czado, Gneiting & Held 2009, Predictive
model assessment for count data, Biometrics 65:1254, eq. 2), which is uniform in expectation for a calibrated model, as
F(k) alone is not, and needs no random numbers. Axes: models M (leading, where there is more than one), images N, levels
C, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vae_core.evaluate.conditional import Decode, Encode, blocks, spaced
from vae_core.likelihoods import Likelihood
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import pieces
from vae_core.numerics.random import generator_for
from vae_core.objectives import Posterior

#: the tails that the central 50 % and 95 % intervals leave on either side
INTERVALS = ((0.25, 0.75), (0.025, 0.975))
#: test images at most that the predicted noise is held against
CALIBRATED = 200
#: variance over images of E[z|x] above which a latent dimension is active (Burda et al. 2016, section 5.2)
ACTIVE = 0.01
#: nats, and share of the images: what (ε, δ)-collapse allows (Lucas et al. 2019, Don't blame the ELBO!)
EPSILON, DELTA = 0.01, 0.01


class Calibration(NamedTuple):
    """Of a decoder's predicted noise over N images of D dimensions; float64, [...] is [] or [M].

    Standard errors are over images, whose pixels may be wrong together; NaN for one image.
    """

    histogram: Tensor  #: [..., bins], shares of the PIT in equal bins of [0, 1], sum 1; uniform is calibrated
    histogram_error: Tensor  #: [..., bins], standard errors
    deviation: Tensor  #: [...], total variation distance of the histogram from uniform: 0 to 1 − 1/bins
    deviation_by_chance: Tensor  #: [...], its expectation were the bins off by their standard errors alone
    coverage_50: Tensor  #: [...], share of the PIT in [0.25, 0.75], 0.5 if calibrated
    coverage_50_error: Tensor  #: [...]
    coverage_95: Tensor  #: [...], share in [0.025, 0.975], 0.95 if calibrated
    coverage_95_error: Tensor  #: [...]
    noise_predicted: Tensor  #: [...], √(mean Var[k|z])/K, in units of the unit view: the σ that the masses imply
    noise_realised: Tensor  #: [...], √(mean (k − E[k|z])²)/K: the σ that would have been right

    @property
    def noise_ratio(self) -> Tensor:
        """Realised over predicted, [...]: 1 if calibrated, above 1 where the decoder is too sure of itself."""
        return self.noise_realised / self.noise_predicted


def calibration(
    k: Tensor, raw: Tensor, likelihood: Likelihood, levels: int, *, bins: int = 20, floats: int | None = None
) -> Calibration:
    """PIT histogram, coverage, and predicted against realised noise, from the exact masses of every level.

    Args:
        k: integer levels of the images, [N, D], in 0…levels−1.
        raw: decoded from one z ~ q(z|x) an image (several of one image would not be independent), [N, R], or [M, N, R]
            with a stack of M likelihoods.
        likelihood: what is scored; sees each image whole, so that R = likelihood.outputs(D).
        levels: K.
        bins: of the histogram.
        floats: masses held at once, which changes nothing but speed and memory; suited to the device by default.

    Raises:
        ValueError: k is not [N, D], or raw is not [N, R] or [M, N, R] beside it.
    """
    if k.ndim != 2:
        raise ValueError(f"k must be [N, D], given shape {list(k.shape)}: flatten the images")
    models = () if likelihood.models is None else (likelihood.models,)
    wanted = (*models, len(k), likelihood.outputs(k.shape[1]))
    if raw.shape != wanted:
        raise ValueError(f"raw must be {list(wanted)} for k {list(k.shape)}, given shape {list(raw.shape)}")
    edges = [index / bins for index in range(1, bins)]
    edges += [edge for interval in INTERVALS for edge in interval]
    floats = floats or (1 << 26 if accelerated(raw.device) else 1 << 16)
    a_level = math.prod(models) * k.shape[1]  # masses of one level of one image
    floats = pieces(floats)
    levels_at_once = max(1, min(levels, floats // a_level))
    below, predicted, realised = [], [], []
    with torch.no_grad():
        for rows in blocks(len(k), max(1, floats // (a_level * levels_at_once))):
            prediction = _predict(k[rows], raw[..., rows, :], likelihood, levels, levels_at_once)
            below.append(torch.stack([prediction.pit_below(edge) for edge in edges], -1))
            predicted.append(prediction.variance.mean(-1))
            realised.append((k[rows] - prediction.mean).square().mean(-1))
    shares = torch.cat(below, -2)  # [..., N, edges]
    inner, ends = shares[..., : bins - 1], shares[..., bins - 1 :]
    none = torch.zeros_like(shares[..., :1])
    histogram, histogram_error = _over_images(torch.cat([inner, none + 1], -1) - torch.cat([none, inner], -1))
    coverage, coverage_error = _over_images(ends[..., 1::2] - ends[..., ::2])
    return Calibration(
        histogram=histogram,
        histogram_error=histogram_error,
        deviation=0.5 * (histogram - 1 / bins).abs().sum(-1),
        deviation_by_chance=0.5 * math.sqrt(2 / math.pi) * histogram_error.sum(-1),
        coverage_50=coverage[..., 0],
        coverage_50_error=coverage_error[..., 0],
        coverage_95=coverage[..., 1],
        coverage_95_error=coverage_error[..., 1],
        noise_predicted=torch.cat(predicted, -1).mean(-1).sqrt() / levels,
        noise_realised=torch.cat(realised, -1).mean(-1).sqrt() / levels,
    )


def calibration_at_draws(
    k: Tensor, encode: Encode, decode: Decode, likelihood: Likelihood, levels: int, *, seed: int = 0
) -> Calibration:
    """`calibration` of a model on CALIBRATED of the images k [N, D] at most, at even spacing, each at one z ~ q(z|x)
    that `seed` draws: encode k -> mean and ln variance, each [N, Z]; decode z [n, Z] -> raw [n, R]."""
    some = spaced(len(k), CALIBRATED, k.device)
    with torch.no_grad():
        posterior = Posterior(*encode(k[some]))
        eps = torch.randn(posterior.mean.shape, generator=generator_for("cpu", "calibration", seed)).to(k.device)
        raw = decode(posterior.sample(eps.unsqueeze(-2))[..., 0, :])
    return calibration(k[some], raw, likelihood, levels)


class _Prediction(NamedTuple):
    """Of each dimension of some images, all [..., n, D], float64."""

    below: Tensor  #: F(k−1)
    mass: Tensor  #: P(k)
    mean: Tensor
    variance: Tensor

    def pit_below(self, edge: float) -> Tensor:
        """Share of an image's PIT in [0, edge], [..., n]; all or nothing where P(k) underflows."""
        width = self.mass.clamp(min=torch.finfo(self.mass.dtype).tiny)
        return ((edge - self.below) / width).clamp(0, 1).mean(-1)


def _predict(k: Tensor, raw: Tensor, likelihood: Likelihood, levels: int, at_once: int) -> _Prediction:
    """F(k−1), P(k), and the mean and variance of all K masses: k [n, D], raw [..., n, R].

    Sums over levels are kept in float64, where the variance is a difference of squares of up to K². They are divided by
    the total of the masses, which is 1 but for what float32 lost.
    """
    axes = (1,) * (raw.ndim - 2)  # k has no axis of models
    k = k.reshape(*axes, *k.shape)
    mass = likelihood.log_masses(k, raw, levels).double().exp()
    below, powers = torch.zeros_like(mass), torch.zeros_like(mass).unsqueeze(-2)
    for some in _level_blocks(levels, at_once, k.device):
        column = some.reshape(*axes, 1, -1, 1)
        masses = likelihood.level_masses(some, k, raw, levels)
        below += (masses * (column < k.unsqueeze(-2))).sum(-2)
        own_powers = torch.stack([some.double() ** power for power in range(3)])
        powers = powers + own_powers @ masses.double()  # [..., n, 3, D]
    total, first, second = powers.unbind(-2)
    mean = first / total
    return _Prediction(below / total, mass / total, mean, (second / total - mean.square()).clamp(min=0))


def _level_blocks(levels: int, at_once: int, device: torch.device) -> Iterator[Tensor]:
    """0…K−1 in blocks, the two ends apart: open end bins are another formula, which a block may then have alone."""
    yield torch.arange(0, levels, levels - 1, device=device)
    for some in blocks(levels - 2, at_once):
        yield torch.arange(some.start + 1, some.stop + 1, device=device)


def _over_images(shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and its standard error, [..., N, E] -> [..., E] each."""
    count = shares.shape[-2]
    error = shares.std(-2) / math.sqrt(count) if count > 1 else torch.full_like(shares[..., 0, :], math.nan)
    return shares.mean(-2), error


class Latents(NamedTuple):
    """What each latent dimension says of the images; float64, [...] is [] or [M]."""

    kl: Tensor  #: [..., Z], mean over images of KL(q(z_i|x) ‖ p(z_i)), nats
    mean_variance: Tensor  #: [..., Z], variance over images of E[z_i|x]; NaN for one image
    active: Tensor  #: [..., Z], bool: mean_variance above ACTIVE
    silent: Tensor  #: [..., Z], bool: (ε, δ)-collapsed, its KL below ε for at least 1 − δ of the images

    @property
    def active_units(self) -> Tensor:
        """How many dimensions are active, [...]."""
        return self.active.sum(-1)

    @property
    def collapsed(self) -> Tensor:
        """Posterior collapse, [...] bool: every dimension is (ε, δ)-collapsed, so that z says nothing of x."""
        return self.silent.all(-1)


def latents(mean: Tensor, log_variance: Tensor, *, epsilon: float = EPSILON, delta: float = DELTA) -> Latents:
    """KL, activity and collapse of each latent dimension, from q(z|x) of N images.

    A dimension is (ε, δ)-collapsed where P_x[KL(q(z_i|x) ‖ p(z_i)) < ε] ≥ 1 − δ (Lucas et al. 2019). The mean of
    that KL is at least the mutual information of x and z_i under q, in nats: where every dimension is collapsed, the
    decoder models nearly all images without z. A few images of large means can make a collapsed dimension active.

    Args:
        mean: of q(z|x), [N, Z] or [M, N, Z].
        log_variance: of q(z|x), the same shape.
        epsilon: nats.
        delta: share of the images.
    """
    with torch.no_grad():
        kl = Posterior(mean.double(), log_variance.double()).kl_per_dimension()
        spread = mean.double().var(-2) if mean.shape[-2] > 1 else torch.full_like(kl[..., 0, :], math.nan)
        quiet = (kl < epsilon).double().mean(-2)
    return Latents(kl=kl.mean(-2), mean_variance=spread, active=spread > ACTIVE, silent=quiet >= 1 - delta)
