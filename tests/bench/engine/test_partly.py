"""What a bundle has given is kept, whatever becomes of the rest of it."""

from __future__ import annotations

import io

import pytest

from bench.engine.process.serve import partly
from bench.engine.progress import Reporter
from bench.engine.run import Interrupted, Options, run_grid
from bench.store import read_run
from tests.bench.engine import fake_worker
from tests.bench.engine.partly import BAD, HANDS_OVER
from tests.bench.engine.test_run import carry_out, diary, seeds  # noqa: F401  the diary is a fixture

GRID = seeds(0, 1, BAD, 2)  # in two bundles of two, or one of four


def computed(diary) -> list[int]:  # noqa: F811
    return sorted(int(what.split()[1]) for _, what in diary() if what.startswith("cell "))


def test_every_cell_is_stored_once_as_it_was_given(tmp_path, monkeypatch, diary):  # noqa: F811
    for trouble in ("", "gives twice"):
        monkeypatch.setenv("FAKE_TROUBLE", trouble)
        path = tmp_path / f"r{trouble[:1]}.sqlite"
        summary, _ = carry_out(GRID, path, HANDS_OVER, workers=1)
        assert (summary.done, summary.failed, summary.computed) == (4, 0, 4)
        assert computed(diary) == [0, 1, 2, BAD]
        stored = read_run(path).cells.set_index("cell")
        for cell in GRID.cells:
            assert stored.loc[cell.id, "iw_nats"] == fake_worker.result(cell).values["iw_nats"]


def test_a_run_whose_time_is_over_keeps_the_cells_of_a_bundle_that_goes_on(tmp_path, monkeypatch, diary):  # noqa: F811
    monkeypatch.setenv("FAKE_TROUBLE", "sleeps")
    path = tmp_path / "r.sqlite"
    with pytest.raises(Interrupted) as stopped, Reporter(io.StringIO()) as reporter:
        run_grid(GRID, path, Options(workers=1, time_limit=8.0), reporter, HANDS_OVER)
    before = computed(diary)
    assert BAD in before
    assert stopped.value.done == len(before) - 1 >= 1, "all but the one that sleeps"
    monkeypatch.delenv("FAKE_TROUBLE")
    summary, _ = carry_out(GRID, path, HANDS_OVER, workers=1)
    assert (summary.done, summary.computed) == (4, 4 - stopped.value.done)
    assert sorted([*computed(diary), *before]) == sorted([0, 1, 2, BAD, BAD])


def test_what_was_given_before_a_failure_is_not_computed_again(tmp_path, monkeypatch, diary):  # noqa: F811
    monkeypatch.setenv("FAKE_TROUBLE", "raises")
    summary, _ = carry_out(GRID, tmp_path / "r.sqlite", HANDS_OVER, workers=1)
    assert (summary.done, summary.failed) == (3, 1)
    rows = read_run(tmp_path / "r.sqlite").cells.set_index("seed")
    assert rows.loc[BAD, "status"] == "failed"
    assert rows.loc[BAD, "reason"].startswith("RuntimeError: a bad cell")
    tried = computed(diary)
    assert [seed for seed in tried if seed != BAD] == [0, 1, 2]
    assert tried.count(BAD) == 2  # among the others, and alone


@pytest.mark.parametrize("order", [(0, 1, 2, BAD), (0, BAD, 1, 2)])
def test_who_fails_beside_others_is_tried_alone_wherever_it_stands(tmp_path, monkeypatch, diary, order):  # noqa: F811
    monkeypatch.setenv("FAKE_TROUBLE", "raises in company")
    summary, _ = carry_out(seeds(*order), tmp_path / "r.sqlite", HANDS_OVER, workers=1)
    assert (summary.done, summary.failed) == (4, 0)


def test_a_worker_that_is_killed_gives_what_it_had_given(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TROUBLE", "is killed once")
    monkeypatch.setenv("FAKE_FLAG", str(tmp_path / "flag"))
    summary, _ = carry_out(GRID, tmp_path / "r.sqlite", HANDS_OVER, workers=1)
    assert (summary.done, summary.failed, summary.computed) == (4, 0, 4)


def test_one_whose_score_does_not_fit_beside_others_that_are_done_is_tried_alone(tmp_path, monkeypatch, diary):  # noqa: F811
    monkeypatch.setenv("FAKE_TROUBLE", "is too large")
    summary, _ = carry_out(GRID, tmp_path / "r.sqlite", HANDS_OVER, workers=1)
    assert (summary.done, summary.failed) == (4, 0)
    assert computed(diary) == [0, 1, 2, BAD, BAD]


def test_where_no_worker_process_carries_it_out_nothing_is_handed_over():
    assert not partly([1])
