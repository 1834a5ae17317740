"""The command line."""

from __future__ import annotations

from bench.cli.app import carry_out, main

__all__ = ["carry_out", "main"]
