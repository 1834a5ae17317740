"""What a worker process does: looks at data, carries out a bundle, measures speed. Bundle in, rows out.

This module and what it calls are the only part of the harness that executes torch; whoever schedules bundles calls
these functions and nothing else of it.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.cell import Cell
from bench.materials import architecture_of, load_data, member_of, schedule_of, scored_images
from bench.plan import Bundle
from bench.store import CellResult, Value
from bench.throughput import measure_throughput
from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import Estimate, importance_bounds
from vae_core.evaluate.conditional import Scorer
from vae_core.networks import generator_for
from vae_core.objectives import OBJECTIVES
from vae_core.training import TrainedBundle, TrainedModel, fit_to_residuals, train
from vae_core.views import VIEWS

__all__ = ["DataFacts", "carry_out", "inspect_data", "measure_throughput"]

PICTURES = 8  # images of each kind kept for the report
ACTIVE = 0.01  # variance over images of E[z|x] above which a latent dimension counts as active (Burda et al. 2016)


@dataclass(frozen=True)
class DataFacts:
    """What planning and provenance need to know of a data set, without its pixels."""

    name: str
    levels: int
    shape: tuple[int, ...]
    dims: int
    train: int
    valid: int
    test: int
    checksum: str
    about: str


def inspect_data(name: str, levels: int | None) -> DataFacts:
    """Facts of a data set. Raises vae_core.data.DataError where it cannot be had."""
    data = datasets.load(name, levels=levels)
    return DataFacts(
        name=data.name,
        levels=data.levels,
        shape=tuple(data.shape),
        dims=data.dims,
        train=len(data.train),
        valid=len(data.valid),
        test=len(data.test),
        checksum=data.checksum,
        about=data.about,
    )


def carry_out(bundle: Bundle, device: str) -> list[CellResult]:
    """Trains the bundle's models together, evaluates each, and returns a row for each cell.

    A cell whose model diverged gets a failed row; anything that hurts the whole bundle is raised.
    """
    torch.set_flush_denormal(True)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first = bundle.cells[0]
    data = load_data(first.dataset, first.levels, device)
    models: dict[str, list[Cell]] = {}
    for cell in bundle.cells:
        models.setdefault(cell.training_key, []).append(cell)
    trained = train(
        data,
        [member_of(cells[0], data.levels) for cells in models.values()],
        architecture_of(first),
        schedule_of(first),
        device,
    )
    results: list[CellResult] = []
    for place, cells in enumerate(models.values()):
        model, failure = trained.models[place], trained.failures[place]
        if failure is not None:
            results += [CellResult(cell.id, "failed", failure, _of_training(trained, place, device)) for cell in cells]
        else:
            results += _evaluate(cells, model, data, trained, place, device)
    return results


def _evaluate(
    cells: Sequence[Cell], model: TrainedModel, data: Dataset, trained: TrainedBundle, place: int, device: str
) -> list[CellResult]:
    """Scores one trained model as each of its cells asks; cells that ask for the same pass share it."""
    passes: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        passes.setdefault((cell.eval_samples, cell.test_images), []).append(cell)
    results: list[CellResult] = []
    for together in passes.values():
        results += _one_pass(together, model, data, trained, place, device)
    return results


def _one_pass(
    cells: Sequence[Cell], model: TrainedModel, data: Dataset, trained: TrainedBundle, place: int, device: str
) -> list[CellResult]:
    first = cells[0]
    k, levels = scored_images(first, data)
    uniform = torch.rand(k.shape, generator=generator_for("cpu", "test noise", first.seed)).to(k.device)
    dequantised = VIEWS["unit"].see(k, levels, uniform)
    seen = model.view.see(k, data.levels, uniform) if not model.view.binary else k.float()

    scored: dict[str, likelihoods.Likelihood] = {}
    scorers: dict[str, Scorer] = {}
    for cell in cells:
        lik = model.likelihood.scored(cell.scored_as)
        if lik.needs_fit:
            fit_to_residuals(model, lik, data, cell.seed)
        scored[cell.id] = lik
        scorers[f"mass {cell.id}"] = _mass(lik, k, levels)
        if lik.has_density:
            scorers[f"density {cell.id}"] = _density(lik, dequantised, levels)
    if model.likelihood.recipe:
        scorers["objective"] = _own(model.likelihood, seen)

    started = time.perf_counter()
    grid = sorted({*first.eval_samples, first.train_samples})
    estimates = importance_bounds(k, model.encode, model.decode, scorers, grid, seed=first.seed)
    mean, _ = model.encode(k)
    raw = model.decode(mean)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - started) / len(cells)

    results = []
    for cell in cells:
        lik = scored[cell.id]
        mass = estimates[f"mass {cell.id}"]
        density = estimates.get(f"density {cell.id}")
        objective = estimates.get("objective") or density or mass
        if OBJECTIVES[cell.objective].binned:
            objective = mass
        values = _of_training(trained, place, device)
        values.update(_of_scores(mass, density, objective, cell, levels, k.shape[1]))
        sigma = lik.sigma_in_use(raw)
        values["sigma_fitted"] = None if sigma is None else float(sigma)
        values["active_units"] = int((mean.var(0) > ACTIVE).sum())
        values["eval_seconds"] = seconds
        results.append(
            CellResult(
                cell=cell.id,
                status="done",
                values=values,
                bounds=list(_bounds(mass, cell.eval_samples)),
                per_image=mass.bound[max(cell.eval_samples)].cpu().numpy(),
                pictures=_pictures(model, lik, k, raw, data, levels, cell.seed),
            )
        )
    return results


def _mass(lik: likelihoods.Likelihood, k: Tensor, levels: int) -> Scorer:
    return lambda raw, rows: lik.log_mass(k[rows].unsqueeze(1), raw, levels)


def _density(lik: likelihoods.Likelihood, y: Tensor, levels: int) -> Scorer:
    return lambda raw, rows: lik.log_density(y[rows].unsqueeze(1), raw, levels)


def _own(lik: likelihoods.Likelihood, x: Tensor) -> Scorer:
    return lambda raw, rows: lik.log_prob(x[rows].unsqueeze(1), raw)


def _of_training(trained: TrainedBundle, place: int, device: str) -> dict[str, Value]:
    if device == "cuda":
        peak, name = torch.cuda.max_memory_allocated(), torch.cuda.get_device_name()
    else:
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "cpu"
    return {
        "best_epoch": trained.best_epoch[place],
        "train_seconds": trained.seconds / len(trained.models),
        "bundle_train_images_per_s": trained.images_per_second,
        "bundle_models": len(trained.models),
        "peak_memory_bytes": peak,
        "device": name,
    }


def _of_scores(
    mass: Estimate, density: Estimate | None, objective: Estimate, cell: Cell, levels: int, dims: int
) -> dict[str, Value]:
    """Columns from the estimates, means over the N test images; standard errors over images unless named otherwise."""
    largest = max(cell.eval_samples)
    images = mass.bound[largest]
    bits = 1 / (dims * math.log(2))
    weighted = OBJECTIVES[cell.objective].weighted
    trained_on = objective.bound[cell.train_samples] if weighted else objective.elbo
    values: dict[str, Value] = {
        "measure": f"pmf-{levels}",
        "currency": "pmf-2" if levels == 2 else "pmf-K",
        "elbo_nats": float(mass.elbo.mean()),
        "elbo_se": _standard_error(mass.elbo),
        "iw_nats": float(images.mean()),
        "iw_se": _standard_error(images),
        "iw_samples": largest,
        "iw_mc_se": float(mass.standard_error[largest].square().sum().sqrt() / len(images)),
        "bits_per_dim": -float(images.mean()) * bits,
        "bits_per_dim_se": _standard_error(images) * bits,
        "training_objective_nats": float(trained_on.mean()),
        "kl_nats": float(mass.kl.mean()),
        "reconstruction_nats": float(mass.reconstruction.mean()),
        "ess_median": float(mass.ess.median()),
    }
    if density is not None:
        nats = float(density.bound[largest].mean())
        values["density_nats"] = nats
        values["dequantised_nats"] = nats - dims * math.log(levels)
        values["dequantised_bits_per_dim"] = -(nats - dims * math.log(levels)) * bits
    return values


def _standard_error(per_image: Tensor) -> float:
    """Of the mean over images."""
    return float(per_image.std() / math.sqrt(len(per_image))) if len(per_image) > 1 else math.nan


def _bounds(estimate: Estimate, samples: Iterable[int]) -> Iterable[tuple[int, float, float]]:
    """(L, mean bound, standard error of that mean over images)."""
    for size in samples:
        yield size, float(estimate.bound[size].mean()), _standard_error(estimate.bound[size])


def _pictures(
    model: TrainedModel,
    lik: likelihoods.Likelihood,
    k: Tensor,
    raw: Tensor,
    data: Dataset,
    levels: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Test images, E[x|z] at the posterior mean, and for z from the prior E[x|z] ("sample") and x ~ p(x|z) ("draw")."""
    count = min(PICTURES, len(k))
    spaced = torch.arange(count, device=k.device) * len(k) // count
    device, latent = raw.device, model.encode(k[:1])[0].shape[-1]
    z = torch.randn(PICTURES, latent, generator=generator_for("cpu", "prior", seed)).to(device)
    with torch.no_grad():
        prior_raw = model.decode(z)
        drawn = lik.sample(prior_raw, generator_for(device, "pictures", seed))
        return {
            "original": _as_bytes(k[spaced].float() / (levels - 1), data),
            "reconstruction": _as_bytes(model.view.to_grey(lik.mean(raw[spaced]), data.levels), data),
            "sample": _as_bytes(model.view.to_grey(lik.mean(prior_raw), data.levels), data),
            "draw": _as_bytes(model.view.to_grey(drawn, data.levels), data),
        }


def _as_bytes(grey: Tensor, data: Dataset) -> np.ndarray:
    """Grey values in [0, 1], [n, D] -> uint8 [n, H, W] or [n, H, W, C]."""
    clean = torch.nan_to_num(grey).clamp(0, 1)
    array: np.ndarray = (clean * 255).round().to(torch.uint8).cpu().numpy()
    return array.reshape(-1, *data.shape)
