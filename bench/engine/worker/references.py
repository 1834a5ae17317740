"""Carries out a reference: fitted to what cells are trained on, chosen by what they are chosen by, and scored on the
very integers that they are scored on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.engine.worker.from_cell import compared_images, data_of, scored_images
from bench.grid.references import ReferenceSpec
from bench.store import ReferenceResult
from vae_core import references
from vae_core.statistics.blocks import by_block, of_some

LN2 = math.log(2)
SPLITS = ("train", "valid")


def refer(spec: ReferenceSpec) -> ReferenceResult:
    """One reference of a contest, on the CPU; one that there is not for such data has failed, with the reason."""
    assert spec.cell is not None  # the grid's, by which its numbers are found
    data = data_of(spec.cell, "cpu")
    test, levels = scored_images(spec.cell, data)
    train, valid = (compared_images(spec.cell, data, split, len(getattr(data, split)))[0] for split in SPLITS)
    images = references.Images(train.numpy(), valid.numpy(), levels, tuple(data.shape))
    try:
        outcome = references.make(spec.reference, spec.settings).outcome(images, test.numpy())
    except references.LeftOut as why:
        return ReferenceResult(spec.id, "failed", str(why))
    to_bits = 1 / (test.shape[1] * LN2)
    values: dict[str, Any] = {
        "measure": f"pmf-{levels}",
        "currency": "pmf-2" if levels == 2 else "pmf-K",
        "iw_nats": outcome.nats,
        "bits_per_dim": -outcome.nats * to_bits,
        "device": "cpu",
    }
    if outcome.per_image is not None and len(test) > 1:
        drawn = by_block(outcome.per_image, of_some(data.test_blocks, len(test)))
        error = float(np.std(drawn, ddof=1) / math.sqrt(len(drawn))) if len(drawn) > 1 else math.nan
        values |= {"iw_se": error, "bits_per_dim_se": error * to_bits}
    return ReferenceResult(
        spec.id,
        "done",
        label=outcome.label,
        values=values,
        iw_nats=outcome.per_image,
        options=outcome.options,
        details={**outcome.details, "test images": len(test)},
    )
