"""`vae-bench doctor DATA`: what is noticed of a data set, before anybody runs a grid on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import cli

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Told:
    """Carries out one visit in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.carry_out(["doctor", *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.slow
def test_doctor_says_what_is_noticed_and_a_remedy_is_tried_by_set(doctor: Told, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "runs.npy", np.repeat(rng.integers(5, 250, (40, 5, 5), dtype=np.uint8), 9, 0))
    code, out, _ = doctor("runs.npy")
    assert code == 0
    assert "360 images from runs.npy" in out
    assert "! neighbours" in out
    assert "! copies" in out
    assert "block = 9" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = doctor("runs.npy", "--set", "block=9")
    assert code == 0
    assert "! " not in out
    assert "whole blocks of 9" in " ".join(out.split())
    np.save(tmp_path / "binary.npy", rng.integers(0, 2, (60, 5, 5), dtype=np.uint8))
    code, out, err = doctor("binary.npy")
    assert (code, out) == (2, "")
    assert err == "vae-bench: binary.npy is said to have 256 levels, but only 2 occur (0 and 1): state levels = 2.\n"
    assert doctor("binary.npy", "--set", "levels=2")[0] == 0


@pytest.mark.slow
def test_doctor_looks_at_the_data_of_a_grid(doctor: Told, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("[grid]\nfamily='categorical'\nseed=[0, 1]\ntrain_images=[60, 1197]\n")
    code, out, _ = doctor("g.toml")
    assert code == 0
    assert out.count("handwritten digits of scikit-learn") == 2
    assert "60 training images are few" in " ".join(out.split())


def test_doctor_refuses_what_it_does_not_know(doctor: Told) -> None:
    assert "--set: name the data set that it is of" in doctor("--set", "block=9")[2]
    code, _, err = doctor("digits", "--set", "block=x")
    assert code == 2
    assert "block takes a whole number >= 1 of consecutive images" in err


def test_doctor_says_how_the_device_computes_and_claims_no_bits_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.cli import doctor
    from bench.engine import provenance

    told = {check.what: check for check in doctor.look()}
    assert "the same bits, of the same bundle" in told["how it computes"].found
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    two = {"kind": "cuda", "name": "NVIDIA H100", "gpus": 2}
    monkeypatch.setattr(provenance, "prepare_device", lambda requested: two)
    told = {check.what: check for check in doctor.look()}
    assert told["CUDA"].found == "2 GPUs, a worker each: NVIDIA H100"
    assert "not claimed" in told["how it computes"].found
    assert "NVIDIA_TF32_OVERRIDE=0" in told["how it computes"].found
    assert "cuDNN takes its usual algorithms" in told["how it computes"].found

    def fails(requested: str) -> None:
        raise ValueError("--device auto: CUDA does not begin to work here (no kernel image); use --device cpu.")

    monkeypatch.setattr(provenance, "prepare_device", fails)
    told = {check.what: check for check in doctor.look()}
    assert "no kernel image" in told["CUDA"].found
    assert told["CUDA"].remedy
