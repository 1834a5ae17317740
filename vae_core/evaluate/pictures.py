"""What a model does to images, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_core.data import VIEWS
from vae_core.evaluate.conditional import Decode, spaced
from vae_core.likelihoods import Likelihood
from vae_core.numerics.random import generator_for

SHOWN = 8  # images of each kind


class Pictures(NamedTuple):
    """Bytes, each [at most SHOWN, *shape]."""

    original: np.ndarray  #: test images
    reconstruction: np.ndarray  #: E[x|z] of the same at the mean of q(z|x)
    sample: np.ndarray  #: E[x|z] for z from the prior
    draw: np.ndarray  #: x ~ p(x|z) for the same z


def pictures(
    k: Tensor,
    raw: Tensor,
    decode: Decode,
    likelihood: Likelihood,
    levels: int,
    latent: int,
    shape: Sequence[int],
    seed: int,
) -> Pictures:
    """Of some test images at even spacing, and of z ~ N(0, I).

    Args:
        k: integers of all test images, [N, D], in 0…levels−1.
        raw: decoded from the mean of q(z|x) of each, [N, R].
        decode: z [n, Z] -> raw [n, R].
        likelihood: what the model is scored as.
        levels: K.
        latent: Z.
        shape: of an image, (H, W) or (H, W, C), with the product D.
        seed: of z and of the draws.
    """
    to_grey = VIEWS[likelihood.view].to_grey
    some = spaced(len(k), SHOWN, k.device)
    z = torch.randn(SHOWN, latent, generator=generator_for("cpu", "prior", seed)).to(raw.device)
    with torch.no_grad():
        from_prior = decode(z)
        drawn = likelihood.sample(from_prior, generator_for(raw.device, "pictures", seed))
        return Pictures(
            original=_as_bytes(k[some].float() / (levels - 1), shape),
            reconstruction=_as_bytes(to_grey(likelihood.mean(raw[some]), levels), shape),
            sample=_as_bytes(to_grey(likelihood.mean(from_prior), levels), shape),
            draw=_as_bytes(to_grey(drawn, levels), shape),
        )


def _as_bytes(grey: Tensor, shape: Sequence[int]) -> np.ndarray:
    """Grey values in [0, 1], [n, D] -> uint8 [n, *shape]."""
    clean = torch.nan_to_num(grey).clamp(0, 1)
    array: np.ndarray = (clean * 255).round().to(torch.uint8).cpu().numpy()
    return array.reshape(-1, *shape)
