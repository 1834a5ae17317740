"""The choice among candidates: on validation images, in exact masses, alike for everybody."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.training.bundles import EVEN, images
from vae_core import likelihoods, tuning
from vae_core.data import Dataset
from vae_core.evaluate import ImpossibleScore, log_likelihood
from vae_core.networks import Architecture
from vae_core.training import BundleProgram, Member, Schedule, fit_scale, train, validate
from vae_core.training.course import Course
from vae_core.tuning import Candidate, Outcome, Search, beyond, ordered, tune

SCHEDULE = Schedule(40, 32, 1e-3, patience=10, tolerance=0.01)
#: under which a low rate never ends by itself
LONG = Schedule(80, 32, 1e-3, patience=10, tolerance=0.0)
SEED = 2**31


@pytest.fixture(scope="module")
def data() -> Dataset:
    return images(8, 8)


def search(
    data: Dataset,
    rates: Sequence[float],
    name: str = "gaussian",
    scored_as: Sequence[str] = ("itself",),
    schedule: Schedule = SCHEDULE,
    **options: Any,
) -> Search:
    options = options or ({"sigma": "shared"} if name == "gaussian" else {})
    return Search(
        candidates=[
            Candidate(
                {"learning_rate": rate},
                Member(likelihoods.make(name, **options), seed=SEED, learning_rate=rate),
                EVEN,
                schedule,
            )
            for rate in rates
        ],
        axes={"learning_rate": tuple(rates)},
        images=data.valid,
        levels=data.levels,
        scored_as=scored_as,
    )


def test_the_choice_is_the_best_bound_of_exact_masses_on_validation_images(data: Dataset) -> None:
    """Against each candidate trained alone, to the end, and scored."""
    asked = search(data, (1e-3, 1e-2))
    (choice,) = tune(data, [asked], cut=False, seed=7)
    bits = []
    for candidate, outcome in zip(asked.candidates, choice.outcomes, strict=True):
        bundle = train(data, [candidate.member], EVEN, SCHEDULE)
        model = bundle.models[0]
        estimate = log_likelihood(
            data.valid, model.encode, model.decode, model.likelihood, (tuning.ELBO_SAMPLES,), data.levels, seed=7
        )
        bits.append(-float(estimate.elbo.mean()) / (data.dims * math.log(2)))
        assert outcome.bits_per_dim == pytest.approx(bits[-1], rel=1e-4)
        assert (outcome.epochs_run, outcome.ended_by) == (bundle.epochs_run[0], bundle.ended_by[0])
        assert outcome.history == bundle.history[0]
    best = min(range(2), key=bits.__getitem__)
    assert [outcome.chosen for outcome in choice.outcomes] == [place == best for place in range(2)]
    assert choice.values == asked.candidates[best].values
    loser = choice.outcomes[1 - best]
    assert loser.behind == pytest.approx(abs(bits[0] - bits[1]), abs=1e-3)
    assert 0 < loser.behind_se < loser.behind


def test_searches_do_not_know_of_each_other(data: Dataset) -> None:
    alone = [tune(data, [one])[0] for one in (search(data, (1e-3, 1e-2)), search(data, (3e-3, 3e-2), "laplace"))]
    together = tune(data, [search(data, (1e-3, 1e-2)), search(data, (3e-3, 3e-2), "laplace")])
    for one, other in zip(alone, together, strict=True):
        assert one.values == other.values
        for left, right in zip(one.outcomes, other.outcomes, strict=True):
            assert (left.epochs_run, left.ended_by) == (right.epochs_run, right.ended_by)
            assert left.bits_per_dim == pytest.approx(right.bits_per_dim, rel=1e-5, nan_ok=True)


def test_who_is_beyond_reach_leaves_and_costs_nothing_afterwards(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    plain = BundleProgram.objectives

    def counted(self: BundleProgram, k: Tensor, *rest: Any, training: bool, **more: Any) -> Tensor:
        if training:
            trained.append(self.models)
        return plain(self, k, *rest, training=training, **more)

    monkeypatch.setattr(BundleProgram, "objectives", counted)
    asked = search(data, (3e-4, 2e-2), schedule=Schedule(200, 32, 1e-3, patience=10, tolerance=0.003))
    (choice,) = tune(data, [asked])
    lost, won = choice.outcomes
    assert (lost.ended_by, won.chosen) == ("behind", True)
    assert won.ended_by == "patience"
    assert won.epochs_run <= lost.epochs_run < 200  # not before the one that leads has ended
    assert math.isnan(lost.bits_per_dim)
    assert sum(trained) == 2 * (lost.epochs_run + won.epochs_run)  # two steps an epoch
    (whole,) = tune(data, [asked], cut=False)
    assert [outcome.ended_by == "behind" for outcome in whole.outcomes] == [False, False]
    assert whole.values == choice.values


def test_rivals_are_parted_by_the_exact_masses_of_dequantised_training(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked at for rivals is the bound of masses, as another program computes it; recipes are let alone."""
    seen: list[tuple[Tensor, Tensor]] = []
    look = Course.look

    def noted(self: Course, epoch: int, training: float, validation: float, each: Tensor, judged: Tensor) -> bool:
        seen.append((each, judged))
        return look(self, epoch, training, validation, each, judged)

    monkeypatch.setattr(Course, "look", noted)
    once = dataclasses.replace(SCHEDULE, epochs=1, patience=0)
    tune(data, [search(data, (1e-2, 1e-2), schedule=once)])
    each, judged = seen[0]
    member = search(data, (1e-2,), schedule=once).candidates[0].member
    program = train(data, [member], EVEN, once).models[0]
    binned = BundleProgram([dataclasses.replace(member, objective="binned")], EVEN, once, data, "cpu")
    with torch.no_grad():
        trained = [*program.encoder.parameters(), *program.decoder.parameters(), *program.likelihood.parameters()]
        for mine, theirs in zip(binned.parameters(), trained, strict=True):
            mine.copy_(theirs)
    assert float(validate(binned, data.valid)) == pytest.approx(float(judged.mean()), rel=1e-5)
    assert float(judged.mean()) > float(each.mean()) - data.dims * math.log(data.levels)

    def asked(*given: Any, rivals: list[list[int]], **more: Any) -> Any:
        parted.append(rivals)
        return train(*given, **more)

    parted: list[list[list[int]]] = []
    monkeypatch.setattr(tuning, "train", asked)
    tune(
        data,
        [search(data, (1e-2, 1e-3), "mse_sum", ("gaussian_fitted",), once), search(data, (1e-2, 1e-3), schedule=once)],
    )
    assert parted == [[[2, 3]]]


def weighing(data: Dataset, *kinds: dict[str, Any], **settings: Any) -> Search:
    """Candidates that differ in what training makes of the KL."""
    candidates = [
        Candidate(
            kl, Member(likelihoods.make("gaussian", sigma=0.3), seed=SEED, learning_rate=1e-2, **kl), EVEN, SCHEDULE
        )
        for kl in kinds
    ]
    axes = {key: tuple(kl[key] for kl in kinds) for key in kinds[0]}
    return Search(candidates, axes, data.valid, data.levels, **settings)


def test_who_weighs_the_kl_is_judged_by_the_bound_with_the_kl_as_it_is(data: Dataset) -> None:
    """Not by what each raised, by which the least weight would always win."""
    asked = weighing(data, {"kl_weight": 0.0}, {"kl_weight": 1.0}, {"kl_weight": 30.0})
    (choice,) = tune(data, [asked], seed=7)
    raised = [max(valid for _, _, valid in outcome.history) for outcome in choice.outcomes]
    assert raised[0] == max(raised)
    assert choice.values == {"kl_weight": 1.0}
    for candidate, outcome in zip(asked.candidates, choice.outcomes, strict=True):
        model = train(data, [candidate.member], EVEN, SCHEDULE).models[0]
        estimate = log_likelihood(
            data.valid, model.encode, model.decode, model.likelihood, (tuning.ELBO_SAMPLES,), data.levels, seed=7
        )
        bits = -float(estimate.elbo.mean()) / (data.dims * math.log(2))
        assert outcome.bits_per_dim == pytest.approx(bits, rel=1e-4)


def test_who_weighs_the_kl_parts_nobody(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far its bound will go cannot be told from how it went; a warm-up alone ends at the bound."""

    def asked(*given: Any, rivals: list[list[int]], **more: Any) -> Any:
        parted.append(rivals)
        return train(*given, **more)

    parted: list[list[list[int]]] = []
    monkeypatch.setattr(tuning, "train", asked)
    searches = [
        weighing(data, {"kl_weight": 1.0}, {"kl_weight": 2.0}),
        weighing(data, {"free_bits": 0.0}, {"free_bits": 0.1}),
        weighing(data, {"kl_warmup": 0.0}, {"kl_warmup": 4.0}),
    ]
    tune(data, searches)
    assert parted == [[[4, 5]]]


def test_a_recipe_is_chosen_by_its_best_reading(data: Dataset) -> None:
    family = likelihoods.get("mse_sum")
    asked = search(data, (1e-3, 1e-2), "mse_sum", scored_as=family.scorings)
    (choice,) = tune(data, [asked], cut=False)
    model = train(data, [asked.candidates[0].member], EVEN, SCHEDULE).models[0]
    by_reading = {}
    for reading in family.scorings:
        likelihood = model.likelihood.scored(reading)
        if likelihood.needs_fit:
            fit_scale(likelihood, data, model.encode, model.decode, seed=SEED)
        estimate = log_likelihood(
            data.valid, model.encode, model.decode, likelihood, (tuning.ELBO_SAMPLES,), data.levels
        )
        by_reading[reading] = -float(estimate.elbo.mean()) / (data.dims * math.log(2))
    first = choice.outcomes[0]
    assert first.scored_as == min(by_reading, key=by_reading.__getitem__)
    assert first.scored_as not in ("gaussian_implied", "gaussian_fitted"), "what was there before is not its best"
    assert first.bits_per_dim == pytest.approx(by_reading[first.scored_as], rel=1e-3)


def test_two_that_are_near_are_judged_by_refined_importance_weighting(data: Dataset) -> None:
    (choice,) = tune(data, [search(data, (1e-2, 1.01e-2, 1e-5))], cut=False)
    near, other, far = choice.outcomes
    assert math.isnan(far.refined_bits_per_dim)
    for outcome in (near, other):
        assert outcome.refined_bits_per_dim < outcome.bits_per_dim
    assert (near.refined_bits_per_dim < other.refined_bits_per_dim) == near.chosen
    loser = other if near.chosen else near
    assert loser.behind == pytest.approx(abs(near.refined_bits_per_dim - other.refined_bits_per_dim), abs=1e-9)


def test_shapes_may_be_tuned_and_are_refined(data: Dataset) -> None:
    candidates = [
        Candidate({"latent": latent}, Member(likelihoods.make("binomial", levels=5), seed=SEED), shape, SCHEDULE)
        for latent, shape in ((2, Architecture((32,), "tanh", 2)), (16, EVEN))
    ]
    (choice,) = tune(data, [Search(candidates, {"latent": (2, 16)}, data.valid, data.levels, always_refine=True)])
    assert choice.values in ({"latent": 2}, {"latent": 16})
    assert all(outcome.refined_bits_per_dim > 0 for outcome in choice.outcomes)


def test_a_search_without_a_survivor_says_why(data: Dataset) -> None:
    bad, good = tune(data, [search(data, (1e-3, 1e-2), sigma=1e-30), search(data, (1e-3, 1e-2))])
    assert bad.values is None
    assert "none of the 2 candidates could be trained: the training objective was no longer finite" in bad.failure
    assert good.values is not None


def test_an_impossible_score_is_not_chosen_however_high(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the bound of training is one, or the refined one; and where all are, the search has no survivor."""
    refined, judged = tuning._refined, tuning._judged
    impossible = ImpossibleScore("the mean ln P of 40 images is 3 nats")

    def refuse(right: Any, places: set[int]) -> Any:
        def some(searched: Search, *given: Any) -> Any:
            place = next(one if isinstance(one, int) else one.place for one in given)
            if place in places:
                raise impossible
            return right(searched, *given)

        return some

    near = search(data, (1e-2, 1.01e-2, 1e-5))
    (before,) = tune(data, [near], cut=False)
    best = next(place for place, outcome in enumerate(before.outcomes) if outcome.chosen)
    monkeypatch.setattr(tuning, "_refined", refuse(refined, {best}))
    (choice,) = tune(data, [near], cut=False)
    assert [outcome.chosen for outcome in choice.outcomes] == [place == 1 - best for place in range(3)]
    assert choice.outcomes[best].failure == str(impossible)
    monkeypatch.setattr(tuning, "_judged", refuse(judged, {0, 1}))
    (choice,) = tune(data, [near], cut=False)
    assert choice.values == {"learning_rate": 1e-5}
    monkeypatch.setattr(tuning, "_judged", refuse(judged, {0, 1, 2}))
    (choice,) = tune(data, [near], cut=False)
    assert choice.values is None
    assert choice.failure.endswith(str(impossible))


def test_one_that_diverges_leaves_the_choice_to_the_others(data: Dataset) -> None:
    (choice,) = tune(data, [search(data, (1e-2, 1e9))])
    assert choice.values == {"learning_rate": 1e-2}
    assert choice.outcomes[1].bits_per_dim != choice.outcomes[1].bits_per_dim or choice.outcomes[1].behind > 0
    assert choice.edges == {
        "learning_rate": pytest.approx(1e-3)
    }  # a tenth, though the neighbour is 1e11 times as large


def test_one_that_diverged_ends_no_rival(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two rates one explodes after epoch 30: it leads with what it had, and can never be chosen."""
    look = Course.look
    courses: list[Course] = []

    def planted(self: Course, epoch: int, training: float, validation: float, each: Tensor, *rest: Any) -> bool:
        courses.append(self)
        first = self is courses[0]
        bound = torch.full_like(each, 100.0 if first else -1.0) + torch.arange(len(each)) / 100
        better = look(self, epoch, training, float(bound.mean()), bound, bound)
        if first and epoch >= 30:
            self.diverge(2 * epoch - 1, 2)
        return better

    monkeypatch.setattr(Course, "look", planted)
    slow = dataclasses.replace(LONG, patience=70)
    (choice,) = tune(data, [search(data, (1e-3, 1e-2), schedule=slow)])
    gone, left = choice.outcomes
    assert (gone.ended_by, left.ended_by) == ("diverged", "patience")
    assert choice.values == {"learning_rate": 1e-2}


def test_where_all_others_diverge_one_that_left_is_chosen() -> None:
    data = images(8, 8)
    asked = search(data, (1e-2, 1e-3))
    trained = tuning._trained(data, [asked], "cpu", cut=False)[0]
    trained[0].outcome.ended_by = "behind"
    trained[1].outcome.failure, trained[1].model = "it exploded", None
    choice = tuning._chosen(asked, trained, data, 0)
    assert choice.values == {"learning_rate": 1e-2}
    trained[0].outcome.failure, trained[0].model = "it exploded too", None
    choice = tuning._chosen(asked, trained, data, 0)
    assert choice.failure == "none of the 2 candidates could be trained: it exploded too; it exploded"


@pytest.mark.parametrize("why", ["impossible", "not finite", "impossible when refined"])
def test_where_all_that_stayed_score_the_impossible_one_that_left_is_chosen(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stayed, and the third had left them."""
    data = images(8, 8)

    def judged(searched: Search, place: int, one: Any, *rest: Any) -> Any:
        if place < 2 and why == "impossible":
            raise ImpossibleScore("the mean ln P of 40 images is 3 nats")
        each = torch.full((30,), -40.0) + torch.arange(30) / 100
        return tuning._Judged(place, one.model, None, each * (math.nan if place < 2 and why == "not finite" else 1))  # type: ignore[arg-type]

    def refined(searched: Search, one: Any, *rest: Any) -> Tensor:
        raise ImpossibleScore("the mean ln P of 40 images is 3 nats")

    monkeypatch.setattr(tuning, "_judged", judged)
    monkeypatch.setattr(tuning, "_refined", refined)
    trained = [
        tuning._Trained(Outcome({"learning_rate": rate}, ended, 5, []), object())  # type: ignore[arg-type]
        for rate, ended in ((1e-3, "patience"), (2e-3, "limit"), (1e-2, "behind"))
    ]
    choice = tuning._chosen(search(data, (1e-3, 2e-3, 1e-2)), trained, data, 0)
    assert choice.values == {"learning_rate": 1e-2}
    assert [bool(outcome.failure) for outcome in choice.outcomes] == [True, True, False]


def test_an_iwae_is_chosen_by_its_own_bound_of_masses(data: Dataset) -> None:
    schedule = dataclasses.replace(SCHEDULE, train_samples=5)
    asked = search(data, (1e-2, 1e-3), schedule=schedule)
    members = [dataclasses.replace(candidate.member, bound="iwae") for candidate in asked.candidates]
    candidates = [dataclasses.replace(c, member=m) for c, m in zip(asked.candidates, members, strict=True)]
    asked = dataclasses.replace(asked, candidates=candidates)
    (choice,) = tune(data, [asked], cut=False, seed=3)
    model = train(data, [asked.candidates[0].member], EVEN, schedule).models[0]
    estimate = log_likelihood(data.valid, model.encode, model.decode, model.likelihood, (5,), data.levels, seed=3)
    bits = -float(estimate.bound[5].mean()) / (data.dims * math.log(2))
    assert choice.outcomes[0].bits_per_dim == pytest.approx(bits, rel=1e-4)


def _outcomes(bits: Sequence[float], error: float = 0.001, **special: str) -> list[Outcome]:
    best = min(bits)
    found = []
    for rate, score in zip((1e-3, 3e-3, 1e-2), bits, strict=True):
        outcome = Outcome({"learning_rate": rate}, special.get(f"rate_{rate}", "patience"), 10, [])
        outcome.behind, outcome.behind_se, outcome.chosen = score - best, error, score == best
        found.append(outcome)
    return found


@pytest.mark.parametrize(
    ("bits", "edges"),
    [
        ((2.0, 1.9, 2.0), {}),
        ((2.0, 1.95, 1.9), {"learning_rate": 0.033}),
        ((1.9, 1.95, 2.0), {"learning_rate": 0.00033}),
        ((2.0, 1.9001, 1.9), {}),  # within the noise
    ],
)
def test_an_edge_is_where_the_end_beats_its_neighbour_beyond_noise(
    bits: Sequence[float], edges: dict[str, float]
) -> None:
    outcomes = _outcomes(bits)
    axes = {"learning_rate": (1e-3, 3e-3, 1e-2)}
    asked = Search([], axes, torch.zeros(1, 1), 2)
    best = next(outcome for outcome in outcomes if outcome.chosen)
    assert tuning._edges(asked, outcomes, best) == edges


@pytest.mark.parametrize("why", ["behind", "diverged"])
def test_a_neighbour_that_left_is_beaten(why: str) -> None:
    outcomes = _outcomes((2.0, 1.9001, 1.9))
    outcomes[1].ended_by, outcomes[1].failure = why, "" if why == "behind" else "it was no longer finite"
    asked = Search([], {"learning_rate": (1e-3, 3e-3, 1e-2)}, torch.zeros(1, 1), 2)
    assert tuning._edges(asked, outcomes, outcomes[2]) == {"learning_rate": 0.033}


@pytest.mark.parametrize(
    ("value", "neighbour", "following"),
    [
        (0.03, 0.01, 0.09),
        (0.03, 1e-9, 0.3),
        (1e-3, 3e-3, 0.00033),
        (20, 10, 40),
        (10, 20, 5),
        (2, 3, 1),
        (1, 2, None),
        ((400,), (200,), (800,)),
        (0.0, 0.5, None),
    ],
)
def test_the_value_to_add_goes_on_in_the_same_ratio(value: Any, neighbour: Any, following: Any) -> None:
    assert beyond(value, neighbour) == following


def test_words_and_several_widths_have_no_ends() -> None:
    assert ordered(("tanh", "relu")) is None
    assert ordered(((200,), (200, 200))) is None
    assert ordered(((400,), (200,))) == [(200,), (400,)]
    assert ordered((3, 1, 2)) == [1, 2, 3]


@pytest.mark.parametrize("cut", [True, False])
def test_candidates_that_do_not_fit_into_memory_together_are_trained_apart(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    """And nobody is parted by who is not there; the choice is the same."""
    asked = [search(data, (1e-3, 3e-3, 1e-2)), search(data, (1e-3, 1e-2))]
    expected = tune(data, asked, cut=cut, seed=7)
    sizes: list[int] = []

    def as_fits(data: Dataset, members: Sequence[Member], *rest: Any, **named: Any) -> Any:
        sizes.append(len(members))
        if len(members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        assert all(len(one) > 1 and max(one) < len(members) for one in named["rivals"])
        return train(data, members, *rest, **named)

    monkeypatch.setattr(tuning, "train", as_fits)
    found = tune(data, asked, cut=cut, seed=7)
    assert sizes == [5, 3, 2, 1, 2]
    assert [choice.values for choice in found] == [choice.values for choice in expected]
    if not cut:
        for one, other in zip(expected, found, strict=True):
            for left, right in zip(one.outcomes, other.outcomes, strict=True):
                assert right.bits_per_dim == pytest.approx(left.bits_per_dim, rel=1e-4)


def test_one_candidate_that_does_not_fit_is_said_to_be_so(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(tuning, "train", never)
    with pytest.raises(torch.OutOfMemoryError):
        tune(data, [search(data, (1e-3, 1e-2))])
