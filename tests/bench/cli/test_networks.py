"""Networks at the command line: what there are, and one in place of a grid's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import run
from bench.cli.options import Refused
from bench.cli.text import listing
from bench.grid.read import GridError
from vae_core import networks


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_network_is_listed_with_the_keys_that_it_looks_at(width: int) -> None:
    text = listing.networks(width)
    assert all(len(line) <= width for line in text.splitlines())
    flat = " ".join(text.split())
    for name in networks.names():
        assert f"{name} " in flat
        assert all(key in flat for key in networks.get(name).reads)
    assert "two classes of torch.nn.Module, Encoder and Decoder" in flat


def test_networks_are_named_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--network and --set network both name networks; give one of them"):
        run.verb("digits", network=["conv"], set_=["network=mlp"], out=tmp_path / "r.sqlite")
    with pytest.raises(GridError, match=r"there is no network 'none\.py': give the path of a \.py that is there"):
        run.verb("digits", network=["none.py"], out=tmp_path / "r.sqlite")
    assert list(tmp_path.iterdir()) == []
