"""The gate that throughput tests stand on: what it passes, what it fails, and how often, on a simulated shared machine;
and once on this one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from bench.speed.gate import BLOCK_SECONDS, FEWEST_ROUNDS, ROUNDS, Look, Verdict, paired_ratios, verdict

LIMIT = 1.15


class Machine:
    """A shared machine in simulated time. Work is slowed by neighbours who come and go, by a clock rate that drifts and
    by jitter, and it stalls now and then; `unrest` scales all but the drift, 0 is a machine of one's own."""

    def __init__(self, seed: int, unrest: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.unrest = unrest
        self.now = 0.0
        self.phase = self.rng.uniform(0, 2 * math.pi)
        self.busy, self.until = False, 0.0

    def clock(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[], None]:
        """A code path that takes that long on a free machine."""

        def call() -> None:
            while self.now >= self.until:
                self.busy = not self.busy
                self.until += self.rng.exponential(0.05 if self.busy else 0.07)
            drift = math.exp(0.2 * math.sin(2 * math.pi * self.now / 15 + self.phase))
            neighbours = 1 + self.unrest * (0.33 if self.busy else 0.0)
            took = seconds * drift * neighbours * math.exp(self.unrest * 0.05 * self.rng.normal())
            stalls = self.rng.poisson(self.unrest * took / 2)
            self.now += took + self.rng.exponential(0.025, size=stalls).sum()

        return call

    def ratios(self, slower: float, rounds: int) -> list[float]:
        """Of one code path, `slower` times, over itself."""
        return paired_ratios(self.work(0.004 * slower), self.work(0.004), rounds, clock=self.clock)

    def judge(self, slower: float, rounds: int = ROUNDS) -> Verdict:
        return verdict("a over a", lambda rounds: self.ratios(slower, rounds), LIMIT, rounds)


def test_the_simulated_machine_is_as_restless_as_a_shared_one():
    """Between identical codes the median of nine rounds is off by 6–8 % at the 95th percentile, and a block's time
    alone by a third (docs/RULES.md, Speed)."""
    off = [abs(float(np.median(Machine(seed).ratios(1.0, 9))) - 1) for seed in range(400)]
    assert 0.06 <= np.quantile(off, 0.95) <= 0.08
    machine = Machine(0)
    times = []
    for _ in range(1000):
        began = machine.now
        for _ in range(5):
            machine.work(0.004)()
        times.append(machine.now - began)
    low, high = np.quantile(times, [0.05, 0.95])
    assert high / low > 1.5


def test_identical_codes_pass_a_hundred_times_of_a_hundred():
    assert [Machine(seed).judge(1.0).outcome for seed in range(100)] == ["passed"] * 100


def test_a_slowdown_by_1_3_fails_a_hundred_times_of_a_hundred():
    assert [Machine(seed).judge(1.3).outcome for seed in range(100)] == ["failed"] * 100


def test_a_very_noisy_machine_is_inconclusive():
    """Fifteen times the unrest, and few rounds: mostly the gate says that it cannot tell. It is wrong no more often
    than one end of its interval: in 40 tries once."""
    same = [Machine(seed, unrest=15).judge(1.0, FEWEST_ROUNDS).outcome for seed in range(40)]
    slower = [Machine(seed, unrest=15).judge(1.3, FEWEST_ROUNDS).outcome for seed in range(40)]
    assert same.count("inconclusive") > 20
    assert slower.count("inconclusive") > 30
    assert same.count("failed") <= 1
    assert slower.count("passed") <= 2


def test_without_noise_the_ratio_is_the_true_one():
    now = 0.0

    def work(seconds):
        def call():
            nonlocal now
            now += seconds

        return call

    assert paired_ratios(work(0.005), work(0.004), 3, clock=lambda: now) == pytest.approx([1.25] * 3)


def test_a_steady_drift_cancels_in_a_round():
    """A machine that slows down by 1 % a block: a pair A B would be off by as much."""
    now, speed = 0.0, 1.0

    def call() -> None:
        nonlocal now, speed
        now += BLOCK_SECONDS * 1.001 * speed
        speed += 0.01

    assert paired_ratios(call, call, 20, clock=lambda: now) == pytest.approx([1] * 20, abs=1e-9)


def test_the_interval_covers_the_true_ratio_at_its_rate():
    """Nominally 95 %; a few percent are lost to rounds that are not quite independent and a median that is skewed."""
    looks = [Look.at(Machine(seed).ratios(1.1, ROUNDS)) for seed in range(300)]
    assert np.mean([look.low <= 1.1 <= look.high for look in looks]) > 0.89


@pytest.mark.parametrize(
    ("looks", "outcome"),
    [
        ([(0.9, 1.1)], "passed"),
        ([(0.9, 1.2), (0.9, 1.1)], "passed"),
        ([(1.2, 1.4), (0.9, 1.1)], "passed"),
        ([(1.2, 1.4), (1.2, 1.3)], "failed"),
        ([(1.2, 1.4), (1.1, 1.3)], "inconclusive"),
        ([(1.1, 1.4), (1.2, 1.3)], "inconclusive"),
        ([(0.5, 2.0), (0.6, 1.8)], "inconclusive"),
    ],
)
def test_the_rule_of_two_looks(looks, outcome):
    assert Verdict("a over b", LIMIT, tuple(Look(1.0, low, high, 9) for low, high in looks)).outcome == outcome


def test_the_second_look_has_three_times_the_rounds_and_comes_only_where_the_first_was_no_pass():
    asked = []

    def always(ratio):
        def measure(rounds):
            asked.append(rounds)
            return [ratio] * rounds

        return measure

    assert verdict("a over b", always(1.0), LIMIT, 11).outcome == "passed"
    assert asked == [11]
    assert verdict("a over b", always(1.3), LIMIT, 11).outcome == "failed"
    assert asked == [11, 11, 33]


def test_the_message_says_what_was_compared_and_found():
    said = str(verdict("a bundle over its models in turn", lambda rounds: [1.3] * rounds, LIMIT, 9))
    assert said == (
        "a bundle over its models in turn: 1.30 [1.30, 1.30] (9 rounds), then 1.30 [1.30, 1.30] (27 rounds), "
        "at most 1.15 allowed: failed"
    )
    noisy = str(verdict("a over b", lambda rounds: [1.0, 1.3] * rounds, LIMIT, 9))
    assert noisy.endswith("inconclusive: the machine was too busy to tell, run it again")


def test_too_few_rounds_are_refused():
    with pytest.raises(ValueError, match=f"needs {FEWEST_ROUNDS} rounds or more, given 3"):
        Look.at([1.0] * 3)


def test_a_block_is_long_enough_and_the_device_is_waited_for_before_each_reading():
    events = []
    machine = Machine(0, unrest=0)
    work = machine.work(0.0001)

    def clock():
        events.append("clock")
        return machine.clock()

    def call():
        events.append("call")
        work()

    paired_ratios(call, call, 2, clock=clock, synchronise=lambda: events.append("wait"))
    readings = [place for place, event in enumerate(events) if event == "clock"]
    assert all(events[place - 1] == "wait" for place in readings)
    of_rounds = readings[-16:]
    calls = [events[start:stop].count("call") for start, stop in zip(of_rounds[::2], of_rounds[1::2], strict=True)]
    assert min(calls) * 0.0001 >= BLOCK_SECONDS


def test_a_clock_that_does_not_resolve_a_call_is_no_trouble():
    now = 0.0

    def call() -> None:
        nonlocal now
        now += 1e-6

    assert paired_ratios(call, call, 2, clock=lambda: math.floor(now * 1e3) / 1e3) == pytest.approx([1, 1], abs=0.2)


@pytest.mark.slow
def test_on_this_machine_a_busy_loop_against_itself_and_against_a_longer_one():
    """Real time. A machine too busy to tell is no failure of the gate; a wrong answer is."""

    def loop(turns):
        return lambda: sum(range(turns))

    def judged(turns):
        return verdict("loops", lambda rounds: paired_ratios(loop(turns), loop(20_000), rounds), LIMIT, 9).outcome

    began = time.perf_counter()
    assert judged(20_000) != "failed"
    assert judged(40_000) != "passed"
    assert time.perf_counter() - began > 45 * 4 * BLOCK_SECONDS
