"""Grid files: TOML tables of settings and axes, expanded into cells."""

from __future__ import annotations

from bench.cell import Cell, Described, labels

__all__ = ["Cell", "Described", "labels"]
