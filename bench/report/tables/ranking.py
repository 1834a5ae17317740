"""The tables of the page: a board's ranked configurations, what is left out, diagnostics, speeds, unranked numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.figures._svg import Looks
from bench.report.numbers import NOTHING, bound, bracket, measured, number, percent, rate, times
from bench.statistics.boards import Board
from bench.statistics.trust import ESS_FLOOR
from bench.store import BAD_SHARE
from vae_core.statistics.intervals import Verdict

DRAWN = 110  # width of a row's whisker in CSS pixels
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
    apart: bool = False  # begins a group of another quantity


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
    label: str  # the whole label
    name: str  # without its σ, which has a column of its own
    recipe: bool
    hue: str
    whisker: Whisker
    tag: str
    tag_class: str
    before: list[Entry]  # left of the drawing and the verdict
    after: list[Entry]


@dataclass(frozen=True)
class Named:
    """A configuration in a table that does not rank."""

    label: str
    recipe: bool
    hue: str
    caution: str  # why it is left out of the ranking, '' where it is ranked
    entries: list[Entry]


def columns(board: Board) -> tuple[list[Column], list[Column]]:
    """The columns left and right of the drawing and the verdict; what the whole board lacks has no column."""
    rows, unit = board.rows, board.unit
    most = int(board.everything["seeds"].max())

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

    def chance(row: pd.Series) -> Entry:
        p = row["p_adjusted"]
        if row["verdict"] == Verdict.BEST or np.isnan(p):
            return Entry(NOTHING, "" if np.isnan(p) else p)
        return Entry("< 0.001" if p < 0.001 else number(p, 3), p)

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
        Column("p", "corrected", chance),
        *_estimation(board),
        Column("Seed SD", unit, spread),
        Column("ELBO", "nats", plain("elbo_nats", 2)),
        Column("Dequantised", "bits/dim", plain("dequantised_bits_per_dim", 3)),
        Column("σ in use", "at test", in_use),
        Column("Trained on", "objective", trained, numeric=False),
    ]
    optional = {"Dequantised": "dequantised_bits_per_dim", "σ in use": "sigma_fitted"}
    lacking = {head for head, name in optional.items() if rows[name].isna().all()}
    return before, [column for column in after if column.head not in lacking]


def left_out(board: Board) -> list[Column]:
    """The columns of what is left out of the ranking; the reasons come after them."""
    return [
        Column("At least this good", board.unit, lambda row: Entry(bound(row, board.unit), row["value"])),
        *_estimation(board),
    ]


def diagnostics(board: Board) -> list[Column]:
    """What lies behind the score of a configuration; what the whole board lacks has no column."""
    rows = board.everything

    def share(name: str) -> Callable[[pd.Series], Entry]:
        return lambda row: Entry(percent(row[name]), _key(row[name]))

    def units(row: pd.Series) -> Entry:
        shown = f"of {row['latent']:.0f}" if np.isfinite(row["latent"]) else ""
        return Entry(number(row["active_units"], 1).removesuffix(".0"), _key(row["active_units"]), shown)

    def collapsed(row: pd.Series) -> Entry:
        some = f"{row['collapsed']} of {row['seeds']} seeds" if 0 < row["collapsed"] < row["seeds"] else ""
        return Entry("yes" if row["collapsed"] else "no", row["collapsed"], some, marked=row["collapsed"] > 0)

    def bias(row: pd.Series) -> Entry:
        gain = row["jackknife_nats"] - row["iw_nats"]
        return Entry(number(gain, 3), _key(gain))

    def ratio(row: pd.Series) -> Entry:
        found = row["noise_predicted"] / row["noise_realised"] if row["noise_realised"] > 0 else float("nan")
        shown = f"{row['noise_predicted']:.3g} / {row['noise_realised']:.3g}"
        return Entry(times(found), found, shown) if np.isfinite(found) else Entry(NOTHING, "")

    found = [
        ("reconstruction_nats", Column("Reconstruction", "nats", plain("reconstruction_nats", 2))),
        ("kl_nats", Column("KL", "nats", plain("kl_nats", 2))),
        ("active_units", Column("Active", "units", units)),
        ("active_units", Column("Collapsed", "", collapsed)),
        ("amortisation_gap_nats", Column("Amortisation gap", "nats", plain("amortisation_gap_nats", 2))),
        ("approximation_gap_nats", Column("Approximation gap", "nats", plain("approximation_gap_nats", 2))),
        ("jackknife_nats", Column("Jackknife − bound", "nats", bias)),
        ("noise_predicted", Column("Noise", "× of what is there", ratio)),
        ("coverage_50", Column("In 50 %", "of the values", share("coverage_50"))),
        ("coverage_95", Column("In 95 %", "of the values", share("coverage_95"))),
        ("pit_deviation", Column("Lie elsewhere", "of the values", share("pit_deviation"))),
    ]
    return [column for name, column in found if rows[name].notna().any()]


def _estimation(board: Board) -> list[Column]:
    """How the bound was estimated, and how far it is to be believed."""

    def proposal(row: pd.Series) -> Entry:
        some = f"{row['refined']} of {row['seeds']} seeds" if 0 < row["refined"] < row["seeds"] else ""
        return Entry("refined" if row["refined"] else "encoder", str(bool(row["refined"])), some)

    def lift(row: pd.Series) -> Entry:
        return Entry(measured(row["lift"], board.unit), row["lift"]) if row["refined"] else Entry(NOTHING, "")

    def tail(row: pd.Series) -> Entry:
        bad = row["khat_bad_fraction"]
        shown = f"{percent(bad)} bad" if np.isfinite(bad) else ""
        return Entry(number(row["khat_median"], 2), _key(row["khat_median"]), shown, marked=not bad <= BAD_SHARE)

    def effective(row: pd.Series) -> Entry:
        few = row["ess_median"] < ESS_FLOOR
        return Entry(number(row["ess_median"], 1 if few else 0), _key(row["ess_median"]), marked=bool(few))

    found = [
        Column("Estimator", "proposal", proposal, numeric=False),
        Column("k̂", "median", tail),
        Column("Encoder’s bound", f"short by, {board.unit}", lift),
        Column("ESS", "median", effective),
        Column("L", "evaluated", plain("iw_samples", 0)),
    ]
    return [column for column in found if column.head != "Encoder’s bound" or board.everything["refined"].any()]


def plain(name: str, digits: int) -> Callable[[pd.Series], Entry]:
    """A number as it is."""
    return lambda row: Entry(number(row[name], digits), _key(row[name]))


def trained(row: pd.Series) -> Entry:
    name = f"{row['objective'].upper()}, L={row['train_samples']}"
    return Entry(f"its own, L={row['train_samples']}" if row["recipe"] else name, name)


def named(rows: pd.DataFrame, wanted: list[Column], looks: Looks) -> list[Named]:
    """The rows of a table that does not rank."""
    return [
        Named(
            label=str(row["label"]),
            recipe=bool(row["recipe"]),
            hue=looks.variable(row["family"]),
            caution=str(row["caution"]),
            entries=[column.show(row) for column in wanted],
        )
        for _, row in rows.iterrows()
    ]


def line(row: pd.Series, before: list[Column], after: list[Column], looks: Looks, window: tuple[float, float]) -> Line:
    """The row of one configuration, its drawing on an axis that shows `window`."""
    tag, tag_class = TAGS[Verdict(row["verdict"])]
    return Line(
        rank=int(row["rank"]),
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


def speed_columns(throughput: pd.DataFrame) -> list[Column]:
    """The speed of a kind: one model alone, then apart from it the bundles of the run; where a survey was made, also
    its limits, memory, and a bundle of the kind alone."""

    def share(name: str) -> Callable[[pd.Series], Entry]:
        return lambda row: Entry(percent(row[name]), _key(row[name]))

    def speed(name: str) -> Callable[[pd.Series], Entry]:
        return lambda row: Entry(rate(row[name]), _key(row[name]))

    alone = [
        Column("Training", "images/s, alone", speed("train_images_per_s")),
        Column("Evaluation", "decodes/s, alone", speed("eval_decodes_per_s")),
        Column("Of the machine’s", "matrix-product rate", share("matmul_share")),
    ]
    bundles = [
        Column("Its bundle", "images/s, all models", speed("bundle_train_images_per_s"), apart=True),
        Column("Models", "in the bundle", plain("bundle_models", 0)),
    ]
    if not _surveyed(throughput):
        return alone + bundles
    alone += [
        Column("Of its copy rate", "training", share("train_bytes_share")),
        Column("Evaluation", "of matrix products", share("eval_flops_share")),
        Column("Evaluation", "of copying", share("eval_bytes_share")),
        Column("Memory", "training, MB", megabytes("train_peak_bytes")),
    ]
    bundled = [
        Column("Bundled by kind", "images/s, all models", speed("bundled_images_per_s"), apart=True),
        Column("Models", "of the kind", plain("bundled_models", 0)),
        Column("Of the machine’s", "matrix-product rate", share("bundled_flops_share")),
        Column("Of its copy rate", "bundled", share("bundled_bytes_share")),
        Column("Memory", "bundled, MB", megabytes("bundled_peak_bytes")),
    ]
    if "stacked_decodes_per_s" in throughput.columns and throughput["stacked_decodes_per_s"].notna().any():
        bundled.append(Column("Evaluated together", "decodes/s, all models", speed("stacked_decodes_per_s")))
    return alone + bundles + bundled


def speeds(board: Board, throughput: pd.DataFrame) -> list[tuple[Entry, list[Entry]]]:
    """The name of every kind of configuration that was timed, and what it has in the columns; fastest alone first."""
    rows = board.everything
    rows = rows[rows["train_images_per_s"].notna()].drop_duplicates("kind")
    if _surveyed(throughput):
        numbers = throughput.set_index("kind")
        numbers = numbers[[name for name in numbers.columns if name not in rows.columns]].apply(
            pd.to_numeric, errors="coerce"
        )
        rows = rows.join(numbers, on="kind")
    wanted = speed_columns(throughput)
    lines = []
    for _, row in rows.sort_values("train_images_per_s", ascending=False).iterrows():
        name = str(row["label"])
        if np.isfinite(pd.to_numeric(row["sigma"], errors="coerce")):
            name = name.replace(f"σ={row['sigma']}", "σ fixed")
        lines.append((Entry(name, name), [column.show(row) for column in wanted]))
    return lines


def megabytes(name: str) -> Callable[[pd.Series], Entry]:
    """Bytes to three digits in MB."""
    return lambda row: Entry(rate(row[name] / 1e6), _key(row[name]))


def _surveyed(throughput: pd.DataFrame) -> bool:
    """Whether vae-bench throughput was there, beside the short timing of a run."""
    return "bundled_images_per_s" in throughput.columns


def recipe_rows(found: list[Board]) -> list[dict[str, str]]:
    return [
        {
            "label": str(row["label"]),
            "scored": str(row["scored_as"]).replace("_", " "),
            "objective": _with_deviation(row, "training_objective_nats"),
            "score": f"{bound(row, board.unit)} {board.unit}",
        }
        for board in found
        for _, row in board.everything.iterrows()
        if row["recipe"]
    ]


def density_rows(found: list[Board]) -> list[dict[str, str]]:
    return [
        {
            "label": str(row["label"]),
            "density": _with_deviation(row, "density_nats"),
            "dequantised": f"{number(row['dequantised_bits_per_dim'], 3)}",
            "bad": percent(row["density_khat_bad_fraction"]),
            "doubtful": "" if row["density_khat_bad_fraction"] <= BAD_SHARE else "not converged",
            "mass": bound(row, board.unit),
        }
        for board in found
        for _, row in board.everything.sort_values("label").iterrows()
        if np.isfinite(row["density_nats"])
    ]


def _with_deviation(row: pd.Series, name: str) -> str:
    """A mean over seeds, with the standard deviation between them where there are several."""
    deviation = row[f"{name}_sd"]
    return number(row[name], 2) + ("" if np.isnan(deviation) else f" ± {number(deviation, 2)}")


def _key(value: float) -> float | str:
    """What a column is sorted by; what is missing has no key and goes last."""
    return "" if pd.isna(value) else float(value)
