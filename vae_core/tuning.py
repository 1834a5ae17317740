"""Tuning alike: of some candidates for what is not compared, such as the learning rate, the best on validation images.

Every configuration that is compared gets the same candidates, procedure and budget (docs/RULES.md, rule 11): all are
trained from one seed in common bundles, and who cannot reach a rival leaves (`vae_core.training.course`). The choice is
by the bound of training taken of exact masses, at KL weight 1, on the validation images: what the models are compared
by, on images that they are not compared on. Where two are near, or what is tuned changes how tight the bound is, the
two best are judged by refined importance weighting. It is one file, for who may be chosen, who is, and how surely are
one argument.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vae_core.data import Dataset
from vae_core.evaluate import ImpossibleScore, log_likelihood, log_likelihoods
from vae_core.evaluate.programs import Kept
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.numerics import memory
from vae_core.objectives import BOUNDS
from vae_core.training import Compiled, Member, Schedule, TrainedBundle, TrainedModel, fit_scale, train

ELBO_SAMPLES = 10  #: of z for an image's ELBO
REFINED_SAMPLES = 100  #: for an image's importance-weighted bound, where the two best are refined
NEAR = 2.0  #: standard errors over validation images, within which two candidates are near


@dataclass(frozen=True)
class Candidate:
    """One way to train a configuration: the values of what is tuned, and what follows from them."""

    values: Mapping[str, Any]
    member: Member
    architecture: Architecture
    schedule: Schedule


@dataclass(frozen=True)
class Search:
    """The candidates of one configuration.

    axes: the values of each key that is tuned, in the order in which they were given; candidates are their product.
    images: validation images as integers 0…K−1 in the way in which test images are scored, [N, D]; levels: K.
    scored_as: names of the readings of a trained model (`Likelihood.scored`): a candidate counts by the one that is its
        best by the bound of training. That is not the reading that a recipe is ranked by: the encoder's q was made for
        the recipe's own loss, and the ELBO by it falls short of narrower readings by more.
    always_refine: whether the two best are refined though they are not near, since what is tuned changes how tight the
        bound is.
    """

    candidates: Sequence[Candidate]
    axes: Mapping[str, Sequence[Any]]
    images: Tensor
    levels: int
    scored_as: Sequence[str] = ("itself",)
    always_refine: bool = False


@dataclass
class Outcome:
    """What became of a candidate. Numbers are of the validation images, in bits/dim; NaN where there are none."""

    values: Mapping[str, Any]
    ended_by: str  #: "patience", "limit", "behind" or "diverged"
    epochs_run: int
    history: Sequence[tuple[int, float, float]]  #: (epoch, training, validation objective), nats
    failure: str = ""
    scored_as: str = ""  #: its best reading
    bits_per_dim: float = math.nan  #: by the bound of training, of exact masses
    refined_bits_per_dim: float = math.nan  #: by refined importance weighting
    behind: float = math.nan  #: the chosen one, paired over images, by what both were judged by at last
    behind_se: float = math.nan
    chosen: bool = False


@dataclass(frozen=True)
class Choice:
    """Of one search: every candidate in its order, and the values to add where the best lies at an end of its range."""

    outcomes: Sequence[Outcome]
    edges: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> Mapping[str, Any] | None:
        """What was chosen; None where no candidate could be trained."""
        return next((outcome.values for outcome in self.outcomes if outcome.chosen), None)

    @property
    def failure(self) -> str:
        """Why no candidate could be trained."""
        told = dict.fromkeys(outcome.failure for outcome in self.outcomes if outcome.failure)
        return f"none of the {len(self.outcomes)} candidates could be trained: {'; '.join(told)}"


def tune(
    data: Dataset,
    searches: Sequence[Search],
    device: str = "cpu",
    *,
    seed: int = 0,
    cut: bool = True,
    programs: Kept | None = None,
    compiled: Compiled | None = None,
) -> list[Choice]:
    """Trains the candidates of all searches and chooses one for each.

    Args:
        data: integer images, on the device.
        searches: their likelihoods have one width of raw outputs.
        device: where to train.
        seed: of the validation's noise; members bring their own.
        cut: whether candidates that are beyond reach of a rival end early. Without, all are trained to their ends.
        programs: compiled scores for the judging, used as soon as they are there.
        compiled: of what the steps of training take compiled scores, where there are any.
    """
    trained = _trained(data, searches, device, cut=cut, compiled=compiled)
    return [_chosen(search, trained[index], data, seed, programs) for index, search in enumerate(searches)]


@dataclass
class _Trained:
    outcome: Outcome
    model: TrainedModel | None  #: None where it failed


def _trained(
    data: Dataset, searches: Sequence[Search], device: str, *, cut: bool, compiled: Compiled | None = None
) -> list[list[_Trained]]:
    """The candidates of each search, trained; those of one shape together."""
    together: dict[tuple[Architecture, Schedule], list[tuple[int, int]]] = {}
    for index, search in enumerate(searches):
        for place, candidate in enumerate(search.candidates):
            alike = dataclasses.replace(candidate.schedule, learning_rate=1.0)  # a rate is each member's own
            together.setdefault((candidate.architecture, alike), []).append((index, place))
    found: dict[tuple[int, int], _Trained] = {}
    for (architecture, schedule), places in together.items():
        members = [_with_its_rate(searches[index].candidates[place]) for index, place in places]
        # what a recipe raises, or who weighs the KL, is not what it is judged by: how far that will go nobody can tell
        # from how it went, so it parts nobody
        parted = dict.fromkeys(
            index for index, _ in places if all(_raises_what_judges(one.member) for one in searches[index].candidates)
        )
        rivals = [[n for n, (index, _) in enumerate(places) if index == one] for one in parted]
        trained = _trained_as_fits(data, members, architecture, schedule, device, rivals if cut else (), compiled)
        for (index, place), (bundle, n) in zip(places, trained, strict=True):
            outcome = Outcome(
                values=searches[index].candidates[place].values,
                ended_by=bundle.ended_by[n],
                epochs_run=bundle.epochs_run[n],
                history=bundle.history[n],
                failure=bundle.failures[n] or "",
            )
            found[index, place] = _Trained(outcome, None if outcome.failure else bundle.models[n])
    return [[found[index, place] for place in range(len(search.candidates))] for index, search in enumerate(searches)]


def _trained_as_fits(
    data: Dataset,
    members: Sequence[Member],
    architecture: Architecture,
    schedule: Schedule,
    device: str,
    rivals: Sequence[Sequence[int]],
    compiled: Compiled | None,
) -> list[tuple[TrainedBundle, int]]:
    """Each member's bundle and its place there: one for all, or where memory runs out one for each half, and so on down
    to single models. Rivals that are parted know nothing of each other: those that stay together are held against
    each other alone, and one that is left alone is trained to its end."""
    try:
        bundle = train(data, members, architecture, schedule, device, rivals=rivals, compiled=compiled)
        return [(bundle, place) for place in range(len(members))]
    except Exception as error:
        if len(members) == 1 or not memory.ran_out(error):
            raise
        memory.let_go(error)
    found = []
    middle = (len(members) + 1) // 2
    for start, part in ((0, members[:middle]), (middle, members[middle:])):
        inside = [[place - start for place in one if start <= place < start + len(part)] for one in rivals]
        among = [one for one in inside if len(one) > 1]
        found += _trained_as_fits(data, part, architecture, schedule, device, among, compiled)
    return found


@dataclass
class _Judged:
    """A candidate that may be chosen: its best reading, and the bound of each image by it, [N], nats."""

    place: int
    model: TrainedModel
    likelihood: Likelihood
    each: Tensor
    refined: Tensor | None = None

    @property
    def final(self) -> Tensor:
        return self.each if self.refined is None else self.refined


def _chosen(
    search: Search, trained: Sequence[_Trained], data: Dataset, seed: int, programs: Kept | None = None
) -> Choice:
    outcomes = [one.outcome for one in trained]
    bits = 1 / (search.images.shape[1] * math.log(2))
    able = [place for place, one in enumerate(trained) if one.model is not None]
    stayed = [place for place in able if outcomes[place].ended_by != "behind"]
    left = [place for place in able if place not in stayed]
    # where the rivals that they left behind are of no use themselves, those that left are all there is
    judged = _judged_all(search, stayed, trained, data, seed, programs)
    judged = judged or _judged_all(search, left, trained, data, seed, programs)
    if not judged:
        return Choice(outcomes)
    compared = [one for one in judged if one.refined is not None]
    best = max(compared or judged, key=lambda one: float(one.final.mean()))
    outcomes[best.place].chosen = True
    for one in judged:
        both_refined = one.refined is not None and best.refined is not None
        lead = (best.final - one.final) if both_refined else (best.each - one.each)
        outcomes[one.place].behind, outcomes[one.place].behind_se = (bits * number for number in _mean_and_error(lead))
    return Choice(outcomes, _edges(search, outcomes, outcomes[best.place]))


def _judged_all(
    search: Search,
    places: Sequence[int],
    trained: Sequence[_Trained],
    data: Dataset,
    seed: int,
    programs: Kept | None,
) -> list[_Judged]:
    """Those of the candidates at these places that have a possible and finite bound, the best first, the two best
    refined where that is asked for or they are near; of the others, why not."""
    bits = 1 / (search.images.shape[1] * math.log(2))
    judged = []
    for place in places:
        outcome = trained[place].outcome
        try:
            one = _judged(search, place, trained[place], data, seed, programs)
        except ImpossibleScore as impossible:
            outcome.failure = str(impossible)
            continue
        if math.isfinite(float(one.each.mean())):
            outcome.bits_per_dim = -float(one.each.mean()) * bits
            judged.append(one)
        else:
            outcome.failure = "its bound on validation images is not finite"
    judged.sort(key=lambda one: -float(one.each.mean()))
    if len(judged) > 1 and (search.always_refine or _is_near(judged[0].each - judged[1].each)):
        for one in judged[:2]:
            outcome = trained[one.place].outcome
            try:
                one.refined = _refined(search, one, seed, programs)
            except ImpossibleScore as impossible:
                outcome.failure = str(impossible)
                continue
            outcome.refined_bits_per_dim = -float(one.refined.mean()) * bits
    return [one for one in judged if not trained[one.place].outcome.failure]


def _refined(search: Search, one: _Judged, seed: int, programs: Kept | None) -> Tensor:
    """Its bound by refined importance weighting, [N], nats."""
    estimate = log_likelihood(
        search.images,
        one.model.encode,
        one.model.decode,
        one.likelihood,
        (REFINED_SAMPLES,),
        search.levels,
        refine="always",
        programs=programs,
        seed=seed,
    )
    return estimate.bound[REFINED_SAMPLES]


def _judged(search: Search, place: int, one: _Trained, data: Dataset, seed: int, programs: Kept | None) -> _Judged:
    """The candidate by the best of its readings, which share a pass."""
    assert one.model is not None
    member = search.candidates[place].member
    samples = search.candidates[place].schedule.train_samples
    readings = {name: one.model.likelihood.scored(name) for name in search.scored_as}
    for likelihood in readings.values():
        if likelihood.needs_fit:
            fit_scale(likelihood, data, one.model.encode, one.model.decode, seed=member.seed)
    weighted = BOUNDS[member.bound].weighted
    size = samples if weighted else ELBO_SAMPLES
    encode, decode = one.model.encode, one.model.decode
    estimates = log_likelihoods(
        search.images, encode, decode, readings, (size,), search.levels, programs=programs, seed=seed
    )
    each = {name: estimate.bound[size] if weighted else estimate.elbo for name, estimate in estimates.items()}
    finite = [name for name, nats in each.items() if math.isfinite(float(nats.mean()))]
    best = max(finite or each, key=lambda name: float(each[name].mean()))
    one.outcome.scored_as = best
    return _Judged(place, one.model, readings[best], each[best])


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), error


def _is_near(lead: Tensor) -> bool:
    mean, error = _mean_and_error(lead)
    return not mean > NEAR * error  # also where the noise is not known


def _edges(search: Search, outcomes: Sequence[Outcome], best: Outcome) -> dict[str, Any]:
    """Of each key whose best value lies at an end of its range and beats its neighbour beyond noise, the value to add.

    None where there is no number to name. Numbers have a range; words and lists of several widths have none.
    """
    edges = {}
    for key, given in search.axes.items():
        scale = ordered(given)
        if scale is None:
            continue
        ends = {scale[0]: scale[1], scale[-1]: scale[-2]}
        chosen = best.values[key]
        if chosen not in ends:
            continue
        beside = {**best.values, key: ends[chosen]}
        neighbour = next(outcome for outcome in outcomes if dict(outcome.values) == beside)
        lost = bool(neighbour.failure) or neighbour.ended_by == "behind"
        if lost or neighbour.behind > NEAR * neighbour.behind_se:
            edges[key] = beyond(chosen, ends[chosen])
    return edges


def ordered(values: Sequence[Any]) -> list[Any] | None:
    """The values of a key in the order of their size, where they have one: numbers, or lists of a single width."""
    sizes = [_size(value) for value in values]
    if len(values) < 2 or any(size is None for size in sizes):
        return None
    return sorted(values, key=_size)  # type: ignore[arg-type]


def beyond(value: Any, neighbour: Any) -> Any:
    """The next value past the end of a range, in the ratio of its last two but by ten at most, to two digits; None
    where there is none."""
    size, before = _size(value), _size(neighbour)
    assert size is not None
    assert before is not None
    if size <= 0 or before <= 0:
        return None
    whole = isinstance(size, int)
    nxt = float(f"{size * min(max(size / before, 0.1), 10):.2g}")
    if whole:
        nxt = max(1, round(nxt))
        if nxt in (size, before):
            return None
    elif nxt in (size, before):
        return None
    return (nxt,) if isinstance(value, tuple) else nxt


def _size(value: Any) -> float | int | None:
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _raises_what_judges(member: Member) -> bool:
    return not member.likelihood.recipe and member.raises_bound


def _with_its_rate(candidate: Candidate) -> Member:
    rate = candidate.member.learning_rate or candidate.schedule.learning_rate
    return dataclasses.replace(candidate.member, learning_rate=rate)
