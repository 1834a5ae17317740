"""The report: what a run file says, as one HTML page without network and as text for a terminal.

Reads only the store.
"""

from __future__ import annotations

from bench.report.frame import ranking
from bench.report.page import build
from bench.report.terminal import ranking_text

__all__ = ["build", "ranking", "ranking_text"]
