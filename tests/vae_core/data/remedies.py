"""Follows what a refusal advises to the letter, as a user would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vae_core import data
from vae_core.data.splits import three_ways

FORMULAS = (
    r"save (?P<formula>.+?) (?:in place of x|as images of an \.npz)",
    r"save (?!levels=)(?P<formula>.+?)(?: and state|\.$)",
    r": (?P<formula>x[.\[].+?) (?:has|leaves) ",
)


def refused(path: Path, **asked: Any) -> str:
    """The one sentence with which the data at a path are refused."""
    with pytest.raises(data.DataError) as caught:
        data.load(str(path), **asked)
    return str(caught.value)


def groups(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern that a text must have."""
    match = re.search(pattern, text)
    assert match, f"{pattern!r} is not in {text!r}"
    return match.groups()


def formula(sentence: str, x: np.ndarray) -> np.ndarray:
    """What the first formula in a sentence makes of x; x itself where there is none."""
    for pattern in FORMULAS:
        if match := re.search(pattern, sentence):
            made: np.ndarray = eval(match["formula"], {"x": x, "numpy": np})
            return made
    return x


def follow(sentence: str, x: np.ndarray, folder: Path, **asked: Any) -> data.Dataset:
    """The data set that comes of doing what the sentence says: what is to be saved is, what is to be stated is."""
    made = formula(sentence, x)
    for key in ("levels", "quantise"):
        if match := re.search(rf"state {key} = (\d+)", sentence):
            asked = {**asked, key: int(match[1])}
    if match := re.search(r"(?:save |with )levels=(\d+)", sentence):
        np.savez(folder / "mended.npz", images=made, levels=int(match[1]))
        asked = {key: value for key, value in asked.items() if key != "levels"}
        return data.load(str(folder / "mended.npz"), **asked)
    np.save(folder / "mended.npy", made)
    return data.load(str(folder / "mended.npy"), **asked)


def whole(held: data.Dataset, block: int = 1) -> np.ndarray:
    """All images in their original order."""
    flat = np.concatenate([split.numpy() for split in (held.train, held.valid, held.test)])
    return flat[np.argsort(np.concatenate(three_ways(len(flat), block)))].reshape(-1, *held.shape)
