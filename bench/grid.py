"""Grid files: TOML tables of settings and axes, expanded into cells.

    about = "what the grid is for"

    [grid]                          # shared by all blocks; a list is an axis
    dataset = "digits"
    seed = [0, 1, 2]

    [[cells]]                       # every block is a cartesian product of its axes and those of [grid]
    family = ["gaussian", "laplace"]
    sigma = [0.1, "shared"]

    [[exclude]]                     # drops the cells that match all of its keys
    family = "laplace"
    sigma = 0.1

The keys and their defaults are the fields of `Settings`; the rest are options of the families (σ among them), which go
to those families of the block that take them. `hidden` is one list (a list of lists is an axis), `eval_samples` always
one.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench import lazy_torch
from bench.cell import Cell, Described, Scalar, labels

__all__ = ["Cell", "Described", "Grid", "GridError", "Settings"]

NOMINAL_LEVELS = 251  # stands for the data's number of levels while no data is at hand


class GridError(ValueError):
    """A grid that cannot be run; the message is one sentence that names file, key and remedy."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


Positive = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """The keys of a grid file that every cell has, with their defaults and what they take."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    dataset: str = Field(
        "digits", min_length=1, description="the name of a data set (vae-bench list datasets) or a path"
    )
    levels: int | None = Field(None, ge=2, description="a whole number >= 2, and only for data given as a path")
    family: str = Field(description="the name of a family (vae-bench list likelihoods)")
    train_samples: Positive = Field(1, description="a whole number >= 1")
    objective: Literal["elbo", "iwae"] = Field("elbo", description='"elbo" or "iwae"')
    hidden: Annotated[list[Positive], BeforeValidator(_listed)] = Field(
        [200], description="a list of layer widths >= 1, such as [200, 200]"
    )
    activation: Literal["tanh", "relu", "gelu", "sigmoid", "softplus", "silu"] = Field(
        "tanh", description="one of tanh, relu, gelu, sigmoid, softplus, silu"
    )
    latent: Positive = Field(10, description="a whole number >= 1")
    epochs: Positive = Field(50, description="a whole number >= 1")
    batch_size: Positive = Field(100, description="a whole number >= 1")
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False, description="a number > 0")
    seed: int = Field(0, ge=0, lt=2**31, description="a whole number >= 0")
    eval_samples: Annotated[list[Positive], Field(min_length=1), BeforeValidator(_listed)] = Field(
        [1, 10, 100, 1000], description="a list of whole numbers >= 1, such as [1, 10, 100]"
    )
    test_images: Positive | None = Field(None, description="a whole number >= 1 (leave it out for all test images)")
    binarisation: Literal["stochastic", "threshold"] = Field("stochastic", description='"stochastic" or "threshold"')


DEFAULT_SIGMA = "shared"
ONE_VALUE = ("eval_samples",)  # a list is the value itself
LIST_VALUES = ("hidden",)  # a list of numbers is the value itself, a list of lists an axis
EXCLUDABLE = ("view", "scored_as")  # what [[exclude]] may name beside settings and options


@dataclass(frozen=True)
class Grid:
    """A grid, read and valid: its cells in order, and the text and overrides that they came from."""

    name: str
    about: str
    cells: tuple[Cell, ...]
    text: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Block:
    where: str
    axes: Mapping[str, tuple[Any, ...]]


def registry() -> ModuleType:
    """vae_core.likelihoods, without loading torch."""
    lazy_torch.install()
    from vae_core import likelihoods

    return likelihoods


def shipped_grids() -> dict[str, Path]:
    """Names and files of the grids that come with the suite."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "grids").glob("*.toml"))}


def find_grid(grid: str) -> Path:
    """The file of a grid given as a shipped name or as a path to a .toml. Raises GridError."""
    if grid.endswith(".toml"):
        if not Path(grid).is_file():
            raise GridError(f"there is no grid file {grid}; the shipped grids are {', '.join(shipped_grids())}.")
        return Path(grid)
    if grid not in shipped_grids():
        raise GridError(f"unknown grid {grid!r} {suggestion(grid, shipped_grids(), 'vae-bench list grids')}.")
    return shipped_grids()[grid]


def load_grid(path: Path, overrides: Sequence[str] = ()) -> Grid:
    """Read a grid file; `overrides` are KEY=VALUE texts that replace a key in [grid] and in every block.

    Raises GridError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GridError(f"{path.name} cannot be read ({error}).") from error
    return parse_grid(text, path.stem, path.name, overrides)


def parse_grid(text: str, name: str, file: str, overrides: Sequence[str] = ()) -> Grid:
    """The grid in a TOML text; `file` is what errors call it. Raises GridError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GridError(f"{file} is not valid TOML: {error}.") from error
    about, shared, tables, exclusions = _sections(document, file)
    given = dict(_override(text) for text in overrides)
    blocks = _blocks(file, shared, tables, given)
    cells: dict[str, tuple[str, Cell]] = {}
    for block in blocks:
        in_block = {cell.id: cell for cell in _expand(block)}
        for key, cell in in_block.items():
            if key in cells and not given:
                raise GridError(
                    f"{block.where}: gives the cell {key} that {cells[key][0]} gives too; exclude it from one."
                )
            cells.setdefault(key, (block.where, cell))
    rules = [_exclusion(f"{file}, [[exclude]] {n}", table) for n, table in enumerate(exclusions, 1)]
    kept = tuple(cell for _, cell in cells.values() if not any(_matches(cell, rule) for rule in rules))
    if not kept:
        raise GridError(f"{file} has no cells left: its [[exclude]] tables drop all {len(cells)}.")
    return Grid(name=name, about=about, cells=kept, text=text, overrides=tuple(overrides))


def describe(cells: Iterable[Cell]) -> dict[str, Described]:
    """Every cell, by its id, with its label in this grid and whether it is a folk recipe."""
    cells = list(cells)
    named = labels(cells)
    families = registry()
    return {cell.id: Described(cell, named[cell.id], families.get(cell.family).recipe) for cell in cells}


def cards(cells: Iterable[Cell]) -> dict[str, dict[str, str]]:
    """The card of every family among the cells, as plain text: the report shows them without knowing the registry."""
    known = registry()
    return {family: asdict(known.get(family).card) for family in sorted({cell.family for cell in cells})}


def suggestion(word: str, words: Iterable[str], otherwise: str) -> str:
    """`(did you mean 'x'? otherwise)`, or `(otherwise)` where nothing is near."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"(did you mean {near[0]!r}? {otherwise})" if near else f"({otherwise})"


# -- from the document to blocks of axes -------------------------------------------------------------------------------


def _sections(document: dict[str, Any], file: str) -> tuple[str, dict[str, Any], list[Any], list[Any]]:
    sections = ("about", "grid", "cells", "exclude")
    for key in document:
        if key in Settings.model_fields:
            raise GridError(f"{file}: the key {key!r} stands at the top, but belongs under [grid] or [[cells]].")
        if key not in sections:
            hint = suggestion(key, sections, "allowed: about, [grid], [[cells]], [[exclude]]")
            raise GridError(f"{file}: unknown section {key!r} {hint}.")
    about, shared = document.get("about", ""), document.get("grid", {})
    tables, exclusions = document.get("cells", [{}]), document.get("exclude", [])
    if not isinstance(about, str):
        raise GridError(f"{file}: about takes a text in quotes.")
    if not isinstance(shared, dict):
        raise GridError(f"{file}: write [grid] as a table.")
    for section, value in (("cells", tables), ("exclude", exclusions)):
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise GridError(f"{file}: write [[{section}]] in double brackets, one for each table.")
    return about.strip(), shared, tables or [{}], exclusions


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not value:
        raise GridError(f"--set {text}: write it as KEY=VALUE, such as --set epochs=10.")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        if re.search(r"[\[\]{}\"'\n]", value):
            raise GridError(f'--set {text}: not a TOML value (words in a list need quotes: ["a", "b"]).') from error
        return key, value
    if set(parsed) != {"value"}:
        raise GridError(f"--set {text}: give one key at a time.")
    return key, parsed["value"]


def _blocks(file: str, shared: dict[str, Any], tables: list[dict[str, Any]], given: dict[str, Any]) -> list[_Block]:
    """[grid] and --set merged into every block, all axes valid; options only where some family takes them."""
    single = tables == [{}]
    places = {f"{file}, [grid]": shared, "--set": given}
    if not single:
        places |= {f"{file}, [[cells]] {number}": table for number, table in enumerate(tables, 1)}
    axes = {place: {key: _axis(place, key, value) for key, value in table.items()} for place, table in places.items()}
    blocks = []
    for number, table in enumerate(tables, 1):
        where = f"{file}, [grid]" if single else f"{file}, [[cells]] {number}"
        merged = {**axes[f"{file}, [grid]"], **axes[where], **axes["--set"]}
        if "family" not in merged:
            raise GridError(f"{where}: the key 'family' is missing; give one or a list (vae-bench list likelihoods).")
        blocks.append(_Block(where, merged))
        if not single:
            _check_options_are_taken(where, [key for key in table if key not in given], merged["family"])
    everywhere = {family for block in blocks for family in block.axes["family"]}
    for place in (f"{file}, [grid]", "--set"):
        _check_options_are_taken(place, places[place], sorted(everywhere))
    return blocks


def _axis(where: str, key: str, value: Any) -> tuple[Any, ...]:
    """The values of one key, each valid. Raises GridError."""
    if key in ONE_VALUE or (
        key in LIST_VALUES and not (isinstance(value, list) and value and isinstance(value[0], list))
    ):
        values = [value]
    else:
        values = value if isinstance(value, list) else [value]
    if not values:
        raise GridError(f"{where}: {key} is an empty list; give at least one value, or leave the key out.")
    if key in Settings.model_fields:
        cleaned = tuple(_setting(where, key, item) for item in values)
    elif key in _option_names():
        cleaned = tuple(_option(where, key, item) for item in values)
    else:
        known = [*Settings.model_fields, *_option_names()]
        raise GridError(f"{where}: unknown key {key!r} {suggestion(key, known, 'allowed: ' + ', '.join(known))}.")
    for position, item in enumerate(cleaned):
        if item in cleaned[:position]:
            raise GridError(f"{where}: {key} lists {_shown(item)} twice; remove one.")
    return cleaned


def _setting(where: str, key: str, value: Any) -> Any:
    try:
        valid = getattr(Settings.model_validate({"family": "", key: value}), key)
    except ValidationError:
        words = [word for word in get_args(Settings.model_fields[key].annotation) if isinstance(word, str)]
        near = difflib.get_close_matches(value, words, n=1) if isinstance(value, str) and words else []
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        takes = Settings.model_fields[key].description
        raise GridError(f"{where}: {key} = {_shown(value)}, but {key} takes {takes}{hint}.") from None
    if key == "family":
        _family(where, valid)
    if key == "eval_samples":
        return tuple(sorted(set(valid)))
    return tuple(valid) if isinstance(valid, list) else valid


def _family(where: str, name: str) -> Any:
    try:
        return registry().get(name)
    except ValueError as error:
        raise GridError(f"{where}: {_sentence(error)}") from None


def _option(where: str, key: str, value: Any) -> Scalar:
    if not isinstance(value, str | int | float):
        raise GridError(f"{where}: {key} = {_shown(value)}, but an option takes a number, a word or a list of such.")
    if isinstance(value, float) and not math.isfinite(value):
        raise GridError(f"{where}: {key} = {_shown(value)}, but {key} takes a finite number.")
    return float(value) if key == "sigma" and isinstance(value, int) and not isinstance(value, bool) else value


def _option_names(families: Iterable[str] | None = None) -> list[str]:
    """Names of the options that any of the families takes (σ included, the data's levels not)."""
    known = registry()
    names = dict.fromkeys(
        name for family in (known.names() if families is None else families) for name in _options_of(known.get(family))
    )
    return list(names)


def _options_of(family: Any) -> list[str]:
    return [name for name in family.option_names() if name != "levels"]


def _check_options_are_taken(where: str, keys: Iterable[str], families: Sequence[str]) -> None:
    taken = _option_names(families)
    for key in keys:
        if key not in Settings.model_fields and key not in taken:
            others = [name for name in registry().names() if key in _option_names([name])]
            raise GridError(
                f"{where}: {key} is no option of {', '.join(families)}; remove it, or add a family that takes it "
                f"({', '.join(others)})."
            )


# -- from blocks to cells ----------------------------------------------------------------------------------------------


def _expand(block: _Block) -> Iterator[Cell]:
    """The block's cartesian product; the last key of `Settings` before the seed turns fastest, then the seed."""
    defaults = {name: (f.get_default(),) for name, f in Settings.model_fields.items() if name != "family"}
    settings = {
        name: block.axes.get(name, tuple(map(_frozen, defaults.get(name, ())))) for name in Settings.model_fields
    }
    settings["seed"] = settings.pop("seed")
    families = settings.pop("family")
    for name in families:
        family = _family(block.where, name)
        axes = {key: block.axes[key] for key in _options_of(family) if key in block.axes}
        if family.takes_sigma:
            axes.setdefault("sigma", (DEFAULT_SIGMA,))
        for chosen in itertools.product(*axes.values()):
            options = dict(zip(axes, chosen, strict=True))
            _check_options(block.where, name, options)
            for values in itertools.product(*settings.values()):
                setting = dict(zip(settings, values, strict=True))
                if family.view != "binary":
                    setting["binarisation"] = Settings.model_fields["binarisation"].default  # it changes nothing there
                for scoring in family.scorings:
                    yield Cell(family=name, options=options, scored_as=scoring, view=family.view, **setting)


def _check_options(where: str, family: str, options: Mapping[str, Scalar]) -> None:
    try:
        make(family, options)
    except ValueError as error:
        raise GridError(f"{where}: {_sentence(error)}") from None


def make(family: str, options: Mapping[str, Scalar], levels: int = NOMINAL_LEVELS) -> Any:
    """The likelihood of a cell while no data is at hand; `levels` reaches the families that need it."""
    known = registry()
    needed = {"levels": levels} if known.get(family).takes_levels else {}
    return known.make(family, **options, **needed)


def _exclusion(where: str, table: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    if not table:
        raise GridError(f"{where}: is empty and would drop every cell; name the keys to match, or remove it.")
    return {key: (_derived if key in EXCLUDABLE else _axis)(where, key, value) for key, value in table.items()}


def _derived(where: str, key: str, value: Any) -> tuple[str, ...]:
    known = registry()
    families = [known.get(name) for name in known.names()]
    allowed = {"view": [f.view for f in families], "scored_as": [s for f in families for s in f.scorings]}[key]
    values = value if isinstance(value, list) else [value]
    for item in values:
        if item not in allowed:
            raise GridError(f"{where}: {key} = {_shown(item)}, but {key} takes {', '.join(sorted(set(allowed)))}.")
    return tuple(values)


def _matches(cell: Cell, rule: Mapping[str, tuple[Any, ...]]) -> bool:
    return all({**vars(cell), **cell.options}.get(key) in values for key, values in rule.items())


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _shown(value: Any) -> str:
    try:
        return (
            json.dumps(list(value) if isinstance(value, tuple) else value)
            .replace("NaN", "nan")
            .replace("Infinity", "inf")
        )
    except TypeError:
        return str(value)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", ")", "?")) else f"{text}."
