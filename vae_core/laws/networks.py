"""Laws that every network obeys, as functions that raise: the shipped ones in the tests, a user's own before a run.

Each takes one setting, an architecture for images of a shape, and raises LawBroken with what was found, in which the
shapes are named, and a remedy. `check` goes through them in order, and says the first that is broken in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vae_core.laws.setting import LawBroken
from vae_core.networks import Architecture, Places, Stack, create_pair

SEEDS = (0, 1, 0)  # of the models of a stack that is tried; two of them are one
ROWS = 4
WITHIN = 1e-4  # relative, of what rounding may do


@dataclass(frozen=True)
class NetworkSetting:
    """What a law is tried on."""

    architecture: Architecture
    shape: tuple[int, ...]
    outputs: int  #: R
    places: Sequence[Places] | None = None  #: of one model

    def create(self, seeds: Sequence[int] = SEEDS) -> list[Tried]:
        """Encoders and decoders, each with what it is to take and give."""
        places = None if self.places is None else (lambda: list(self.places or ()) * len(seeds))
        encoder, decoder = create_pair(self.architecture, self.shape, self.outputs, seeds, places)
        latent, dims = self.architecture.latent, math.prod(self.shape)
        return [
            Tried("encoder", encoder, dims, 2 * latent),
            Tried("decoder", decoder, latent, self.outputs),
        ]


@dataclass(frozen=True)
class Tried:
    """The encoders or the decoders of a setting: [M, B, into] -> [M, B, out]."""

    name: str
    stack: Stack
    into: int
    out: int

    def inputs(self, models: int = len(SEEDS), rows: int = ROWS) -> Tensor:
        """Values as images have them, or z; the same for each model."""
        generator = torch.Generator().manual_seed(7)
        draw = torch.rand if self.name == "encoder" else torch.randn
        return draw(1, rows, self.into, generator=generator).expand(models, rows, self.into)

    def uniforms(self, models: int = len(SEEDS), rows: int = ROWS, seed: int = 8) -> Tensor | None:
        """For what is random in training; None where nothing is."""
        if not self.stack.noise:
            return None
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(1, rows, self.stack.noise, generator=generator).expand(models, rows, -1)

    @property
    def shapes(self) -> str:
        """`the encoder, [B, 784] to [B, 20],`, as sentences begin."""
        return f"the {self.name}, [B, {self.into}] to [B, {self.out}],"


Law = Callable[[NetworkSetting], None]


def outputs_have_their_shape(setting: NetworkSetting) -> None:
    """[M, B, D] -> [M, B, 2 Z], and [M, B, Z] -> [M, B, R], finite, in evaluation and in training."""
    for tried in setting.create():
        for found, rows in (
            (tried.stack(tried.inputs()), ROWS),
            (tried.stack(tried.inputs(rows=1)), 1),
            (tried.stack.train(tried.inputs(), noise=tried.uniforms()), ROWS),
        ):
            if found.shape != (len(SEEDS), rows, tried.out):
                raise LawBroken(
                    f"the {tried.name} gives {list(found.shape[1:])} for [{rows}, {tried.into}], where "
                    f"[{rows}, {tried.out}] is needed",
                    f"let its last layer give {tried.out} numbers an image",
                )
            if not bool(torch.isfinite(found).all()):
                raise LawBroken(f"{tried.shapes} gives numbers that are not finite", "begin with smaller weights")


def evaluation_is_deterministic(setting: NetworkSetting) -> None:
    """The same numbers each time, and nobody's random numbers taken."""
    for tried in setting.create():
        x, before = tried.inputs(), torch.get_rng_state()
        first = tried.stack(x)
        if not torch.equal(before, torch.get_rng_state()) or not torch.equal(first, tried.stack(x)):
            raise LawBroken(
                f"{tried.shapes} is not deterministic in evaluation: it draws random numbers, or remembers",
                "take random numbers in training alone, by torch.nn.Dropout",
            )


def an_image_is_computed_alone(setting: NetworkSetting) -> None:
    """What comes out for a row changes with no other row, in evaluation and in training."""
    for tried in setting.create():
        x, noise = tried.inputs(), tried.uniforms()
        others = torch.cat([x[:, :1], 1 - 2 * x[:, 1:]], 1)
        fewer = None if noise is None else noise[:, :2]
        seen = {
            "": (tried.stack(x), tried.stack(others), tried.stack(x[:, :1])),
            # not of one row: what normalises over the batch raises there
            " in training": tuple(
                tried.stack.train(rows, noise=uniforms)
                for rows, uniforms in ((x, noise), (others, noise), (x[:, :2], fewer))
            ),
        }
        for when, (whole, *same) in seen.items():
            if not all(_near(whole[:, :1], other[:, :1]) for other in same):
                raise LawBroken(
                    f"{tried.shapes} depends on its neighbours in the batch: it gives an image other numbers beside "
                    f"others of {ROWS}{when}",
                    "take torch.nn.GroupNorm for BatchNorm, and nothing over axis 0",
                )


def training_is_a_function_of_its_noise(setting: NetworkSetting) -> None:
    """Nothing but the parameters and the noise that it is given enters: the same step twice is the same."""
    for tried in setting.create():
        x, noise = tried.inputs(), tried.uniforms()
        before = torch.get_rng_state()
        first = tried.stack.train(x, noise=noise)
        if not torch.equal(before, torch.get_rng_state()) or not torch.equal(first, tried.stack.train(x, noise=noise)):
            raise LawBroken(
                f"{tried.shapes} draws random numbers of its own in training",
                "take torch.nn.Dropout, whose numbers are those of the seed",
            )


def a_stack_is_its_models(setting: NetworkSetting) -> None:
    """A model alone, created so or selected, gives what it gives in the stack, and shares no memory with it."""
    for tried, single in zip(setting.create(), setting.create(SEEDS[1:2]), strict=True):
        x = tried.inputs()
        stacked = tried.stack(x)
        for alone in (single.stack, tried.stack.select(1), tried.stack.to("cpu")):
            part = slice(1, 2) if len(alone.parameters()[0]) == 1 else slice(None)
            if not _near(alone(x[part]), stacked[part]):
                raise LawBroken(
                    f"{tried.shapes} gives other numbers alone than in a stack of {len(SEEDS)}",
                    "keep all that it computes with in parameters and buffers",
                )
        own = {tensor.data_ptr() for tensor in (*tried.stack.parameters(), *tried.stack.held().values())}
        if own & {tensor.data_ptr() for tensor in tried.stack.select(0).parameters()}:
            raise LawBroken(f"{tried.shapes} shares its parameters with a model selected from it", "copy them")
        if any(len(tensor) != len(SEEDS) for tensor in (*tried.stack.parameters(), *tried.stack.held().values())):
            raise LawBroken(f"{tried.shapes} has parameters without the models axis in front", "stack them")


def one_seed_is_one_model(setting: NetworkSetting) -> None:
    """Equal seeds, equal weights; another seed, other weights; and nobody's random numbers taken."""
    before = torch.get_rng_state()
    pairs = list(zip(setting.create(), setting.create(), strict=True))
    if not torch.equal(before, torch.get_rng_state()):
        raise LawBroken("creating the networks takes the process's random numbers", "draw from generators of its own")
    for tried, again in pairs:
        for name, tensor, other in zip(
            tried.stack.names(), tried.stack.parameters(), again.stack.parameters(), strict=True
        ):
            if not (torch.equal(tensor, other) and torch.equal(tensor[0], tensor[2])):
                raise LawBroken(
                    f"{name} {list(tensor.shape[1:])} of the {tried.name} is not the same each time for one seed",
                    "draw initial weights by torch's own random numbers, which are seeded here",
                )
        if all(torch.equal(tensor[0], tensor[1]) for tensor in tried.stack.parameters()):
            raise LawBroken(f"{tried.shapes} has the same weights for every seed", "draw them at random")


def gradients_reach_every_parameter(setting: NetworkSetting) -> None:
    """Every tensor that is learned has a gradient that is finite and not all zero, each model's its own."""
    for tried in setting.create():
        parameters = [tensor.requires_grad_() for tensor in tried.stack.parameters()]
        found = tried.stack.train(tried.inputs(rows=8 * ROWS), noise=tried.uniforms(rows=8 * ROWS))
        weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(9))
        gradients = torch.autograd.grad((found * weight).sum(), parameters, allow_unused=True)
        for name, tensor, gradient in zip(tried.stack.names(), parameters, gradients, strict=True):
            if gradient is None or not all(bool(of_model.any()) for of_model in gradient):
                raise LawBroken(
                    f"no gradient reaches {name} {list(tensor.shape[1:])} of the {tried.name}",
                    "use it in forward, or leave it out; what is not to be learned is a buffer",
                )
            if not bool(torch.isfinite(gradient).all()):
                raise LawBroken(f"the gradient of {name} {list(tensor.shape[1:])} is not finite", "mend what overflows")


def costs_are_what_is_there(setting: NetworkSetting) -> None:
    """Parameters as there are, operations as the profiler counts them."""
    for tried in setting.create(SEEDS[:1]):
        cost = tried.stack.cost()
        there = sum(tensor.numel() for tensor in tried.stack.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            tried.stack(tried.inputs(models=1), torch.baddbmm)
        counted = counter.get_total_flops() / ROWS
        if (cost.parameters, cost.operations) != (there, counted) or cost.first_operations > cost.operations:
            raise LawBroken(
                f"{tried.shapes} says {cost.parameters:,} parameters and {cost.operations:,} operations, and has "
                f"{there:,} and {counted:,.0f}",
                "count what is there",
            )


LAWS: tuple[Law, ...] = (
    outputs_have_their_shape,
    evaluation_is_deterministic,
    an_image_is_computed_alone,
    training_is_a_function_of_its_noise,
    one_seed_is_one_model,
    a_stack_is_its_models,
    gradients_reach_every_parameter,
    costs_are_what_is_there,
)


def check(setting: NetworkSetting) -> None:
    """Holds a network to all laws. Raises LawBroken with the first that it breaks, in a sentence without full stop."""
    for law in LAWS:
        try:
            law(setting)
        except LawBroken as broken:
            name = PurePath(setting.architecture.network).name
            raise LawBroken(f"of {name} {broken}" + (f"; {broken.remedy}" if broken.remedy else "")) from None


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=WITHIN, atol=WITHIN)
