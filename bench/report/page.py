"""The report's page: what the template needs, computed from a run's tables, and one HTML file written in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.report.tables import ranking as table
from bench.report.catalogue import catalogue
from bench.report.figures import calibration as diagnostics
from bench.report.figures import scaling
from bench.report.figures import sigma as figures
from bench.report.figures._svg import HUES, Looks, to_svg
from bench.report.numbers import NOTHING, listed, number, percent, several
from bench.report.pictures import Gallery, galleries
from bench.report.text import captions, notes
from bench.report.text import verdict as words
from bench.statistics.boards import Board, boards, short, unusable
from bench.statistics.trust import ESS_FLOOR, KHAT_NEEDS, RISE_FLOOR
from bench.store import BAD_SHARE, RunTables

# how the matrix products of training were done, by the grid's word for it
TRAINED_IN = {
    "float32": "full float32",
    "tf32": "TF32 (tf32: factors rounded to 10 bits of mantissa)",
    "bf16": "bfloat16 (bf16: factors and results rounded to 7 bits of mantissa)",
}
SHOWN_APART = ("grid", "data", "about", "cards")
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Figure:
    """A figure with the title that states what it shows, and what to know when reading it."""

    title: Markup
    svg: Markup
    note: str


@dataclass(frozen=True)
class Section:
    """A board on the page."""

    anchor: str
    title: str
    about: str
    unit: str
    words: words.Words
    landscape: Figure | None
    before: list[table.Column]
    after: list[table.Column]
    lines: list[table.Line]
    axis: tuple[str, str]
    best: float  # where it lies in the drawings; of no use without lines
    left_columns: list[table.Column]
    left_out: list[table.Named]
    sigma: Figure | None
    samples: Figure | None
    calibration: Figure | None
    latents: Figure | None
    diagnosed: list[table.Column]
    diagnoses: list[table.Named]
    speed: Figure | None
    speeds: list[tuple[table.Entry, list[table.Entry]]]
    galleries: list[Gallery]


def build(tables: RunTables, out: Path) -> Path:
    """Write the report of a run to `out`, one HTML file that needs no network; gives `out`.

    The file appears whole or not at all. Folders are made. Raises OSError where it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html.j2").render(context(tables))
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(out)
    finally:
        Path(part).unlink(missing_ok=True)
    return out


def context(tables: RunTables) -> dict[str, Any]:
    """Everything that the template shows."""
    found = boards(tables)
    looks = Looks.of(tables.cells["family"])
    failed = unusable(tables)
    used = _provenance(tables)
    sections = [_section(board, tables, looks, f"board-{place}") for place, board in enumerate(found, start=1)]
    meta = tables.meta
    data = {
        name: {key: fact for key, fact in facts.items() if key != "name"}
        for name, facts in dict(meta.get("data") or {}).items()
    }
    return {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup((TEMPLATES / "sort.js").read_text(encoding="utf-8")),
        "name": str(meta.get("name", "run")),
        "about": str(meta.get("about") or ""),
        "datasets": " and ".join(tables.cells["dataset"].map(short).drop_duplicates()) or "no data",
        "facts": _headline_facts(tables, found),
        "notices": _notices(tables, failed, used),
        "sections": sections,
        "speed_columns": table.speed_columns(tables.throughput),
        "scaling": _scaling(tables),
        "scaling_rows": scaling.rows(tables.scaling) if len(tables.scaling) else [],
        "recipes": table.recipe_rows(found),
        "densities": table.density_rows(found),
        "failed": [row._asdict() for row in failed.itertuples(index=False)],
        "cells": len(tables.cells),
        "bad_share": percent(BAD_SHARE),
        "khat_needs": KHAT_NEEDS,
        "ess_floor": number(ESS_FLOOR, 0),
        "rise_bits": number(RISE_FLOOR["bits/dim"], 3),
        "rise_nats": number(RISE_FLOOR["nats"], 1),
        "catalogue": catalogue(tables.cells["family"], meta.get("cards")),
        "data": [{"name": short(name), "rows": _flat(facts)} for name, facts in data.items()],
        "provenance": [{"title": _origin(entry), "rows": _flat(entry)} for entry in _with_timing(tables, used)],
        "grid": str(meta.get("grid", "")),
        "settings": _flat({key: value for key, value in meta.items() if key not in SHOWN_APART}),
        "precision": _precision(tables.cells["precision"]),
        "precisions": ", ".join(tables.cells["precision"].drop_duplicates()) or NOTHING,
        "hues": len(HUES),
        "drawn": table.DRAWN,
        "nothing": NOTHING,
        "seeds": _ranges(tables.cells["seed"]),
    }


def _section(board: Board, tables: RunTables, looks: Looks, anchor: str) -> Section:
    before, after = table.columns(board)
    window = figures.limits(board, reach=2.0)  # tighter than in the figures: the top of the table is what is read
    rows, whole = board.rows, board.everything
    left_columns, diagnosed = table.left_out(board), table.diagnostics(board)
    ends = [number(value, 2) for value in sorted(window)]
    return Section(
        anchor=anchor,
        title=_title(board),
        about=_about(board),
        unit=board.unit,
        words=words.words(board),
        landscape=_drawn(
            figures.landscape(board, looks), f"{anchor}-all", lambda: captions.landscape(board), notes.LANDSCAPE
        ),
        before=before,
        after=after,
        lines=[table.line(row, before, after, looks, window) for _, row in rows.iterrows()],
        axis=(ends[0], ends[1]),
        best=table.place(rows.iloc[0]["value"], window) if len(rows) else 0.0,
        left_columns=left_columns,
        left_out=table.named(board.left_out, left_columns, looks),
        sigma=_drawn(figures.sigma_curves(board, looks), f"{anchor}-sigma", lambda: captions.sigma(board), notes.SIGMA),
        samples=_drawn(
            figures.sample_curves(board, tables.bounds, looks),
            f"{anchor}-samples",
            lambda: captions.samples(board),
            notes.SAMPLES,
        ),
        calibration=_drawn(
            diagnostics.calibration(board, tables.calibration, looks),
            f"{anchor}-calibration",
            lambda: captions.calibration(board),
            notes.CALIBRATION,
        ),
        latents=_drawn(
            diagnostics.latents(board, tables.latents, looks),
            f"{anchor}-latents",
            lambda: captions.latents(board),
            notes.LATENTS,
        ),
        diagnosed=diagnosed,
        diagnoses=table.named(whole, diagnosed, looks),
        speed=_drawn(figures.speed(board, looks), f"{anchor}-speed", lambda: captions.speed(board), notes.SPEED),
        speeds=table.speeds(board, tables.throughput),
        galleries=galleries(board, tables.pictures),
    )


def _drawn(figure: Any, name: str, title: Callable[[], Markup], note: str) -> Figure | None:
    """A drawn figure with its title; None where there was nothing to draw."""
    if figure is None:
        return None
    heading = title()
    return Figure(heading, to_svg(figure, name, f"{heading.striptags()}. {note}"), note)


def _scaling(tables: RunTables) -> Figure | None:
    """The curves of speed over sizes; None without a survey."""
    points = tables.scaling
    if points.empty:
        return None
    note = scaling.note(points)
    return _drawn(scaling.curves(points), "scaling", lambda: scaling.title(points, tables.throughput), note)


def _title(board: Board) -> str:
    return f"Binary pixels of {board.data}" if board.levels == 2 else f"Grey levels of {board.data}"


def _about(board: Board) -> str:
    bits = [
        f"{board.measure}: ln P of the integers",
        f"{board.unit}, {board.better} is better",
        several(len(board.everything), "configuration"),
        several(int(board.everything["seeds"].max()), "seed"),
        f"{several(board.images, 'test image')} of {several(board.dims, 'value')}",
    ]
    return " · ".join(bits + ([f"{board.binarisation} binarisation"] if board.binarisation else []))


def _headline_facts(tables: RunTables, found: list[Board]) -> list[str]:
    cells = tables.cells
    planned = _planned(tables)
    done = sum(len(sample.cells) for board in found for sample in board.samples.values())
    facts = [
        f"run {tables.meta.get('name', '')}".strip(),
        f"{done} of {planned} cells scored",
        f"{several(cells['config'].nunique(), 'configuration')}, seeds {_ranges(cells['seed'])}",
    ]
    times = [str(entry["time"]) for entry in tables.provenance if entry.get("time")]
    return facts + ([max(times)[:10]] if times else [])


def _planned(tables: RunTables) -> int:
    planned = tables.meta.get("cells")
    return max(planned if isinstance(planned, int) else 0, len(tables.cells))


def _notices(tables: RunTables, failed: pd.DataFrame, used: list[dict[str, Any]]) -> list[str]:
    """What a reader must know before believing a number."""
    notices = []
    missing = _planned(tables) - len(tables.cells)
    if missing:
        notices.append(
            f"Incomplete run: {missing} of {_planned(tables)} cells have not ended yet; rankings may still change."
        )
    if len(failed):
        kinds = failed["status"].value_counts()
        listing = ", ".join(f"{number} {status}" for status, number in kinds.items())
        notices.append(f"{len(failed)} of {len(tables.cells)} cells gave no result ({listing}); the reasons are below.")
    commits = {_git(entry).get("commit") for entry in used}
    if len(commits) > 1:
        notices.append(f"The cells come from {len(commits)} different commits: they may not be comparable.")
    if None in commits:
        notices.append("The code's commit is unknown for some cells: they cannot be traced to a version.")
    if any(_git(entry).get("dirty") for entry in used):
        notices.append("The code had uncommitted changes when cells were computed: nobody else has this version.")
    return notices


def _provenance(tables: RunTables) -> list[dict[str, Any]]:
    """The invocations that the present cells come from, the latest first."""
    ids = set(tables.cells["provenance"].dropna().astype(int))
    used = [entry for entry in tables.provenance if entry.get("id") in ids]
    return used[::-1] or tables.provenance[-1:]


def _with_timing(tables: RunTables, used: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the invocations that the speeds come from, the latest first."""
    timed = {int(number) for name in ("throughput", "scaling") for number in _numbers(getattr(tables, name))}
    known = {entry.get("id") for entry in used}
    both = used + [entry for entry in tables.provenance if entry.get("id") in timed - known]
    return sorted(both, key=lambda entry: int(entry.get("id", 0)), reverse=True)


def _numbers(table: pd.DataFrame) -> pd.Series:
    return table["provenance"].dropna() if "provenance" in table.columns else pd.Series(dtype=int)


def _git(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    git = entry.get("git")
    return git if isinstance(git, Mapping) else {}


def _origin(entry: Mapping[str, Any]) -> str:
    git = _git(entry)
    commit = str(git.get("commit") or "unknown commit")[:12]
    return f"{entry.get('time', '')} · {commit}{' + uncommitted changes' if git.get('dirty') else ''}".strip(" ·")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (name, text), names joined by dots."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name} · ")
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value)) or NOTHING))
        else:
            rows.append((name, NOTHING if value is None else str(value)))
    return rows


def _precision(chosen: pd.Series) -> str:
    """In what precision the cells were trained, and in what they were scored."""
    said = [text for name, text in TRAINED_IN.items() if (chosen == name).any()]
    which = ", as the labels say" if len(said) > 1 else ""
    return (
        f"While training, the networks’ matrix products were done in {listed(said) or NOTHING}{which}. All else in "
        "training (parameters, Adam, likelihood, KL, sums), and the whole of validation and evaluation, is in full "
        "float32."
    )


def _ranges(seeds: pd.Series) -> str:
    """'0–2' or '0, 3, 7'."""
    known = sorted({int(seed) for seed in seeds})
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{known[0]}–{known[-1]}"
    return ", ".join(map(str, known)) or NOTHING
