"""Training steps by programs: the plain path's scores and gradients for any stack, held against it, and given up in
favour of it; trainings by them are the plain ones to rounding."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.evaluate.programs.made import CPU, empty
from tests.vae_core.training.bundles import EVEN, images, members
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate.programs import Kept, StepKind, Steps
from vae_core.evaluate.programs.kept import Disagrees, Program, require_alike
from vae_core.evaluate.programs.kinds import PULL, STEP
from vae_core.evaluate.programs.making import lifted, make, traced
from vae_core.evaluate.programs.steps import MODELS, Step
from vae_core.likelihoods import Likelihood, stack
from vae_core.training import Member, Schedule, Trainer
from vae_core.training.capture import WARM_UP, NotCaptured, Replay

LEVELS, DIMS, BATCH = 17, 12, 6
SCHEDULE = Schedule(epochs=3, batch_size=16, learning_rate=3e-3)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def stacked(family: str, models: int = MODELS, levels: int = LEVELS, **options: Any) -> Likelihood:
    cls = likelihoods.get(family)
    if cls.takes_levels:
        options["levels"] = levels
    sigma = options.pop("sigma", None)

    def one(model: int) -> Likelihood:
        own = {} if sigma is None else {"sigma": sigma * (1 + 0.1 * model) if isinstance(sigma, float) else sigma}
        made: Likelihood = likelihoods.make(family, **own, **options)
        return made

    found = stack([one(model) for model in range(models)])
    found.initialise(0.2)
    return found


def kind_of(likelihood: Likelihood, masses: bool = False, samples: int = 1, **sizes: Any) -> StepKind:
    given: dict[str, Any] = {"dims": DIMS, "levels": LEVELS, "batch": BATCH, "device": CPU} | sizes
    return StepKind(likelihood, masses, samples=samples, **given)


def ways() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every family as it is trained: on its own data, and on exact masses where it can be. Every mode of σ of one whose
    modes are those of all, of the others a number."""
    for family in likelihoods.names():
        cls = likelihoods.get(family)
        every = ("shared", "image", "pixel") if family == "gaussian" else ()
        modes = [0.1, *[mode for mode in cls.sigma_modes if mode in every]] if cls.takes_sigma else [None]
        for options in [{} if mode is None else {"sigma": mode} for mode in modes]:
            yield family, options, False
            if "binned" in cls.objectives:
                yield family, options, True


def inputs_of(kind: StepKind, seeds: int, which: str) -> list[Tensor]:
    """For the models of its stack, with weights that differ."""
    given = list(kind.example(which, seed=1))
    place = len(given) - (4 if which == PULL else 3)
    given[place] = torch.arange(kind.likelihood.models or 0) % seeds
    given[place + 1] = given[place + 1][:seeds]
    if which == PULL:
        given[-1] = torch.rand(given[-1].shape, generator=torch.Generator().manual_seed(2)) - 0.3
    return given


@pytest.mark.slow
@pytest.mark.parametrize(("family", "options", "masses"), list(ways()))
def test_the_graph_is_the_plain_path_for_any_stack(family: str, options: dict[str, Any], masses: bool) -> None:
    kind = kind_of(stacked(family, **options), masses, samples=2)
    for which in kind.programs:
        graph = traced(kind, which, kind.example(which))
        for models, seeds in ((1, 1), (MODELS + 4, 3)):
            other = kind_of(stacked(family, models, **options), masses, samples=2)
            for tensor in other.likelihood.learned():
                tensor.data.add_(0.01 * torch.arange(models))
            assert other.name(which) == kind.name(which)
            inputs = inputs_of(other, seeds, which)
            with torch.no_grad():
                found, expected = graph(*inputs), other.flat(which)(*inputs)
            require_alike(found, expected, which)


@pytest.mark.parametrize("family", ["gaussian", "bce_sum", "categorical"])
def test_the_plain_path_of_a_program_is_what_a_bundle_computes(family: str) -> None:
    """The gradients of a weighted sum, by autograd itself, of the call that training makes."""
    lik = stacked(family, sigma="shared" if family == "gaussian" else None)
    kind = kind_of(lik)
    *_, whose, data, raw, weight = inputs_of(kind, 3, PULL)
    raw = raw.requires_grad_()
    score = lik.train_log_prob(data[whose].unsqueeze(2), raw)
    expected = torch.autograd.grad(score, [raw, *lik.learned()], weight)
    with torch.no_grad():
        found = kind.flat(PULL)(*inputs_of(kind, 3, PULL))
    assert len(found) == len(expected) == (2 if family == "gaussian" else 1)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(kind.flat(STEP)(*inputs_of(kind, 3, STEP))[0], score)


def test_what_remembers_its_batches_or_looks_at_numbers_has_no_program(tmp_path: Path) -> None:
    optimal = kind_of(stacked("gaussian", sigma="optimal"))
    assert "remembers" in optimal.refusal
    coupled = kind_of(stacked("gaussian", sigma="pixel", channels="coupled"), masses=True)
    assert "looks at its numbers" in coupled.refusal
    single = kind_of(likelihoods.make("gaussian", sigma=0.1))
    assert "no stack" in single.refusal
    for kind in (optimal, coupled, single):
        with pytest.raises(ValueError, match="it has no program"):
            make(kind, STEP, empty(tmp_path))


def test_numbers_in_which_the_models_of_a_stack_differ_are_inputs(tmp_path: Path) -> None:
    """Degrees of freedom as well as σ; models that differ in anything else would all be computed as the first."""

    def students(*degrees: float) -> StepKind:
        of = [likelihoods.make("student_t", sigma=0.1, df=df) for df in degrees]
        return kind_of(stack(of))

    seven, apart = students(*[4.0] * MODELS), students(1.5, 3.0, 40.0)
    assert seven.name(STEP) == apart.name(STEP)
    with torch.no_grad():
        found = traced(seven, STEP, seven.example(STEP))(*inputs_of(apart, 2, STEP))
        *_, whose, data, raw = inputs_of(apart, 2, STEP)
        expected = apart.likelihood.log_prob(data[whose].unsqueeze(2), raw)
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-3)
    betas = stacked("beta_mse")
    betas.made_of = ({"beta": 0.37}, *betas.made_of[1:])
    assert "differ in beta" in kind_of(betas).refusal


def test_an_option_that_is_left_out_is_its_default() -> None:
    told = [
        likelihoods.make("gaussian", sigma=0.1, levels=LEVELS),
        likelihoods.make("gaussian", sigma=0.2, link="identity", levels=LEVELS),
    ]
    silent = kind_of(stacked("gaussian", sigma=0.1))
    for some in (told, told[::-1]):
        kind = kind_of(stack(some))
        assert not kind.refusal
        assert kind.name(STEP) == silent.name(STEP)
    other = kind_of(stack([likelihoods.make("gaussian", sigma=0.1, link="sigmoid", levels=LEVELS)] * 2))
    assert other.name(STEP) != silent.name(STEP)


def test_weights_of_a_score_are_of_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a plug-in scores in float64."""
    kind = kind_of(stacked("gaussian", sigma="shared"))
    cls = type(kind.likelihood)
    plain = cls.train_log_prob
    assert kind.example(PULL)[-1].dtype == torch.float32
    monkeypatch.setattr(cls, "train_log_prob", lambda self, x, raw: plain(self, x, raw).double())
    assert kind.example(PULL)[-1].dtype == torch.float64
    with torch.no_grad():
        assert [one.dtype for one in kind.flat(PULL)(*kind.example(PULL))] == [torch.float32] * 2


def test_what_is_trained_on_is_in_the_name() -> None:
    """Not how many models there are, nor their σ where it is a number."""
    gaussian = stacked("gaussian", sigma=0.1)
    same = [kind_of(gaussian), kind_of(stacked("gaussian", 3, sigma=0.02))]
    others = [
        kind_of(gaussian, masses=True),
        kind_of(gaussian, samples=2),
        kind_of(gaussian, batch=7),
        kind_of(gaussian, dims=13),
        kind_of(gaussian, levels=16),
        kind_of(gaussian, masses=True, integers=torch.int64),
        kind_of(stacked("gaussian", sigma="shared")),
        kind_of(stacked("gaussian", sigma="pixel")),
        kind_of(stacked("laplace", sigma=0.1)),
        *(kind_of(stacked(name)) for name in ("bce_sum", "bce_mean", "mse_sum", "mse_mean", "beta_mse")),
        kind_of(stacked("beta_mse", beta=0.3)),
    ]
    for which in (STEP, PULL):
        assert len({kind.name(which) for kind in same}) == 1
        assert len({kind.name(which) for kind in [same[0], *others]}) == 1 + len(others)


# -- trainings ---------------------------------------------------------------------------------------------------------

Carried = Callable[..., Sequence[Tensor]]


class Planted(Steps):
    """Programs of all kinds that are asked for, carried out as they are traced, or as `made` makes them."""

    made: Callable[[StepKind, str], Carried]
    calls: list[tuple[str, int]]  #: which, and of how many images or weights

    def __init__(self, kept: Kept, made: Callable[[StepKind, str], Carried] | None = None) -> None:
        super().__init__(kept)
        object.__setattr__(self, "made", made or _by_graph)
        object.__setattr__(self, "calls", [])

    def __call__(
        self, likelihood: Likelihood, objective: str, whose: Tensor, data: Tensor, levels: int, batch: int, samples: int
    ) -> Step | None:
        masses, dims = objective == "binned", data.shape[-1]
        kind = StepKind(likelihood, masses, dims, levels, batch, samples, data.device, data.dtype)
        for which in kind.programs if not kind.refusal else ():
            name = kind.name(which)
            if name not in self.kept._loaded and name not in self.kept._refused:
                self.kept._loaded[name] = Program(self._seen(which, self.made(kind, which)), which)
        return super().__call__(likelihood, objective, whose, data, levels, batch, samples)

    def _seen(self, which: str, carried: Carried) -> Carried:
        def call(*inputs: Tensor) -> Sequence[Tensor]:
            self.calls.append((which, len(inputs[-2])))
            return carried(*inputs)

        return call


def _by_graph(kind: StepKind, which: str) -> Carried:
    own = kind_of(
        stack([likelihoods.make(kind.likelihood.name, **kind.likelihood.made_of[0])] * MODELS),
        kind.masses, kind.samples, dims=kind.dims, levels=kind.levels, batch=kind.batch,
    )  # fmt: skip
    return traced(own, which, own.example(which))


def steps_of(trainer: Trainer, count: int) -> list[Tensor]:
    """The objectives of so many steps, and what was learned then."""
    found = [trainer.step(index).clone() for index in itertools.islice(trainer.epoch(), count)]
    return [*found, *(tensor.detach().clone() for tensor in trainer.state())]


@pytest.fixture
def bars() -> Dataset:
    return images(8, 8)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_training_by_programs_is_the_plain_one_to_rounding(bars: Dataset, tmp_path: Path, samples: int) -> None:
    schedule = Schedule(3, 16, 3e-3, train_samples=samples)
    planted = Planted(empty(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        compiled = Trainer(bars, members(0, 1), EVEN, schedule, "cpu", planted)
        plain = Trainer(bars, members(0, 1), EVEN, schedule, "cpu")
        there = [score is not None for score in compiled.program.scores]
        assert there.count(False) == 1  # σ "optimal" remembers
        for places in (None, [0, 1, 5, 6, 9], [5]):  # of those that go on, the last one is alone
            if places:
                compiled.keep(places if len(places) > 1 else [2])
                plain.keep(places if len(places) > 1 else [2])
            for one, other in zip(steps_of(compiled, 2), steps_of(plain, 2), strict=True):
                torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)
    assert {which for which, _ in planted.calls} == {STEP, PULL}


def off(kind: StepKind, which: str) -> Carried:
    """A score that is right, and slopes in what is learned that are not."""
    right = kind.flat(which)
    if which == STEP:
        return right
    return lambda *given: [one if place == 0 else 1.5 * one + 1 for place, one in enumerate(right(*given))]


def tilted(kind: StepKind, which: str) -> Carried:
    right = kind.flat(which)
    return right if which == STEP else lambda *given: [1.01 * one for one in right(*given)]


def high(kind: StepKind, which: str) -> Carried:
    right = kind.flat(which)
    return right if which == PULL else lambda *given: [one + 0.5 for one in right(*given)]


def broken(kind: StepKind, which: str) -> Carried:
    def fails(*given: Tensor) -> Sequence[Tensor]:
        raise RuntimeError("no such kernel")

    return fails


@pytest.mark.parametrize(
    ("made", "said"),
    [(off, "times as far"), (tilted, "times as far"), (high, "times as far"), (broken, "no such kernel")],
)
def test_a_program_that_fails_is_said_and_the_plain_path_taken(
    bars: Dataset, tmp_path: Path, made: Callable[[StepKind, str], Carried], said: str
) -> None:
    learning = [Member(likelihoods.make("laplace", sigma="shared"), objective="binned", seed=seed) for seed in (0, 1)]
    compiled = Trainer(bars, learning, EVEN, SCHEDULE, "cpu", Planted(empty(tmp_path), made))
    with pytest.warns(RuntimeWarning, match=f"^training goes on uncompiled: .*{said}"):
        found = steps_of(compiled, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found += steps_of(compiled, 2)
    plain = Trainer(bars, learning, EVEN, SCHEDULE, "cpu")
    for one, other in zip(found, steps_of(plain, 1) + steps_of(plain, 2), strict=True):
        if made is high:  # was given up at its first score
            assert torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


def test_a_damaged_file_is_said_before_the_first_step(bars: Dataset, tmp_path: Path) -> None:
    kept = empty(tmp_path)
    asked: list[str] = []

    class Asking(Steps):
        def __call__(self, likelihood: Likelihood, objective: str, *of: Any, **named: Any) -> Step | None:
            kind = StepKind(likelihood, True, 64, 5, 16, 1, CPU)
            for which in kind.programs:
                asked.append(kind.name(which))
                kept.put(asked[-1], lambda part: part.write_bytes(b"half of a program"))
            return super().__call__(likelihood, objective, *of, **named)

    with pytest.warns(RuntimeWarning, match="^training goes on uncompiled: "):
        trainer = Trainer(bars, learning(0, 1), EVEN, SCHEDULE, "cpu", Asking(kept))
    assert len(asked) == 2
    assert trainer.program.scores == [None]
    assert len(steps_of(trainer, 1)) > 1


def test_slopes_are_held_unweighted() -> None:
    """A hundredth that is off hides in weights of a 128th where a millionth of a nat is rounding."""
    kind = kind_of(stacked("gaussian", sigma="shared"))
    with torch.no_grad():
        plain = kind.flat(PULL)(*kind.example(PULL))
    with pytest.raises(Disagrees):
        require_alike([1.01 * plain[0], plain[1]], plain, PULL)
    with pytest.raises(Disagrees):
        require_alike([plain[0], plain[1] + 0.2 * plain[0].abs().max()], plain, PULL)


def test_a_program_is_held_anew_for_another_number_of_models(bars: Dataset, tmp_path: Path) -> None:
    """One that is right for the models that it was first used on alone, as of a likelihood that counts them."""

    def counts(kind: StepKind, which: str) -> Carried:
        right = kind.flat(which)
        return lambda *given: [
            one * (1.0 if len(given[len(given) - 1 - (which == PULL)]) == 3 else 1.5) for one in right(*given)
        ]

    planted = Planted(empty(tmp_path), counts)
    compiled = Trainer(bars, learning(0, 1, 2), EVEN, SCHEDULE, "cpu", planted)
    plain = Trainer(bars, learning(0, 1, 2), EVEN, SCHEDULE, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for one, other in zip(steps_of(compiled, 2), steps_of(plain, 2), strict=True):
            torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)
    compiled.keep([0, 2])
    plain.keep([0, 2])
    with pytest.warns(RuntimeWarning, match="^training goes on uncompiled: .*times as far"):
        found = steps_of(compiled, 2)
    for one, other in zip(found, steps_of(plain, 2), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("which", [STEP, PULL])
def test_tables_of_a_family_are_inputs_of_its_graph(which: str) -> None:
    """Else a file of it would lose them."""
    kind = kind_of(stacked("student_t", sigma=0.1), masses=True)
    inputs = kind.example(which)
    graph = traced(kind, which, inputs)
    tables = lifted(graph)
    assert tables
    assert not [node for node in graph.graph.nodes if node.op == "get_attr"]
    assert not list(graph.named_buffers())
    with torch.no_grad():
        require_alike(graph(*inputs, *tables), kind.flat(which)(*inputs), which)


@pytest.mark.slow
@needs_compiler
def test_a_program_with_tables_is_read_again(tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(stacked("student_t", sigma=0.1), masses=True)
    assert make(kind, STEP, kept)
    inputs = kind.example(STEP)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error", RuntimeWarning)
        found = Kept(kept.folder).carry_out(kind.name(STEP), STEP, inputs, lambda: kind.flat(STEP)(*inputs))
    assert found is not None


def test_a_program_that_comes_later_is_for_later_trainings(bars: Dataset, tmp_path: Path) -> None:
    """And not for those who stay when models leave."""
    kept = empty(tmp_path)
    steps = Steps(kept)
    trainer = Trainer(bars, learning(0, 1, 2), EVEN, SCHEDULE, "cpu", steps)
    kind = StepKind(trainer.program.groups[0].likelihood, True, 64, 5, 16, 1, CPU)
    for which in kind.programs:
        kept._loaded[kind.name(which)] = Program(kind.flat(which), which)
    trainer.keep([0, 1])
    assert trainer.program.scores == [None]
    assert all(Trainer(bars, learning(0, 1), EVEN, SCHEDULE, "cpu", Steps(kept)).program.scores)


def test_a_second_derivative_is_refused(tmp_path: Path) -> None:
    kind = kind_of(stacked("gaussian", sigma="shared"))
    kept = empty(tmp_path)
    for which in kind.programs:
        kept._loaded[kind.name(which)] = Program(kind.flat(which), which)
    *_, whose, data, raw = inputs_of(kind, 2, STEP)
    score = Step(kind, whose, kept)(data, raw.requires_grad_())
    assert score is not None
    with pytest.raises(RuntimeError, match="differentiable once"):
        torch.autograd.grad(score.sum(), raw, create_graph=True)


def test_steps_that_cannot_be_captured_with_programs_are_captured_without(tmp_path: Path) -> None:
    """Work that is made plainer is tried anew, after as many ordinary calls as before the first capture."""
    plainer, calls = [False], [0]

    class Again:
        def replay(self) -> None:
            calls[0] += 1

    def record(work: Callable[[], Tensor]) -> tuple[Any, Tensor]:
        if not plainer[0]:
            raise NotCaptured("a compiled kernel")
        return Again(), torch.zeros(1)

    def otherwise(error: Exception) -> bool:
        assert "a compiled kernel" in str(error)
        was, plainer[0] = plainer[0], True
        return not was

    replay = Replay(CPU, record, otherwise)
    ordinary = [0]

    def work() -> Tensor:
        ordinary[0] += 1
        return torch.ones(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for _ in range(3 * WARM_UP + 3):
            replay(work)
    assert replay.captured
    assert ordinary[0] == 2 * WARM_UP
    assert calls[0] == WARM_UP + 3


def test_a_trainer_gives_its_programs_up_once(bars: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(bars, members(0), EVEN, SCHEDULE, "cpu", Planted(empty(tmp_path)))
    with pytest.warns(RuntimeWarning, match="^training goes on uncompiled: it cannot be captured"):
        assert trainer._uncompiled(NotCaptured("it cannot be captured"))
    assert not trainer._uncompiled(NotCaptured("it cannot be captured"))
    trainer.keep([0, 1])
    assert trainer.program.scores == [None] * len(trainer.program.groups)


def test_memory_that_runs_out_in_a_capture_is_not_laid_to_programs(bars: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(bars, learning(0, 1), EVEN, SCHEDULE, "cpu", Planted(empty(tmp_path)))
    error = NotCaptured("the capture was broken off")
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert not trainer._uncompiled(error)
    assert all(trainer.program.scores)


# -- a real compiler ---------------------------------------------------------------------------------------------------

ELSEWHERE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("error", RuntimeWarning)
import torch
from tests.vae_core.evaluate.programs.test_steps import SCHEDULE, learning, steps_of
from tests.vae_core.training.bundles import EVEN, images
from vae_core.evaluate.programs import Kept, Steps
from vae_core.training import Trainer
torch.set_num_threads(1)
for seeds in ((0, 1, 2), (0,), (0, 0)):
    kept = Kept(Path(sys.argv[1]))
    compiled = Trainer(images(8, 8), learning(*seeds), EVEN, SCHEDULE, "cpu", Steps(kept))
    assert all(compiled.program.scores), compiled.program.scores
    plain = Trainer(images(8, 8), learning(*seeds), EVEN, SCHEDULE, "cpu")
    for one, other in zip(steps_of(compiled, 3), steps_of(plain, 3), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)
    assert all(kept.is_held(name) for score in compiled.program.scores for name in score._names.values())
print("alike")
"""


def learning(*seeds: int) -> list[Member]:
    return [
        Member(likelihoods.make("laplace", sigma="shared", levels=5), objective="binned", seed=seed) for seed in seeds
    ]


@pytest.mark.slow
@needs_compiler
def test_a_compiled_step_is_found_by_another_process_and_trains_alike(tmp_path: Path, bars: Dataset) -> None:
    kept = empty(tmp_path)
    several = stack([member.likelihood for member in learning(*range(MODELS))])
    kind = StepKind(several, True, 64, 5, 16, 1, CPU)
    for which in kind.programs:
        assert make(kind, which, kept)
        assert not make(kind, which, kept)
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-c", ELSEWHERE, str(kept.folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alike", done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_step_by_programs_trains_alike_on_cuda(tmp_path: Path, bars: Dataset) -> None:
    """Programs of this device, a graph that holds them, and the plain path's numbers."""
    kept = empty(tmp_path)
    cuda = torch.device("cuda")
    several = stack([member.likelihood for member in learning(*range(MODELS))]).to(cuda)
    kind = StepKind(several, True, 64, 5, 16, 1, cuda)
    for which in kind.programs:
        assert make(kind, which, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        compiled = Trainer(bars, learning(0, 1, 2), EVEN, SCHEDULE, "cuda", Steps(kept))
        plain = Trainer(bars, learning(0, 1, 2), EVEN, SCHEDULE, "cuda")
        assert all(compiled.program.scores)
        for _ in range(2):
            for one, other in zip(steps_of(compiled, 4), steps_of(plain, 4), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert compiled._replay is not None
    assert compiled._replay.captured
