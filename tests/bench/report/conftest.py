"""The fake run, and its page, that most tests of the report look at."""

from __future__ import annotations

import pytest

from bench.report import build
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, read


@pytest.fixture(scope="session")
def tables() -> RunTables:
    return fake_run.tables()


@pytest.fixture(scope="session")
def shown(tables: RunTables, tmp_path_factory: pytest.TempPathFactory) -> Element:
    return read(build(tables, tmp_path_factory.mktemp("page") / "index.html"))
