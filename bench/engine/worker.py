"""What a worker process does: looks at data, carries out a bundle, measures speed. Bundle in, rows out.

This module and what it calls are the only part of the harness that executes torch; whoever schedules bundles calls
these functions and nothing else of it.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.engine.from_cell import architecture_of, load_data, member_of, schedule_of, scored_images
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.speed.throughput import measure_throughput
from bench.store import CellResult, Value
from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.data.views import VIEWS
from vae_core.evaluate import (
    Calibration,
    Estimate,
    Latents,
    calibration,
    gaps,
    importance_bounds,
    latents,
    refined_bounds,
)
from vae_core.evaluate.compiled import fused
from vae_core.evaluate.conditional import Scorer, conditional
from vae_core.evaluate.scoring import BAD_SHARE, encoded, points_at_once
from vae_core.networks import generator_for
from vae_core.numerics.precision import full_float32, require_precision
from vae_core.objectives import OBJECTIVES, Posterior
from vae_core.training import TrainedBundle, TrainedModel, fit_to_residuals, train

__all__ = ["DataFacts", "carry_out", "inspect_data", "inspect_precision", "measure_throughput"]

PICTURES = 8  # images of each kind kept for the report
CALIBRATED = 200  # test images at most that the predicted noise is held against
GAPPED = 24  # test images at most whose gap is split in two, at the price of a slow fit each
MASS, DENSITY = "mass", "density"  # what a cell is scored by: the first is ranked


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


def inspect_precision(precision: str, device: str) -> dict[str, str]:
    """The precision, where models can be trained in it on the device. Raises ValueError where they cannot."""
    require_precision(precision, device)
    return {"precision": precision}


@full_float32()  # the evaluation; training takes what the cells ask for
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

    most = max(first.eval_samples)
    scored: dict[str, likelihoods.Likelihood] = {}
    scorers: dict[str, dict[str, Scorer]] = {}
    for cell in cells:
        lik = model.likelihood.scored(cell.scored_as)
        if lik.needs_fit:
            fit_to_residuals(model, lik, data, cell.seed)
        scored[cell.id] = lik
        scorers[cell.id] = {MASS: _mass(lik, k, levels, most)}
        if lik.has_density:
            scorers[cell.id][DENSITY] = _density(lik, dequantised, levels, most)
    every = {f"{kind} {cell}": scorer for cell, own in scorers.items() for kind, scorer in own.items()}
    if model.likelihood.recipe:
        every["objective"] = _own(model.likelihood, seen, most)

    started = time.perf_counter()
    grid = sorted({*first.eval_samples, first.train_samples})
    estimates = importance_bounds(k, model.encode, model.decode, every, grid, seed=first.seed)
    posterior = Posterior(*model.encode(k))
    raw = model.decode(posterior.mean)
    _wait(device)
    seconds = (time.perf_counter() - started) / len(cells)

    results = []
    for cell in cells:
        lik = scored[cell.id]
        plain = {kind: estimates[f"{kind} {cell.id}"] for kind in scorers[cell.id]}
        objective = estimates.get("objective") or plain.get(DENSITY) or plain[MASS]
        if OBJECTIVES[cell.objective].binned:
            objective = plain[MASS]
        started = time.perf_counter()
        final = _refined(cell, model, k, scorers[cell.id], plain)
        values = _of_training(trained, place, device)
        values.update(_of_encoder(plain[MASS], objective, cell))
        values.update(_of_scores(final, plain[MASS], cell, levels, k.shape[1]))
        if final is not plain:
            values.update(_of_gaps(cell, model, lik, k, levels, final[MASS]))
        latent = latents(posterior.mean, posterior.log_variance)
        noise = _calibration(model, lik, k, levels, cell.seed)
        values.update(_of_latents(latent))
        values.update(_of_noise(noise))
        sigma = lik.sigma_in_use(raw)
        values["sigma_fitted"] = None if sigma is None else float(sigma)
        _wait(device)
        values["eval_seconds"] = seconds + time.perf_counter() - started
        results.append(
            CellResult(
                cell=cell.id,
                status="done",
                values=values,
                bounds=list(_bounds(final[MASS], plain[MASS], cell.eval_samples)),
                per_image=_per_image(final[MASS], max(cell.eval_samples)),
                latents=list(zip(latent.kl.tolist(), latent.mean_variance.tolist(), strict=True)),
                calibration=noise.histogram.tolist(),
                pictures=_pictures(model, lik, k, raw, data, levels, cell.seed),
            )
        )
    return results


def _refined(
    cell: Cell, model: TrainedModel, k: Tensor, scorers: Mapping[str, Scorer], plain: dict[str, Estimate]
) -> dict[str, Estimate]:
    """The cell's bounds from proposals fitted to the images under its mass; the plain ones where that is not called
    for."""
    if cell.refine == "never" or (cell.refine == "auto" and not plain[MASS].bad_share > BAD_SHARE):
        return plain
    return refined_bounds(k, model.encode, model.decode, scorers, cell.eval_samples, fit=MASS, seed=cell.seed)


def _calibration(model: TrainedModel, lik: likelihoods.Likelihood, k: Tensor, levels: int, seed: int) -> Calibration:
    """Of the noise that the decoder predicts, at one z ~ q(z|x) an image."""
    some = _spread(len(k), CALIBRATED, k.device)
    posterior = Posterior(*model.encode(k[some]))
    eps = torch.randn(posterior.mean.shape, generator=generator_for("cpu", "calibration", seed)).to(k.device)
    raw = model.decode(posterior.sample(eps.unsqueeze(-2))[..., 0, :])
    return calibration(k[some], raw, lik, levels)


def _spread(count: int, most: int, device: torch.device) -> Tensor:
    """Indices of at most so many of `count` images, at even spacing."""
    some = min(count, most)
    return torch.arange(some, device=device) * count // some


def _mass(lik: likelihoods.Likelihood, k: Tensor, levels: int, samples: int = 1) -> Scorer:
    score = fused(lik.log_mass, k.device, samples * len(k) * lik.outputs(k.shape[1]))
    return lambda raw, rows: score(k[rows].unsqueeze(1), raw, levels)


def _density(lik: likelihoods.Likelihood, y: Tensor, levels: int, samples: int) -> Scorer:
    score = fused(lik.log_density, y.device, samples * len(y) * lik.outputs(y.shape[1]))
    return lambda raw, rows: score(y[rows].unsqueeze(1), raw, levels)


def _own(lik: likelihoods.Likelihood, x: Tensor, samples: int) -> Scorer:
    score = fused(lik.log_prob, x.device, samples * len(x) * lik.outputs(x.shape[1]))
    return lambda raw, rows: score(x[rows].unsqueeze(1), raw)


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


def _of_encoder(plain: Estimate, objective: Estimate, cell: Cell) -> dict[str, Value]:
    """What the encoder's own q says: the ELBO and its parts, the training objective, the bound from it alone."""
    weighted = OBJECTIVES[cell.objective].weighted
    trained_on = objective.bound[cell.train_samples] if weighted else objective.elbo
    return {
        "elbo_nats": float(plain.elbo.mean()),
        "elbo_se": _standard_error(plain.elbo),
        "training_objective_nats": float(trained_on.mean()),
        "kl_nats": float(plain.kl.mean()),
        "reconstruction_nats": float(plain.reconstruction.mean()),
        "encoder_iw_nats": float(plain.bound[max(cell.eval_samples)].mean()),
        "encoder_khat_bad_fraction": plain.bad_share,
    }


def _of_scores(final: Mapping[str, Estimate], plain: Estimate, cell: Cell, levels: int, dims: int) -> dict[str, Value]:
    """What the cell is ranked by: means over the N test images; standard errors over images unless named otherwise."""
    largest = max(cell.eval_samples)
    mass = final[MASS]
    images = mass.bound[largest]
    bits = 1 / (dims * math.log(2))
    values: dict[str, Value] = {
        "measure": f"pmf-{levels}",
        "currency": "pmf-2" if levels == 2 else "pmf-K",
        "estimator": "encoder" if mass is plain else "refined",
        "iw_nats": float(images.mean()),
        "iw_se": _standard_error(images),
        "iw_samples": largest,
        "iw_mc_se": float(mass.standard_error[largest].square().sum().sqrt() / len(images)),
        "khat_median": float(mass.khat.median()),
        "khat_bad_fraction": mass.bad_share,
        "ess_median": float(mass.ess.median()),
        "jackknife_nats": float(mass.jackknife.mean()),
        "bits_per_dim": -float(images.mean()) * bits,
        "bits_per_dim_se": _standard_error(images) * bits,
    }
    if DENSITY in final:
        nats = float(final[DENSITY].bound[largest].mean())
        values["density_nats"] = nats
        values["dequantised_nats"] = nats - dims * math.log(levels)
        values["dequantised_bits_per_dim"] = -(nats - dims * math.log(levels)) * bits
        values["density_khat_bad_fraction"] = final[DENSITY].bad_share
    return values


def _of_gaps(
    cell: Cell, model: TrainedModel, lik: likelihoods.Likelihood, k: Tensor, levels: int, final: Estimate
) -> dict[str, Value]:
    """The gap of the encoder's ELBO in two parts, over some of the images."""
    some = _spread(len(k), GAPPED, k.device)
    posterior = encoded(k[some], model.encode)
    points = points_at_once(model.decode, posterior)
    elbo = gaps(conditional(model.decode, _mass(lik, k[some], levels)), posterior, seed=cell.seed, points=points)
    return {
        "amortisation_gap_nats": float((elbo.diagonal - elbo.encoder).mean()),
        "approximation_gap_nats": float((final.bound[max(cell.eval_samples)][some] - elbo.diagonal).mean()),
    }


def _of_latents(found: Latents) -> dict[str, Value]:
    return {"active_units": int(found.active_units), "collapsed": int(found.collapsed)}


def _of_noise(found: Calibration) -> dict[str, Value]:
    return {
        "pit_deviation": float(found.deviation),
        "coverage_50": float(found.coverage_50),
        "coverage_95": float(found.coverage_95),
        "noise_predicted": float(found.noise_predicted),
        "noise_realised": float(found.noise_realised),
    }


def _standard_error(per_image: Tensor) -> float:
    """Of the mean over images."""
    return float(per_image.std() / math.sqrt(len(per_image))) if len(per_image) > 1 else math.nan


def _bounds(final: Estimate, plain: Estimate, samples: Iterable[int]) -> Iterable[tuple[int, float, float, float]]:
    """(L, mean bound, standard error of that mean over images, mean bound from the encoder's q alone)."""
    for size in samples:
        bound = final.bound[size]
        yield size, float(bound.mean()), _standard_error(bound), float(plain.bound[size].mean())


def _per_image(final: Estimate, largest: int) -> dict[str, np.ndarray]:
    arrays = {
        "iw_nats": final.bound[largest],
        "standard_error": final.standard_error[largest],
        "ess": final.ess,
        "khat": final.khat,
    }
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


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
    spaced = _spread(len(k), PICTURES, k.device)
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
