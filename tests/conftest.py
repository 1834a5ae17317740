"""What every test shares: few torch threads, a plug-in, a tiny data set, and the larger ones where they are there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from bench.engine.provenance import cores
from vae_core import likelihoods, plugins

TRIANGULAR = Path(__file__).parents[1] / "examples" / "triangular.py"
plugins.register(TRIANGULAR, check=False)  # so that what runs over every family runs over a plug-in too

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other, and burn a busy machine's time

# no deadline: a shared machine stalls; no saved examples: a test run leaves nothing behind
settings.register_profile("suite", deadline=None, max_examples=50, database=None)
settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto` is a process for each core that this one may use, unless the environment says how many."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Processes side by side take the files with long tests first, so that none of them waits at the end for one long
    test. A file stays together: what its tests share is made once, and not once for the long ones and once more."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Below all the rest stands what to install where the page was tested in no browser."""
    yield
    skipped = terminalreporter.getreports("skipped")
    missed = sum("browser" in report.keywords and "Chromium" in str(report.longrepr) for report in skipped)
    if missed:
        terminalreporter.write_line(
            f"{missed} tests of the page in a browser were skipped, for want of Chromium: "
            "apt-get install chromium chromium-driver",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """A worker flushes them to zero, for speed; a test that carries one out in this process leaves that to no other."""
    yield
    torch.set_flush_denormal(False)


def _data_root() -> Path:
    return Path(os.environ.get("VAE_BENCH_DATA") or Path.home() / ".cache" / "vae-bench")


@pytest.fixture
def same_catalogue_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(likelihoods, "_FAMILIES", dict(likelihoods._FAMILIES))
    monkeypatch.setattr(likelihoods, "_PLUGINS", dict(likelihoods._PLUGINS))


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_catalogue_afterwards: None
) -> Iterator[Callable[[str, str], None]]:
    """Puts a package with one plug-in module on the path, as pip would, and forgets it afterwards."""

    def put(module: str, text: str) -> None:
        package, about = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
        package.mkdir()
        about.mkdir()
        (package / "__init__.py").touch()
        (package / f"{module}.py").write_text(text)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[vae_likelihood_bench.likelihoods]\n{module} = my_package.{module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        likelihoods._find_installed.cache_clear()

    yield put
    likelihoods._find_installed.cache_clear()
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The data root, where MNIST lies in it; skips elsewhere."""
    root = _data_root()
    if not (root / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(f"needs MNIST in {root / 'MNIST' / 'raw'} (set VAE_BENCH_DATA)")
    return root


@pytest.fixture(scope="session")
def frey_root() -> Path:
    """The data root, where the Frey Faces lie in it; skips elsewhere."""
    root = _data_root()
    if not (root / "frey_faces.npz").exists():
        pytest.skip(f"needs {root / 'frey_faces.npz'} (set VAE_BENCH_DATA)")
    return root


@pytest.fixture(scope="session")
def tiny_images() -> np.ndarray:
    """uint8 [120, 4, 3], values 0..4 (5 levels): a bright bar whose row is the image's hidden cause, plus noise."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, size=(120, 4, 3))
    images[np.arange(120), rng.integers(0, 4, size=120)] += 3
    return images.astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_npz(tiny_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with `tiny_images` and its 5 levels, to be named as a data set."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
    np.savez(path, images=tiny_images, levels=5)
    return path
