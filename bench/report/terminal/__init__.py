"""What is said of a run in a terminal: the ranking, and the words and marks that it uses."""

from __future__ import annotations

from bench.report.terminal.ranking import ranking_text

__all__ = ["ranking_text"]
