"""The program of a bundle: stacked networks and likelihoods of M models, and the bound that each has on each image.

Axes: models M, seeds G (models with one seed share all noise), batch B, samples L, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vae_core.data import VIEWS, Dataset, View, threshold
from vae_core.likelihoods import Likelihood, stack, told
from vae_core.networks import Architecture, Stack, create_pair, places_of_each
from vae_core.numerics.fused_functions import Sample
from vae_core.numerics.precision import PRODUCTS, Product, require_precision
from vae_core.objectives import BOUNDS, Bound, free_bits_kl, split_posterior
from vae_core.training.noise import Noise, Seeds
from vae_core.training.recipe import Member, Schedule


class Score(Protocol):
    """ln p(x|z) of a stack in training, compiled."""

    def __call__(self, data: Tensor, raw: Tensor) -> Tensor | None:
        """Data of each seed [G, B, D], integers where exact masses are trained on, else as the likelihood's view sees
        them, and raw [M, B, L, R] -> [M, B, L], nats; None where it does not do, and the plain path is to be taken."""

    def refuse(self, error: Exception) -> None:
        """It does not do, from now on."""


class Compiled(Protocol):
    """Gives compiled scores where there are any (vae_core.evaluate.programs.Steps)."""

    def __call__(
        self, likelihood: Likelihood, objective: str, whose: Tensor, data: Tensor, levels: int, batch: int, samples: int
    ) -> Score | None:
        """Of a stack: what it is trained on, which seed each of its models has [M], images as integers [N, D] of K
        levels, B and L."""


@dataclass(frozen=True)
class Group:
    """Neighbouring models of one kind: one stacked likelihood and one bound act on a slice of the models axis.
    `objective`: of which ln p(x|z). `kl_weight` [m, 1]: that of each model's KL, None where all are 1 from the first
    step on; `free_bits` [m, 1, 1]: nats a latent dimension, None where there are none."""

    part: slice
    likelihood: Likelihood
    view: View
    objective: str
    bound: Bound
    seeds: Seeds
    kl_weight: Tensor | None = None
    free_bits: Tensor | None = None


class BundleProgram:
    """The stacked networks and likelihoods of M models, and the one function that all of training calls."""

    def __init__(
        self, members: Sequence[Member], architecture: Architecture, schedule: Schedule, data: Dataset, device: str
    ) -> None:
        if not members:
            raise ValueError("a bundle needs at least one member")
        widths = {member.likelihood.outputs(data.dims) for member in members}
        if len(widths) != 1:
            raise ValueError(f"the members' raw outputs differ in width ({sorted(widths)}): give each its own bundle")
        self.device = torch.device(device)
        require_precision(schedule.precision, self.device)
        self.levels, self.schedule, self.architecture = data.levels, schedule, architecture
        self.shape = data.shape
        self.seeds = sorted({member.seed for member in members})
        keys = [
            (m.likelihood.view, m.objective, m.bound, repr(m.likelihood.stack_key()), m.free_bits > 0) for m in members
        ]
        #: place on the models axis -> index into members: models of one kind side by side
        self.order = sorted(range(len(members)), key=lambda i: (keys[i], members[i].learning_rate or 0.0, i))
        self.members = [members[i] for i in self.order]  #: in the order of the models axis

        self.outputs = widths.pop()  #: R
        encoder, decoder = create_pair(
            architecture,
            data.shape,
            self.outputs,
            [member.seed for member in self.members],
            lambda: places_of_each([member.likelihood for member in self.members], data.shape, data.levels),
        )
        self.encoder, self.decoder = encoder.to(self.device), decoder.to(self.device)
        self.groups: list[Group] = []
        for _, alike in itertools.groupby(self.order, key=keys.__getitem__):
            self.groups.append(self._group([members[i] for i in alike]))
        self.of_models = self._seeds_of(self.members)
        #: of each group in training, where it is compiled
        self.scores: list[Score | None] = [None] * len(self.groups)
        self._sizes = [group.part.stop - group.part.start for group in self.groups]
        #: names of the views that are looked at: by likelihoods, and by encoders
        self.views = list(dict.fromkeys(group.view.name for group in self.groups))
        if "grey" not in self.views and not all(group.view.binary for group in self.groups):
            self.views.append("grey")
        #: those of them that draw from the uniforms
        self.random_views = [name for name in self.views if VIEWS[name].random and not self._thresholds(VIEWS[name])]

    def _group(self, alike: Sequence[Member]) -> Group:
        """Members of one kind, next on the models axis."""
        start = self.groups[-1].part.stop if self.groups else 0
        return Group(
            part=slice(start, start + len(alike)),
            likelihood=told(stack([member.likelihood for member in alike]).to(self.device), self.shape),
            view=VIEWS[alike[0].likelihood.view],
            objective=alike[0].objective,
            bound=BOUNDS[alike[0].bound],
            seeds=self._seeds_of(alike),
            kl_weight=self._of_each([member.kl_weight for member in alike], 1)
            if any(member.kl_weight != 1 or member.kl_warmup for member in alike)
            else None,
            free_bits=self._of_each([member.free_bits for member in alike], 2) if alike[0].free_bits else None,
        )

    def _of_each(self, numbers: Sequence[float], axes: int) -> Tensor:
        """A number of each of some models, with as many axes besides."""
        return torch.tensor(numbers, dtype=torch.float32, device=self.device).reshape(-1, *[1] * axes)

    def _seeds_of(self, members: Sequence[Member]) -> Seeds:
        return Seeds([self.seeds.index(member.seed) for member in members], len(self.seeds), self.device)

    @property
    def models(self) -> int:
        return len(self.order)

    def placed_parameters(self) -> list[tuple[Tensor, int]]:
        """Everything learned, each tensor with the models axis first, and the place of its first model on it."""
        placed = [(tensor, 0) for tensor in (*self.encoder.parameters(), *self.decoder.parameters())]
        for group in self.groups:
            placed += [(tensor, group.part.start) for tensor in group.likelihood.learned()]
        return [(tensor.requires_grad_(), first) for tensor, first in placed]

    @property
    def randomness(self) -> tuple[int, int]:
        """Uniforms a row that the encoders and the decoders want in training."""
        return self.encoder.noise, self.decoder.noise

    def parameters(self) -> list[Tensor]:
        """Everything learned, each with the models axis first."""
        return [tensor for tensor, _ in self.placed_parameters()]

    def placed_state(self) -> list[tuple[Tensor, slice]]:
        """All tensors that training changes, what is learned and what likelihoods keep besides, and what networks hold
        besides, each with its part of the models axis."""
        of_networks = (*self.encoder.parameters(), *self.decoder.parameters())
        held = (*self.encoder.held().values(), *self.decoder.held().values())
        placed = [(tensor, slice(0, self.models)) for tensor in (*of_networks, *held)]
        for group in self.groups:
            of_group = group.likelihood.learned()
            of_group += [t for t in group.likelihood.state() if all(t is not listed for listed in of_group)]
            placed += [(tensor, group.part) for tensor in of_group]
        return placed

    def of(self, places: Sequence[int], data: Dataset) -> BundleProgram:
        """A program of the models at these places, ascending, with their numbers; shares no memory with this one."""
        members = [
            dataclasses.replace(self.members[group.part.start + index], likelihood=group.likelihood.select(index))
            for group in self.groups
            for index in staying(group.part, places)
        ]
        fewer = BundleProgram(members, self.architecture, self.schedule, data, str(self.device))
        copy_staying(self.placed_state(), [tensor for tensor, _ in fewer.placed_state()], places)
        return fewer

    @torch.no_grad()
    def take(self, other: BundleProgram, which: Sequence[bool]) -> None:
        """The numbers of those models of a program of the same models, one flag a model."""
        flags = torch.tensor(which, device=self.device)
        for (own, part), (theirs, _) in zip(self.placed_state(), other.placed_state(), strict=True):
            own.copy_(torch.where(flags[part].reshape(-1, *[1] * (own.ndim - 1)), theirs, own))

    def objectives(
        self,
        k: Tensor,
        noise: Noise,
        *,
        training: bool,
        kept: Mapping[str, Tensor] | None = None,
        masses: bool = False,
        warmed: Tensor | None = None,
    ) -> Tensor:
        """What each model raises, on each image: integers k [G, B, D] -> [M, B], nats. `kept`: k as some of the views
        see it, where that is at hand. `masses`: instead of it the bound itself, whatever the KL is weighted with, of
        exact masses also where dequantised data are trained on. `warmed`: the share of the KL's weight that is in
        force, [M, 1]; None is all of it."""
        kept = kept or {}
        seen = {name: kept[name] if name in kept else self.see(name, k, noise.uniform) for name in self.views}
        product = PRODUCTS[self.schedule.precision if training else "float32"]
        encoder, decoder = (
            (self._trained(self.encoder, noise.of_encoder), self._trained(self.decoder, noise.of_decoder))
            if training
            else (self.encoder, self.decoder)
        )
        encoded = encoder(self._inputs(seen), product)
        eps = self.of_models.of(noise.eps)
        z, kl = Sample.apply(encoded, eps)
        models, batch, samples, latent = z.shape
        raw = decoder(z.reshape(models, batch * samples, latent), product).reshape(models, batch, samples, -1)

        values = []
        of_groups = zip(self.groups, self._of_groups(raw), self._of_groups(kl), self.scores, strict=True)
        for group, raw_of, kl_of, compiled in of_groups:
            log_likelihood = None
            if training and compiled is not None:
                log_likelihood = compiled(k if group.objective == "binned" else seen[group.view.name], raw_of)
            if log_likelihood is None:
                log_likelihood = self._log_likelihood(group, k, seen, raw_of, training=training, masses=masses)
            from_q = kl_of
            if group.bound.weighted:
                from_q = split_posterior(encoded[group.part]).log_ratio(z[group.part], eps[group.part])
            if not masses:
                from_q = self._as_raised(group, from_q, encoded, warmed)
            values.append(group.bound.formula(log_likelihood, from_q))
        return torch.cat(values) if len(values) > 1 else values[0]

    def _log_likelihood(
        self, group: Group, k: Tensor, seen: Mapping[str, Tensor], raw: Tensor, *, training: bool, masses: bool
    ) -> Tensor:
        """ln p(x|z) of a group, or of exact masses, [m, B, L]."""
        likelihood = group.likelihood
        if group.objective == "binned" or (masses and group.objective == "dequantised"):
            return likelihood.log_mass(group.seeds.of(k).unsqueeze(2), raw, self.levels)
        score = likelihood.train_log_prob if training else likelihood.log_prob
        return score(group.seeds.of(seen[group.view.name]).unsqueeze(2), raw)

    @staticmethod
    def _as_raised(group: Group, from_q: Tensor, encoded: Tensor, warmed: Tensor | None) -> Tensor:
        """The KL [m, B] of a group, or ln p(z)/q(z|x) [m, B, L], as its models raise it. What all of them have as it is
        stays as it is; a weight of 1 among others moves no bit."""
        if group.free_bits is not None:
            from_q = free_bits_kl(split_posterior(encoded[group.part]).kl_per_dimension(), group.free_bits)
        if group.kl_weight is None:
            return from_q
        weight = group.kl_weight if warmed is None else group.kl_weight * warmed[group.part]
        return from_q * (weight.unsqueeze(-1) if group.bound.weighted else weight)

    def _trained(self, stack: Stack, noise: Tensor | None) -> Callable[[Tensor, Product], Tensor]:
        """A stack as it computes in training, with its part of the noise where it wants any."""
        return functools.partial(stack.train, noise=None if noise is None else self.of_models.of(noise))

    def _of_groups(self, tensor: Tensor) -> Sequence[Tensor]:
        """Each group's part of the models axis."""
        return tensor.split(self._sizes) if len(self.groups) > 1 else [tensor]

    def see(self, name: str, k: Tensor, uniform: Tensor) -> Tensor:
        """Integers k as the view sees them."""
        view = VIEWS[name]
        if self._thresholds(view):
            return threshold(k, self.levels, uniform.dtype)
        return view.see(k, self.levels, uniform)

    def _thresholds(self, view: View) -> bool:
        return view.binary and self.schedule.binarisation == "threshold"

    def _inputs(self, seen: Mapping[str, Tensor]) -> Tensor:
        """What the encoders are given, [M, B, D]: the 0/1 draw in the binary view, else grey values."""
        given = ["binary" if group.view.binary else "grey" for group in self.groups]
        if len(set(given)) == 1:
            return self.of_models.of(seen[given[0]])
        return torch.cat([group.seeds.of(seen[name]) for group, name in zip(self.groups, given, strict=True)])


def staying(part: slice, places: Sequence[int]) -> list[int]:
    """Those of the places that lie in a part of the models axis, counted from where it starts."""
    return [place - part.start for place in places if part.start <= place < part.stop]


@torch.no_grad()
def copy_staying(placed: Sequence[tuple[Tensor, slice]], fewer: Sequence[Tensor], places: Sequence[int]) -> None:
    """Copies the models at these places from tensors, each with its part of the models axis, to those of a smaller
    bundle in the same order, which has none where no model stays."""
    parts = [(tensor, staying(part, places)) for tensor, part in placed]
    for new, (tensor, inside) in zip(fewer, [one for one in parts if one[1]], strict=True):
        first, last = inside[0], inside[-1]
        in_a_row = last - first + 1 == len(inside)  # then no index is copied to the device
        new.copy_(tensor[first : last + 1] if in_a_row else tensor[inside])
