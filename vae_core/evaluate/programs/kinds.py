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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import stateless

from vae_core.likelihoods import Likelihood

#: what an image is scored by: the exact mass of its integers, the density of the dequantised data, and, where end bins
#: are open, the mass with renormalised ends
MASS, DENSITY, RENORMALISED = "mass", "density", "renormalised"
#: the programs of a kind: all of these at once, the mass alone, and the mass with its gradient in the raw outputs
ALL, ALONE, SLOPE = "all", "mass", "slope"
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

    @property
    def lawful(self) -> bool:
        """Whether a program computes the same numbers as the likelihood does by itself: one that looks at its numbers
        to choose how exact it must be takes a fixed rule inside of a program."""
        return not self.likelihood.looks_at_numbers and self.likelihood.models is None

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
        lik = self.likelihood
        told = {**{name: getattr(lik, name) for name in ("shape", "channels_last", "open_ends")}, **lik.computes()}
        notes = {
            f"{name}.{note}": getattr(part, note)
            for name, part in lik._parts().items()
            for note in ("mode", *part.notes)
            if not note.startswith("_")
        }
        parts = [
            program,
            *(f"{key}={value!r}" for key, value in sorted(notes.items())),
            *(f"{key}={value!r}" for key, value in sorted(told.items())),
            *(f"{name} {tuple(t.shape)} {t.dtype}" for name, t in state_of(lik, self._like()).items()),
            f"{self.dims} {self.levels} {self.integers}",
            _machine(self.device),
            code_of(type(lik)),
        ]
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=10).hexdigest()
        return f"{lik.computes().get('family', 'mean')}-{program}-{digest}"

    def _like(self) -> Tensor:
        return torch.empty(0, device=self.device)

    def function(self, program: str) -> Any:
        """The function that a program is made of: (state, k, unit, raw) -> its results; unit where it has densities."""
        results, levels, own = self.results_of(program), self.levels, copy.deepcopy(self.likelihood)

        def scores(state: Mapping[str, Tensor], k: Tensor, unit: Tensor | None, raw: Tensor) -> list[Tensor]:
            with _with_state(own, state) as lik:
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
def _with_state(likelihood: Likelihood, state: Mapping[str, Tensor]) -> Iterator[Likelihood]:
    """The likelihood with these tensors as its state, as long as it lasts."""
    parts = likelihood._parts()
    for name, tensor in state.items():
        where, colon, called = name.partition(":")
        if colon:
            setattr(parts[where], called, tensor)
    swapped = {name: tensor for name, tensor in state.items() if ":" not in name}
    with stateless._reparametrize_module(likelihood, swapped):
        yield likelihood


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
