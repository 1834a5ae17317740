"""What is said of the parts of a spread: paired effects of one thing at a time, never marginals."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.grid.families import make, registry, trainable_on
from bench.report.numbers import listed, measured, several
from bench.report.text.findings import Finding, first_of
from bench.report.text.tuning import words
from bench.statistics.boards import Board
from bench.statistics.claims.spread import Axis, may_owe_to_objective, spread, untwinned
from bench.statistics.rows import Row

TOPIC = "What the spread is made of"
ALONE = {"family": "the family", "objective": "what is trained on", "sigma": "how σ is given", "fixed sigma": "a fixed σ"}


def name(axis: Axis) -> str:
    """The thing that an axis is about: 'the family', 'latent'."""
    return ALONE.get(axis.key, words(axis.key))


def made_of(board: Board) -> Iterator[Finding]:
    """How much of the spread comes from what, and for which configurations that cannot be told."""
    if len(board.ranked) < 2:
        return
    axes = [axis for axis in spread(board) if axis.effects]
    texts = [text for text in (_changed(board, axes), _cannot_be_told(board)) if text]
    if texts:
        yield Finding(TOPIC, tuple(texts))


def as_trained(board: Board) -> Markup:
    """What the headline must say of densities that were not trained on what is scored, and might else come first;
    nothing where there are none."""
    rows = may_owe_to_objective(board)
    if not rows:
        return Markup("")
    gained = next(axis for axis in spread(board) if axis.key == "objective")
    so_much = (
        Markup("that gains {} {} here").format(_range(gained, board.unit), board.unit)
        if gained.effects
        else Markup("what that would gain no pair of this run tells")
    )
    one = len(rows) == 1
    text = Markup(
        "But {} {} trained on dequantised data alone, and not on the masses that all are scored by: {}, so {} family and "
        "objective cannot be told apart, and the order may be the objective's."
    ).format(_names(rows), "was" if one else "were", so_much, "its" if one else "their")
    able = [row for row in rows if has_bins(row)]
    if able:
        text += Markup(' Add <code>objective = ["dequantised", "binned"]</code> to the cells of {} in the grid.').format(
            first_of([Markup("<b>{}</b>").format(family) for family in dict.fromkeys(row.family for row in able)])
        )
    return text


def has_bins(row: Row) -> bool:
    """Whether a density can be trained on its bins, as far as the catalogue knows it."""
    if row.family not in registry().names():
        return True
    options = row.own_options
    if row.sigma:
        options["sigma"] = row.sigma if row.learns_sigma else row.fixed_sigma
    return not trainable_on(make(row.family, options))["binned"]


def _changed(board: Board, axes: list[Axis]) -> Markup:
    texts = []
    for axis in axes:
        by = Markup("{} {} in the median of {} ({})").format(
            measured(axis.typical, board.unit),
            board.unit,
            several(len(axis.effects), "pair" if axis.directed else "set"),
            _range(axis, board.unit),
        )
        if axis.directed:
            texts.append(Markup("Training on bins instead of dequantised data alone gains {}").format(by))
        else:
            texts.append(Markup("changing {} alone, {}").format(name(axis), by))
    if not texts:
        return Markup("")
    texts.sort(key=lambda text: not text.startswith("Training"))
    first, *rest = texts
    how = " from the best to the worst of a set" if any(not axis.directed for axis in axes) else ""
    whole = Markup("; ").join([first[:1].upper() + first[1:], *rest])
    return Markup("{}{}; all else equal, paired by seed and image.").format(whole, how)


def _cannot_be_told(board: Board) -> Markup:
    rows = untwinned(board)
    if not rows:
        return Markup("")
    return Markup(
        "{} {} no twin here that was trained on bins: what {} to {} family and what to training on dequantised data cannot "
        "be told apart."
    ).format(
        _names(rows),
        "has" if len(rows) == 1 else "have",
        "it owes" if len(rows) == 1 else "they owe",
        "its" if len(rows) == 1 else "their",
    )


def _range(axis: Axis, unit: str) -> str:
    """'0.071 to 0.475', or the one number."""
    if len(axis.effects) == 1:
        return measured(axis.low, unit)
    return f"{measured(axis.low, unit)} to {measured(axis.high, unit)}"


def _names(rows: tuple[Row, ...]) -> Markup:
    return Markup(first_of([Markup("<b>{}</b>").format(row.label) for row in rows]))
