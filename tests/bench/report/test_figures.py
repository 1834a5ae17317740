"""The figures of the page against the tables that they were drawn from."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from bench.report import figures, numbers, ranking
from bench.report.figures import Looks, calibration, landscape, latents, samples, sigma
from bench.report.figures._panels import by_config
from bench.report.figures._scores import SMALL, limits, upright
from bench.report.figures._text import wide
from bench.statistics.boards import Board, boards
from bench.statistics.rows import Estimate
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import DIMS, LN2, built, few, section
from tests.bench.statistics.test_references import best_scores, held


def looks(board: Board) -> Looks:
    return Looks.of(row.family for row in board.everything)


def test_figures_are_small_and_their_text_is_text(shown: Element) -> None:
    figures = shown.all("svg", class_="figure")
    assert all(figure.all("text") for figure in figures)
    assert sum(len(outline.attributes["d"]) for figure in figures for outline in figure.all("path")) < 200_000


def test_figures_hold_variables_instead_of_colours(shown: Element) -> None:
    drawn = shown.all("svg", class_="figure")
    assert len(drawn) >= 11
    styles = " ".join(element.attributes.get("style", "") for figure in drawn for element in figure.all())
    assert "var(--hue-" in styles
    assert re.findall(r"#[0-9a-f]{6}", styles.replace("#000000", "")) == []


def test_landscape_names_the_score_of_every_family(tables: RunTables, shown: Element) -> None:
    best = ranking(tables).query("currency == 'pmf-K'").drop_duplicates("family")
    texts = [text.text for text in shown.all("svg", class_="figure")[0].all("text")]
    for _, row in best.iterrows():
        assert row["family"] in texts
        assert any(text.startswith(numbers.measured(row["value"], "bits/dim")) for text in texts)


def test_landscape_has_a_line_at_what_needs_no_network_where_it_is_near() -> None:
    """Of the references a mixture beside the best and a histogram are drawn, and no codec; nothing far off."""
    best = best_scores(few())
    board = next(b for b in boards(held(few(), histogram=best - 9, product_mixture=best - 3, xz=-150.0)) if b.dims)
    figure = landscape.draw(board, few(), looks(board))
    assert figure is not None
    (axes,) = figure.axes
    at = {
        note.get_text(): note.xy[0]
        for note in axes.texts
        if isinstance(note, Annotation) and note.get_horizontalalignment() == "center"
    }
    rows = {row.family: row.value.mean for row in board.references}
    assert at == {"histogram": rows["histogram"], "mixture": rows["product_mixture"]}
    far = next(b for b in boards(held(few(), histogram=best - 9000)) if b.dims)
    drawn = landscape.draw(far, few(), looks(far))
    assert drawn is not None
    assert not {"histogram", "mixture"} & {text.get_text() for text in drawn.axes[0].texts}


def test_sigma_curve_goes_through_the_scores(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = sigma.draw(board, tables, looks(board))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "laplace")
    own = [row for row in board.ranked if row.family == "laplace" and np.isfinite(row.fixed_sigma)]
    own.sort(key=lambda row: row.fixed_sigma)
    line = axes.lines[0]
    assert np.allclose(line.get_xdata(), [float(row.sigma) for row in own])
    assert np.allclose(line.get_ydata(), [row.value.mean for row in own])
    left = [row for row in board.left_out if row.family == "laplace"]
    arrows = [next(line for line in axes.lines if line.get_label() == f"_{row.label}") for row in left]
    assert [float(np.asarray(arrow.get_xdata())[0]) for arrow in arrows] == pytest.approx(
        [float(row.sigma) for row in left]
    )
    assert [float(np.asarray(arrow.get_ydata())[0]) for arrow in arrows] == pytest.approx(
        np.clip([row.value.mean for row in left], *axes.get_ylim())
    )


def test_one_fixed_scale_makes_no_curve() -> None:
    """A family trained at one fixed σ has no panel; where no family has two, there is no figure."""
    tables = fake_run.only(few(), lambda cells: (cells["sigma"] != "1") | (cells["family"] == "gaussian"))
    board = boards(tables)[0]
    figure = sigma.draw(board, tables, looks(board))
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["gaussian"]
    alone = fake_run.only(few(), lambda cells: cells["sigma"] != "1")
    assert sigma.draw(boards(alone)[0], alone, looks(board)) is None


def test_sample_curves_rise_from_zero_to_the_gain(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = samples.draw(board, tables, looks(board))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "categorical")
    cells = board.samples[board.ranked[0].config].cells
    means = tables.bounds[tables.bounds["cell"].isin(cells)].groupby("samples")["bound_nats"].mean()
    assert board.ranked[0].family == "categorical"
    assert np.allclose(axes.lines[0].get_ydata(), means - means.iloc[0])
    assert np.allclose(axes.lines[0].get_xdata(), means.index)


def test_refined_curves_stand_over_the_encoders_own(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = samples.draw(board, tables, looks(board))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "bce_sum")
    row = next(row for row in board.ranked if row.family == "bce_sum")
    cells = board.samples[row.config].cells
    means = tables.bounds[tables.bounds["cell"].isin(cells)].groupby("samples").mean(numeric_only=True)
    start = means["encoder_bound_nats"].iloc[0]
    final, end, encoder = axes.lines
    assert final.get_ydata() == pytest.approx(means["bound_nats"] - start)
    assert encoder.get_ydata() == pytest.approx(means["encoder_bound_nats"] - start)
    assert np.asarray(end.get_ydata())[0] - np.asarray(encoder.get_ydata())[-1] == pytest.approx(row.lift / board.scale)
    assert final.get_linestyle() == "-"
    assert encoder.is_dashed()


def test_curves_of_bounds_that_went_to_different_l_end_where_all_seeds_are(tables: RunTables) -> None:
    """One seed that needed less: no kink where the other seeds go on alone; an encoder's curve that ends earlier is not
    drawn on with the refined bound."""
    board = boards(tables)[0]
    row = next(row for row in board.ranked if row.family == "bce_sum")
    cells, bounds = board.samples[row.config].cells, tables.bounds
    sizes = sorted(bounds["samples"].unique())
    short = bounds["cell"].eq(cells[0]) & (bounds["samples"] == sizes[-1])
    pilot = bounds["encoder_bound_nats"].mask(bounds["samples"] > sizes[1])
    needed = replace(tables, bounds=bounds.assign(encoder_bound_nats=pilot)[~short])
    results = replace(row.results, iw_samples=int(sizes[-2]))
    told = replace(board, ranked=tuple(replace(r, results=results) if r is row else r for r in board.ranked))
    figure = samples.draw(told, needed, looks(board))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "bce_sum")
    final, _, encoder = axes.lines
    assert np.asarray(final.get_xdata()).tolist() == sizes[:-1]
    assert np.asarray(encoder.get_xdata()).tolist() == sizes[:2]
    assert f"{sizes[-2]:,} to {sizes[-1]:,}" in samples.title(told).striptags()
    assert f"at L = {sizes[-1]:,};" in samples.title(board).striptags()


def test_histograms_are_those_of_the_table(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = calibration.draw(board, tables, looks(board))
    assert figure is not None
    shown = calibration.most_telling(board, by_config(board, tables.calibration, "bin", "share"))
    assert {row.family for row in shown} == {row.family for row in board.everything}
    assert {"gaussian σ=0.01", "mse_mean (gaussian implied)", "logistic σ=1"} <= {row.label for row in shown}
    for axes, row in zip(figure.axes, shown, strict=True):
        cells = board.samples[row.config].cells
        shares = tables.calibration[tables.calibration["cell"].isin(cells)].groupby("bin")["share"].mean()
        heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
        assert heights == pytest.approx(np.minimum(shares * len(shares), calibration.HIGHEST))
        assert axes.lines[0].get_ydata() == [1, 1]
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == row.label
        assert f"95 %: {numbers.percent(row.results.coverage_95)}" in texts[1]


def test_latent_lines_are_the_sorted_divergences(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = latents.draw(board, tables, looks(board))
    assert figure is not None
    (axes,) = figure.axes
    first = next(row for row in board.ranked if row.family == "laplace")
    line = next(line for line in axes.lines if line.get_label() == first.label)
    own = [
        np.sort(tables.latents.loc[tables.latents["cell"] == cell, "kl_nats"])[::-1]
        for cell in board.samples[first.config].cells
    ]
    assert line.get_xdata() == pytest.approx(np.mean(own, axis=0))
    assert np.sum(own) / len(own) == pytest.approx(first.results.kl_nats)
    drawn = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    assert len(drawn) == len({row.family for row in board.everything})
    assert len({float(np.asarray(line.get_ydata())[0]) for line in drawn}) == len(drawn), "two families share a line"


def test_a_family_alone_has_a_line_of_latents_for_every_configuration() -> None:
    alone = fake_run.only(few(), lambda cells: cells["family"] == "gaussian")
    board = boards(alone)[0]
    figure = latents.draw(board, alone, looks(board))
    assert figure is not None
    drawn = [str(line.get_label()) for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    assert drawn == [row.label for row in board.everything]


def test_the_panels_over_samples_have_one_scale_and_say_what_ends_beyond_it(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = samples.draw(board, tables, looks(board))
    assert figure is not None
    low, high = figure.axes[0].get_ylim()
    assert all(axes.get_ylim() == (low, high) for axes in figure.axes)
    gains, _ = samples._gains(board, tables.bounds)
    ends = {config: float(curve.dropna().iloc[-1]) for config, curve in gains.iterrows()}
    beyond = [row for row in board.everything if ends[row.config] > high]
    assert beyond, "the fake run has such"
    for row in beyond:
        axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == row.family)
        said = " ".join(text.get_text() + str(text.get_gid()) for text in axes.texts)
        assert numbers.number(ends[row.config], 1) in said, row.label


def test_what_can_be_pointed_at_says_what_it_is(tables: RunTables, shown: Element) -> None:
    """Every configuration that is drawn has a tooltip with its label and score."""
    drawn = [article.all("svg", class_="figure")[0] for article in section(shown, "verdict").all("article")]
    for board, figure in zip(boards(tables), drawn, strict=True):
        hints = " ".join(hint.text for hint in figure.all("title"))
        for row in board.everything:
            assert f"{row.label}: {numbers.bound(row, board.unit)}" in hints


def test_a_name_may_look_like_a_mark_of_the_way_to_svg(tmp_path: Path) -> None:
    name = """#1d2329 tip:"a" 'b' <b>&amp; font: 12px 1.23456 href="#x" """.strip()
    named = fake_run.tables(fake_run.few(), images=60, pictures=False, label=lambda label: f"{label} {name}")
    part = section(built(named, tmp_path), "verdict")
    hints = [hint.text for hint in part.all("svg", class_="figure")[0].all("title")]
    assert hints
    assert all(name in hint for hint in hints if ": " in hint)


@pytest.mark.parametrize("currency", ["pmf-K", "pmf-2"])
def test_axis_limits_hold_the_best_with_its_interval(tables: RunTables, currency: str) -> None:
    board = next(board for board in boards(tables) if board.currency == currency)
    best, worst = limits(board)
    assert (best < worst) == (board.better == "lower")
    value = board.ranked[0].value
    for shown in (value.mean, value.low, value.high):
        assert min(best, worst) < shown < max(best, worst)
    assert board.uniform == pytest.approx(np.log2(17) if currency == "pmf-K" else -DIMS * LN2)


EXTRA = """
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures import Numbers, OfBoard, OfRun
from bench.report.tables.entries import Entry


def draw(*about):
    figure = Figure()
    figure.add_axes((0, 0, 1, 1)).set_title("drawn")
    return figure


FIGURE = {figure}
"""
OF_BOARD = """OfBoard(
    section="sigma", order=0, draw=draw, title=lambda board: Markup("An extra figure of {}").format(board.unit),
    note="To be read with care.",
)"""
OF_RUN = """OfRun(
    section="samples", order=2, heading="Once more", draw=draw, title=lambda tables: Markup("An extra figure"),
    note=lambda tables: f"Of {len(tables.cells)} cells.",
    numbers=lambda tables: Numbers(
        "As numbers", "Extra", (("What", ""), ("Size", "MB")), [[Entry("it", 1), Entry("2", 2)]]
    ),
)"""


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Adds a module with a figure to the folder of figures."""

    def added(figure: str) -> None:
        (tmp_path / "extra.py").write_text(EXTRA.replace("{figure}", figure), encoding="utf-8")
        monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
        monkeypatch.setitem(sys.modules, "bench.report.figures.extra", None)  # so that it is taken out at the end
        del sys.modules["bench.report.figures.extra"]

    return added


@pytest.mark.slow
def test_a_figure_of_a_board_is_added_by_one_file(add: Callable[[str], None], tmp_path: Path) -> None:
    add(OF_BOARD)
    part = section(built(few(), tmp_path), "sigma")
    titles = [figure.one("h4").text for figure in part.all("figure")]
    assert [title for title in titles if "extra" in title] == ["An extra figure of bits/dim", "An extra figure of nats"]
    assert titles[1].startswith("The best fixed σ"), "it has asked to stand first"
    figure = part.all("figure")[0]
    assert figure.one("p", class_="note").text == "To be read with care."
    assert figure.one("svg").attributes["aria-label"] == "An extra figure of bits/dim. To be read with care."
    assert "drawn" in [text.text for text in figure.all("text")]


@pytest.mark.slow
def test_a_figure_of_the_run_stands_once_over_its_numbers(add: Callable[[str], None], tmp_path: Path) -> None:
    add(OF_RUN)
    part = section(built(few(), tmp_path), "samples")
    assert [head.text for head in part.all("h3")][-1] == "Once more"
    figure = part.all("figure")[-1]
    assert figure.one("h4").text == "An extra figure"
    assert figure.one("p", class_="note").text == f"Of {len(few().cells)} cells."
    assert part.one("table").rows() == [["it", "2"]]
    assert [head.text for head in part.one("table").all("th", scope="col")] == ["What", "SizeMB"]


@pytest.mark.parametrize("figure", ["None", OF_BOARD.replace("sigma", "cellar")])
def test_a_module_that_is_no_figure_is_refused(add: Callable[[str], None], figure: str) -> None:
    add(figure)
    with pytest.raises(ImportError, match=r"bench\.report\.figures\.extra needs a FIGURE, in one of verdict, sigma"):
        figures.found()


def test_every_figure_says_what_to_know_when_reading_it() -> None:
    found = figures.found()
    assert {"landscape", "sigma", "samples", "calibration", "latents", "speed", "scaling"} <= set(found)
    places = [(type(figure), figure.section, figure.order) for figure in found.values()]
    assert len(set(places)) == len(places), "two figures ask for one place"
    assert all(figure.note for figure in found.values())


@pytest.mark.parametrize("width", [374, 60])
def test_names_of_upright_lines_stand_beside_each_other(tables: RunTables, width: int) -> None:
    board = boards(tables)[0]
    plain = {"histogram": board.uniform - 0.2, "product_mixture": board.uniform - 0.3}
    rows = [replace(board.ranked[0], family=family, value=Estimate(value)) for family, value in plain.items()]
    board = replace(board, references=tuple(rows))
    found = upright(board, (0.0, 6.0), width)
    assert [name for _, name, _ in found] == ["mixture", "histogram", "uniform guess"]
    assert [value for value, *_ in found] == sorted(value for value, *_ in found)
    boxes = [(value / 6.0 * width, wide(name, SMALL) / 2, level) for value, name, level in found]
    for (one, half, level), (other, other_half, other_level) in itertools.combinations(boxes, 2):
        assert level != other_level or abs(one - other) > half + other_half
    assert {level for *_, level in found} == set(range(1 + max(level for *_, level in found)))
    assert upright(board, (0.0, 1e-6), width) == []
