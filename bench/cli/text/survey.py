"""A survey of speed as plain text for a terminal, in lines of at most 80 columns."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.grid.errors import printable
from bench.speed.survey import Survey

WIDTH = 80
LABEL = 20  # columns of a kind's name
WIDTHS = (9, 4, 4, 10, 4, 4, 7, 10, 4, 4)  # of the numbers beside it
POINTS = 8  # of a curve in a line
CURVES = {
    "bundle": "models in a bundle, training",
    "batch": "images in a batch, one model in training",
    "samples": "L, one model in evaluation",
    "latent": "latent size, one model in training",
}
KEY = (
    "mm, cp: % of the machine's rate of float32 matrix products and of copying, measured in the same rounds; the "
    "larger of the two is the share of what the machine could do. cp is over 100 where caches hold the work. MB: "
    "memory at most{}."
)


def survey_text(survey: Survey, path: Path, grid: str) -> str:
    """The table of the kinds, the curves of one, what they say of bundles, and where it is stored."""
    blocks = [
        _wrapped(_title(survey)),
        _kinds(survey.rows),
        _stacked(survey),
        _wrapped(_key(survey)) if survey.rows else [],
        *_curves(survey.points),
        _wrapped(_suggestion(survey.suggestion)),
        _wrapped(_where(survey, path, grid)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _title(survey: Survey) -> str:
    threads = "one thread" if survey.threads == 1 else f"{survey.threads} threads"
    rows = [*survey.rows, *survey.points]
    if not rows:
        return f"Nothing was measured on {survey.device['name']}."
    products, copies = (median(row[name] for row in rows) for name in ("matmul_gflops", "copy_gbytes_per_s"))
    return (
        f"{survey.device['name']}, {threads}: matrix products {_rounded(products)} GFLOP/s, copying "
        f"{_rounded(copies)} GB/s."
    )


def _kinds(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each kind: a model alone, a bundle, a model in evaluation."""
    if not rows:
        return []
    models = rows[0]["bundled_models"]
    over = f"{'':{LABEL}}{'training, alone':>17}{f'training, bundle of {models}':>25}{'evaluation':>18}"
    heads = ("kind of cell", *("images/s", "mm", "cp"), *("images/s", "mm", "cp", "MB"), *("decodes/s", "mm", "cp"))
    lines = [over, *_line(heads)]
    for row in rows:
        cells = [str(row["label"])]
        for name, rate in (("train", "train_images_per_s"), ("bundled", "bundled_images_per_s")):
            cells += [_rate(row[rate]), *_shares(row, f"{name}_")]
        cells += [_megabytes(row["bundled_peak_bytes"]), _rate(row["eval_decodes_per_s"]), *_shares(row, "eval_")]
        lines += _line(cells)
    return lines


def _line(cells: Sequence[str]) -> list[str]:
    """A line of the table of kinds; a long name has one of its own before it."""
    long = len(cells[0]) > LABEL
    name = "" if long else cells[0]
    rest = "".join(f"{cell:>{width}}" for cell, width in zip(cells[1:], WIDTHS, strict=True))
    return [*([_cut(cells[0], WIDTH)] if long else []), f"{name:<{LABEL}}{rest}"]


def _stacked(survey: Survey) -> list[str]:
    rows = [row for row in survey.rows if row.get("stacked_decodes_per_s") is not None]
    if not rows:
        return []
    heads = (f"stack of {rows[0]['stacked_models']} in evaluation", "decodes/s", "mm", "cp", "MB")
    table = [
        (
            str(r["label"]),
            _rate(r["stacked_decodes_per_s"]),
            *_shares(r, "stacked_"),
            _megabytes(r["stacked_peak_bytes"]),
        )
        for r in rows
    ]
    return [f"{_cut(name, 40):<40}{rate:>10}{mm:>5}{cp:>5}{mb:>8}" for name, rate, mm, cp, mb in (heads, *table)]


def _key(survey: Survey) -> str:
    if survey.device["kind"] == "cuda":
        return KEY.format("")
    return KEY.format(", of tensors, counted") + " On a CPU models are evaluated one by one."


def _curves(points: Sequence[Mapping[str, Any]]) -> Iterable[list[str]]:
    if not points:
        return
    yield _wrapped(f"How the speed of {points[0]['label']} depends on sizes:")
    for curve, on_curve in itertools.groupby(points, key=lambda point: str(point["curve"])):
        yield _curve(curve, list(on_curve)[:POINTS])


def _curve(curve: str, points: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = [_shares(point, "") for point in points]
    rows = [
        ("", [f"{point['size']:,}" for point in points]),
        (str(points[0]["unit"]), [_rate(point["rate"]) for point in points]),
        ("mm", [mm for mm, _ in shares]),
        ("cp", [cp for _, cp in shares]),
        ("MB", [_megabytes(point["peak_bytes"]) for point in points]),
    ]
    width = (WIDTH - 13) // POINTS
    return [CURVES[curve], *(f"  {head:<11}" + "".join(f"{cell:>{width}}" for cell in cells) for head, cells in rows)]


def _suggestion(bundle_sizes: Mapping[str, Any]) -> str:
    if not bundle_sizes:
        return ""
    free = bundle_sizes["free_bytes"]
    memory = "" if free is None else f" and fit into the {free / 1e9:.1f} GB that are free"
    planned = f"Planning cuts them at {bundle_sizes['planned_bundle']}."
    if bundle_sizes["suggested_bundle"] is None:
        return f"Bundles: none of these sizes fits into the memory that is free. {planned}"
    models = bundle_sizes["suggested_bundle"]
    which = "one model alone reaches" if models == 1 else f"{models} models reach"
    return f"Bundles: {which} 95 % of the best speed of those that were measured{memory}. {planned}"


def _where(survey: Survey, path: Path, grid: str) -> str:
    if not survey.rows:
        return ""
    run = printable(path.stem if path.parent == Path("results") else path)
    shown = f"vae-bench report {run} shows them."
    if survey.has_cells:
        return f"{printable(path)} holds these speeds; {shown}"
    out = "" if path == Path("results") / f"{Path(grid).stem}.sqlite" else f" --out {printable(path)}"
    return (
        f"{printable(path)} holds these speeds and no results yet: after vae-bench run {printable(grid)}{out}, {shown}"
    )


def _shares(row: Mapping[str, Any], prefix: str) -> tuple[str, str]:
    return _percent(row[f"{prefix}flops_share"]), _percent(row[f"{prefix}bytes_share"])


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if 100 * share >= 0.5 else "<1"


def _rate(value: float) -> str:
    """Three digits: 61,000, 1.92 M."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M" if value < 1e9 else f"{value / 1e9:.3g} G"
    return _rounded(value)


def _rounded(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _megabytes(count: float) -> str:
    return _rounded(count / 1e6)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
