"""The ranking as a table, with a drawing of every interval; and the table of what is left out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.report.figures import Looks
from bench.report.figures._scores import limits
from bench.report.numbers import NOTHING, bound, bracket, measured, number, percent, withheld
from bench.report.tables.entries import MOST, NONE, Column, Entry, Named, key, known, plain, shown, some_seeds
from bench.report.tables.whiskers import Whisker, place, whisker
from bench.report.text.doubts import caution
from bench.report.text.ends import at_most, bounded, owed, renormalised
from bench.report.text.references import by_its_bound, crown, mark, tag
from bench.report.text.training import failed_seeds, fewer_seeds, how_it_ended, of_kl
from bench.report.text.tuning import edges_text, value_text, values_text, words
from bench.statistics.boards import Board
from bench.statistics.references import PER_FAMILY
from bench.statistics.rows import Row
from bench.statistics.trust import ESS_FLOOR
from bench.store import BAD_SHARE
from vae_core.statistics.intervals import Verdict

REACH = 2.0  # of the drawings: tighter than the figures, for the top of the table is what is read
TAGS = {
    Verdict.BEST: ("best", "best"),
    Verdict.INDISTINGUISHABLE: ("indistinguishable", "tied"),
    Verdict.WORSE: ("worse", "worse"),
    Verdict.UNPAIRED: ("no seed in common", "worse"),
    Verdict.UNJUDGED: ("not judged", "worse"),
}


@dataclass(frozen=True)
class Line:
    """One row of the ranking."""

    rank: int | str  # '' of a reference
    label: str  # the whole label
    name: str  # without its σ, which has a column of its own
    recipe: bool
    failed: str  # seeds
    hue: str
    whisker: Whisker | None  # not beyond the first MOST rows
    tag: str
    tag_class: str
    before: list[Entry]  # left of the drawing and the verdict
    after: list[Entry]
    mark: str = ""  # that it is worse than the plainest references
    family: str = ""  # by which rows are filtered; of a reference, the family that it is of, if any
    view: str = ""


@dataclass(frozen=True)
class Ranking:
    """The table of a board's ranked rows."""

    before: list[Column[Row]]
    after: list[Column[Row]]
    lines: list[Line]
    axis: tuple[str, str]  # the ends of the drawings
    best: float  # where the best lies in the drawings; of no use without lines


@dataclass(frozen=True)
class LeftOut:
    """The table of what is left out; the reasons stand after the first column."""

    columns: list[Column[Row]]
    lines: list[Named]


def ranking(board: Board, looks: Looks) -> Ranking:
    """The ranked configurations of a board and its references, best first; nothing where nothing is ranked."""
    before, after = _before(board), _after(board)
    window = limits(board, reach=REACH)
    ends = [number(value, 2) for value in sorted(window)]
    rows = board.standing if board.ranked else ()
    return Ranking(
        before=before,
        after=after,
        lines=[_line(row, before, after, looks, window, board, whole=n < MOST) for n, row in enumerate(rows)],
        axis=(ends[0], ends[1]),
        best=place(board.ranked[0].value.mean, window) if board.ranked else 0.0,
    )


def left_out(board: Board, looks: Looks) -> LeftOut:
    """What is not ranked, best bound first."""
    columns = [
        Column("At least this good", board.unit, lambda row: Entry(bound(row, board.unit), row.value.mean)),
        *_estimation(board),
        *_training(board),
    ]
    lines = named(board.left_out, columns, looks, board.unit)
    marks = [by_its_bound(board, row) for row in board.left_out]
    return LeftOut(columns, [replace(line, mark=said) for line, said in zip(lines, marks, strict=True)])


def named(rows: Sequence[Row], columns: list[Column[Row]], looks: Looks, unit: str) -> list[Named]:
    """The rows of a table that does not rank."""
    return [
        Named(
            label=row.label,
            recipe=row.recipe,
            failed=failed_seeds(row),
            hue=looks.variable(row.family),
            caution=caution(row.doubts, unit),
            entries=shown(row, columns, whole=place < MOST),
            rest=place >= MOST,
        )
        for place, row in enumerate(rows)
    ]


def _before(board: Board) -> list[Column[Row]]:
    """The columns left of the drawing and the verdict."""

    def scale(row: Row) -> Entry:
        return Entry(row.sigma or NOTHING, row.sigma if math.isfinite(row.fixed_sigma) else 1e9)

    def value(row: Row) -> Entry:
        interval = bracket(row.value, board.unit) or withheld(row.value, board.unit)
        return Entry(measured(row.value.mean, board.unit), row.value.mean, interval)

    def closed(row: Row) -> Entry:
        score, gift = renormalised(row, board), owed(row, board)
        if math.isnan(gift):
            return NONE
        small = f"owes {'≤ ' if at_most(row) else ''}{measured(gift, board.unit)}"
        return Entry(bounded(row, board), score, small, marked=at_most(row))

    columns = [Column("Score", f"{board.unit} [95 %]", value, of_references=True)]
    if any(row.sigma for row in board.ranked):
        columns.insert(0, Column("σ", "or its mode", scale, of_references=True))
    if known(board.ranked, lambda row: row.results.renormalised_nats):
        columns.append(Column("Renormalised ends", board.unit, closed))
    return columns


def _after(board: Board) -> list[Column[Row]]:
    """The columns right of them; what no configuration has is not shown."""
    unit = board.unit

    def worse(row: Row) -> Entry:
        if row.rank == 1:
            return Entry(NOTHING, -1.0)
        return Entry(measured(row.behind.mean, unit), key(row.behind.mean), bracket(row.behind, unit))

    def chance(row: Row) -> Entry:
        if row.verdict == Verdict.BEST or math.isnan(row.p):
            return Entry(NOTHING, key(row.p))
        return Entry("< 0.001" if row.p < 0.001 else number(row.p, 3), row.p)

    def spread(row: Row) -> Entry:
        some = fewer_seeds(row, board)
        text = "" if some and math.isnan(row.seed_deviation) else measured(row.seed_deviation, unit)
        return Entry(text, key(row.seed_deviation), some)

    def in_use(row: Row) -> Entry:
        sigma = row.results.sigma_fitted
        return Entry(f"{sigma:.3g}", sigma) if math.isfinite(sigma) else NONE

    def trained(row: Row) -> Entry:
        bins = " of bins" if row.objective == "binned" else ""
        weighed = f", {of_kl(row)}" if of_kl(row) else ""
        name = f"{row.bound.upper()}{bins}, L={row.train_samples}{weighed}"
        return Entry(f"its own, L={row.train_samples}{weighed}" if row.recipe else name, name)

    columns = [
        Column("Worse than best by", f"{unit} [95 %]", worse, of_references=True, id="behind"),
        Column("p", "corrected", chance, id="p"),
        *_training(board),
        *_estimation(board),
        Column("Seed SD", unit, spread),
        Column("ELBO", "nats", plain(lambda row: row.results.elbo_nats, 2)),
    ]
    if known(board.ranked, lambda row: row.results.dequantised_bits_per_dim):
        columns.append(Column("Dequantised", "bits/dim", plain(lambda row: row.results.dequantised_bits_per_dim, 3)))
    if known(board.ranked, lambda row: row.results.sigma_fitted):
        columns.append(Column("σ in use", "at test", in_use))
    return [*columns, Column("Trained on", "objective", trained, numeric=False)]


def _training(board: Board) -> list[Column[Row]]:
    """What training and tuning did: beside the score, for it is of them too."""
    unit, rows = board.unit, board.everything
    keys = list(dict.fromkeys(name for row in rows for name in row.tuned.candidates))

    def ended(row: Row) -> Entry:
        return Entry(how_it_ended(row, unit) or NOTHING, key(row.ending.most), marked=row.ending.improving > 0)

    def chosen(row: Row) -> Entry:
        values, edges = row.tuned.values, row.tuned.edges
        if not values:
            return NONE
        text = value_text(values[keys[0]]) if len(keys) == 1 else values_text(values)
        first = values.get(keys[0])
        sorted_by = float(first) if isinstance(first, int | float) else text
        return Entry(text, sorted_by, edges_text(edges, keys), marked=bool(edges))

    columns = []
    if known(rows, lambda row: row.ending.most):
        columns.append(Column("Training", unit, ended, numeric=False, wide=165))
    if keys:
        unit_of_keys = words(keys[0]) if len(keys) == 1 else "on validation images"
        columns.append(Column("Tuned", unit_of_keys, chosen, numeric=False, wide=88 if len(keys) == 1 else 170))
    if known(rows, lambda row: row.results.generalisation_bits_per_dim):
        columns.append(Column("Gap", "bits/dim", plain(lambda row: row.results.generalisation_bits_per_dim, 3)))
    if known(rows, lambda row: row.results.parameters):
        columns.append(Column("Parameters", "learned", plain(lambda row: row.results.parameters, 0)))
    return columns


def _estimation(board: Board) -> list[Column[Row]]:
    """How the bound was estimated, and how far it is to be believed."""

    def proposal(row: Row) -> Entry:
        return Entry("refined" if row.refined else "encoder", str(row.refined > 0), some_seeds(row.refined, row))

    def tail(row: Row) -> Entry:
        bad, median = row.results.khat_bad_fraction, row.results.khat_median
        small = f"{percent(bad)} bad" if math.isfinite(bad) else ""
        return Entry(number(median, 2), key(median), small, marked=not bad <= BAD_SHARE)

    def lift(row: Row) -> Entry:
        return Entry(measured(row.lift, board.unit), row.lift) if row.refined else NONE

    def effective(row: Row) -> Entry:
        ess = row.results.ess_median
        return Entry(number(ess, 1 if ess < ESS_FLOOR else 0), key(ess), marked=ess < ESS_FLOOR)

    columns = [Column("Estimator", "proposal", proposal, numeric=False), Column("k̂", "median", tail)]
    if any(row.refined for row in board.everything):
        columns.append(Column("Encoder’s bound", f"short by, {board.unit}", lift))
    return [
        *columns,
        Column("ESS", "median", effective),
        Column("L", "evaluated", plain(lambda row: row.results.iw_samples, 0)),
    ]


def _line(
    row: Row,
    before: list[Column[Row]],
    after: list[Column[Row]],
    looks: Looks,
    window: tuple[float, float],
    board: Board,
    *,
    whole: bool,
) -> Line:
    """A row with its drawing on an axis that shows `window`, unless it is one of many; of a reference there is the
    score alone."""
    if row.verdict is None or row.reference:
        said, tag_class = tag(row), "reference"
    else:
        said, tag_class = TAGS[row.verdict] if row.verdict != Verdict.BEST else (crown(board), TAGS[row.verdict][1])
    return Line(
        rank="" if row.rank is None else row.rank,
        label=row.label,
        name=row.label.replace(f" σ={row.sigma}", ""),
        recipe=row.recipe,
        failed=failed_seeds(row) or fewer_seeds(row, board),
        hue="--muted" if row.reference else looks.variable(row.family),
        whisker=whisker(row, window) if whole else None,
        tag=said,
        tag_class=tag_class,
        before=shown(row, before, whole=whole),
        after=shown(row, after, whole=whole),
        mark=mark(board, row),
        family=row.family.removeprefix(PER_FAMILY),
        view=row.view,
    )
