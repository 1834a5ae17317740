"""The options, the fixtures and the summary of `make throughput`.

make throughput                             compare, count, record
make throughput ARGS=--update-baseline      the same, and write results/reference/throughput/<device>.json
make throughput ARGS="--device cpu"         where there is a GPU too
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from bench.speed.gate import ROUNDS, SECOND_LOOK, Look, Verdict, paired_ratios, verdict
from tests.throughput.baselines import ROOT, Baseline, device_name, machine_facts

Call = Callable[[], Any]


@dataclass
class Measured:
    """All that this session measured, for the summary and for a new baseline."""

    kind: str
    updating: bool
    baseline: Baseline
    verdicts: dict[str, Verdict] = field(default_factory=dict)  #: by what was compared
    looks: dict[str, Look] = field(default_factory=dict)  #: ratios that are only recorded
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, tuple[float, str]] = field(default_factory=dict)  #: (a second, of what)
    began: float = field(default_factory=time.perf_counter)

    def look(self, a: Call, b: Call, rounds: int) -> list[float]:
        synchronise = torch.cuda.synchronize if self.kind == "cuda" else lambda: None
        return paired_ratios(a, b, rounds, synchronise=synchronise)

    def compare(self, what: str, a: Call, b: Call, bound: float) -> None:
        """Fails where a takes more than `bound` times b's time, or more than this device's recorded ratio allows; skips
        where that cannot be told. An update holds it to `bound` alone, with the rounds of a second look."""
        limit = bound if self.updating else self.baseline.ratio_limit(what, bound)
        rounds = SECOND_LOOK * ROUNDS if self.updating else ROUNDS
        found = verdict(what, lambda count: self.look(a, b, count), limit, rounds)
        self.verdicts[what] = found
        if found.outcome == "failed":
            pytest.fail(str(found), pytrace=False)
        if found.outcome == "inconclusive":
            pytest.skip(str(found))

    def record_ratio(self, what: str, a: Call, b: Call, rounds: int = 9) -> None:
        """Measures only."""
        self.looks[what] = Look.at(self.look(a, b, rounds))

    def count(self, what: str, found: int) -> None:
        """Fails where a count exceeds the recorded one by more than its allowance; skips where none is recorded."""
        self.counts[what] = found
        if self.updating:
            return
        limit = self.baseline.count_limit(what)
        if limit is None:
            pytest.skip("no count is recorded: make throughput ARGS=--update-baseline")
        recorded, made_with = self.baseline.counts[what], self.baseline.machine["torch"]
        if found > limit:
            pytest.fail(
                f"{what}: {found:,}, at most {limit:,} allowed ({recorded:,} recorded with torch {made_with})",
                pytrace=False,
            )

    def rate(self, what: str, benchmark: Any, amount: int, unit: str) -> None:
        """Keeps a rate that pytest-benchmark measured: recorded, never asserted."""
        if benchmark.stats is None:  # --benchmark-disable
            return
        value = amount / benchmark.stats.stats.median
        benchmark.extra_info[f"{unit}_per_s"] = value
        self.rates[what] = (value, unit)

    def write(self) -> str:
        """The new baseline's path, from the checkout's root."""
        sure = {what: found.last for what, found in self.verdicts.items() if found.outcome == "passed"}
        rates = {f"{what}, {unit}/s": value for what, (value, unit) in self.rates.items()}
        new = self.baseline.updated(sure | self.looks, self.counts, rates, machine_facts(self.kind))
        return str(new.write(device_name(self.kind)).relative_to(ROOT))


MEASURED = pytest.StashKey[Measured]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-baseline",
        action="store_true",
        help="write what is measured to results/reference/throughput/<device>.json",
    )
    parser.addoption("--device", choices=["cpu", "cuda"], help="where to measure; cuda where there is one")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_quiet = True  # its table is twice as wide as a terminal; the summary below has the rates
    kind = config.getoption("--device") or ("cuda" if torch.cuda.is_available() else "cpu")
    baseline = Baseline.of(device_name(kind), kind)
    config.stash[MEASURED] = Measured(kind, config.getoption("--update-baseline"), baseline)


@pytest.fixture
def measured(pytestconfig: pytest.Config) -> Measured:
    return pytestconfig.stash[MEASURED]


@pytest.fixture
def device(measured: Measured) -> str:
    return measured.kind


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash[MEASURED]
    threads = torch.get_num_threads()
    terminalreporter.section("throughput", "=")
    write = terminalreporter.write_line
    write(f"{device_name(found.kind)}, {threads} thread{'s' * (threads > 1)}")
    if found.verdicts or found.looks:
        write("")
        write(f"{'time of one code path over another':43} {'ratio [95 %]':18} {'limit':5} verdict")
        for what, own in found.verdicts.items():
            write(f"{_cut(what)} {_interval(own.last)} {own.limit:5.2f} {own.outcome}")
        for what, look in found.looks.items():
            write(f"{_cut(what)} {_interval(look)} {'':5} recorded")
    if found.counts:
        write("")
        write(f"{'counts':43} {'now':>13} {'recorded':>13}")
        for what, count in found.counts.items():
            write(f"{_cut(what)} {count:13,} {_recorded(found, what, count)}")
    if found.rates:
        write("")
        write("rates, recorded and never asserted")
        for what, (value, unit) in found.rates.items():
            write(f"{_cut(what)} {float(f'{value:.3g}'):13,.0f} {unit}/s")
    outcomes = [own.outcome for own in found.verdicts.values()]
    write("")
    write(
        f"{outcomes.count('passed')} ratios passed, {outcomes.count('failed')} failed, "
        f"{outcomes.count('inconclusive')} inconclusive; {time.perf_counter() - found.began:.0f} s"
    )
    if found.updating:
        write(f"written: {found.write()}")


def _cut(what: str, width: int = 43) -> str:
    return what.ljust(width) if len(what) <= width else what[: width - 1] + "…"


def _interval(look: Look) -> str:
    ratio, low, high = (f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in (look.ratio, look.low, look.high))
    return f"{ratio} [{low}, {high}]".ljust(18)


def _recorded(found: Measured, what: str, count: int) -> str:
    recorded = found.baseline.counts.get(what)
    if recorded is None:
        return f"{'none':>13}"
    return f"{recorded:13,}{'  fewer: record it' if count < recorded else ''}"
