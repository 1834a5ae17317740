"""The arrows of the house, read from the imports: cli → run → plan → vae_core; the report reads only the store."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a module of the harness may import of the harness, whether at its top or inside a function.
MAY_IMPORT = {
    "bench.lazy_torch": set(),
    "bench.cell": set(),
    "bench.provenance": set(),
    "bench.gate": set(),
    "bench.significance": set(),
    "bench.compare": {"bench.significance"},
    "bench.differences": {"bench.compare", "bench.significance", "bench.store"},
    "bench.differences_text": {"bench.differences", "bench.store"},
    "bench.exported": {"bench.store"},
    "bench.progress": set(),
    "bench.memory": set(),
    "bench.pool": {"bench.memory"},
    "bench.registry": {"bench.cell", "bench.lazy_torch"},
    "bench.settings": {"bench.cell", "bench.registry"},
    "bench.grid": {"bench.cell", "bench.registry", "bench.settings"},
    "bench.lock": {"bench.store"},
    "bench.plan": {"bench.cell", "bench.registry"},
    "bench.plugins": {"bench.cell", "bench.pool", "bench.registry"},
    "bench.explain": {"bench.registry", "bench.settings", "bench.shelves"},
    "bench.export": {"bench.store"},
    "bench.shelves": {"bench.grid", "bench.lazy_torch", "bench.registry"},
    "bench.doctor": {"bench.pool", "bench.provenance"},
    "bench.materials": {"bench.cell"},
    "bench.throughput": {"bench.cell", "bench.materials"},
    "bench.tensor_bytes": set(),
    "bench.survey_worker": {
        "bench.cell",
        "bench.materials",
        "bench.peers.turns",
        "bench.plan",
        "bench.tensor_bytes",
        "bench.throughput",
    },
    "bench.survey": {
        "bench.cell",
        "bench.grid",
        "bench.lock",
        "bench.plugins",
        "bench.pool",
        "bench.progress",
        "bench.provenance",
        "bench.store",
    },
    "bench.survey_text": {"bench.survey"},
    "bench.worker": {"bench.cell", "bench.materials", "bench.plan", "bench.store", "bench.throughput"},
    "bench.peers": set(),
    "bench.peers.task": set(),
    "bench.peers.turns": set(),
    "bench.peers.plain": {"bench.peers.task"},
    "bench.peers.with_pythae": {"bench.peers.plain", "bench.peers.task"},
    "bench.peers.ours": {"bench.peers.plain", "bench.peers.task", "bench.pool", "bench.provenance"},
    "bench.peers.comparison": {
        "bench.peers.ours",
        "bench.peers.with_pythae",
        "bench.peers.plain",
        "bench.peers.task",
        "bench.peers.turns",
        "bench.throughput",
    },
    "bench.peers.__main__": {"bench.memory", "bench.peers", "bench.peers.comparison", "bench.provenance"},
    "bench.run": {
        "bench.cell",
        "bench.grid",
        "bench.lock",
        "bench.plan",
        "bench.plugins",
        "bench.pool",
        "bench.progress",
        "bench.provenance",
        "bench.registry",
        "bench.store",
    },
    "bench.cli": {
        "bench.differences",
        "bench.differences_text",
        "bench.doctor",
        "bench.explain",
        "bench.export",
        "bench.exported",
        "bench.grid",
        "bench.plugins",
        "bench.progress",
        "bench.provenance",
        "bench.report",
        "bench.run",
        "bench.shelves",
        "bench.store",
        "bench.survey",
        "bench.survey_text",
    },
}
REPORT_MAY_IMPORT = {"bench.store", "bench.compare"}  # and its own modules
USE_VAE_CORE = {
    "bench.plugins",
    "bench.registry",
    "bench.shelves",
    "bench.doctor",
    "bench.materials",
    "bench.survey_worker",
    "bench.throughput",
    "bench.worker",
    "bench.peers.task",
    "bench.peers.ours",
    "bench.peers.with_pythae",
    "bench.peers.comparison",
    "bench.peers.__main__",
}
USE_TORCH = {
    "bench.provenance",
    "bench.doctor",
    "bench.materials",
    "bench.survey_worker",
    "bench.tensor_bytes",
    "bench.throughput",
    "bench.worker",
    "bench.peers.task",
    "bench.peers.plain",
    "bench.peers.with_pythae",
    "bench.peers.ours",
    "bench.peers.__main__",
}


def modules(package: str) -> dict[str, Path]:
    """Every module's dotted name, and its file."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names that a file imports at any depth, and whether it does so at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: say where from"
            assert node.module
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in MODULES else node.module, id(node) in top


MODULES = modules("bench") | modules("vae_core")
BENCH, CORE = modules("bench"), modules("vae_core")


def of(package: str, module: str) -> set[str]:
    return {name for name, _ in imports(MODULES[module]) if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("module", sorted(CORE))
def test_vae_core_is_importable_alone(module):
    assert of("bench", module) == set()


@pytest.mark.parametrize("module", sorted(set(BENCH) - {"bench"}))
def test_the_arrows_of_the_harness(module):
    found = of("bench", module)
    if module.startswith("bench.store"):
        assert {name for name in found if not name.startswith("bench.store")} <= {"bench.cell"}
        return
    if module.startswith("bench.report"):
        assert {name for name in found if not name.startswith("bench.report")} <= REPORT_MAY_IMPORT
        return
    assert module in MAY_IMPORT, f"{module} is new: say here what it may import"
    assert found <= MAY_IMPORT[module]


@pytest.mark.parametrize("module", sorted(BENCH))
def test_only_workers_and_the_registrys_readers_know_vae_core_and_torch(module):
    if module not in USE_VAE_CORE:
        assert of("vae_core", module) == set()
    if module not in USE_TORCH:
        assert of("torch", module) | of("torchvision", module) == set()


@pytest.mark.parametrize(
    "module", ["bench.provenance", "bench.doctor", "bench.plugins", "bench.registry", "bench.shelves", "bench.survey"]
)
def test_what_the_parent_imports_reaches_for_torch_inside_functions_only(module):
    at_top = {name.partition(".")[0] for name, top in imports(BENCH[module]) if top}
    assert not at_top & {"torch", "torchvision", "vae_core"}


def test_the_registry_and_the_plan_do_not_execute_torch():
    script = """
import sys
from bench.grid import describe, load_grid, shipped_grids
from bench.plan import plan
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


@pytest.mark.parametrize(
    "line", ["import torch.nn.functional", "from torch import Tensor", "from torch.nn import init"]
)
def test_a_plug_in_may_reach_into_torch_while_it_is_imported(line):
    script = (
        f"from bench.registry import registry\nregistry()\n{line}\nimport torch\nassert torch.zeros(2).sum() == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
