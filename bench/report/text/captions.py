"""Titles of the figures: each states what the figure shows, computed from the same numbers."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from bench.report.numbers import count, listed, measured, percent
from bench.report.text.verdict import all_of
from bench.statistics.boards import Board


def landscape(board: Board) -> Markup:
    """How much the choice of family moves the score, and how much a choice within one family does."""
    if board.rows.empty:
        return Markup("Nothing is ranked: every arrowhead says “at least this good”")
    losses = (-board.sign * board.rows["value"]).groupby(board.rows["family"])
    within = losses.max() - losses.min()
    widest = str(within.idxmax())
    inside = Markup("settings of <b>{}</b> alone move the score by {} {}").format(
        widest, measured(float(within.max()), board.unit), board.unit
    )
    if len(within) == 1:
        return Markup("The {}").format(inside)
    between = measured(float(losses.min().max() - losses.min().min()), board.unit)
    families = Markup("The best of each family lie up to {} {} apart").format(between, board.unit)
    return families + (Markup("; the {}").format(inside) if within.max() > 0 else "")


def sigma(board: Board) -> Markup:
    """Which fixed σ is best in each family, and whether a learned one is better still."""
    rows = board.rows.assign(number=pd.to_numeric(board.rows["sigma"], errors="coerce"))
    parts, pairs = [], []
    for family, own in rows[rows["number"].notna()].groupby("family", sort=False):
        if own["number"].nunique() < 2:
            continue
        best = own.iloc[0]
        parts.append(str(Markup("{:g} (<b>{}</b>)").format(best["number"], family)))
        learned = rows[(rows["family"] == family) & rows["number"].isna() & (rows["sigma"] != "")]
        if len(learned):
            pairs.append((learned.iloc[0]["config"], best["config"]))
    asked = len(pairs)
    beaten = sum(lead is not None and bool(lead.low > 0) for lead in board.leads(pairs))
    title = Markup("The best fixed σ of the grid is {}").format(Markup(listed(parts)))
    if not asked:
        return title
    if not beaten:
        return title + "; no learned σ is clearly better"
    where = "" if asked == 1 else f" in {all_of(beaten, asked)} families"
    return title + f"; a learned σ is better still{where}"


def samples(board: Board) -> Markup:
    """How many bounds can be trusted at the largest L, and what refinement lifted them by."""
    whole = board.everything
    most = count(float(whole["iw_samples"].max()))
    lost = len(board.left_out)
    if len(whole) == 1:
        text = Markup("The bound can{} be trusted at L = {}").format("not" if lost else "", most)
    elif lost == 0:
        text = Markup("All {} bounds can be trusted at L = {}").format(len(whole), most)
    else:
        text = Markup("{} of {} bounds cannot be trusted at L = {}").format(lost, len(whole), most)
    lifts = (whole["lift"] / board.scale)[whole["refined"] > 0].dropna()
    if lifts.empty or lifts.median() <= 0:
        return text
    which = f"{len(lifts)} of the {len(whole)}" if len(whole) > 1 else "it"
    lifted = Markup("; fitting the proposal to the image lifted {}").format(which)
    by = measured(float(lifts.median()), "nats")
    return text + lifted + (f" by {by} nats" if len(lifts) == 1 else f", by {by} nats in the median")


def calibration(board: Board) -> Markup:
    """Whose predicted noise is nearest to the noise there is, and whose is farthest from it."""
    rows = board.everything.dropna(subset=["pit_deviation"])
    if rows.empty:
        return Markup("Where the values fall in the distributions that the decoders predict")
    near, far = (rows.loc[place] for place in (rows["pit_deviation"].idxmin(), rows["pit_deviation"].idxmax()))
    if far["pit_deviation"] - near["pit_deviation"] < 0.005:
        who = Markup("<b>{}</b> predicts").format(near["label"]) if len(rows) == 1 else "the decoders predict"
        return Markup("{} of the values lie elsewhere than {}").format(percent(near["pit_deviation"]), who)
    return Markup(
        "The noise that <b>{0}</b> predicts is nearest to what is there: {1} of the values lie elsewhere; "
        "of <b>{3}</b>, {2}"
    ).format(near["label"], percent(near["pit_deviation"]), percent(far["pit_deviation"]), far["label"])


def latents(board: Board) -> Markup:
    """How many latent dimensions are used."""
    rows = board.everything.dropna(subset=["active_units", "kl_nats"])
    if rows.empty:
        return Markup("What each latent dimension carries")
    size = count(float(rows["latent"].max()))
    first = rows.iloc[0]
    text = Markup("<b>{}</b> uses {:.3g} of {} latent dimensions for {:.1f} nats").format(
        first["label"], first["active_units"], size, first["kl_nats"]
    )
    few, many = rows["active_units"].min(), rows["active_units"].max()
    return text + (
        Markup("; over all configurations {:.3g} to {:.3g} are used").format(few, many) if many > few else ""
    )


def speed(board: Board) -> Markup:
    """What the best score costs in training speed, against the fastest."""
    rows = board.rows[board.rows["train_images_per_s"].notna()]
    if rows.empty:
        return Markup("Score against evaluation speed")
    best = rows.iloc[0]
    fastest = rows.loc[rows["train_images_per_s"].idxmax()]
    share = best["train_images_per_s"] / fastest["train_images_per_s"]
    if share > 0.95:
        return Markup("The best score costs no speed: <b>{}</b> trains as fast as any").format(best["label"])
    return Markup("The first-ranked, <b>{}</b>, trains at {:.0f} % of the speed of the fastest, <b>{}</b>").format(
        best["label"], 100 * share, fastest["label"]
    )
