"""The small drawings of a drawer: curves, a histogram of differences, a PIT histogram, each a kilobyte or two of SVG.

They are written by hand, as a figure of matplotlib's is ten times as long and there are three of these for each of a
hundred configurations. The style sheet colours them; what they show is said in words beneath.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.report.figures.calibration import HIGHEST
from bench.report.figures.training import BEGINNING
from bench.report.numbers import number, several
from vae_core.statistics.intervals import Floats

WIDE, HIGH = 300, 130  # CSS pixels of a drawing
TOP, FOOT = 16, 18  # above and below what is drawn, for the numbers
POINTS = 40  # of a curve at most
BARS = 32  # of a histogram of differences
Label = tuple[float, float, str, str]  # x, y, which end of the text lies there, the text
INNER = (1.0, 99.0)  # percentiles between which they lie; the outermost bars hold the rest


def curves(courses: Mapping[int, pd.DataFrame]) -> Markup | None:
    """The objective by epoch, nats, of each seed: solid on validation images, dashed on training images. None where no
    course has two points.

    courses: columns epoch, train_nats and valid_nats.
    """
    lines = [
        (seed, kind, line.to_numpy(dtype=float))
        for seed, course in courses.items()
        for kind in ("valid", "train")
        if len(line := course[["epoch", f"{kind}_nats"]].dropna()) > 1
    ]
    if not lines:
        return None
    last = max(points[-1, 0] for _, _, points in lines)
    late = np.concatenate([points[points[:, 0] >= BEGINNING * points[-1, 0], 1] for *_, points in lines])
    low, high = float(late.min()), float(late.max())
    room = (high - low) or 1.0
    paths = []
    for seed, kind, points in lines:
        some = points[np.unique(np.linspace(0, len(points) - 1, POINTS).round().astype(int))]
        x = WIDE * some[:, 0] / last
        y = TOP + (HIGH - TOP - FOOT) * (high - some[:, 1]) / room
        seen = y <= HIGH - FOOT + 1
        if seen.sum() > 1:
            paths.append(
                Markup('<path class="{}" d="{}"><title>seed {}</title></path>').format(
                    kind, _path(x[seen], y[seen]), seed
                )
            )
    labels = [
        (0, TOP - 5, "start", f"{number(high, 1)} nats"),
        (0, HIGH - 5, "start", number(low, 1)),
        (WIDE, HIGH - 5, "end", f"epoch {last:,.0f}"),
    ]
    return _drawing(
        f"Training objective by epoch, from {number(low, 1)} to {number(high, 1)} nats, of "
        f"{several(len(courses), 'seed')}",
        Markup().join(paths),
        labels,
    )


def pit(shares: Floats) -> Markup:
    """A PIT histogram, heights as multiples of the uniform share, the dashed line."""
    heights = shares * len(shares)
    top = float(np.clip(1.08 * heights.max(), 1.5, HIGHEST))
    bars = _bars(np.minimum(heights, top) / top)
    one = TOP + (HIGH - TOP - FOOT) * (1 - 1 / top)
    line = Markup('<path class="zero" d="M0 {0}H{1}"/>').format(_round(one), WIDE)
    labels = [(0, HIGH - 5, "start", "0"), (WIDE, HIGH - 5, "end", "1"), (0, TOP - 5, "start", f"× {number(top, 1)}")]
    return _drawing(f"PIT histogram, up to {number(float(heights.max()), 1)} times uniform", bars + line, labels)


def differences(worse: Floats, digits: int) -> Markup:
    """How many images lie where, by what they are worse by [N]: the best at the dashed line, better left of it."""
    low, high = (float(end) for end in np.percentile(worse, INNER))
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = -1.0, 1.0
    counts, _ = np.histogram(np.clip(worse, low, high), bins=BARS, range=(low, high))
    zero = WIDE * -low / (high - low)
    line = Markup('<path class="zero" d="M{0} {1}V{2}"/>').format(_round(zero), TOP - 4, HIGH - FOOT)
    labels: list[Label] = [(0, HIGH - 5, "start", number(low, digits)), (WIDE, HIGH - 5, "end", number(high, digits))]
    if 0.2 * WIDE < zero < 0.8 * WIDE:
        labels.append((zero, HIGH - 5, "middle", "0"))
    return _drawing(
        f"Histogram of differences to the best, from {number(low, digits)} to {number(high, digits)}",
        _bars(counts / counts.max()) + line,
        labels,
    )


def _bars(heights: Floats) -> Markup:
    """Bars of heights in [0, 1], side by side over the whole width."""
    step, floor = WIDE / len(heights), HIGH - FOOT
    pieces = (
        f"M{_round(place * step)} {floor}V{_round(floor - height * (floor - TOP))}h{_round(step - 1)}V{floor}"
        for place, height in enumerate(heights)
        if height > 0
    )
    return Markup('<path class="bars" d="{}"/>').format("".join(pieces))


def _path(x: Floats, y: Floats) -> str:
    return "M" + "L".join(f"{_round(a)} {_round(b)}" for a, b in zip(x, y, strict=True))


def _round(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _drawing(said: str, inner: Markup, labels: Sequence[Label]) -> Markup:
    texts = (
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(_round(x), _round(y), anchor, text)
        for x, y, anchor, text in labels
    )
    floor = Markup('<path class="floor" d="M0 {0}H{1}"/>').format(HIGH - FOOT, WIDE)
    return Markup('<svg class="small" role="img" aria-label="{}" viewBox="0 0 {} {}">{}{}{}</svg>').format(
        said, WIDE, HIGH, floor, inner, Markup().join(texts)
    )
