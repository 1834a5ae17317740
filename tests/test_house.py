"""The rule of the house (docs/ARCHITECTURE.md): a room imports from rooms on floors below, and never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: the floor of every room; those of vae_core, which is one floor of the house, by its own stairs
FLOORS = {
    "vae_core.numerics": 1.0,
    "vae_core.statistics": 1.0,
    "vae_core.data": 1.1,
    "vae_core.likelihoods": 1.1,
    "vae_core.objectives": 1.1,
    "vae_core.laws": 1.2,
    "vae_core.networks": 1.15,
    "vae_core.references": 1.2,
    "vae_core.plugins": 1.3,
    "vae_core.training": 1.3,
    "vae_core.evaluate": 1.4,
    "vae_core.tuning": 1.5,
    "bench.grid": 2,
    "bench.store": 3,
    "bench.engine": 4,
    "bench.statistics": 4,
    "bench.speed": 5,
    "bench.report": 5,
    "bench.cli": 6,
}
#: rooms of the process that schedules and reports, which never executes torch, and what in the engine is a worker's
WITHOUT_TORCH = ("bench.grid", "bench.store", "bench.engine", "bench.statistics", "bench.report", "bench.cli")
IN_WORKERS = "bench.engine.worker"
MOST_DOORS = 12  # files and folders of a folder; those of one kind apart, which are found from it
OF_ONE_KIND = ("vae_core/likelihoods", "vae_core/references", "bench/grids", "bench/report/figures", "bench/cli")
MOST_LINES = 300


def modules(root: Path) -> dict[str, str]:
    """The source of every module of the house, by its dotted name; a package's own is that of its `__init__`."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for package in ("vae_core", "bench")
        for path in sorted((root / package).rglob("*.py"))
    }


def imports(source: str, known: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """The modules that a source imports at any depth, and whether it does so at its top."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports relatively: say where from"
            assert node.module
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from ((name if name in known else node.module, top) for name in inside)


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def faults(house: Mapping[str, str]) -> list[str]:
    """What breaks the rule, a sentence each."""
    found: list[str] = []
    inside: dict[str, set[str]] = {}
    for module, source in house.items():
        own = {name for name, _ in imports(source, house) if name in house} - {module}
        inside[module] = {name for name in own if room(name) == room(module)}
        if module.count(".") and room(module) not in FLOORS:
            found.append(f"{module} stands in no room: give {room(module)} a floor")
            continue
        outside = own - inside[module] - {"vae_core", "bench"}
        found += [
            f"{module} imports {name}, which is not below it"
            for name in sorted(outside)
            if module in ("vae_core", "bench") or FLOORS.get(room(name), 9) >= FLOORS[room(module)]
        ]
    try:
        tuple(TopologicalSorter(inside).static_order())
    except CycleError as circle:
        found.append(f"a circle: {' -> '.join(circle.args[1])}")
    return found


HOUSE = modules(ROOT)


def test_every_room_imports_from_below_and_none_in_a_circle():
    assert faults(HOUSE) == []


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("bench.store.schema", "from bench.report import page", "bench.store.schema imports bench.report.page"),
        ("vae_core.data.levels", "import bench.grid.cell", "vae_core.data.levels imports bench.grid.cell"),
        ("bench.engine.lock", "def f():\n    from bench.statistics import boards", "not below it"),
        ("vae_core.networks.mlp", "from vae_core.training import train", "not below it"),
        ("bench.grid.cell", "from bench.grid.read import Grid", "a circle"),
        ("bench.attic.trunk", "", "stands in no room"),
    ],
)
def test_a_planted_import_is_refused(module, line, said):
    planted = {**HOUSE, module: f"{HOUSE.get(module, '')}\n{line}\n"}
    assert any(said in fault for fault in faults(planted))


@pytest.mark.parametrize("module", [m for m in HOUSE if m.startswith(WITHOUT_TORCH) and not m.startswith(IN_WORKERS)])
def test_the_process_that_schedules_reaches_for_torch_inside_functions_only(module):
    at_top = {name for name, top in imports(HOUSE[module], HOUSE) if top and not name.startswith("vae_core.statistics")}
    assert not {name.partition(".")[0] for name in at_top} & {"torch", "torchvision", "vae_core"}


@pytest.mark.parametrize(
    "folder", sorted({path.parent for top in ("vae_core", "bench") for path in (ROOT / top).rglob("*.py")})
)
def test_a_folder_has_few_doors(folder):
    doors = [item for item in folder.iterdir() if item.name[:1] not in "._" and not item.name.startswith("__")]
    assert len(doors) <= MOST_DOORS or str(folder.relative_to(ROOT)) in OF_ONE_KIND


def test_a_long_file_says_why():
    for module, source in HOUSE.items():
        if source.count("\n") > MOST_LINES:
            assert "one file" in (ast.get_docstring(ast.parse(source)) or ""), f"{module}: split it, or say why not"


def test_the_registry_and_the_plan_do_not_execute_torch():
    script = """
import sys
from bench.grid.read import describe, load_grid, shipped_grids
from bench.grid.plan import plan
for path in shipped_grids().values():
    cells = load_grid(path).cells
    describe(cells)
    assert plan(cells, "cpu", 2)
import torch
assert "torch._C" not in sys.modules, "executed"
assert torch.zeros(2).tolist() == [0, 0]  # and is the real one as soon as it is used
import torch.nn.functional
assert sys.modules["torch"] is torch
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_who_trains_imports_nothing_of_scipy():
    """Every worker of a run would wait for it."""
    script = """
import gc, sys
from bench.engine.process.serve import resolve
for function in ("bench.engine.worker.bundle:carry_out", "bench.engine.worker.tuning:choose"):
    assert callable(resolve(function))
assert gc.isenabled()
found = {name.partition(".")[0] for name in sys.modules} & {"scipy", "pandas", "matplotlib", "sklearn"}
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["import torch.nn.functional", "from torch import Tensor", "from torch.nn import init"]
)
def test_a_plug_in_may_reach_into_torch_while_it_is_imported(line):
    script = (
        f"from bench.grid.families import registry\nregistry()\n{line}\n"
        "import torch\nassert torch.zeros(2).sum() == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
