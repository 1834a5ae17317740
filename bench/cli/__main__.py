"""`python -m bench.cli`."""

from __future__ import annotations

from bench.cli.app import main

main()
