"""Trains a bundle: M models of one shape in one program.

Reads from the top like a method section: what is given, the noise, one step, validation, the loop, what comes out.
Axes: models M, seeds G (models with one seed share all noise), batch B, samples L, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from vae_core.data import Dataset, threshold
from vae_core.data.views import VIEWS, View
from vae_core.likelihoods import Likelihood, stack
from vae_core.networks import Architecture, StackedMLP, create_pair, generator_for
from vae_core.numerics.fused_functions import Sample, WeightedSum
from vae_core.numerics.precision import PRODUCTS, full_float32, require_precision
from vae_core.objectives import OBJECTIVES, Objective, Posterior, split_posterior
from vae_core.training.capture import Replay

T = TypeVar("T")

#: validations in a training run; each keeps the best parameters so far of every model
VALIDATIONS = 25
#: rows of one validation batch
VALIDATION_ROWS = 1000
#: numbers of a training split up to which its views are kept: 16 MB each as floats
KEPT = 1 << 22


def _require_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate must be a finite number > 0, given {rate}")


@dataclass(frozen=True)
class Member:
    """One model of a bundle: its likelihood (single, unstacked), its objective's name, its seed, and its learning rate
    where it is not the schedule's.

    Raises ValueError where the likelihood cannot be trained on that objective, or the learning rate is no number > 0.
    """

    likelihood: Likelihood
    objective: str = "elbo"
    seed: int = 0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            _require_rate(self.learning_rate)
        self.likelihood.require_objective(self.objective)


@dataclass(frozen=True)
class Schedule:
    """How long and how: Adam (Kingma & Ba 2015), one learning rate, batches of `batch_size` images, L = train_samples.

    An epoch is ⌊N / batch_size⌋ steps over a fresh permutation; the remainder of each permutation is left out.
    `precision` is that of the networks' products in training (vae_core.numerics.precision).
    Raises ValueError for values out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    train_samples: int = 1
    binarisation: str = "stochastic"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, given {getattr(self, name)}")
        _require_rate(self.learning_rate)
        if self.precision not in PRODUCTS:
            raise ValueError(f"unknown precision {self.precision!r} (allowed: {', '.join(PRODUCTS)})")


@dataclass
class TrainedModel:
    """One trained VAE: what evaluation and a report need of it. Its likelihood is single and frozen."""

    encoder: StackedMLP
    decoder: StackedMLP
    likelihood: Likelihood
    view: View
    levels: int

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Integers k [N, D] (0/1 in the binary view) -> mean and ln variance of q(z|x), each [N, Z]."""
        posterior = split_posterior(self.encoder(self._see(k).unsqueeze(0))[0])
        return posterior.mean, posterior.log_variance

    def decode(self, z: Tensor) -> Tensor:
        """z [..., Z] -> raw [..., R]."""
        return self.decoder(z.reshape(1, -1, z.shape[-1])).reshape(*z.shape[:-1], -1)

    def _see(self, k: Tensor) -> Tensor:
        return k.float() if self.view.binary else k.float() / (self.levels - 1)


@dataclass
class TrainedBundle:
    """What `train` returns: the models in the order of the members given, and why one failed."""

    models: list[TrainedModel]
    failures: list[str | None]
    best_epoch: list[int]
    validation: list[float]  #: the best validation objective, nats
    seconds: float
    images_per_second: float  #: M × images / seconds of the whole bundle, validation included
    history: list[tuple[int, list[float]]] = field(default_factory=list)  #: (epoch, validation objective per model)


class _Seeds:
    """Which of the G seeds each of some models has: takes what there is once a seed to the models."""

    def __init__(self, places: Sequence[int], count: int, device: torch.device) -> None:
        self.models = len(places)
        self.shared = len(set(places)) == 1
        self.each_its_own = list(places) == list(range(count))
        self.first = places[0]
        self.index = torch.tensor(places, device=device)

    def of(self, once: Tensor) -> Tensor:
        """[G, ...] -> [m, ...]; no copy where all models have one seed, or each the next."""
        if self.shared:
            return once[self.first : self.first + 1].expand(self.models, *once.shape[1:])
        return once if self.each_its_own else once.index_select(0, self.index)


@dataclass(frozen=True)
class _Group:
    """Neighbouring models of one kind: one stacked likelihood and one objective act on a slice of the models axis."""

    part: slice
    likelihood: Likelihood
    view: View
    objective: Objective
    seeds: _Seeds


@dataclass(frozen=True)
class Noise:
    """Everything random of one batch, per seed: uniforms [G, B, D], or [1, 1, 1] where no view looks at them, and
    standard normals [G, B, L, Z]."""

    uniform: Tensor
    eps: Tensor
    needs_uniform: bool = True


class _Streams:
    """One generator a seed and purpose, so that no stream depends on what else is drawn."""

    def __init__(self, purpose: str, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self.order = [generator_for(device, purpose, "order", seed) for seed in seeds]
        self.uniform = [generator_for(device, purpose, "uniform", seed) for seed in seeds]
        self.eps = [generator_for(device, purpose, "eps", seed) for seed in seeds]

    def permutations(self, count: int) -> Tensor:
        return torch.stack([torch.randperm(count, generator=g, device=self.device) for g in self.order])

    def room(self, batch: int, dims: int, samples: int, latent: int, *, uniform: bool = True) -> Noise:
        """For the noise of one batch; without uniforms where they are not looked at."""
        shape = (len(self.uniform), batch, dims) if uniform else (1, 1, 1)
        eps = (len(self.eps), batch, samples, latent)
        return Noise(torch.zeros(shape, device=self.device), torch.zeros(eps, device=self.device), uniform)

    def noise(self, batch: int, dims: int, samples: int, latent: int) -> Noise:
        """Of one batch."""
        drawn = self.room(batch, dims, samples, latent)
        self.fill(drawn)
        return drawn

    def fill(self, noise: Noise) -> None:
        """The next noise in place of the last."""
        if noise.needs_uniform:
            for own, generator in zip(noise.uniform, self.uniform, strict=True):
                own.uniform_(generator=generator)
        for own, generator in zip(noise.eps, self.eps, strict=True):
            own.normal_(generator=generator)


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
        self.seeds = sorted({member.seed for member in members})
        keys = [(m.likelihood.view, m.objective, repr(m.likelihood.stack_key())) for m in members]
        #: place on the models axis -> index into members: models of one kind side by side
        self.order = sorted(range(len(members)), key=lambda i: (keys[i], members[i].learning_rate or 0.0, i))
        ordered = [members[i] for i in self.order]
        ordered_keys = [keys[i] for i in self.order]

        self.outputs = widths.pop()  #: R
        encoder, decoder = create_pair(architecture, data.dims, self.outputs, [m.seed for m in ordered])
        self.encoder, self.decoder = encoder.to(self.device), decoder.to(self.device)
        self.groups: list[_Group] = []
        start = 0
        while start < len(ordered):
            stop = start
            while stop < len(ordered) and ordered_keys[stop] == ordered_keys[start]:
                stop += 1
            kind = ordered[start:stop]
            self.groups.append(
                _Group(
                    part=slice(start, stop),
                    likelihood=stack([member.likelihood for member in kind]).to(self.device),
                    view=VIEWS[kind[0].likelihood.view],
                    objective=OBJECTIVES[kind[0].objective],
                    seeds=self._seeds_of(kind),
                )
            )
            start = stop
        self.of_models = self._seeds_of(ordered)
        self._sizes = [group.part.stop - group.part.start for group in self.groups]
        #: names of the views that are looked at: by likelihoods, and by encoders
        self.views = list(dict.fromkeys(group.view.name for group in self.groups))
        if "grey" not in self.views and not all(group.view.binary for group in self.groups):
            self.views.append("grey")
        #: those of them that draw from the uniforms
        self.random_views = [name for name in self.views if VIEWS[name].random and not self._thresholds(VIEWS[name])]

    def _seeds_of(self, members: Sequence[Member]) -> _Seeds:
        return _Seeds([self.seeds.index(member.seed) for member in members], len(self.seeds), self.device)

    @property
    def models(self) -> int:
        return len(self.order)

    def placed_parameters(self) -> list[tuple[Tensor, int]]:
        """Everything learned, each tensor with the models axis first, and the place of its first model on it."""
        placed = [(tensor, 0) for tensor in (*self.encoder.parameters(), *self.decoder.parameters())]
        for group in self.groups:
            placed += [(tensor, group.part.start) for tensor in group.likelihood.parameters()]
        return [(tensor.requires_grad_(), first) for tensor, first in placed]

    def parameters(self) -> list[Tensor]:
        """Everything learned, each with the models axis first."""
        return [tensor for tensor, _ in self.placed_parameters()]

    def objectives(
        self, k: Tensor, noise: Noise, *, training: bool, known: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """The bound of each model on each image: integers k [G, B, D] -> [M, B], nats. `known`: what is known already
        of k as views see it."""
        known = known or {}
        seen = {name: known[name] if name in known else self.see(name, k, noise.uniform) for name in self.views}
        product = PRODUCTS[self.schedule.precision if training else "float32"]
        encoded = self.encoder(self._inputs(seen), product)
        eps = self.of_models.of(noise.eps)
        z, kl = Sample.apply(encoded, eps)
        models, batch, samples, latent = z.shape
        raw = self.decoder(z.reshape(models, batch * samples, latent), product).reshape(models, batch, samples, -1)

        values = []
        for group, own_raw, own_kl in zip(self.groups, self._of_groups(raw), self._of_groups(kl), strict=True):
            likelihood = group.likelihood
            if group.objective.binned:
                log_likelihood = likelihood.log_mass(group.seeds.of(k).unsqueeze(2), own_raw, self.levels)
            else:
                score = likelihood.train_log_prob if training else likelihood.log_prob
                log_likelihood = score(group.seeds.of(seen[group.view.name]).unsqueeze(2), own_raw)
            from_q = own_kl
            if group.objective.weighted:
                from_q = split_posterior(encoded[group.part]).log_ratio(z[group.part], eps[group.part])
            values.append(group.objective.bound(log_likelihood, from_q))
        return torch.cat(values) if len(values) > 1 else values[0]

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


def _spread(data: Dataset) -> float:
    """Standard deviation of the training data about its per-dimension mean, in units of the unit view."""
    train = data.train.float() / data.levels
    return float((train - train.mean(0)).square().mean().sqrt())


class _Adam:
    """Adam over stacked tensors (Kingma & Ba 2015, algorithm 1; β₁ = 0.9, β₂ = 0.999, ε = 1e-8), each model with its
    own learning rate: torch's fused update, once for each run of neighbouring models with one rate, on views of the
    stacks. The kernel is called directly: for a small bundle torch.optim.Adam takes several times as long around it.
    """

    def __init__(self, placed: Sequence[tuple[Tensor, int]], rates: Sequence[float], device: torch.device) -> None:
        """placed: each tensor, its models axis first, with the place of its first model; rates: of all M models."""
        self._tensors = [tensor for tensor, _ in placed]
        self._steps = torch.zeros((), dtype=torch.float32, device=device)
        self._runs: list[_Run] = []
        edges = [m for m in range(len(rates) + 1) if m in (0, len(rates)) or rates[m] != rates[m - 1]]
        for low, high in itertools.pairwise(edges):
            parts = [slice(max(low - first, 0), min(high - first, len(tensor))) for tensor, first in placed]
            views = [(tensor, part) for (tensor, _), part in zip(placed, parts, strict=True) if part.start < part.stop]
            self._runs.append(_Run(rates[low], views))

    def state(self) -> list[Tensor]:
        """All that it keeps from step to step."""
        return [self._steps, *(t for run in self._runs for t in (*run.first_moments, *run.second_moments))]

    def step(self, value: Tensor, weight: Tensor) -> None:
        """One update that lowers the sum of weight · value, two tensors of one shape."""
        for tensor in self._tensors:
            tensor.grad = None
        WeightedSum.apply(value, weight.to(value.dtype)).backward()  # a plug-in may score in float64
        self._steps += 1
        for run in self._runs:
            run.update(self._steps)


class _Run:
    """Neighbouring models with one learning rate: their parts of the stacks, and the moments of their gradients."""

    def __init__(self, rate: float, views: Sequence[tuple[Tensor, slice]]) -> None:
        self.rate, self.views = rate, views
        self.whole = all(part == slice(0, len(tensor)) for tensor, part in views)
        self.parameters = [tensor.detach()[part] for tensor, part in views]
        self.first_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second_moments = [torch.zeros_like(parameter) for parameter in self.parameters]

    def update(self, steps: Tensor) -> None:
        gradients = [tensor.grad for tensor, _ in self.views]
        moved = [place for place, gradient in enumerate(gradients) if gradient is not None]
        torch._fused_adam_(
            [self.parameters[place] for place in moved],
            [
                gradient if self.whole else gradient[part]
                for gradient, (_, part) in zip(gradients, self.views, strict=True)
                if gradient is not None
            ],
            [self.first_moments[place] for place in moved],
            [self.second_moments[place] for place in moved],
            [],
            [steps] * len(moved),
            lr=self.rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class Trainer:
    """A bundle in training: data on the device, program, optimiser, noise; one `step` at a time.

    On CUDA a step is one captured graph, after a few ordinary ones; the noise of each batch is drawn before it, from
    the same generators as anywhere else.
    """

    def __init__(
        self, data: Dataset, members: Sequence[Member], architecture: Architecture, schedule: Schedule, device: str
    ) -> None:
        self.data = data.to(device)
        self.schedule, self.latent = schedule, architecture.latent
        self.program = BundleProgram(members, architecture, schedule, data, device)
        spread = _spread(self.data)
        for group in self.program.groups:
            group.likelihood.initialise(spread)
        placed = self.program.placed_parameters()
        self._parameters = [tensor for tensor, _ in placed]
        own = [members[index].learning_rate for index in self.program.order]
        rates = [schedule.learning_rate if rate is None else rate for rate in own]
        self._optimiser = _Adam(placed, rates, self.program.device)
        self._streams = _Streams("training", self.program.seeds, self.program.device)
        self.batch = min(schedule.batch_size, len(self.data.train))
        self.steps = len(self.data.train) // self.batch
        #: the step, counted from 0, at which each model's objective was no longer finite, or −1, [M]
        self.failed_at = torch.full((self.program.models,), -1, dtype=torch.long, device=self.program.device)
        self._taken = torch.zeros((), dtype=torch.long, device=self.program.device)
        # all that a step is given: which images, and the noise
        self._index = torch.zeros(len(self.program.seeds), self.batch, dtype=torch.long, device=self.program.device)
        self._noise = self._streams.room(
            self.batch,
            self.data.dims,
            schedule.train_samples,
            self.latent,
            uniform=bool(self.program.random_views),
        )
        #: the training images as views without noise see them, where that is small enough to be kept
        self._known: dict[str, Tensor] = {}
        if self.data.train.numel() <= KEPT:
            fixed = [name for name in self.program.views if name not in self.program.random_views]
            none = torch.zeros((), device=self.program.device)
            self._known = {name: self.program.see(name, self.data.train, none) for name in fixed}
        #: of an image's objective in the sum that a step lowers
        self._weight = torch.full((self.program.models, self.batch), -1 / self.batch, device=self.program.device)
        self._replay = Replay(self.program.device) if self.program.device.type == "cuda" else None

    def state(self) -> list[Tensor]:
        """All tensors that training changes: parameters, then what likelihoods keep besides."""
        state = list(self._parameters)
        for group in self.program.groups:
            state += [t for t in group.likelihood.state() if all(t is not known for known in state)]
        return state

    def epoch(self) -> Iterator[Tensor]:
        """Indices [G, B] of the images of each step of one epoch."""
        order = self._streams.permutations(len(self.data.train))
        for step in range(self.steps):
            yield order[:, step * self.batch : (step + 1) * self.batch]

    def step(self, index: Tensor) -> Tensor:
        """One update on images index [G, B]; returns each model's mean objective before it, [M], nats, which the next
        step may overwrite."""
        self._index.copy_(index)
        self._streams.fill(self._noise)
        return self._work() if self._replay is None else self._replay(self._work)

    def _gathered(self, images: Tensor) -> Tensor:
        """[N, D] -> [G, B, D], those of this step."""
        return images.index_select(0, self._index.view(-1)).view(*self._index.shape, -1)

    def _work(self) -> Tensor:
        """The update for what lies in `_index` and `_noise`. Waits for nothing, so that a GPU can capture it."""
        known = {name: self._gathered(images) for name, images in self._known.items()}
        each = self.program.objectives(self._gathered(self.data.train), self._noise, training=True, known=known)
        self._optimiser.step(each, self._weight)
        with torch.no_grad():
            value = each.mean(1)
            if value.device.type != "cpu" or not math.isfinite(float(value.sum())):  # a look is free on a CPU alone
                gone = ~torch.isfinite(value) & (self.failed_at < 0)
                self.failed_at.copy_(torch.where(gone, self._taken, self.failed_at))
            self._taken += 1
        return value


def validate(program: BundleProgram, valid: Tensor) -> Tensor:
    """Each model's mean objective on the validation split with noise that is the same at every call: [M], nats."""
    streams = _Streams("validation", program.seeds, program.device)
    total = torch.zeros(program.models, device=program.device)
    with torch.no_grad():
        for start in range(0, len(valid), VALIDATION_ROWS):
            k = valid[start : start + VALIDATION_ROWS].expand(len(program.seeds), -1, -1)
            noise = streams.noise(k.shape[1], k.shape[2], program.schedule.train_samples, program.architecture.latent)
            total += program.objectives(k, noise, training=False).sum(1)
    return total / len(valid)


@full_float32()  # but for what the schedule's precision abridges
def train(
    data: Dataset,
    members: Sequence[Member],
    architecture: Architecture,
    schedule: Schedule,
    device: str = "cpu",
) -> TrainedBundle:
    """Trains the members together; each one's result is, to rounding, what it would be alone (DESIGN.md §2.7).

    Model choice: the parameters of the best validation objective, looked at `VALIDATIONS` times. A model whose
    objective is no longer finite is reported as failed; its neighbours are not touched, since nothing but the models
    axis is shared.

    Args:
        data: integer images; moved to `device` as they are.
        members: likelihoods, objectives and seeds; all of one raw output width, else ValueError.
        architecture: widths, activation, latent size.
        schedule: epochs, batch size, learning rate, samples L in training.
        device: where to train.
    """
    trainer = Trainer(data, members, architecture, schedule, device)
    program = trainer.program
    state = trainer.state()
    best_state = [tensor.detach().clone() for tensor in state]
    best = torch.full((program.models,), -math.inf, device=program.device)
    best_epoch = torch.zeros(program.models, dtype=torch.long, device=program.device)
    history: list[tuple[int, list[float]]] = []

    every = max(1, schedule.epochs // VALIDATIONS)
    started = time.perf_counter()
    for epoch in range(1, schedule.epochs + 1):
        for index in trainer.epoch():
            trainer.step(index)
        if epoch % every == 0 or epoch == schedule.epochs:
            value = validate(program, trainer.data.valid)
            better = value > best
            best = torch.where(better, value, best)
            best_epoch = torch.where(better, epoch, best_epoch)
            with torch.no_grad():
                for kept, tensor in zip(best_state, state, strict=True):
                    _keep(kept, tensor, better, program)
            history.append((epoch, _in_member_order(value.tolist(), program.order)))
    if program.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started

    with torch.no_grad():
        for tensor, kept in zip(state, best_state, strict=True):
            tensor.copy_(kept)
    return TrainedBundle(
        models=_in_member_order(trained_models(program, data.levels), program.order),
        failures=_in_member_order(_failures(trainer.failed_at.tolist(), best.tolist(), trainer.steps), program.order),
        best_epoch=_in_member_order(best_epoch.tolist(), program.order),
        validation=_in_member_order(best.tolist(), program.order),
        seconds=seconds,
        images_per_second=program.models * schedule.epochs * trainer.steps * trainer.batch / seconds,
        history=history,
    )


def _keep(kept: Tensor, tensor: Tensor, better: Tensor, program: BundleProgram) -> None:
    """Copies the improved models' slices. A likelihood's own state spans its group only: find it by its length."""
    mask = better
    if tensor.shape[0] != program.models:
        mask = next(
            better[group.part] for group in program.groups if any(tensor is s for s in group.likelihood.state())
        )
    kept.copy_(torch.where(mask.reshape(-1, *[1] * (tensor.ndim - 1)), tensor, kept))


def _in_member_order(values: list[T], order: list[int]) -> list[T]:
    """From places on the models axis back to the order of the members."""
    placed = dict(zip(order, values, strict=True))
    return [placed[index] for index in range(len(order))]


def _failures(failed_at: list[int], best: list[float], steps: int) -> list[str | None]:
    reasons: list[str | None] = []
    for step, value in zip(failed_at, best, strict=True):
        if step >= 0:
            reasons.append(
                f"the training objective was no longer finite at step {step + 1} (epoch {step // steps + 1})"
            )
        elif not math.isfinite(value):
            reasons.append("the validation objective was never finite")
        else:
            reasons.append(None)
    return reasons


def trained_models(program: BundleProgram, levels: int) -> list[TrainedModel]:
    """Every model as it stands, in the order of the models axis."""
    return [
        TrainedModel(
            encoder=program.encoder.select(place),
            decoder=program.decoder.select(place),
            likelihood=group.likelihood.select(place - group.part.start),
            view=group.view,
            levels=levels,
        )
        for group in program.groups
        for place in range(group.part.start, group.part.stop)
    ]


def fit_to_residuals(model: TrainedModel, likelihood: Likelihood, data: Dataset, seed: int) -> None:
    """Gives a likelihood that `needs_fit` its scale: the residual statistic averaged over the training split, one
    z ~ q(z|x) an image. In place; test data is not touched."""
    device = data.train.device
    streams = _Streams("residuals", [seed], device)
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0
    with torch.no_grad():
        for start in range(0, len(data.train), VALIDATION_ROWS):
            k = data.train[start : start + VALIDATION_ROWS]
            posterior = Posterior(*model.encode(k))
            noise = streams.noise(len(k), k.shape[1], 1, posterior.mean.shape[-1])
            raw = model.decode(posterior.sample(noise.eps[0])[:, 0])
            x = model.view.see(k, data.levels, noise.uniform[0])
            total += likelihood.residual_statistic(x, raw).double() * len(k)
            count += len(k)
    likelihood.set_residual_statistic((total / count).float())
