"""Networks of a run: which are looked at before there is work, and what its file says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.engine.opening import opening
from bench.grid.errors import on_stderr
from bench.store import read_run
from tests.bench.engine.fake_worker import TASKS
from tests.bench.engine.test_run import carry_out, diary, grid_of
from tests.vae_core.networks.folders import beside
from tests.vae_core.networks.test_own import written

__all__ = ["diary"]  # a fixture
MADE_OF_IT = "from vae_core.networks.mlp import MLP\n\nclass One(MLP):\n    "
FOLDER = {
    "calm": f'{MADE_OF_IT}spoken = "calm one"\n',
    "choosy": f"{MADE_OF_IT}@staticmethod\n    def fit(architecture, shape):\n        raise ValueError('too small')\n",
}


class Heard:
    """A pool that carries out nothing, and hears what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def call(self, plainly: str, function: str, *arguments: Any) -> dict[str, Any]:
        self.asked.append((function, *arguments))
        return {"checksum": "c0ffee00", "shape": (8, 8), "levels": 17}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    planted_in = tmp_path / "networks"
    planted_in.mkdir()
    for name, text in FOLDER.items():
        (planted_in / f"{name}.py").write_text(text)
    return planted_in


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("network = ['mlp', 'calm']", []),  # which are built for images of any shape
        ("network = ['mlp', 'choosy', 'calm', 'conv']", ["choosy", "conv"]),
        ("network = ['mlp', '{own}']", ["own.py"]),
        ("[tune]\nnetwork = ['mlp', 'choosy']", ["mlp"]),  # the cell, whose candidates are looked at
        ("[tune]\nnetwork = ['mlp', 'calm']", []),
    ],
)
def test_a_network_is_looked_at_where_it_may_refuse_images_whatever_its_name(
    lines: str, wanted: list[str], folder: Path, tmp_path: Path
) -> None:
    with beside(folder):
        grid = grid_of(f"[grid]\nfamily='gaussian'\nsigma=0.1\n{lines.replace('{own}', written(tmp_path))}\n")
        pool = Heard()
        with opening(grid, tmp_path / "r.sqlite", TASKS, say=on_stderr) as opened:
            opened.examine(pool, "cpu", grid.cells)  # type: ignore[arg-type]
    looked = [cell for function, *rest in pool.asked if function == TASKS.networks for cell in rest[0]]
    assert sorted(Path(cell.network).name for cell in looked) == wanted


def test_a_run_file_says_of_every_network_how_it_is_spoken_of(folder: Path, tmp_path: Path, diary: object) -> None:
    own, path = written(tmp_path, ("shape, latent", "shape, latent, kernel")), tmp_path / "r.sqlite"
    text = "[grid]\nfamily='gaussian'\nsigma=0.1\nnetwork = "
    with beside(folder):
        carry_out(grid_of(f"{text}['mlp', 'calm']\n"), path)
        first = read_run(path).meta["networks"]
        assert first["mlp"] == {"spoken": "MLP", "reads": ["hidden", "activation", "latent", "dropout"], "dense": True}
        assert first["calm"] == {**first["mlp"], "spoken": "calm one", "dense": False}
        carry_out(grid_of(f"{text}['calm', '{own}']\n"), path)
        tables = read_run(path)
        said = tables.meta["networks"]
        assert said.keys() == {"mlp", "calm", own}, "with what a grid before asked for"
        assert said[own]["reads"] == ["latent", "kernel"]
        assert said[own]["file"] == "own.py"
        assert len(said[own]["sha256"]) == 64
        *_, last = tables.provenance
        assert last["networks"].keys() == {own}, "the code that is not this house's"
