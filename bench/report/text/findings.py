"""What there is to remark about the numbers themselves: how they were estimated, what is left out of the ranking and
why, whether the predicted noise is the noise there is, what has collapsed, and what the intervals cannot hold.

Each remark is computed from the numbers, and made only where they give cause for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from bench.grid.settings import keys_of
from bench.report.numbers import DIGITS, bound, count, listed, measured, percent, times
from bench.statistics.boards import Board
from bench.statistics.rows import Row, median

NOISE_OFF = 1.5  # a predicted noise that is this many times too wide or too narrow is remarked upon
MOST_NAMED = 4


@dataclass(frozen=True)
class Finding:
    """One more thing that a board's numbers say, in one or a few sentences."""

    topic: str
    texts: tuple[Markup, ...]


def estimator(board: Board) -> Iterator[Finding]:
    """What refined proposals changed: by how much the encoder's own bounds fell short, and whom they would rank first.

    The order by the encoder's bounds is that of the ranked configurations alone.
    """
    whole = board.everything
    refined = [row for row in whole if row.refined and not math.isnan(row.lift)]
    if not refined:
        return
    most = max(refined, key=lambda row: row.lift)
    which = "The bound is" if len(whole) == 1 else f"{len(refined)} of {len(whole)} bounds {_are(len(refined))}"
    first = Markup("{} refined: the proposal was fitted to each image").format(which)
    bad = median([row.results.encoder_khat_bad_fraction for row in refined])
    if math.isfinite(bad):
        first += Markup("; the encoder's had a bad k̂ in {} of the images (median)").format(percent(bad))
    texts = [first + "."]
    if round(most.lift, DIGITS[board.unit]) <= 0:
        yield Finding("Estimator", (*texts, Markup("The encoder's own bounds were no worse.")))
        return
    by = most.results.encoder_samples
    alone = f" with L = {count(by)}" if by != most.results.iw_samples and not math.isnan(by) else ""
    short = Markup("Importance sampling from the encoder alone{} falls short by {} {} (<b>{}</b>)").format(
        alone, measured(most.lift, board.unit), board.unit, most.label
    )
    if len(refined) > 1:
        half = median([row.lift for row in refined])
        short += Markup(" at most, {} in the median").format(measured(half, board.unit))
    texts.append(short + ".")
    texts += _other_order(board.ranked)
    yield Finding("Estimator", tuple(texts))


def _other_order(ranked: tuple[Row, ...]) -> list[Markup]:
    """How the ranked configurations would stand by the encoder's own bounds."""

    def by_encoder(row: Row) -> float:
        nats = row.results.encoder_iw_nats
        return -(row.results.iw_nats if math.isnan(nats) else nats)

    other = sorted(ranked, key=by_encoder)
    moved = sum(before is not after for before, after in zip(ranked, other, strict=True))
    if not moved:
        return []
    text = Markup("By those bounds {} of {} ranks would have been others").format(moved, len(ranked))
    if other[0] is not ranked[0]:
        text += Markup(", and <b>{}</b> would have come first instead of <b>{}</b>").format(
            other[0].label, ranked[0].label
        )
    return [text + "."]


def left_out(board: Board) -> Iterator[Finding]:
    """What is not ranked."""
    left = board.left_out
    if not left:
        return
    whole = len(board.everything)
    text = Markup("{} cannot be trusted and {} not ranked: {}.").format(
        "The only bound" if whole == 1 else f"{len(left)} of {whole} bounds",
        _are(len(left)),
        first_of([Markup("<b>{}</b> ({})").format(row.label, bound(row, board.unit)) for row in left]),
    )
    meaning = (
        "Its true value is better than that, by an unknown amount."
        if len(left) == 1
        else "Their true values are better than those, by unknown amounts."
    )
    yield Finding("Left out of the ranking", (text + " " + meaning,))


def noise(board: Board) -> Iterator[Finding]:
    """Whether the noise that decoders predict is the noise there is: the widest, the narrowest, the best ranked."""
    comparable = [row for row in board.everything if row.noise_ratio > 0]
    off = [row for row in comparable if max(row.noise_ratio, 1 / row.noise_ratio) > NOISE_OFF]
    if not off:
        return
    whole = len(comparable)
    texts = [
        Markup("{} {} a noise that is off by more than a factor of {:g}.").format(
            "The only configuration whose noise can be checked"
            if whole == 1
            else f"{len(off)} of {whole} configurations",
            "predicts" if len(off) == 1 else "predict",
            NOISE_OFF,
        )
    ]
    wide = max((row for row in off if row.noise_ratio > 1), key=lambda row: row.noise_ratio, default=None)
    narrow = min((row for row in off if row.noise_ratio < 1), key=lambda row: row.noise_ratio, default=None)
    for row, predicts in ((wide, "predicts"), (narrow, "predicts only")):
        if row is not None:
            text = Markup("<b>{}</b> {} {} times the noise there is").format(
                row.label, predicts, times(row.noise_ratio)
            )
            if math.isfinite(row.results.coverage_95):
                text += Markup(": its 95 % intervals hold {} of the values").format(percent(row.results.coverage_95))
            texts.append(text + ".")
    top = board.ranked[0] if board.ranked else None
    if top and math.isfinite(top.results.coverage_95) and all(row is not top for row in off):
        texts.append(Markup("Those of the first-ranked hold {}.").format(percent(top.results.coverage_95)))
    yield Finding("Predicted noise", tuple(texts))


def collapse(board: Board) -> Iterator[Finding]:
    """Configurations whose latent says nothing of the image, in some seed."""
    collapsed = [row for row in board.everything if row.results.collapsed > 0]
    if not collapsed:
        return
    names = [
        Markup("<b>{}</b>{}").format(
            row.label,
            "" if row.results.collapsed == row.seeds else f" ({row.results.collapsed} of {row.seeds} seeds)",
        )
        for row in collapsed
    ]
    text = Markup(
        "The posterior has collapsed onto the prior in {}: z says nothing of the image, and the "
        "decoder is one distribution for all images."
    ).format(first_of(names))
    yield Finding("Posterior collapse", (text,))


def two_levels(board: Board) -> Iterator[Finding]:
    """That on two levels the families are one distribution."""
    if board.levels != 2:
        return
    text = (
        "On two levels all likelihoods of single values are one Bernoulli: where families differ here, it is in how "
        "their raw outputs give its probability (some not all of 0 to 1) and in how training went."
    )
    yield Finding("Two levels", (Markup(text),))


def one_seed(board: Board) -> Iterator[Finding]:
    """What the intervals cannot hold."""
    if all(row.seeds < 2 for row in board.everything):
        who = "The configuration" if len(board.everything) == 1 else "Every configuration"
        text = (
            f"{who} {of_one_seed(board)}: the intervals cover the choice of test images only, and what "
            "another training run would change is unknown."
        )
        yield Finding("One seed", (Markup(text),))


def without_data(board: Board, text: Markup) -> Markup:
    """A sentence without the settings of the data in its labels, where all labels of the board share them: they are
    said of the board."""
    labels = [row.label for row in (*board.everything, *board.readings)] + [lost.label for lost in board.failed]
    keys = "|".join([*keys_of("data"), "test_images"])
    found = [set(re.findall(rf" (?:{keys})=\S+", label)) for label in labels]
    for setting in set.intersection(*found) if found else ():
        text = Markup(re.sub(rf"{re.escape(str(escape(setting)))}(?![^\s<,;:.)])", "", text))
    return text


def of_one_seed(board: Board) -> str:
    """What is said of configurations with one score each: that they were trained once, unless other seeds failed."""
    failed = any(row.ending.failed for row in board.everything) or any(lost.seeds > 1 for lost in board.failed)
    return "has the score of one seed alone" if failed else "was trained once"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def first_of(names: list[Markup]) -> Markup:
    """'a, b, c and 3 more'."""
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], Markup("{} more").format(len(names) - MOST_NAMED + 1)]
    return Markup(listed([str(name) for name in names]))
