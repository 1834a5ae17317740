"""Findings that hold configurations against one another in pairs: a learned σ, folk recipes, unnormalised twins.

A pair differs in what is compared and agrees in all else (bench.statistics.rows.matched).
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.grid.families import registry
from bench.report.numbers import all_of, amount, listed, measured, ordinal
from bench.report.text.findings import MOST_NAMED, Finding, first_of
from bench.statistics.boards import Board
from bench.statistics.claims.scales import Comparison, Outcome, learned_scales
from bench.statistics.rows import Estimate, Row, first_of_each, grouped, matched
from vae_core.statistics.intervals import Verdict


def learned_sigma(board: Board) -> Iterator[Finding]:
    """Every way of learning σ against the best fixed σ of the same family and training."""
    compared = learned_scales(board)
    if not compared:
        return
    texts = [_of_mode(board, mode, some) for mode, some in grouped(compared, lambda one: one.learned.sigma).items()]
    yield Finding("Learned σ", (*texts, *_how_compared(compared)))


def _how_compared(compared: list[Comparison]) -> Iterator[Markup]:
    """When better and worse are said, and where the best fixed σ may not be the best there is."""
    made = sum(one.tried for one in compared)
    corrected = f", corrected for {made} comparisons with fixed σ," if made > 1 else ""
    yield Markup(
        "Compared are configurations of one family and training; better and worse are said where the interval leaves "
        "zero out and p{} is below 0.05."
    ).format(corrected)
    for unranked, alike in grouped(compared, lambda one: one.unranked).items():
        left = listed([f"{sigma:g}" for sigma in unranked])
        were = "was" if len(unranked) == 1 else "were"
        only = listed(list(dict.fromkeys(f"{one.fixed.fixed_sigma:g}" for one in alike if one.tried == 1)))
        if only:
            which = f"that could be ranked ({left} {were} tried and could not be ranked)" if unranked else "tried"
            yield Markup("Where σ = {} is the only fixed one {}, another may do better.").format(
                only.replace(" and ", " or "), which
            )
        several_ranked = [one.learned.family for one in alike if one.tried > 1]
        if unranked and several_ranked:
            yield Markup("Of the fixed σ of {}, {} {} tried and could not be ranked: {} may do better.").format(
                listed(list(dict.fromkeys(several_ranked))), left, were, "it" if len(unranked) == 1 else "they"
            )
    edges = list(dict.fromkeys(one.fixed.label for one in compared if one.at_edge))
    if edges:
        yield Markup("The best fixed σ is the smallest or the largest tried, and one beyond may do better: {}.").format(
            first_of([Markup("<b>{}</b>").format(label) for label in edges])
        )


def _of_mode(board: Board, mode: str, compared: list[Comparison]) -> Markup:
    """How one way of learning σ did: in how many comparisons it was better, worse, neither, and by how much."""
    whole = len(compared)
    families = len({one.learned.family for one in compared}) == whole
    parts = []
    for outcome, said in (
        (Outcome.BETTER, "better"),
        (Outcome.WORSE, "worse"),
        (Outcome.EVEN, "neither clearly"),
    ):
        own = [one for one in compared if one.outcome is outcome]
        if own:
            where = f" in {all_of(len(own), whole)} {'families' if families else 'comparisons'}" if whole > 1 else ""
            parts.append(Markup("{}{}, {}").format(said, where, _amounts(board, own)))
    return Markup("<b>σ={}</b> against the best fixed σ: {}.").format(mode, Markup("; ").join(parts))


def _amounts(board: Board, compared: list[Comparison]) -> Markup:
    """'by 0.036 bits/dim [0.021, 0.056] (logistic σ=pixel against 0.1)'; of many, the range. What cannot be told apart
    has the learned one's lead, with its sign."""
    even = compared[0].outcome is Outcome.EVEN
    leads = [one.lead if even or one.outcome is Outcome.BETTER else one.lead.times(-1) for one in compared]
    begin = "its lead being" if even else "by"
    if len(compared) <= MOST_NAMED:
        each = [
            str(
                Markup("{} ({} against {:g})").format(
                    amount(lead, board.unit).strip(), one.learned.label, one.fixed.fixed_sigma
                )
            )
            for one, lead in zip(compared, leads, strict=True)
        ]
        return Markup("{} {}").format(begin, Markup(listed(each)))
    means = [lead.mean for lead in leads]
    return Markup("{} {} to {} {}").format(
        begin, measured(min(means), board.unit), measured(max(means), board.unit), board.unit
    )


def recipes(board: Board) -> Iterator[Finding]:
    """Where the folk recipes stand, scored as true distributions."""
    folk = [row for row in board.ranked if row.recipe]
    if not folk or len(folk) == len(board.ranked):
        return
    best, worst = folk[0], folk[-1]
    alone = len(folk) == 1
    text = Markup("{}, <b>{}</b>, ranks {} of {}").format(
        "The only folk recipe" if alone else "The best folk recipe",
        best.label,
        ordinal(best.rank or 0),
        len(board.ranked),
    )
    if best.verdict == Verdict.INDISTINGUISHABLE:
        text += ", indistinguishable from the best"
    elif best.verdict == Verdict.WORSE:
        text += Markup(", {} behind the best").format(amount(best.behind, board.unit))
    elif best.verdict == Verdict.BEST:
        text += ": it is the first configuration"
    if len(folk) > 1:
        text += Markup("; the worst, <b>{}</b>, {}").format(worst.label, ordinal(worst.rank or 0))
    if any(row.reading_of for row in folk):
        text += (
            f", {'' if alone else 'each '}read in its favour: as the true distribution about its decoder's mean, of a "
            "listed set, that is best on validation images"
        )
    else:
        text += f", {'' if alone else 'each '}scored as a true distribution built from its decoder"
    yield Finding("Folk recipes", (text + ".",))


def twins(board: Board) -> Iterator[Finding]:
    """Recipes whose loss is a family's of the grid without its normalising constant, against that family.

    Twice: the recipe's weights read as that same family, which reads raw outputs as the recipe does, so that the pair
    differs in the training alone, and read in the recipe's favour, as what is ranked. The constant's price is said only
    where the family is ahead of both.
    """
    proper = grouped(
        (row for row in board.ranked if not row.recipe and row.scored_as == "itself" and not row.own_options),
        lambda row: (row.family, row.sigma),
    )
    of_recipes = [row for row in (*board.ranked, *board.readings) if row.recipe and row.trusted]
    for family, rows in proper.items():
        read_so = first_of_each((row for row in of_recipes if _twin(row) == family), lambda row: row.family)
        pairs = [(twin, matched(rows, twin)[0]) for twin in read_so if matched(rows, twin)]
        texts = [text for twin, own in pairs for text in _of_twins(board, own, twin)]
        if texts:
            yield Finding("Unnormalised twin", tuple(texts))


def _twin(row: Row) -> tuple[str, str] | None:
    """The family, and its σ, that a recipe's loss is but for the normalising constant, when it is scored as this row's
    is; None where there is none, and of a recipe that the catalogue does not know, for its loss is not known."""
    catalogue = registry()
    if row.family not in catalogue.known():
        return None
    twin: tuple[str, str] | None = catalogue.get(row.family).twin(row.scored_as)
    return twin


def _of_twins(board: Board, proper: Row, twin: Row) -> Iterator[Markup]:
    """How a family stands to a recipe that is read as it, and to the same weights in the reading that is ranked."""
    favoured = next((row for row in board.ranked if row.config == twin.reading_of and row is not twin), None)
    read = [twin] if favoured is None else [twin, favoured]
    alike, *others = board.leads([(proper.config, row.config) for row in read])
    if alike is None:
        return
    own = f"{proper.family} σ={proper.sigma}" if proper.sigma else proper.family
    named = {"family": own, "recipe": twin.family}
    yield Markup(
        "<b>{family}</b> and <b>{recipe}</b>, read as the same distribution, differ in the training alone: {how}."
    ).format(how=_standing(board, "with its normalising constant", "without", alike), **named)
    lead = others[0] if others else None
    if favoured is not None and lead is not None:
        reading = favoured.scored_as.replace("_", " ")
        yield Markup("Read in its favour, as {}, {} {}.").format(reading, twin.family, _favoured(board, own, lead))
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


def _favoured(board: Board, family: str, lead: Estimate) -> Markup:
    if lead.low > 0:
        return Markup("is still behind <b>{}</b>, by {}").format(family, amount(lead, board.unit))
    if lead.high < 0:
        return Markup("is ahead of <b>{}</b>, by {}").format(family, amount(lead.times(-1), board.unit))
    return Markup("cannot be told apart from <b>{}</b> ({})").format(family, amount(lead, board.unit))


def _sorted(
    leads: list[tuple[Markup, Estimate]],
) -> tuple[list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]], list[tuple[Markup, Estimate]]]:
    """Leads that are clear, deficits that are (as leads of the other side), and what cannot be told apart."""
    wins = [(who, lead) for who, lead in leads if lead.low > 0]
    losses = [(who, lead.times(-1)) for who, lead in leads if lead.high < 0]
    even = [(who, lead) for who, lead in leads if lead.low <= 0 <= lead.high]
    return wins, losses, even
