"""How long is left: exact in a world where costs are times, whatever is queued; never said before anything is known."""

from __future__ import annotations

import heapq
import io
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engine.local import Ended, Pool, Task
from bench.engine.process.remaining import OVERDUE, Pace, UnderWay, seconds_left
from bench.engine.progress import Reporter
from tests.bench.engine.fake_worker import TASKS
from tests.bench.engine.test_run import carry_out, grid_of


def carried_out(seconds: list[float], workers: int) -> list[tuple[float, float]]:
    """When each begins and ends, given in their order to whoever is free first."""
    free, times = [0.0] * workers, []
    for took in seconds:
        begun = heapq.heappop(free)
        times.append((begun, begun + took))
        heapq.heappush(free, begun + took)
    return times


WORK = st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 9)), min_size=2, max_size=12)
RATES = st.sampled_from([1.0, 0.02, 70.0])


@given(WORK, st.integers(1, 4), RATES, st.floats(0, 1, exclude_max=True))
def test_where_costs_are_times_it_is_exact_once_one_has_ended(work, workers, rate, when):
    times = carried_out([rate * cost for cost, _ in work], workers)
    last, first = max(end for _, end in times), min(end for _, end in times)
    now = first + when * (last - first)
    pace = Pace()
    for (cost, _), (begun, end) in zip(work, times, strict=True):
        if end <= now:
            pace.took(cost, 0, end - begun)
    at_work = [
        UnderWay(cost, 0, now - begun)
        for (cost, _), (begun, end) in zip(work, times, strict=True)
        if begun <= now < end
    ]
    queued = [(cost, 0) for (cost, _), (begun, _) in zip(work, times, strict=True) if begun > now]
    found = seconds_left(pace, at_work, queued, workers)
    assert found is not None
    slack = OVERDUE * rate * max(cost for cost, _ in work)  # who is about to end is thought to need a little more
    assert last - now - 1e-6 * last <= found <= last - now + slack + 1e-6 * last


def test_between_what_costs_say_and_what_sizes_say_is_their_geometric_mean():
    """The heaviest goes first, and may be of a hundred times the others' width: by its cost they take nothing, by its
    size as long as it; ten times off, at the most, either way."""
    pace = Pace()
    pace.took(100.0, 3, 300.0)
    assert seconds_left(pace, [], [(1.0, 3)] * 10, 1) == pytest.approx(math.sqrt(30.0 * 3000.0))
    assert seconds_left(pace, [], [(1.0, 0)], 1) == pytest.approx(3.0), "without a size by its cost"


def test_a_default_grid_s_bundles_are_told_within_a_third():
    """Costs (10⁸), cells and seconds of a run of `digits` on two cores, in the order of their ends."""
    bundles = [
        *[(2.64, 3, 48), (2.46, 3, 16), (1.94, 3, 34), (1.94, 3, 33), (1.59, 4, 35), (1.41, 3, 59), (1.36, 4, 42)],
        *[(1.23, 3, 33), (1.22, 3, 36), (0.86, 3, 21), (1.08, 4, 28), (0.78, 24, 52), (0.25, 27, 51)],
    ]
    pace = Pace()
    for place, (cost, size, seconds) in enumerate(bundles[:-1]):
        pace.took(cost, size, seconds)
        found = seconds_left(pace, [], [(cost, size) for cost, size, _ in bundles[place + 1 :]], 1)
        assert found == pytest.approx(sum(seconds for *_, seconds in bundles[place + 1 :]), rel=0.34)


def test_times_that_differ_by_all_that_numbers_can_break_nothing():
    pace = Pace()
    pace.took(1.0, 0, 999968.0)
    pace.took(2.0, 1, 0.015625)
    found = seconds_left(pace, [], [(1.0, 1)], 4)
    assert found is not None
    assert found > 0
    assert seconds_left(pace, [], [(1e308, 0)], 1) is None, "no number of seconds"


@given(st.floats(0, 100), st.floats(0.1, 10), st.integers(2, 30), st.data())
def test_a_bundle_s_own_parts_tell_from_the_second_on(training, each, parts, data):
    """Trained first, which takes as long as it likes, then scored model by model."""
    there = data.draw(st.integers(2, parts))
    since = data.draw(st.floats(0, 0.75 * each)) if there < parts else 0.0
    given_at = tuple(training + each * (1 + number) for number in range(there))
    whole = training + each * parts
    now = given_at[-1] + since
    left = UnderWay(7.0, 3, now, parts, given_at).left_by_parts
    assert left == pytest.approx(whole - now, rel=1e-6, abs=1e-6 * whole)
    assert seconds_left(Pace(), [UnderWay(7.0, 3, now, parts, given_at)], [(7.0, 3)], 1) == pytest.approx(
        whole - now + whole, rel=1e-6, abs=1e-6 * whole
    )


def test_the_first_part_alone_tells_roughly():
    assert UnderWay(1.0, 1, 40.0, 3, (40.0,)).left_by_parts == pytest.approx(20.0)
    assert UnderWay(1.0, 1, 47.0, 3, (40.0,)).left_by_parts == pytest.approx(13.0)
    assert UnderWay(1.0, 1, 4000.0, 3, (40.0,)).left_by_parts == pytest.approx(12.5), "both are still to come"
    assert UnderWay(1.0, 1, 40.0, 1, (40.0,)).left_by_parts == 0


def test_nothing_is_said_where_nothing_is_known():
    assert seconds_left(Pace(), [], [(1.0, 1), (2.0, 1)], 2) is None
    assert seconds_left(Pace(), [UnderWay(1.0, 1, 5.0), UnderWay(1.0, 1, 5.0, 4)], [(1.0, 1)], 2) is None
    pace = Pace()
    pace.took(0.0, 3, 3.0)
    assert seconds_left(pace, [], [(1.0, 1)], 2) is None, "what costs nothing tells nothing"


AMOUNTS = st.just(0.0) | st.floats(0, 1e6)


@given(
    st.lists(st.tuples(AMOUNTS, st.integers(0, 9), AMOUNTS), max_size=4),
    st.lists(st.tuples(AMOUNTS, st.floats(0, 1e6), st.integers(0, 9), st.integers(0, 9)), max_size=4),
    st.lists(st.tuples(AMOUNTS, st.integers(0, 9)), max_size=5),
)
def test_it_is_a_number_of_seconds_or_none(ended, at_work, queued):
    under_way = [
        UnderWay(cost, parts, seconds, parts, tuple(seconds * n / 10 for n in range(1, 1 + min(there, parts))))
        for cost, seconds, parts, there in at_work
    ]
    pace = Pace()
    for cost, parts, seconds in ended:
        pace.took(cost, parts, seconds)
    found = seconds_left(pace, under_way, queued, 4)
    assert found is None or 0 <= found < math.inf


def test_a_pool_tells_of_one_function_by_its_own_tasks():
    with Pool(1, 1) as pool:
        for _ in range(3):
            pool.submit(Task("time:sleep", (0.5,), cost=2.0))
        pool.submit(Task("os:getpid", (), cost=1e9))
        assert pool.left("time:sleep") is None
        ended: list[Ended] = []
        while len(ended) < 1:
            ended += pool.wait(1.0)
        assert ended[0].seconds == pytest.approx(0.5, abs=0.4)
        one = pool.left("time:sleep")
        more = pool.left("time:sleep", [(200.0, 0)])
        assert one is not None
        assert more is not None
        assert 0 < one < more
        assert more - one == pytest.approx(100 * ended[0].seconds, rel=0.01)
        assert pool.left("os:getpid") is None


def test_a_run_knows_from_its_first_bundle_on(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.engine.run.cores", lambda: 1)
    monkeypatch.setenv("FAKE_SECONDS", "0.4")
    told: list[tuple[int, float | None, float]] = []
    update = Reporter.update

    def noted(self, ended, *facts):
        told.append((ended, facts[-1], time.monotonic()))
        update(self, ended, *facts)

    monkeypatch.setattr(Reporter, "update", noted)
    monkeypatch.setattr("bench.engine.run.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("bench.engine.local.LOOK_SECONDS", 0.1)
    grid = "\n".join(f"[[cells]]\nfamily='gaussian'\nsigma=0.1\nlatent={latent}\n" for latent in range(2, 8))
    carry_out(grid_of(grid), tmp_path / "r.sqlite", TASKS, workers=1)
    assert all((left is None) == (ended == 0) for ended, left, _ in told if ended < 6)
    known = [(left, at) for ended, left, at in told if left is not None and ended < 6]
    end = told[-1][2]
    assert all(0.2 < left / (end - at) < 5 for left, at in known if end - at > 0.4)
    assert known[-1][0] < known[0][0]


def test_what_is_left_is_said_roughly_and_not_when_all_have_ended():
    stream, now = io.StringIO(), [0.0]
    reporter = Reporter(stream, clock=lambda: now[0])
    reporter.start(87, 0)
    for second, ended, left in (
        (60, 0, None),
        (120, 0, 512.0),
        (180, 9, 423.0),
        (240, 80, 31.4),
        (290, 86, 0.2),
        (300, 87, 0.0),
    ):
        now[0] = second
        reporter.update(ended, 0, left=left)
        assert reporter.knows == (left is not None)
    assert stream.getvalue().splitlines() == [
        "0/87 cells",
        "0/87 cells, about 9 min left",
        "9/87 cells, 3.0 cells/min, about 7 min left",
        "80/87 cells, 20 cells/min, about 31 s left",
        "86/87 cells, 18 cells/min, about 1 s left",
        "87/87 cells, 17 cells/min",
    ]
