"""Carries out a bundle: its models are trained together, and each is scored in all the ways that its cells ask for.
Bundle in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from bench.engine.worker import from_cell
from bench.engine.worker.from_cell import (
    architecture_of,
    data_of,
    member_of,
    schedule_of,
    scored_images,
)
from bench.engine.worker.programs import programs_on
from bench.engine.worker.rows import of_check, of_choice, of_fit, of_reading, of_training, row_of
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.store import CellResult
from bench.store.weights import Weights
from vae_core.data import Dataset
from vae_core.evaluate import Assessment, ImpossibleScore, Scoring, Trained, assess
from vae_core.laws import NotAScore
from vae_core.likelihoods import Likelihood
from vae_core.numerics.precision import full_float32
from vae_core.objectives import BOUNDS
from vae_core.training import TrainedModel, fit_scale, train


@full_float32()  # the evaluation; training takes what the cells ask for
def carry_out(bundle: Bundle, device: str, weights: Weights | None = None) -> list[CellResult]:
    """Trains the bundle's models together, evaluates each, keeps its weights, and returns a row for each cell.

    A cell whose model diverged, or whose score is none, gets a failed row; anything that hurts the whole bundle is
    raised.
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
        choice = of_choice(_chosen(cells[0], bundle))
        if failure is not None:
            values = of_training(trained, index, device, data.dims) | choice
            results += [CellResult(cell.id, "failed", failure, values) for cell in cells]
        else:
            model = trained.models[index]
            asked = {settled[cell.id].id: cell for cell in cells}
            # before its row: the peak memory holds it
            assessed, faults = _assessed_or_not([settled[cell.id] for cell in cells], model, data)
            for as_trained, fault in faults:
                values = of_training(trained, index, device, data.dims) | choice | of_check(fault.found)
                results.append(CellResult(asked[as_trained.id].id, "failed", str(fault), values))
            if not assessed:
                continue
            scored = {asked[as_trained.id]: assessment.likelihood for as_trained, assessment in assessed}
            kept = from_cell.keep(weights, model, scored, assessed[0][0], data)
            for as_trained, assessment in assessed:
                cell, values = asked[as_trained.id], of_training(trained, index, device, data.dims) | choice | kept
                try:
                    values |= of_fit(as_trained, model, assessment, data)
                    values |= of_reading(as_trained, model, assessment, data)
                    row = row_of(cell, values, assessment, trained.history[index], data.test_blocks)
                except ImpossibleScore as impossible:
                    row = CellResult(cell.id, "failed", str(impossible), values)
                results.append(row)
    order = {cell.id: place for place, cell in enumerate(bundle.cells)}
    return sorted(results, key=lambda result: order[result.cell])


def _chosen(cell: Cell, bundle: Bundle) -> Mapping[str, Any]:
    """What tuning gave for the cell: "values", "edges", "seconds"; nothing where it is not tuned."""
    return bundle.chosen[cell.search] if cell.search else {}


def _assessed_or_not(
    cells: Sequence[Cell], model: TrainedModel, data: Dataset
) -> tuple[list[tuple[Cell, Assessment]], list[tuple[Cell, NotAScore]]]:
    """`_assessed`, and the cells whose score is none; where there is one, each is scored by itself, so that a fault of
    one way to score a model takes no other along."""
    try:
        return list(_assessed(cells, model, data)), []
    except NotAScore as fault:
        if len(cells) == 1:
            return [], [(cells[0], fault)]
    alone = [_assessed_or_not([cell], model, data) for cell in cells]
    return [pair for assessed, _ in alone for pair in assessed], [pair for _, faults in alone for pair in faults]


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
            trained=Trained(
                model.likelihood,
                first.objective,
                BOUNDS[first.bound],
                first.train_samples,
                first.kl_weight,
                first.free_bits,
            ),
            shape=data.shape,
            programs=programs_on(k.device.type),
            seed=first.seed,
        )
        yield from zip(together, assessments, strict=True)


def _scored_as(cell: Cell, model: TrainedModel, data: Dataset) -> Likelihood:
    """The distribution that the cell's model is scored as; a scale to be fitted is, to training data."""
    likelihood = model.likelihood.scored(cell.scored_as)
    if likelihood.needs_fit:
        fit_scale(likelihood, data, model.encode, model.decode, seed=cell.seed)
    return likelihood
