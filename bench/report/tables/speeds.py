"""The table of speeds: one model alone, then apart from it the bundles of the run; where a survey was made, also its
limits, memory, and a bundle of the kind alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from bench.report.numbers import rate
from bench.report.tables.entries import MOST, Column, Entry, key, lean, plain, share, speed
from bench.statistics.boards import Board
from bench.statistics.rows import first_of_each

#: what is known of the speed of a kind of cell, by the names of columns
Speeds = Mapping[str, float]
OF_CELLS = (
    *("train_images_per_s", "eval_decodes_per_s", "matmul_share"),
    *("bundle_train_images_per_s", "bundle_models"),
)


@dataclass(frozen=True)
class Timed:
    """A kind of cell and its speeds."""

    name: Entry
    entries: list[Entry]


def speed_columns(throughput: pd.DataFrame) -> list[Column[Speeds]]:
    """The columns that the tables of all boards have."""
    alone = [
        Column("Training", "images/s, alone", speed(_of("train_images_per_s"))),
        Column("Evaluation", "decodes/s, alone", speed(_of("eval_decodes_per_s"))),
        Column("Of the machine’s", "matrix-product rate", share(_of("matmul_share"))),
    ]
    bundles = [
        Column("Its bundle", "images/s, all models", speed(_of("bundle_train_images_per_s")), apart=True),
        Column("Models", "in the bundle", plain(_of("bundle_models"), 0)),
    ]
    if not _surveyed(throughput):
        return alone + bundles
    alone += [
        Column("Of its copy rate", "training", share(_of("train_bytes_share"))),
        Column("Evaluation", "of matrix products", share(_of("eval_flops_share"))),
        Column("Evaluation", "of copying", share(_of("eval_bytes_share"))),
        Column("Memory", "training, MB", _megabytes("train_peak_bytes")),
    ]
    bundled = [
        Column("Bundled by kind", "images/s, all models", speed(_of("bundled_images_per_s")), apart=True),
        Column("Models", "of the kind", plain(_of("bundled_models"), 0)),
        Column("Of the machine’s", "matrix-product rate", share(_of("bundled_flops_share"))),
        Column("Of its copy rate", "bundled", share(_of("bundled_bytes_share"))),
        Column("Memory", "bundled, MB", _megabytes("bundled_peak_bytes")),
    ]
    if "stacked_decodes_per_s" in throughput.columns and throughput["stacked_decodes_per_s"].notna().any():
        bundled.append(Column("Evaluated together", "decodes/s, all models", speed(_of("stacked_decodes_per_s"))))
    return alone + bundles + bundled


def speeds(board: Board, throughput: pd.DataFrame) -> list[Timed]:
    """Every kind of configuration that was timed; fastest alone first."""
    survey: dict[str, dict[str, float]] = {}
    if _surveyed(throughput):
        kinds = throughput.set_index("kind").apply(pd.to_numeric, errors="coerce")
        survey = {str(kind): kinds.loc[kind].to_dict() for kind in kinds.index}
    columns = speed_columns(throughput)
    timed = [row for row in board.everything if not math.isnan(row.results.train_images_per_s)]
    lines: list[Timed] = []
    for row in sorted(first_of_each(timed, lambda row: row.kind), key=lambda row: -row.results.train_images_per_s):
        name = row.label
        if math.isfinite(row.fixed_sigma):
            name = name.replace(f"σ={row.sigma}", "σ fixed")
        numbers = survey.get(row.kind, {}) | {column: float(getattr(row.results, column)) for column in OF_CELLS}
        entries = [column.show(numbers) for column in columns]
        lines.append(Timed(Entry(name, name), entries if len(lines) < MOST else [lean(entry) for entry in entries]))
    return lines


def _of(name: str) -> Callable[[Speeds], float]:
    return lambda speeds: speeds.get(name, math.nan)


def _megabytes(name: str) -> Callable[[Speeds], Entry]:
    """Bytes to three digits in MB."""
    return lambda speeds: Entry(rate(speeds.get(name, math.nan) / 1e6), key(speeds.get(name, math.nan)))


def _surveyed(throughput: pd.DataFrame) -> bool:
    """Whether vae-bench throughput was there, beside the short timing of a run."""
    return "bundled_images_per_s" in throughput.columns
