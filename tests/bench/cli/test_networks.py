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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", r'--network: network = "", but network takes'),
        ("none", r'--network: network = "none", but network takes one of conv, mlp'),
        ("a\x7f.py", r"--network: 'a\\x7f\.py' has a control character"),
        ("a\udcff.py", r"--network: 'a\\udcff\.py' has a control character"),
        ("a😀.py", r"--network: there is no network 'a😀\.py'"),
        ("x" * 5000, r"--network: value has 5,000 letters"),
        ('a"b\\', r'--network: network = "a\\"b\\\\", but network takes one of'),
        ("mlp", r"--network: network lists .*mlp.* twice"),
    ],
)
def test_what_is_wrong_with_a_network_names_the_option_that_gave_it(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(GridError, match=said) as caught:
        run.verb("digits", network=["mlp", name], set_=["seed=[0, 1]"], out=tmp_path / "r.sqlite")
    assert "--set" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_what_is_tuned_is_given_by_no_option_besides(tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"--network") as caught:
        run.verb("digits", network=["mlp"], set_=["tune.network=['mlp', 'conv']"], out=tmp_path / "r.sqlite")
    assert "another --set" not in str(caught.value)
