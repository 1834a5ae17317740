"""Networks for M models at once: each public module of this folder is one, and its file name is its name.

    >>> from vae_core import networks
    >>> encoder, decoder = networks.create_pair(networks.Architecture((200,), "tanh", 10), (8, 8), 64, seeds=[0, 1])
    >>> [tuple(weight.shape) for weight in encoder.parameters()]
    [(2, 64, 200), (2, 200, 20), (2, 1, 200), (2, 1, 20)]

`_base` says what such a file must give.
"""

from __future__ import annotations

from vae_core.networks._base import (
    NORMALISATIONS,
    Architecture,
    Cost,
    ModelCost,
    Network,
    Stack,
    create_pair,
    get,
    is_own,
    model_cost,
    names,
)
from vae_core.networks._own_file import mean as mean_own
from vae_core.networks._own_file import read as read_own
from vae_core.networks._places import Places, places_of, places_of_each
from vae_core.networks.mlp import ACTIVATIONS, StackedMLP
from vae_core.numerics.random import generator_for, seed_for

__all__ = [
    "ACTIVATIONS",
    "NORMALISATIONS",
    "Architecture",
    "Cost",
    "ModelCost",
    "Network",
    "Places",
    "Stack",
    "StackedMLP",
    "create_pair",
    "generator_for",
    "get",
    "is_own",
    "mean_own",
    "model_cost",
    "names",
    "places_of",
    "places_of_each",
    "read_own",
    "seed_for",
]
