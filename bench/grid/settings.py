"""The keys of a grid file: what each takes, its default, and the sentence for a value that it does not take.

It is one file, for who adds a key finds all that can be said of one in one place.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.grid.errors import MOST, QUOTED, UserError, brief, quoted, some
from bench.grid.families import Scalar, architectures, bounds, networks, objectives, option_names, registry

DEFAULT_SIGMA = "shared"  # for families with a σ, where the grid names none
ONE_VALUE = ("eval_samples",)  # a list is the value itself
LIST_VALUES = ("hidden", "widths")  # a list of numbers is the value itself, a list of lists an axis
LONGEST_VALUE = 100  # numbers in a value that is a list
#: in the order in which labels show what varies
GROUPS = ("model", "training", "data", "network", "schedule", "evaluation", "seed")


class GridError(UserError, ValueError):
    """A grid that cannot be run; the message is one sentence that names file, key and remedy, in one line that is cut
    in its middle where somebody's own words would make it longer than people read."""

    def __init__(self, message: object) -> None:
        super().__init__(brief(message, MOST))


@dataclass(frozen=True)
class Key:
    """What a key of the grid is to the rest of the suite. Everything else that knows keys follows from these: cells,
    their names, bundles, kinds, columns of the run file, which settings a comparison must match."""

    group: str  #: one of GROUPS; what is compared must agree in training, network and schedule
    bundled: bool = True  #: cells that train together share it
    paces: bool = True  #: cells that differ in it may differ in speed
    named: bool = False  #: the readable part of a cell's names shows it, where it is not `absent`
    tunable: bool = False  #: a grid's [tune] may choose it for each configuration instead of comparing its values
    #: what every cell had before the key existed, which names leave out; by default the key's default. Who changes a
    #: default writes the old one here, so that the cells of old runs keep their names
    absent: Any = ...
    implied: tuple[Any, ...] = ()  #: values that follow from the family, which names leave out too


def _listed(value: Any) -> Any:
    """A number as a list of one; a list, as TOML and JSON have it, as a tuple."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(value)))


def _share_or_epochs(value: float) -> float:
    if value >= 1 and not value.is_integer():
        raise ValueError(value)
    return value


def _one_of(words: Callable[[], Iterable[str]]) -> AfterValidator:
    """A word of those that vae_core knows, looked up when one is given."""

    def known(word: str) -> str:
        if word not in words() and not (words is WORDS["network"] and networks().is_own(word)):
            raise ValueError(word)
        return word

    return AfterValidator(known)


#: keys that take one of the words that vae_core knows
WORDS: dict[str, Callable[[], Iterable[str]]] = {
    "objective": objectives,
    "bound": bounds,
    "network": lambda: networks().names(),
    "activation": lambda: networks().ACTIVATIONS,
    "normalisation": lambda: networks().NORMALISATIONS,
}


def _sides(value: Any) -> Any:
    """Rows and columns as text, "28x20", where they are written as one number of both or with another cross."""
    match = SIDES.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
    return f"{match[1]}x{match[2] or match[1]}" if match and not isinstance(value, bool) else value


Positive = Annotated[int, Field(ge=1)]
SIDES = re.compile(r"([1-9][0-9]{0,4})(?:\s*[x×]\s*([1-9][0-9]{0,4}))?")
Sides = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]


class Settings(BaseModel):
    """The keys of a grid file that every cell has, with their defaults and what they take."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    dataset: Annotated[str, Key("data")] = Field(
        default="digits", min_length=1, description="the name of a data set (vae-bench list datasets) or a path"
    )
    levels: Annotated[int | None, Key("data")] = Field(
        default=None, ge=2, description="a whole number >= 2, and only for data given as a path"
    )
    quantise: Annotated[int | None, Key("data", named=True)] = Field(
        default=None, ge=2, description="a whole number of levels >= 2 (leave it out for the data's own)"
    )
    train_images: Annotated[int | None, Key("data", paces=False)] = Field(
        default=None, ge=1, description="a whole number >= 1 (leave it out for all training images)"
    )
    block: Annotated[int | None, Key("data", paces=False)] = Field(
        default=None,
        ge=1,
        description="a whole number >= 1 of consecutive images that one split has, and only for data given as a path",
    )
    crop: Annotated[Sides | None, BeforeValidator(_sides), Key("data")] = Field(
        default=None, description='a whole number of pixels >= 1 a side of the middle, or rows and columns as "28x20"'
    )
    resize: Annotated[Sides | None, BeforeValidator(_sides), Key("data")] = Field(
        default=None, description='a whole number of pixels >= 1 a side, or rows and columns as "28x20"'
    )
    grey: Annotated[bool, Key("data")] = Field(
        default=False, description="true (for images in colour) or false, without quotes"
    )
    patch_size: Annotated[int | None, Key("data")] = Field(
        default=None, ge=1, description="a whole number of pixels >= 1 a side, and only for the data set patches"
    )
    family: Annotated[str, Key("model", bundled=False)] = Field(
        description="the name of a family (vae-bench list likelihoods)"
    )
    train_samples: Annotated[Positive, Key("training", tunable=True)] = Field(
        default=1, description="a whole number >= 1"
    )
    objective: Annotated[str, _one_of(WORDS["objective"]), Key("training", bundled=False, implied=("own",))] = (
        "dequantised"
    )
    bound: Annotated[str, _one_of(WORDS["bound"]), Key("training", bundled=False)] = "elbo"
    kl_weight: Annotated[float, Key("training", bundled=False, paces=False, named=True, tunable=True)] = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="a number >= 0 by which training weighs the KL (1: as it is)",
    )
    kl_warmup: Annotated[
        float, AfterValidator(_share_or_epochs), Key("training", bundled=False, paces=False, named=True, tunable=True)
    ] = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="a whole number of epochs >= 1, or below 1 a share of `epochs` such as 0.2 (0: no warm-up)",
    )
    free_bits: Annotated[float, Key("training", bundled=False, named=True, tunable=True)] = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="a number of nats a latent dimension >= 0 (0: none)"
    )
    network: Annotated[str, _one_of(WORDS["network"]), Key("network", named=True, tunable=True)] = "mlp"
    hidden: Annotated[tuple[Positive, ...], BeforeValidator(_listed), Key("network", tunable=True)] = Field(
        default=(200,), description="a list of layer widths >= 1, such as [200, 200]"
    )
    activation: Annotated[str, _one_of(WORDS["activation"]), Key("network", tunable=True)] = "tanh"
    latent: Annotated[Positive, Key("network", tunable=True)] = Field(default=10, description="a whole number >= 1")
    widths: Annotated[tuple[Positive, ...], BeforeValidator(_listed), Key("network", tunable=True)] = Field(
        default=(32, 64), min_length=1, description="a list of channels >= 1, one a stage, such as [32, 64]"
    )
    depth: Annotated[Positive, Key("network", tunable=True)] = Field(
        default=1, le=LONGEST_VALUE, description=f"a whole number of layers a stage from 1 to {LONGEST_VALUE}"
    )
    kernel: Annotated[int, Key("network", tunable=True)] = Field(
        default=3, ge=2, le=LONGEST_VALUE, description=f"a whole number of pixels from 2 to {LONGEST_VALUE}"
    )
    normalisation: Annotated[str, _one_of(WORDS["normalisation"]), Key("network", tunable=True)] = "usual"
    dropout: Annotated[float, Key("network", tunable=True)] = Field(
        default=0.0, ge=0, lt=1, description="a number from 0 (none) to below 1, such as 0.1"
    )
    epochs: Annotated[Positive, Key("schedule", paces=False)] = Field(default=50, description="a whole number >= 1")
    patience: Annotated[int, Key("schedule", paces=False)] = Field(
        default=0, ge=0, description="a whole number of epochs >= 0 (0: all of `epochs` are trained)"
    )
    tolerance: Annotated[float, Key("schedule", paces=False)] = Field(
        default=1e-3, ge=0, allow_inf_nan=False, description="a number of bits/dim >= 0"
    )
    averaging: Annotated[float, Key("schedule", tunable=True)] = Field(
        default=0.0, ge=0, lt=1, description="a number from 0 (none) to below 1, such as 0.995"
    )
    batch_size: Annotated[Positive, Key("schedule", tunable=True)] = Field(
        default=100, description="a whole number >= 1"
    )
    learning_rate: Annotated[float, Key("schedule", bundled=False, paces=False, tunable=True)] = Field(
        default=1e-3, gt=0, allow_inf_nan=False, description="a number > 0"
    )
    precision: Annotated[Literal["float32", "tf32", "bf16"], Key("schedule", named=True)] = Field(
        default="float32", description='"float32", "tf32" or "bf16"'
    )
    seed: Annotated[int, Key("seed", bundled=False, paces=False)] = Field(
        default=0, ge=0, lt=2**31, description="a whole number >= 0"
    )
    eval_samples: Annotated[
        tuple[Positive, ...],
        BeforeValidator(_listed),
        AfterValidator(_ascending),
        Key("evaluation", bundled=False),
    ] = Field(
        default=(1, 10, 100, 1000), min_length=1, description="a list of whole numbers >= 1, such as [1, 10, 100]"
    )
    eval_tolerance: Annotated[float, Key("evaluation", bundled=False, absent=0.0)] = Field(
        default=1e-3,
        ge=0,
        allow_inf_nan=False,
        description="a number of bits/dim >= 0 (0: every bound is taken at all of `eval_samples`)",
    )
    test_images: Annotated[int | None, Key("evaluation", bundled=False)] = Field(
        default=None, ge=2, description="a whole number >= 2 (leave it out for all test images)"
    )
    refine: Annotated[Literal["auto", "never", "always"], Key("evaluation", bundled=False)] = Field(
        default="auto", description='"auto", "never" or "always"'
    )
    binarisation: Annotated[Literal["stochastic", "threshold"], Key("data")] = Field(
        default="stochastic", description='"stochastic" or "threshold"'
    )


def _keys() -> dict[str, Key]:
    """What each key is, by its name; `absent` filled in."""
    marked = {}
    for name, field in Settings.model_fields.items():
        (key,) = (item for item in field.metadata if isinstance(item, Key))
        default = None if field.is_required() else field.get_default()
        marked[name] = replace(key, absent=default) if key.absent is ... else key
    return marked


KEYS = _keys()


def keys_of(*groups: str) -> tuple[str, ...]:
    """The names of the keys of some groups, group by group."""
    return tuple(name for group in groups for name, key in KEYS.items() if key.group == group)


def axis(where: str, key: str, value: Any) -> tuple[Any, ...]:
    """The values of one key, each valid. Raises GridError."""
    if key in ONE_VALUE or (
        key in LIST_VALUES and not (isinstance(value, list) and value and isinstance(value[0], list))
    ):
        values = [value]
    else:
        values = value if isinstance(value, list) else [value]
    for value in values if key in (*ONE_VALUE, *LIST_VALUES) else ():
        if isinstance(value, list) and len(value) > LONGEST_VALUE:
            raise GridError(f"{where}: {key} has {len(value):,} numbers in one value; {LONGEST_VALUE} is the most.")
    if not values:
        raise GridError(f"{where}: {brief(key)} is an empty list; give at least one value, or leave the key out.")
    if key in Settings.model_fields:
        cleaned = tuple(_setting(where, key, item) for item in values)
    elif key in option_names():
        cleaned = tuple(_option(where, key, item) for item in values)
    else:
        allowed = [*Settings.model_fields, *option_names()]
        raise GridError(f"{where}: unknown key {quoted(key)} {suggestion(key, allowed, f'allowed: {some(allowed)}')}.")
    met: set[Any] = set()
    for item in cleaned:
        if item in met:
            raise GridError(f"{where}: {key} lists {shown(item)} twice; remove one.")
        met.add(item)
    return cleaned


def _setting(where: str, key: str, value: Any) -> Any:
    try:
        valid = getattr(Settings.model_validate({"family": "", key: value}), key)
    except ValidationError:
        words = _words(key)
        near = _near(value, words) if isinstance(value, str) else ""
        hint = f" (did you mean {near!r}?)" if near else ""
        takes = Settings.model_fields[key].description or f"one of {', '.join(words)}"
        takes += ", or the path of a .py with your own" if key == "network" else ""
        raise GridError(f"{where}: {key} = {shown(value)}, but {key} takes {takes}{hint}.") from None
    if key == "family":
        family_named(where, valid)
    if key == "dataset":
        _require_home(where, valid)
    if key == "network":
        looks_at(where, valid)
    return valid


def _require_home(where: str, dataset: str) -> None:
    """Raises GridError for a path in the home of somebody who has none."""
    if dataset.startswith("~"):
        try:
            Path(dataset).expanduser()
        except RuntimeError:
            who = brief(PurePath(dataset).parts[0][1:]) or "this user"
            raise GridError(
                f"{where}: dataset = {shown(dataset)}, but there is no home of {who}; give the path from / on."
            ) from None


def _words(key: str) -> list[str]:
    """The words that a key takes, where it takes nothing else."""
    if key in WORDS:
        return list(WORDS[key]())
    return [word for word in get_args(Settings.model_fields[key].annotation) if isinstance(word, str)]


def family_named(where: str, name: str) -> Any:
    """The class of a family. Raises GridError."""
    try:
        return registry().get(name)
    except ValueError as error:
        raise GridError(f"{where}: {sentence(error)}") from None


def looks_at(where: str, network: str) -> frozenset[str]:
    """The keys that a network looks at, `architectures.looks_at`. Raises GridError."""
    try:
        return architectures.looks_at(network)
    except ValueError as error:
        raise GridError(f"{where}: {sentence(error)}") from None


def _option(where: str, key: str, value: Any) -> Scalar:
    if not isinstance(value, str | int | float):
        raise GridError(f"{where}: {key} = {shown(value)}, but an option takes a number, a word or a list of such.")
    if isinstance(value, float) and not math.isfinite(value):
        raise GridError(f"{where}: {key} = {shown(value)}, but {key} takes a finite number.")
    return float(value) if key == "sigma" and isinstance(value, int) and not isinstance(value, bool) else value


def suggestion(word: str, words: Iterable[str], otherwise: str) -> str:
    """`(did you mean 'x'? otherwise)`, or `(otherwise)` where nothing is near."""
    near = _near(word, words)
    return f"(did you mean {near!r}? {otherwise})" if near else f"({otherwise})"


def _near(word: str, words: Iterable[str]) -> str:
    """The one that is like it; '' where none is."""
    near = difflib.get_close_matches(word, list(words), n=1) if len(word) <= QUOTED else []
    return near[0] if near else ""


def shown(value: Any) -> str:
    """A value as a grid file writes it, a long one cut in its middle."""
    try:
        text = json.dumps(list(value) if isinstance(value, tuple) else value)
    except TypeError:  # a date, which JSON has not, or a table with one
        return brief(value)
    return brief(text if isinstance(value, str) else text.replace("NaN", "nan").replace("Infinity", "inf"))


def sentence(error: Exception | str) -> str:
    """A message on one line, with its full stop."""
    text = " ".join(str(error).split())
    return text if text.endswith((".", ")", "?")) else f"{text}."
