"""The precision of the products in training: what it changes, what it leaves alone, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture, StackedMLP
from vae_core.numerics import precision
from vae_core.numerics.convolutions import Convolution, Way, convolution_with
from vae_core.numerics.precision import PRODUCTS, full_float32, require_precision, tf32
from vae_core.training import BundleProgram, Member, Noise, Schedule, Trainer, train, validate

ARCHITECTURE = Architecture((32,), "tanh", 4)
CUDA = torch.backends.cuda.matmul
CPU: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
needs_tf32 = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < precision.TF32_CAPABILITY,
    reason="needs a CUDA device with TF32",
)


def schedule(name: str, epochs: int = 4) -> Schedule:
    return Schedule(epochs, batch_size=100, learning_rate=3e-3, precision=name)


def members() -> list[Member]:
    gaussians = [Member(likelihoods.make("gaussian", sigma=sigma)) for sigma in (0.2, "shared", "optimal")]
    others = [
        Member(likelihoods.make("bernoulli")),
        Member(likelihoods.make("continuous_bernoulli"), bound="iwae", seed=1),
    ]
    return gaussians + others


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.load("digits")


@pytest.fixture(autouse=True)
def same_state_afterwards() -> Iterator[None]:
    before = (CUDA.fp32_precision, CPU.fp32_precision)
    yield
    assert (CUDA.fp32_precision, CPU.fp32_precision) == before


@pytest.fixture
def allowed(request: pytest.FixtureRequest) -> Iterator[str]:
    """A process that allows abridged float32 products, by the old name of that state or by the new one."""
    before = (CUDA.fp32_precision, CPU.fp32_precision)
    if request.param == "new":
        CUDA.fp32_precision = "tf32"
    else:
        torch.set_float32_matmul_precision(request.param)
    yield request.param
    if request.param != "new":
        torch.set_float32_matmul_precision("highest")
    CUDA.fp32_precision, CPU.fp32_precision = before


def state() -> tuple[str, str]:
    return CUDA.fp32_precision, CPU.fp32_precision


# -- the state of the process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [full_float32, tf32])
def test_the_state_is_restored_also_after_an_error(context: Callable[[], Any]) -> None:
    before = state()
    inside: list[str] = []

    def fail() -> None:
        with context():
            inside.append(state()[0])
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    assert inside[0] in (["tf32"] if context is tf32 else precision.FULL)
    assert state() == before
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("allowed", ["new", "high", "medium"], indirect=True)
def test_full_float32_is_full_whatever_the_process_allows(allowed: str) -> None:
    before = state()
    assert "tf32" in before
    with full_float32():
        assert set(state()) <= set(precision.FULL)
        with tf32():
            assert state()[0] == "tf32"
        assert set(state()) <= set(precision.FULL)
    assert state() == before
    if allowed != "new":
        assert torch.get_float32_matmul_precision() == allowed


def test_where_nothing_is_abridged_nothing_is_changed() -> None:
    before = state()
    assert set(before) <= set(precision.FULL), "another test has left its state behind"
    with full_float32():
        assert state() == before


def test_a_tf32_product_sets_the_precision_of_its_backward_pass_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward alike, each restored at once: also after a product that failed."""
    seen: list[str] = []

    def spy(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Tensor) -> Tensor:
            seen.append(CUDA.fp32_precision)
            return function(*arguments)

        return call

    monkeypatch.setattr(torch, "baddbmm", spy(torch.baddbmm))
    monkeypatch.setattr(torch, "bmm", spy(torch.bmm))
    before = state()
    out = PRODUCTS["tf32"](*leaves())
    assert state() == before
    out.sum().backward()
    assert state() == before
    assert seen == ["tf32"] * 3
    bias, x, weight = leaves()
    with pytest.raises(RuntimeError):
        PRODUCTS["tf32"](bias, x, weight[:, 1:])
    assert state() == before


# -- the products ------------------------------------------------------------------------------------------------------


def leaves(device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """bias [3, 1, 7], x [3, 11, 5], weight [3, 5, 7]"""
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 1, 7), (3, 11, 5), (3, 5, 7))
    bias, x, weight = (torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes)
    return bias, x, weight


def with_gradients(name: str, device: str = "cpu") -> list[Tensor]:
    given = leaves(device)
    out = PRODUCTS[name](*given)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(device)
    return [out.detach(), *torch.autograd.grad(out, given, upstream)]


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_and_gradients_are_float32_and_near_the_exact_ones(name: str) -> None:
    """Each factor is off by 2⁻⁸ at most, and so is the result: 3 · 2⁻⁸ of the sum of the terms' sizes."""
    exact, found = with_gradients("float32"), with_gradients(name)
    for own, other in zip(found, exact, strict=True):
        assert own.dtype == torch.float32
        rounding = 0 if name != "bf16" else 3 * 2**-8 * 11 * float(other.abs().max())
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5 + rounding)


def test_a_bf16_product_rounds_the_factors_and_the_result_and_adds_the_bias_in_float32() -> None:
    bias, x, weight = (leaf.detach() for leaf in leaves())
    rounded = (x.bfloat16().double() @ weight.bfloat16().double()).float()
    found = PRODUCTS["bf16"](bias, x, weight)
    torch.testing.assert_close(found - bias, rounded, rtol=2**-8, atol=1e-5)
    assert not torch.allclose(found, torch.baddbmm(bias, x, weight), rtol=1e-4, atol=1e-4)
    million = torch.full_like(bias, 1e6 + 0.25)  # survives in float32 only
    assert torch.equal(PRODUCTS["bf16"](million, torch.zeros_like(x), weight), million.expand(-1, 11, -1))


def test_images_need_no_gradient() -> None:
    for name in PRODUCTS:
        bias, x, weight = leaves()
        PRODUCTS[name](bias, x.detach(), weight).sum().backward()
        assert weight.grad is not None
        assert x.grad is None


# -- training ----------------------------------------------------------------------------------------------------------


def test_bf16_training_stays_near_float32(digits: Dataset) -> None:
    """Training gains from 5 to 60 nats after its first epoch; the two ways to train end 0.01 nats apart."""
    full, half = (train(digits, members(), ARCHITECTURE, schedule(name)) for name in ("float32", "bf16"))
    assert half.failures == [None] * len(members())
    assert half.validation == pytest.approx(full.validation, abs=0.1)
    assert half.validation != full.validation
    for place, last in enumerate(half.validation):
        assert last > half.history[place][0][2] + 3
    for model in half.models:
        assert {tensor.dtype for tensor in (*model.encoder.parameters(), *model.decoder.parameters())} == {
            torch.float32
        }


@pytest.mark.parametrize("name", ["float32", "bf16"])
def test_everything_but_the_products_is_float32(digits: Dataset, name: str) -> None:
    trainer = Trainer(digits, members(), ARCHITECTURE, schedule(name), "cpu")
    value = trainer.step(next(trainer.epoch()))
    assert value.dtype == torch.float32
    parameters = trainer.program.parameters()
    kept = trainer._optimiser.state()
    gradients = [tensor.grad for tensor in parameters if tensor.grad is not None]
    assert gradients
    assert {tensor.dtype for tensor in (*parameters, *gradients, *kept)} == {torch.float32}


def programs(digits: Dataset) -> list[BundleProgram]:
    return [BundleProgram(members(), ARCHITECTURE, schedule(name), digits, "cpu") for name in ("float32", "bf16")]


def test_evaluation_is_untouched_to_the_bit(digits: Dataset) -> None:
    """Equal weights, two precisions in training: one validation, and one objective but in training."""
    full, half = programs(digits)
    assert torch.equal(validate(full, digits.valid), validate(half, digits.valid))
    generator = torch.Generator().manual_seed(0)
    noise = Noise(torch.rand(2, 20, 64, generator=generator), torch.randn(2, 20, 1, 4, generator=generator))
    k = digits.train[:20].expand(2, -1, -1)
    for training in (False, True):
        same = torch.equal(*(program.objectives(k, noise, training=training) for program in (full, half)))
        assert same is not training


def test_a_trained_model_is_scored_in_float32(digits: Dataset) -> None:
    model = train(digits, members()[:1], ARCHITECTURE, schedule("bf16", 1)).models[0]
    z = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    assert isinstance(model.decoder, StackedMLP)
    weights, biases = model.decoder.weights, model.decoder.biases
    by_hand = torch.tanh(z @ weights[0][0] + biases[0][0]) @ weights[1][0] + biases[1][0]
    torch.testing.assert_close(model.decode(z), by_hand, rtol=1e-5, atol=1e-6)


def test_a_model_is_the_same_alone_and_in_a_bundle_in_bf16(digits: Dataset) -> None:
    """A last bit that turns a rounding costs a model no more than training in bf16 does."""
    bundle = train(digits, members(), ARCHITECTURE, schedule("bf16"))
    for place, member in enumerate(members()):
        alone = train(digits, [member], ARCHITECTURE, schedule("bf16"))
        assert bundle.validation[place] == pytest.approx(alone.validation[0], abs=0.03)


@pytest.mark.parametrize("allowed", ["medium"], indirect=True)
def test_training_in_float32_is_full_whatever_the_process_allows(
    digits: Dataset, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        seen.append(state())
        return torch.baddbmm(bias, x, weight)

    monkeypatch.setitem(PRODUCTS, "float32", product)
    train(digits, members()[:1], ARCHITECTURE, schedule("float32", 1))
    assert seen
    assert {name for both in seen for name in both} <= set(precision.FULL)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown precision 'fp16' \(allowed: float32, tf32, bf16\)"):
        schedule("fp16")


def test_tf32_is_refused_on_a_cpu_before_anything_is_trained(digits: Dataset) -> None:
    sentence = (
        r"^precision 'tf32' needs a CUDA device of .* 8\.0 or higher, and this is cpu: take 'float32' or 'bf16'\.$"
    )
    for make in (train, Trainer):
        with pytest.raises(ValueError, match=sentence):
            make(digits, members(), ARCHITECTURE, schedule("tf32"), "cpu")


def test_tf32_is_refused_on_cuda_devices_that_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match=r"and this is cuda of 7\.5: take"):
        require_precision("tf32", "cuda")
    require_precision("bf16", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    require_precision("tf32", "cuda")


# -- on a GPU ----------------------------------------------------------------------------------------------------------


@needs_tf32
@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_cuda_products_and_gradients_are_abridged(name: str) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    bias, x, weight, upstream = (
        torch.randn(shape, generator=generator, device="cuda")
        for shape in ((2, 1, 256), (2, 512, 384), (2, 384, 256), (2, 512, 256))
    )
    given = [tensor.requires_grad_() for tensor in (bias, x, weight)]
    found = {}
    for each in ("float32", name):
        out = PRODUCTS[each](*given)
        found[each] = [out.detach(), *torch.autograd.grad(out, given, upstream)]
    for own, exact in zip(found[name], found["float32"], strict=True):
        assert own.dtype == torch.float32
        torch.testing.assert_close(own, exact, rtol=2**-6, atol=2**-6 * float(exact.std()))
    changed = [not torch.equal(own, exact) for own, exact in zip(found[name], found["float32"], strict=True)]
    assert changed[0]
    assert changed[2:] == [True, True]  # the bias's gradient, between them, is a sum


@needs_tf32
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_captured_graph_holds_the_products(name: str) -> None:
    given = leaves("cuda")
    expected = with_gradients(name, "cuda")
    upstream = torch.randn(expected[0].shape, generator=torch.Generator().manual_seed(1)).cuda()

    def both() -> list[Tensor]:
        out = PRODUCTS[name](*given)
        return [out.detach(), *torch.autograd.grad(out, given, upstream)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        both()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = both()
    for tensor in captured:
        tensor.zero_()
    graph.replay()
    for own, other in zip(captured, expected, strict=True):
        torch.testing.assert_close(own, other)


@needs_tf32
@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_cuda_training_stays_near_float32(digits: Dataset, name: str) -> None:
    full, other = (train(digits, members(), ARCHITECTURE, schedule(each), "cuda") for each in ("float32", name))
    assert other.validation == pytest.approx(full.validation, abs=0.1)


# -- convolutions ------------------------------------------------------------------------------------------------------


def test_convolutions_are_done_in_full_where_products_are() -> None:
    """cuDNN abridges them by default; the older name of both its settings can be read inside and afterwards."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = True
    try:
        with full_float32():
            assert cudnn.conv.fp32_precision in precision.FULL
            assert not cudnn.allow_tf32
            with tf32():
                assert cudnn.conv.fp32_precision == "tf32"
                assert cudnn.allow_tf32
            assert cudnn.conv.fp32_precision in precision.FULL
        assert cudnn.conv.fp32_precision == "tf32"
        assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32 = before


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("name", "within"), [("float32", 1e-5), ("tf32", 1e-5), ("bf16", 3e-2)])
def test_a_convolution_has_the_precision_of_its_product(name: str, within: float, transposed: bool) -> None:
    """With its gradients, as in float64: on a CPU TF32 is float32."""
    way = Way(stride=2, padding=1, transposed=transposed, output_padding=int(transposed))
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*size, generator=generator) for size in ((3, 4, 6, 6), (4, 4, 3, 3), (4,)))

    def made(dtype: torch.dtype, convolve: Convolution) -> list[Tensor]:
        given = [tensor.to(dtype, copy=True).requires_grad_() for tensor in (x, weight, bias)]
        maps = convolve(given[0], given[1], given[2], way)
        return [maps, *torch.autograd.grad(maps.square().sum(), given)]

    found = made(torch.float32, convolution_with(PRODUCTS[name]))
    wanted = made(torch.float64, convolution_with(PRODUCTS["float32"]))
    for ours, true in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        scale = float(true.abs().max())
        torch.testing.assert_close(ours.double(), true, atol=within * scale, rtol=within)
    assert found[0].shape == ((3, 4, 12, 12) if transposed else (3, 4, 3, 3))
