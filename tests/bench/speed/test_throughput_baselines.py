"""Baselines of throughput tests: what they allow, and that they are written and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.speed.gate import Look
from tests.throughput.baselines import FOLDER, Baseline, file_name, machine_facts


def recorded(kind: str = "cpu") -> Baseline:
    return Baseline(
        ratios={"a / b": {"ratio": 2.0, "low": 1.9, "high": 2.1, "rounds": 41}},
        counts={"operators, step": 150, "kernels, step": 40},
        machine={"kind": kind, "torch": "2.11.0"},
    )


def test_a_ratio_is_held_to_the_device_s_own_and_to_the_bound():
    assert recorded().ratio_limit("a / b", bound=4.0) == pytest.approx(2.3)
    assert recorded().ratio_limit("a / b", bound=2.1) == 2.1
    assert recorded().ratio_limit("c / d", bound=4.0) == 4.0


def test_a_count_has_two_percent_and_a_small_one_nothing():
    assert recorded().count_limit("operators, step") == 153
    assert recorded().count_limit("kernels, step") == 40
    assert recorded().count_limit("bytes") is None


def test_another_device_of_the_kind_lends_its_counts_and_not_its_ratios(tmp_path: Path):
    recorded().write("Some CPU (R) @ 2 GHz", tmp_path)
    own = Baseline.of("Some CPU (R) @ 2 GHz", "cpu", tmp_path)
    assert own == recorded()
    other = Baseline.of("Another", "cpu", tmp_path)
    assert (other.counts, other.ratios) == (recorded().counts, {})
    assert Baseline.of("A GPU", "cuda", tmp_path) == Baseline()


def test_an_update_replaces_what_was_measured_and_keeps_the_rest():
    new = recorded().updated(
        {"a / b": Look(1.23456, 1.2, 1.3, 123)}, {"bytes": 7}, {"images/s": 12345.6}, {"kind": "cpu"}
    )
    assert new.ratios == {"a / b": {"ratio": 1.235, "low": 1.2, "high": 1.3, "rounds": 123}}
    assert new.counts == {"bytes": 7, "kernels, step": 40, "operators, step": 150}
    assert new.rates == {"images/s": 12300.0}
    assert new.machine == {"kind": "cpu"}


def test_a_file_is_named_after_the_device():
    assert file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3.json"


def test_the_machine_s_facts_name_no_folder():
    assert "/" not in str(machine_facts("cpu"))


def test_the_shipped_baselines_are_readable():
    for path in FOLDER.glob("*.json"):
        machine = Baseline.of(path.stem, "").machine
        assert path.name == file_name(machine["device"])
