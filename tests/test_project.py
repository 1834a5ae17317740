"""What holds for the whole: packages that are importable alone and cheap, and documents that lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WRITTEN = (".py", ".md", ".toml", ".cff", ".j2", ".css", ".js")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/RULES.md", "docs/ARCHITECTURE.md")
FOLDERS = ("bench", "docs", "examples", "reports/reference", "results/reference", "tests", "vae_core")
RULES = (ROOT / "docs/RULES.md").read_text("utf-8")
FOREIGN = "DESIGN" + ".md"  # a page that is not in this repository


def written() -> Iterator[tuple[str, str]]:
    """Path and text of every file of the repository that somebody wrote."""
    inside = (path for folder in FOLDERS if "reference" not in folder for path in (ROOT / folder).rglob("*"))
    for path in (*ROOT.glob("*"), *inside):
        if path.suffix in WRITTEN and path.is_file():
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")


@pytest.mark.parametrize("package", ["vae_core", "bench"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    """The parent process of a run must not pay for torch."""
    code = f"import sys, {package}; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_no_file_cites_a_page_that_is_not_here() -> None:
    citing = [name for name, text in written() if FOREIGN in text and name != "tests/test_project.py"]
    assert citing == []


def test_every_rule_that_is_cited_is_there() -> None:
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", RULES, re.MULTILINE)]
    assert numbers == list(range(1, 19))
    for name, text in written():
        for said in re.findall(r"docs/RULES\.md,\s+(?:#:?\s*)?(rules? \d+|Speed)", text):
            assert said == "Speed" or int(said.split()[1]) in numbers, f"{name} cites {said}"
    assert "\n## Speed\n" in RULES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_is_there(document: str) -> None:
    """Files, folders, tests (`path::name`), what stands before its file (`name` (`path`)) and links.

    A path with NAME in it stands for others.
    """
    text, lacking = (ROOT / document).read_text("utf-8"), []
    for path, test in re.findall(rf"\b((?:{'|'.join(FOLDERS)})/[\w/.-]*\w)(?:::(test_\w+))?", text):
        if "NAME" not in path and not ((ROOT / path).exists() and (not test or test in defined(ROOT / path))):
            lacking.append(f"{path} {test}")
    for name, path in re.findall(r"`([\w.]+)`\s\(`([\w/]+\.py)`\)", text):
        if not set(name.split(".")) <= defined(ROOT / path):
            lacking.append(f"{path} {name}")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert lacking == []
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


def defined(path: Path) -> set[str]:
    """The functions and classes of a file."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_readmes_model_of_ones_own_runs_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its σ is trained and saved, and its images are scored."""
    import torch

    monkeypatch.chdir(tmp_path)
    _, _, section = (ROOT / "README.md").read_text("utf-8").partition("**As a library**")
    code = section.partition("```python\n")[2].partition("```")[0]
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    saved = torch.load("vae.pt", weights_only=True)
    start = names["VAE"]().state_dict()
    (learned,) = [name for name in saved if name.startswith("lik.")]
    assert bool(saved[learned] != start[learned])
    assert bool(torch.isfinite(names["estimate"].bound[1000]).all())


def test_the_citation_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["cff-version"] == "1.2.0"
