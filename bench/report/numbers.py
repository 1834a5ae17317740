"""How numbers are written: digits by unit, a real minus sign, intervals in brackets, a dash for what is not there."""

from __future__ import annotations

import math

from bench.statistics.boards import Board
from bench.statistics.contests import Contest
from bench.statistics.rows import Estimate, Row, Withheld

DIGITS = {"bits/dim": 3, "nats": 2}
NOTHING = "–"


def number(value: float | None, digits: int = 2) -> str:
    """1234.5 -> '1,234.50' with a minus sign, NaN and None as a dash; never '−0.00'."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else "−" + text[1:]
    return text


def measured(value: float | None, unit: str) -> str:
    """A number of a unit, without naming it."""
    return number(value, DIGITS[unit])


def bracket(estimate: Estimate, unit: str) -> str:
    """'[1.629, 1.673]' with a space that does not break, or '' where there is no interval (`withheld` says why)."""
    low, high = estimate.low, estimate.high
    return "" if math.isnan(low) else f"[{measured(low, unit)},\u00a0{measured(high, unit)}]"


def withheld(estimate: Estimate, unit: str) -> str:
    """'interval withheld: reaches below 0 bits/dim'; '' where there is one, or none to withhold."""
    match estimate.withheld:
        case Withheld.NOTHING:
            return ""
        case Withheld.IMPOSSIBLE:
            return f"interval withheld: reaches {'above' if unit == 'nats' else 'below'} 0 {unit}"
        case _:
            return f"no interval: {estimate.withheld}"


def amount(estimate: Estimate, unit: str) -> str:
    """'1.651 bits/dim [1.629, 1.673]'; without an interval '1.651 bits/dim'."""
    return f"{measured(estimate.mean, unit)} {unit} {bracket(estimate, unit)}".rstrip()


def bound(row: Row, unit: str) -> str:
    """The value of a row: '1.629', or '≤ 1.629' where it is only known to be at least as good as that."""
    sign = "" if row.trusted else "≤ " if unit == "bits/dim" else "≥ "
    return sign + measured(row.value.mean, unit)


def percent(share: float | None) -> str:
    """0.05 -> '5 %', with a space that does not break; what is not quite all or nothing does not look so."""
    if share is None or math.isnan(share):
        return NOTHING
    text = f"{100 * share:.0f}"
    if text in ("0", "100") and share not in (0, 1):
        text = f"{100 * share:.1f}".removesuffix(".0")
    return f"{text}\u00a0%"


def times(ratio: float) -> str:
    """A ratio to two digits: '9', '1.3', '0.21', '140'."""
    return f"{float(f'{ratio:.2g}'):,g}"


def count(value: float | None) -> str:
    """A whole number with separators."""
    return number(value, 0)


def rate(value: float | None) -> str:
    """A rate to three significant digits: '61,000', '1.9 M', '87.5'."""
    if value is None or math.isnan(value):
        return NOTHING
    for size, suffix in ((1e9, " G"), (1e6, " M")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def several(amount: int, thing: str) -> str:
    """'1 seed', '3 seeds'."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    suffix = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{suffix}"


def listed(names: list[str]) -> str:
    """'', 'a', 'a and b', 'a, b and c'."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"


def all_of(part: int, whole: int) -> str:
    """'all 3', 'both', '2 of 3'."""
    return (f"all {whole}" if whole > 2 else "both") if part == whole else f"{part} of {whole}"


def tested_on(contest: Contest) -> str:
    """'300 test images', '234 test images (26 blocks)' where intervals are over blocks of images."""
    blocks = f" ({several(len(contest.blocks), 'block')})" if contest.blocks else ""
    return several(contest.images, "test image") + blocks


def drawn_by(contest: Contest) -> str:
    """What intervals are over."""
    return "blocks of test images" if contest.blocks else "test images"


def kind_of_values(board: Board) -> str:
    """'Binary pixels', 'Grey levels', of images in colour 'Levels of each colour': what scores are of."""
    coloured = board.scope.shape[2:] == (3,)
    if board.levels == 2:
        return "Binary colours" if coloured else "Binary pixels"
    return "Levels of each colour" if coloured else "Grey levels"
