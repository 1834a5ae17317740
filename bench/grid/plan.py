"""From cells to bundles: models of one shape that train together in one program."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.grid.cell import Cell, short_name
from bench.grid.families import NOMINAL_LEVELS, make
from bench.grid.settings import KEYS

MODELS_AT_MOST = {"cpu": 16, "cuda": 64}
MODELS_AT_LEAST = 4  # a CPU reaches its rate of matrix products with bundles of 4 or more; smaller cuts only lose
NOMINAL_DIMS = 997  # prime, so that no two kinds of decoder output have one width by chance
NEEDED = 1000  # decodes of an image's evaluation that go no further than they must
#: outputs that cost about as much as the rest of a model: three a dimension (digits: 8 ms an epoch at 64, 40 at 1088)
BESIDES = 3 * NOMINAL_DIMS
BUNDLES_A_WORKER = 3  # where several workers share the work, so that none is left with one long bundle at the end
NOTHING_KNOWN: Mapping[str, int] = {}


@dataclass(frozen=True)
class Bundle:
    """Cells of one shape, carried out by one call of the worker.

    All share the keys that are `bundled` (bench.grid.settings) and the decoder's output width. Cells with one
    `training_key` (one model, scored in several ways) are always together. `chosen` has, for each `search` of cells
    that are tuned, what came out: "values", "edges", "seconds". `trained` has the cells, in order, whose models are
    trained together where they are more than those that are asked for: what a run has of a bundle already is trained
    along again when it is resumed, for another stack rounds otherwise, and a refinement can make much of that.
    """

    id: str
    cells: tuple[Cell, ...]
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained: tuple[Cell, ...] = ()

    @property
    def stack(self) -> tuple[Cell, ...]:
        """The cells whose models are trained together, in order."""
        return self.trained or self.cells

    @property
    def models(self) -> int:
        """How many are scored, in however many ways."""
        return len({cell.training_key for cell in self.cells})


@dataclass(frozen=True)
class Tuning:
    """Configurations whose candidates are trained together, before their cells are: all share the candidates and, with
    the first of them, a shape. Cells with one `search` are always together."""

    id: str
    cells: tuple[Cell, ...]


def plan(
    cells: Iterable[Cell], device: str, workers: int, settled: Callable[[Cell], Cell] = Cell.settled
) -> tuple[Bundle, ...]:
    """Cut a grid's cells into bundles, the most expensive first; a function of the grid, the device and the workers,
    and of what was chosen for cells that are tuned (`settled`).

    A resumed run plans the whole grid again and leaves out what is done: so it meets the same bundles.
    """
    shapes: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        shapes.setdefault(_shape(settled(cell)), []).append(cell)
    limit = MODELS_AT_MOST[device]
    groups = [group for shape in shapes.values() for group in _cut(_models(shape), limit)]
    if workers > 1:
        fair = sum(map(_cost, groups)) / (workers * BUNDLES_A_WORKER)
        groups = [part for group in groups for part in _cut(group, _fair_size(group, fair))]
    groups.sort(key=_cost, reverse=True)  # stable: the grid's order decides between equals
    return tuple(bundle_of([cell for model in group for cell in model]) for group in groups)


def plan_tuning(cells: Iterable[Cell], device: str, workers: int) -> tuple[Tuning, ...]:
    """The cells that are tuned, in pieces whose candidates are trained together, the most expensive first."""
    shapes: dict[tuple[object, ...], dict[str, list[Cell]]] = {}
    for cell in cells:
        if cell.search:
            shape = (repr(sorted(cell.tune.items())), *_shape(cell.settled()))
            shapes.setdefault(shape, {}).setdefault(cell.search, []).append(cell)
    groups: list[list[list[Cell]]] = []
    total = sum(map(_tuning_cost, map(list, map(dict.values, shapes.values()))))
    for searches in shapes.values():
        group = list(searches.values())
        candidates = group[0][0].tried
        most = max(1, MODELS_AT_MOST[device] // candidates)
        if workers > 1:
            fair = total / (workers * BUNDLES_A_WORKER)
            pieces = max(1, round(_tuning_cost(group) / fair))
            most = min(most, max(math.ceil(MODELS_AT_LEAST / candidates), math.ceil(len(group) / pieces)))
        groups += _cut(group, most)
    groups.sort(key=_tuning_cost, reverse=True)
    return tuple(tuning_of([cell for search in group for cell in search]) for group in groups)


def tuning_of(cells: Sequence[Cell]) -> Tuning:
    """A piece of tuning with an id that its cells determine."""
    return Tuning(f"tuning-{bundle_of(cells).id}", tuple(cells))


def halves_of_tuning(tuning: Tuning) -> tuple[Tuning, ...]:
    """The configurations in two, or as they are where there is one only."""
    searches = list(dict.fromkeys(cell.search for cell in tuning.cells))
    if len(searches) == 1:
        return (tuning,)
    first = set(searches[: (len(searches) + 1) // 2])
    parts = ([c for c in tuning.cells if c.search in first], [c for c in tuning.cells if c.search not in first])
    return tuple(map(tuning_of, parts))


def bundle_of(cells: Sequence[Cell]) -> Bundle:
    """A bundle with an id that its cells determine."""
    digest = hashlib.sha256("\n".join(cell.id for cell in cells).encode()).hexdigest()[:8]
    return Bundle(f"{short_name(cells[0].dataset)}-{len(cells)}-{digest}", tuple(cells))


def halves(bundle: Bundle) -> tuple[Bundle, ...]:
    """The bundle in two; where one model only is asked for that alone, which is the bundle as it is where no other is
    trained along."""
    models = _models(bundle.cells)
    if len(models) == 1:
        return (replace(bundle, trained=()),)
    middle = (len(models) + 1) // 2
    parts = (models[:middle], models[middle:])
    return tuple(replace(bundle_of([cell for model in part for cell in model]), chosen=bundle.chosen) for part in parts)


def alone(bundle: Bundle, wanted: Iterable[str]) -> tuple[Bundle, ...]:
    """A bundle for each model of those cells (by id); none where the bundle trains one model only."""
    ids, models = set(wanted), _models(bundle.cells)
    several = len(_models(bundle.stack)) > 1
    apart = [model for model in models if any(cell.id in ids for cell in model)] if several else []
    return tuple(replace(bundle_of(model), chosen=bundle.chosen) for model in apart)


def restrict(bundle: Bundle, wanted: Iterable[str]) -> Bundle | None:
    """The bundle with the wanted cells only (by id), the others trained along; None where there are none."""
    ids = set(wanted)
    kept = [cell for cell in bundle.cells if cell.id in ids]
    if len(kept) == len(bundle.cells):
        return bundle
    return replace(bundle_of(kept), chosen=bundle.chosen, trained=bundle.stack) if kept else None


def parted(bundle: Bundle, killers: Iterable[str], beside: Mapping[str, int]) -> tuple[Bundle, ...]:
    """A planned bundle as it is to be trained where some of its cells (`killers`, by id) are known to have taken a
    worker along: each of their models alone, and the others in the parts, and so with the numbers, that a run has come
    to which saw them die. `beside`: how many models the stored rows of cells were trained among.

    Such a run tries what a bundle has not given before the death in halves (`bench.engine.run`). Rows that were given
    ahead of a killer, of the whole stack, say that it dies as it is scored, and not in training; rows of such halves,
    that somebody died who is not known yet, or that memory did not hold all of it. Where most of a bundle have died,
    and they are not few, the cause was hardly theirs, and nobody is taken out for it.
    """
    ids, models = set(killers), _models(bundle.cells)
    dying = sum(_any_of(model, ids) for model in models)
    many = dying >= MODELS_AT_LEAST and 2 * dying > len(models)
    return tuple(_parts(bundle, set() if many else ids, beside))


def _parts(bundle: Bundle, killers: set[str], beside: Mapping[str, int]) -> list[Bundle]:
    models = _models(bundle.cells)
    first = next((place for place, model in enumerate(models) if _any_of(model, killers)), None)
    if len(models) == 1 or (first is None and not _was_halved(bundle, beside)):
        return [bundle]
    ahead = {cell.id for model in models[:first] for cell in model}
    kept: list[Bundle] = []
    if first is not None and any(beside.get(cell) == len(models) for cell in ahead):
        given, left = restrict(bundle, ahead), restrict(bundle, {cell.id for cell in bundle.cells} - ahead)
        assert given, "some are ahead"
        assert left, "and one is not"
        kept, bundle = [given], left
    return kept + [part for half in halves(bundle) for part in _parts(half, killers, beside)]


def _was_halved(bundle: Bundle, beside: Mapping[str, int]) -> bool:
    """Whether rows are of its halves, or theirs, and none is of all of it."""
    size = len(_models(bundle.cells))
    known = {cell.id for cell in bundle.cells if beside.get(cell.id)}
    if not known or any(beside[cell] >= size for cell in known):
        return False
    for half in halves(bundle):
        count = len(_models(half.cells))
        if any(beside[cell.id] == count for cell in half.cells if cell.id in known):
            return True
        if count > 1 and _was_halved(half, beside):
            return True
    return False


def _any_of(model: Iterable[Cell], ids: set[str]) -> bool:
    return any(cell.id in ids for cell in model)


def _shape(cell: Cell) -> tuple[object, ...]:
    return (*(getattr(cell, name) for name, key in KEYS.items() if key.bundled), _width(cell))


def _width(cell: Cell, levels: int = NOMINAL_LEVELS) -> int:
    width: int = make(cell.family, cell.options, cell.quantise or cell.levels or levels).outputs(NOMINAL_DIMS)
    return width


def _models(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that share a trained model together; models of one kind of likelihood and training side by side."""
    models: dict[str, list[Cell]] = {}
    for cell in cells:
        models.setdefault(cell.training_key, []).append(cell)
    kinds: dict[tuple[str, ...], list[list[Cell]]] = {}
    for model in models.values():
        first = model[0]
        kinds.setdefault((first.family, first.sigma_mode, first.objective, first.bound), []).append(model)
    return [model for kind in kinds.values() for model in kind]


def _cut(models: list[list[Cell]], limit: int) -> list[list[list[Cell]]]:
    """Pieces of nearly one size, none longer than the limit, in order."""
    pieces = math.ceil(len(models) / limit)
    edges = [round(piece * len(models) / pieces) for piece in range(pieces + 1)]
    return [models[start:end] for start, end in itertools.pairwise(edges)]


def _tuning_cost(searches: Iterable[list[Cell]]) -> float:
    return sum(_cost([[search[0].settled()]]) * search[0].tried for search in searches)


def _fair_size(group: list[list[Cell]], fair: float) -> int:
    return max(MODELS_AT_LEAST, math.ceil(len(group) / max(1, round(_cost(group) / fair))))


def cost_of(piece: Tuning | Bundle, epochs: Mapping[str, int]) -> float:
    """Roughly how long a piece of work takes, in a unit of its own; `epochs`: those of each search's choice."""
    if isinstance(piece, Bundle):
        return _cost(_models(piece.stack), epochs)
    searches: dict[str, list[Cell]] = {}
    for cell in piece.cells:
        searches.setdefault(cell.search, []).append(cell)
    return _tuning_cost(searches.values())


def _cost(models: list[list[Cell]], epochs: Mapping[str, int] = NOTHING_KNOWN) -> float:
    """Roughly how long the models take: decodes in training (5 train images a test image, 3 passes each) and thrice
    those of the evaluation (most bounds are refined), times the last layer's width, and what else there is to compute;
    unknown levels are a few dozen."""
    cell = models[0][0]
    decodes = sum(
        15 * epochs.get(model[0].search, model[0].epochs) * cell.train_samples + max(map(decodes_to_score, model))
        for model in models
    )
    return decodes * (_width(cell, 32) + BESIDES)


def decodes_to_score(cell: Cell) -> int:
    """Of one test image, about."""
    whole = 3 * max(cell.eval_samples)
    return min(whole, NEEDED) if cell.eval_tolerance else whole
