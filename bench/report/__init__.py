"""The report: what a run file says, as one HTML page without network, as text for a terminal, as a summary in Markdown,
and as files of figures.

Reads only the store.
"""

from __future__ import annotations

from bench.report.figures import write as write_figures
from bench.report.frame import ranking
from bench.report.page import build
from bench.report.terminal import ranking_text
from bench.report.terminal.markdown import markdown

__all__ = ["build", "markdown", "ranking", "ranking_text", "write_figures"]
