"""What is said of the parts of a spread: paired effects of one thing at a time, never marginals."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.grid.families import make, registry, scales, trainable_on
from bench.report.numbers import listed, measured
from bench.report.text.findings import Finding, first_of
from bench.report.text.tuning import words
from bench.statistics.boards import Board
from bench.statistics.claims.spread import Axis, may_owe_to_objective, spread, untwinned
from bench.statistics.rows import Row

TOPIC = "What the spread is made of"
ALONE = {
    "family": "the family",
    "objective": "what is trained on",
    "sigma": "how σ is given",
    "fixed sigma": "the number of a fixed σ",
}


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
        "But {} {} trained on dequantised data alone, and not on the masses that all are scored by: {}, so {} family "
        "and objective cannot be told apart, and the order may be the objective's."
    ).format(_names(rows), "was" if one else "were", so_much, "its" if one else "their")
    able = [row for row in rows if has_bins(row)]
    if able:
        text += Markup(
            ' Add <code>objective = ["dequantised", "binned"]</code> to the cells of {} in the grid.'
        ).format(first_of([Markup("<b>{}</b>").format(family) for family in dict.fromkeys(row.family for row in able)]))
    return text


def has_bins(row: Row) -> bool:
    """Whether a density can be trained on its bins with its σ, as far as the catalogue knows the two."""
    known = scales(row.family) if row.family in registry().known() else {}
    mode = row.sigma if row.learns_sigma else "a number" if row.sigma else ""
    return mode not in known or not trainable_on(make(row.family, known[mode]))["binned"]


def _changed(board: Board, axes: list[Axis]) -> Markup:
    """What each thing does to the score, of the pairs and sets that there are."""
    texts = [
        Markup("Training on bins instead of dequantised data alone gains {} {} ({}).").format(
            measured(axis.typical, board.unit), board.unit, _over(axis, board.unit, "pair")
        )
        for axis in axes
        if axis.directed
    ]
    parts = [
        Markup("{} {} apart where that is {} ({})").format(
            measured(axis.typical, board.unit), board.unit, name(axis), _over(axis, board.unit, "set")
        )
        for axis in axes
        if not axis.directed
    ]
    if parts:
        texts.append(
            Markup("The best and the worst of those that differ in one thing alone lie {}.").format(
                Markup(listed([str(part) for part in parts]))
            )
        )
    effects = [effect for axis in axes for effect in axis.effects]
    unended = sum(effect.unended for effect in effects)
    if unended:
        texts.append(
            Markup("In {} a training had not ended, so that part may be the schedule's.").format(
                "this comparison" if len(effects) == 1 else f"{unended} of these {len(effects)} comparisons"
            )
        )
    return Markup(" ").join(texts)


def _over(axis: Axis, unit: str, what: str) -> str:
    """'median of 4 pairs, 0.071 to 0.475', 'the one pair'."""
    many = len(axis.effects)
    return f"the one {what}" if many == 1 else f"median of {many} {what}s, {_range(axis, unit)}"


def _cannot_be_told(board: Board) -> Markup:
    rows = untwinned(board)
    if not rows:
        return Markup("")
    return Markup(
        "{} {} no twin here that was trained on bins: what {} to {} family and what to training on dequantised data "
        "cannot be told apart."
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
