"""Networks that this house has not: a file of somebody's own, and one more in vae_core/networks. What is said of them
follows from their own file, and from what the run recorded once it is gone."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.engine.plugins import network_cards, network_facts
from bench.grid.cell import Cell
from bench.grid.families import architectures
from bench.grid.read import parse_grid
from bench.report.tables.drawers.command import Source
from bench.store import RunTables
from tests.bench.report.planted import of, planted
from tests.bench.report.runs import said
from tests.bench.report.test_scope import plain
from tests.vae_core.networks.folders import beside
from vae_core import networks

OWN = """
from torch import nn

class Encoder(nn.Module):
    def __init__(self, shape, latent{asked}): ...

class Decoder(nn.Module):
    def __init__(self, latent, outputs): ...
"""
#: files of vae_core/networks, each made of a network that is there
FOLDER = {
    # what is said of the perceptron is not said of it: neither its name, nor that its widths are all of it
    "gated": """
from vae_core.networks.mlp import MLP

class Gated(MLP):
    reads = ("hidden", "activation", "latent", "depth")
""",
    "unet": """
from vae_core.networks.conv import Convolutional

class UNet(Convolutional):
    reads = ("latent", "widths", "dropout")
    spoken = "U-Net"
""",
    "affine": """
from vae_core.networks.mlp import MLP

class Affine(MLP):
    reads = ("latent",)
    spoken = "affine map"
    dense = True
""",
}
CHANGED = """
from vae_core.networks.mlp import MLP

class Changed(MLP):
    reads = ("latent", "kernel", "normalisation")
    spoken = "other one"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of networks, beside the shipped one."""
    planted_in = tmp_path / "networks"
    planted_in.mkdir()
    for name, text in FOLDER.items():
        (planted_in / f"{name}.py").write_text(text)
    with beside(planted_in):
        yield planted_in


def own(folder: Path, name: str = "mine.py", *asked: str) -> str:
    """A file with a network that looks at these keys and at the size of the latent."""
    path = folder / name
    path.write_text(OWN.format(asked="".join(f", {key}" for key in asked)))
    return str(path)


def cells_of(text: str) -> tuple[Cell, ...]:
    return parse_grid(f"[grid]\nfamily = ['categorical', 'beta_binomial']\n{text}\n", "own", "own.toml").cells


def trained(cells: tuple[Cell, ...], *, recorded: bool = True) -> RunTables:
    """A fake run with the settings of cells, the first half of them of its first family; `recorded`: with what a run
    of today says of its networks."""
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1)])
    first, last = cells[0], cells[-1]
    columns: dict[str, Any] = {}
    for key in ("network", "hidden", "activation", "latent", "widths", "depth", "kernel", "normalisation", "dropout"):
        values = [getattr(cell, key) for cell in (first, last)]
        texts = [",".join(map(str, value)) if isinstance(value, tuple) else value for value in values]
        columns[key] = np.where(tables.cells["family"] == "categorical", *texts)
    if first.tune:
        columns["tune"] = json.dumps({key: list(values) for key, values in first.tune.items()})
    meta = dict(tables.meta) | ({"networks": network_cards(cells, network_facts(cells))} if recorded else {})
    return dataclasses.replace(tables, cells=tables.cells.assign(**columns), meta=meta)


def sentence(tables: RunTables) -> str:
    """What is said of the network, in the scope; and the quote says the same."""
    text = plain(said(tables).scope).partition("images), ")[2].partition(", trained for")[0]
    assert f"each a VAE with {text}, trained for" in plain(said(tables).quote)
    return text


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("network = 'gated'", "a tanh gated network, latent 10, with a hidden layer of 200"),
        ("network = 'gated'\ndepth = 3\nhidden = [64, 32]\nactivation = 'relu'",
         "a relu gated network, latent 10, with hidden layers 64–32, depth 3"),
        ("network = 'unet'", "a U-Net, latent 10, widths 32–64"),
        ("network = 'unet'\nwidths = [8]\ndropout = 0.25\nlatent = 3", "a U-Net, latent 3, widths 8, dropout 0.25"),
        ("network = 'affine'", "an affine map, latent 10"),
        ("network = 'mlp'", "a 64–200–10 tanh MLP"),
        ("network = 'mlp'\nhidden = []", "a 64–10 tanh MLP"),
        ("network = 'conv'\nhidden = [9]\nkernel = 5",
         "a tanh convolutional network, latent 10, with a hidden layer of 9, widths 32–64, kernel 5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("changed", [False, True])
def test_a_network_of_the_folder_is_said_as_its_file_says(lines: str, text: str, changed: bool, folder: Path) -> None:
    """As it said when the run was made: the file may be another when the report is."""
    tables = trained(cells_of(lines))
    if changed:
        for name in FOLDER:
            (folder / f"{name}.py").write_text(CHANGED)
            del sys.modules[f"vae_core.networks.{name}"]
        networks._base._networks.cache_clear()
        assert networks.get("unet").spoken == "other one"
    assert sentence(tables) == text


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("reads", "lines", "text"),
    [
        ((), "", "a network of mine.py, latent 10"),
        (("hidden",), "hidden = [9, 8]", "a network of mine.py, latent 10, with hidden layers 9–8"),
        (("kernel", "depth"), "kernel = 5\ndepth = 2", "a network of mine.py, latent 10, depth 2, kernel 5"),
        (("activation", "widths"), "", "a tanh network of mine.py, latent 10, widths 32–64"),
    ],
)
def test_of_ones_own_network_no_more_is_said_than_it_looks_at(
    reads: tuple[str, ...], lines: str, text: str, gone: bool, tmp_path: Path
) -> None:
    path = own(tmp_path, "mine.py", *reads)
    tables = trained(cells_of(f"network = '{path}'\n{lines}"))
    if gone:
        Path(path).unlink()
    assert sentence(tables) == text


def test_of_several_networks_a_setting_is_said_of_those_that_look_at_it(folder: Path, tmp_path: Path) -> None:
    first, *_, last = cells_of(f"network = ['mlp', '{own(tmp_path)}']\nhidden = [64, 32]")
    assert sentence(trained((first, last))) == (
        "an MLP or network of mine.py, activation tanh (MLP), latent 10, with hidden layers 64–32 (MLP)"
    )
    first, *_, last = cells_of("network = ['gated', 'unet']\nwidths = [8]\ndropout = 0.1\ndepth = 2")
    assert sentence(trained((first, last))) == (
        "a gated network or U-Net, activation tanh (gated network), latent 10, with a hidden layer of 200 (gated "
        "network), widths 8 (U-Net), depth 2 (gated network), dropout 0.1 (U-Net)"
    )


def test_a_run_of_before_says_of_ones_own_network_what_was_asked_of_it(folder: Path, tmp_path: Path) -> None:
    """What its file reads is not recorded, and may be another by now; what a grid does not give may be unread."""
    cells = cells_of(f"network = '{own(tmp_path, 'mine.py', 'hidden', 'kernel')}'\nkernel = 5")
    tables = trained(cells, recorded=False)
    assert sentence(tables) == "a network of mine.py, latent 10, kernel 5"
    facts = {"file": "mine.py", "sha256": "0" * 64}
    of_its_file = dataclasses.replace(tables, meta={**tables.meta, "networks": {cells[0].network: facts}})
    assert sentence(of_its_file) == "a network of mine.py, latent 10, kernel 5"
    assert sentence(trained(cells_of("network = 'unet'"), recorded=False)) == "a U-Net, latent 10, widths 32–64"


def test_one_of_nowhere_is_said_by_its_name() -> None:
    tables = trained(cells_of("latent = 3"), recorded=False)
    nowhere = tables.cells.assign(network="wave_net", depth=4)
    text = sentence(dataclasses.replace(tables, cells=nowhere))
    assert text == "a wave net network, latent 3, depth 4"


def test_of_a_tuned_network_all_are_known(folder: Path) -> None:
    tables = trained(cells_of("[tune]\nnetwork = ['affine', 'unet']\nwidths = [[8], [16]]"))
    assert sentence(tables) == "a network, latent 10"
    assert "network and widths tuned" in plain(said(tables).scope)


def test_what_a_run_records_goes_through_its_file_as_plain_values(folder: Path, tmp_path: Path) -> None:
    path = own(tmp_path, "mine.py", "depth")
    cells = cells_of(f"network = ['unet', 'mlp', '{path}']")
    facts = json.loads(json.dumps(network_cards(cells, network_facts(cells))))
    assert facts["unet"] == {"spoken": "U-Net", "reads": ["latent", "widths", "dropout"], "dense": False}
    assert facts["mlp"]["dense"]
    assert len(facts[path]["sha256"]) == 64
    assert architectures.spoken(path, facts).reads == frozenset({"network", "latent", "depth"})
    hostile = {"x": {"spoken": "a\x1b[2Jb\u2028c", "reads": []}}
    assert architectures.spoken("x", hostile).said == "a?[2Jb?c"


def test_what_a_network_looks_at_is_told_in_one_way(folder: Path, tmp_path: Path) -> None:
    """Of its file as it is here, of what a run recorded of it, and of what is told of it where neither is known."""
    path = own(tmp_path, "mine.py", "depth")
    cells = cells_of(f"network = ['unet', 'mlp', '{path}']")
    facts = network_cards(cells, network_facts(cells))
    for name in ("unet", "mlp", path):
        assert architectures.looks_at(name) == architectures.spoken(name, facts).reads
        assert architectures.spoken(name, facts).looks_at(["kernel"]) == architectures.looks_at(name)
    assert architectures.looks_at(path) == {"network", "latent", "depth"}
    unknown = architectures.spoken("wave_net", {})
    assert unknown.reads is None
    assert unknown.looks_at(["kernel"]) == {"network", "latent", "kernel"}
    assert unknown.looks_at([]) == architectures.ALWAYS


# -- the command that computes a configuration again -------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    "lines",
    [
        "network = ['gated', 'unet', 'affine']\nwidths = [8]\ndepth = [1, 2]\ndropout = 0.1",
        "network = ['mlp', '{own}']\nkernel = 5\nhidden = [[9], [8, 7]]",
        "network = '{own}'",
        "depth = 2\n[tune]\nnetwork = ['gated', 'affine']\nlatent = [2, 3]",
        "kernel = 5\n[tune]\nnetwork = ['affine', '{own}']",
    ],
)
def test_the_command_gives_what_a_network_looks_at_and_nothing_else(
    lines: str, recorded: bool, folder: Path, tmp_path: Path
) -> None:
    path = own(tmp_path, "mine.py", "kernel", "depth")
    text = f"[grid]\nfamily = 'categorical'\n{lines.replace('{own}', path)}\n"
    grid = parse_grid(text, "own", "own.toml")
    cards = network_cards(grid.cells, network_facts(grid.cells)) if recorded else {}
    specs: dict[str, tuple[dict[str, Any], ...]] = {cell.config: (cell.spec,) for cell in grid.cells}
    source = Source(grid.name, grid.text, grid.overrides, {}, specs, cards)
    for cell in grid.cells:
        again = source.again(cell.config, {})
        assert again is not None
        assert again.command
        (found,) = parse_grid(again.specification, "again", "again.toml").cells
        assert found.id == cell.id
        given = {line.partition(" = ")[0] for line in again.specification.splitlines()}
        reads = {key for name in cell.tune.get("network", (cell.network,)) for key in networks.get(name).reads}
        settings = {"hidden", "activation", "widths", "depth", "kernel", "normalisation", "dropout"}
        assert given & settings == reads & settings


def test_the_specification_is_that_of_the_run_where_the_file_is_gone(tmp_path: Path) -> None:
    path = own(tmp_path, "mine.py", "widths", "dropout")
    grid = parse_grid(f"[grid]\nfamily = 'categorical'\nnetwork = '{path}'\n", "own", "own.toml")
    cards = network_cards(grid.cells, network_facts(grid.cells))
    Path(path).unlink()
    (cell,) = grid.cells
    again = Source(grid.name, grid.text, (), {}, {cell.config: (cell.spec,)}, cards).again(cell.config, {})
    assert again is not None
    assert "\nwidths = [32, 64]\n" in again.specification, "which it looks at, though it is as it always is"
    assert "\ndropout = 0.0\n" in again.specification
    assert "\nhidden = " not in again.specification
    assert again.command == "", "which nobody could carry out here"
