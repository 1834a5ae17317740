"""How numbers are written."""

from __future__ import annotations

import pytest

from bench.report import numbers
from bench.statistics.rows import Estimate, Withheld


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(1234.5, 1, "1,234.5"), (-0.25, 2, "−0.25"), (-0.001, 2, "0.00"), (float("nan"), 2, "–"), (None, 0, "–")],
)
def test_number(value: float | None, digits: int, expected: str) -> None:
    assert numbers.number(value, digits) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.05, "5 %"), (1.0, "100 %"), (0.9996, "100 %"), (0.996, "99.6 %"), (0.0, "0 %")]
)
def test_percent(share: float, expected: str) -> None:
    assert numbers.percent(share).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(9.0, "9"), (9.04, "9"), (9.96, "10"), (1.26, "1.3"), (0.214, "0.21"), (51.8, "52"), (0.2, "0.2"), (140.2, "140")],
)
def test_times(ratio: float, expected: str) -> None:
    assert numbers.times(ratio) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(61_234.0, "61,200"), (1_940_000.0, "1.94 M"), (87.46, "87.5"), (2.5e9, "2.5 G"), (None, "–")],
)
def test_rate(value: float | None, expected: str) -> None:
    assert numbers.rate(value) == expected


@pytest.mark.parametrize(
    ("place", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinal(place: int, expected: str) -> None:
    assert numbers.ordinal(place) == expected


@pytest.mark.parametrize(
    ("estimate", "unit", "bracket", "amount", "withheld"),
    [
        (Estimate(1.651, 1.629, 1.673), "bits/dim", "[1.629, 1.673]", "1.651 bits/dim [1.629, 1.673]", ""),
        (Estimate(1.651), "bits/dim", "", "1.651 bits/dim", ""),
        (
            Estimate(1.5, withheld=Withheld.IMPOSSIBLE), "bits/dim", "", "1.500 bits/dim",
            "interval withheld: reaches below 0 bits/dim",
        ),
        (
            Estimate(-2.5, withheld=Withheld.IMPOSSIBLE), "nats", "", "−2.50 nats",
            "interval withheld: reaches above 0 nats",
        ),
        (
            Estimate(1.5, withheld=Withheld.FEW_IMAGES), "bits/dim", "", "1.500 bits/dim",
            "no interval: fewer than 20 test images, or blocks of them",
        ),
    ],
)  # fmt: skip
def test_what_stands_where_an_interval_is_and_where_none_is(
    estimate: Estimate, unit: str, bracket: str, amount: str, withheld: str
) -> None:
    assert numbers.bracket(estimate, unit).replace("\u00a0", " ") == bracket
    assert numbers.amount(estimate, unit).replace("\u00a0", " ") == amount
    assert numbers.withheld(estimate, unit) == withheld
