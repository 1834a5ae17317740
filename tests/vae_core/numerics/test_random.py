"""Streams by name."""

from __future__ import annotations

import torch

from vae_core.numerics.random import generator_for, seed_for


def test_a_seed_depends_on_every_part_and_on_nothing_else() -> None:
    seeds = [seed_for("weights", "encoder", 0, 1), seed_for("weights", "encoder", 1, 0), seed_for("weights", 0, 1)]
    assert len(set(seeds)) == 3
    assert seed_for("weights", "encoder", 0, 1) == seeds[0]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_for_ever() -> None:
    """A stored run can be computed again only if its streams are."""
    assert seed_for("test noise", 0) == 8685008130853340725


def test_generators_of_one_name_give_one_stream_whatever_is_drawn_beside() -> None:
    first, second, other = (generator_for("cpu", "eps", seed) for seed in (0, 0, 1))
    torch.rand(7, generator=other)
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=second))
    assert not torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=other))
