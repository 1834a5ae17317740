"""How a run file begins, whatever has become of the rest of it."""

from __future__ import annotations

from pathlib import Path

from bench.store.schema import APPLICATION_ID


def begins_as_run(path: Path) -> bool:
    """Whether this begins as a run file does, of any format. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        head = file.read(72)
    return head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION_ID.to_bytes(4, "big")
