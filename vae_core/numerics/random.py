"""Randomness by name: every stream of the suite is seeded by what it is for, so none depends on what else is drawn."""

from __future__ import annotations

import hashlib

import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on all parts: equal streams for equal names, whatever else is in the bundle."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator_for(device: torch.device | str, *parts: object) -> torch.Generator:
    """A generator on `device`, seeded by `seed_for`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(seed_for(*parts))
    return generator
