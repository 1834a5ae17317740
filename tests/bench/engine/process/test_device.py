"""Devices by name, and several GPUs that are not there: each worker sees one, tasks go to whoever is free."""

from __future__ import annotations

import io
import os
from collections import Counter

import pytest
import torch

from bench.engine import provenance
from bench.engine.local import Pool, Task
from bench.engine.process import device
from bench.engine.progress import Reporter
from bench.engine.run import Options, RunError, run_grid
from bench.grid.read import parse_grid
from bench.store import read_run
from tests.bench.engine.process.pretended_gpus import HERE, PRETENDED


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *[(name, name) for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:13")],
        *[("CUDA", "cuda"), (" Cuda:1 ", "cuda:1"), ("cpu:0", "cpu"), ("AUTO", "auto"), ("cuda:01", "cuda:1")],
    ],
)
def test_a_device_is_known_by_its_name(text, meant):
    assert device.named(text) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mps", "no float64"),
        ("MPS:0", "no float64"),
        ("metal", "no float64"),
        ("xpu", "Intel"),
        ("xpu:1", "Intel"),
        ("tpu", "TPUs"),
        ("xla", "TPUs"),
        ("gpu", "called cuda here"),
        ("gpu:0", "called cuda here"),
        ("hip", "called cuda here"),
        ("npu", "NPUs"),
        ("cpu:1", "one cpu"),
        ("cpu:", "one cpu"),
        ("cuda:", "number of a GPU"),
        ("cuda:-1", "number of a GPU"),
        ("cuda:one", "number of a GPU"),
        ("cuda:٣", "number of a GPU"),
        ("cuda:99999", "number of a GPU"),
        ("cuda:0,1", "CUDA_VISIBLE_DEVICES=0,1"),
        ("meta", "no such device"),
        ("privateuseone", "no such device"),
        ("cuda 0", "no such device"),
        ("cuda0", "no such device"),
        ("", "''"),
        ("\n", "''"),
        ("x\x1b[31m", r"x\x1b[31m"),
        ("y" * 5000, "no such device"),
        ("cuda:" + "9" * 5000, "number of a GPU"),
        ("cuda:" + "9,9" * 500, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_any_other_is_refused_in_one_sentence_with_a_remedy_that_works_anywhere(text, said):
    with pytest.raises(ValueError) as refused:
        device.named(text)
    sentence = str(refused.value)
    assert said in sentence
    assert len(sentence) <= 280
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert any(f"{remedy}" in sentence for remedy in ("auto", "--device cpu")), "what can be had on every machine"


@pytest.mark.parametrize(
    ("environment", "count", "values"),
    [
        ({}, 3, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, 2, ["2", "3"]),
        ({"CUDA_VISIBLE_DEVICES": " 5 , GPU-8932f937 "}, 2, ["5", "GPU-8932f937"]),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, 1, ["1"]),  # CUDA ends at the first that is none, and so does the count
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, []),
    ],
)
def test_what_each_worker_is_to_see_is_within_what_the_user_lets_be_seen(environment, count, values):
    assert device.visible(count, environment) == values


def test_one_gpu_of_several_is_chosen_by_its_number_among_those_that_are_seen():
    assert device.chosen("cuda", ["2", "3"]) == ["2", "3"]
    assert device.chosen("cuda:1", ["2", "3"]) == ["3"]
    with pytest.raises(ValueError, match=r"^--device cuda:7: there is cuda:0 to cuda:1 here.*; use one of these"):
        device.chosen("cuda:7", ["2", "3"])
    with pytest.raises(ValueError, match=r"^--device cuda:1: there is cuda:0 here"):
        device.chosen("cuda:1", ["0"])


class Cuda:
    """As many GPUs as a test wants, to be asked about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.error = ""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: self.told(f"GPU {index}"))
        memory = type("Properties", (), {"total_memory": 80 << 30, "major": 9, "minor": 0})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: memory)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def told(self, name: str) -> str:
        if self.error:
            raise RuntimeError(self.error)
        return name


def test_a_worker_tells_which_gpus_there_are(monkeypatch):
    Cuda(monkeypatch, 3)
    for requested in ("auto", "cuda", "CUDA"):
        facts = provenance.prepare_device(requested)
        assert (facts["kind"], facts["visible"], facts["seen"], facts["gpus"]) == ("cuda", ["0", "1", "2"], 3, 3)
        assert facts["name"] == "GPU 0, GPU 1, GPU 2"
    facts = provenance.prepare_device("cuda:1")
    assert (facts["kind"], facts["visible"], facts["seen"], facts["name"]) == ("cuda", ["1"], 3, "GPU 1")
    with pytest.raises(ValueError, match=r"there is cuda:0 to cuda:2 here"):
        provenance.prepare_device("cuda:7")
    assert provenance.prepare_device("cpu")["kind"] == "cpu"


def test_a_gpu_that_does_not_begin_to_work_is_refused_with_what_is_said_of_it(monkeypatch):
    Cuda(monkeypatch, 1).error = "CUDA error: no kernel image is available\nfor execution on the device " + "x" * 900
    with pytest.raises(ValueError, match=r"^--device cuda: .*no kernel image.*; use --device cpu\.$") as refused:
        provenance.prepare_device("cuda")
    assert len(str(refused.value)) <= 280


def test_without_any_the_number_does_not_matter(monkeypatch):
    Cuda(monkeypatch, 0)
    for requested in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(
            ValueError, match=rf"^--device {requested}: torch .* finds no CUDA device here; use --device cpu"
        ):
            provenance.prepare_device(requested)
    assert provenance.prepare_device("auto")["kind"] == "cpu"


# -- workers -----------------------------------------------------------------------------------------------------------


def test_each_worker_sees_one_gpu_and_all_are_used(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with Pool(1, 6) as pool:
        looked, all_of_them, _ = pool.call(f"{HERE}:seen")
        assert all_of_them == "4,7", "who counts them sees what the user lets be seen"
        pool.settle({"visible": ["4", "7"], "seen": 2}, 2, 3)
        for _ in range(6):
            pool.submit(Task(f"{HERE}:seen", ()))
        ended = []
        while pool.busy:
            ended += [end.value for end in pool.wait(1.0)]
    assert Counter(gpu for _, gpu, _ in ended).keys() == {"4", "7"}
    assert len({process for process, _, _ in ended}) == 2
    assert looked not in {process for process, _, _ in ended}, "who has hands on all of them is gone"
    assert {threads for _, _, threads in ended} == {"3"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


def test_more_workers_than_gpus_are_spread_evenly(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Pool(1, 4) as pool:
        pool.settle({"visible": ["0", "1"], "seen": 2}, 4, 1)
        for _ in range(8):
            pool.submit(Task(f"{HERE}:seen", ()))
        ended = []
        while pool.busy:
            ended += [end.value for end in pool.wait(1.0)]
    processes = {process: gpu for process, gpu, _ in ended}
    assert sorted(Counter(processes.values()).values()) == [2, 2]


def test_who_comes_for_a_worker_that_died_gets_its_gpu(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Pool(1, 2) as pool:
        pool.settle({"visible": ["4", "7"], "seen": 2}, 2, 1)
        for _ in range(6):
            pool.submit(Task(f"{HERE}:dies_on_the_first", (str(tmp_path / "died"),)))
        ended = []
        while pool.busy:
            ended += pool.wait(1.0)
    assert sum(end.failure is not None for end in ended) == 1
    assert {end.value for end in ended if not end.failure} == {"4", "7"}


def test_where_there_is_one_gpu_the_worker_that_looked_stays_and_gets_all_threads():
    with Pool(1, 1) as pool:
        looked, _, _ = pool.call(f"{HERE}:seen")
        pool.settle({"visible": ["0"], "seen": 1}, 1, 3)
        again, _, _ = pool.call(f"{HERE}:seen")
        assert pool.call("torch:get_num_threads") == 3
    assert looked == again


#: of several shapes, so that there is a bundle for each worker
GRID = "[grid]\nfamily='gaussian'\nsigma=[0.1]\nlatent=[2, 3, 4, 5]\nseed=[0, 1]\n"


@pytest.mark.parametrize(
    ("requested", "used"), [("cuda", {"cuda 0", "cuda 1"}), ("auto", {"cuda 0", "cuda 1"}), ("cuda:1", {"cuda 1"})]
)
def test_a_run_uses_the_gpus_that_it_is_told_to(tmp_path, monkeypatch, requested, used):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = tmp_path / "r.sqlite"
    with Reporter(io.StringIO()) as reporter:
        summary = run_grid(parse_grid(GRID, "g", "g.toml"), path, Options(requested), reporter, PRETENDED)
    assert (summary.done, summary.failed) == (8, 0)
    tables = read_run(path)
    assert set(tables.cells["device"]) == used
    assert set(tables.throughput["device"]) == {min(used)}, "speed is timed on one of them, alone"
    (origin,) = tables.provenance
    assert origin["workers"] == len(used)
    assert origin["device"]["gpus"] == len(used)
    assert origin["device"]["name"] == ", ".join(f"GPU {name[-1]}" for name in sorted(used))
    assert "visible" not in origin["device"], "what names a GPU of somebody's stays here"


def test_a_gpu_that_is_not_there_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with (
        pytest.raises(RunError, match=r"^--device cuda:7: there is cuda:0 to cuda:1 here"),
        Reporter(io.StringIO()) as reporter,
    ):
        run_grid(parse_grid(GRID, "g", "g.toml"), tmp_path / "r.sqlite", Options("cuda:7"), reporter, PRETENDED)
    assert list(tmp_path.iterdir()) == []


# -- how it computes ---------------------------------------------------------------------------------------------------


def test_how_a_device_computes_is_told_and_nothing_is_claimed_of_a_gpu(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    here = device.settings("cpu")
    assert here["environment"]["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "NVIDIA_TF32_OVERRIDE" not in here["environment"]
    assert here["deterministic_algorithms"] is False
    there = device.settings("cuda")
    assert there["cudnn_deterministic"] is torch.backends.cudnn.deterministic
    assert there["cudnn_benchmark"] is torch.backends.cudnn.benchmark
    assert "not claimed" in there["same_seed_again"]
    torch.use_deterministic_algorithms(True)
    try:
        assert device.settings("cuda")["deterministic_algorithms"] is True
    finally:
        torch.use_deterministic_algorithms(False)
