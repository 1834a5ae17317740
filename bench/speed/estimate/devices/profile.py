"""The rates of a device: of a data sheet, as the files of `sheets/` have them, or measured (`measure`).

A data sheet has peaks. What of them is reached, and what a launch, a wait or a compiler takes, is on none: the files
say so under [assumed], number by number.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.grid.document import read_text
from bench.grid.errors import UserError, brief, printable, quoted, some
from bench.grid.settings import suggestion

FOLDER = Path(__file__).parent / "sheets"
#: names for the machine that this runs on, whose rates are measured: its GPU where it has one, or which of the two
HERE = {"this": "auto", "auto": "auto", "cpu": "cpu", "cuda": "cuda"}
SUFFIX = ".toml"
DROPPED = ("nvidia", "geforce", "rtx")  # of names as people write them
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


def is_here(name: str) -> bool:
    """Whether the rates are to be measured on this machine."""
    return name in HERE


def profile_of(name: str) -> Profile:
    """A device by its name, as people write it ("RTX 4090", "h100"), or by the path of a .toml with its rates. Raises
    ProfileError."""
    if name.endswith(SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise ProfileError(f"there is no profile file {brief(name)}; the devices by name are {_listed()}.")
        return parsed(path.stem, read_text(path), printable(brief(name)))
    plain = _plain(name)
    found = next((known for known in names() if _plain(known) == plain), None)
    if found is None:
        raise ProfileError(
            f"--device {quoted(name)}: no such device {suggestion(name, names(), f'there are {_listed()}')}."
        )
    return parsed(found, read_text(FOLDER / f"{found}{SUFFIX}"), found)


def _listed() -> str:
    return f"this, cpu, cuda, {some(names(), 160)}, or the path of a .toml"


def _plain(name: str) -> str:
    words = name.lower().replace("-", " ").replace("_", " ").split()
    return "".join(word for word in words if word not in DROPPED)


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
