"""A reference as a row of `cells`: the columns of a cell that it has a value for, and `reference` = 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.grid.cell import number_text
from bench.grid.references import ReferenceSpec


@dataclass(frozen=True)
class ReferenceResult:
    """How one reference ended.

    values: columns of RESULT_COLUMNS. iw_nats: ln P of each test image, float64 [N], None where images have none of
    their own. options: of its family, as they were chosen. details: plain values, of what was found on the way.
    """

    reference: str  # the id
    status: str
    reason: str | None = None
    label: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    iw_nats: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def row_of(spec: ReferenceSpec, result: ReferenceResult) -> dict[str, Any]:
    """What is stored of it, but for who wrote it and the numbers."""
    options = {key: value for key, value in sorted(result.options.items()) if key != "sigma"}
    return {
        "cell": spec.id,
        "config": spec.id,
        "label": result.label or spec.reference,
        "family": spec.reference,
        **asdict(spec.data),
        "test_images": spec.test_images,
        "binarisation": spec.binarisation,
        "seed": 0,
        "view": "binary" if spec.binary else "levels",
        "sigma": number_text(result.options["sigma"]) if "sigma" in result.options else "",
        "options": json.dumps(options),
        "scored_as": "itself",
        "recipe": 0,
        "tune": "",
        "search": "",
        "spec": json.dumps(spec.spec, sort_keys=True),
        "current": 1,
        "reference": 1,
        "status": result.status,
        "reason": result.reason,
        "details": json.dumps(result.details),
    }
