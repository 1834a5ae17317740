"""What scikit-learn brings along: the same bits whether its files are read or it is asked, and it is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from vae_core.data.sources import scikit_learn


@pytest.fixture(params=["read", "there is none", "another table"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "another table":
        (tmp_path / "data").mkdir()
        np.savetxt(tmp_path / "data" / "digits.csv.gz", np.zeros((3, 65), np.uint8), fmt="%d", delimiter=",")
    if request.param != "read":
        monkeypatch.setattr(scikit_learn, "_datasets", lambda: tmp_path)


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
