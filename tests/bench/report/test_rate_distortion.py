"""Rate and distortion over the weight of the KL against the cells they are of, and what is said of such training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.report.figures import Looks, rate_distortion
from bench.report.tables.ranking import ranking
from bench.report.text.scope import quote, scope
from bench.report.text.training import of_all_kl, of_kl, weighed
from bench.statistics.boards import Board, boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.fake_run import Setting
from tests.bench.report.runs import DIMS, LN2, built, doubted, few

WEIGHTS = (0.1, 1.0, 10.0)


def run(chosen: Sequence[Setting], seeds: Sequence[int] = (0, 1)) -> RunTables:
    """A run whose rate falls with the weight, and whose ELBO is the best at the weight 1."""
    tables = fake_run.tables(list(chosen), seeds=seeds, failures=False, images=60, pictures=False)
    cells = tables.cells.copy()
    weight = cells["kl_weight"].to_numpy()
    cells["kl_nats"] = 30 / (1 + weight) + 0.1 * cells["seed"]
    cells["reconstruction_nats"] = -90 - 3 * np.abs(np.log(np.maximum(weight, 1e-2))) + cells["kl_nats"]
    cells["elbo_nats"] = cells["reconstruction_nats"] - cells["kl_nats"]
    return dataclasses.replace(tables, cells=cells)


def swept(family: str, weights: Sequence[float] = WEIGHTS, **settings: object) -> list[Setting]:
    return [
        Setting(family, 2.0 + 0.01 * place, kl={"kl_weight": weight}, **settings)  # type: ignore[arg-type]
        for place, weight in enumerate(weights)
    ]


def drawn(tables: RunTables, place: int = 0):
    board = boards(tables)[place]
    return board, rate_distortion.draw(board, tables, Looks.of(tables.cells["family"]))


def lines_of(axes) -> dict[str, np.ndarray]:
    """The lines over weights by their names, [points, 2]."""
    return {
        str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines if line.get_label()[0] not in "_ "
    }


def test_lines_go_through_what_the_cells_ended_with() -> None:
    tables = run([*swept("gaussian", sigma="shared"), *swept("categorical", view="levels")])
    board, figure = drawn(tables)
    assert figure is not None
    plane, sums = (lines_of(axes) for axes in figure.axes)
    assert set(plane) == {"gaussian σ=shared", "categorical"}
    cells = tables.cells
    for name, line in plane.items():
        own = cells[cells["family"] == name.split()[0]]
        own = own.groupby("kl_weight")[["kl_nats", "reconstruction_nats", "elbo_nats"]].mean() / (DIMS * LN2)
        np.testing.assert_allclose(line, np.c_[own["kl_nats"], -own["reconstruction_nats"]])  # ascending by weight
        np.testing.assert_allclose(sums[name], np.c_[np.log10(WEIGHTS), -own["elbo_nats"]])
    best = -float(cells["elbo_nats"].groupby(cells["config"]).mean().max()) / (DIMS * LN2)
    dashed = [np.asarray(line.get_xydata()) for line in figure.axes[0].lines if line.get_color() == "#1d2329"]
    assert [line.sum(1) for line in dashed] == [pytest.approx([best, best])]
    assert "lowest at a KL weight of 1 (all 2); the weight moves the rate of" in rate_distortion.title(board)
    assert len([line for line in figure.axes[0].lines if line.get_marker() == "."]) == 6  # seeds of six configurations


def test_a_run_of_one_weight_has_no_such_figure() -> None:
    """Nor has one whose weights differ where something else does too: that is no line."""
    assert drawn(few())[1] is None
    apart = [*swept("gaussian", (1.0,), sigma=0.1), *swept("gaussian", (2.0,), sigma=0.3)]
    assert drawn(run(apart))[1] is None
    other = [Setting("gaussian", 2.0, 0.1, kl={"kl_weight": w, "kl_warmup": w}) for w in (1.0, 2.0)]
    assert drawn(run(other))[1] is None
    alone = [*swept("gaussian", (1.0,), sigma=0.1), *swept("laplace", (2.0,), sigma=0.1)]
    assert drawn(run(alone))[1] is None


def test_each_setting_of_a_family_has_its_own_line_in_its_colour() -> None:
    tables = run([*swept("gaussian", sigma=0.1), *swept("gaussian", sigma="shared"), *swept("laplace", sigma=0.1)])
    _, figure = drawn(tables)
    assert figure is not None
    looks = Looks.of(tables.cells["family"])
    of = {str(line.get_label()): line for line in figure.axes[1].lines if line.get_label()[0] != "_"}
    assert {name: line.get_color() for name, line in of.items()} == {
        "gaussian σ=0.1": looks.hue("gaussian"),
        "gaussian σ=shared": looks.hue("gaussian"),
        "laplace σ=0.1": looks.hue("laplace"),
    }
    styles = [of[name].get_linestyle() for name in ("gaussian σ=0.1", "gaussian σ=shared")]
    assert sorted(map(str, styles)) == ["-", "--"]


def test_a_weight_of_zero_has_a_place_before_the_least() -> None:
    _, figure = drawn(run(swept("gaussian", (0.0, 0.1, 1.0), sigma=0.1)))
    assert figure is not None
    (line,) = lines_of(figure.axes[1]).values()
    np.testing.assert_allclose(line[:, 0], [-2, -1, 0])
    axis = figure.axes[1].xaxis
    assert [axis.get_major_formatter()(place, 0) for place in axis.get_majorticklocs()] == ["0", "0.1", "1"]


def test_binary_pixels_are_in_nats() -> None:
    tables = run([dataclasses.replace(one, score=-20.0) for one in swept("bernoulli", view="binary")])
    board, figure = drawn(tables)
    assert figure is not None
    assert board.unit == "nats"
    (line,) = lines_of(figure.axes[0]).values()
    means = tables.cells.groupby("kl_weight")[["kl_nats", "reconstruction_nats"]].mean()
    np.testing.assert_allclose(line, np.c_[means["kl_nats"], -means["reconstruction_nats"]])


def test_what_is_left_out_of_the_ranking_has_a_rate_all_the_same() -> None:
    """Neither part is importance-weighted: a bad k̂ says nothing of them."""
    tables = doubted(run(swept("gaussian", sigma=0.1)), lambda cells: cells["kl_weight"] == 0.1)
    board, figure = drawn(tables)
    assert figure is not None
    assert len(board.left_out) == 1
    (line,) = lines_of(figure.axes[0]).values()
    assert len(line) == 3


def test_a_recipe_is_one_line_though_its_reading_changes() -> None:
    readings = zip(WEIGHTS, ("gaussian_fitted", "laplace_fitted", "gaussian_fitted"), strict=True)
    settings = [
        Setting("mse_sum", 2.0 + 0.1 * weight, scored_as=reading, view="grey", kl={"kl_weight": weight})
        for weight, reading in readings
    ]
    _, figure = drawn(run(settings))
    assert figure is not None
    assert [len(line) for line in lines_of(figure.axes[0]).values()] == [3]
    assert list(lines_of(figure.axes[0])) == ["mse_sum"]


def test_the_page_has_it_with_its_tooltips(tmp_path: Path) -> None:
    page = built(run(swept("gaussian", sigma=0.1)), tmp_path)
    tips = [title.text for title in page.all("title")]
    wanted = [text for text in tips if text.startswith("gaussian σ=0.1 kl_weight=10, KL × 10: rate 0.0")]
    assert wanted
    assert all("nats an image), distortion" in text and text.endswith("bits/dim") for text in wanted)
    assert "kl_weight=10" in page.text
    assert "ELBO, L=1, KL × 10" in page.text
    plain = built(few(), tmp_path)
    assert "Rate plus distortion" not in plain.text
    assert "KL ×" not in plain.text


# -- words -------------------------------------------------------------------------------------------------------------


def board_of(*kinds: dict[str, float]) -> Board:
    chosen = [Setting("gaussian", 2.0 + 0.1 * place, 0.1, kl=kl) for place, kl in enumerate(kinds)]
    return boards(fake_run.tables(chosen, seeds=(0, 1), failures=False, images=60, pictures=False))[0]


@pytest.mark.parametrize(
    ("kl", "said"),
    [
        ({}, ""),
        ({"kl_weight": 0.5}, "KL × 0.5"),
        ({"kl_warmup": 1.0}, "KL × 1 after a warm-up of 1 epoch"),
        ({"kl_warmup": 0.2}, "KL × 1 after a warm-up of 20 % of the epochs"),
        ({"free_bits": 0.25}, "KL × 1 beyond 0.25 nats a latent dimension"),
        ({"kl_weight": 4.0, "kl_warmup": 20.0, "free_bits": 0.1},
         "KL × 4 beyond 0.1 nats a latent dimension after a warm-up of 20 epochs"),
    ],
)  # fmt: skip
def test_what_training_made_of_the_kl_is_said_in_every_place(kl: dict[str, float], said: str) -> None:
    board = board_of(kl)
    (row,) = board.ranked
    assert of_kl(row) == said
    entries = [entry.text for entry in ranking(board, Looks.of(["gaussian"])).lines[0].after]
    assert entries[-1] == ("ELBO, L=1" + f", {said}" * bool(said))
    for text in (scope(board), quote(board)):
        assert ("KL" in text) == bool(said)
        assert said in text
    changed = set(kl) - {"kl_warmup"}
    assert ("another KL than the bound has" in weighed(board)) == bool(changed)
    assert ("Of a warm-up of the KL no epoch is chosen" in weighed(board)) == ("kl_warmup" in kl)


def test_of_several_the_quote_names_each_and_many_are_counted() -> None:
    board = board_of({}, {"kl_weight": 0.5}, {"kl_weight": 2.0})
    assert of_all_kl(board.everything) == "trained with the KL as it is, KL × 0.5 or KL × 2"
    assert "<b>gaussian σ=0.1 kl_weight=0.5</b> and <b>gaussian σ=0.1 kl_weight=2</b> (2 of 3) were" in weighed(board)
    many = board_of(*({"kl_weight": float(weight)} for weight in range(2, 9)))
    assert of_all_kl(many.everything) == "trained with KL × 2, KL × 3, KL × 4 or 4 others"


def test_a_chosen_weight_is_that_of_its_models() -> None:
    """Where the weight is tuned, a row has candidates, and what was chosen; it is no point of a line."""
    board = board_of({})
    (row,) = board.ranked
    tuned = dataclasses.replace(row.tuned, candidates={"kl_weight": (0.5, 1.0)}, values={"kl_weight": 0.5})
    settings = {**row.settings, "kl_weight": json.dumps([0.5, 1.0])}
    chosen = dataclasses.replace(row, tuned=tuned, settings=settings)
    assert of_kl(chosen) == "KL × 0.5"
    assert rate_distortion.sweeps(dataclasses.replace(board, ranked=(chosen, row))) == []
