"""Training steps by programs: ln p(x|z) of stacked likelihoods, and what its gradient pulls at, as one kernel each.

A step's dozens of elementwise operations go over the raw outputs of all models once each, forwards and again backwards.
By programs they read them twice and write their gradient: `STEP` computes the score, `PULL` the score's gradients in
the raw outputs and in what is learned, for which it computes what it needs of the forward pass again.

Whether a step goes by programs is settled when training begins, so that its numbers do not hang on when a compiler was
ready: who trains waits for them (bench.engine.process.beside.ahead). The plain path is the reference.
Axes: seeds G, models M, images B, samples L, dimensions D, raw R; M and G are any number, the others a program's own.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from vae_core.evaluate.programs.kept import TRAINING, Kept
from vae_core.evaluate.programs.kinds import PULL, STEP, looks, named, state_of, with_state
from vae_core.likelihoods import Likelihood
from vae_core.numerics.fused_functions import differentiable_once

_REQUIRED = inspect.Parameter.empty
#: models and seeds that a program is made on
MODELS, SEEDS = 7, 5


@dataclass(frozen=True)
class StepKind:
    """A kind of stacked likelihood, by a stack of it, as it is trained on B images and L samples of each.

    masses: whether it is trained on exact masses of integers, else on what its view sees, in float32.
    integers: the type of integers k.
    """

    likelihood: Likelihood
    masses: bool
    dims: int
    levels: int
    batch: int
    samples: int
    device: torch.device
    integers: torch.dtype = torch.uint8
    deterministic: ClassVar[bool] = True  # a model's weights are made of thousands of steps

    @property
    def refusal(self) -> str:
        """Why it has no program: what it remembers of a batch would be lost."""
        lik = self.likelihood
        if lik.models is None:
            return f"{lik.name} is no stack"
        if remembered := set(lik.named_state()) - set(self.learned):
            return f"{lik.name} remembers {', '.join(sorted(remembered))} of what it is trained on"
        if apart := self._apart():
            return f"models of {lik.name} differ in {', '.join(apart)}"
        return looks(lik)

    def _apart(self) -> list[str]:
        """Options in which the models differ, and which do not go into a program."""
        first, *others = self._made_of()
        given = {*self.likelihood._given()}
        return sorted({key for one in others for key in {*first, *one} - given if first.get(key) != one.get(key)})

    def _made_of(self) -> list[dict[str, Any]]:
        """The options of each model, those that were left out among them."""
        defaults = {key: value for key, value in self.likelihood.option_defaults().items() if value is not _REQUIRED}
        return [{**defaults, **options} for options in self.likelihood.made_of]

    @property
    def programs(self) -> tuple[str, ...]:
        return STEP, PULL

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of what is learned, in the order of the state."""
        return tuple(name for name, _ in self.likelihood.named_parameters())

    def name(self, program: str) -> str:
        """Equal where one program does for two stacks; changes with the code of either, and with the device."""
        lik = self.likelihood
        computes = {"family": lik.name, **self._made_of()[0]} | dict.fromkeys(lik._given(), "a number")
        shapes = [f"{name} {tuple(t.shape[1:])} {t.dtype}" for name, t in state_of(lik, self._like()).items()]
        sizes = f"{self.dims} {self.levels} {self.batch} {self.samples} {self._seen}"
        return named(lik, program, computes, [*shapes, sizes], self.device)

    @property
    def _seen(self) -> torch.dtype:
        return self.integers if self.masses else torch.float32

    def _like(self) -> Tensor:
        return torch.empty(0, device=self.device)

    def example(self, program: str, seed: int = 0) -> tuple[Tensor, ...]:
        """Of the likelihood's own models, whose number should be none of the other sizes'."""
        models, width = self.likelihood.models or MODELS, self.likelihood.outputs(self.dims)
        generator = torch.Generator().manual_seed(seed)
        k = torch.randint(self.levels, (SEEDS, self.batch, self.dims), generator=generator)
        if self.masses:
            data = k.to(self.integers)
        elif self.likelihood.view in ("binary", "levels"):
            data = k.float() if self.likelihood.view == "levels" else (k > 0).float()
        else:
            data = (k + torch.rand(k.shape, generator=generator)) / self.levels
        raw = torch.randn(models, self.batch, self.samples, width, generator=generator)
        whose = torch.arange(models) % SEEDS
        state = state_of(self.likelihood, self._like()).values()
        given = (*state, *[tensor.to(self.device) for tensor in (whose, data, raw)])
        if program != PULL:
            return given
        with torch.no_grad():  # a plug-in may score in float64
            (score,) = self.flat(STEP)(*given)
        return (*given, torch.ones_like(score))

    def free(self, program: str) -> Sequence[int]:
        """The first axis of each: models, or seeds."""
        state = [int(tensor.ndim > 0) for tensor in state_of(self.likelihood, self._like()).values()]
        return [*state, 1, 1, 1] + ([1] if program == PULL else [])

    def flat(self, program: str) -> Callable[..., list[Tensor]]:
        """(state …, which seed each model has [M], data [G, B, D], raw [M, B, L, R]) -> [score [M, B, L]]; with the
        score's weights [M, B, L] besides -> [gradient in raw, in what is learned …] of their weighted sum."""
        own, names, learned = (
            copy.deepcopy(self.likelihood),
            list(state_of(self.likelihood, self._like())),
            self.learned,
        )

        def score(state: Mapping[str, Tensor], whose: Tensor, data: Tensor, raw: Tensor) -> Tensor:
            seen = data.index_select(0, whose).unsqueeze(2)
            with with_state(own, state) as lik:
                return lik.log_mass(seen, raw, self.levels) if self.masses else lik.train_log_prob(seen, raw)

        def step(*given: Tensor) -> list[Tensor]:
            whose, data, raw = given[len(names) :]
            return [score(dict(zip(names, given, strict=False)), whose, data, raw)]

        def pull(*given: Tensor) -> list[Tensor]:
            whose, data, raw, weight = given[len(names) :]
            with torch.enable_grad():
                state = {name: tensor.detach() for name, tensor in zip(names, given, strict=False)}
                inside = raw.detach().requires_grad_()
                wanted = [inside, *[state[name].requires_grad_() for name in learned]]
                found = score(state, whose, data, inside)
                return list(torch.autograd.grad(found, wanted, weight, materialize_grads=True))

        return pull if program == PULL else step


class Step:
    """The score of one stack in training, by programs; differentiable once.

    Args:
        kind: the stack, which learns on.
        whose: which of the G seeds each model has, [M].
        kept: where the programs are.
    """

    def __init__(self, kind: StepKind, whose: Tensor, kept: Kept) -> None:
        self._kind, self._whose, self._kept = kind, whose, kept
        self._names = {which: kind.name(which) for which in kind.programs}
        self._plain = {which: kind.flat(which) for which in kind.programs}
        self._state: list[Tensor] | None = None

    def load(self) -> bool:
        """Whether both programs are there; loads them, here and not in a thread of a backward pass."""
        return all(self._kept.load(name, which) for which, name in self._names.items())

    def refuse(self, error: Exception) -> None:
        """They are not used again in this process."""
        for name in self._names.values():
            self._kept.refuse(name, error, TRAINING)

    def __call__(self, data: Tensor, raw: Tensor) -> Tensor | None:
        """data [G, B, D], raw [M, B, L, R] -> ln p(x|z) [M, B, L], nats; None, after a warning, where the programs do
        not do."""
        if any(map(self._kept.has_failed, self._names.values())):
            return None
        if self._state is None:  # learned tensors are changed where they are
            self._state = list(state_of(self._kind.likelihood, raw).values())
        score: Tensor | None = _Stepped.apply(raw, self, data.contiguous(), *self._kind.likelihood.parameters())
        return score

    def _score(self, data: Tensor, raw: Tensor) -> Tensor | None:
        found = self._carried_out(STEP, [data, raw])
        return None if found is None else found[0]

    def _gradients(self, data: Tensor, raw: Tensor, weight: Tensor) -> list[Tensor]:
        """In raw, and in what is learned."""
        assert self._state is not None
        given = [*self._state, self._whose, data, raw, weight]
        if not self._kept.is_held(self._names[PULL], given):  # by slopes as they are: weights would make them small
            self._carried_out(PULL, [data, raw, torch.ones_like(weight)])
        found = self._carried_out(PULL, [data, raw, weight])
        if found is None:
            found = self._plain[PULL](*given)
        return found

    def _carried_out(self, which: str, given: Sequence[Tensor]) -> list[Tensor] | None:
        name = self._names[which]
        if self._kept.has_failed(name):
            return None
        assert self._state is not None
        inputs = [*self._state, self._whose, *given]
        with torch.no_grad():
            return self._kept.carry_out(name, which, inputs, lambda: self._plain[which](*inputs))


class _Stepped(torch.autograd.Function):
    """A score whose gradients another program gives."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, step: Step, data: Tensor, *learned: Tensor) -> Tensor | None:
        raw = raw.contiguous()
        score = step._score(data, raw)
        if score is not None:
            ctx.save_for_backward(data, raw)
            ctx.step = step
        return score

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        data, raw = ctx.saved_tensors
        of_raw, *of_learned = ctx.step._gradients(data, raw, weight.contiguous())
        return of_raw, None, None, *of_learned


@dataclass(frozen=True)
class Steps:
    """Makes what a training asks for (vae_core.training.program.Compiled) of the programs that there are."""

    kept: Kept
    #: pairs that were not there when they were first asked for: they stay so, for a training that began without goes on
    #: without where models leave
    _lacking: set[frozenset[str]] = field(default_factory=set, compare=False)

    def __call__(
        self, likelihood: Likelihood, objective: str, whose: Tensor, data: Tensor, levels: int, batch: int, samples: int
    ) -> Step | None:
        """Of a stack, or None where there is none: `objective` as it is trained on, which seed each model has [M],
        images as integers [N, D] of K levels, B and L."""
        kind = StepKind(
            likelihood, objective == "binned", data.shape[-1], levels, batch, samples, data.device, data.dtype
        )
        if kind.refusal:
            return None
        step = Step(kind, whose, self.kept)
        names = frozenset(step._names.values())
        if names in self._lacking or not step.load():
            self._lacking.add(names)
            return None
        return step
