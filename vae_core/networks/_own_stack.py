"""Stacks of a user's own modules: called one after the other, on their part of the stacked parameters."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import torch

from vae_core.networks._base import Cost, Stack
from vae_core.networks._dropout import counting, given_noise
from vae_core.networks._own_file import Source
from vae_core.networks._places import Places
from vae_core.numerics.random import seed_for

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.numerics.precision import Product

LONGEST = 120  # letters of what somebody else's code says
TRIED_ROWS = 2


@dataclass(frozen=True)
class Ends:
    """What a module takes, of one image, and how many numbers it gives. `places`: of each model of a decoder, where in
    the image they belong."""

    into: tuple[int, ...]
    out: int
    places: Sequence[Places] | None = None

    def of(self, part: slice) -> Ends:
        return Ends(self.into, self.out, self.places and self.places[part])

    def to(self, device: torch.device | str) -> Ends:
        return Ends(self.into, self.out, self.places and [place.to(device) for place in self.places])


class OwnStack(Stack):
    """M models of one module class: `learned` and `kept` are its parameters and buffers by name, each [M, …]."""

    def __init__(
        self,
        template: torch.nn.Module,
        learned: dict[str, Tensor],
        kept: dict[str, Tensor],
        ends: Ends,
        cost: Cost,
        noise: int,
    ) -> None:
        self.template, self.learned, self.kept = template, learned, kept
        self.ends, self._cost, self.noise = ends, cost, noise

    @classmethod
    def create(
        cls,
        source: Source,
        module: ModuleType,
        part: str,
        given: Mapping[str, Any],
        seeds: Sequence[int],
        ends: Ends,
    ) -> OwnStack:
        """Raises ValueError, with the shapes, where a module cannot be made or called, or gives what it should not."""
        made = {seed: _made(source, module, part, given, seed) for seed in dict.fromkeys(seeds)}
        first = made[seeds[0]]
        learned = {name for name, tensor in first.named_parameters() if tensor.requires_grad}
        if not learned:
            raise ValueError(f"the {part} of {source.name} has no parameters: what is trained must be its own")
        tensors = {
            name: torch.stack([dict(_tensors(made[seed]))[name].detach().clone() for seed in seeds])
            for name, _ in _tensors(first)
        }
        stack = cls(
            copy.deepcopy(first),
            {name: tensor for name, tensor in tensors.items() if name in learned},
            {name: tensor for name, tensor in tensors.items() if name not in learned},
            ends,
            Cost(0, 0, 0, 0),
            0,
        )
        with refusing(source, part, ends):
            stack._try()
        return stack

    def __call__(self, x: Tensor, product: Product | None = None) -> Tensor:
        return self._through(x, product, training=False)

    def train(self, x: Tensor, product: Product | None = None, noise: Tensor | None = None) -> Tensor:
        return self._through(x, product, training=True, noise=noise)

    def _through(self, x: Tensor, product: Product | None, *, training: bool, noise: Tensor | None = None) -> Tensor:
        if product not in (None, torch.baddbmm):
            raise ValueError("a network of one's own is trained in float32: leave precision out")
        self.template.train(training)
        unbound = {name: tensor.unbind() for name, tensor in (*self.learned.items(), *self.kept.items())}
        models = []
        for model, of_model in enumerate(x.unbind()):
            weights = {name: tensors[model] for name, tensors in unbound.items()}
            with given_noise(None if noise is None else noise[model]):
                models.append(self._one(weights, of_model, model))
        return torch.stack(models) if len(models) > 1 else models[0].unsqueeze(0)

    def _one(self, weights: dict[str, Tensor], x: Tensor, model: int) -> Tensor:
        """[B, …] through one model -> [B, out]. Raises ValueError for another shape."""
        rows = len(x)
        if len(self.ends.into) == 3:
            channels, height, width = self.ends.into
            x = x.reshape(rows, height, width, channels).permute(0, 3, 1, 2)
        found = torch.func.functional_call(self.template, weights, (x,))
        if isinstance(found, tuple | list) and self.ends.places is None and len(found) == 2:
            found = torch.cat([torch.as_tensor(half) for half in found], -1)
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"gives {type(found).__name__} and no tensor of shape [{rows}, {self.ends.out}]")
        if found.ndim == 4 and self.ends.places is not None:
            places = self.ends.places[model]
            if found.shape == (rows, places.each + places.whole, *places.sides):
                return places.laid_flat(found)
        if found.shape != (rows, self.ends.out):
            taken = [rows, *self.ends.into]
            raise ValueError(f"gives {list(found.shape)} for {taken}, and [{rows}, {self.ends.out}] is wanted")
        return found.float()

    def _try(self) -> None:
        """Calls the first model on some rows, and notes what it costs. Raises whatever it does."""
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.rand(1, TRIED_ROWS, math.prod(self.ends.into), generator=torch.Generator().manual_seed(0))
        alone, numbers = self.select(0), list[int]()
        leaves = [module for module in self.template.modules() if not list(module.children())]
        hooks = [leaf.register_forward_hook(lambda _, __, out: numbers.append(_size(out))) for leaf in leaves]
        try:
            with torch.random.fork_rng(devices=[]):
                with FlopCounterMode(display=False) as counter:
                    forward = alone(x)
                with counting() as counted, torch.no_grad():
                    alone.train(x)
                with FlopCounterMode(display=False) as both:  # no gradient flows into x, as none does into images
                    for tensor in alone.parameters():
                        tensor.requires_grad_()
                    alone(x).sum().backward()
        finally:
            for hook in hooks:
                hook.remove()
        assert forward.shape[1] == TRIED_ROWS
        self.noise = counted.count
        operations = counter.get_total_flops() // TRIED_ROWS
        self._cost = Cost(
            operations=operations,
            first_operations=max(3 * operations - both.get_total_flops() // TRIED_ROWS, 0),
            numbers=max(sum(numbers[: len(leaves)]) // TRIED_ROWS, self.ends.out),
            parameters=sum(tensor[0].numel() for tensor in self.learned.values()),
        )

    def parameters(self) -> list[Tensor]:
        return list(self.learned.values())

    def names(self) -> list[str]:
        return list(self.learned)

    def held(self) -> dict[str, Tensor]:
        return dict(self.kept)

    def to(self, device: torch.device | str) -> Self:
        def moved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device) for name, tensor in tensors.items()}

        template = copy.deepcopy(self.template).to(device)
        return type(self)(template, moved(self.learned), moved(self.kept), self.ends.to(device), self._cost, self.noise)

    def select(self, index: int) -> Self:
        part = slice(index, index + 1)

        def selected(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor[part].detach().clone() for name, tensor in tensors.items()}

        return type(self)(
            self.template, selected(self.learned), selected(self.kept), self.ends.of(part), self._cost, self.noise
        )

    def cost(self) -> Cost:
        return self._cost


def _size(out: Any) -> int:
    return out.numel() if isinstance(out, torch.Tensor) else 0


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _made(source: Source, module: ModuleType, part: str, given: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """One module, its random numbers those of the seed. Raises ValueError."""
    kind = getattr(module, part)
    if not (inspect.isclass(kind) and issubclass(kind, torch.nn.Module)):
        raise ValueError(f"{part} of {source.name} is no class of torch.nn.Module: make it one")
    wanted = inspect.signature(kind).parameters.values()
    asked = {item.name for item in wanted}
    unknown = [
        item.name
        for item in wanted
        if item.name not in given
        and item.default is item.empty
        and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    if unknown:
        raise ValueError(
            f"the {part} of {source.name} wants {unknown[0]!r}, which nobody gives it (there is: {', '.join(given)}): "
            "give it a default"
        )
    with torch.random.fork_rng(devices=[]), refusing(source, part, None):
        torch.manual_seed(seed_for("weights", part.lower(), seed))
        made = kind(**{name: value for name, value in given.items() if name in asked})
    assert isinstance(made, torch.nn.Module)
    return made


@contextmanager
def refusing(source: Source, part: str, ends: Ends | None) -> Iterator[None]:
    """What a user's own code raises as a ValueError of one line, with the shapes; its own traceback stays behind it."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, AttributeError, LookupError, ArithmeticError, AssertionError) as error:
        said = " ".join(str(error).split())[:LONGEST]
        if isinstance(error, ValueError) and said.startswith("gives "):
            raise ValueError(f"the {part} of {source.name} {said}") from None
        line = [f.tb_lineno for f in _frames(error) if f.tb_frame.f_code.co_filename == str(source.path)]
        where = f" in line {line[-1]}" if line else ""
        on = f" on [B, {', '.join(map(str, ends.into))}]" if ends else ""
        raise ValueError(f"the {part} of {source.name} fails{on}{where} ({type(error).__name__}: {said})") from error


def _frames(error: BaseException) -> Iterator[Any]:
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next
