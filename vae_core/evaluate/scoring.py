"""The log-likelihood of a data set under any VAE: importance sampling from the encoder's q, and where that cannot be
trusted, from proposals fitted to the images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from vae_core.evaluate.conditional import Decode, Encode, Scorer, conditional
from vae_core.evaluate.importance import Estimate, Tiling, importance_bounds
from vae_core.evaluate.refine import defensive, refine
from vae_core.likelihoods import Likelihood
from vae_core.objectives import Posterior

#: share of images with a bad k̂ above which `refine="auto"` fits proposals to all of them
BAD_SHARE = 0.05
REFINE = ("never", "auto", "always")


def refined_bounds(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[str, Scorer],
    samples: Sequence[int],
    *,
    fit: str,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> dict[str, Estimate]:
    """`importance_bounds` from the defensive mixture about a q that is fitted to each image under scorers[fit]."""
    encoder = Posterior(*(part.detach() for part in encode(x)))
    fitted = refine(conditional(decode, scorers[fit]), encoder, seed=seed)
    return importance_bounds(
        x, encode, decode, scorers, samples, seed=seed, tiling=tiling, proposal=defensive(fitted, encoder)
    )


def log_likelihood(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    samples: Sequence[int] = (1, 10, 100, 1000, 5000),
    levels: int | None = None,
    *,
    refine: str = "never",
    seed: int = 0,
    tiling: Tiling | None = None,
) -> Estimate:
    """Importance-weighted log-likelihood of any VAE, per image.

    Look at `khat` before you believe it: where many are `bad`, ask for refine="auto".

    >>> import torch
    >>> from vae_core import likelihoods
    >>> estimate = log_likelihood(
    ...     torch.zeros(3, 4), lambda x: (x[:, :2], x[:, :2]), lambda z: z.repeat_interleave(2, -1),
    ...     likelihoods.make("gaussian", sigma=1.0), samples=(1, 10),
    ... )
    >>> estimate.bound[10].shape
    torch.Size([3])

    Args:
        x: [N, D]: floats in the likelihood's own view (scored by `log_prob`), or, with `levels`, integers (scored by
            `log_mass`).
        encode: x as it was given -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [..., Z] -> raw [..., R]; R = likelihood.outputs(D).
        likelihood: a single (unstacked) likelihood.
        samples: the grid of L.
        levels: K, if x are integers 0…K−1.
        refine: whether a proposal is fitted to each image by gradients through `decode`, which lifts the bound where
            the encoder's q fits badly: "never", "auto" (where more than BAD_SHARE of the k̂ are bad), or "always". The
            ELBO stays the encoder's.
        seed: of the Monte-Carlo noise.
        tiling: how the pass is cut; suited to the device by default.

    Raises:
        ValueError: x is not [N, D], samples out of range, raw has the wrong width, or an unknown word for refine.
    """
    if refine not in REFINE:
        raise ValueError(f"refine={refine!r} is unknown (allowed: {', '.join(REFINE)})")
    if x.ndim != 2:
        raise ValueError(f"x must be [N, D], given shape {list(x.shape)}: flatten the images")
    width = likelihood.outputs(x.shape[1])

    def score(raw: Tensor, rows: slice) -> Tensor:
        if raw.shape[-1] != width:
            raise ValueError(f"decode gave {raw.shape[-1]} outputs, {likelihood.name} needs {width} for D={x.shape[1]}")
        own = x[rows].unsqueeze(1)
        return likelihood.log_prob(own, raw) if levels is None else likelihood.log_mass(own, raw, levels)

    plain = importance_bounds(x, encode, decode, {"": score}, samples, seed=seed, tiling=tiling)[""]
    if refine == "never" or (refine == "auto" and not plain.bad_share > BAD_SHARE):
        return plain
    fitted = refined_bounds(x, encode, decode, {"": score}, samples, fit="", seed=seed, tiling=tiling)[""]
    return dataclasses.replace(fitted, reconstruction=plain.reconstruction)
