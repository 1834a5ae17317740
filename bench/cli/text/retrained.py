"""What is said of two runs whose settings differ on purpose, as blocks for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.cli.text.lines import LISTED, hanging
from bench.report.two_runs.settings import ignored, sentences, turned
from bench.statistics.two_runs.retrained import End, Retrained

ENDS = "AB"  # the head of the column of marks: one for A, one for B
MARKS = {End.ENDED: "·", End.LIMIT: "|", End.IMPROVING: "↑", End.UNKNOWN: "?"}
LEGEND = (
    "AB: how training ended in A and in B: · its bound had stopped rising, ↑ still improving (in some seed), | at the "
    "limit of its epochs, ? not recorded."
)


def marks(changed: Retrained) -> Mapping[str, str]:
    """How each configuration ended, a letter a run."""
    ends = changed.configurations
    return {config: MARKS[a] + MARKS[b] for config, a, b in zip(ends.index, ends["before"], ends["after"], strict=True)}


def ignored_lines(changed: Retrained, width: int) -> list[str]:
    """What was ignored, and what of it differs."""
    return hanging("   ", ignored(changed), width)


def retrained_blocks(changed: Retrained, width: int) -> Iterator[list[str]]:
    """What the other settings changed; nothing where no configuration could be compared."""
    said = sentences(changed)
    if not said:
        return
    lines = ["What changed with the settings:"]
    for text in said:
        lines += hanging("  ", text, width)
    for pair in changed.turned[:LISTED]:
        lines += [f"    {line}" for line in hanging("", turned(pair), width - 4)]
    if len(changed.turned) > LISTED:
        lines.append(f"    and {len(changed.turned) - LISTED} more")
    yield lines
