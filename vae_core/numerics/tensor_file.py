"""Named arrays and facts about them in one file: a safetensors file that says what it is and can be checked.

Any program that reads safetensors reads the arrays. The header's metadata hold the format of the facts, each fact as
JSON under its name, and a checksum of both. No torch here: who copies a file needs none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SUFFIX = ".safetensors"
#: of the facts that vae_core.training.weights writes; raised when a reader of before could misread them
FORMAT = 2
#: those that are read; in the first a learned σ had another floor (vae_core.training.weights)
READ = ("1", "2")
_MARK, _CHECKSUM = "vae_core.format", "vae_core.sha256"
_LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors format


def write(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Writes a file in one step: beside its place, and moved there when it is whole. Raises OSError."""
    from safetensors.numpy import save

    laid_out = {name: np.array(array, order="C") for name, array in arrays.items()}
    texts = {name: json.dumps(fact, ensure_ascii=False, sort_keys=True) for name, fact in facts.items()}
    metadata = {_MARK: str(FORMAT), _CHECKSUM: _checksum(laid_out, texts), **texts}
    part = path.with_name(f".{path.name}.new")
    try:
        part.write_bytes(save(laid_out, metadata))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the facts of a file, its format among them. Raises ValueError, one sentence, where it cannot
    be read, is none of these files or of a newer format, or is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        metadata = _metadata(path)
        if metadata is None:
            raise ValueError(f"{path} is no model file: vae-bench model and vae_core.training.save_model write such")
        if metadata[_MARK] not in READ:
            raise ValueError(
                f"{path} was written by another version (its format is {metadata[_MARK]}, this one's {FORMAT}): read "
                "it with that version"
            )
        arrays = load(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): take another copy of it") from None
    texts = {name: text for name, text in metadata.items() if name not in (_MARK, _CHECKSUM)}
    if metadata.get(_CHECKSUM) != _checksum(arrays, texts):
        raise ValueError(f"{path} is damaged (its checksum is another): take another copy of it")
    return arrays, {name: json.loads(text) for name, text in texts.items()} | {"format": int(metadata[_MARK])}


def is_one(path: Path) -> bool:
    """Whether this is such a file, by its header: of any format, and though the rest be damaged."""
    try:
        return path.is_file() and _metadata(path) is not None
    except OSError:
        return False


def _metadata(path: Path) -> dict[str, str] | None:
    """The header's metadata; None where it is none of ours. Raises OSError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length)) if 0 < length <= _LONGEST_HEADER else None
        except (ValueError, RecursionError):  # the second of what is nested deeper than any header
            return None
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) and _MARK in found else None


def _checksum(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(texts.items()), ensure_ascii=False).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
