"""The tables of the page: a board's ranked configurations, their speeds, and what is shown without being ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.compare import Verdict
from bench.report.boards import ESS_FLOOR, Board
from bench.report.numbers import NOTHING, bracket, measured, number, rate
from bench.report.svg import Looks

DRAWN = 140  # width of a row's whisker in CSS pixels
TAGS = {
    Verdict.BEST: ("best", "best"),
    Verdict.INDISTINGUISHABLE: ("indistinguishable", "tied"),
    Verdict.WORSE: ("worse", "worse"),
    Verdict.UNPAIRED: ("no seed in common", "worse"),
}


@dataclass(frozen=True)
class Entry:
    """One cell of a table: what is shown, and what it is sorted by."""

    text: str
    key: float | str
    small: str = ""  # shown after the text, smaller
    marked: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a board's table, and what a configuration has in it."""

    head: str
    unit: str
    show: Callable[[pd.Series], Entry]
    numeric: bool = True


@dataclass(frozen=True)
class Whisker:
    """A dot with its interval in CSS pixels of a small drawing; `beyond` where the axis ends before it."""

    dot: float
    low: float
    high: float
    beyond: str = ""  # "right" or "left"


@dataclass(frozen=True)
class Line:
    """One ranked configuration."""

    rank: int
    trusted: bool
    caution: str
    label: str  # the whole label
    name: str  # without its σ, which has a column of its own
    recipe: bool
    hue: str
    whisker: Whisker
    tag: str
    tag_class: str
    before: list[Entry]  # left of the drawing and the verdict
    after: list[Entry]


def columns(board: Board) -> tuple[list[Column], list[Column]]:
    """The columns left and right of the drawing and the verdict; what the whole board lacks has no column."""
    rows, unit = board.rows, board.unit
    most = int(rows["seeds"].max())

    def plain(name: str, digits: int) -> Callable[[pd.Series], Entry]:
        return lambda row: Entry(number(row[name], digits), _key(row[name]))

    def value(row: pd.Series) -> Entry:
        return Entry(measured(row["value"], unit), row["value"], bracket(row["low"], row["high"], unit))

    def spread(row: pd.Series) -> Entry:
        some = f"{row['seeds']} of {most} seeds" if row["seeds"] < most else ""
        shown = "" if some and np.isnan(row["seed_deviation"]) else measured(row["seed_deviation"], unit)
        return Entry(shown, _key(row["seed_deviation"]), some)

    def worse(row: pd.Series) -> Entry:
        if row["verdict"] == Verdict.BEST:
            return Entry(NOTHING, -1.0)
        shown = bracket(row["worse_low"], row["worse_high"], unit)
        return Entry(measured(row["worse_by"], unit), _key(row["worse_by"]), shown)

    def effective(row: pd.Series) -> Entry:
        few = row["ess_median"] < ESS_FLOOR
        return Entry(number(row["ess_median"], 1 if few else 0), _key(row["ess_median"]), marked=bool(few))

    def trained(row: pd.Series) -> Entry:
        name = f"{row['objective'].upper()}, L={row['train_samples']}"
        return Entry(f"its own, L={row['train_samples']}" if row["recipe"] else name, name)

    def scale(row: pd.Series) -> Entry:
        fixed = pd.to_numeric(row["sigma"], errors="coerce")
        return Entry(row["sigma"] or NOTHING, fixed if np.isfinite(fixed) else 1e9)

    def in_use(row: pd.Series) -> Entry:
        known = np.isfinite(row["sigma_fitted"])
        return Entry(f"{row['sigma_fitted']:.3g}" if known else NOTHING, _key(row["sigma_fitted"]))

    before = [Column("Score", f"{unit} [95 %]", value)]
    if (rows["sigma"] != "").any():
        before.insert(0, Column("σ", "or its mode", scale))
    after = [
        Column("Worse than best by", f"{unit} [95 %]", worse),
        Column("Seed SD", unit, spread),
        Column("Dequantised", "bits/dim", plain("dequantised_bits_per_dim", 3)),
        Column("σ in use", "at test", in_use),
        Column("ELBO", "nats", plain("elbo_nats", 2)),
        Column("KL", "nats", plain("kl_nats", 2)),
        Column("Active", "units", plain("active_units", 1)),
        Column("ESS", "median", effective),
        Column("L", "evaluated", plain("iw_samples", 0)),
        Column("Trained on", "objective", trained, numeric=False),
    ]
    optional = {"Dequantised": "dequantised_bits_per_dim", "σ in use": "sigma_fitted"}
    lacking = {head for head, name in optional.items() if rows[name].isna().all()}
    return before, [column for column in after if column.head not in lacking]


def line(row: pd.Series, before: list[Column], after: list[Column], looks: Looks, window: tuple[float, float]) -> Line:
    """The row of one configuration, its drawing on an axis that shows `window`."""
    tag, tag_class = TAGS[Verdict(row["verdict"])]
    return Line(
        rank=int(row["rank"]),
        trusted=bool(row["trusted"]),
        caution=str(row["caution"]),
        label=str(row["label"]),
        name=str(row["label"]).replace(f" σ={row['sigma']}", ""),
        recipe=bool(row["recipe"]),
        hue=looks.variable(row["family"]),
        whisker=_whisker(row, window),
        tag=tag,
        tag_class=tag_class,
        before=[column.show(row) for column in before],
        after=[column.show(row) for column in after],
    )


def _whisker(row: pd.Series, window: tuple[float, float]) -> Whisker:
    if row["value"] > max(window):
        return Whisker(DRAWN - 4, DRAWN - 4, DRAWN - 4, "right")
    if row["value"] < min(window):
        return Whisker(4, 4, 4, "left")
    return Whisker(place(row["value"], window), place(row["low"], window), place(row["high"], window))


def place(value: float, window: tuple[float, float]) -> float:
    share = (value - min(window)) / (max(window) - min(window))
    return round(4 + (DRAWN - 8) * float(np.clip(share, 0, 1)), 1)


def speeds(board: Board) -> list[list[Entry]]:
    """Single-model speed of every kind of configuration, with the aggregate speed of its bundles beside it."""
    rows = board.rows[board.rows["train_images_per_s"].notna()].drop_duplicates("kind")
    lines = []
    for _, row in rows.sort_values("train_images_per_s", ascending=False).iterrows():
        name = str(row["label"])
        if np.isfinite(pd.to_numeric(row["sigma"], errors="coerce")):
            name = name.replace(f"σ={row['sigma']}", "σ fixed")
        lines.append(
            [
                Entry(name, name),
                Entry(rate(row["train_images_per_s"]), _key(row["train_images_per_s"])),
                Entry(rate(row["eval_decodes_per_s"]), _key(row["eval_decodes_per_s"])),
                Entry(number(100 * row["matmul_share"], 0) + " %", _key(row["matmul_share"])),
                Entry(rate(row["bundle_train_images_per_s"]), _key(row["bundle_train_images_per_s"])),
                Entry(number(row["bundle_models"], 0), _key(row["bundle_models"])),
            ]
        )
    return lines


def recipe_rows(found: list[Board]) -> list[dict[str, str]]:
    return [
        {
            "label": str(row["label"]),
            "scored": str(row["scored_as"]).replace("_", " "),
            "objective": _with_deviation(row, "training_objective_nats"),
            "score": f"{measured(row['value'], board.unit)} {board.unit}",
        }
        for board in found
        for _, row in board.rows[board.rows["recipe"] == 1].iterrows()
    ]


def density_rows(found: list[Board]) -> list[dict[str, str]]:
    return [
        {
            "label": str(row["label"]),
            "density": _with_deviation(row, "density_nats"),
            "dequantised": f"{number(row['dequantised_bits_per_dim'], 3)}",
            "mass": f"{measured(row['value'], board.unit)}",
        }
        for board in found
        for _, row in board.rows[board.rows["density_nats"].notna()].sort_values("label").iterrows()
    ]


def _with_deviation(row: pd.Series, name: str) -> str:
    """A mean over seeds, with the standard deviation between them where there are several."""
    deviation = row[f"{name}_sd"]
    return number(row[name], 2) + ("" if np.isnan(deviation) else f" ± {number(deviation, 2)}")


def _key(value: float) -> float | str:
    """What a column is sorted by; what is missing has no key and goes last."""
    return "" if pd.isna(value) else float(value)
