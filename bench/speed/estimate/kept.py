"""Counts kept on disk between estimates, in the user's cache: a file for each kind that was counted, under the digest
of the kind, the device's kind, the code that counts and is counted, and the version of torch. A cache that is damaged,
or cannot be read or written, is no cache: what is wanted is counted."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.speed.estimate.counts import EvaluationCounts, FitCounts, PassCounts, Sized, TrainingCounts
from bench.speed.estimate.tally import Tally

ROOT = Path(__file__).resolve().parents[3]
CODE = ("vae_core", "bench/speed/estimate", "bench/engine/worker")
KINDS = {kind.__name__: kind for kind in (TrainingCounts, EvaluationCounts, PassCounts, FitCounts, Sized)}


def folder() -> Path:
    """Where they are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae-bench" / "counts"


@functools.cache
def code() -> str:
    """A digest of all that decides a count, kinds apart."""
    digest = hashlib.sha256(version("torch").encode())
    for path in sorted(path for part in CODE for path in (ROOT / part).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def find(key: str) -> Any:
    """What was counted under the key; None where nothing is kept that can be read."""
    try:
        digest, _, text = _path(key).read_text(encoding="utf-8").partition("\n")
        return _decoded(json.loads(text)) if digest == digest_of(text) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def keep(key: str, counts: Any) -> None:
    """Keeps it, where that can be done."""
    text = json.dumps(_encoded(counts))
    put(_path(key), f"{digest_of(text)}\n{text}")


def put(path: Path, text: str) -> None:
    """A file whole or not at all, where that can be done."""
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as part:
            part.write(text)
        Path(part.name).replace(path)
    except OSError:
        if part is not None:
            Path(part.name).unlink(missing_ok=True)


def _path(key: str) -> Path:
    return folder() / f"{digest_of(f'{code()} {key}')}.json"


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _encoded(value: Any) -> Any:
    if isinstance(value, Tally):
        return {"Tally": dict(value.amounts)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {type(value).__name__: fields}
    return [_encoded(one) for one in value] if isinstance(value, tuple) else value


def _decoded(value: Any) -> Any:
    """Raises ValueError, TypeError, KeyError or AttributeError for what `_encoded` has not made."""
    if isinstance(value, list):
        return tuple(map(_decoded, value))
    if not isinstance(value, dict):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError("no number")
        return value
    ((name, fields),) = value.items()
    if name == "Tally":
        return Tally({key: float(amount) for key, amount in fields.items()})
    return KINDS[name](**{key: _decoded(one) for key, one in fields.items()})
