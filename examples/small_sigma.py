"""How far a small σ fools importance sampling: a Gaussian decoder with a fixed scale, scored in four ways.

    python examples/small_sigma.py                                   # digits, two minutes on one core
    python examples/small_sigma.py --dataset mnist --sigma 0.05 0.07 0.1 --epochs 20 --images 16 --out tables

The smaller σ, the narrower the posterior p(z|x), and the worse an encoder's q fits it: the importance-weighted bound is
then far below ln p(x), though its standard error looks small, and a comparison of σ by that bound is a comparison of
encoders. Shown beside it, for the same images (densities of the dequantised data, nats, higher is better):

* refined: the same estimator with a proposal fitted to each image (vae_core.evaluate.refine);
* annealed importance sampling with Hamiltonian transitions (Wu et al. 2017), begun at the encoder's q and at the best
  diagonal Gaussian of the image: the gold standard, at many times the cost. It too is a lower bound, so the highest
  number of a σ is the nearest to ln p(x);
* the sandwich of bidirectional Monte Carlo on data simulated from the model: the gap between a lower and an upper bound
  by the same annealing says how far AIS can be off there.

With --out it writes small_sigma.csv and provenance.json into that folder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from bench.engine.provenance import prepare_device, provenance
from vae_core import data, likelihoods
from vae_core.evaluate import (
    Annealing,
    Estimate,
    Gaussian,
    annealed_importance,
    importance_bounds,
    refine,
    refined_bounds,
    sandwich,
    simulate,
)
from vae_core.evaluate.conditional import Conditional, Scorer, conditional
from vae_core.networks import Architecture, generator_for
from vae_core.objectives import Posterior
from vae_core.training import Member, Schedule, TrainedModel, train

COLUMNS = {"estimator": "<32", "nats": ">10", "mc_se": ">7", "khat_bad": ">7", "ess": ">7", "seconds": ">8"}


def main(given: argparse.Namespace) -> pd.DataFrame:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    images = data.load(given.dataset)
    members = [Member(likelihoods.make("gaussian", sigma=sigma)) for sigma in given.sigma]
    architecture = Architecture((given.hidden,), "relu", given.latent)
    trained = train(images, members, architecture, Schedule(given.epochs, 128, 1e-3))
    rows: list[dict[str, float | str]] = []
    print(f"{images.name}, {given.images} test images of {images.dims} dimensions, dequantised; mean ln p(x), nats")
    for sigma, model in zip(given.sigma, trained.models, strict=True):
        print(f"\nσ = {sigma:g}\n" + _line({name: name for name in COLUMNS}))
        for row in compared(model, images, given):
            rows.append({"sigma": sigma, **row})
            print(_line(row), flush=True)
    return pd.DataFrame(rows)


def compared(model: TrainedModel, images: data.Dataset, given: argparse.Namespace) -> Iterator[dict[str, float | str]]:
    """The rows of one model."""
    k = images.test[torch.arange(given.images) * len(images.test) // given.images]
    uniform = torch.rand(k.shape, generator=generator_for("cpu", "test noise", 0))
    density = _density(model, data.dequantise(k, images.levels, uniform))
    encoder = Posterior(*model.encode(k))

    began = time.perf_counter()
    plain = importance_bounds(k, model.encode, model.decode, {"": density}, (given.samples,))[""]
    yield _importance(f"encoder, L={given.samples}", plain, began)
    began = time.perf_counter()
    refined = refined_bounds(k, model.encode, model.decode, {"": density}, (1000,), fit="")[""]
    yield _importance("refined, L=1000", refined, began)

    annealing = Annealing(given.distributions, given.chains)
    behind = conditional(model.decode, density)
    for name in ("encoder", "fitted"):
        began = time.perf_counter()
        start = encoder if name == "encoder" else _fitted(behind, encoder)
        found = annealed_importance(behind, start, annealing)
        yield {
            "estimator": f"AIS, {given.chains} x {given.distributions}, from {name}",
            "nats": float(found.log_likelihood.mean()),
            "mc_se": _mean_error(found.standard_error),
            "ess": float(found.ess.median()),
            "seconds": time.perf_counter() - began,
        }
    began = time.perf_counter()
    few = Posterior(*(part[: given.simulated] for part in (encoder.mean, encoder.log_variance)))
    drawn = simulate(model.decode, model.likelihood, few, seed=1)
    behind = conditional(model.decode, _density(model, drawn.x))
    seen = torch.floor(drawn.x * images.levels).clamp(0, images.levels - 1).long()
    start = _fitted(behind, Posterior(*model.encode(seen)))
    closed = sandwich(behind, start, drawn.z, annealing)
    for name, value in (("mean", closed.gap.mean()), ("largest", closed.gap.max())):
        yield {
            "estimator": f"BDMC gap, {name} of {given.simulated}",
            "nats": float(value),
            "seconds": time.perf_counter() - began,
        }


def _density(model: TrainedModel, y: Tensor) -> Scorer:
    return lambda raw, rows: model.likelihood.log_prob(y[rows].unsqueeze(1), raw)


def _fitted(behind: Conditional, encoder: Posterior) -> Posterior:
    """The best diagonal Gaussian of each image, as a place to start annealing from."""
    q: Gaussian = refine(behind, encoder, covariance="diagonal")
    variance = q.covariance().diagonal(dim1=-2, dim2=-1)
    return Posterior(q.mean.to(encoder.mean.dtype), variance.log().to(encoder.mean.dtype))


def _importance(name: str, estimate: Estimate, began: float) -> dict[str, float | str]:
    return {
        "estimator": name,
        "nats": float(estimate.bound[estimate.samples].mean()),
        "mc_se": _mean_error(estimate.standard_error[estimate.samples]),
        "khat_bad": estimate.bad_share,
        "ess": float(estimate.ess.median()),
        "seconds": time.perf_counter() - began,
    }


def _mean_error(per_image: Tensor) -> float:
    """Monte-Carlo standard error of the mean over images."""
    return float(per_image.square().sum().sqrt() / len(per_image))


def _line(row: dict[str, float | str] | dict[str, str]) -> str:
    digits = {"nats": 2, "mc_se": 3, "khat_bad": 2, "ess": 1, "seconds": 1}
    cells = []
    for name, form in COLUMNS.items():
        value = row.get(name, "")
        text = value if isinstance(value, str) else "" if math.isnan(value) else f"{value:.{digits[name]}f}"
        cells.append(f"{text:{form}}")
    return " ".join(cells).rstrip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--images", type=int, default=8, help="test images scored")
    parser.add_argument("--simulated", type=int, default=8, help="images simulated for the sandwich, --images at most")
    parser.add_argument("--samples", type=int, default=5000, help="L of the encoder's bound")
    parser.add_argument("--distributions", type=int, default=300, help="intermediate distributions of AIS")
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--out", type=Path, help="folder for small_sigma.csv and provenance.json")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    try:
        table = main(asked)
    except ValueError as error:  # an unknown data set, a σ that is none
        sys.exit(str(error))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(asked.out / "small_sigma.csv", index=False, float_format="%.6g")
        command = " ".join(["python", *(Path(word).name if "/" in word else word for word in sys.argv)])
        facts = provenance([], prepare_device("cpu"), 1, 1) | {"command": command}
        (asked.out / "provenance.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
