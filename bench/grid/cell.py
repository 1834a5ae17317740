"""One cell of a grid: a full recipe of one trained model and how it is scored, with stable names.

It is one file: one record, and what it is called.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from bench.grid.families import Scalar
from bench.grid.old import spec_of_today
from bench.grid.settings import GROUPS, KEYS, Settings, keys_of

#: what may differ between cells of one trained model
EVALUATION = ("scored_as", *keys_of("evaluation"))
#: keys that labels have words of their own for, or leave out
WORDED = ("family", "objective", "bound", "train_samples", "seed")
#: keys that others often go with: those are told by labels only where these do not tell them
CONTEXT = "dataset", "network"
#: keys that labels show wherever they say that something else than the bound was raised, shared by the grid or not
OF_KL = ("kl_weight", "kl_warmup", "free_bits")


def _frozen(value: Any) -> Any:
    """Lists, as JSON has them, as tuples, at any depth."""
    if isinstance(value, Mapping):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class DataSpec:
    """Which numbers a cell is trained and scored on: a data set, and what is made of it before it is cut or seen."""

    dataset: str
    levels: int | None = None
    quantise: int | None = None
    train_images: int | None = None
    block: int | None = None
    crop: str | None = None  # rows and columns, "28x20"
    resize: str | None = None
    grey: bool | None = None  # None where it is not so, as all that is not asked for
    patch_size: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the values of a cell or a row of tables, where an empty number is NaN, what is true may be 1, and older
        ones lack some keys."""
        given = {item.name: values.get(item.name) for item in fields(cls)[1:]}
        asked = {name: value for name, value in given.items() if value is not None and value == value}
        known: dict[str, Any] = {
            name: str(value) if name in ("crop", "resize") else int(value) for name, value in asked.items()
        }
        grey = True if known.pop("grey", 0) else None
        return cls(str(values["dataset"]), grey=grey, **known)

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked for beside the data set, by the keys of the grid."""
        given = {item.name: getattr(self, item.name) for item in fields(self)[1:]}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def key(self) -> str:
        """By which a run file keeps its facts: `mnist quantise=16 train_images=10000`; as a grid or --set writes it."""
        return " ".join([self.dataset, *(f"{name}={_written(value)}" for name, value in self.asked.items())])

    @property
    def made(self) -> str:
        """What was made of the data set, in words; '' where nothing was."""
        return ", ".join(
            ([f"patches of {self.patch_size}×{self.patch_size}"] if self.patch_size else [])
            + ([f"cropped to {self.crop.replace('x', '×')}"] if self.crop else [])
            + ([f"resized to {self.resize.replace('x', '×')}"] if self.resize else [])
            + (["in grey"] if self.grey else [])
            + ([f"quantised to {self.quantise} levels"] if self.quantise else [])
            + ([f"{self.train_images:,} training images"] if self.train_images else [])
            + ([f"cut in blocks of {self.block}"] if self.block else [])
        )


class Cell(Settings):
    """One value of every key of the grid, with what follows from the family; `read` makes valid ones.

    `options` are the family's own, σ among them under "sigma" (a float or a mode) where the family takes one.
    `levels` and `block` are set for data given as a path only, `patch_size` for patches, `crop`, `resize`, `grey` and
    `quantise` where images are made others.
    `train_images=None` and `test_images=None` mean all of them. `eval_samples` is sorted.
    `tune` has the candidates of the keys that are chosen on validation data; such a key itself is as if it were not
    given, and `settled` gives the cell that was trained.
    """

    options: Mapping[str, Scalar] = Field(default_factory=dict)
    scored_as: str = "itself"
    view: str
    tune: Annotated[Mapping[str, tuple[Any, ...]], BeforeValidator(_frozen)] = Field(default_factory=dict)

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The cell that `spec` was of, also if that was before some of the keys existed."""
        return cls.model_validate({**{name: key.absent for name, key in KEYS.items()}, **spec_of_today(spec)})

    def but(self, **changes: Any) -> Self:
        """The same cell with other values, which are checked."""
        return self.model_validate({**self.values(), **changes})

    def values(self) -> dict[str, Any]:
        """Every field by its name."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The whole recipe as plain JSON values."""
        return {name: _plain(value) for name, value in self.values().items()}

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """Every combination of what is tuned; one without a key where nothing is."""
        return [dict(zip(self.tune, values, strict=True)) for values in itertools.product(*self.tune.values())]

    @property
    def tried(self) -> int:
        """How many candidates there are."""
        return math.prod(map(len, self.tune.values()))

    def settled(self, chosen: Mapping[str, Any] | None = None) -> Self:
        """The cell with the values that were chosen, as one of a grid that gives them; by default the first of each."""
        return self.but(tune={}, **(chosen or {key: one[0] for key, one in self.tune.items()})) if self.tune else self

    @cached_property
    def search(self) -> str:
        """Equal for cells that share one choice: seed, scoring and the evaluation's size take no part; '' where nothing
        is tuned."""
        return f"{self._stem()}-{_digest(_without(self.spec, (*EVALUATION, 'seed')))}" if self.tune else ""

    @property
    def data(self) -> DataSpec:
        """Which numbers it is trained and scored on."""
        return DataSpec.of(self.values())

    @property
    def sigma(self) -> str:
        """σ as text: a number, a mode, or '' where the family has none."""
        return number_text(self.options["sigma"]) if "sigma" in self.options else ""

    @property
    def sigma_mode(self) -> str:
        """'fixed' for a number, the mode's name, or '' where the family has no σ."""
        if "sigma" not in self.options:
            return ""
        return self.sigma if isinstance(self.options["sigma"], str) else "fixed"

    @cached_property
    def id(self) -> str:
        """Readable and unique, e.g. `digits-gaussian-sigma=0.1-elbo-L1-s0-3f9a2c1b`; its end hashes the recipe."""
        return f"{self._stem(self.scored_as)}-s{self.seed}-{_digest(self.spec)}"

    @cached_property
    def config(self) -> str:
        """The id without the seed: what is averaged over seeds."""
        return f"{self._stem(self.scored_as)}-{_digest(_without(self.spec, ('seed',)))}"

    @cached_property
    def training_key(self) -> str:
        """Equal for cells that share one trained model: everything but the scoring and the evaluation's size."""
        return f"{self._stem()}-s{self.seed}-{_digest(_without(self.spec, EVALUATION))}"

    @cached_property
    def kind(self) -> str:
        """Equal for cells that run at one speed: σ's mode matters, its value, the seed and the schedule do not. Of a
        cell that is tuned it is that of the first candidate: ask the settled one."""
        if self.tune:
            return self.settled().kind
        spec = _without(self.spec, (*EVALUATION, *(name for name, key in KEYS.items() if not key.paces)))
        if self.sigma_mode == "fixed":
            spec["options"] = {**spec["options"], "sigma": "fixed"}
        sigma = f"-sigma={self.sigma_mode}" if self.sigma_mode else ""
        return (
            f"{short_name(self.dataset)}-{self.family}{sigma}-{'-'.join(self._trained(of_speed=True))}-{_digest(spec)}"
        )

    def _stem(self, scored_as: str = "itself") -> str:
        options = [f"{key}={number_text(value)}" for key, value in sorted(self.options.items())]
        scoring = [] if scored_as == "itself" else [scored_as]
        return "-".join([short_name(self.dataset), self.family, *options, *scoring, *self._trained()])

    def _trained(self, *, of_speed: bool = False) -> list[str]:
        """What names say of the training; or what those of its speed do."""
        on = [self.objective] if self.tells("objective") else []
        return [*on, self.bound, self._samples(), *self._named(of_speed)]

    def tells(self, key: str) -> bool:
        """Whether the cell's value of a key of the grid is told in its names."""
        return _tells(key, _plain(getattr(self, key)))

    def _samples(self) -> str:
        return "Ltuned" if "train_samples" in self.tune else f"L{self.train_samples}"

    def _named(self, of_speed: bool) -> list[str]:
        """The keys that names show where they are not what they were before the key existed: a word as it is, a number
        under its key; `of_speed`: of those that pace."""
        values = {name: getattr(self, name) for name, key in KEYS.items() if key.named and (key.paces or not of_speed)}
        return [
            short_name(value) if isinstance(value, str) else f"{name}={number_text(value)}"
            for name, value in values.items()
            if self.tells(name)
        ]

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Described:
    """A cell with what tables say about it: a short label without the seed, and whether its family is a folk recipe."""

    cell: Cell
    label: str
    recipe: bool = False


def labels(cells: Iterable[Cell]) -> dict[str, str]:
    """A short label for every cell id, without settings that the whole grid shares, or all that name a data set, and a
    network, where these differ: `gaussian σ=0.1`, `mse_sum (gaussian fitted)`, `bernoulli iwae L=5 latent=10`."""
    cells = list(cells)

    def kinds(*names: str) -> int:
        return len({tuple(getattr(cell, name) for name in names) for cell in cells})

    varying = [name for name in keys_of(*GROUPS) if name not in WORDED and kinds(name) > 1]
    by = [name for name in CONTEXT if name in varying]
    told = [name for name in varying if name in by or kinds(*by, name) > kinds(*by)]
    short, whole = ({cell.id: _label(cell, names) for cell in cells} for names in (told, varying))
    return short if len(set(short.values())) == len(set(whole.values())) else whole


def number_text(value: Scalar) -> str:
    """A number as people write it (0.1, 1, 1e-05), text unchanged."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _written(value: Any) -> str:
    """A plain value as a grid file has it, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def short_name(dataset: str) -> str:
    """A data set's name, or the bare file name of a path, fit for an id."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", PurePath(dataset).stem or dataset)


def _label(cell: Cell, varying: list[str]) -> str:
    parts = [cell.family]
    parts += [
        f"σ={cell.sigma}" if key == "sigma" else f"{key}={number_text(value)}"
        for key, value in sorted(cell.options.items(), key=lambda item: (item[0] != "sigma", item[0]))
    ]
    if cell.scored_as != "itself":
        parts.append(f"({cell.scored_as.replace('_', ' ')})")
    parts += [getattr(cell, key) for key in ("objective", "bound") if cell.tells(key)]
    if cell.train_samples != 1:
        parts.append(f"L={cell.train_samples}")
    for name in varying + [name for name in OF_KL if name not in varying and cell.tells(name)]:
        value = _plain(getattr(cell, name))
        nothing = "all" if name.endswith("_images") else "none"
        text = ",".join(map(str, value)) if isinstance(value, list) else nothing if value is None else _written(value)
        text = number_text(value) if name in OF_KL else text
        parts.append(f"{name}={short_name(value) if isinstance(value, str) else text}")
    return " ".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return {key: _plain(inner) for key, inner in sorted(value.items())} if isinstance(value, Mapping) else value


def _tells(name: str, value: Any) -> bool:
    """Whether a plain value of a key is another than what every cell had before the key, or what its family implies."""
    key = KEYS[name]
    return value != _plain(key.absent) and value not in key.implied


def _without(spec: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left_out = set(names)
    return {key: value for key, value in spec.items() if key not in left_out}


def _digest(spec: Mapping[str, Any]) -> str:
    """Of what differs from what cells had before a key existed: so a new key leaves the names of old cells alone."""
    differing = {name: value for name, value in spec.items() if name not in KEYS or _tells(name, value)}
    if not differing.get("tune", True):
        del differing["tune"]
    text = json.dumps(differing, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
