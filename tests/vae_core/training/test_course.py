"""When a model's training has come to its end, on planted bounds of its validation images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vae_core.training import Schedule
from vae_core.training.course import Course, trimmed_error, trimmed_mean

DIMS = 8
BITS = DIMS * math.log(2)  # nats of one bit/dim
IMAGES = 40


def schedule(patience: int = 10, tolerance: float = 0.001) -> Schedule:
    return Schedule(1000, 1, 1e-3, patience=patience, tolerance=tolerance)


def followed(bounds: Callable[[int], Tensor], epochs: int, how: Schedule) -> Course:
    """The course of a model whose images have those bounds [N] at an epoch, up to its end or for so many epochs."""
    course = Course(how, DIMS)
    for epoch in range(1, epochs + 1):
        each = bounds(epoch)
        course.look(epoch, 0.0, float(each.mean()), each)
        if how.patience and course.has_ended(epoch):
            course.end("patience", epoch)
            return course
    course.end("limit", epochs)
    return course


def test_a_trimmed_mean_leaves_out_the_ends() -> None:
    values = torch.arange(40.0)
    values[7], values[20] = 1e6, -1e6  # the third from either end is the first that counts
    kept = sorted(values.tolist())[2:-2]
    assert trimmed_mean(values) == pytest.approx(sum(kept) / 36)
    assert trimmed_mean(torch.tensor([1.0, 5.0, 900.0])) == 5.0  # one image at least
    assert trimmed_mean(torch.tensor([1.0, 5.0])) == 3.0
    assert trimmed_mean(torch.tensor([2.0])) == 2.0


@pytest.mark.parametrize(("gain", "ends"), [(0.9, True), (1.1, False)])
def test_it_ends_where_a_stretch_gains_no_more_than_the_tolerance(gain: float, ends: bool) -> None:
    """A bound that rises by a constant, ten epochs of which are 0.9 or 1.1 times the tolerance."""
    course = followed(lambda epoch: torch.full((IMAGES,), epoch * gain * 0.01 * BITS / 10), 60, schedule(10, 0.01))
    assert course.ended_by == ("patience" if ends else "limit")
    assert course.epochs_run == (11 if ends else 60)  # from the first look ten epochs on, that at epoch 1


def test_it_ends_a_stretch_after_the_last_rise() -> None:
    course = followed(lambda epoch: torch.full((IMAGES,), float(min(epoch, 23))), 100, schedule(10))
    assert (course.epochs_run, course.best_epoch, course.validation) == (33, 23, 23.0)


def test_no_rise_at_all_is_asked_for_with_tolerance_0() -> None:
    course = followed(lambda epoch: torch.full((IMAGES,), float(-(2.0 ** -min(epoch, 12)))), 100, schedule(5, 0.0))
    assert course.epochs_run == 17


def test_one_image_keeps_no_model_alive() -> None:
    """All stand still but one, which gains 300 nats a look: a plain mean rises by 1.3 bits/dim a look."""
    rising = torch.zeros(IMAGES)
    rising[3] = 1.0
    course = followed(lambda epoch: 300 * epoch * rising, 60, schedule(10))
    assert (course.ended_by, course.epochs_run) == ("patience", 11)
    plain = course.history[-1][2] - course.history[0][2]
    assert plain > 10 * BITS


def test_one_image_ends_no_model_and_hides_no_best_epoch() -> None:
    """All gain a nat a look but one, which loses a thousand: a plain mean falls."""
    slope = torch.ones(IMAGES)
    slope[3] = -1000.0
    course = followed(lambda epoch: epoch * slope, 60, schedule(10))
    assert (course.ended_by, course.best_epoch) == ("limit", 60)
    assert course.history[-1][2] < course.history[0][2]


def wandering(seed: int) -> list[Tensor]:
    """Bounds that rise ever more slowly, with noise of each image."""
    generator = torch.Generator().manual_seed(seed)
    return [5 * math.log(epoch + 1) + torch.randn(IMAGES, generator=generator) for epoch in range(60)]


def by_hand(bounds: list[Tensor], until: int, patience: int) -> tuple[int, Tensor]:
    """The best epoch up to one, with everything remembered."""
    best, each = 1, bounds[0]
    for epoch in range(2, until + 1):
        new = bounds[epoch - 1]
        if (trimmed_mean(new - each) > 0) if patience else (float(new.mean()) > float(each.mean())):
            best, each = epoch, new
    return best, each


@pytest.mark.parametrize(("patience", "tolerance"), [(0, 0.05), (4, 0.05), (25, 0.6)])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_forgotten_is_not_needed(patience: int, tolerance: float, seed: int) -> None:
    """End, best epoch and last gain are those of one who remembers every image at every epoch."""
    bounds, how = wandering(seed), schedule(patience, tolerance)
    course = followed(lambda epoch: bounds[epoch - 1], 60, how)
    end = 60
    for epoch in range(patience + 1, 61) if patience else ():
        now, before = (by_hand(bounds, until, patience)[1] for until in (epoch, epoch - patience))
        if trimmed_mean(now - before) <= tolerance * BITS:
            end = epoch
            break
    assert course.epochs_run == end
    assert (end < 60) == (patience > 0)
    best, now = by_hand(bounds, end, patience)
    gains = (now - by_hand(bounds, end // 2, patience)[1]).double() / BITS
    assert course.best_epoch == best
    assert course.last_gain() == pytest.approx((float(gains.mean()), float(gains.std()) / math.sqrt(IMAGES)), rel=1e-6)


@pytest.mark.parametrize("patience", [0, 4, 25])
def test_no_more_is_remembered_than_the_second_half(patience: int) -> None:
    course = Course(schedule(patience), DIMS)
    for epoch in range(1, 201):
        course.look(epoch, 0.0, float(epoch), torch.full((IMAGES,), float(epoch)))
        assert len(course._bests) <= max(epoch - epoch // 2, patience) + 1


def test_a_copy_of_an_image_s_bounds_is_remembered_not_everybody_s() -> None:
    course, everybody = Course(schedule(), DIMS), torch.zeros(50, IMAGES)
    course.look(1, 0.0, 0.0, everybody[7])
    assert course._bests[0][1].untyped_storage().nbytes() == 4 * IMAGES


def test_last_gain_in_numbers() -> None:
    """Two images, D = 8: at epochs 2 and 4 their bounds are (0, 0) and (8 ln 2, 24 ln 2): 1 and 3 bits/dim."""
    course = Course(schedule(0), DIMS)
    course.look(2, 0.0, 0.0, torch.zeros(2))
    course.look(4, 0.0, 16 * math.log(2), torch.tensor([8.0, 24.0]) * math.log(2))
    course.end("limit", 4)
    assert course.last_gain() == pytest.approx((2.0, 1.0), rel=1e-6)


def test_last_gain_is_nothing_where_the_best_came_early() -> None:
    course = followed(lambda epoch: torch.full((IMAGES,), float(-epoch)), 8, schedule(0))
    assert course.last_gain() == (0.0, 0.0)


def test_last_gain_is_unknown_without_a_look_in_the_first_half_and_after_divergence() -> None:
    early, gone = Course(schedule(0), DIMS), Course(schedule(0), DIMS)
    early.look(4, 0.0, 1.0, torch.ones(IMAGES))
    early.end("limit", 4)
    for epoch in (1, 2, 3, 4):
        gone.look(epoch, 0.0, float(epoch), torch.full((IMAGES,), float(epoch)))
    gone.diverge(step=37, steps=10)
    assert all(math.isnan(number) for course in (early, gone) for number in course.last_gain())
    assert (gone.ended_by, gone.epochs_run) == ("diverged", 4)
    assert gone.failure(10) == "the training objective was no longer finite at step 38 (epoch 4)"


def test_bounds_that_were_never_finite_end_nobody_and_are_a_failure() -> None:
    course = followed(lambda epoch: torch.full((IMAGES,), math.nan), 30, schedule(5))
    assert (course.ended_by, course.best_epoch) == ("limit", 0)
    assert course.failure(10) == "the validation objective was never finite"
    assert math.isnan(course.last_gain()[0])


# -- rivals ------------------------------------------------------------------------------------------------------------


def rivals(*bounds: Callable[[int], float], epochs: int, noise: float = 0.0) -> tuple[list[Course], Tensor]:
    """Courses of rivals whose mean bounds follow these functions of the epoch, none of them ended."""
    generator = torch.Generator().manual_seed(0)
    spread = noise * torch.randn(len(bounds), IMAGES, generator=generator)
    courses = [Course(schedule(patience=10), DIMS) for _ in bounds]
    for epoch in range(1, epochs + 1):
        for course, bound, of_images in zip(courses, bounds, spread, strict=True):
            each = bound(epoch) + of_images
            course.look(epoch, 0.0, float(each.mean()), each)
    return courses, spread


def _standing(bound: float, epoch: int) -> float:
    return bound


def test_the_error_of_a_trimmed_mean_is_that_of_repeated_samples() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(4000, 200, generator=generator, dtype=torch.float64).sinh()  # heavy tails
    means = torch.tensor([trimmed_mean(row) for row in values])
    errors = torch.tensor([trimmed_error(row) for row in values])
    assert float(errors.mean()) == pytest.approx(float(means.std()), rel=0.05)
    assert math.isnan(trimmed_error(torch.tensor([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_who_rises_to_a_better_end_is_never_beyond_reach(power: float) -> None:
    """The leader rises fast to −1, the other one as t^−power to a better end: it must be let go on at every epoch, at
    which it is behind by up to 30 times the noise."""

    def early(epoch: int) -> float:
        return -1 - 10 * math.exp(-epoch / 4)

    def late(epoch: int) -> float:
        return -0.9 - 40 * epoch**-power

    for epochs in (20, 40, 80, 160, 320):
        (leader, other), _ = rivals(early, late, epochs=epochs, noise=0.1)
        assert not leader.is_beyond_reach_of(other, epochs)


def test_who_stands_still_behind_is_beyond_reach_once_that_is_more_than_noise() -> None:
    (leader, other), spread = rivals(lambda epoch: -1.0, lambda epoch: -1.5, epochs=20, noise=0.1)
    assert leader.beats(other)
    assert not other.beats(leader)
    assert leader.is_beyond_reach_of(other, 20)
    assert not other.is_beyond_reach_of(leader, 20)
    lead, error = trimmed_mean(spread[0] - spread[1]), trimmed_error(spread[0] - spread[1])
    for bound, beyond in ((lead - error, False), (lead - 4 * error, True)):
        (leader, other), _ = rivals(lambda epoch: 0.0, functools.partial(_standing, bound), epochs=20, noise=0.1)
        assert leader.is_beyond_reach_of(other, 20) == beyond


def test_a_few_looks_put_nobody_beyond_reach() -> None:
    for epochs, beyond in ((19, False), (20, True)):
        (leader, other), _ = rivals(lambda epoch: 0.0, lambda epoch: -9.0, epochs=epochs)
        assert leader.is_beyond_reach_of(other, epochs) == beyond


def test_single_images_put_nobody_beyond_reach() -> None:
    """Two images of forty by which the other one is behind by hundreds of bits, all the rest by nothing."""
    (leader, other), _ = rivals(lambda epoch: 0.0, lambda epoch: 0.0, epochs=19, noise=0.1)
    each = other._bests[-1].judged.clone()
    each[:2] -= 1000
    for course, bound in ((leader, leader._bests[-1].judged), (other, each)):
        course.look(20, 0.0, float(bound.mean()), bound)
    assert not leader.is_beyond_reach_of(other, 20)


def test_a_few_images_that_are_far_better_keep_it_going() -> None:
    """By the trimmed mean it is behind by a nat, by the plain one, which chooses, ahead by three."""
    courses = [Course(schedule(), DIMS) for _ in range(2)]
    better = torch.where(torch.arange(100) < 4, 100.0, -1.0)
    for epoch in range(1, 21):
        for course, each in zip(courses, (torch.zeros(100), better), strict=True):
            course.look(epoch, 0.0, float(each.mean()), each + torch.arange(100) / 1000 - (epoch == 1) * 1e-3)
    assert courses[0].beats(courses[1])
    assert not courses[0].is_beyond_reach_of(courses[1], 20)


def test_rivals_are_judged_by_what_they_are_chosen_by() -> None:
    """The one with the better objective may have the worse bound of exact masses."""
    courses = [Course(schedule(), DIMS) for _ in range(2)]
    for epoch in range(1, 21):
        for course, objective, mass in zip(courses, (0.0, -3.0), (-3.0, 0.0), strict=True):
            each = torch.full((IMAGES,), objective) + (epoch == 1) * -1.0
            course.look(epoch, 0.0, float(each.mean()), each, torch.full((IMAGES,), mass) + torch.arange(IMAGES) / 100)
    assert courses[1].beats(courses[0])
    assert courses[1].is_beyond_reach_of(courses[0], 20)
    assert not courses[0].is_beyond_reach_of(courses[1], 20)


def test_one_without_a_look_beats_nobody() -> None:
    (leader,), _ = rivals(lambda epoch: 0.0, epochs=20)
    fresh = Course(schedule(), DIMS)
    assert not fresh.beats(leader)
    assert leader.beats(fresh)
    assert not fresh.is_beyond_reach_of(leader, 20)
    assert not leader.is_beyond_reach_of(fresh, 20)
