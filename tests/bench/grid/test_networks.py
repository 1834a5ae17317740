"""The keys of a grid for networks: what each takes, which cells they make, and what changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.engine.plugins import network_facts
from bench.engine.worker.from_cell import architecture_of
from bench.engine.worker.networks import inspect_networks
from bench.grid.cell import Cell
from bench.grid.read import GridError, parse_grid
from tests.vae_core.networks.test_own import SMALL
from vae_core.laws import LawBroken

PLAIN = '[grid]\nfamily = "gaussian"\nsigma = 0.2\n'


def cells_of(text: str, *overrides: str) -> tuple[Cell, ...]:
    return parse_grid(text, "test", "test.toml", overrides).cells


def test_what_a_network_does_not_look_at_makes_no_cells() -> None:
    """A perceptron among networks of several channels is one cell, and the one that it was before."""
    cells = cells_of(PLAIN + 'network = ["mlp", "conv"]\nwidths = [[8], [8, 16]]\nkernel = 5\n')
    assert [(cell.network, cell.widths, cell.kernel) for cell in cells] == [
        ("mlp", (32, 64), 3),
        ("conv", (8,), 5),
        ("conv", (8, 16), 5),
    ]
    assert cells[0].id == cells_of(PLAIN)[0].id
    assert "-conv-" in cells[1].id
    assert len({cell.id for cell in cells}) == 3


def test_every_key_reaches_the_network() -> None:
    given = {"hidden": [9], "widths": [4, 8], "depth": 2, "kernel": 5, "normalisation": "layer", "dropout": 0.25}
    (cell,) = cells_of(PLAIN, 'network="resnet"', *(f"{key}={json.dumps(value)}" for key, value in given.items()))
    asked = architecture_of(cell)
    assert {key: getattr(asked, key) for key in given} == {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("kernel = 5", r'kernel = 5 changes nothing of network = "mlp"; remove it, or take a network that looks at it'),
        ("widths = [8, 8]", r'widths = \[8, 8\] changes nothing of network = "mlp"'),
        (f'network = "{SMALL}"\nkernel = 5', "kernel = 5 changes nothing of network = .*small.py"),
        ('network = "cnv"', "network takes one of conv, mlp, resnet, or the path of a .py with your own"),
        ('network = "none.py"', "there is no network 'none.py': give the path of a .py that is there, or a name"),
        ('network = "conv"\nwidths = []', r"widths = \[\], but widths takes a list of channels"),
        ('network = "conv"\nkernel = 1', "kernel = 1, but kernel takes a whole number of pixels from 2 to 100"),
        ('network = "conv"\ndepth = 0', "depth = 0, but depth takes a whole number of layers a stage from 1 to 100"),
        ('network = "mlp"\ndropout = 1.0', "dropout = 1.0, but dropout takes a number from 0 .none. to below 1"),
        ('network = "resnet"\nnormalisation = "batch"', "normalisation takes one of usual, none, group, layer"),
        ('network = "resnet"\nwidths = [2]', r"widths=\[2\] are too few to be normalised"),
        ("[tune]\ndepth = [1, 2]", r'\[tune\]: depth = \[1, 2\] changes nothing of network = "mlp"'),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_a_sentence(lines: str, said: str) -> None:
    with pytest.raises(GridError, match=said) as refused:
        cells_of(PLAIN + lines + "\n")
    assert len(str(refused.value)) <= 280


def test_a_key_of_the_file_is_no_fault_of_a_network_that_is_put_in_its_place() -> None:
    """Any grid can be run with one's own network."""
    (cell,) = cells_of(PLAIN + 'network = "conv"\nkernel = 5\nactivation = "relu"\n', f'network="{SMALL}"')
    assert (cell.network, cell.kernel, cell.activation) == (SMALL, 3, "tanh")
    assert "-small-" in cell.id
    assert "/" not in cell.id
    with pytest.raises(GridError, match="--set: kernel = 5 changes nothing"):
        cells_of(PLAIN, f'network="{SMALL}"', "kernel=5")


def test_a_network_can_be_tuned() -> None:
    (cell,) = cells_of(PLAIN + '[tune]\nnetwork = ["mlp", "conv"]\nkernel = [3, 5]\n')
    assert cell.tried == 4
    assert {architecture_of(cell.settled(values)).network for values in cell.candidates} == {"mlp", "conv"}


@pytest.mark.parametrize(
    ("lines", "shape", "said"),
    [
        ('network = "conv"\nwidths = [4, 4, 4, 4]', (8, 8), "images of 8 x 8 are too small .*: list 3"),
        ('[tune]\nnetwork = ["mlp", "resnet"]\nwidths = [[4], [4, 4, 4]]', (4, 9), "images of 4 x 9 are too small"),
    ],
)  # fmt: skip
def test_images_too_small_are_refused_before_there_is_work(lines: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        inspect_networks(cells_of(PLAIN + lines + "\n"), shape, 17)


def test_a_network_of_ones_own_is_held_to_the_laws_before_there_is_work(tmp_path: Path) -> None:
    assert inspect_networks(cells_of(PLAIN, f'network="{SMALL}"'), (5, 4, 3), 17) == {"networks": 1}
    beside = tmp_path / "beside.py"
    beside.write_text(Path(SMALL).read_text().replace("h = self.body(x)", "h = self.body(x - x.mean(0))"))
    (cell,) = cells_of(PLAIN, f'network="{beside}"')
    with pytest.raises(LawBroken, match=r"of beside.py the encoder, .* depends on its neighbours in the batch"):
        inspect_networks([cell], (5, 4, 3), 17)
    with pytest.raises(ValueError, match="precision = 'bf16', but a network of one's own is trained in float32"):
        inspect_networks(cells_of(PLAIN, f'network="{SMALL}"', "precision=bf16"), (5, 4, 3), 17)
    facts = network_facts([cell])
    assert facts[str(beside)]["file"] == "beside.py"
    assert len(facts[str(beside)]["sha256"]) == 64
