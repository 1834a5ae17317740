"""What there is to remark about the numbers themselves: how they were estimated, what is left out of the ranking and
why, whether the predicted noise is the noise there is, and what has collapsed.

Each remark is computed from the numbers, and made only where they give cause for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.report.numbers import DIGITS, bound, listed, measured, percent, several, times
from bench.statistics.boards import Board

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
    refined = whole[(whole["refined"] > 0) & whole["lift"].notna()]
    if refined.empty:
        return
    most = refined.loc[refined["lift"].idxmax()]
    which = "The bound is" if len(whole) == 1 else f"{len(refined)} of {len(whole)} bounds {_are(len(refined))}"
    said = Markup("{} refined: the proposal was fitted to each image").format(which)
    bad = float(refined["encoder_khat_bad_fraction"].median())
    if np.isfinite(bad):
        said += Markup("; the encoder's had a bad k̂ in {} of the images (median)").format(percent(bad))
    texts = [said + "."]
    if round(float(most["lift"]), DIGITS[board.unit]) <= 0:
        yield Finding("Estimator", (*texts, Markup("The encoder's own bounds were no worse.")))
        return
    short = Markup("Importance sampling from the encoder alone falls short by {} {} (<b>{}</b>)").format(
        measured(most["lift"], board.unit), board.unit, most["label"]
    )
    if len(refined) > 1:
        short += Markup(" at most, {} in the median").format(measured(float(refined["lift"].median()), board.unit))
    texts.append(short + ".")
    texts += _other_order(board)
    yield Finding("Estimator", tuple(texts))


def _other_order(board: Board) -> list[Markup]:
    """How the ranked configurations would stand by the encoder's own bounds."""
    rows = board.rows
    by_encoder = rows.iloc[np.argsort(-(rows["encoder_iw_nats"].fillna(rows["iw_nats"])), kind="stable")]
    moved = int((by_encoder["config"].to_numpy() != rows["config"].to_numpy()).sum())
    if not moved:
        return []
    text = Markup("By those bounds {} of {} ranks would have been others").format(moved, len(rows))
    if by_encoder.iloc[0]["config"] != rows.iloc[0]["config"]:
        text += Markup(", and <b>{}</b> would have come first instead of <b>{}</b>").format(
            by_encoder.iloc[0]["label"], rows.iloc[0]["label"]
        )
    return [text + "."]


def left_out(board: Board) -> Iterator[Finding]:
    """What is not ranked."""
    rows = board.left_out
    if rows.empty:
        return
    text = Markup("{} of {} bounds cannot be trusted and {} not ranked: {}.").format(
        len(rows),
        len(board.everything),
        _are(len(rows)),
        first_of([Markup("<b>{}</b> ({})").format(row["label"], bound(row, board.unit)) for _, row in rows.iterrows()]),
    )
    yield Finding("Left out of the ranking", (text + " " + _what_that_means(rows),))


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def first_of(names: list[Markup]) -> Markup:
    """'a, b, c and 3 more'."""
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], Markup("{} more").format(len(names) - MOST_NAMED + 1)]
    return Markup(listed([str(name) for name in names]))


def _what_that_means(rows: pd.DataFrame) -> str:
    if len(rows) == 1:
        return "Its true value is better than that, by an unknown amount."
    return "Their true values are better than those, by unknown amounts."


def noise(board: Board) -> Iterator[Finding]:
    """Whether the noise that decoders predict is the noise there is: the widest, the narrowest, the best ranked."""
    whole = board.everything
    known = whole[(whole["noise_predicted"] > 0) & (whole["noise_realised"] > 0)]
    ratio = known["noise_predicted"] / known["noise_realised"]
    off = np.fmax(ratio, 1 / ratio) > NOISE_OFF
    if not off.any():
        return
    texts = [
        Markup("{} of {} {} a noise that is off by more than a factor of {:g}.").format(
            int(off.sum()), several(len(known), "configuration"), "predicts" if off.sum() == 1 else "predict", NOISE_OFF
        )
    ]
    for wide, word in ((True, "predicts"), (False, "predicts only")):
        some = ratio[off & ((ratio > 1) == wide)]
        if len(some):
            row = known.loc[some.idxmax() if wide else some.idxmin()]
            text = Markup("<b>{}</b> {} {} times the noise there is").format(
                row["label"], word, times(float(some.max() if wide else some.min()))
            )
            if np.isfinite(row["coverage_95"]):
                text += Markup(": its 95 % intervals hold {} of the values").format(percent(row["coverage_95"]))
            texts.append(text + ".")
    if len(board.rows):
        top = board.rows.iloc[0]
        if np.isfinite(top["coverage_95"]) and top["config"] not in set(known.loc[off, "config"]):
            texts.append(Markup("Those of the first-ranked hold {}.").format(percent(top["coverage_95"])))
    yield Finding("Predicted noise", tuple(texts))


def collapse(board: Board) -> Iterator[Finding]:
    """Configurations whose latent says nothing of the image, in some seed."""
    rows = board.everything
    rows = rows[rows["collapsed"] > 0]
    if rows.empty:
        return
    names = [
        Markup("<b>{}</b>{}").format(
            row["label"], "" if row["collapsed"] == row["seeds"] else f" ({row['collapsed']} of {row['seeds']} seeds)"
        )
        for _, row in rows.iterrows()
    ]
    text = Markup(
        "The posterior has collapsed onto the prior in {}: z says nothing of the image, and the "
        "decoder is one distribution for all images."
    ).format(first_of(names))
    yield Finding("Posterior collapse", (text,))
