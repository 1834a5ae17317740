"""The report's page: what the template needs, computed from a run's tables, and one HTML file written in one step."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.report import figures, provenance
from bench.report.catalogue import catalogue
from bench.report.numbers import NOTHING, kind_of_values, number, percent, several, tested_on
from bench.report.pictures import Gallery, galleries
from bench.report.tables.baseline import Baseline, baseline
from bench.report.tables.claims.carry import carry
from bench.report.tables.claims.spread import Spread, spread_table
from bench.report.tables.diagnostics import Diagnostics, diagnostics, meanings
from bench.report.tables.drawers import Drawers, drawers, shares
from bench.report.tables.entries import MOST, known
from bench.report.tables.failures import failures
from bench.report.tables.ranking import LeftOut, Ranking, left_out, ranking
from bench.report.tables.references import References, kinds, references
from bench.report.tables.speeds import Timed, speed_columns, speeds
from bench.report.tables.tuning import tuning
from bench.report.tables.unranked import density_lines, recipe_lines
from bench.report.tables.whiskers import DRAWN
from bench.report.text.decision import Decision, decision
from bench.report.text.run import absent, headline_facts, notices, precision, ranges
from bench.report.text.verdict import Sentences, sentences
from bench.statistics.boards import Board, boards
from bench.statistics.contests import said, specs
from bench.statistics.endings import GAIN_FLOOR
from bench.statistics.references import families_without_a_latent
from bench.statistics.scored import unusable
from bench.statistics.trust import ESS_FLOOR, KHAT_NEEDS, RISE_FLOOR
from bench.statistics.tuning import searches
from bench.store import BAD_SHARE, RunTables

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("sort.js", "baseline.js", "save.js", "formats.js", "table.js")  # the last uses what is before it


@dataclass(frozen=True)
class Section:
    """A board on the page."""

    anchor: str
    title: str
    about: str
    unit: str
    verdict: Sentences
    decision: Decision | None
    ranking: Ranking
    baseline: Baseline | None
    left_out: LeftOut
    drawers: Drawers
    spread: Spread | None
    references: References
    diagnostics: Diagnostics
    speeds: list[Timed]
    galleries: list[Gallery]
    figures: dict[str, list[figures.Shown]]  # by the section of the page


def build(tables: RunTables, out: Path, ranked: Sequence[Board] | None = None, of: str = "") -> Path:
    """Write the report of a run to `out`, one HTML file that needs no network; gives `out`. `ranked` are its boards,
    where they are known already; `of` is the run file that the page's head says it is of.

    The file appears whole or not at all. Folders are made. Raises OSError where it cannot be written.
    """
    return write("page.html.j2", context(tables, ranked) | {"run_file": of}, out)


def write(template: str, shown: Mapping[str, Any], out: Path) -> Path:
    """Write one of the templates to `out` in one step; gives `out`."""
    text = _templates().get_template(template).render(shown)
    text = re.sub(r"\n +(?=</?t[rdh][ >])", "\n", text)  # of thousands of rows the indents are a part that tells,
    text = re.sub(r"<tr class=[^>]*\brest\b.*?</tr>", _short, text, flags=re.DOTALL)  # and the ends of cells another
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


@functools.cache
def _templates() -> jinja2.Environment:
    """Which keeps those that it has compiled, for the next page."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _short(row: re.Match[str]) -> str:
    """A row without the tags that HTML lets one leave out: a cell ends where the next begins, or its row ends."""
    return re.sub(r"</t[dh]>\s*(?=<t[dh]|</tr>)", "", row[0].replace('style="--hue: ', 'style="--hue:', 1))


def context(tables: RunTables, ranked: Sequence[Board] | None = None) -> dict[str, Any]:
    """Everything that the template shows."""
    ranked = boards(tables) if ranked is None else ranked
    cells, meta = tables.cells, tables.meta
    looks = figures.Looks.of(cells["family"], families_without_a_latent(tables))
    failed = unusable(tables)
    full = shares([len(board.everything) for board in ranked])
    sections = [
        _section(board, tables, looks, f"board-{count}", most)
        for count, (board, most) in enumerate(zip(ranked, full, strict=True), start=1)
    ]
    of_run = figures.of_run(tables)
    present = _present(sections, of_run)
    return {
        **style_and_script(),
        "name": str(meta.get("name", "run")),
        "run_file": "",
        "about": str(meta.get("about") or ""),
        "datasets": " and ".join(dict.fromkeys(said(spec.dataset, spec.made) for spec in specs(cells))) or "no data",
        "facts": headline_facts(tables, ranked),
        "notices": notices(tables, failed),
        "sections": sections,
        "figures": of_run,
        "carried": carry(ranked),
        "speed_columns": speed_columns(tables.throughput),
        "tuning": tuning(tables, ranked, looks),
        "recipes": recipe_lines(ranked),
        "densities": density_lines(ranked),
        "references": kinds(tables.references),
        "failed": failures(failed, cells.set_index("cell")["config"]),
        "most": MOST,
        "lost": len(failed),
        "absent": absent(tables, ranked, present),
        "present": present,
        "cells": len(cells),
        "bad_share": percent(BAD_SHARE),
        "khat_needs": KHAT_NEEDS,
        "ess_floor": number(ESS_FLOOR, 0),
        "rise_bits": number(RISE_FLOOR["bits/dim"], 3),
        "rise_nats": number(RISE_FLOOR["nats"], 1),
        "meanings": meanings(ranked),
        "trainings_known": any(known(board.everything, lambda row: row.ending.most) for board in ranked),
        "gain_floor": number(GAIN_FLOOR, 3),
        "catalogue": catalogue(cells["family"], meta.get("cards")),
        "data": provenance.data(tables),
        "provenance": provenance.origins(tables),
        "grid": str(meta.get("grid", "")),
        "settings": provenance.settings(tables),
        "precision": precision(cells["precision"]),
        "precisions": ", ".join(cells["precision"].drop_duplicates()) or NOTHING,
        "drawn": DRAWN,
        "seeds": ranges(cells["seed"]),
    }


def style_and_script() -> dict[str, Markup]:
    """What every page is drawn by, and what works on it; a script finds nothing to do where its part is not there."""
    return {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup("\n").join(Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in SCRIPTS),
    }


def _present(sections: Sequence[Section], of_run: Mapping[str, Sequence[figures.Shown]]) -> set[str]:
    """The parts of the page that have something to say; of the others there is neither heading nor link."""
    drawn = {name for name, some in of_run.items() if some}
    drawn |= {name for section in sections for name, some in section.figures.items() if some}
    has = {"ranking": sections, "diagnostics": sections}
    has |= {"speed": [section for section in sections if section.speeds]}
    has |= {"pictures": [section for section in sections if section.galleries]}
    has |= {"spread": [section for section in sections if section.spread]}
    return drawn | {name for name, some in has.items() if some}


def _section(board: Board, tables: RunTables, looks: figures.Looks, anchor: str, most: int) -> Section:
    return Section(
        anchor=anchor,
        title=f"{kind_of_values(board)} of {board.data}",
        about=_about(board),
        unit=board.unit,
        verdict=sentences(board),
        decision=decision(board, tables.meta.get("cards")),
        ranking=ranking(board, looks),
        baseline=baseline(board),
        left_out=left_out(board, looks),
        drawers=drawers(board, tables, looks, anchor, most),
        spread=spread_table(board, searches(tables)),
        references=references(board, looks),
        diagnostics=diagnostics(board, looks),
        speeds=speeds(board, tables.throughput),
        galleries=galleries(board, tables.pictures),
        figures=figures.of_board(board, tables, looks, anchor),
    )


def _about(board: Board) -> str:
    facts = [
        f"{board.measure}: ln P of the integers",
        f"{board.unit}, {board.better} is better",
        several(len(board.everything), "configuration"),
        several(max(row.seeds for row in board.everything), "seed"),
        f"{tested_on(board)} of {several(board.dims, 'value')}",
    ]
    return " · ".join(facts + ([f"{board.binarisation} binarisation"] if board.binarisation else []))
