"""What a worker gives for a cell: every column of its row, from its training, its choice, and its assessment."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.engine.worker.from_cell import compared_images
from bench.engine.worker.programs import programs_on
from bench.grid.cell import Cell
from bench.store import CellResult, Value
from vae_core.data import Dataset
from vae_core.evaluate import Assessment, Estimate, log_likelihood
from vae_core.laws import Checked
from vae_core.statistics.blocks import by_block, of_some
from vae_core.training import TrainedBundle, TrainedModel

FIT_SAMPLES = 10  # of z for an image's ELBO, in the scores of training and validation images
READING_IMAGES = 200  # validation images at most, at even spacing, by which a recipe's reading is chosen
READING_SAMPLES = 100  # of z for the bound of each


def row_of(
    cell: Cell,
    of_training: dict[str, Value],
    assessed: Assessment,
    history: Sequence[tuple[int, float, float]],
    blocks: Sequence[int] = (),
) -> CellResult:
    """`blocks`: of its test images, where those of a block are alike (`vae_core.statistics.blocks`)."""
    blocks = of_some(blocks, len(assessed.log_likelihood))
    return CellResult(
        cell=cell.id,
        status="done",
        values={
            **of_training,
            **_of_encoder(assessed, blocks),
            **_of_scores(assessed, blocks),
            **_of_density(assessed),
            **_of_renormalised(assessed),
            **_of_gaps(assessed),
            **_of_model(assessed),
            **of_check(assessed.checked),
            "eval_seconds": assessed.seconds,
        },
        bounds=list(_bounds(assessed, blocks)),
        per_image=_per_image(assessed.mass, assessed.samples[-1]),
        latents=list(zip(assessed.latents.kl.tolist(), assessed.latents.mean_variance.tolist(), strict=True)),
        calibration=assessed.calibration.histogram.tolist(),
        history=history,
        pictures=assessed.pictures._asdict(),
    )


def of_training(trained: TrainedBundle, index: int, device: str, dims: int) -> dict[str, Value]:
    """Of one of the bundle's models, on images of D = dims."""
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
        "outputs": trained.models[index].likelihood.outputs(dims),
        "train_seconds": trained.seconds / len(trained.models),
        "bundle_train_images_per_s": trained.images_per_second,
        "bundle_models": len(trained.models),
        "peak_memory_bytes": peak,
        "device": name,
    }


def of_choice(chosen: Mapping[str, Any]) -> dict[str, Value]:
    """What tuning gave."""
    if not chosen:
        return {"tuned": "", "tuned_edges": "", "tune_seconds": math.nan}
    return {
        "tuned": json.dumps(chosen["values"]),
        "tuned_edges": json.dumps(chosen["edges"]) if chosen["edges"] else "",
        "tune_seconds": chosen["seconds"],
    }


def of_fit(cell: Cell, model: TrainedModel, assessed: Assessment, data: Dataset) -> dict[str, Value]:
    """How well the model fits what it was trained on and what it was chosen by, on as many images as are tested."""
    bits: dict[str, float] = {}
    for split in ("train", "valid"):
        k, levels = compared_images(cell, data, split, len(assessed.log_likelihood))
        named: dict[str, Any] = {"programs": programs_on(k.device.type), "seed": cell.seed}
        estimate = log_likelihood(k, model.encode, model.decode, assessed.likelihood, (FIT_SAMPLES,), levels, **named)
        bits[split] = -float(estimate.elbo.mean()) * assessed.bits_of_a_nat
    of_test = -float(assessed.encoder.elbo.mean()) * assessed.bits_of_a_nat
    return {
        "train_bits_per_dim": bits["train"],
        "valid_bits_per_dim": bits["valid"],
        "generalisation_bits_per_dim": of_test - bits["train"],
    }


def of_reading(cell: Cell, model: TrainedModel, assessed: Assessment, data: Dataset) -> dict[str, Value]:
    """What a reading is chosen by, where there are several: a bound of the exact masses of validation images.

    It is importance-weighted, and refined as the test images' is. The ELBO by that q would not be fair: q
    was made for the recipe's own loss, and falls the shorter of a reading the narrower that is.
    """
    if len(assessed.likelihood.scorings) == 1:
        return {"reading_bits_per_dim": math.nan}
    k, levels = compared_images(cell, data, "valid", READING_IMAGES)
    estimate = log_likelihood(
        k,
        model.encode,
        model.decode,
        assessed.likelihood,
        (READING_SAMPLES,),
        levels,
        refine=cell.refine,
        programs=programs_on(k.device.type),
        seed=cell.seed,
    )
    return {"reading_bits_per_dim": -float(estimate.bound[READING_SAMPLES].mean()) * assessed.bits_of_a_nat}


def of_check(checked: Checked) -> dict[str, Value]:
    """What summing the masses where they were used gave, and scoring images alone."""
    return {
        "mass_deviation": checked.mass_deviation,
        "masses_summed": checked.masses_summed,
        "alone_deviation_nats": checked.alone_deviation,
    }


def _of_encoder(assessed: Assessment, blocks: Sequence[int]) -> dict[str, Value]:
    """What the encoder's own q says: the ELBO and its parts, the training objective, the bound from it alone."""
    encoder = assessed.encoder
    assert assessed.trained_on is not None  # the cell says on what
    return {
        "elbo_nats": float(encoder.elbo.mean()),
        "elbo_se": _standard_error(encoder.elbo, blocks),
        "training_objective_nats": float(assessed.trained_on.mean()),
        "kl_nats": float(encoder.kl.mean()),
        "reconstruction_nats": float(encoder.reconstruction.mean()),
        "encoder_iw_nats": float(encoder.bound[assessed.encoder_samples].mean()),
        "encoder_samples": assessed.encoder_samples,
        "encoder_khat_bad_fraction": encoder.bad_share,
    }


def _of_scores(assessed: Assessment, blocks: Sequence[int]) -> dict[str, Value]:
    """What the cell is ranked by: means over the N test images; standard errors over images, or blocks
    of them, unless named otherwise."""
    largest, mass, images = assessed.samples[-1], assessed.mass, assessed.log_likelihood
    return {
        "measure": f"pmf-{assessed.levels}",
        "currency": "pmf-2" if assessed.levels == 2 else "pmf-K",
        "estimator": "refined" if assessed.refined else "encoder",
        "iw_nats": float(images.mean()),
        "iw_se": _standard_error(images, blocks),
        "iw_samples": largest,
        "iw_mc_se": float(mass.standard_error[largest].square().sum().sqrt() / len(images)),
        "khat_median": float(mass.khat.median()),
        "khat_bad_fraction": mass.bad_share,
        "ess_median": float(mass.ess.median()),
        "jackknife_nats": float(mass.jackknife.mean()),
        "bits_per_dim": assessed.bits_per_dim,
        "bits_per_dim_se": _standard_error(images, blocks) * assessed.bits_of_a_nat,
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


def _of_renormalised(assessed: Assessment) -> dict[str, Value]:
    """The score with renormalised ends, where the ends are open, and what the score owes to that they are."""
    closed = assessed.renormalised
    if closed is None:
        return {}
    nats = float(closed.bound[assessed.samples[-1]].mean())
    bits_per_dim = -nats * assessed.bits_of_a_nat
    return {
        "renormalised_nats": nats,
        "renormalised_bits_per_dim": bits_per_dim,
        "renormalised_khat_bad_fraction": closed.bad_share,
        "end_bins_bits_per_dim": bits_per_dim - assessed.bits_per_dim,
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


def _standard_error(per_image: Tensor, blocks: Sequence[int]) -> float:
    """Of the mean over images; over blocks, where those were drawn."""
    if blocks:
        per_image = torch.from_numpy(by_block(per_image.double().cpu().numpy(), blocks))
    return float(per_image.std() / math.sqrt(len(per_image))) if len(per_image) > 1 else math.nan


def _bounds(assessed: Assessment, blocks: Sequence[int]) -> Iterator[tuple[int, float, float, float]]:
    """(L, mean bound, standard error of that mean over images, mean bound from the encoder's q alone: NaN at an L that
    only the score went to), at each L of the grid that the score needed."""
    for size in assessed.samples:
        bound = assessed.mass.bound[size]
        of_encoder = assessed.encoder.bound.get(size)
        from_encoder = math.nan if of_encoder is None else float(of_encoder.mean())
        yield size, float(bound.mean()), _standard_error(bound, blocks), from_encoder


def _per_image(mass: Estimate, largest: int) -> dict[str, np.ndarray]:
    arrays = {
        "iw_nats": mass.bound[largest],
        "standard_error": mass.standard_error[largest],
        "ess": mass.ess,
        "khat": mass.khat,
    }
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
