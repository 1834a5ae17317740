"""What a program is of: which functions of a likelihood it computes, and what of the likelihood goes into it.

A program takes the state of a likelihood (what is learned, what was fitted, ln σ where σ is a number), then integers
k [n, D], where densities are among its results the same dequantised [n, D], then raw outputs [n, C, R]; it gives one
tensor [n, C] for each of its results, or, a slope, that and its gradient in the raw outputs. Everything else that a
likelihood is made of is the program's own, and part of its name.
Axes: images n, samples C, dimensions D, raw R.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils import stateless

from vae_core.likelihoods import Likelihood
from vae_core.numerics.accelerators import accelerated

#: what an image is scored by: the exact mass of its integers, the density of the dequantised data, and, where end bins
#: are open, the mass with renormalised ends
MASS, DENSITY, RENORMALISED = "mass", "density", "renormalised"
#: the programs of a kind: all of these at once, the mass alone, and the mass with its gradient in the raw outputs
ALL, ALONE, SLOPE = "all", "mass", "slope"
#: those of a training step (`steps`): the score, and what its gradient pulls at
STEP, PULL = "step", "pull"
#: raw outputs that a program is made on: what it will see at a time decides which of a few kernels is fast
FLOATS = {True: 1 << 24, False: 1 << 12}
#: of them samples: as many as a tile has
SAMPLES = {True: 128, False: 3}
#: folders whose files decide what a program computes
_SOURCES = tuple(Path(__file__).parents[2] / name for name in ("likelihoods", "numerics", "evaluate/programs"))


@dataclass(frozen=True)
class Kind:
    """A kind of likelihood, by one of it, as it scores images of D dimensions and K levels on a device."""

    likelihood: Likelihood
    dims: int
    levels: int
    device: torch.device
    integers: torch.dtype = torch.uint8  #: of k
    deterministic: ClassVar[bool] = False

    @property
    def refusal(self) -> str:
        """Why it has no program: one that looks at its numbers to choose how exact it must be takes a fixed rule inside
        of a program, so that it would not compute the same; "" where it has."""
        if self.likelihood.models is not None:
            return f"{self.likelihood.name} is a stack"
        return looks(self.likelihood)

    @property
    def lawful(self) -> bool:
        """Whether a program computes the same numbers as the likelihood does by itself."""
        return not self.refusal

    @property
    def results(self) -> tuple[str, ...]:
        """Of `ALL`."""
        both = (MASS, DENSITY) if self.likelihood.has_density else (MASS,)
        return (*both, RENORMALISED) if self.likelihood.renormalised() is not None else both

    @property
    def programs(self) -> tuple[str, ...]:
        """Those that are worth having, the first of which most is asked."""
        return (ALL, SLOPE, ALONE) if len(self.results) > 1 else (ALL, SLOPE)

    def results_of(self, program: str) -> tuple[str, ...]:
        return self.results if program == ALL else (MASS,)

    def name(self, program: str) -> str:
        """Equal where one program does for two likelihoods; changes with the code of either, and with the device."""
        state = state_of(self.likelihood, self._like())
        shapes = [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in state.items()]
        sizes = [*shapes, f"{self.dims} {self.levels} {self.integers}"]
        return named(self.likelihood, program, self.likelihood.computes(), sizes, self.device)

    def _like(self) -> Tensor:
        return torch.empty(0, device=self.device)

    def function(self, program: str) -> Any:
        """The function that a program is made of: (state, k, unit, raw) -> its results; unit where it has densities."""
        results, levels, own = self.results_of(program), self.levels, copy.deepcopy(self.likelihood)

        def scores(state: Mapping[str, Tensor], k: Tensor, unit: Tensor | None, raw: Tensor) -> list[Tensor]:
            with with_state(own, state) as lik:
                closed = lik.renormalised() if RENORMALISED in results else None
                found = [lik.log_mass(k.unsqueeze(1), raw, levels)]
                if DENSITY in results and unit is not None:
                    found.append(lik.log_density(unit.unsqueeze(1), raw, levels))
                if closed is not None:
                    found.append(closed.log_mass(k.unsqueeze(1), raw, levels))
            return found

        def slope(state: Mapping[str, Tensor], k: Tensor, unit: Tensor | None, raw: Tensor) -> list[Tensor]:
            with torch.enable_grad():
                inside = raw.detach().requires_grad_()
                (score,) = scores({name: tensor.detach() for name, tensor in state.items()}, k, None, inside)
                (gradient,) = torch.autograd.grad(score.sum(), inside)
            return [score.detach(), gradient]

        return slope if program == SLOPE else scores

    def example(self, program: str, seed: int = 0) -> tuple[Tensor, ...]:
        """As many images as make the raw outputs of a piece of a pass."""
        wide = accelerated(self.device)
        width, samples = self.likelihood.outputs(self.dims), SAMPLES[wide]
        images = max(samples + 2, FLOATS[wide] // (width * samples))  # no two sizes by chance the same
        generator = torch.Generator().manual_seed(seed)
        k = torch.randint(self.levels, (images, self.dims), generator=generator)
        unit = (k + torch.rand(k.shape, generator=generator)) / self.levels
        raw = torch.randn(images, samples, width, generator=generator)
        places = [k.to(self.integers), unit] if DENSITY in self.results_of(program) else [k.to(self.integers)]
        on_device = [tensor.to(self.device) for tensor in (*places, raw)]
        return (*state_of(self.likelihood, on_device[-1]).values(), *on_device)

    def flat(self, program: str) -> Callable[..., list[Tensor]]:
        function, names = self.function(program), list(state_of(self.likelihood, self._like()))

        def flat(*given: Tensor) -> list[Tensor]:
            state, rest = dict(zip(names, given, strict=False)), given[len(names) :]
            found: list[Tensor] = function(state, rest[0], rest[1] if len(rest) == 3 else None, rest[-1])
            return found

        return flat

    def free(self, program: str) -> Sequence[int]:
        """Images, and samples."""
        state = [0] * len(state_of(self.likelihood, self._like()))
        return [*state, *[1] * (2 if DENSITY in self.results_of(program) else 1), 2]


def state_of(likelihood: Likelihood, like: Tensor) -> dict[str, Tensor]:
    """What of a likelihood goes into a program: all of its tensors by name, and numbers that it keeps as tensors of the
    type and on the device of `like`."""
    tensors = {**dict(likelihood.named_parameters()), **dict(likelihood.named_buffers())}
    numbers = {
        f"{name}:{called}": tensor
        for name, part in likelihood._parts().items()
        for called, tensor in part.numbers(like).items()
    }
    return {name: tensor.detach() for name, tensor in {**tensors, **numbers}.items()}


@contextmanager
def with_state(likelihood: Likelihood, state: Mapping[str, Tensor]) -> Iterator[Likelihood]:
    """The likelihood with these tensors as its state, as long as it lasts."""
    parts = likelihood._parts()
    for name, tensor in state.items():
        where, colon, called = name.partition(":")
        if colon:
            setattr(parts[where], called, tensor)
    swapped = {name: tensor for name, tensor in state.items() if ":" not in name}
    with stateless._reparametrize_module(likelihood, swapped):
        yield likelihood


def looks(likelihood: Likelihood) -> str:
    """That it looks at its numbers, "" where it does not."""
    name = likelihood.name
    return f"{name} looks at its numbers to choose how exact it must be" if likelihood.looks_at_numbers else ""


def named(
    likelihood: Likelihood, program: str, computes: Mapping[str, Any], sizes: Sequence[str], device: torch.device
) -> str:
    """The name of a program of these sizes: of all of the likelihood that does not go into it, what it `computes` by
    its options among it."""
    told = {**{name: getattr(likelihood, name) for name in ("shape", "channels_last", "open_ends")}, **computes}
    notes = {
        f"{name}.{note}": getattr(part, note)
        for name, part in likelihood._parts().items()
        for note in ("mode", *part.notes)
        if not note.startswith("_")
    }
    parts = [
        program,
        *(f"{key}={value!r}" for key, value in sorted(notes.items())),
        *(f"{key}={value!r}" for key, value in sorted(told.items())),
        *sizes,
        _machine(device),
        code_of(type(likelihood)),
    ]
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=10).hexdigest()
    return f"{computes.get('family', 'mean')}-{program}-{digest}"


@lru_cache(maxsize=8)
def _machine(device: torch.device) -> str:
    """What a program is made for: torch, its compiler, and the device."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device), torch.version.cuda
        return f"{torch.__version__} {where}"
    return f"{torch.__version__} {device.type} {torch.backends.cpu.get_cpu_capability()}"


@lru_cache(maxsize=64)
def code_of(cls: type) -> str:
    """A digest of the code that a family's scores come from: this suite's, and the file of every class above it."""
    files = {path for folder in _SOURCES for path in folder.glob("*.py")}
    for one in cls.__mro__:
        if one.__module__.partition(".")[0] not in ("builtins", "abc", "torch"):
            files.add(Path(inspect.getfile(getattr(one, "_made_from", one))))
    digest = hashlib.blake2b(digest_size=10)
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
