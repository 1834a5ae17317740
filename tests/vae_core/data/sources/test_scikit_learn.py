"""What scikit-learn brings along: the same bits whether its files are read or it is asked, and it is not imported."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from vae_core.data.sources import scikit_learn


@pytest.fixture(params=["read", "not there", "not installed so", "another table"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its files are; a folder `datasets` of whoever runs it is never looked into."""
    datasets = tmp_path / "datasets"
    (datasets / "data").mkdir(parents=True)
    wrong = datasets / "data" / "digits.csv.gz"
    if request.param == "another table":
        np.savetxt(wrong, np.zeros((3, 65), np.uint8), fmt="%d", delimiter=",")
    if request.param == "not installed so":
        np.savetxt(wrong, np.zeros((1797, 65), np.uint8), fmt="%d", delimiter=",")
        monkeypatch.chdir(tmp_path)
    origin = None if request.param == "not installed so" else str(tmp_path / "__init__.py")
    if request.param != "read":
        spec = importlib.machinery.ModuleSpec("sklearn", None, origin=origin)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)


@pytest.mark.usefixtures("folder")
def test_digits_are_scikit_learn_s() -> None:
    found = scikit_learn.digits()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, load_digits().images)


@pytest.mark.usefixtures("folder")
def test_photographs_are_scikit_learn_s() -> None:
    found, expected = scikit_learn.photographs(), load_sample_images().images
    assert [image.dtype for image in found] == [np.uint8, np.uint8]
    assert len(found) == len(expected)
    for image, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image, other)


def test_scikit_learn_is_not_imported() -> None:
    script = """
import sys
from vae_core import data
assert len(data.load("digits").train) == 1197
assert len(data.load("patches").train)
assert not {"sklearn", "scipy", "pandas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
