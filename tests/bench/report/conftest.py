"""The fake run, and its page, that most tests of the report look at; and a real browser to look with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bench.report import build
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, read

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LAUNCH = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def executable() -> str | None:
    """A Chromium of this machine: $CHROMIUM, or one on the path."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def tables() -> RunTables:
    return fake_run.tables()


@pytest.fixture(scope="session")
def shown(tables: RunTables, tmp_path_factory: pytest.TempPathFactory) -> Element:
    return read(build(tables, tmp_path_factory.mktemp("page") / "index.html"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = executable()
    if path is None:
        pytest.skip("needs Chromium on the path, or $CHROMIUM")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=LAUNCH)
        yield opened
        opened.close()
