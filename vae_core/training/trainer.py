"""A bundle in training, one step at a time: data on the device, program, noise, optimiser, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.numerics.accelerators import accelerated, at_hand
from vae_core.numerics.memory import ran_out
from vae_core.training.adam import Adam
from vae_core.training.capture import Replay
from vae_core.training.noise import Streams
from vae_core.training.program import BundleProgram, Compiled
from vae_core.training.recipe import Member, Schedule

#: numbers of a training split up to which its views are kept: 16 MB each as floats
KEPT = 1 << 22


class Trainer:
    """A bundle in training: data on the device, program, optimiser, noise; one `step` at a time.

    On CUDA a step is one captured graph, after a few ordinary ones; the noise of each batch is drawn before it, from
    the same generators as anywhere else.

    When models leave (`keep`), those that stay go on from the numbers that they have. Whether their further numbers are
    to the bit those of the larger stack depends on how a CPU carries out an operation, not on anything here. Measured
    with torch 2.14 and MKL on AVX-512, stacks of 1 to 8: with one thread a batched product of a model, and its
    gradients, do not depend on the others of the stack. But in an elementwise operation on a whole stack the last
    elements, fewer than a vector register's 8 to 32, are computed by scalar code, which rounds otherwise in σ(x) and in
    Adam's second moment: so whoever comes last moves by 1e-7 of the number. The numbers of the others are bit-equal
    where what each model has in a tensor, B × width of the activations and the count of each parameter, is a multiple
    of 32; where not they agree to that rounding (and what follows from it, step by step). With several threads, which
    divide the work by its size, they agree to rounding, as on CUDA.
    """

    def __init__(
        self,
        data: Dataset,
        members: Sequence[Member],
        architecture: Architecture,
        schedule: Schedule,
        device: str,
        compiled: Compiled | None = None,
    ) -> None:
        self._compiled = compiled
        self.data = data.to(device)
        self.schedule, self.latent = schedule, architecture.latent
        self.program = BundleProgram(members, architecture, schedule, data, device)
        spread = _spread(self.data)
        for group in self.program.groups:
            group.likelihood.initialise(spread)
        asked = [member.learning_rate for member in self.program.members]
        rates = [schedule.learning_rate if rate is None else rate for rate in asked]
        self._optimiser = Adam(self.program.placed_parameters(), rates, self.program.device)
        self._averaged = self.program.of(range(self.program.models), data) if schedule.averaging else None
        self._streams = Streams("training", self.program.seeds, self.program.device)
        self.batch = min(schedule.batch_size, len(self.data.train))
        self.steps = len(self.data.train) // self.batch
        for member in members:
            member.warmup_epochs(schedule)  # raises for one that never ends
        #: the step, counted from 0, at which each model's objective was no longer finite, or −1, [M]
        self.failed_at = torch.full((self.program.models,), -1, dtype=torch.long, device=self.program.device)
        self._taken = torch.zeros((), dtype=torch.long, device=self.program.device)
        #: of each model's objective, over the steps since somebody asked, [M]
        self._sum = torch.zeros(self.program.models, device=self.program.device)
        self._summed = 0
        self._make_room()

    def keep(self, places: Sequence[int]) -> None:
        """Between two epochs: the models at these places of the stack, ascending, go on as they are; the others leave,
        and with them the seeds that nobody else has."""
        seeds = self.program.seeds
        self.program = self.program.of(places, self.data)
        self._optimiser = self._optimiser.of(self.program.placed_parameters(), places)
        if self._averaged is not None:
            self._averaged = self._averaged.of(places, self.data)
        self._streams.keep([seeds.index(seed) for seed in self.program.seeds])
        self.failed_at, self._sum = self.failed_at[list(places)], self._sum[list(places)]
        self._make_room()

    def _make_room(self) -> None:
        """For all that a step of the models in the stack is given, at places that stay."""
        program = self.program
        if self._compiled is not None:
            program.scores = [
                self._compiled(
                    group.likelihood,
                    group.objective,
                    group.seeds.index,
                    self.data.train,
                    self.data.levels,
                    self.batch,
                    self.schedule.train_samples,
                )
                for group in program.groups
            ]
        #: which images, and the noise
        self._index = torch.zeros(len(program.seeds), self.batch, dtype=torch.long, device=program.device)
        self._noise = self._streams.room(
            self.batch,
            self.data.dims,
            self.schedule.train_samples,
            self.latent,
            uniform=bool(program.random_views),
            randomness=program.randomness,
        )
        #: the training images as views without noise see them, where that is small enough to be kept
        self._kept: dict[str, Tensor] = {}
        if self.data.train.numel() <= KEPT:
            fixed = [name for name in program.views if name not in program.random_views]
            none = torch.zeros((), device=program.device)
            self._kept = {name: program.see(name, self.data.train, none) for name in fixed}
        #: of an image's objective in the sum that a step lowers
        self._weight = torch.full((program.models, self.batch), -1 / self.batch, device=program.device)
        #: of each model over how many steps the KL's weight rises, [M, 1], 1 where it does not; and the steps that it
        #: is ahead, 1 there, so that it has its weight from the first on
        self._warmup: tuple[Tensor, Tensor] | None = None
        rise = [member.warmup_epochs(self.schedule) * self.steps for member in program.members]
        if any(rise):
            over = torch.tensor(rise, dtype=torch.float32, device=program.device).unsqueeze(1)
            none = over == 0
            self._warmup = torch.where(none, 1.0, over), none.float()
        self._averages: list[tuple[Tensor, Tensor]] = []
        if self._averaged is not None:
            averaged = [tensor for tensor, _ in self._averaged.placed_state()]
            self._averages = list(zip(averaged, self.state(), strict=True))
        self._replay = Replay(program.device, otherwise=self._uncompiled) if accelerated(program.device) else None

    def _uncompiled(self, error: Exception) -> bool:
        """Whether compiled scores were given up, with which a step could not be captured; not where memory ran out, for
        which they are not to blame."""
        if ran_out(error):
            return False
        compiled = [score for score in self.program.scores if score is not None]
        for score in compiled:
            score.refuse(error)
        self.program.scores = [None] * len(self.program.scores)
        return bool(compiled)

    @property
    def shown(self) -> BundleProgram:
        """What is validated, kept and returned: the averaged weights where there are any, else the trained ones."""
        return self.program if self._averaged is None else self._averaged

    def state(self) -> list[Tensor]:
        """All tensors that training changes: parameters, and what likelihoods keep besides."""
        return [tensor for tensor, _ in self.program.placed_state()]

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
        self._summed += 1
        return self._work() if self._replay is None else self._replay(self._work)

    def mean_objective(self) -> list[float]:
        """Each model's training objective, the mean over the steps since the last call, nats."""
        mean = self._sum / max(self._summed, 1)
        self._sum.zero_()
        self._summed = 0
        return mean.tolist()

    def _gathered(self, images: Tensor) -> Tensor:
        """[N, D] -> [G, B, D], those of this step."""
        return images.index_select(0, self._index.view(-1)).view(*self._index.shape, -1)

    def _work(self) -> Tensor:
        """The update for what lies in `_index` and `_noise`. Waits for nothing, so that a GPU can capture it."""
        kept = {name: self._gathered(images) for name, images in self._kept.items()}
        warmed = None
        if self._warmup is not None:  # computed on the device, so that a captured step goes on rising
            over, ahead = self._warmup
            warmed = torch.clamp((self._taken + ahead) / over, max=1)
        each = self.program.objectives(
            self._gathered(self.data.train), self._noise, training=True, kept=kept, warmed=warmed
        )
        self._optimiser.step(each, self._weight)
        with torch.no_grad():
            value = each.mean(1)
            self._sum += value
            if not at_hand(value.device) or not math.isfinite(float(value.sum())):  # a look is free on a CPU alone
                gone = ~torch.isfinite(value) & (self.failed_at < 0)
                self.failed_at.copy_(torch.where(gone, self._taken, self.failed_at))
            if self._averages:
                past = torch.clamp((1 + self._taken) / (10 + self._taken), max=self.schedule.averaging)
                for average, tensor in self._averages:
                    average.lerp_(tensor, 1 - past)
            self._taken += 1
        return value


def _spread(data: Dataset) -> float:
    """Standard deviation of the training data about its per-dimension mean, in units of the unit view."""
    train = data.train.float() / data.levels
    return float((train - train.mean(0)).square().mean().sqrt())
