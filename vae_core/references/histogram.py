"""A histogram for each dimension, counted on training images: what can be said of a value by where it stands alone.

Levels that were never counted must not get nothing, and on 256 levels most of them were not. So the table is a mean of
a few listed ones, weighted as validation images have it best (deleted interpolation, Jelinek & Mercer 1980):

    the counts themselves; the counts spread over neighbouring levels, narrowly and widely; the counts of all dimensions
    together; one over the number of levels.

The weights are those of the highest mean ln P of the validation images, by EM, which is concave in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vae_core.references._base import Card, Distribution, Fitted, Images, require_room
from vae_core.references._tables import Floats, Tables, counted

#: half widths of the spread, as shares of the range of levels
SPREADS = {"narrow": 1 / 128, "wide": 1 / 24}
FEWEST_LEVELS = 8  # from which on levels have neighbours worth a spread
PAIRED = 1024  # levels at most, of which all pairs are looked at
REACH = 8  # widths, beyond which a neighbour gets less than rounding leaves
AT_ONCE = 2**20  # values that are spread
ROUNDS, SETTLED = 200, 1e-7  # of EM at most; nats a value that a round must gain


class Histogram(Distribution):
    card = Card(
        title="histogram of each dimension",
        summary="Knows how often each level occurs at each place, and nothing of how places depend on one another.",
        source="smoothed by deleted interpolation: Jelinek & Mercer 1980, Interpolated estimation of Markov source "
        "parameters from sparse data",
    )

    def fit(self, images: Images) -> Fitted:
        table, weights = smoothed(images)
        details = {"smoothing": {name: round(weight, 6) for name, weight in weights.items()}}
        return Fitted(Tables(np.zeros(1), np.log(table)[None]), "histogram", details)


def smoothed(images: Images) -> tuple[Floats, dict[str, float]]:
    """Probabilities [D, K] of each level in each dimension, and the weights of what they are mixed of. Raises LeftOut
    where such a table is too large."""
    require_room(images)
    parts = ingredients(counted(images.train, images.levels))
    weights = interpolated(parts, counted(images.valid, images.levels))
    table: Floats = sum(weights[name] * part for name, part in parts.items())  # type: ignore[assignment]
    return table / table.sum(axis=1, keepdims=True), weights


def ingredients(counts: Floats) -> dict[str, Floats]:
    """Tables [D, K] of probabilities, from counts [D, K] of training images."""
    levels = counts.shape[1]
    plain = counts / counts.sum(axis=1, keepdims=True)
    parts = {"counts": plain}
    if levels >= FEWEST_LEVELS:
        parts |= {f"{name} neighbours": spread(plain, max(0.6, share * levels)) for name, share in SPREADS.items()}
    parts["all dimensions"] = np.broadcast_to(plain.mean(axis=0), plain.shape)
    parts["uniform"] = np.full(plain.shape, 1 / levels)
    return parts


def spread(table: Floats, width: float) -> Floats:
    """Each level's share handed to its neighbours by a Gaussian of so many levels; none leaves the range."""
    if table.shape[1] > PAIRED:
        return spread_by_transforms(table, width)
    levels = np.arange(table.shape[1])
    kernel = np.exp(-0.5 * ((levels[:, None] - levels) / width) ** 2)
    handed: Floats = table @ (kernel / kernel.sum(axis=1, keepdims=True))
    return handed


def spread_by_transforms(table: Floats, width: float) -> Floats:
    """The same to rounding, by Fourier transforms, a few rows at a time: K levels have K² pairs."""
    from scipy.signal import fftconvolve  # which executes torch where there is one: a catalogue that is read does not

    dims, levels = table.shape
    reach = min(levels - 1, math.ceil(REACH * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)[None]
    sums = fftconvolve(np.ones((1, levels)), kernel, mode="same", axes=1)
    handed: Floats = np.empty((dims, levels))
    some = max(1, int(AT_ONCE / levels))
    for start in range(0, dims, some):
        rows = slice(start, start + some)
        handed[rows] = fftconvolve(table[rows] / sums, kernel, mode="same", axes=1)
    return np.maximum(handed, 0)  # of rounding


def interpolated(parts: Mapping[str, Floats], counts: Floats) -> dict[str, float]:
    """The weights of tables [D, K] by which images with these counts [D, K] are most probable. Each has at least the
    weight of one value among all of them, so that none of the levels is left without any."""
    seen = counts > 0
    masses = np.stack([part[seen] for part in parts.values()])
    often = counts[seen]
    weights, before = np.full(len(parts), 1 / len(parts)), -np.inf
    for _ in range(ROUNDS):
        each = weights[:, None] * masses
        together = each.sum(axis=0)
        now = float(often @ np.log(together) / often.sum())
        weights = ((each / together) @ often + 1) / (often.sum() + len(parts))
        if now - before < SETTLED:
            break
        before = now
    return dict(zip(parts, map(float, weights), strict=True))
