"""Which reading of a recipe is ranked: of the true distributions that one trained model is scored as, the one that is
best on validation images (docs/RULES.md, rule 14). Test scores take no part."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pandas as pd

NO_PART = ("scored_as", "seed")


def chosen(groups: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """By configuration, the configuration that is its recipe's reading: itself where it is the one.

    groups: the scored cells of each configuration. Those of a recipe that differ in `scored_as` alone compete, by the
    mean of `reading_bits_per_dim` over the seeds that all of them have, or over each one's own where they share none.
    Where that is not known of all of them (of older runs, and of what has one reading) none is chosen: they are left
    out here.
    """
    rivals: dict[str, list[str]] = {}
    for config, cells in groups.items():
        if bool(cells["recipe"].iloc[0]) and "spec" in cells:  # what older exports may lack
            rivals.setdefault(_but_for_the_reading(cells["spec"].iloc[0]), []).append(config)
    found: dict[str, str] = {}
    for configs in rivals.values():
        judged = {config: groups[config].set_index("seed")["reading_bits_per_dim"] for config in configs}
        if len(configs) == 1 or any(bits.isna().any() for bits in judged.values()):
            continue
        shared = set.intersection(*(set(bits.index) for bits in judged.values()))
        means = {
            config: float((bits[bits.index.isin(shared)] if shared else bits).mean()) for config, bits in judged.items()
        }
        best = min(means, key=means.__getitem__)
        found |= dict.fromkeys(configs, best)
    return found


def _but_for_the_reading(spec: str) -> str:
    asked = json.loads(spec)
    return json.dumps({key: value for key, value in asked.items() if key not in NO_PART}, sort_keys=True)
