"""The rates of a device: of a data sheet, as the files of `sheets/` have them, or measured (`measure`).

A data sheet has peaks. What of them is reached, and what a launch, a wait or a compiler takes, is on none: the files
say so under [assumed], number by number.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engine.process.device import named
from bench.grid.document import read_text
from bench.grid.errors import UserError, brief, printable, quoted, some
from bench.grid.settings import suggestion

FOLDER = Path(__file__).parent / "sheets"
#: names for the machine that this runs on, whose rates are measured, beside those of a run's --device
HERE = {"this": "auto", "here": "auto"}
SUFFIX = ".toml"
#: words of a name as people, shops and drivers write it that tell no device from another
DROPPED = ("nvidia", "geforce", "rtx", "gtx", "tesla", "tensor", "core", "gpu", "gb", "gib")
MEMORIES = "(hbm|gddr)[0-9]+[ex]?"  # what a driver says of the memory besides its size
FORMS = ("sxm", "pcie")  # of one and the same device, with other rates
SHARES = ("products", "bytes_share", "functions", "small_matrices")
HOST = ("launch", "view", "replayed", "replay", "wait", "link", "compile", "start", "cores")
PRECISIONS = ("float32", "tf32", "bf16", "float64")


class ProfileError(UserError):
    """No such profile, or a file that is none."""


@dataclass(frozen=True)
class Profile:
    """What a device reaches. Seconds, and amounts a second."""

    name: str
    title: str
    kind: str  #: "cpu" or "cuda": how a run is cut for it
    source: str  #: whose data sheet, or that it was measured, and when
    measured: bool
    products: Mapping[str, float]  #: operations/s of matrix products, by precision
    bytes_per_s: float
    operations_per_s: Mapping[str, float]  #: of functions such as exp, in elementary operations, by dtype
    small_operations_per_s: float  #: of decompositions of small matrices in float64
    memory: float  #: bytes
    launch: float  #: s of the host for an operator
    view: float  #: s of the host for an operator that launches nothing
    replayed: float  #: s of the device for a kernel of a replayed graph, at the least
    replay: float  #: s of the host for a replay
    wait: float  #: s of the host for a value of the device
    link: float  #: bytes/s between host and device
    compile: float  #: s for one program of scores, beside the run; 0 where nothing is compiled
    start: float  #: s until a worker begins
    cores: int  #: of the host
    functions: Mapping[str, float] = field(default_factory=dict)  #: s an element, where measured: "exp/float32"
    small: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  #: (s, s/n³) a matrix, where measured: "eigh"
    shares: Mapping[str, float] = field(default_factory=dict)  #: of the data sheet's peaks that are assumed

    @property
    def on_cpu(self) -> bool:
        return self.kind == "cpu"

    @property
    def said(self) -> str:
        """Where its rates are from, a clause."""
        return self.source if self.measured else f"from the data sheet, not measured: {self.source}"


def names() -> list[str]:
    """Of the profiles that there are as files."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def here(name: str) -> str | None:
    """Which device of the machine that this runs on is meant, as a run takes it ("auto", "cpu", "cuda", "cuda:1"); None
    where the name is one of a data sheet, a file, or nothing."""
    word = name.strip().lower()
    if word in HERE:
        return HERE[word]
    try:
        return named(word)
    except ValueError:
        return None


def is_here(name: str) -> bool:
    """Whether the rates are to be measured on this machine."""
    return here(name) is not None


def profile_of(name: str) -> Profile:
    """A device by its name, as people and drivers write it ("RTX-4090", "h100 pcie", "NVIDIA A100-SXM4-40GB"), or by
    the path of a .toml with its rates. Raises ProfileError."""
    if name.endswith(SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise ProfileError(f"there is no profile file {brief(name)}; the devices by name are {_listed()}.")
        return parsed(path.stem, read_text(path), printable(brief(name)))
    found = known_as(name)
    if found is None:
        raise ProfileError(f"--device {quoted(name)}: {_why(name)}.")
    return parsed(found, read_text(FOLDER / f"{found}{SUFFIX}"), found)


def known_as(name: str) -> str | None:
    """The data sheet of a device by whatever it is called; None where there is none. Every word of it must be of the
    sheet's name or title, or tell nothing: a "4090 Laptop" is another device."""
    asked = _words(name)
    if not asked:
        return None
    sheets = {known: _words(known) for known in names()}
    for known in sorted(sheets, key=lambda known: len(sheets[known])):  # "a100" before "a100-40"
        if sheets[known] == asked:
            return known
    for known in sorted(sheets, key=lambda known: len(sheets[known])):
        titled = _words(tomllib.loads(read_text(FOLDER / f"{known}{SUFFIX}"))["title"])
        model = sheets[known] - {*FORMS, *_memory_of(titled)}
        forms = titled & set(FORMS) or set(FORMS)
        if model <= asked <= titled | sheets[known] | forms:
            return known
    return None


def _memory_of(titled: frozenset[str]) -> set[str]:
    """The gigabytes, a word like "80"; the number of a model is not among them: "4090" has no memory of that size."""
    return {word for word in titled if word.isdigit() and len(word) <= 3}


def _words(name: str) -> frozenset[str]:
    """Those of a name that tell it from others: "NVIDIA H100 80GB HBM3" is {h100, 80}, "RTX4090" {4090}, "SXM5" sxm."""
    found = []
    for word in re.split("[^a-z0-9]+", name.lower()):
        word = re.sub("^(rtx|gtx|geforce)(?=[0-9])", "", word)
        word = re.sub("^([0-9]+)(gib|gb|g)$", r"\1", word)
        word = re.sub("^(sxm|pcie?)[0-9x]*$", lambda form: "sxm" if form[1] == "sxm" else "pcie", word)
        if word and word not in DROPPED and not re.fullmatch(MEMORIES, word):
            found.append(word)
    return frozenset(found)


def _why(name: str) -> str:
    """Why there is no such device, and which there are; one that a run refuses by its name is told the same."""
    try:
        named(name)
    except ValueError as error:
        said = str(error).partition(": ")[2].partition(";")[0].rstrip(".")
        if not said.startswith("there is no such device"):
            return f"{brief(said, 90)}; give {_listed(110)}"
    near = suggestion(" ".join(sorted(_words(name))) or name, names(), f"there are {_listed()}")
    return f"no such device {near}"


def _listed(room: int = 120) -> str:
    return f"this, cpu, cuda, cuda:N, {some(names(), room)}, or the path of a .toml"


def parsed(name: str, text: str, where: str) -> Profile:
    """A profile from the text of its file. Raises ProfileError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where}: no TOML ({error}).") from None
    document = dict(document)
    title, kind, source = (_word(document, key, where) for key in ("title", "kind", "source"))
    if kind not in ("cpu", "cuda"):
        raise ProfileError(f'{where}: kind = {quoted(kind)}, but a device is "cpu" or "cuda".')
    peak, memory = _table(document, "peak", where), _table(document, "memory", where)
    assumed = _table(document, "assumed", where)
    share = {key: _number(assumed, "assumed", key, where) for key in SHARES}
    if beyond := next((key for key, value in share.items() if value > 1), None):
        raise ProfileError(f"{where}: [assumed] {beyond} = {share[beyond]:g} is a share of the peak, 1 at most.")
    host = {key: _number(assumed, "assumed", key, where, least=key == "compile") for key in HOST}
    functions, small = (_table(document, key, where) if key in document else {} for key in ("functions", "small"))
    full = {
        key: _number(peak, "peak", key, where) for key in PRECISIONS if key in peak or key in ("float32", "float64")
    }
    return Profile(
        name=name,
        title=title,
        kind=kind,
        source=source,
        measured=document.get("measured") is True,
        products={key: share["products"] * rate for key, rate in full.items()},
        bytes_per_s=share["bytes_share"] * _number(peak, "peak", "bytes", where),
        operations_per_s={key: share["functions"] * full[key] for key in ("float32", "float64")},
        small_operations_per_s=share["small_matrices"] * full["float64"],
        memory=_number(memory, "memory", "bytes", where),
        functions={key: _number(functions, "functions", key, where) for key in functions},
        small={key: _pair(value, key, where) for key, value in small.items()},
        shares=share,
        **{**host, "cores": max(1, int(host["cores"]))},  # type: ignore[arg-type]
    )


def written(profile: Profile) -> str:
    """The text of a file that `parsed` reads the same rates from: they are what is reached, so the shares are 1."""

    def lines(table: str, values: Mapping[str, Any]) -> list[str]:
        return [f"[{table}]", *(f'"{key}" = {value!r}' for key, value in values.items()), ""]

    peak = {**profile.products, "bytes": profile.bytes_per_s}
    functions_share = min(1.0, profile.operations_per_s["float32"] / profile.products["float32"])
    small_share = min(1.0, profile.small_operations_per_s / profile.products["float64"])
    assumed = {"products": 1.0, "bytes_share": 1.0, "functions": functions_share, "small_matrices": small_share}
    assumed |= {key: getattr(profile, key) for key in HOST}
    head = [f'title = "{profile.title}"', f'kind = "{profile.kind}"', f'source = "{profile.source}"']
    head += [f"measured = {str(profile.measured).lower()}", ""]
    small = {key: list(value) for key, value in profile.small.items()}
    parts = lines("peak", peak) + lines("memory", {"bytes": profile.memory}) + lines("assumed", assumed)
    return "\n".join([*head, *parts, *lines("functions", profile.functions), *lines("small", small)])


def _table(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    table = document.get(key)
    if not isinstance(table, dict):
        raise ProfileError(
            f"{where}: a profile needs a table [{key}]; bench/speed/estimate/devices/sheets/h100.toml has one."
        )
    return table


def _word(document: Mapping[str, Any], key: str, where: str) -> str:
    word = document.get(key)
    if not isinstance(word, str) or not word:
        raise ProfileError(f"{where}: a profile needs {key}, in quotes, before its tables.")
    return word


def _number(table: Mapping[str, Any], name: str, key: str, where: str, *, least: bool = False) -> float:
    """Above 0; `least`: or 0."""
    value = table.get(key)
    if not _is_rate(value) and not (least and value == 0 and not isinstance(value, bool)):
        given = "is not there" if value is None else f"= {brief(value)}"
        raise ProfileError(f"{where}: [{name}] {key} {given}, but takes a number {'of 0 or more' if least else '> 0'}.")
    return float(value)  # type: ignore[arg-type]


def _is_rate(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def _pair(value: Any, key: str, where: str) -> tuple[float, float]:
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_rate, value))):
        raise ProfileError(f"{where}: [small] {key} takes two numbers > 0, s and s/n³ of a matrix of n rows.")
    return float(value[0]), float(value[1])
