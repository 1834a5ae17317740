"""From cells to bundles: nothing lost, nothing split that belongs together, the same bundles every time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grid.cell import Cell
from bench.grid.families import make
from bench.grid.plan import MODELS_AT_LEAST, MODELS_AT_MOST, alone, halves, parted, plan, restrict
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


def trained(bundle, kills):
    """(model, stack) of each model that a bundle gives, in order, as one that meets with `kills` (by model, "training"
    or "scoring") gives them; None comes where the worker dies."""
    stack = tuple(dict.fromkeys(cell.training_key for cell in bundle.stack))
    if any(kills.get(model) == "training" for model in stack):
        yield None
        return
    for model in dict.fromkeys(cell.training_key for cell in bundle.cells):
        if kills.get(model):
            yield None
            return
        yield model, stack


def carried_out(bundles, kills):
    """(model, stack, or "died" of one alone) as a run comes to them: what is left of a bundle is tried in halves."""
    todo = list(reversed(bundles))
    while todo:
        bundle, given = todo.pop(), set()
        for one in trained(bundle, kills):
            if one is not None:
                given.add(one[0])
                yield one
                continue
            rest = restrict(bundle, {cell.id for cell in bundle.cells if cell.training_key not in given})
            assert rest is not None
            parts = halves(rest)
            if parts == (bundle,):
                yield bundle.cells[0].training_key, "died"
            else:
                todo += reversed(parts)


WIDE = next(bundle for bundle in plan(parse_grid(MIXED, "mixed", "m").cells, "cuda", 1) if len(bundle.cells) > 12)
MODELS = list(dict.fromkeys(cell.training_key for cell in WIDE.cells))


@given(
    st.dictionaries(st.sampled_from(MODELS), st.sampled_from(["training", "scoring"]), min_size=1, max_size=5),
    st.integers(0, 60),
)
def test_a_resumed_run_goes_on_in_the_parts_that_deaths_have_made_and_no_known_death_is_died_again(kills, stop):
    undisturbed = dict(carried_out([WIDE], kills))
    assert {model for model, stack in undisturbed.items() if stack == "died"} == set(kills)
    events = list(carried_out([WIDE], kills))[:stop]
    known = {model for model, stack in events if stack == "died"}
    beside = {model: len(stack) for model, stack in events if stack != "died"}
    ids = {model: [cell.id for cell in WIDE.cells if cell.training_key == model] for model in MODELS}
    parts = parted(WIDE, {i for m in known for i in ids[m]}, {i: n for m, n in beside.items() for i in ids[m]})
    assert Counter(cell.id for part in parts for cell in part.cells) == Counter(cell.id for cell in WIDE.cells)
    for again in (set(), known):  # what has died is left as it is, or tried again
        wanted = {
            i for model in MODELS if model not in beside and (model not in known or model in again) for i in ids[model]
        }
        left = [part for whole in parts if (part := restrict(whole, wanted))]
        for part in left:
            dying = known & {cell.training_key for cell in part.stack}
            assert len({cell.training_key for cell in part.stack}) == 1 or not dying, "who is known is alone"
        for model, stack in carried_out(left, kills):
            assert stack == undisturbed[model]


def test_what_was_given_of_the_whole_stack_says_that_a_model_dies_as_it_is_scored():
    kills = {MODELS[2]: "scoring"}
    ids = [[cell.id for cell in WIDE.cells if cell.training_key == model] for model in MODELS]
    beside = {i: len(MODELS) for i in ids[0]}
    ahead, *others = parted(WIDE, ids[2], beside)
    assert [cell.training_key for cell in ahead.cells] == MODELS[:2]
    assert ahead.stack == WIDE.cells, "a row of it that is damaged since is computed as it was"
    assert all(len(part.stack) < len(WIDE.cells) for part in others)
    assert [stack for model, stack in carried_out(others, kills) if stack == "died"] == ["died"]


def test_where_most_of_a_bundle_have_died_the_cause_was_hardly_theirs():
    ids = [cell.id for cell in WIDE.cells]
    assert parted(WIDE, ids, {}) == (WIDE,)
    assert parted(WIDE, (), {}) == (WIDE,)
    few = plan(CELLS[:3], "cpu", 1)[0]
    assert [len(part.stack) for part in parted(few, [cell.id for cell in few.cells], {})] == [1] * len(few.cells)
