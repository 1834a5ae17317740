"""Carries out a bundle: its models are trained together, and each is scored in all the ways that its cells ask for.
Bundle in, rows out."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from bench.engine.process.death import of_error, place_of
from bench.engine.process.serve import partly
from bench.engine.worker import from_cell
from bench.engine.worker.from_cell import (
    architecture_of,
    data_of,
    member_of,
    schedule_of,
    scored_images,
)
from bench.engine.worker.programs import programs_on, steps_on
from bench.engine.worker.rows import of_check, of_choice, of_fit, of_reading, of_training, row_of
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.store import CellResult, Value
from bench.store.weights import Weights
from vae_core.data import Dataset
from vae_core.evaluate import Assessment, ImpossibleScore, Scoring, Trained, assess
from vae_core.laws import NotAScore
from vae_core.likelihoods import Likelihood
from vae_core.numerics import memory
from vae_core.numerics.precision import full_float32
from vae_core.objectives import BOUNDS
from vae_core.training import TrainedBundle, TrainedModel, fit_scale, train


@full_float32()  # the evaluation; training takes what the cells ask for
def carry_out(bundle: Bundle, device: str, weights: Weights | None = None) -> list[CellResult]:
    """Trains the bundle's models together, evaluates each, keeps its weights, and returns a row for each cell.

    A cell whose model diverged, or whose score is none, gets a failed row; anything that hurts the whole bundle is
    raised. In a worker process each model's rows are handed over as soon as they are there, and only those of models
    whose scores did not fit into memory are left to be returned.
    """
    torch.set_flush_denormal(True)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    settled = {cell.id: cell.settled(_chosen(cell, bundle).get("values")) for cell in bundle.stack}
    first = settled[bundle.cells[0].id]
    data = data_of(first, device)
    models: dict[str, list[Cell]] = {}
    for cell in bundle.stack:
        models.setdefault(cell.training_key, []).append(cell)
    asked = {cell.id for cell in bundle.cells}
    trained = train(
        data,
        [member_of(settled[cells[0].id], data.levels) for cells in models.values()],
        architecture_of(first),
        schedule_of(first),
        device,
        compiled=steps_on(device),
    )
    results: list[CellResult] = []
    for index, together in enumerate(models.values()):
        cells = [cell for cell in together if cell.id in asked]
        if not cells:  # it was trained along
            continue
        rows = _rows([(cell, settled[cell.id]) for cell in cells], trained, index, data, device, bundle, weights)
        if any(row.status == "oom" for row in rows) or not partly(rows):
            results += rows
    order = {cell.id: place for place, cell in enumerate(bundle.cells)}
    return sorted(results, key=lambda result: order[result.cell])


def _rows(
    cells: Sequence[tuple[Cell, Cell]],
    trained: TrainedBundle,
    index: int,
    data: Dataset,
    device: str,
    bundle: Bundle,
    weights: Weights | None,
) -> list[CellResult]:
    """Of one trained model, a row for each of its cells, which are given with what they are as they are trained."""
    choice = of_choice(_chosen(cells[0][0], bundle))

    def of_model() -> dict[str, Value]:
        return of_training(trained, index, device, data.dims) | choice

    if failure := trained.failures[index]:
        return [CellResult(cell.id, "failed", failure, of_model()) for cell, _ in cells]
    results = []
    model = trained.models[index]
    asked = {as_trained.id: cell for cell, as_trained in cells}
    # before its row: the peak memory holds it
    assessed, faults, too_large = _assessed_if_it_fits([as_trained for _, as_trained in cells], model, data)
    if too_large:
        return [CellResult(cell.id, "oom", too_large, of_model()) for cell, _ in cells]
    for as_trained, fault in faults:
        values = of_model() | of_check(fault.found)
        results.append(CellResult(asked[as_trained.id].id, "failed", str(fault), values))
    if not assessed:
        return results
    scored = {asked[as_trained.id]: assessment.likelihood for as_trained, assessment in assessed}
    kept = from_cell.keep(weights, model, scored, assessed[0][0], data)
    for as_trained, assessment in assessed:
        cell, values = asked[as_trained.id], of_model() | kept
        try:
            values |= of_fit(as_trained, model, assessment, data)
            values |= of_reading(as_trained, model, assessment, data)
            row = row_of(cell, values, assessment, trained.history[index], data.test_blocks)
        except ImpossibleScore as impossible:
            row = CellResult(cell.id, "failed", str(impossible), values)
        except Exception as error:
            row = CellResult(cell.id, "oom", _of_memory(error, as_trained, data), values)
        results.append(row)
    return results


def _chosen(cell: Cell, bundle: Bundle) -> Mapping[str, Any]:
    """What tuning gave for the cell: "values", "edges", "seconds"; nothing where it is not tuned."""
    return bundle.chosen[cell.search] if cell.search else {}


def _assessed_if_it_fits(
    cells: Sequence[Cell], model: TrainedModel, data: Dataset
) -> tuple[list[tuple[Cell, Assessment]], list[tuple[Cell, NotAScore]], str]:
    """`_assessed_or_not`; where memory ran out nothing, and why, so that other models have their scores."""
    try:
        return *_assessed_or_not(cells, model, data), ""
    except Exception as error:
        return [], [], _of_memory(error, cells[0], data)


def _of_memory(error: Exception, cell: Cell, data: Dataset) -> str:
    """What a cell is told whose score did not fit into memory, which is free again. Raises any other error again."""
    if not memory.ran_out(error):
        raise error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    told = of_error(error, place_of(frame.filename, frame.lineno)).reason
    memory.let_go(error)
    images = len(scored_images(cell, data)[0])
    fewer = f"--set test_images={images // 2} asks for less" if images > 1 else "a smaller network asks for less"
    return f"{told}; scoring one model did not fit{memory.tried()}: free what others hold of the memory, or {fewer}"


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
