"""Why a bound is not ranked, in words."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.numbers import listed, measured
from bench.statistics.trust import KHAT_NEEDS, Against, Doubt


def caution(doubts: Iterable[Doubt], unit: str) -> str:
    """All that speaks against a bound of a board in this unit; '' where nothing does."""
    return listed([_phrase(doubt, unit) for doubt in doubts])


def _phrase(doubt: Doubt, unit: str) -> str:
    match doubt.against:
        case Against.TOO_FEW_SAMPLES:
            return f"too few samples to judge (L = {doubt.amount:.0f}; k̂ needs {KHAT_NEEDS})"
        case Against.NO_KHAT:
            return "its weights have no k̂ to judge them by"
        case Against.BAD_KHAT:
            return f"k̂ bad in {100 * doubt.amount:.0f} % of images"
        case Against.FEW_EFFECTIVE:
            return f"{doubt.amount:.1f} effective samples"
        case Against.STILL_RISING:
            return f"gains {measured(doubt.amount, unit)} {unit} per doubling of L"
