"""Prints the comparison, and writes it with its provenance where asked to."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import bench.speed.peers
from bench.engine.process.memory import keep_freed_memory
from bench.engine.provenance import package_version, prepare_device, provenance
from vae_core import data

if TYPE_CHECKING:
    from bench.speed.peers.comparison import Comparison

NOTES = """\
% of matmul: operations of the network's matrix products (in evaluation, of the
  decoder's) as a share of the machine's rate of large float32 products.
x Pythae: speed over Pythae's of the same round; median [95 % interval].
Pythae at its best: no progress bar, log or checkpoints, no validation while
  epochs are timed, get_nll under no_grad and, but for the row that says so, in
  one chunk. It copies its best model after every epoch, as it always does.
Models of a bundle have a seed each: own batches, own noise, own weights."""


def text(comparison: Comparison) -> str:
    """One comparison as a table of at most 80 columns."""
    lines = [
        comparison.title,
        _line("", comparison.unit, "% of matmul" if comparison.matmul_gflops else "", "x Pythae"),
    ]
    for row in comparison.rows:
        share = f"{row.share.scaled(100):.0f}" if row.share else ""
        lines.append(_line(f"  {row.program}", f"{row.speed:,.0f}", share, f"{row.times_pythae:.2f}"))
    if comparison.matmul_gflops:
        lines.append(_line("  matrix products", f"{comparison.matmul_gflops:.0f} GFLOP/s", "100", ""))
    scores = [f"{row.program} {row.score:.2f}" for row in comparison.rows if row.score is not None]
    if scores:
        lines += ["  mean ln p(x), nats:", *(f"    {score}" for score in scores)]
    return "\n".join(lines)


def _line(name: str, speed: str, share: str, times: str) -> str:
    return f"{name:<27}{speed:>15}{share:>16}{times:>21}"


def main(arguments: Sequence[str] | None = None) -> int:
    """2 where Pythae, the data set or the device is not there."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed.peers",
        description=bench.speed.peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", default="mnist", help="of training and evaluation (default: mnist)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"), help="(default: cpu)")
    parser.add_argument("--threads", type=int, help="of torch; 1 is steadier on a busy machine (default: torch's)")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: wider intervals")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers and their provenance")
    chosen = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)

    if importlib.util.find_spec("pythae") is None:
        print('Pythae is not installed: run "make peers", or pip install "pythae==0.1.2".', file=sys.stderr)
        return 2
    try:
        facts = prepare_device(chosen.device)
        dataset = data.load(chosen.dataset)
    except ValueError as error:  # a DataError is one
        print(error, file=sys.stderr)
        return 2
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.set_flush_denormal(True)  # for all, as the workers of a run have it
    keep_freed_memory()  # likewise

    from bench.speed.peers.comparison import FULL, QUICK, comparisons

    began = os.getloadavg()[0]
    print(f"Pythae {package_version('pythae')}, torch {torch.__version__}, {facts['name']}")
    print(f"torch threads: {torch.get_num_threads()}; load before the start: {began:.1f} (idle: near 0)\n")
    done: list[Comparison] = []
    for comparison in comparisons(dataset, facts["kind"], QUICK if chosen.quick else FULL):
        done.append(comparison)
        print(text(comparison) + "\n", flush=True)
    print(NOTES)
    if chosen.out:
        written = _with_provenance(done, given, facts, began, dataset.checksum)
        chosen.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _with_provenance(
    done: Sequence[Comparison], arguments: Sequence[str], device: dict[str, Any], load: float, checksum: str
) -> dict[str, Any]:
    source = provenance(arguments, device, 1, torch.get_num_threads())
    source["command"] = source["command"].replace("vae-bench", "python -m bench.speed.peers", 1)
    source["packages"]["pythae"] = package_version("pythae")
    return {
        "comparisons": [asdict(comparison) for comparison in done],
        "provenance": source | {"load_before": load, "data_checksum": checksum},
    }


if __name__ == "__main__":
    sys.exit(main())
