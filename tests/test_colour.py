"""Colour goes through the whole: from a grid on patches of photographs to rows, references, pictures and the page."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.statistics.boards import boards
from bench.store import RunTables, read_run
from vae_core import data

pytestmark = pytest.mark.slow

SIZE, TESTED = 6, 52
GRID = f"""
about = "Colour, and the same in grey."
[grid]
dataset = "patches"
patch_size = {SIZE}
train_images = 300
hidden = [16]
latent = 2
epochs = 3
eval_samples = [1, 100]
test_images = {TESTED}
grey = [false, true]

[[cells]]
family = "gaussian"
sigma = 0.2
objective = "binned"

[[cells]]
family = ["beta_binomial", "bernoulli"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("colour")
    (at / "colour.toml").write_text(GRID)
    for verb in (["run", "colour.toml"], ["report", "results/colour.sqlite", "--figures", "figures"]):
        ended = subprocess.run(
            [sys.executable, "-m", "bench.cli", *verb], cwd=at, text=True, capture_output=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    return at


@pytest.fixture(scope="module")
def tables(place: Path) -> RunTables:
    return read_run(place / "results/colour.sqlite")


def test_every_cell_is_scored_over_all_colours_of_all_pixels(tables: RunTables) -> None:
    assert tables.cells["status"].tolist() == ["done"] * 6
    for cell in tables.cells.itertuples():
        dims = SIZE**2 * (1 if cell.grey else 3)
        assert cell.bits_per_dim == pytest.approx(-cell.iw_nats / (dims * math.log(2)))
    assert {(board.dims, board.made) for board in boards(tables)} == {
        (108, "patches of 6×6, 300 training images"),
        (36, "patches of 6×6, in grey, 300 training images"),
    }
    assert {board.draws for board in boards(tables)} == {26}


def test_references_have_the_colours_of_the_strip(tables: RunTables) -> None:
    """A codec sees colours as colours; and each reference there is stands on the boards of its own data."""
    rows = tables.references
    assert set(rows["status"]) == {"done"}
    strips = {
        (row.family, row.measure, bool(row.grey == 1)): json.loads(row.details)["strip"]
        for row in rows.itertuples()
        if row.family in ("png", "webp", "xz")
    }
    for family in ("png", "webp", "xz"):
        assert strips[family, "pmf-256", False] == [TESTED * SIZE, SIZE, 3]
        assert strips[family, "pmf-256", True] == [TESTED * SIZE, SIZE]
    assert all(len(board.references) >= 6 for board in boards(tables))


def test_pictures_are_those_of_the_data(tables: RunTables) -> None:
    cells = tables.cells.set_index("cell")
    for (cell, kind), images in tables.pictures.items():
        grey, binary = cells.loc[cell, "grey"] == 1, cells.loc[cell, "view"] == "binary"
        assert images.shape == (8, SIZE, SIZE, *([] if grey else [3]))
        if kind == "original" and not binary:
            patches = data.load("patches", patch_size=SIZE, train_images=300, grey=bool(grey))
            known = {image.tobytes() for image in patches.test.numpy()}
            assert all(image.tobytes() in known for image in images)


def test_the_page_shows_colour_and_says_what_it_is_of(place: Path) -> None:
    from PIL import Image

    (page,) = (place / "reports").rglob("index.html")
    text = page.read_text()
    for said in ("Levels of each colour of patches", "Grey levels of patches", "Binary colours of patches"):
        assert said in text
    assert "These are patches of two photographs" in text
    assert f"{TESTED} test images (26 blocks)" in text
    coloured = 0
    for encoded in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")).astype(int)
        coloured += int(np.ptp(pixels, axis=-1).max() > 0)
    assert coloured >= 4
    assert list((place / "figures").glob("*.svg"))
