"""Findings that hold configurations against one another in pairs: a learned σ, folk recipes, unnormalised twins.

A pair differs in what is compared and agrees in all else (bench.statistics.rows.matched).
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.report.numbers import all_of, amount, listed, ordinal
from bench.report.text.findings import Finding
from bench.statistics.boards import Board
from bench.statistics.rows import Estimate, Row, by_family, first_of_each, matched
from vae_core.statistics.intervals import Verdict


def learned_sigma(board: Board) -> Iterator[Finding]:
    """Learned σ against σ = 1, in each family that has both under the same training settings."""
    pairs: dict[tuple[str, str], tuple[str, str]] = {}  # (family, mode) -> (learned, fixed at 1)
    for family, rows in by_family(row for row in board.ranked if not row.recipe).items():
        for learned in (row for row in rows if row.learns_sigma):
            at_one = matched((row for row in rows if row.fixed_sigma == 1), learned)
            if at_one:
                pairs[family, learned.sigma] = (learned.config, at_one[0].config)
                break
    leads = [
        (Markup("<b>{}</b>, σ={}").format(family, mode), lead)
        for (family, mode), lead in zip(pairs, board.leads(list(pairs.values())), strict=True)
        if lead is not None
    ]
    wins, losses, even = _sorted(leads)

    def amounts(of: list[tuple[Markup, Estimate]]) -> Markup:
        """'1.38 bits/dim [1.36, 1.40] (gaussian, σ=pixel) and …'."""
        return Markup(listed([str(Markup("{} ({})").format(amount(lead, board.unit), who)) for who, lead in of]))

    texts = []
    if wins:
        where = f" in {all_of(len(wins), len(leads))} families that have both" if len(leads) > 1 else ""
        texts.append(Markup("A learned σ beats σ = 1{}: by {}.").format(where, amounts(wins)))
    if losses:
        texts.append(Markup("σ = 1 beats the best learned σ: by {}.").format(amounts(losses)))
    if even:
        texts.append(Markup("Learning σ and fixing it at 1 cannot be told apart: {}.").format(amounts(even)))
    if texts:
        yield Finding("Learned σ", tuple(texts))


def recipes(board: Board) -> Iterator[Finding]:
    """Where the folk recipes stand, scored as true distributions."""
    folk = [row for row in board.ranked if row.recipe]
    if not folk or len(folk) == len(board.ranked):
        return
    best, worst = folk[0], folk[-1]
    text = Markup("The best folk recipe, <b>{}</b>, ranks {} of {}").format(
        best.label, ordinal(best.rank or 0), len(board.ranked)
    )
    if best.verdict == Verdict.INDISTINGUISHABLE:
        text += ", indistinguishable from the best"
    elif best.verdict == Verdict.WORSE:
        text += Markup(", {} behind the best").format(amount(best.behind, board.unit))
    elif best.verdict == Verdict.BEST:
        text += ": it leads the table"
    if len(folk) > 1:
        text += Markup("; the worst, <b>{}</b>, {}").format(worst.label, ordinal(worst.rank or 0))
    yield Finding("Folk recipes", (text + ", each scored as a true distribution built from its decoder.",))


def twins(board: Board) -> Iterator[Finding]:
    """Recipes that are scored as a family of the grid, against that family trained with its normalising constant."""
    proper = by_family(row for row in board.ranked if not row.recipe and row.scored_as == "itself")
    for family, rows in proper.items():
        scored_so = [row for row in board.ranked if row.recipe and row.scored_as == family]
        best_of_each = first_of_each(scored_so, lambda row: row.family)
        texts = _of_twins(board, family, [(twin, matched(rows, twin)) for twin in best_of_each])
        if texts:
            yield Finding("Unnormalised twin", tuple(texts))


def _of_twins(board: Board, family: str, candidates: list[tuple[Row, list[Row]]]) -> list[Markup]:
    """How a family stands to its twins, each with the rows of the family that it may be compared with."""
    pairs = [(twin, proper[0]) for twin, proper in candidates if proper]
    leads = board.leads([(proper.config, twin.config) for twin, proper in pairs])
    named = [
        (Markup("<b>{}</b>").format(twin.family), lead)
        for (twin, _), lead in zip(pairs, leads, strict=True)
        if lead is not None
    ]
    wins, losses, even = (
        Markup(listed([str(Markup("{} by {}").format(who, amount(lead, board.unit))) for who, lead in of]))
        for of in _sorted(named)
    )
    texts = []
    if wins:
        texts.append(
            Markup(
                "Scored as the same distribution, <b>{}</b> beats what is trained without its normalising "
                "constant: {}. Leaving the constant out costs likelihood."
            ).format(family, wins)
        )
    if losses:
        texts.append(
            Markup(
                "Scored as the same distribution, what is trained without the normalising constant beats "
                "<b>{0}</b>: {1}. That can be: the twin trains on pixels without dequantisation noise and "
                "follows a plainer gradient, which on a short schedule or with few images can end further "
                "along. It says that this training of {0} is not at its optimum, not that the constant is "
                "superfluous: train longer before concluding."
            ).format(family, losses)
        )
    if even:
        texts.append(
            Markup(
                "Scored as the same distribution, <b>{}</b> and what is trained without its normalising constant "
                "cannot be told apart: it leads {}."
            ).format(family, even)
        )
    return texts


def _sorted(
    leads: list[tuple[Markup, Estimate]],
) -> tuple[list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]]]:
    """Leads that are clear, deficits that are (as leads of the other side), and what cannot be told apart."""
    wins = [(who, lead) for who, lead in leads if lead.low > 0]
    losses = [(who, lead.times(-1)) for who, lead in leads if lead.high < 0]
    even = [(who, lead) for who, lead in leads if lead.low <= 0 <= lead.high]
    return wins, losses, even
