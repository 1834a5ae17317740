"""What a worker process does: looks at data, carries out a bundle. Bundle in, rows out.

This module and what it calls are the only part of the engine that executes torch; whoever schedules bundles calls
these functions and nothing else of it.
"""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.engine import from_cell
from bench.engine.from_cell import architecture_of, compared_images, data_of, member_of, schedule_of, scored_images
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.store import CellResult, Value
from bench.store.weights import Weights
from vae_core import data as datasets
from vae_core.data import Dataset
from vae_core.evaluate import Assessment, Estimate, Scoring, Trained, assess, log_likelihood
from vae_core.likelihoods import Likelihood
from vae_core.numerics.precision import full_float32, require_precision
from vae_core.objectives import BOUNDS
from vae_core.training import TrainedBundle, TrainedModel, fit_to_residuals, train

FIT_SAMPLES = 10  # of z for an image's ELBO, in the scores of training and validation images


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


def inspect_data(
    name: str, levels: int | None, quantise: int | None = None, train_images: int | None = None
) -> DataFacts:
    """Facts of a data set. Raises vae_core.data.DataError where it cannot be had."""
    data = datasets.load(name, levels=levels, quantise=quantise, train_images=train_images)
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
def carry_out(bundle: Bundle, device: str, weights: Weights | None = None) -> list[CellResult]:
    """Trains the bundle's models together, evaluates each, keeps its weights, and returns a row for each cell.

    A cell whose model diverged gets a failed row; anything that hurts the whole bundle is raised.
    """
    torch.set_flush_denormal(True)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    settled = {cell.id: cell.settled(_chosen(cell, bundle).get("values")) for cell in bundle.cells}
    first = settled[bundle.cells[0].id]
    data = data_of(first, device)
    models: dict[str, list[Cell]] = {}
    for cell in bundle.cells:
        models.setdefault(cell.training_key, []).append(cell)
    trained = train(
        data,
        [member_of(settled[cells[0].id], data.levels) for cells in models.values()],
        architecture_of(first),
        schedule_of(first),
        device,
    )
    results: list[CellResult] = []
    for index, cells in enumerate(models.values()):
        failure = trained.failures[index]
        of_choice = _of_choice(_chosen(cells[0], bundle))
        if failure is not None:
            values = _of_training(trained, index, device) | of_choice
            results += [CellResult(cell.id, "failed", failure, values) for cell in cells]
        else:
            model = trained.models[index]
            asked = {settled[cell.id].id: cell for cell in cells}
            # before its row: the peak memory holds it
            assessed = list(_assessed([settled[cell.id] for cell in cells], model, data))
            scored = {asked[as_trained.id]: assessment.likelihood for as_trained, assessment in assessed}
            kept = from_cell.keep(weights, model, scored, assessed[0][0], data)
            for as_trained, assessment in assessed:
                of_training = _of_training(trained, index, device) | _of_fit(as_trained, model, assessment, data)
                row = of_training | of_choice | kept
                results.append(_row(asked[as_trained.id], row, assessment, trained.history[index]))
    return results


def _chosen(cell: Cell, bundle: Bundle) -> Mapping[str, Any]:
    """What tuning gave for the cell: "values", "edges", "seconds"; nothing where it is not tuned."""
    return bundle.chosen[cell.search] if cell.search else {}


def _assessed(cells: Sequence[Cell], model: TrainedModel, data: Dataset) -> Iterator[tuple[Cell, Assessment]]:
    """Scores one trained model as each of its cells asks; cells that ask for the same images, L and tolerance share
    passes."""
    alike: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.eval_samples, cell.eval_tolerance, cell.test_images), []).append(cell)
    for together in alike.values():
        first = together[0]
        k, levels = scored_images(first, data)
        assessments = assess(
            k,
            model.encode,
            model.decode,
            [Scoring(_scored_as(cell, model, data), cell.refine) for cell in together],
            levels=levels,
            samples=first.eval_samples,
            tolerance=first.eval_tolerance,
            trained=Trained(model.likelihood, first.objective, BOUNDS[first.bound], first.train_samples),
            shape=data.shape,
            seed=first.seed,
        )
        yield from zip(together, assessments, strict=True)


def _scored_as(cell: Cell, model: TrainedModel, data: Dataset) -> Likelihood:
    """The distribution that the cell's model is scored as; a scale to be fitted is, to training data."""
    likelihood = model.likelihood.scored(cell.scored_as)
    if likelihood.needs_fit:
        fit_to_residuals(model, likelihood, data, cell.seed)
    return likelihood


def _row(
    cell: Cell, of_training: dict[str, Value], assessed: Assessment, history: Sequence[tuple[int, float, float]]
) -> CellResult:
    return CellResult(
        cell=cell.id,
        status="done",
        values={
            **of_training,
            **_of_encoder(assessed),
            **_of_scores(assessed),
            **_of_density(assessed),
            **_of_gaps(assessed),
            **_of_model(assessed),
            "eval_seconds": assessed.seconds,
        },
        bounds=list(_bounds(assessed)),
        per_image=_per_image(assessed.mass, assessed.samples[-1]),
        latents=list(zip(assessed.latents.kl.tolist(), assessed.latents.mean_variance.tolist(), strict=True)),
        calibration=assessed.calibration.histogram.tolist(),
        history=history,
        pictures=assessed.pictures._asdict(),
    )


# -- columns -----------------------------------------------------------------------------------------------------------


def _of_training(trained: TrainedBundle, index: int, device: str) -> dict[str, Value]:
    """Of one of the bundle's models."""
    if device == "cuda":
        peak, name = torch.cuda.max_memory_allocated(), torch.cuda.get_device_name()
    else:
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "cpu"
    return {
        "best_epoch": trained.best_epoch[index],
        "epochs_run": trained.epochs_run[index],
        "ended_by": trained.ended_by[index],
        "converged": int(trained.ended_by[index] == "patience"),
        "last_gain_bits_per_dim": trained.last_gain[index][0],
        "last_gain_se": trained.last_gain[index][1],
        "parameters": trained.parameters[index],
        "train_seconds": trained.seconds / len(trained.models),
        "bundle_train_images_per_s": trained.images_per_second,
        "bundle_models": len(trained.models),
        "peak_memory_bytes": peak,
        "device": name,
    }


def _of_choice(chosen: Mapping[str, Any]) -> dict[str, Value]:
    """What tuning gave."""
    if not chosen:
        return {"tuned": "", "tuned_edges": "", "tune_seconds": math.nan}
    return {
        "tuned": json.dumps(chosen["values"]),
        "tuned_edges": json.dumps(chosen["edges"]) if chosen["edges"] else "",
        "tune_seconds": chosen["seconds"],
    }


def _of_fit(cell: Cell, model: TrainedModel, assessed: Assessment, data: Dataset) -> dict[str, Value]:
    """How well the model fits what it was trained on and what it was chosen by, on as many images as are tested."""
    bits: dict[str, float] = {}
    for split in ("train", "valid"):
        k, levels = compared_images(cell, data, split, len(assessed.log_likelihood))
        estimate = log_likelihood(
            k, model.encode, model.decode, assessed.likelihood, (FIT_SAMPLES,), levels, seed=cell.seed
        )
        bits[split] = -float(estimate.elbo.mean()) * assessed.bits_of_a_nat
    of_test = -float(assessed.encoder.elbo.mean()) * assessed.bits_of_a_nat
    return {
        "train_bits_per_dim": bits["train"],
        "valid_bits_per_dim": bits["valid"],
        "generalisation_bits_per_dim": of_test - bits["train"],
    }


def _of_encoder(assessed: Assessment) -> dict[str, Value]:
    """What the encoder's own q says: the ELBO and its parts, the training objective, the bound from it alone."""
    encoder = assessed.encoder
    assert assessed.trained_on is not None  # the cell says on what
    return {
        "elbo_nats": float(encoder.elbo.mean()),
        "elbo_se": _standard_error(encoder.elbo),
        "training_objective_nats": float(assessed.trained_on.mean()),
        "kl_nats": float(encoder.kl.mean()),
        "reconstruction_nats": float(encoder.reconstruction.mean()),
        "encoder_iw_nats": float(encoder.bound[assessed.encoder_samples].mean()),
        "encoder_samples": assessed.encoder_samples,
        "encoder_khat_bad_fraction": encoder.bad_share,
    }


def _of_scores(assessed: Assessment) -> dict[str, Value]:
    """What the cell is ranked by: means over the N test images; standard errors over images unless named otherwise."""
    largest, mass, images = assessed.samples[-1], assessed.mass, assessed.log_likelihood
    return {
        "measure": f"pmf-{assessed.levels}",
        "currency": "pmf-2" if assessed.levels == 2 else "pmf-K",
        "estimator": "refined" if assessed.refined else "encoder",
        "iw_nats": float(images.mean()),
        "iw_se": _standard_error(images),
        "iw_samples": largest,
        "iw_mc_se": float(mass.standard_error[largest].square().sum().sqrt() / len(images)),
        "khat_median": float(mass.khat.median()),
        "khat_bad_fraction": mass.bad_share,
        "ess_median": float(mass.ess.median()),
        "jackknife_nats": float(mass.jackknife.mean()),
        "bits_per_dim": assessed.bits_per_dim,
        "bits_per_dim_se": _standard_error(images) * assessed.bits_of_a_nat,
    }


def _of_density(assessed: Assessment) -> dict[str, Value]:
    """What the density of the dequantised data says, where there is one, beside the ranked mass."""
    density = assessed.density
    if density is None:
        return {}
    nats = float(density.bound[assessed.samples[-1]].mean())
    on_integers = nats - assessed.dims * math.log(assessed.levels)
    return {
        "density_nats": nats,
        "dequantised_nats": on_integers,
        "dequantised_bits_per_dim": -on_integers * assessed.bits_of_a_nat,
        "density_khat_bad_fraction": density.bad_share,
    }


def _of_gaps(assessed: Assessment) -> dict[str, Value]:
    """The gap of the encoder's ELBO in two parts, over some of the images, where proposals were fitted."""
    if assessed.gaps is None:
        return {}
    return {
        "amortisation_gap_nats": float(assessed.gaps.amortisation.mean()),
        "approximation_gap_nats": float(assessed.gaps.approximation.mean()),
    }


def _of_model(assessed: Assessment) -> dict[str, Value]:
    """Its latent dimensions, the noise that it predicts, its scale."""
    latents, noise = assessed.latents, assessed.calibration
    return {
        "active_units": int(latents.active_units),
        "collapsed": int(latents.collapsed),
        "pit_deviation": float(noise.deviation),
        "coverage_50": float(noise.coverage_50),
        "coverage_95": float(noise.coverage_95),
        "noise_predicted": float(noise.noise_predicted),
        "noise_realised": float(noise.noise_realised),
        "sigma_fitted": assessed.sigma,
    }


def _standard_error(per_image: Tensor) -> float:
    """Of the mean over images."""
    return float(per_image.std() / math.sqrt(len(per_image))) if len(per_image) > 1 else math.nan


def _bounds(assessed: Assessment) -> Iterator[tuple[int, float, float, float]]:
    """(L, mean bound, standard error of that mean over images, mean bound from the encoder's q alone: NaN at an L that
    only the score went to), at each L of the grid that the score needed."""
    for size in assessed.samples:
        bound = assessed.mass.bound[size]
        of_encoder = assessed.encoder.bound.get(size)
        from_encoder = math.nan if of_encoder is None else float(of_encoder.mean())
        yield size, float(bound.mean()), _standard_error(bound), from_encoder


def _per_image(mass: Estimate, largest: int) -> dict[str, np.ndarray]:
    arrays = {
        "iw_nats": mass.bound[largest],
        "standard_error": mass.standard_error[largest],
        "ess": mass.ess,
        "khat": mass.khat,
    }
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
