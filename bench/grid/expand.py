"""From a block of a grid file, a value or more for each key, to its cells; and which cells an exclusion drops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.grid.cell import Cell, number_text
from bench.grid.document import MOST_CELLS
from bench.grid.errors import some
from bench.grid.families import (
    Scalar,
    make,
    option_names,
    registry,
    require_network,
    trainable_on,
    weighted_bounds,
)
from bench.grid.old import Pairs
from bench.grid.settings import (
    DEFAULT_SIGMA,
    KEYS,
    GridError,
    Settings,
    axis,
    family_named,
    keys_of,
    looks_at,
    sentence,
    shown,
)

EXCLUDABLE = ("view", "scored_as")  # what [[exclude]] may name beside settings and options


@dataclass(frozen=True)
class Block:
    """The axes of one [[cells]] table, those of [grid] among them; `where` is what errors call it. `pairs`: those of
    objective and bound that are asked for, where they are not all (bench.grid.old). `tune` has the keys whose values
    are candidates, and no axes."""

    where: str
    axes: Mapping[str, tuple[Any, ...]]
    pairs: Pairs = field(default_factory=frozenset)
    tune: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def expand(block: Block) -> Iterator[Cell]:
    """The block's cartesian product without what cannot be trained; the last key of `Settings` before the seed turns
    fastest, then the seed. Raises GridError, at the end also for a value that has got no cell."""
    _require_networks(block)
    _require_ends(block)
    _require_warmup(block)
    weighted = _weighted(block)
    tally = _Tally()
    # of a network that is tuned, each may be the one
    unread = {network: _unread(block, network) for network in (*block.axes.get("network", ()), *_default("network"))}
    for name in block.axes["family"]:
        family = family_named(block.where, name)
        settings = _settings_axes(block, name)
        # what every family is asked for in a list of many, the own number of those that have no other
        own = {"dequantised": "own"} if "own" in family.objectives else {}
        for options in _product(_option_axes(block, name)):
            reasons = _reasons(block.where, name, options)
            able = [objective for objective in reasons if not reasons[objective]]
            for word in settings["objective"]:
                objective = own.get(word, word)
                tally.count({"family": name, **options, "objective": word}, reasons[objective], able)
            for values in _product(settings):
                if block.pairs and (values["objective"], values["bound"]) not in block.pairs:
                    continue
                if values["free_bits"] and values["bound"] in weighted:
                    continue  # they are a floor of the KL, which such a bound does not have
                values["objective"] = own.get(values["objective"], values["objective"])
                if reasons[values["objective"]]:
                    continue
                if family.view != "binary":
                    values["binarisation"] = KEYS["binarisation"].absent  # it changes nothing there
                values |= {key: KEYS[key].absent for key in unread[values["network"]]}  # nor do these
                for scoring in family.scorings:
                    named = {"family": family.name, "scored_as": scoring, "view": family.view}
                    yield Cell(**named, options=options, tune=block.tune, **values)
    for key, value, why in tally.without_a_cell():
        raise GridError(f"{block.where}: {key} = {shown(value)} is left without a cell: {sentence(why)}")


def most_cells(block: Block) -> int:
    """How many cells a block has, but for those of its combinations that no option of a family can be trained on."""
    count = 0
    for name in block.axes["family"]:
        family = family_named(block.where, name)
        settings = _settings_axes(block, name)
        asked = settings.pop("objective")
        bounds = settings.pop("bound")
        own = "own" in family.objectives
        able = {objective for word in asked if (objective := "own" if own and word == "dequantised" else word)}
        pairs = len(block.pairs) or len(able & set(family.objectives)) * len(bounds)
        others = itertools.chain(settings.values(), _option_axes(block, name).values())
        count += math.prod(map(len, others)) * pairs * len(family.scorings)
    return count


def _require_networks(block: Block) -> None:
    """Raises GridError where no network can be built from what the block asks of one."""
    given = {**block.axes, **block.tune}
    axes = {name: given[name] if name in given else _default(name) for name in keys_of("network")}
    if (count := math.prod(map(len, axes.values()))) > MOST_CELLS:
        raise GridError(
            f"{block.where} asks for {count:,} networks, and {MOST_CELLS:,} is the most; list fewer values."
        )
    for asked in _product(axes):
        try:
            require_network(asked)
        except ValueError as error:
            raise GridError(f"{block.where}: {sentence(error)}") from None


def _unread(block: Block, network: str) -> list[str]:
    """The keys of networks that this one does not look at; none where the network is tuned."""
    if "network" in block.tune:
        return []
    read = looks_at(block.where, network).union(block.tune)
    return [key for key in keys_of("network") if key not in read]


def require_read(where: str, given: Mapping[str, Any], blocks: Iterable[Block]) -> None:
    """Raises GridError for a key of networks that none of the blocks' networks looks at."""
    named = [name for b in blocks for name in b.tune.get("network") or b.axes.get("network") or _default("network")]
    networks = list(dict.fromkeys(named))
    read = frozenset[str]().union(*(looks_at(where, network) for network in networks))
    for key in keys_of("network"):
        if key in given and key not in read:
            raise GridError(
                f"{where}: {key} = {shown(given[key])} changes nothing of network = {some(map(shown, networks))}; "
                "remove it, or take a network that looks at it (vae-bench list networks)."
            )


def _require_ends(block: Block) -> None:
    """Raises GridError for a patience that no training can reach the end of, and for a tolerance that ends none."""
    patience, epochs = (block.axes[key] if key in block.axes else _default(key) for key in ("patience", "epochs"))
    if max(patience) >= min(epochs):
        raise GridError(
            f"{block.where}: patience = {max(patience)} can never end a training of epochs = {min(epochs)}; give more "
            "epochs, which are a limit then, or less patience."
        )
    if "tolerance" in block.axes and not all(patience):
        given = shown(block.axes["tolerance"][0])
        raise GridError(
            f"{block.where}: tolerance = {given} ends no training where patience is 0; give patience, in epochs, or "
            "leave tolerance out."
        )


def _require_warmup(block: Block) -> None:
    """Raises GridError for a warm-up of the KL that leaves no epoch, or not enough for the patience after it."""
    given = {**block.axes, **block.tune}
    warmups, patience, limits = (
        given[key] if key in given else _default(key) for key in ("kl_warmup", "patience", "epochs")
    )
    epochs = min(limits)
    longest = max(warmup * epochs if warmup < 1 else warmup for warmup in warmups)
    said = f"kl_warmup = {number_text(max(warmups, key=lambda w: w * epochs if w < 1 else w))}"
    if longest >= epochs:
        raise GridError(
            f"{block.where}: {said} leaves none of epochs = {epochs} with the whole weight of the KL; give more "
            "epochs, or a shorter warm-up."
        )
    if longest and longest + max(patience) >= epochs:
        raise GridError(
            f"{block.where}: patience = {max(patience)} begins after {said}, and can never end a training of epochs = "
            f"{epochs}; give more epochs, which are a limit then, a shorter warm-up or less patience."
        )


def _weighted(block: Block) -> frozenset[str]:
    """The block's bounds that have no KL for free bits. Raises GridError where these are asked of nothing else."""
    given = {**block.axes, **block.tune}
    bounds, free = (given[key] if key in given else _default(key) for key in ("bound", "free_bits"))
    weighted = frozenset(bounds) & weighted_bounds()
    if any(free) and weighted and ("free_bits" in block.tune or weighted == set(bounds)):
        raise GridError(
            f"{block.where}: free_bits = {shown(max(free))} are a floor of the KL, which bound = "
            f'{shown(min(weighted))} does not have; write bound = "elbo", or remove free_bits.'
        )
    return weighted


class _Tally:
    """Which values of a block's axes have got a cell, and why others have none."""

    def __init__(self) -> None:
        self._barred: dict[tuple[str, Any], tuple[str, str]] = {}
        self._taken: dict[tuple[str, Any], None] = {}

    def count(self, values: Mapping[str, Any], reason: str, able: Sequence[str]) -> None:
        """One combination; `reason` why it cannot be trained, "" where it can; `able`: the objectives on which what it
        is of can be."""
        for value in values.items():
            if reason:
                self._barred.setdefault(value, (reason, able[0]))
            else:
                self._taken.setdefault(value)

    def without_a_cell(self) -> Iterator[tuple[str, Any, str]]:
        """Key, value, and why it has none, with the remedy."""
        in_use = [value for key, value in self._taken if key == "objective"]
        for (key, value), (why, other) in self._barred.items():
            if (key, value) in self._taken:
                continue
            # an objective stands here only where every family has got another
            wanted = [*in_use, other]
            instead = f"write objective = {shown(wanted if len(wanted) > 1 else other)}"
            remedy = {"objective": "remove it", "family": instead}.get(key, f"remove it, or {instead}")
            yield key, value, f"{why}; {remedy}"


def _settings_axes(block: Block, family: str) -> dict[str, tuple[Any, ...]]:
    """The values of every key but the family, defaults where the block gives none; the seed last."""
    axes = {name: block.axes[name] if name in block.axes else _default(name) for name in KEYS if name != "family"}
    axes |= {name: (KEYS[name].absent,) for name in block.tune}
    alias = registry().ALIASES.get(family)
    if alias and "objective" not in block.axes:
        axes["objective"] = (alias.objective,)
    axes["seed"] = axes.pop("seed")
    return axes


def _default(name: str) -> tuple[Any]:
    return (Settings.model_fields[name].get_default(),)


def _option_axes(block: Block, family: str) -> dict[str, tuple[Any, ...]]:
    """The values of the options that the family takes."""
    axes = {name: block.axes[name] for name in option_names([family]) if name in block.axes}
    if registry().get(family).takes_sigma:
        axes.setdefault("sigma", (DEFAULT_SIGMA,))
    return axes


def _product(axes: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def _reasons(where: str, name: str, options: Mapping[str, Scalar]) -> dict[str, str]:
    """Why the family (or alias) cannot be trained on each objective, "" where it can. Raises GridError for options that
    it does not take at all."""
    try:
        reasons = trainable_on(make(name, options))
    except ValueError as error:
        raise GridError(f"{where}: {sentence(error)}") from None
    if alias := registry().ALIASES.get(name):
        refusal = f"{name} is {alias.family} trained on {alias.objective!r}"
        reasons |= {objective: refusal for objective in reasons if objective != alias.objective}
    return reasons


def exclusion(where: str, table: dict[str, Any]) -> dict[str, frozenset[Any]]:
    """The values of each key that cells are dropped by. Raises GridError."""
    if not table:
        raise GridError(f"{where}: is empty and would drop every cell; name the keys to match, or remove it.")
    return {
        key: frozenset((_derived if key in EXCLUDABLE else axis)(where, key, value)) for key, value in table.items()
    }


def _derived(where: str, key: str, value: Any) -> tuple[str, ...]:
    catalogue = registry()
    families = [catalogue.get(name) for name in catalogue.known()]
    allowed = {"view": [f.view for f in families], "scored_as": [s for f in families for s in f.scorings]}[key]
    values = value if isinstance(value, list) else [value]
    for item in values:
        if item not in allowed:
            raise GridError(f"{where}: {key} = {shown(item)}, but {key} takes {', '.join(sorted(set(allowed)))}.")
    return tuple(values)


def matches(cell: Cell, rules: Sequence[Mapping[str, frozenset[Any]]]) -> bool:
    """Whether a rule drops the cell."""
    if not rules:
        return False
    own = {**cell.values(), **cell.options}
    for rule in rules:  # thousands of cells times hundreds of rules: plain loops
        for key, values in rule.items():
            if own.get(key) not in values and not (key == "family" and _by_alias(cell, values)):
                break
        else:
            return True
    return False


def _by_alias(cell: Cell, names: Iterable[str]) -> bool:
    aliases = registry().ALIASES
    return any((cell.family, cell.objective) == (a.family, a.objective) for n in names if (a := aliases.get(n)))
