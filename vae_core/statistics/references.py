"""Whether configurations are better than a fixed reference: one score for each image that no training gave, such as a
histogram's or a mixture's without a network.

Only one side has training noise, so nothing of a seed cancels: it is the configurations' own, moderated over all of
them. Which configuration is held against the reference was picked by the same numbers, and the best of many looks
better than it is (the winner's curse). So a reference is called worse only where the p-value is corrected for every
configuration that could have been picked: whatever the truth, where none is better than the reference the chance that
one is said to be is at most 0.05 (Bonferroni over the configurations). That a reference is better needs no such
correction, for the pick speaks against it. Over several references both are corrected by Holm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import (
    LEVEL,
    REPLICATES,
    Floats,
    Interval,
    Verdict,
    intervals,
    require_named,
)
from vae_core.statistics.significance import holm, image_variance, of_values, upper_tail


class Against(NamedTuple):
    """One reference held against a configuration."""

    interval: Interval  #: of the reference's mean minus the configuration's, nats, as scalars: positive, it is better
    p: float  #: of "it is not on this side", corrected; NaN where nothing is judged
    verdict: Verdict  #: WORSE or BETTER beyond noise, INDISTINGUISHABLE, or UNJUDGED


def versus_reference(
    samples: Sequence[Floats],
    seeds: Sequence[Sequence[int]],
    best: int,
    references: Sequence[Floats],
    generator: np.random.Generator,
    level: float = LEVEL,
    replicates: int = REPLICATES,
) -> list[Against]:
    """Holds each reference [N] against configuration `best` of C configurations [S_c, N]; nats, images in one order.

    best: usually that with the highest mean. The p-values are corrected for its choice among all C, whichever it is.
    A reference is worse, or better, where both hold: its p-value is below 1 - level and the interval leaves zero out.
    Where every configuration has one seed the training noise is unknown, and the verdict is of the trained models.

    Raises ValueError as `intervals.rank` does, and for a reference that is not one finite number for each image.
    """
    require_named(samples, seeds)
    chosen = samples[best]
    images = chosen.shape[1]
    for reference in references:
        if reference.shape != (images,):
            raise ValueError(f"a reference is one number for each of {images} images, got the shape {reference.shape}")
    if not references:
        return []
    differences = [reference - chosen for reference in references]
    noise = of_values(samples).of([best] * len(references))
    found = intervals(differences, generator, level, replicates, noise)
    if images < FEWEST_IMAGES:
        return [Against(found.at(index), float("nan"), Verdict.UNJUDGED) for index in range(len(references))]
    of_images = np.array([image_variance(difference) for difference in differences])
    tails = upper_tail(np.abs(found.mean), of_images, images, noise.variance / len(chosen), noise.freedom)
    p = 2 * np.where(found.mean < 0, len(samples), 1) * tails  # two-sided, as the interval is
    p = holm(np.minimum(p, 1))
    return [
        Against(found.at(index), float(p[index]), _verdict(found.at(index), float(p[index]), 1 - level))
        for index in range(len(references))
    ]


def _verdict(interval: Interval, p: float, alpha: float) -> Verdict:
    if p < alpha and interval.high < 0:
        return Verdict.WORSE
    return Verdict.BETTER if p < alpha and interval.low > 0 else Verdict.INDISTINGUISHABLE
