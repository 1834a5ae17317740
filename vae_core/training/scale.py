"""A σ that is one number for all data, fitted to training data after training: of a model of this suite or another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_core.data import VIEWS, Dataset
from vae_core.likelihoods import Likelihood, Seen, told
from vae_core.numerics import progress
from vae_core.numerics.maximum import highest
from vae_core.objectives import Posterior
from vae_core.training.noise import Streams

#: training images that are looked at together
ROWS = 1000
#: of which training images at most, at even spacing, the masses are looked at: σ is one number, their pixels are many
MASS_IMAGES = 2000
#: where σ by masses is sought: from this many bins, below which nothing changes, to this many times the data's range
#: (in logits for a logit-normal)
NARROWEST, WIDEST = 0.02, 100.0

WAYS = ("masses", "residuals")


def fit_scale(
    likelihood: Likelihood,
    data: Dataset | Tensor,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor], Tensor],
    by: str | None = None,
    *,
    levels: int | None = None,
    seed: int = 0,
) -> None:
    """Sets the σ of a likelihood from training data, at one z ~ q(z|x) an image. In place.

    By "masses" it is the σ that maximises the mean exact ln P(k|z); by "residuals" the maximum-likelihood σ of the
    density of x − mean. They are not one: a density is judged at one point and a mass over a whole bin, so that where
    many pixels are exact the first is what a score in bits/dim wants.

    >>> import torch
    >>> from vae_core import likelihoods
    >>> lik = likelihoods.make("gaussian", sigma="shared", levels=17)
    >>> k = torch.randint(8, 10, (100, 4))
    >>> fit_scale(lik, k, lambda k: (k[:, :1] * 0.0, k[:, :1] * 0.0), lambda z: z * 0 + 0.53 * torch.ones(4), levels=17)
    >>> 0.01 < float(lik.sigma_in_use(torch.zeros(1, 4))) < 0.1
    True

    Args:
        likelihood: a single one whose σ is one number that can be set: sigma="shared" or "optimal", or a recipe read as
            something that `needs_fit`.
        data: training data: a Dataset, of which the training split is read and nothing else; integers [N, D], with
            `levels`; or floats [N, D] in the likelihood's own view, by residuals alone.
        encode: data as they were given (of a Dataset the integers) -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [N, Z] -> raw [N, R].
        by: "masses" or "residuals"; None: what the recipe's reading says, residuals for sigma="optimal", else masses
            where data are integers.
        levels: K, where data are a tensor of integers 0…K−1.
        seed: of the draws of z.

    Raises:
        ValueError: an unknown word for `by`, or another than the recipe's reading has; masses of floats; a σ that is no
            number to be set; a family without a closed form, by residuals; data that are not [N, D] with N ≥ 1;
            a Dataset that is not in colour, of a family that couples colours.
    """
    if likelihood.models is not None:
        raise ValueError(f"{likelihood.name} is a stack of {likelihood.models} models: select one")
    k, levels = (data.train, data.levels) if isinstance(data, Dataset) else (data, levels)
    if k.ndim != 2 or not len(k):
        raise ValueError(f"training data must be [N, D] with N >= 1, given shape {list(k.shape)}: flatten the images")
    if isinstance(data, Dataset):
        told(likelihood, data.shape)  # whose channels, where it couples them, are in a data set's order
    by = _way(likelihood, by, levels)
    if levels is None and k.dtype != torch.bool and not k.is_floating_point():
        raise ValueError(f"training data are {k.dtype}: with integers 0..K-1 give levels=K")
    likelihood.to(k.device)
    own = likelihood.needs_fit
    most = likelihood.fit_images if own else MASS_IMAGES if by == "masses" else None
    with torch.no_grad():
        seen = _seen(likelihood, _spaced(k, most), encode, decode, levels, seed)
        if own:
            likelihood.fit(seen, levels or 0)
        elif by == "residuals":
            likelihood.fit_to_residuals(seen)
        else:
            assert levels is not None
            _fit_to_masses(likelihood, list(seen), levels)


def _way(likelihood: Likelihood, by: str | None, levels: int | None) -> str:
    if by is not None and by not in WAYS:
        raise ValueError(f"by={by!r} is unknown (allowed: {', '.join(WAYS)})")
    if not (likelihood.takes_sigma or likelihood.needs_fit):
        raise ValueError(f"{likelihood.name} has no σ to be fitted")
    if likelihood.needs_fit:
        own = "residuals" if likelihood.fit_images is None else "masses"
        if by not in (None, own):
            others = ", ".join(likelihood.scorings)
            raise ValueError(f"{likelihood.name} read so is fitted by {own}: take another of its scorings ({others})")
        by = own
    elif by is None:
        mode = getattr(getattr(likelihood, "scale", None), "mode", "")
        by = "residuals" if mode == "optimal" or levels is None else "masses"
    closed = likelihood.closes_ends and not likelihood.open_ends
    if by == "residuals" and not likelihood.needs_fit and ("optimal" not in likelihood.sigma_modes or closed):
        raise ValueError(
            f"{likelihood.name}{' with renormalised ends' if closed else ''} has no closed form of σ: take by='masses'"
        )
    if by == "masses" and levels is None:
        raise ValueError("by='masses' needs integers 0..K-1 and levels=K: floats are fitted by='residuals'")
    return by


def _spaced(k: Tensor, most: int | None) -> Tensor:
    """At most so many of the images, at even spacing."""
    count = len(k)
    if most is None or most >= count:
        return k
    return k[torch.arange(most, device=k.device) * count // most]


def _seen(
    likelihood: Likelihood,
    given: Tensor,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor], Tensor],
    levels: int | None,
    seed: int,
) -> Iterator[Seen]:
    """Training images in blocks: as they were given, in the likelihood's own view, and what is decoded of one
    z ~ q(z|x) each."""
    streams = Streams("residuals", [seed], given.device)
    view = VIEWS[likelihood.view]
    for start in range(0, len(given), ROWS):
        some = given[start : start + ROWS]
        posterior = Posterior(*encode(some))
        noise = streams.noise(len(some), some.shape[1], 1, posterior.mean.shape[-1])
        x = some if levels is None else view.see(some, levels, noise.uniform[0])
        yield some, x, decode(posterior.sample(noise.eps[0])[:, 0])
        progress.made()


def _fit_to_masses(likelihood: Likelihood, seen: list[Seen], levels: int) -> None:
    """The σ at which the images' exact masses are highest."""

    def total(log_sigma: float) -> float:
        """Σ ln P(k|z) over the images."""
        likelihood.set_sigma(math.exp(log_sigma))
        progress.made()
        return sum(float(likelihood.log_mass(k, raw, levels).sum(dtype=torch.float64)) for k, _, raw in seen)

    likelihood.set_sigma(math.exp(highest(total, math.log(NARROWEST / levels), math.log(WIDEST))))
