"""What was measured on each device before: one JSON file a device, in results/reference/throughput/.

    machine   where, when and from which commit
    ratios    of two code paths: median, 95 % interval, rounds
    counts    without noise: operators, kernels, bytes
    rates     images/s and decodes/s, for the reader: nothing is held to them

Ratios are held to those of their own device. Counts do not depend on how fast a device is: one without a file of its
own is held to another's of its kind (cpu or cuda).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.engine.provenance import cores, cpu_model, git_state, package_version
from bench.speed.gate import Look

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "results" / "reference" / "throughput"

#: a ratio may exceed its device's recorded one by this factor; identical codes differ by up to 1.08 (docs/RULES.md,
#: Speed)
RATIO_ALLOWANCE = 1.15
#: a count may exceed the recorded one by this share, rounded down: room for another release of torch, not for a kernel
#: more in a step of fewer than fifty
COUNT_ALLOWANCE = 0.02


def device_name(kind: str) -> str:
    """The processor's or the GPU's name."""
    return torch.cuda.get_device_name() if kind == "cuda" else cpu_model()


def file_name(device: str) -> str:
    """`NVIDIA H100 80GB HBM3` -> `nvidia-h100-80gb-hbm3.json`."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + ".json"


@dataclass
class Baseline:
    """The numbers of one device."""

    ratios: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, device: str, kind: str, folder: Path = FOLDER) -> Baseline:
        """The device's own; without ratios that of another device of its kind; empty where there is none."""
        own = folder / file_name(device)
        if own.exists():
            return cls(**json.loads(own.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("*.json")):
            other = cls(**json.loads(path.read_text(encoding="utf-8")))
            if other.machine["kind"] == kind:
                return cls(counts=other.counts, machine=other.machine)
        return cls()

    def ratio_limit(self, name: str, bound: float) -> float:
        """The largest ratio allowed: `bound` on any device, RATIO_ALLOWANCE times the recorded one on this."""
        recorded = self.ratios.get(name)
        return bound if recorded is None else min(bound, RATIO_ALLOWANCE * recorded["ratio"])

    def count_limit(self, name: str) -> int | None:
        """The largest count allowed; None where none is recorded."""
        recorded = self.counts.get(name)
        return None if recorded is None else recorded + int(COUNT_ALLOWANCE * recorded)

    def updated(
        self, ratios: Mapping[str, Look], counts: Mapping[str, int], rates: Mapping[str, float], machine: dict[str, Any]
    ) -> Baseline:
        """With what was measured now in place of what was recorded; what was not measured stays."""
        looks = {
            name: {
                "ratio": round(look.ratio, 3),
                "low": round(look.low, 3),
                "high": round(look.high, 3),
                "rounds": look.rounds,
            }
            for name, look in ratios.items()
        }
        return Baseline(
            ratios=dict(sorted({**self.ratios, **looks}.items())),
            counts=dict(sorted({**self.counts, **counts}.items())),
            rates=dict(sorted({**self.rates, **{k: float(f"{v:.3g}") for k, v in rates.items()}}.items())),
            machine=machine,
        )

    def write(self, device: str, folder: Path = FOLDER) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(device)
        content = {"machine": self.machine, "ratios": self.ratios, "counts": self.counts, "rates": self.rates}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def machine_facts(kind: str) -> dict[str, Any]:
    """What a reader must know of where the numbers come from."""
    facts: dict[str, Any] = {
        "kind": kind,
        "device": device_name(kind),
        "threads": torch.get_num_threads(),
        "cores": cores(),
        "cpu": cpu_model(),
        "torch": package_version("torch"),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "git": git_state(ROOT / "bench"),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if kind == "cuda":
        facts["cuda"] = torch.version.cuda
    return facts
