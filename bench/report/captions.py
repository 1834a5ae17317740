"""Titles of the figures: each states what the figure shows, computed from the same numbers."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from bench.report.boards import Board
from bench.report.numbers import count, listed, measured
from bench.report.words import all_of


def landscape(board: Board) -> Markup:
    """How much the choice of family moves the score, and how much a choice within one family does."""
    sign = 1 if board.better == "lower" else -1
    losses = (sign * board.rows["value"]).groupby(board.rows["family"])
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
    """How many bounds have stopped rising."""
    rising = int((~board.rows["trusted"]).sum())
    most = count(float(board.rows["iw_samples"].max()))
    if len(board.rows) == 1:
        return Markup("The bound has {} by L = {}").format("not converged" if rising else "levelled off", most)
    if rising == 0:
        return Markup("All {} bounds have levelled off by L = {}").format(len(board.rows), most)
    return Markup("{} of {} bounds have not converged at L = {}").format(rising, len(board.rows), most)


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
    return Markup("The best-scoring, <b>{}</b>, trains at {:.0f} % of the speed of the fastest, <b>{}</b>").format(
        best["label"], 100 * share, fastest["label"]
    )
