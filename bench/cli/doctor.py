"""`vae-bench doctor`: whether this machine can run the suite, what is here, what is missing, what to do about it; of a
data set, what is noticed before anything is trained on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Overrides, Refused, columns, grid_of
from bench.grid.errors import brief

if TYPE_CHECKING:
    from bench.grid.cell import DataSpec

SPACE_NEEDED = 1_000_000_000  # bytes: the larger data sets unpacked, and run files


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table; `remedy` is empty where all is well. Only `needed` things can fail the visit."""

    what: str
    found: str
    remedy: str = ""
    needed: bool = False


def checks() -> list[Check]:
    """All checks; torch is looked at in a process of its own."""
    from bench.engine.local import Pool, TaskFailed
    from bench.engine.provenance import cores

    plugins = list(offered())
    with Pool(1, cores()) as pool:
        try:
            seen = pool.call("bench.cli.doctor:look")
        except TaskFailed as error:
            remedy = "Reinstall it: pip install torch torchvision, or make setup in a fresh clone"
            return [_python(), Check("torch", str(error), remedy, needed=True), *plugins, _disk(Path())]
    return [_python(), *seen, *plugins, _disk(Path())]


def offered() -> Iterator[Check]:
    """The families that installed packages offer, by what the packages say of themselves: none is imported."""
    from bench.grid.families import registry
    from bench.report.numbers import listed

    catalogue = registry()
    shipped = (*catalogue.known(), *catalogue.ALIASES)
    for name, offers in catalogue.offers().items():
        for offer in offers:
            package = " ".join(filter(None, (offer.package or "an unnamed package", offer.version)))
            found = f"{brief(name)}, of {brief(package)} ({brief(offer.module)})"
            others = [brief(other.package or other.module) for other in offers if other != offer]
            if name in shipped:
                yield Check("plug-in", f"{found}: never used, for its name is taken", "Give its module another name")
            elif others:
                yield Check("plug-in", f"{found}: not to be used", f"{listed(others)} offers that too: uninstall one")
            else:
                yield Check("plug-in", f"{found}: imported when a grid names it")


def look() -> list[Check]:
    """In a worker: torch, CUDA and the data sets."""
    import torch

    from bench.engine.provenance import cores, cpu_model, package_version
    from vae_core import data

    results = [Check("torch", f"{torch.__version__}, torchvision {package_version('torchvision')}")]
    kind, cuda = _cuda()
    results.append(cuda)
    results.append(Check("CPU", f"{cpu_model()}, {cores()} cores, {torch.get_num_threads()} threads"))
    results.append(Check("how it computes", _settings(kind)))
    here, absent = _data_sets(data)
    remedy = "Most are downloaded when first used; VAE_BENCH_DATA names another folder"
    results.append(Check("data root", str(data.data_root())))
    results.append(Check("data sets here", ", ".join(here)))
    if absent:
        results.append(Check("not here yet", ", ".join(absent), remedy))
    return results


def _cuda() -> tuple[str, Check]:
    """The kind of device that --device auto means, and the GPUs that are seen."""
    from bench.engine.provenance import prepare_device

    try:
        found = prepare_device("auto")
    except ValueError as error:
        return "cpu", Check("CUDA", str(error).rstrip("."), "--device cpu works meanwhile")
    if found["kind"] == "cpu":
        remedy = "Where there is a GPU, nvidia-smi and torch's CUDA build say why it is not seen"
        return "cpu", Check("CUDA", "none: --device auto means the CPU", remedy)
    many = f"{found['gpus']} GPUs, a worker each: " if found["gpus"] > 1 else ""
    return "cuda", Check("CUDA", f"{many}{found['name']}")


def _settings(kind: str) -> str:
    """What bears on whether numbers come out the same again."""
    from bench.engine.process.device import settings

    told = settings(kind)
    parts = [f"float32 products {told['float32_products']}"]
    parts.append(f"deterministic algorithms {'asked for' if told['deterministic_algorithms'] else 'not asked for'}")
    if kind == "cuda":
        parts.append(f"cuDNN {'searches for its fastest' if told['cudnn_benchmark'] else 'takes its usual'} algorithms")
    parts += [f"{name}={brief(value)}" for name, value in told["environment"].items()]
    return f"{'; '.join(parts)}. With the same seed again: {told['same_seed_again']}"


def _data_sets(data: Any) -> tuple[list[str], list[str]]:
    here, absent = [], []
    for name in data.names():
        try:
            data.load(name, download=False)
            here.append(name)
        except data.DataError:
            absent.append(name)
    return here, absent


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", version, "" if sys.version_info >= (3, 11) else "Use Python 3.11 or newer", needed=True)


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    remedy = "" if free >= SPACE_NEEDED else f"Free some space: runs and data want {SPACE_NEEDED / 1e9:.0f} GB"
    return Check("disk here", f"{free / 1e9:.1f} GB free", remedy)


def questions(asked: Iterable[DataSpec]) -> Iterator[list[Check]]:
    """Of each data set what it is, and what is noticed of it; looked at in a process of its own. Raises Refused where
    one cannot be had, with what mends it."""
    from bench.engine.local import Pool, TaskFailed
    from bench.engine.provenance import cores

    with Pool(1, cores()) as pool:
        for spec in asked:
            call = ("bench.engine.worker.facts:inspect_data", *astuple(spec))
            try:
                yield list(_told(spec, pool.call("bench.engine.opening:plainly", *call)))
            except TaskFailed as error:
                raise Refused(str(error)) from None


def _told(spec: DataSpec, facts: Mapping[str, Any]) -> Iterator[Check]:
    yield Check("data", spec.key)
    yield Check("what", facts["about"])
    size = " × ".join(map(str, facts["shape"]))
    yield Check("images", f"{size}, {facts['levels']} levels; {facts['train']}/{facts['valid']}/{facts['test']}")
    for remark in facts["remarks"]:
        yield Check(f"{'!' if remark['loud'] else '-'} {remark['topic']}", remark["text"])
    if not facts["remarks"]:
        yield Check("noticed", "nothing")


def data_of(what: str, overrides: list[str] | None) -> list[DataSpec]:
    """The data sets that are meant: one by its name or path, with what --set makes of it, or those of a grid."""
    from bench.grid.document import text_of
    from bench.grid.read import parse_grid, shipped_grids

    if what.endswith(".toml") or (what in shipped_grids() and what not in _names()):
        cells = grid_of(what, overrides).cells
    else:
        text = f"[grid]\nfamily = 'categorical'\ndataset = {text_of(what)}\n"
        cells = parse_grid(text, "doctor", "vae-bench doctor", overrides or []).cells
    return list(dict.fromkeys(cell.data for cell in cells))


def _names() -> list[str]:
    from bench.grid import lazy_torch

    lazy_torch.install()
    from vae_core import data

    return data.names()


def verb(
    data: Annotated[
        str | None,
        typer.Argument(help="A data set's name or path, or a grid: say what is noticed of its data instead."),
    ] = None,
    set_: Overrides = None,
) -> int:
    """Say whether this machine can run the suite, or what is to be known of a data set.

    Looks at Python, torch, CUDA, the data sets, installed plug-ins and the disk, and names a remedy for
    what is missing. Plug-ins are listed and not imported.
    Of a data set: levels that do not occur, copies between splits, runs of like images, and more.

    Example:  vae-bench doctor faces.npz --set block=50
    """
    from bench.cli.text.table import table

    if data is not None:
        for told in questions(data_of(data, set_)):
            found = [(check.what, f"{check.found}.") for check in told]
            typer.echo(table(found, columns()), nl=False)
        return 0
    if set_:
        raise Refused("--set: name the data set that it is of, as in vae-bench doctor faces.npz --set block=50.")
    results = checks()
    rows = [(check.what, f"{check.found}. {check.remedy}." if check.remedy else check.found) for check in results]
    typer.echo(table(rows, columns()), nl=False)
    return 1 if any(check.needed and check.remedy for check in results) else 0
