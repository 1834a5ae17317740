"""Likelihoods of a user's own, in every process of a run.

The process that reads the command line imports a plug-in and takes it into the registry, without executing torch. Its
laws are tried in a worker, before a run file is made; and each worker takes in the plug-ins that the grid uses, if they
are still what they were when the run began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine.local import Pool, Task, TaskFailed
from bench.grid.cell import Cell
from bench.grid.errors import MOST, Say, UserError, brief
from bench.grid.families import architectures, networks, registry, trial


class PluginError(UserError):
    """A plug-in that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Origin:
    """Where a worker finds a plug-in (None: in an installed package), and the checksum of the code that is meant."""

    family: str
    file: Path | None
    sha256: str


def add(files: Iterable[Path], say: Say) -> list[str]:
    """Take plug-ins into this process's registry, their laws untried; gives the families of the files. Each is imported
    in a process of its own first, and `say` tells a person what it prints. Raises PluginError."""
    registry()
    from vae_core.plugins import register  # without torch, as the registry is read by now

    families, said = [], list[str]()
    try:
        for file in files:
            trial.try_file(file, said)
            with trial.quiet():
                families.append(register(file, check=False))
    except ValueError as error:
        raise PluginError(brief(f"{error}.", MOST)) from None
    finally:
        for sentence in said:
            say(sentence)
    return families


def named(family: str, say: Say) -> None:
    """Take in the family of an installed package, where it is one; `say` tells a person what it prints. Raises
    PluginError."""
    said = list[str]()
    try:
        trial.take_in(family, said)
    except ValueError as error:
        raise PluginError(brief(f"{error}.", MOST)) from None
    for sentence in said:
        say(sentence)


def origins(families: Iterable[str]) -> tuple[Origin, ...]:
    """The plug-ins among the families."""
    plugins = registry().plugins()
    used = (plugins[family] for family in sorted(set(families)) if family in plugins)
    return tuple(Origin(p.name, None if p.installed else p.file, p.sha256) for p in used)


def facts(cells: Iterable[Cell]) -> dict[str, dict[str, str]]:
    """What a run file says of each plug-in among the cells' families: its file's name and its checksum."""
    plugins = registry().plugins()
    families = sorted({cell.family for cell in cells} & set(plugins))
    return {family: {"file": plugins[family].file.name, "sha256": plugins[family].sha256} for family in families}


def network_facts(cells: Iterable[Cell]) -> dict[str, dict[str, str]]:
    """What a run file says of each network of a user's own among the cells': its file's name and its checksum, by its
    path."""
    read = {name: networks().read_own(name) for name in networks_of(cells) if networks().is_own(name)}
    return {name: {"file": source.name, "sha256": source.sha256} for name, source in read.items()}


def network_cards(cells: Iterable[Cell], own: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """What a run file says of every network among the cells', so that a report knows how it is spoken of; of users'
    own what `network_facts` gave besides."""
    return {name: {**own.get(name, {}), **said} for name, said in architectures.facts(networks_of(cells)).items()}


def networks_of(cells: Iterable[Cell]) -> list[str]:
    """The networks of cells, those that one may have where that is tuned among them, in order."""
    return sorted({name for cell in cells for name in (cell.network, *cell.tune.get("network", ()))})


def task(wanted: tuple[Origin, ...], own: Mapping[str, Mapping[str, str]] | None = None) -> Task | None:
    """What a worker does before all else, so that it knows these plug-ins, and which code is meant by these networks;
    None where there are none."""
    meant = {name: facts["sha256"] for name, facts in (own or {}).items()}
    return Task("bench.engine.plugins:take_in", (wanted, meant)) if wanted or meant else None


def obey(family: str) -> None:
    """Try a plug-in's laws in a worker. Raises PluginError."""
    wanted = origins([family])
    with Pool(1, 1, task(wanted)) as pool:
        try:
            refuse(pool.call("bench.engine.plugins:check", family))
        except TaskFailed as error:
            raise PluginError(f"{error}.") from None


def refuse(checked: Mapping[str, str]) -> None:
    """Raises PluginError, of several lines, where `check` found a law broken."""
    if checked:
        raise PluginError(checked["broken"])


# -- in a worker -------------------------------------------------------------------------------------------------------


def take_in(wanted: Iterable[Origin], meant: Mapping[str, str] | None = None) -> None:
    """Raises ValueError where a plug-in is not what it was; a network is looked at when it is built (`meant`: the
    checksums of users' own, by their paths)."""
    from vae_core import likelihoods
    from vae_core.networks import mean_own
    from vae_core.plugins import register

    mean_own(meant or {})
    for origin in wanted:
        with trial.quiet():  # what it prints was told when it was tried
            if origin.file is not None:
                register(origin.file, check=False)
            else:
                likelihoods.get(origin.family)
        if likelihoods.plugins()[origin.family].sha256 != origin.sha256:
            raise ValueError(f"the plug-in of {origin.family} was changed while it was in use; begin again")


def check(family: str) -> dict[str, str]:
    """Hold a family to the laws: {} or, a page that names every law it breaks, {"broken": …}."""
    from vae_core import laws, likelihoods

    try:
        laws.check(likelihoods.get(family))
    except laws.LawBroken as broken:  # as a value: what a worker raises is told in one line of 500 characters
        return {"broken": str(broken)}
    return {}
