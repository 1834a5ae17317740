"""What `vae-bench list` shows, as text of a given width."""

from __future__ import annotations

import inspect
import textwrap

from bench.cli.text.table import table
from bench.grid import families, lazy_torch
from bench.grid.errors import brief
from bench.grid.families import registry
from bench.grid.read import GridError, load_grid, shipped_grids
from bench.report.numbers import listed

MORE = (
    "A path to an .npz, an .npy or a folder of images is one too. In a grid, train_images = 2000 keeps so many "
    'training images, crop = 24 takes the middle of images, resize = "28x20" gives them another size by the mean of '
    "areas, grey = true makes one value of three colours, and quantise = 16 joins neighbouring levels, k to k·16 // K, "
    "in this order: numbers of such data are ranked apart. block = 50 keeps runs of 50 images of a path in one split; "
    "patch_size = 8 is for patches. vae-bench doctor NAME_OR_PATH says what is noticed of a data set."
)
OWN = (
    "The path of a .py is one too: two classes of torch.nn.Module, Encoder and Decoder, whose __init__ names what it "
    "wants of shape, latent, outputs and the keys above. It is held to the laws of networks before a run begins, as "
    "vae-bench run GRID --network FILE.py."
)


def likelihoods(width: int) -> str:
    """Every family: name, view, whether σ is an axis, and what it assumes; then what installed packages offer, which is
    not imported for that."""
    catalogue = registry()
    known = [(name, catalogue.get(name)) for name in catalogue.known()]
    rows = [(name, family.view, "σ" if family.takes_sigma else "", family.card.summary) for name, family in known]
    return table(rows, width, header=("family", "view", "", "what it assumes")) + _readings(width) + _offers(width)


def _offers(width: int) -> str:
    catalogue = registry()
    offered = [one for name, some in catalogue.offers().items() if name not in catalogue.known() for one in some]
    said = [f"{brief(one.name)} ({brief(f'{one.package} {one.version}'.strip() or one.module)})" for one in offered]
    text = f"Installed plug-ins, imported when they are named, by a grid or by vae-bench explain: {listed(said)}."
    return f"{textwrap.fill(text, width, break_on_hyphens=False)}\n" if said else ""


def _readings(width: int) -> str:
    """As which true distributions recipes are scored; those with one list share a sentence."""
    catalogue = registry()
    by_list: dict[tuple[str, ...], list[str]] = {}
    for name in catalogue.known():
        if catalogue.get(name).recipe:
            by_list.setdefault(catalogue.get(name).scorings, []).append(name)
    return "".join(
        f"{textwrap.fill(f'{listed(names)}: read as {listed(list(readings))}.', width, break_on_hyphens=False)}\n"
        for readings, names in by_list.items()
    )


def datasets(width: int) -> str:
    """Every data set known by name, and what it is."""
    lazy_torch.install()
    from vae_core import data

    rows = [(name, data.describe(name)) for name in data.names()]
    return table(rows, width, header=("data set", "")) + f"{textwrap.fill(MORE, width)}\n"


def grids(width: int) -> str:
    """Every grid that comes with the suite, its number of cells, and what it is for."""
    rows = []
    for name, path in shipped_grids().items():
        try:
            grid = load_grid(path)
            rows.append((name, str(len(grid.cells)), grid.about))
        except GridError as error:
            rows.append((name, "", str(error)))
    return table(rows, width, header=("grid", "cells", ""))


def networks(width: int) -> str:
    """Every network by name, what it is, and the keys of a grid that it looks at; and how to bring one's own."""
    known = families.networks()
    rows = []
    for name in known.names():
        network = known.get(name)
        told = " ".join(str(inspect.getdoc(network)).split())
        rows.append((name, f"{told} Keys: {listed(list(network.reads))}."))
    return table(rows, width, header=("network", "")) + f"{textwrap.fill(OWN, width)}\n"
