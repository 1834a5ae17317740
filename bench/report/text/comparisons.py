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
    if any(row.reading_of for row in folk):
        text += (
            ", each read in its favour: as the true distribution about its decoder's mean, of a listed set, that is "
            "best on validation images"
        )
    else:
        text += ", each scored as a true distribution built from its decoder"
    yield Finding("Folk recipes", (text + ".",))


def twins(board: Board) -> Iterator[Finding]:
    """Recipes that can be read as a family of the grid, against that family trained with its normalising constant.

    Twice: the recipe's weights read as that same family, so that the pair differs in the training alone, and read in
    the recipe's favour, as what is ranked. The constant's price is said only where the family is ahead of both.
    """
    proper = by_family(row for row in board.ranked if not row.recipe and row.scored_as == "itself")
    of_recipes = [row for row in (*board.ranked, *board.readings) if row.recipe and row.trusted]
    for family, rows in proper.items():
        read_so = first_of_each((row for row in of_recipes if row.scored_as == family), lambda row: row.family)
        pairs = [(twin, matched(rows, twin)[0]) for twin in read_so if matched(rows, twin)]
        texts = [text for twin, own in pairs for text in _of_twins(board, own, twin)]
        if texts:
            yield Finding("Unnormalised twin", tuple(texts))


def _of_twins(board: Board, proper: Row, twin: Row) -> Iterator[Markup]:
    """How a family stands to a recipe that is read as it, and to the same weights in the reading that is ranked."""
    favoured = next((row for row in board.ranked if row.config == twin.reading_of and row is not twin), None)
    read = [twin] if favoured is None else [twin, favoured]
    alike, *others = board.leads([(proper.config, row.config) for row in read])
    if alike is None:
        return
    named = {"family": proper.family, "recipe": twin.family}
    yield Markup(
        "<b>{family}</b> and <b>{recipe}</b>, read as the same distribution, differ in the training alone: {how}."
    ).format(how=_standing(board, "with its normalising constant", "without", alike), **named)
    lead = others[0] if others else None
    if favoured is not None and lead is not None:
        reading = favoured.scored_as.replace("_", " ")
        yield Markup("Read in its favour, as {}, {} {}.").format(reading, twin.family, _favoured(board, proper, lead))
    elif twin.set_aside:
        return  # what it is in its favour is not known, and so neither what the constant is worth
    if alike.low > 0 and (lead is None or lead.low > 0):
        least = alike if lead is None or alike.mean < lead.mean else lead
        yield Markup("Leaving the constant out costs {recipe} {least} at least.").format(
            least=amount(least, board.unit), **named
        )
    elif alike.low > 0:
        yield Markup(
            "Leaving the constant out costs {recipe} nothing that another reading does not make up for."
        ).format(**named)
    elif alike.high < 0:
        yield Markup(
            "That can be: the recipe trains on pixels without dequantisation noise and follows a plainer gradient, "
            "which on a short schedule or with few images can end further along. It says that this training of "
            "<b>{family}</b> is not at its optimum, not that the constant is superfluous: train longer before "
            "concluding."
        ).format(**named)


def _standing(board: Board, one: str, other: str, lead: Estimate) -> Markup:
    """'trained with … it is better than without, by …', or the other way round."""
    if lead.low > 0:
        return Markup("trained {} it is better than {}, by {}").format(one, other, amount(lead, board.unit))
    if lead.high < 0:
        behind = amount(lead.times(-1), board.unit)
        return Markup("trained {} it is worse than {}, by {}").format(one, other, behind)
    return Markup("trained {} and {} it cannot be told apart ({})").format(one, other, amount(lead, board.unit))


def _favoured(board: Board, proper: Row, lead: Estimate) -> Markup:
    if lead.low > 0:
        return Markup("is still behind <b>{}</b>, by {}").format(proper.family, amount(lead, board.unit))
    if lead.high < 0:
        return Markup("is ahead of <b>{}</b>, by {}").format(proper.family, amount(lead.times(-1), board.unit))
    return Markup("cannot be told apart from <b>{}</b> ({})").format(proper.family, amount(lead, board.unit))


def _sorted(
    leads: list[tuple[Markup, Estimate]],
) -> tuple[list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]]]:
    """Leads that are clear, deficits that are (as leads of the other side), and what cannot be told apart."""
    wins = [(who, lead) for who, lead in leads if lead.low > 0]
    losses = [(who, lead.times(-1)) for who, lead in leads if lead.high < 0]
    even = [(who, lead) for who, lead in leads if lead.low <= 0 <= lead.high]
    return wins, losses, even
