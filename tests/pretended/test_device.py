"""The pretended device itself: numbers are the CPU's, errors are a GPU's, and nothing passes unseen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.pretended.device import DEVICE, Generator, Pretended, watched

GPU = "gpu"


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# -- numbers -----------------------------------------------------------------------------------------------------------


def views(x: Tensor) -> Tensor:
    y = x.clone()
    y[1].mul_(3)
    y.t()[0].add_(1)
    y.view(-1)[::5] = 7.0
    y.mT.reshape(-1)[0] = 100.0  # a copy: writes nothing
    y.unsqueeze(0).expand(2, -1, -1)
    return y


def written(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    torch.mul(x, x, out=out)
    torch.add(out.t(), 1, out=out.t())
    out.clamp_(max=2).sub_(x)
    first, second = out.chunk(2, -1)
    first.copy_(second)
    return out


def indexed(x: Tensor) -> Tensor:
    some = torch.arange(3, device=x.device).flip(0)
    y = x[some]
    y[some, some] = 0.0
    y.index_add_(0, some, x[:3])
    return y.gather(1, some.unsqueeze(1)) + y.sort(-1).values


def made(x: Tensor) -> Tensor:
    parts = [
        torch.arange(4, device=x.device),
        torch.linspace(0, 1, 4, device=x.device),
        torch.full((4,), 2.0, device=x.device),
        torch.eye(4, device=x.device).sum(0),
        x.new_zeros(4),
        torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device),
    ]
    return torch.stack([part.to(x.dtype) for part in parts])


def algebra(x: Tensor) -> Tensor:
    square = x.double() @ x.double().mT + torch.eye(4, dtype=torch.float64, device=x.device)
    root = torch.linalg.cholesky_ex(square).L
    values, vectors = torch.linalg.eigh(square)
    return root + torch.linalg.solve_triangular(root, vectors * values, upper=False)


@pytest.mark.parametrize("work", [views, written, indexed, made, algebra])
def test_numbers_are_the_cpu_s_to_the_bit(work: Callable[[Tensor], Tensor]) -> None:
    x = drawn(4, 4)
    found, expected = work(x.to(GPU)), work(x)
    assert (found.device, found.dtype, found.shape) == (DEVICE, expected.dtype, expected.shape)
    assert found.stride() == expected.stride()
    assert torch.equal(found.cpu(), expected)


def through_a_net(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias, x, weight).tanh().square().sum(-1).mean()


def through_maps(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    maps = torch.nn.functional.conv2d(x[:, None], weight[:, None, :3, :3], padding=1, stride=2)
    return torch.nn.functional.group_norm(maps, 1).logsumexp((1, 2, 3)).sum() + (bias.double() * 2).sum()


def through_views(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = (x @ weight).clone()
    y[..., 1:3].mul_(bias[..., 1:3])  # a write in place under autograd
    left, right = y.chunk(2, -1)
    return torch.where(left > 0, left.exp(), right).sum()


@pytest.mark.parametrize("work", [through_a_net, through_maps, through_views])
def test_gradients_are_the_cpu_s_to_the_bit(work: Callable[..., Tensor]) -> None:
    def gradients(device: str) -> list[Tensor]:
        given = [drawn(3, 4, 4, seed=n).to(device).requires_grad_() for n in range(3)]
        assert all(one.is_leaf for one in given)
        work(*given).backward()
        work(*given).backward()  # accumulates
        return [one.grad for one in given if one.grad is not None]

    for found, expected in zip(gradients(GPU), gradients("cpu"), strict=True):
        assert found.device == DEVICE
        assert torch.equal(found.cpu(), expected)


def test_second_derivatives_and_custom_functions_too() -> None:
    def second(device: str) -> Tensor:
        x = drawn(5).to(device).requires_grad_()
        (slope,) = torch.autograd.grad(x.pow(4).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.exp().sum(), x)[0].cpu()

    assert torch.equal(second(GPU), second("cpu"))


def test_what_was_written_to_is_known_to_have_been() -> None:
    x = drawn(4).to(GPU).requires_grad_()
    y = x.exp()
    kept, before = y.detach(), y._version
    y.mul_(2)
    assert kept._version == y._version > before
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_generator_draws_what_the_cpu_s_draws() -> None:
    here, there = Generator(GPU).manual_seed(5), torch.Generator().manual_seed(5)
    assert (here.device, isinstance(here, torch.Generator)) == (DEVICE, True)
    for draw in (
        lambda generator, device: torch.empty(3, 4, device=device).normal_(generator=generator),
        lambda generator, device: torch.rand(5, generator=generator, device=device),
        lambda generator, device: torch.randperm(9, generator=generator, device=device),
    ):
        assert torch.equal(draw(here, GPU).cpu(), draw(there, "cpu"))


# -- errors ------------------------------------------------------------------------------------------------------------

OTHER_DEVICE = "Expected all tensors to be on the same device"
REFUSED: dict[str, tuple[Callable[[Tensor, Tensor], object], str]] = {  # of a tensor on the device, and of the CPU
    "a sum": (lambda g, x: g + x, OTHER_DEVICE),
    "a sum the other way": (lambda g, x: x + g, OTHER_DEVICE),
    "a number of the device on a tensor of the CPU": (lambda g, x: x + g.sum(), OTHER_DEVICE),
    "a product": (lambda g, x: g @ x.mT, OTHER_DEVICE),
    "a product with a number in matrix form": (lambda g, x: torch.dot(g[0], x[0]), OTHER_DEVICE),
    "a concatenation": (lambda g, x: torch.cat([g, x]), OTHER_DEVICE),
    "a stack of numbers": (lambda g, x: torch.stack([g.sum(), x.sum()]), OTHER_DEVICE),
    "where": (lambda g, x: torch.where(x > 0, g, g), OTHER_DEVICE),
    "out=": (lambda g, x: torch.mul(g, g, out=torch.empty_like(x)), OTHER_DEVICE),
    "out= on the device": (lambda g, x: torch.mul(x, x, out=torch.empty_like(g)), OTHER_DEVICE),
    "a write into a tensor of the CPU": (lambda g, x: x.add_(g), OTHER_DEVICE),
    "a write into a number of the CPU": (lambda g, x: x.sum().add_(g.sum()), OTHER_DEVICE),
    "rows of the device by an index of the CPU": (lambda g, x: g.index_select(0, torch.tensor([1])), OTHER_DEVICE),
    "gather": (lambda g, x: g.gather(1, torch.zeros(4, 1, dtype=torch.long)), OTHER_DEVICE),
    "a tensor of the CPU indexed by one of the device": (
        lambda g, x: x[torch.tensor([1], device=GPU)],
        "indices should be either on cpu",
    ),
    "a tensor of the CPU with a mask of the device": (lambda g, x: x[g > 0], "indices should be either on cpu"),
    "a generator of the CPU": (lambda g, x: g.normal_(generator=torch.Generator()), "'gpu' device type for generator"),
    "a permutation by a generator of the CPU": (
        lambda g, x: torch.randperm(4, generator=torch.Generator(), device=GPU),
        "'gpu' device type for generator",
    ),
    "a generator of the device": (lambda g, x: x.normal_(generator=Generator(GPU)), "'cpu' device type for generator"),
    "numpy": (lambda g, x: g.numpy(), "can't convert gpu:0 device type tensor to numpy"),
    "numpy by itself": (lambda g, x: np.asarray(g), "can't convert gpu:0 device type tensor to numpy"),
    "another shape in place": (lambda g, x: g.unsqueeze_(0), "changes a shape in place"),
    "out= of another shape": (lambda g, x: torch.sum(g, 0, out=torch.empty(0, device=GPU)), "another shape"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_what_a_gpu_refuses_is_refused(case: str) -> None:
    work, said = REFUSED[case]
    with watched(), pytest.raises((RuntimeError, TypeError), match=said):
        work(drawn(4, 4).to(GPU), drawn(4, 4))


TAKEN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a number of the CPU in a pointwise operation": lambda g, x: g * x.sum(),
    "a number of the CPU in where": lambda g, x: torch.where(g > 0, g, x.sum()),
    "a number put into rows": lambda g, x: g.clone().index_put_((torch.tensor([0], device=g.device),), x.sum()),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_a_gpu_takes_is_taken(case: str) -> None:
    g, x = drawn(4, 4).to(GPU), drawn(4, 4)
    assert torch.equal(TAKEN[case](g, x).cpu(), TAKEN[case](x, x))


# -- what is noted -----------------------------------------------------------------------------------------------------

READS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda g: g.sum().item(),
    "float": lambda g: float(g.sum()),
    "bool": lambda g: bool((g > 0).any()),
    "if": lambda g: 1 if g.isnan().any() else 0,
    "int of a sum": lambda g: int(g.sum()),
    "a number as an index": lambda g: g[g.argmax() % 4],
    "range": lambda g: list(range(g.long().abs().sum())),
    "a format": lambda g: f"{g.sum():.3f}",
    "a tensor made of a number": lambda g: torch.tensor([g.sum(), 1.0]),
    "a mask": lambda g: g[g > 0],
    "a mask that is written by": lambda g: g.clone().__setitem__(g > 0, drawn(1).to(GPU)),
    "nonzero": lambda g: (g > 0).nonzero(),
    "where without values": lambda g: torch.where(g > 0),
    "masked_select": lambda g: g.masked_select(g > 0),
    "unique": lambda g: g.unique(),
    "equal": lambda g: torch.equal(g, g + 1),
    "allclose": lambda g: torch.allclose(g, g + 1),
    "a comparison": lambda g: g.sum() in [g.sum()],
    "repeats": lambda g: g[0].repeat_interleave(torch.ones(4, dtype=torch.long, device=g.device)),
    "eigenvalues": lambda g: torch.linalg.eigh(g + g.mT),
    "a root that must exist": lambda g: torch.linalg.cholesky(g @ g.mT + 4 * torch.eye(4, device=g.device)),
    "a solution that must exist": lambda g: torch.linalg.solve(g, g),
}
TO_HOST: dict[str, Callable[[Tensor], object]] = {
    "cpu": lambda g: g.cpu(),
    "to": lambda g: g.to("cpu"),
    "to another type too": lambda g: g.to("cpu", torch.float64),
    "tolist": lambda g: g.tolist(),
    "a copy into a tensor of the CPU": lambda g: torch.empty(4, 4).copy_(g),
    "numpy": lambda g: g.numpy(force=True),
}
TO_DEVICE: dict[str, Callable[[Tensor], object]] = {
    "to": lambda g: drawn(4).to(g.device),
    "to as another": lambda g: drawn(4).to(g),
    "a constant": lambda g: torch.tensor(2.0, device=g.device),
    "a list": lambda g: torch.tensor([1.0, 2.0], device=g.device),
    "as_tensor of an array": lambda g: torch.as_tensor(np.ones(3), device=g.device),
    "a copy into a tensor of the device": lambda g: torch.empty_like(g).copy_(drawn(4, 4)),
    "a value put by": lambda g: g.clone().__setitem__(0, drawn(4)),
    "an index of the CPU": lambda g: g[torch.tensor([1, 0])],
    "a list as an index": lambda g: g[[1, 0]],
}


@pytest.mark.parametrize("case", READS)
def test_a_read_by_the_host_is_noted_and_ends_a_capture(case: str) -> None:
    g = drawn(4, 4).to(GPU)
    with watched() as seen:
        READS[case](g)
    assert seen.reads
    assert not seen.to_host
    assert "test_device.py" in seen.reads[0]
    with pytest.raises(RuntimeError, match="stream is capturing"):
        Pretended().record(lambda: (READS[case](g), g)[1])


@pytest.mark.parametrize("case", TO_HOST)
def test_a_copy_to_the_host_is_noted_and_ends_a_capture(case: str) -> None:
    g = drawn(4, 4).to(GPU)
    with watched() as seen:
        TO_HOST[case](g)
    assert seen.budget == (0, 0, 1)
    with pytest.raises(RuntimeError, match="stream is capturing"):
        Pretended().record(lambda: (TO_HOST[case](g), g)[1])


@pytest.mark.parametrize("case", TO_DEVICE)
def test_a_copy_to_the_device_is_noted_and_ends_a_capture(case: str) -> None:
    g = drawn(4, 4).to(GPU)
    with watched() as seen:
        TO_DEVICE[case](g)
    assert seen.budget == (0, 1, 0)
    with pytest.raises(RuntimeError, match="stream is capturing"):
        Pretended().record(lambda: (TO_DEVICE[case](g), g)[1])


def test_what_stays_on_the_device_is_no_read() -> None:
    g = drawn(4, 4).to(GPU)
    with watched() as seen:
        for work in (views, written, indexed):
            work(g)
        torch.where(g > 0, g, 0.0).masked_fill(g < 0, 1.0).sum().sqrt()
        torch.linalg.cholesky_ex(g @ g.mT)
        g.clone().requires_grad_().exp().sum().backward()
    assert seen.budget == (0, 0, 0)
    assert seen.operations > 30


def test_what_the_host_computes_is_noted() -> None:
    with watched() as seen:
        (drawn(4) * 2).to(GPU)
    assert [line.partition(" at ")[0] for line in seen.on_host][-1] == "mul"


# -- a captured graph --------------------------------------------------------------------------------------------------


def test_a_recording_carries_nothing_out_and_replays_on_the_same_memory() -> None:
    g, weight, count = drawn(3, 4).to(GPU), drawn(4, 2).to(GPU).requires_grad_(), torch.zeros((), device=GPU)
    plain = weight.detach().cpu().requires_grad_()

    def step(weight: Tensor, g: Tensor, count: Tensor) -> Tensor:
        for learned in (weight,):
            learned.grad = None
        loss = (g @ weight).square().sum() * (1 + count)
        loss.backward()
        with torch.no_grad():
            assert weight.grad is not None
            weight.sub_(0.01 * weight.grad)
            count.add_(1)
        return loss.detach() * 1

    recording, loss = Pretended().record(lambda: step(weight, g, count))
    assert torch.equal(weight.detach().cpu(), plain.detach())
    assert float(count) == 0
    on_cpu = torch.zeros(())
    for _ in range(3):
        recording.replay()
        expected = step(plain, g.cpu(), on_cpu)
        assert torch.equal(loss.cpu(), expected)
        assert torch.equal(weight.detach().cpu(), plain.detach())
    assert float(count) == 3


def test_a_replay_carries_out_no_line_of_the_program() -> None:
    calls: list[int] = []
    g = drawn(3).to(GPU)

    def work() -> Tensor:
        calls.append(1)
        return g * len(calls)  # a number of the program is written into the graph

    recording, result = Pretended().record(work)
    for _ in range(2):
        recording.replay()
    assert calls == [1]
    assert torch.equal(result.cpu(), g.cpu())


def test_random_numbers_are_not_drawn_in_a_graph() -> None:
    g, generator = drawn(3).to(GPU), Generator(GPU)
    with pytest.raises(RuntimeError, match="stream is capturing: normal_ by a generator"):
        Pretended().record(lambda: g.normal_(generator=generator))
