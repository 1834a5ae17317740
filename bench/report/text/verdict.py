"""The verdict in words: sentences about a board, each of them computed from its numbers.

Every sentence is Markup with what comes from the run escaped, so that a page can show it and a terminal can strip it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bench.report.numbers import bracket, count, listed, measured, ordinal
from bench.report.text.findings import Finding, collapse, estimator, left_out, noise
from bench.statistics.boards import Board, matched
from vae_core.statistics.intervals import Interval, Verdict


@dataclass(frozen=True)
class Words:
    """What a board says: the headline, the best number, how sure it is, and further findings."""

    headline: Markup
    best: Markup  # the best configuration with its number and interval
    gap: Markup  # the runner-up and whether the gap is more than noise
    meaning: str  # what the numbers are, in one sentence
    findings: tuple[Finding, ...]


def words(board: Board) -> Words:
    """All sentences about a board."""
    topics = (estimator, left_out, _sigma, _twins, _recipes, noise, collapse, _seeds)
    return Words(
        _headline(board), _best(board), _gap(board), _meaning(board), tuple(f for t in topics for f in t(board))
    )


def _headline(board: Board) -> Markup:
    rows = board.rows
    if rows.empty:
        alone = len(board.left_out) == 1
        return Markup("Nothing can be ranked: ") + (
            "the only bound cannot be trusted"
            if alone
            else Markup("none of {} bounds can be trusted").format(len(board.left_out))
        )
    if len(rows) == 1:
        where = "configuration that can be ranked" if len(board.left_out) else "configuration here"
        return Markup("<b>{}</b> is the only {}: there is nothing to compare it with").format(
            rows.iloc[0]["label"], where
        )
    said = _who(rows)
    if len(board.better_unranked):
        return Markup("Of what can be ranked, ") + said
    return said[:1].upper() + said[1:]


def _who(rows: pd.DataFrame) -> Markup:
    """Which of two or more ranked configurations fit best; begins with a small letter."""
    top = rows.iloc[0]
    tied = rows[rows["verdict"] == Verdict.INDISTINGUISHABLE]
    families = list(dict.fromkeys([top["family"], *tied["family"]]))
    if rows["family"].nunique() == 1:
        if len(tied):
            return Markup("no setting of <b>{}</b> is clearly best: {} of {} cannot be told apart").format(
                top["family"], len(tied) + 1, len(rows)
            )
        return Markup("of {} settings of <b>{}</b>, <b>{}</b> fits best").format(
            len(rows), top["family"], _setting(top)
        )
    if len(families) == 1:
        return Markup("<b>{}</b> fits best").format(top["family"])
    if len(families) <= 4:
        return Markup("{} fit best and cannot be told apart").format(
            Markup(listed([str(Markup("<b>{}</b>").format(family)) for family in families]))
        )
    return Markup("{} families cannot be told apart at the top; <b>{}</b> has the best mean").format(
        len(families), top["family"]
    )


def _best(board: Board) -> Markup:
    if board.rows.empty:
        return Markup("")
    top = board.rows.iloc[0]
    return Markup("<b>{}</b> reaches <b>{} {}</b> {}").format(
        top["label"], measured(top["value"], board.unit), board.unit, bracket(top["low"], top["high"], board.unit)
    )


def _gap(board: Board) -> Markup:
    return Markup(" ").join(text for text in (_runner_up(board.rows, board.unit), _unknown_best(board)) if text)


def _unknown_best(board: Board) -> Markup:
    """That something which is left out is better than what is ranked first, where it is."""
    if board.rows.empty or board.better_unranked.empty:
        return Markup("")
    strongest, top = board.better_unranked.iloc[0], board.rows.iloc[0]
    (lead,) = board.leads([(strongest["config"], top["config"])])
    how = "at least level with that"
    if lead is not None and lead.low > 0:
        how = f"better than that by at least {measured(float(lead.mean), board.unit)} {board.unit}"
    return Markup(
        "But the bound of <b>{}</b>, which cannot be trusted and is not ranked, is {}: the best is not known."
    ).format(strongest["label"], how)


def _runner_up(rows: pd.DataFrame, unit: str) -> Markup:
    if rows.empty:
        return Markup("")
    others = rows[rows["family"] != rows.iloc[0]["family"]]
    kind = "family" if len(others) else "setting"
    others = others if len(others) else rows.iloc[1:]
    if others.empty:
        return Markup("")
    next_best = others.iloc[0]
    text = Markup("Runner-up {}: <b>{}</b>").format(kind, next_best["label"])
    if next_best["verdict"] == Verdict.UNPAIRED:
        return text + ", which shares no seed with the best: the gap cannot be judged."
    text += Markup(", {} {} {} behind: ").format(
        measured(next_best["worse_by"], unit),
        unit,
        bracket(next_best["worse_low"], next_best["worse_high"], unit),
    )
    one_seed = next_best["shared_seeds"] < 2
    if next_best["verdict"] == Verdict.WORSE:
        text += "more than the " + (
            "choice of test images explains" if one_seed else "noise of images and seeds explains"
        )
    elif next_best["worse_low"] <= 0:
        text += "the interval reaches zero, so the order of the two is not settled"
    else:
        text += (
            f"enough were there only two, but not among {len(rows)} (corrected p = {next_best['p_adjusted']:.2f}), so "
            "the order of the two is not settled"
        )
    if one_seed:
        text += "; with one seed to compare, the training noise is unknown"
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


def _sigma(board: Board) -> Iterator[Finding]:
    """Learned σ against σ = 1, in each family that has both under the same training settings."""
    rows = board.rows[board.rows["recipe"] == 0]
    fixed = pd.to_numeric(rows["sigma"], errors="coerce")
    pairs: dict[tuple[str, str], tuple[str, str]] = {}  # (family, mode) -> (learned, fixed at 1)
    for family in rows["family"].unique():
        own = rows["family"] == family
        for _, learned in rows[own & fixed.isna() & (rows["sigma"] != "")].iterrows():
            ones = matched(rows[own & (fixed == 1)], learned)
            if len(ones):
                pairs[family, learned["sigma"]] = (learned["config"], ones.iloc[0]["config"])
                break
    leads = zip(pairs, board.leads(list(pairs.values())), strict=True)
    found = [(family, mode, lead) for (family, mode), lead in leads if lead is not None]
    wins = [item for item in found if item[2].low > 0]
    losses = [(family, mode, _flipped(lead)) for family, mode, lead in found if lead.high < 0]
    even = [item for item in found if item[2].low <= 0 <= item[2].high]
    texts = []
    if wins:
        where = f" in {all_of(len(wins), len(found))} families that have both" if len(found) > 1 else ""
        texts.append(Markup("A learned σ beats σ = 1{}: by {}.").format(where, _amounts(board, wins)))
    if losses:
        texts.append(Markup("σ = 1 beats the best learned σ: by {}.").format(_amounts(board, losses)))
    if even:
        texts.append(Markup("Learning σ and fixing it at 1 cannot be told apart: {}.").format(_amounts(board, even)))
    if texts:
        yield Finding("Learned σ", tuple(texts))


def _recipes(board: Board) -> Iterator[Finding]:
    """Where the folk recipes stand, scored as true distributions."""
    rows = board.rows
    recipes = rows[rows["recipe"] == 1]
    if recipes.empty or len(recipes) == len(rows):
        return
    best, worst = recipes.iloc[0], recipes.iloc[-1]
    standing = Markup("The best folk recipe, <b>{}</b>, ranks {} of {}").format(
        best["label"], ordinal(best["rank"]), len(rows)
    )
    if best["verdict"] == Verdict.INDISTINGUISHABLE:
        standing += ", indistinguishable from the best"
    elif best["verdict"] == Verdict.WORSE:
        standing += Markup(", {} {} {} behind the best").format(
            measured(best["worse_by"], board.unit),
            board.unit,
            bracket(best["worse_low"], best["worse_high"], board.unit),
        )
    elif best["verdict"] == Verdict.BEST:
        standing += ": it leads the table"
    if len(recipes) > 1:
        standing += Markup("; the worst, <b>{}</b>, {}").format(worst["label"], ordinal(worst["rank"]))
    yield Finding("Folk recipes", (standing + ", each scored as a true distribution built from its decoder.",))


def _twins(board: Board) -> Iterator[Finding]:
    """Recipes that are scored as a family of the grid, against that family trained with its normalising constant."""
    rows = board.rows
    proper = rows[(rows["recipe"] == 0) & (rows["scored_as"] == "itself")]
    for family in proper["family"].unique():
        twins = rows[(rows["recipe"] == 1) & (rows["scored_as"] == family)].drop_duplicates("family")  # its best
        matches = [matched(proper[proper["family"] == family], twin) for _, twin in twins.iterrows()]
        pairs = {
            twin["config"]: (same.iloc[0]["config"], twin["config"])
            for (_, twin), same in zip(twins.iterrows(), matches, strict=True)
            if len(same)
        }
        names = dict(zip(twins["config"], twins["family"], strict=True))
        wins: list[str] = []
        losses: list[str] = []
        even: list[str] = []
        for config, lead in zip(pairs, board.leads(list(pairs.values())), strict=True):
            if lead is not None:
                place = wins if lead.low > 0 else losses if lead.high < 0 else even
                shown = _flipped(lead) if place is losses else lead
                place.append(str(Markup("<b>{}</b> by {}").format(names[config], _amount(board, shown))))
        texts = []
        if wins:
            texts.append(
                Markup(
                    "Scored as the same distribution, <b>{}</b> beats what is trained without its normalising "
                    "constant: {}. Leaving the constant out costs likelihood."
                ).format(family, Markup(listed(wins)))
            )
        if losses:
            texts.append(
                Markup(
                    "Scored as the same distribution, what is trained without the normalising constant beats "
                    "<b>{0}</b>: {1}. That can be: the twin trains on pixels without dequantisation noise and "
                    "follows a plainer gradient, which on a short schedule or with few images can end further "
                    "along. It says that this training of {0} is not at its optimum, not that the constant is "
                    "superfluous: train longer before concluding."
                ).format(family, Markup(listed(losses)))
            )
        if even:
            texts.append(
                Markup(
                    "Scored as the same distribution, <b>{}</b> and what is trained without its normalising constant "
                    "cannot be told apart: it leads {}."
                ).format(family, Markup(listed(even)))
            )
        if texts:
            yield Finding("Unnormalised twin", tuple(texts))


def _seeds(board: Board) -> Iterator[Finding]:
    """What the intervals cannot hold."""
    if (board.everything["seeds"] < 2).all():
        text = (
            "Every configuration was trained once: the intervals cover the choice of test images only, and what "
            "another training run would change is unknown."
        )
        yield Finding("One seed", (Markup(text),))


def _setting(row: pd.Series) -> str:
    """The label without the family's name, where that leaves something."""
    rest = str(row["label"]).removeprefix(str(row["family"])).strip()
    return rest or "the plain setting"


def _amount(board: Board, lead: Interval) -> Markup:
    return escape(
        f"{measured(float(lead.mean), board.unit)} {board.unit} "
        f"{bracket(float(lead.low), float(lead.high), board.unit)}"
    )


def _amounts(board: Board, found: list[tuple[str, str, Interval]]) -> Markup:
    """'1.38 bits/dim [1.36, 1.40] (gaussian, σ=pixel) and …', from (family, mode, interval)."""
    parts = [Markup("{} (<b>{}</b>, σ={})").format(_amount(board, lead), family, mode) for family, mode, lead in found]
    return Markup(listed([str(part) for part in parts]))


def _flipped(lead: Interval) -> Interval:
    return lead._replace(mean=-lead.mean, low=-lead.high, high=-lead.low)


def all_of(part: int, whole: int) -> str:
    return (f"all {whole}" if whole > 2 else "both") if part == whole else f"{part} of {whole}"


def _times(bits: float) -> str:
    """2^bits, as people say it."""
    if bits > 20:
        return f"10^{bits * float(np.log10(2)):,.0f} times"
    return f"{2**bits:,.{1 if bits < 3 else 0}f} times"
