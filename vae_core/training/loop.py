"""The loop of training: epochs of steps, validation, the best parameters of each model, and who has come to an end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.numerics import progress
from vae_core.numerics.accelerators import at_hand, synchronise
from vae_core.numerics.precision import full_float32
from vae_core.training.course import Course
from vae_core.training.model import TrainedBundle, TrainedModel, trained_model
from vae_core.training.noise import Streams
from vae_core.training.program import BundleProgram, Compiled
from vae_core.training.recipe import Member, Schedule
from vae_core.training.trainer import Trainer

#: rows of one validation batch
VALIDATION_ROWS = 1000
#: on CUDA, the share of the stack that has ended when those who go on get a stack, and a captured graph, of their own
LEAVING_SHARE = 0.25


@full_float32()  # but for what the schedule's precision abridges
def train(
    data: Dataset,
    members: Sequence[Member],
    architecture: Architecture,
    schedule: Schedule,
    device: str = "cpu",
    *,
    rivals: Sequence[Sequence[int]] = (),
    compiled: Compiled | None = None,
) -> TrainedBundle:
    """Trains the members together; each one's result is, to rounding, what it would be alone (docs/RULES.md, rule 7).

    Model choice: the parameters of the best validation objective, looked at every `schedule.validated_every` epochs
    and at the last one. It is what the member raises, with its weight of the KL, and its free bits; no epoch of a
    warm-up is chosen. A model whose objective is no longer finite is reported as failed; its neighbours are not
    touched, since nothing but the models axis is shared.

    With `schedule.patience` a model ends when nothing more comes (`Course`) or when it diverged, and leaves the stack:
    at once on a CPU; on CUDA, where another stack is another graph to capture, when LEAVING_SHARE of the stack has
    ended, and until then it is computed and ignored. How far its neighbours' numbers stay what they were is said at
    `Trainer`. Of rivals only the best one is wanted: who is beyond noise behind one that has ended, with what it may
    gain yet, ends and leaves too (`Course.is_beyond_reach_of`). Without patience and rivals nobody leaves.

    Args:
        data: integer images; moved to `device` as they are.
        members: likelihoods, objectives and seeds; all of one raw output width, else ValueError.
        architecture: widths, activation, latent size.
        schedule: epochs, batch size, learning rate, samples L in training, when a model ends.
        device: where to train.
        rivals: members of which only the best is wanted, by their places in `members`, one list for each choice; they
            are compared by their bounds on the validation split, of exact masses where there are such, the KL as it is.
        compiled: of what the steps take compiled scores, where there are any.
    """
    trainer = Trainer(data, members, architecture, schedule, device, compiled)
    looks_are_free = at_hand(trainer.program.device)
    best = trainer.shown.of(range(trainer.program.models), data)
    courses = [Course(schedule, data.dims, member.warmup_epochs(schedule)) for member in members]
    stack = list(trainer.program.order)  # the member at each place of the stack
    models: dict[int, TrainedModel] = {}
    images = 0

    every = schedule.validated_every
    started = time.perf_counter()
    progress.made(0, schedule.epochs)
    for epoch in range(1, schedule.epochs + 1):
        for index in trainer.epoch():
            trainer.step(index)
            progress.made()
        progress.made(epoch, schedule.epochs)
        images += trainer.steps * trainer.batch * sum(courses[member].ended_by is None for member in stack)
        due = epoch % every == 0 or epoch == schedule.epochs
        if (schedule.patience or rivals) and (due or looks_are_free):  # elsewhere a look at the device costs a wait
            _note_divergence(trainer, [courses[member] for member in stack])
        if due:
            judged = [members[member] for member in stack if any(member in among for among in rivals)]
            masses = any(one.objective == "dequantised" or not one.raises_bound for one in judged)
            _validate_all(trainer, best, [courses[member] for member in stack], epoch, masses=masses)
        if schedule.patience and epoch % every == 0:  # the limit's own look ends nobody: it would depend on the limit
            for course in (courses[member] for member in stack if courses[member].ended_by is None):
                if course.has_ended(epoch):
                    course.end("patience", epoch)
        if epoch % every == 0:
            for among in rivals:
                _end_beyond_reach([courses[member] for member in among], epoch)
        ended = [place for place, member in enumerate(stack) if courses[member].ended_by]
        if ended and _leave_now(len(ended), len(stack), trainer.program.device):
            models |= {stack[place]: trained_model(best, place, data.levels) for place in ended}
            staying = [place for place in range(len(stack)) if place not in ended]
            stack = [stack[place] for place in staying]
            if not stack:
                break
            trainer.keep(staying)
            best = best.of(staying, data)
    synchronise(trainer.program.device)
    seconds = time.perf_counter() - started
    progress.made(schedule.epochs, schedule.epochs)  # however many it took

    if not schedule.patience:
        _note_divergence(trainer, [courses[member] for member in stack])
    models |= {member: trained_model(best, place, data.levels) for place, member in enumerate(stack)}
    for course in courses:
        if course.ended_by is None:
            course.end("limit", schedule.epochs)
    trained = [models[member] for member in range(len(members))]
    return TrainedBundle(
        models=trained,
        failures=[course.failure(trainer.steps) for course in courses],
        best_epoch=[course.best_epoch for course in courses],
        validation=[course.validation for course in courses],
        seconds=seconds,
        images_per_second=images / seconds,
        history=[course.history for course in courses],
        epochs_run=[course.epochs_run for course in courses],
        ended_by=[str(course.ended_by) for course in courses],
        last_gain=[course.last_gain() for course in courses],
        parameters=[model.parameters for model in trained],
    )


def validate(program: BundleProgram, valid: Tensor) -> Tensor:
    """Each model's mean objective on the validation split with noise that is the same at every call: [M], nats."""
    return _mean(list(_validated(program, valid)))


def _validated(program: BundleProgram, valid: Tensor, *, masses: bool = False) -> Iterator[Tensor]:
    """Each model's objective, or if asked for its bound of exact masses, on each image of one validation batch after
    the other, [M, rows], nats."""
    streams = Streams("validation", program.seeds, program.device)
    for start in range(0, len(valid), VALIDATION_ROWS):
        k = valid[start : start + VALIDATION_ROWS].expand(len(program.seeds), -1, -1)
        noise = streams.noise(k.shape[1], k.shape[2], program.schedule.train_samples, program.architecture.latent)
        with torch.no_grad():
            each = program.objectives(k, noise, training=False, masses=masses)
        progress.made()
        yield each


def _mean(batches: Sequence[Tensor]) -> Tensor:
    """Over all images: [M, rows] each -> [M]."""
    total = torch.zeros(len(batches[0]), device=batches[0].device)
    for each in batches:
        total += each.sum(1)
    return total / sum(each.shape[1] for each in batches)


def _validate_all(
    trainer: Trainer, best: BundleProgram, courses: Sequence[Course], epoch: int, *, masses: bool
) -> None:
    """Shows an epoch to the courses of the stack's models that go on, with the bounds of exact masses if asked for, and
    keeps the parameters of those that it is the best of."""
    batches = list(_validated(trainer.shown, trainer.data.valid))
    means, each = _mean(batches).tolist(), torch.cat(batches, 1).cpu()
    judged: Sequence[Tensor | None] = [None] * len(courses)
    if masses:
        judged = list(torch.cat(list(_validated(trainer.shown, trainer.data.valid, masses=True)), 1).cpu())
    training = trainer.mean_objective()
    better = [
        course.ended_by is None and course.look(epoch, training[place], means[place], each[place], judged[place])
        for place, course in enumerate(courses)
    ]
    best.take(trainer.shown, better)


def _end_beyond_reach(rivals: Sequence[Course], epoch: int) -> None:
    """Ends the courses of those rivals that will not reach the one that leads, of those that may be chosen, once that
    one has come to its own end. Before, none: of densities whose bound rises in steps the best rate was far behind at a
    tenth of its epochs (digits, Gaussian with σ of each pixel: by 0.08 bits/dim better in the end)."""
    sound = [course for course in rivals if course.ended_by in (None, "patience")]
    if not sound:
        return
    leader = sound[0]
    for course in sound[1:]:
        if course.beats(leader):
            leader = course
    if leader.ended_by is None:
        return
    for course in rivals:
        if course is not leader and course.ended_by is None and leader.is_beyond_reach_of(course, epoch):
            course.end("behind", epoch)


def _leave_now(ended: int, stack: int, device: torch.device) -> bool:
    """Whether those of the stack who have ended are worth a stack of their own for the others."""
    return at_hand(device) or ended >= LEAVING_SHARE * stack


def _note_divergence(trainer: Trainer, courses: Sequence[Course]) -> None:
    """Ends the courses of the stack's models whose training objective is no longer finite."""
    for course, step in zip(courses, trainer.failed_at.tolist(), strict=True):
        if step >= 0 and course.ended_by is None:
            course.diverge(step, trainer.steps)
