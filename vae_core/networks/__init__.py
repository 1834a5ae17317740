"""Networks for M models at once."""

from __future__ import annotations

from vae_core.networks.mlp import ACTIVATIONS, Architecture, StackedMLP, create_pair, generator_for, seed_for

__all__ = ["ACTIVATIONS", "Architecture", "StackedMLP", "create_pair", "generator_for", "seed_for"]
