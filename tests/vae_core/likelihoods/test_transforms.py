"""Every family under torch.compile, torch.func and DataParallel: eager values and gradients, with none looked at.

It is one file, for all of it is one comparison.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, few, raw_for
from vae_core import laws, likelihoods
from vae_core.likelihoods import Likelihood, make, stack

METHODS = ("log_prob", "train_log_prob", "log_mass")
DIMS, MODELS, ROWS = 5, 3, 4


FEW = few()
EVERY = pytest.mark.parametrize("case", FEW, ids=str)


def levels_of(lik: Likelihood) -> int:
    return 2 if lik.view == "binary" else 17


def inputs(lik: Likelihood, *leading: int) -> dict[str, Tensor]:
    """By method its data [..., DIMS]; "raw" outputs [..., R]."""
    k = torch.randint(levels_of(lik), (*leading, DIMS), generator=torch.Generator().manual_seed(1))
    k.view(-1)[:2] = torch.tensor([0, levels_of(lik) - 1])  # both ends
    x = laws.setting.seen(lik, k, levels_of(lik))
    raw = raw_for(lik, DIMS, "wide", rows=int(torch.Size(leading).numel())).reshape(*leading, -1)
    return {"log_prob": x, "train_log_prob": x, "log_mass": k, "raw": raw}


def called(lik: Any, method: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Of data and raw outputs."""
    more = (levels_of(lik),) if method == "log_mass" else ()
    return lambda data, raw: getattr(lik, method)(data, raw, *more)


class Scorer(torch.nn.Module):
    """A method of a likelihood as a model's forward."""

    def __init__(self, lik: Likelihood, method: str) -> None:
        super().__init__()
        self.lik, self.method = lik, method

    def forward(self, data: Tensor, raw: Tensor) -> Tensor:
        return called(self.lik, self.method)(data, raw)


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5, equal_nan=True)


def gradients(score: Callable[[Tensor, Tensor], Tensor], lik: Likelihood, data: Tensor, raw: Tensor) -> list[Any]:
    """The score, and its sum's gradients in raw outputs and in what is learned."""
    raw = raw.clone().requires_grad_()
    value = score(data, raw)
    wanted = [raw, *lik.parameters()]
    return [value.detach(), *torch.autograd.grad(value.sum(), wanted, allow_unused=True)]


def assert_remembers_alike(one: Likelihood, other: Likelihood) -> None:
    for name, tensor in one.named_state().items():
        same(other.named_state()[name], tensor)


def is_remembering(case: Case, method: str = "train_log_prob") -> bool:
    return method == "train_log_prob" and dict(case.options).get("sigma") == "optimal"


# -- torch.compile -----------------------------------------------------------------------------------------------------


def assert_compiles(case: Case, method: str, backend: str) -> None:
    torch._dynamo.reset()
    lik, twin = case.make(), case.make()
    given = inputs(lik, ROWS)
    compiled = torch.compile(called(lik, method), backend=backend, fullgraph=True)
    stances: tuple[tuple[float, Any], ...] = ((1.0, "default"), (0.3, "fail_on_recompile"))
    for scale, stance in stances:  # no value of the first call is in the program
        raw = given["raw"] * scale
        with torch.no_grad():
            for tensor in (*lik.parameters(), *twin.parameters()):
                tensor.mul_(scale)
        expected = gradients(called(twin, method), twin, given[method], raw)  # first: it may fill tables
        with torch.compiler.set_stance(stance):
            same(gradients(compiled, lik, given[method], raw), expected)
    assert_remembers_alike(twin, lik)


def compiled_ways() -> list[tuple[Case, str]]:
    """`train_log_prob` is `log_prob` but where σ is of the batch; kinds of scale are one code for all."""
    return [
        (case, method)
        for case in FEW
        for method in METHODS
        if (is_remembering(case) or method != "train_log_prob")
        and (case.family == "gaussian" or not isinstance(dict(case.options).get("sigma"), str))
    ]


@pytest.mark.parametrize(("case", "method"), compiled_ways(), ids=str)
def test_compiled_whole_it_gives_the_same_values_and_gradients(case: Case, method: str) -> None:
    assert_compiles(case, method, "aot_eager")


MACHINE_CODE = (  # a compiler takes up to half a minute for each
    (Case("gaussian", (("sigma", "pixel"),)), "log_prob"),
    (Case("gaussian", (("sigma", "pixel"),)), "log_mass"),
    (Case("student_t", (("sigma", 0.1), ("df", "shared"))), "log_prob"),
    (Case("bernoulli"), "log_prob"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "method"), MACHINE_CODE, ids=str)
def test_compiled_to_machine_code_it_gives_the_same(case: Case, method: str) -> None:
    assert_compiles(case, method, "inductor")


def test_a_compiled_score_is_of_what_was_learned_meanwhile() -> None:
    """A scale in the program as the number that it was would be wrong after a step of the optimiser."""
    lik = make("gaussian", sigma="shared")
    x, raw = torch.rand(ROWS, DIMS), torch.rand(ROWS, DIMS)
    score = torch.compile(lik.log_prob, backend="aot_eager", fullgraph=True)
    for sigma in (1.0, 0.3, 0.02):
        lik.set_sigma(sigma)
        expected = torch.distributions.Normal(raw, sigma).log_prob(x).sum(-1)
        torch.testing.assert_close(score(x, raw), expected, rtol=1e-4, atol=1e-4)


def test_under_compile_shapes_are_looked_at_and_values_are_not() -> None:
    lik = make("gaussian", sigma=0.1)
    score = torch.compile(lik.log_prob, backend="eager", fullgraph=True)
    x, raw = torch.rand(ROWS, DIMS), torch.rand(ROWS, DIMS)
    assert score(x, raw * torch.nan).isnan().all()
    with pytest.raises(Exception, match="R = 4 for D = 4"):
        score(x[:, 1:], raw)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_compiled_and_under_autocast_types_are_those_of_eager_mode(dtype: torch.dtype) -> None:
    lik = make("gaussian", sigma="pixel")
    x, raw = torch.rand(ROWS, DIMS), torch.rand(ROWS, 2 * DIMS).to(dtype)
    score = torch.compile(lik.log_prob, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        compiled, eager = score(x, raw), lik.log_prob(x, raw)
    assert compiled.dtype == eager.dtype == torch.promote_types(dtype, torch.float32)
    same(compiled, eager)


def test_a_model_is_exported_with_its_likelihood() -> None:
    lik = make("gaussian", sigma="shared")
    lik.set_sigma(0.3)
    x, raw = torch.rand(ROWS, DIMS), torch.rand(ROWS, DIMS)
    program = torch.export.export(Scorer(lik, "log_prob"), (x, raw))
    same(program.module()(x, raw), lik.log_prob(x, raw))
    assert "lik.scale.theta" in program.state_dict


def test_counting_on_fake_tensors_leaves_nothing_behind() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    for case in FEW:
        lik, twin = case.make(), case.make()
        given = inputs(lik, ROWS)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = {name: mode.from_tensor(tensor) for name, tensor in given.items()}
            for method in ("log_prob", "log_mass"):
                assert called(lik, method)(fake[method], fake["raw"]).shape == (ROWS,)
        for method in METHODS:
            same(
                called(lik, method)(given[method], given["raw"]),
                called(twin, method)(given[method], given["raw"]),
            )


# -- torch.func --------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_torch_func_are_those_of_backward(case: Case, method: str) -> None:
    lik, twin = case.make(), case.make()
    given = inputs(lik, ROWS)
    score, data, raw = called(lik, method), given[method], given["raw"]
    value, slope = gradients(called(twin, method), twin, data, raw)[:2]
    assert slope is not None
    found, found_value = torch.func.grad_and_value(lambda raw: score(data, raw).sum())(raw)
    same((found_value, found), (value.sum(), slope))
    assert_remembers_alike(twin, lik)
    called(twin, method)(data, raw)
    jacobian = torch.func.jacrev(lambda raw: score(data, raw))(raw)  # [ROWS, ROWS, R], each row's of its own alone
    same(torch.einsum("iir->ir", jacobian), slope)
    assert not (jacobian * (1 - torch.eye(ROWS)).unsqueeze(-1)).any()
    assert_remembers_alike(twin, lik)


@EVERY
@pytest.mark.parametrize("method", METHODS)
def test_mapped_over_data_it_is_a_loop(case: Case, method: str) -> None:
    lik = case.make()
    given = inputs(lik, ROWS)
    score, data, raw = called(lik, method), given[method], given["raw"]
    if is_remembering(case, method):
        before = {name: tensor.clone() for name, tensor in lik.named_state().items()}
        for mapped in (score, torch.func.grad(lambda raw, data: score(data, raw).sum())):
            with pytest.raises(ValueError, match=r"vmap over data would make many: give it the batch without vmap"):
                torch.func.vmap(mapped)(data, raw)
        for name, tensor in lik.named_state().items():
            assert torch.equal(tensor, before[name])
        return
    rows = list(zip(data, raw, strict=True))
    same(torch.func.vmap(score)(data, raw), torch.stack([score(*row) for row in rows]))
    slopes = torch.func.vmap(torch.func.grad(lambda raw, data: score(data, raw)))(raw, data)
    same(slopes, torch.stack([gradients(score, lik, *row)[1] for row in rows]))


@EVERY
@pytest.mark.parametrize("method", METHODS)
def test_mapped_over_models_it_is_a_stack(case: Case, method: str) -> None:
    """Parameters and buffers stacked by torch, one likelihood called with each; σ that is a number is one for all."""
    setting = laws.Setting(likelihoods.get(case.family), dict(case.options))
    apart = not isinstance(setting.options.get("sigma"), float)
    members = [setting(levels_of(case.make(2)), member if apart else 0) for member in range(MODELS)]
    bundle, one = stack(members), Scorer(copy.deepcopy(members[0]), method)
    parameters, buffers = torch.func.stack_module_state([Scorer(member, method) for member in members])
    given = inputs(members[0], MODELS, ROWS)

    def loss(parameters: Any, raw: Tensor, buffers: Any, data: Tensor) -> tuple[Tensor, Tensor]:
        value: Tensor = torch.func.functional_call(one, (parameters, buffers), (data, raw))
        return value.sum(), value

    slopes, values = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1), has_aux=True), randomness="error")(
        parameters, given["raw"], buffers, given[method]
    )
    expected, in_raw, *in_parameters = gradients(called(bundle, method), bundle, given[method], given["raw"])
    same((values, slopes[1]), (expected, in_raw))
    for (name, _), slope in zip(bundle.named_parameters(), in_parameters, strict=True):
        found = slopes[0][f"lik.{name}"]
        same(found, torch.zeros_like(found) if slope is None else slope)
    for name, buffer in bundle.named_buffers():
        same(buffers[f"lik.{name}"], buffer)
    for name, tensor in members[0].named_state().items():  # that which was called with others' state is as it was
        assert torch.equal(one.lik.named_state()[name], tensor)


def test_forward_derivatives_are_gradients_along_a_direction() -> None:
    lik = make("gaussian", sigma="optimal")
    given = inputs(lik, ROWS)
    raw, direction = given["raw"], torch.randn_like(given["raw"])

    def score(raw: Tensor) -> Tensor:
        return lik.train_log_prob(given["log_prob"], raw)

    along: Tensor = torch.func.jvp(score, (raw,), (direction,))[1]
    same(along, (torch.func.jacrev(score)(raw) * direction).sum((-1, -2)))  # σ is held constant by both
    assert float(lik.named_state()["scale.weight"]) == pytest.approx(1 - 0.99**2)  # each call was seen once


# -- DataParallel ------------------------------------------------------------------------------------------------------


@EVERY
def test_data_parallel_on_a_cpu_is_the_model_itself(case: Case) -> None:
    lik, twin = case.make(), case.make()
    given = inputs(lik, ROWS)
    for method in METHODS:
        parallel = torch.nn.DataParallel(Scorer(lik, method))
        same(
            gradients(parallel, lik, given[method], given["raw"]),
            gradients(called(twin, method), twin, given[method], given["raw"]),
        )
    assert_remembers_alike(twin, lik)


def replicas(module: torch.nn.Module, count: int) -> list[Any]:
    """As torch.nn.parallel.replicate makes them on devices: modules copied, parameters that are no leaves put in."""
    originals = list(module.modules())
    made: list[Any] = []
    for _ in range(count):
        copies: dict[Any, Any] = {one: one._replicate_for_data_parallel() for one in originals}
        for one, other in copies.items():
            for name, child in one.named_children():
                setattr(other, name, copies[child])
            other._former_parameters = {}
            for name, parameter in one.named_parameters(recurse=False):
                setattr(other, name, parameter.clone())
                other._former_parameters[name] = getattr(other, name)
            for name, buffer in one.named_buffers(recurse=False):
                other._buffers[name] = buffer.clone()
        made.append(copies[module])
    return made


def in_threads(models: list[Any], pieces: list[Any]) -> list[Tensor]:
    """Each model of its piece, at once."""
    values: dict[int, Tensor] = {}
    errors: list[BaseException] = []
    together = threading.Barrier(len(models))

    def work(index: int) -> None:
        try:
            together.wait()
            for _ in range(3):
                values[index] = models[index](*pieces[index])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [values[index] for index in range(len(models))]


@EVERY
def test_replicas_in_threads_score_and_have_gradients_as_the_model(case: Case) -> None:
    lik, twin = case.make(), case.make()
    given = inputs(lik, 2 * ROWS)
    for method in METHODS:
        if is_remembering(case, method):
            continue  # each replica's σ is of its part of the batch
        raw = given["raw"].clone().requires_grad_()
        pieces = list(zip(given[method].chunk(2), raw.chunk(2), strict=True))
        values = in_threads(replicas(Scorer(lik, method), 2), pieces)
        total = torch.cat(values)
        found = torch.autograd.grad(total.sum(), [raw, *lik.parameters()], allow_unused=True)
        expected = gradients(called(twin, method), twin, given[method], given["raw"])
        same([total.detach(), *found], expected)
