"""The rates of devices: what a data sheet says, what is assumed, how a name is read, and what a wrong file is told."""

from __future__ import annotations

import pytest
import torch

from bench.engine.opening import RunError
from bench.grid.read import parse_grid
from bench.speed.estimate.devices.profile import FOLDER, ProfileError, here, names, parsed, profile_of, written
from bench.speed.estimate.estimate import estimate_grid, keep_profile
from bench.speed.estimate.tally import Tally, seconds

H100 = (FOLDER / "h100.toml").read_text()


@pytest.mark.parametrize("name", names())
def test_a_data_sheet_says_whose_it_is_and_that_nobody_measured(name):
    profile = profile_of(name)
    assert not profile.measured
    assert "data sheet" in profile.said
    assert "not measured" in profile.said
    assert profile.shares["products"] < 1
    assert profile.products["float64"] < profile.products["float32"] <= profile.products.get("tf32", 1e99)


@pytest.mark.parametrize(
    ("written_so", "known"),
    [
        ("H100", "h100"),
        ("RTX 4090", "4090"),
        ("nvidia_l4", "l4"),
        ("NVIDIA GeForce RTX 3090", "3090"),
        ("A100-40", "a100-40"),
        ("rtx 4090", "4090"),
        ("RTX-4090", "4090"),
        ("rtx4090", "4090"),
        ("h100 pcie", "h100-pcie"),
        ("H100 SXM5", "h100"),
        # as drivers call them
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"),
        ("A100 40 GB", "a100-40"),
        ("Tesla T4", "t4"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA H200", "h200"),
    ],
)
def test_a_name_is_read_as_people_write_it(written_so, known):
    assert profile_of(written_so) == profile_of(known)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "4090 Laptop GPU",
            "NVIDIA GeForce RTX 4090 D",
            "3090 Ti",
            "L40",
            "A10G",
            "GH200",
            "RTX 6000 Ada",
            "H100 NVL",
        ],
        *["V100-SXM2-16GB", "A100 80GB PCIe", "80 GB", "geforce", "pcie", "40"],
    ],
)
def test_another_device_of_nearly_that_name_is_not_taken_for_it(name):
    with pytest.raises(ProfileError, match="no such device"):
        profile_of(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[("cuda:0", "cuda:0"), ("CUDA", "cuda"), ("Cuda:1", "cuda:1"), ("cpu:0", "cpu"), ("CPU", "cpu")],
        *[("this", "auto"), ("auto", "auto"), ("h100", None), ("mps", None), ("cuda:x", None), ("mine.toml", None)],
    ],
)
def test_this_machine_is_called_as_a_run_calls_it(name, meant):
    assert here(name) == meant


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *[("mps", "no float64"), ("xpu:0", "Intel"), ("gpu", "called cuda here"), ("cpu:3", "one cpu")],
        *[("cuda:-1", "number of a GPU"), ("cuda:0,1", "CUDA_VISIBLE_DEVICES=0,1"), ("cuda:" + "9" * 999, "number")],
    ],
)
def test_what_a_run_refuses_by_its_name_is_told_so_and_what_there_is(name, said):
    with pytest.raises(ProfileError) as refused:
        profile_of(name)
    sentence = str(refused.value)
    assert said in sentence
    assert "cuda:N, 3090, 4090" in sentence
    assert len(sentence) <= 300
    assert sentence.count(".") <= 3


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "CUDA:1"])
def test_without_a_gpu_one_of_them_is_told_what_all_of_them_are(name):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    grid = parse_grid("[grid]\nfamily = 'bernoulli'\n", "g", "g.toml")
    with pytest.raises(
        RunError, match=rf"^--device {name.lower()}: torch .* finds no CUDA device here; use --device cpu"
    ):
        estimate_grid(grid, name, lambda line: None)


@pytest.mark.parametrize("name", ["h10", "tpu", "", "gpu" * 200, "h100.tml", "\x1b[31m"])
def test_an_unknown_device_is_told_those_that_there_are(name):
    with pytest.raises(ProfileError) as refused:
        profile_of(name)
    assert "4090" in str(refused.value)
    assert "this" in str(refused.value)
    assert len(str(refused.value)) <= 280
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("float32 = 67e12", "float32 = -1", "[peak] float32"),
        ("float32 = 67e12", "float32 = true", "[peak] float32"),
        ("float32 = 67e12", "", "[peak] float32 is not there"),
        ("bytes = 80e9", "bytes = 'much'", "[memory] bytes"),
        ("products = 0.7", "products = 7", "[assumed] products = 7 is a share"),
        ("launch = 6e-6", "launch = inf", "[assumed] launch"),
        ('kind = "cuda"', 'kind = "tpu"', "kind = 'tpu'"),
        ("[memory]", "[memories]", "a table [memory]"),
        ("title = ", "titel = ", "needs title"),
        ("[peak]", "[peak", "no TOML"),
        ("title = ", "functions = 5\ntitle = ", "a table [functions]"),
        ("title = ", "small = 5\ntitle = ", "a table [small]"),
        ("[memory]", "[small]\neigh = [-1.0, nan]\n[memory]", "[small] eigh takes two numbers > 0"),
        ("[memory]", "[small]\neigh = [true, 1.0]\n[memory]", "[small] eigh takes two numbers > 0"),
        ("compile = 10.0", "compile = -1.0", "takes a number of 0 or more"),
    ],
)
def test_a_wrong_profile_is_told_what_of_it(tmp_path, was, now, said):
    assert was in H100
    (tmp_path / "odd.toml").write_text(H100.replace(was, now, 1))
    with pytest.raises(ProfileError) as refused:
        profile_of(str(tmp_path / "odd.toml"))
    assert said in str(refused.value)
    assert len(str(refused.value)) <= 300


def test_what_is_kept_is_read_again_as_it_was(tmp_path):
    sheet = profile_of("h100")
    measured = parsed("mine", H100.replace("measured = false", "measured = true"), "")
    keep_profile(measured, tmp_path / "mine.toml")
    again = profile_of(str(tmp_path / "mine.toml"))
    work = Tally({"products/float32": 1e12, "products/tf32": 1e12, "functions/exp/float32": 1e9, "bytes": 1e9})
    work += Tally({"small/eigh/20": 1e6, "kernels": 1e5, "waits": 10.0, "moved": 1e9})
    assert seconds(work, again).total == pytest.approx(seconds(work, measured).total, rel=1e-6)
    assert again.measured
    assert again.compile == measured.compile > 0
    with pytest.raises(ProfileError, match="not measured"):
        keep_profile(sheet, tmp_path / "sheet.toml")
    (tmp_path / "other.toml").write_text("[grid]\n")
    with pytest.raises(ProfileError, match="something else"):
        keep_profile(measured, tmp_path / "other.toml")
    assert (tmp_path / "other.toml").read_text() == "[grid]\n"
    assert written(again).count("[assumed]") == 1


def test_a_roofline_of_a_gpu_is_the_slower_of_host_and_device():
    h100 = profile_of("h100")
    products, launches = Tally({"products/float32": 67e12 * 0.7}), Tally({"kernels": 1e5})
    assert seconds(products, h100).total == pytest.approx(1.0)
    assert seconds(launches, h100).total == pytest.approx(1e5 * h100.launch)
    assert seconds(products + launches, h100).total == pytest.approx(1.0)
    assert seconds(launches, h100, replayed=True).total < seconds(launches, h100).total
    assert seconds(products, h100, precision="tf32").total < seconds(products, h100).total
    assert seconds(products, h100).bound == "products"
    assert seconds(3 * products, h100).total == pytest.approx(3 * seconds(products, h100).total)


def test_a_profile_of_a_cpu_which_compiles_nothing_is_read_again_and_written_over(tmp_path):
    text = H100.replace("measured = false", "measured = true").replace('kind = "cuda"', 'kind = "cpu"')
    mine = parsed("mine", text.replace("compile = 10.0", "compile = 0.0"), "")
    for _ in range(2):
        keep_profile(mine, tmp_path / "mine.toml")
        assert profile_of(str(tmp_path / "mine.toml")).compile == 0
    with pytest.raises(ProfileError, match="there is no folder"):
        keep_profile(mine, tmp_path / "nowhere" / "mine.toml")
