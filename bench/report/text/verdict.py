"""The verdict in words: sentences about a board, each of them computed from its numbers.

Every sentence is Markup with what comes from the run escaped, so that a page can show it and a terminal can strip it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from bench.report.numbers import amount, bracket, count, drawn_by, listed, measured, withheld
from bench.report.text.claims.spread import as_trained, made_of
from bench.report.text.comparisons import learned_sigma, recipes, twins
from bench.report.text.ends import end_bins
from bench.report.text.findings import (
    Finding,
    collapse,
    estimator,
    first_of,
    left_out,
    noise,
    one_seed,
    two_levels,
    without_data,
)
from bench.report.text.references import above_references, not_held, to_uniform
from bench.report.text.scope import better_bound, pool, quote, scope, shares_no_seed
from bench.report.text.training import lost_seeds, never_scored, not_ended, training
from bench.report.text.tuning import at_edge, tuning
from bench.statistics.boards import Board
from bench.statistics.claims.spread import may_owe_to_objective
from bench.statistics.rows import by_family
from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import Verdict

TOPICS = (
    training,
    lost_seeds,
    tuning,
    estimator,
    left_out,
    end_bins,
    two_levels,
    made_of,
    learned_sigma,
    twins,
    recipes,
    noise,
    collapse,
    one_seed,
)  # as they stand on the page


@dataclass(frozen=True)
class Sentences:
    """What a board says: the headline, the best number, how sure it is, and further findings."""

    headline: Markup
    scope: Markup  # what it holds for: without it the headline is not to be shown
    best: Markup  # the best configuration with its number and interval
    gap: Markup  # the runner-up and whether the gap is more than noise
    meaning: str  # what the numbers are, in one sentence
    findings: tuple[Finding, ...]
    quote: Markup  # all of it in one sentence, scope included


def sentences(board: Board) -> Sentences:
    """All sentences about a board."""
    parts = (
        _unbeaten(board),
        not_held(board),
        _runner_up(board),
        as_trained(board),
        never_scored(board),
        not_ended(board),
        at_edge(board),
        _unknown_best(board),
    )
    return Sentences(
        headline=without_data(board, _headline(board)),
        scope=scope(board),
        best=without_data(board, _best(board)),
        gap=without_data(board, Markup(" ").join(text for text in parts if text)),
        meaning=_meaning(board),
        findings=tuple(finding for topic in TOPICS for finding in topic(board)),
        quote=quote(board),
    )


def _headline(board: Board) -> Markup:
    ranked, left = board.ranked, board.left_out
    if not ranked:
        if len(left) == 1:
            return Markup("Nothing can be ranked: the only bound cannot be trusted")
        return Markup("Nothing can be ranked: none of {} bounds can be trusted").format(len(left))
    text = _who(board)
    if board.better_unranked and len(ranked) > 1:
        return Markup("Of what can be ranked, ") + text
    return text if text.startswith("<") else text[:1].upper() + text[1:]


def _who(board: Board) -> Markup:
    """Which ranked configurations fit best, where a board has any; begins with a small letter."""
    ranked, top = board.ranked, board.ranked[0]
    behind = board.unbeaten or not board.beats_uniform(top)
    if not board.judged and (behind or len(ranked) > 1):
        few = Markup("too few {} to rank by: {}, and a verdict needs {}")
        return few.format(drawn_by(board), board.draws, FEWEST_IMAGES) + _ahead_by_mean(board)
    if behind:
        return _behind_references(board)
    if len(ranked) == 1:
        where = (
            "configuration that can be ranked"
            if len(board.everything) + len(board.failed) > 1
            else ("configuration here")
        )
        if above := above_references(board):
            return Markup("<b>{}</b>, the only {}, is {}").format(top.label, where, above)
        return Markup("<b>{}</b> is the only {}: there is no other to compare it with").format(top.label, where)
    if board.unpaired:
        return Markup("<b>{}</b> has the best mean, but {}").format(top.label, shares_no_seed(board))
    tied = [row for row in ranked if row.verdict == Verdict.INDISTINGUISHABLE]
    families = list(by_family([top, *tied]))
    fits, fit, but = "fits best", "fit best", ""
    if may_owe_to_objective(board):
        fits, fit, but = "scores best", "score best", ", but not all were trained on what is scored"
    if len(by_family(ranked)) == 1:
        if tied:
            return Markup("no setting of <b>{}</b> is clearly best: {} of {} cannot be told apart{}").format(
                top.family, len(tied) + 1, len(ranked), but
            )
        label = without_data(board, escape(top.label)).unescape()
        return Markup("of {} settings of <b>{}</b>, <b>{}</b> {}{}").format(
            len(ranked), top.family, label.removeprefix(top.family).strip() or "the plain setting", fits, but
        )
    of = pool(board)
    if len(families) == 1:
        return Markup("<b>{}</b> {} of {}{}").format(top.family, fits, of, but)
    if len(families) <= 4:
        return Markup("{} {} of {}, and cannot be told apart{}").format(
            Markup(listed([str(Markup("<b>{}</b>").format(family)) for family in families])), fit, of, but
        )
    return Markup("{} of {} cannot be told apart at the top; <b>{}</b> has the best mean{}").format(
        len(families), of, top.family, but
    )


def _behind_references(board: Board) -> Markup:
    """The first configuration beside a reference that it does not beat: no winner."""
    top = board.ranked[0]
    if not board.beats_uniform(top):
        return Markup("<b>{}</b>, the first configuration, is {}").format(top.label, to_uniform(board, top))
    reference = board.unbeaten[0]
    ahead = board.sign * (reference.value.mean - top.value.mean)
    if ahead > 0 and reference.verdict != Verdict.INDISTINGUISHABLE:
        return Markup(
            "nothing here beats the reference <b>{}</b>: <b>{}</b>, the first configuration, is {} {} behind"
        ).format(reference.label, top.label, measured(ahead, board.unit), board.unit)
    return Markup("<b>{}</b>, the first configuration, is not shown to be better than the reference <b>{}</b>").format(
        top.label, reference.label
    )


def _ahead_by_mean(board: Board) -> Markup:
    """What is no verdict where there are too few images for one: a reference, or a uniform guess, ahead by its mean."""
    top = board.ranked[0]
    if not board.beats_uniform(top):
        ahead = Markup("a uniform guess")
    elif names := [Markup("<b>{}</b>").format(row.label) for row in board.unbeaten if row.behind.mean < 0]:
        ahead = Markup("the reference{} {}").format("" if len(names) == 1 else "s", first_of(names))
    else:
        return Markup("")
    are = "are" if ahead.startswith("the references") else "is"
    return Markup("; by their means {} {} ahead of <b>{}</b>, the first configuration").format(ahead, are, top.label)


def _best(board: Board) -> Markup:
    if not board.ranked:
        return Markup("")
    top = board.ranked[0]
    return Markup("<b>{}</b> reaches <b>{} {}</b> {}").format(
        top.label,
        measured(top.value.mean, board.unit),
        board.unit,
        bracket(top.value, board.unit) or f"({withheld(top.value, board.unit)})",
    )


def _unbeaten(board: Board) -> Markup:
    """All references that the first configuration does not beat, where there are several and it can be judged."""
    if len(board.unbeaten) < 2 or not board.judged:
        return Markup("")
    names = [Markup("<b>{}</b> ({})").format(row.label, measured(row.value.mean, board.unit)) for row in board.unbeaten]
    return Markup("References that it does not beat: {}.").format(first_of(names))


def _unknown_best(board: Board) -> Markup:
    """That something which is left out is better than what is ranked first, where it is."""
    if not board.ranked or not board.better_unranked:
        return Markup("")
    return Markup(
        "But the bound of <b>{}</b>, which cannot be trusted and is not ranked, {}: the best is not known."
    ).format(board.better_unranked[0].label, better_bound(board))


def _runner_up(board: Board) -> Markup:
    if len(board.ranked) < 2:
        return Markup("")
    top, *others = board.ranked
    rivals = [row for row in others if row.family != top.family]
    kind = "family" if rivals else "setting"
    second = (rivals or others)[0]
    text = Markup("Runner-up {}: <b>{}</b>").format(kind, second.label)
    if second.verdict == Verdict.UNJUDGED:
        return text + Markup(", {} behind: not judged.").format(amount(second.behind, board.unit))
    if second.verdict == Verdict.UNPAIRED:
        return text + ", which shares no seed with the best: the gap cannot be judged."
    behind = second.behind
    text += Markup(", {} {} {} behind: ").format(
        measured(behind.mean, board.unit), board.unit, bracket(behind, board.unit)
    )
    few_seeds = not behind.noise_known
    if second.verdict == Verdict.WORSE:
        text += "more than the " + (
            "choice of test images explains" if few_seeds else "noise of images and seeds explains"
        )
    elif behind.low <= 0:
        text += "the interval reaches zero, so the order of the two is not settled"
    else:
        text += (
            f"enough were there only two, but not among {len(board.ranked)} (corrected p = {second.p:.2f}), so "
            "the order of the two is not settled"
        )
    if few_seeds:
        text += "; with one seed to compare, the training noise is unknown"
    elif behind.seeds < 2:
        text += "; with one seed to compare, the training noise is that of the others"
    return text + "."


def _meaning(board: Board) -> str:
    if board.unit == "nats":
        return (
            "A number here is the log-probability of a test image's pixels, in nats: one nat more makes the image "
            "2.7 times as probable."
        )
    step = 0.1
    return (
        f"A number here is how many bits each value of a test image costs: {step} bits/dim less makes an image of "
        f"{count(board.dims)} values {_times(step * board.dims)} as probable."
    )


def _times(bits: float) -> str:
    """2^bits, as people say it."""
    if bits > 20:
        return f"10^{bits * float(np.log10(2)):,.0f} times"
    return f"{2**bits:,.{1 if bits < 3 else 0}f} times"
