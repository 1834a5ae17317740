"""What a board knows of its scope: the data, and what was tried and gave no score."""

from __future__ import annotations

import dataclasses

from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.planted import grey, of, planted


def failing(tables: RunTables, family: str, seeds: tuple[int, ...] = (0, 1, 2)) -> RunTables:
    """Some seeds of a family have no score."""
    cells = tables.cells.copy()
    which = (cells["family"] == family) & cells["seed"].isin(seeds)
    cells.loc[which, "status"] = "failed"
    cells.loc[which, "measure"] = None
    images = tables.per_image[~tables.per_image["cell"].isin(cells.loc[which, "cell"])]
    return dataclasses.replace(tables, cells=cells, per_image=images)


def test_the_data_are_told_as_the_run_recorded_them() -> None:
    scope = grey(planted([of("categorical", 2.0)])).scope
    assert (scope.shape, scope.levels, scope.train) == ((8, 8), 17, 1297)
    bare = dataclasses.replace(planted([of("categorical", 2.0)]), meta={})
    assert (grey(bare).scope.shape, grey(bare).scope.levels) == ((), 0)


def test_what_failed_in_every_seed_is_lost_and_what_failed_in_some_is_not() -> None:
    tables = planted([of("categorical", 2.0), of("gaussian", 2.1, "pixel"), of("laplace", 2.2, "pixel")])
    (lost,) = grey(failing(failing(tables, "gaussian"), "laplace", (1,))).failed
    assert (lost.label, lost.family, lost.recipe) == ("gaussian σ=pixel", "gaussian", False)


def test_what_is_lost_belongs_to_the_board_that_it_would_have_stood_on() -> None:
    binary = fake_run.Setting("bernoulli", -21.0, view="binary")
    more = fake_run.Setting("bernoulli", -20.0, view="binary", train_samples=5)
    recipe = fake_run.Setting("mse_sum", 2.5, scored_as="gaussian_fitted", view="grey")
    tables = planted([of("categorical", 2.0), binary, more, recipe])
    cells = tables.cells
    gone = failing(tables, "mse_sum")
    spoilt = dataclasses.replace(
        gone,
        cells=gone.cells.assign(
            status=gone.cells["status"].where(cells["train_samples"] != 5, "oom"),
        ),
    )
    first, second = boards(spoilt)
    assert [lost.label for lost in first.failed] == ["mse_sum (gaussian fitted)"]
    assert first.failed[0].recipe
    assert [lost.label for lost in second.failed] == ["bernoulli L=5"]
