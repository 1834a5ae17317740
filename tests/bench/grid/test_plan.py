"""From cells to bundles: nothing lost, nothing split that belongs together, the same bundles every time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grid.cell import Cell
from bench.grid.families import make
from bench.grid.plan import MODELS_AT_LEAST, MODELS_AT_MOST, alone, halves, plan, restrict
from bench.grid.read import load_grid, parse_grid, shipped_grids
from bench.grid.settings import KEYS

SHAPE = [name for name, key in KEYS.items() if key.bundled]
MIXED = """
[grid]
seed = [0, 1, 2]
[[cells]]
family = ["gaussian", "laplace"]
sigma = [0.1, 0.5, "shared", "pixel", "image"]
latent = [2, 5]
[[cells]]
family = ["mse_sum", "bce_sum", "categorical"]
precision = ["float32", "bf16"]
[[cells]]
family = "bernoulli"
train_samples = [1, 5]
bound = ["elbo", "iwae"]
binarisation = ["stochastic", "threshold"]
"""
CELLS = parse_grid(MIXED, "mixed", "mixed.toml").cells
devices = st.sampled_from(["cpu", "cuda"])


@given(st.lists(st.sampled_from(CELLS), unique_by=lambda cell: cell.id, min_size=1), devices, st.integers(1, 9))
def test_bundles_are_a_partition_into_one_shape_each(cells, device, workers):
    bundles = plan(cells, device, workers)
    assert Counter(cell.id for bundle in bundles for cell in bundle.cells) == Counter(cell.id for cell in cells)
    assert len({bundle.id for bundle in bundles}) == len(bundles)
    homes: dict[str, str] = {}
    for bundle in bundles:
        assert len({tuple(getattr(cell, name) for name in SHAPE) for cell in bundle.cells}) == 1
        assert len({make(cell.family, cell.options).outputs(997) for cell in bundle.cells}) == 1
        assert len({cell.training_key for cell in bundle.cells}) <= MODELS_AT_MOST[device]
        for cell in bundle.cells:
            assert homes.setdefault(cell.training_key, bundle.id) == bundle.id


@given(devices, st.integers(1, 9))
def test_a_plan_is_a_function_of_the_grid(device, workers):
    assert plan(CELLS, device, workers) == plan(tuple(CELLS), device, workers)


def test_kinds_of_likelihood_stand_side_by_side():
    for bundle in plan(CELLS, "cpu", 2):
        kinds = [(cell.family, cell.sigma_mode, cell.objective, cell.bound) for cell in bundle.cells]
        assert len(list(itertools.groupby(kinds))) == len(set(kinds))


@pytest.mark.parametrize("name", sorted(shipped_grids()))
@pytest.mark.parametrize("workers", [2, 4])
def test_no_worker_is_left_with_one_long_bundle(name, workers):
    cells = load_grid(shipped_grids()[name]).cells
    bundles = plan(cells, "cpu", workers)

    def work(bundle):  # decodes in training, times the width of the last layer
        models = {cell.training_key: cell for cell in bundle.cells}.values()
        return sum(15 * c.epochs * c.train_samples * make(c.family, c.options, 32).outputs(997) for c in models)

    loads = [0.0] * workers
    for bundle in bundles:  # as the pool hands them out: the next bundle to whoever is free first
        loads[loads.index(min(loads))] += work(bundle)
    smallest = min(len({cell.training_key for cell in bundle.cells}) for bundle in bundles)
    assert max(loads) <= 1.35 * sum(loads) / workers or smallest <= MODELS_AT_LEAST


def test_one_worker_gets_full_bundles():
    cells = parse_grid(f"[grid]\nfamily='gaussian'\nsigma=0.1\nseed={list(range(40))}", "t", "t").cells
    assert [len(bundle.cells) for bundle in plan(cells, "cpu", 1)] == [14, 13, 13]
    assert [len(bundle.cells) for bundle in plan(cells, "cuda", 1)] == [40]


def test_halves_keep_models_whole_and_end():
    todo = list(plan(CELLS, "cpu", 1))
    single: list[Cell] = []
    while todo:
        bundle = todo.pop()
        parts = halves(bundle)
        assert [cell for part in parts for cell in part.cells] == list(bundle.cells)
        if len(parts) == 1:
            assert len({cell.training_key for cell in bundle.cells}) == 1
            single += bundle.cells
        todo += parts if len(parts) > 1 else []
    assert {cell.id for cell in single} == {cell.id for cell in CELLS}


def test_a_resumed_run_meets_the_same_bundles():
    whole = plan(CELLS, "cpu", 2)
    done = {cell.id for cell in whole[0].cells} | {whole[1].cells[0].id}
    wanted = {cell.id for cell in CELLS} - done
    left = [bundle for planned in whole if (bundle := restrict(planned, wanted))]
    assert left[1:] == list(whole[2:])
    assert left[0].cells == whole[1].cells[1:]
    assert left[0].id != whole[1].id
    assert left[0].stack == whole[1].cells  # trained together as they were, for another stack rounds otherwise
    assert left[0].trained
    assert not left[1].trained


def test_a_model_that_is_left_of_a_bundle_can_be_tried_alone():
    """Without those that are trained along: memory may not hold them all."""
    bundle = next(bundle for bundle in plan(CELLS, "cpu", 2) if len({c.training_key for c in bundle.cells}) > 1)
    last = bundle.cells[-1].training_key
    left = restrict(bundle, [cell.id for cell in bundle.cells if cell.training_key == last])
    assert left is not None
    assert left.stack == bundle.cells
    (alone_again,) = halves(left)
    assert alone_again != left
    assert alone_again.stack == left.cells
    assert halves(alone_again) == (alone_again,)
    assert [part.stack for part in alone(left, [left.cells[0].id])] == [left.cells]
    assert alone(alone_again, [left.cells[0].id]) == ()
