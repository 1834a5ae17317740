"""The time that a run is predicted to take: what a person reads, when it is asked for, and that nothing hangs on it."""

from __future__ import annotations

import io
import math
import time

import pytest

from bench.engine.local import Limits
from bench.engine.process.beside import foretold
from bench.engine.process.beside.foretold import Foretold, Left
from bench.engine.progress import Reporter, span
from bench.store import read_run
from tests.bench.engine.foretelling import HERE
from tests.bench.engine.test_run import carry_out, diary, grid_of, result_tables, seeds  # noqa: F401  is a fixture

GRID = seeds(0, 1)


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        *[(16, 20, "16 to 20 s"), (240, 545, "4 to 9 min"), (45, 180, "45 s to 3 min"), (583, 7920, "10 min to 2.2 h")],
        *[
            (7920, 7921, "2.2 h"),
            (3599, 3600, "1.0 h"),
            (59.6, 61, "1 min"),
            (36e4, 4e6, "100 to 1,111 h"),
            (1, 1, "1 s"),
        ],
    ],
)
def test_a_range_is_said_as_roughly_as_it_is_known(low, high, said):
    assert span(low, high) == said


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_down_and_is_told_as_what_it_is_until_progress_is_known():
    stream, clock = io.StringIO(), Clock()
    reporter = Reporter(stream, clock=clock)
    reporter.start(87, 0)
    for second, untuned, ended in ((5, 22, 0), (125, 20, 0), (300, 3, 2), (900, 3, 2), (930, 0, 2), (1000, 0, 4)):
        clock.now = second
        if second == 5:
            reporter.predict(240, 540)
        reporter.update(ended, 0, untuned, left=None if ended < 4 else 2900.0)
        assert reporter.knows == (second == 1000)
    assert stream.getvalue().splitlines() == [
        "predicted, not measured: 4 to 9 min left",
        "0/87 cells, 22 configurations to be tuned, predicted 4 to 9 min left",
        "0/87 cells, 20 configurations to be tuned, predicted 2 to 7 min left",
        "2/87 cells, 3 configurations to be tuned, predicted at most 4 min left",
        "2/87 cells, 3 configurations to be tuned, predicted 4 to 9 min, which is over",
        "2/87 cells, predicted 4 to 9 min, which is over",
        "4/87 cells, 1.7 cells/min, about 48 min left",
    ]
    reporter.predict(1, 2)
    assert "1 to 2 s" not in stream.getvalue(), "the run knows better"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(99, 1039, "at most 17 min left"), (110, 1039, "2 to 17 min left"), (0.4, 3, "at most 3 s left")],
)
def test_a_least_that_is_next_to_nothing_is_not_said(low, high, said):
    stream = io.StringIO()
    reporter = Reporter(stream, clock=Clock())
    reporter.start(87, 0)
    reporter.predict(low, high)
    assert stream.getvalue() == f"predicted, not measured: {said}\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("cells", [29, 87, 1044])
@pytest.mark.parametrize("untuned", [0, 14])
def test_beside_a_bar_it_has_room_in_eighty_columns_or_is_left_out(monkeypatch, cells, untuned):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock()
    with Reporter(Terminal(), clock=clock) as reporter:
        reporter.start(cells, 0)
        for low, high in ((16, 20), (583, 7920), (55, 36e5)):
            reporter._predicted = (low, high)
            text = reporter._text(0, 0, untuned, None)
            assert len(text) <= 59
            assert "predicted" in text
            assert text.endswith(" left")
            assert f"{untuned} to tune" in text or f"{untuned} configurations" in text or not untuned


# -- when it is asked for ----------------------------------------------------------------------------------------------


def left(device: str = "cpu") -> Left:
    from bench.grid.plan import plan

    bundles = plan(GRID.cells, "cpu", 1)
    ids = frozenset(cell.id for cell in GRID.cells)
    return Left(GRID.cells, ids, (), bundles, (), frozenset(), {}, device, "a CPU", 1, False)


def asked_until(found: Foretold, clock: Clock, *, known: bool = False) -> tuple[float, float] | None:
    """What comes of it with the clock standing where it is; None where no process is at work, or gives nothing."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if given := found.look(known=known):
            return given
        if found._pool is None:
            return None
        time.sleep(0.02)
    raise AssertionError("it never ended")


def test_on_a_cpu_nothing_is_counted_before_the_run_has_lasted_a_while():
    clock = Clock()
    with Foretold(f"{HERE}:only_if_it_counts", left(), None, clock=clock) as found:
        assert found.look(known=False) is None
        assert found._pool is None, "the run's own workers come first"
        clock.now = foretold.BEGINS_AFTER
        assert asked_until(found, clock) is None
        assert asked_until(found, clock) is None
        clock.now = foretold.COUNTS_AFTER
        assert asked_until(found, clock) == (3.0, 4.0)
        assert asked_until(found, clock) is None, "it is given once"


def test_beside_a_gpu_the_hosts_other_cores_count_at_once():
    clock = Clock()
    with Foretold(f"{HERE}:only_if_it_counts", left("cuda"), None, clock=clock) as found:
        clock.now = foretold.BEGINS_AFTER
        assert asked_until(found, clock) == (3.0, 4.0)


def test_a_run_that_knows_by_its_progress_asks_no_more():
    clock = Clock()
    with Foretold(f"{HERE}:at_once", left(), None, clock=clock) as found:
        clock.now = foretold.BEGINS_AFTER
        assert found.look(known=False) is None
        process = found._pool
        assert process is not None
        assert found.look(known=True) is None
        assert not process.busy
        assert found.look(known=False) is None


@pytest.mark.parametrize("answer", [(2.0, 1.0), (math.nan, 1.0), (1.0, math.inf), (-1.0, 1.0), "ab", 3.0, (1.0,), None])
def test_what_is_no_range_is_no_prediction(answer):
    assert foretold._range_of(answer) is None


# -- nothing hangs on it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["at_once", "raises", "dies", "hangs", "is_not_there"])
def test_a_run_ends_the_same_whatever_becomes_of_its_prediction(tmp_path, monkeypatch, function):
    monkeypatch.setattr(foretold, "BEGINS_AFTER", 0.0)
    monkeypatch.setenv("FAKE_SECONDS", "4" if function == "at_once" else "2")
    path = tmp_path / "r.sqlite"
    summary, said = carry_out(GRID, path, foretell=f"{HERE}:{function}", workers=1, limits=Limits(asleep=60))
    assert (summary.done, summary.failed, summary.computed) == (2, 0, 2)
    assert ("predicted, not measured: " in said) == (function == "at_once"), said
    monkeypatch.delenv("FAKE_SECONDS")
    carry_out(GRID, tmp_path / "calm.sqlite", workers=1)
    expected = result_tables(tmp_path / "calm.sqlite")
    for name, table in result_tables(path).items():
        assert table.equals(expected[name]), name


def test_of_a_resumed_run_what_is_left_is_predicted(tmp_path, monkeypatch, diary):  # noqa: F811
    monkeypatch.setattr(foretold, "BEGINS_AFTER", 0.0)
    monkeypatch.setattr("bench.engine.run.cores", lambda: 1)
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0, 1), path)
    diary()
    monkeypatch.setenv("FAKE_SECONDS", "4")
    _, said = carry_out(seeds(0, 1, 2, 3, 4), path, foretell=f"{HERE}:noted", workers=1)
    assert [what for _, what in diary() if what.startswith("left ")] == ["left [2, 3, 4] of 5 cpu"]
    assert "predicted, not measured: " in said
    _, said = carry_out(seeds(0, 1, 2, 3, 4), path, foretell=f"{HERE}:noted", workers=1)
    assert "predicted" not in said
    assert not [what for _, what in diary() if what.startswith("left ")]
    assert len(read_run(path).cells) == 5
