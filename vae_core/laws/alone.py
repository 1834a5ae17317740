"""An image's score is its own: in whatever company, order and number it is scored, and after whatever else.

`ways` scores the same images in every way in which they may stand beside others; the laws on loading and the check of
a trained model (vae_core.laws.where_used) both go through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_core.laws.setting import LawBroken, Setting, at_17_levels, raw_outputs, seen, sized
from vae_core.laws.state import changes, fingerprint
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._base import Part

#: what rounding may do to a score in nats, and per nat of it. In another company a sum over dimensions is cut up
#: otherwise: on trained outputs shipped families differ by 0.0009 nats at most, of 5,700
ROUNDING, ROUNDING_A_NAT = 1e-3, 1e-5

REMEDY_ALONE = (
    "take nothing from other rows: no mean, largest value or order over leading axes, no number of rows; no random "
    "number, no clock. A scale is fitted in training (sigma='optimal') or by set_residual_statistic"
)
REMEDY_SHAPE = "sum over the last axis alone, and let the other axes broadcast"
REMEDY_STATE = (
    "let scoring read and not write; what is kept for speed may follow from options, levels, dtype and device alone"
)
REMEDY_PART = (
    "keep what differs between models or is learned in a Part (vae_core/likelihoods/_scale.py has five), as an "
    "attribute of its own; of another likelihood keep its Part, and make the likelihood where it is used"
)

Score = Callable[[Tensor, Tensor], Tensor]  #: data [n, 1, D], raw [n, C, R] -> [n, C], nats


def rounding(score: Tensor) -> Tensor:
    """What two ways to the same score may differ by, nats."""
    return ROUNDING + ROUNDING_A_NAT * score.abs()


def ways(score: Score, data: Tensor, raw: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The same images' scores [n, C], n ≥ 2, together and then in other company, each with the words for it."""
    count, samples = raw.shape[:2]
    order = torch.arange(count - 1, -1, -1, device=raw.device)
    together = score(data, raw)
    if together.shape != raw.shape[:2]:
        raise LawBroken(
            f"a score of data {[*data.shape[:2], 'D']} and raw {[*raw.shape[:2], 'R']} has shape "
            f"{list(together.shape)}, not {list(raw.shape[:2])}",
            REMEDY_SHAPE,
        )
    yield f"together with {count - 1} others", together
    yield "a second time", score(data, raw)
    yield "in the opposite order", score(data[order], raw[order])[order]
    yield "one at a time", torch.cat([score(data[i : i + 1], raw[i : i + 1]) for i in range(count)])
    if samples > 1:
        yield "one z at a time", torch.cat([score(data, raw[:, c : c + 1]) for c in range(samples)], 1)
    beside = score(torch.cat([data, data.roll(1, 0)]), torch.cat([raw, raw.flip(-1)]))
    yield f"beside {2 * count - 1} others", beside[:count]
    score(data.roll(1, 0), raw)
    yield "after other images at the same outputs", score(data, raw)


def apart(found: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[Tensor, str, Tensor, str, Tensor]]:
    """Of each way after the first: how far it is from the first [n, C] in nats, and both with their words. What is not
    finite in the same manner is no difference, in another an infinite one."""
    (first, reference), *others = found
    for words, score in others:
        same = (score == reference) | (score.isnan() & reference.isnan())
        gap = torch.where(same, 0.0, (score.double() - reference.double()).abs().nan_to_num(nan=torch.inf))
        yield gap, first, reference, words, score


def what_differs(found: Iterator[tuple[str, Tensor]]) -> tuple[float, str]:
    """The highest deviation in nats, and a clause for the first way that goes beyond rounding, "" where none does."""
    each, rows = list(apart(found)), []
    for gap, _, reference, _, score in each:
        beyond = (gap / rounding(reference.double()).nan_to_num(nan=1.0, posinf=1.0, neginf=1.0)).flatten()
        worst = beyond.argmax().reshape(1)
        of_worst = [part.flatten().double().index_select(0, worst)[0] for part in (beyond, reference, score)]
        rows.append(torch.stack([gap.max().double(), *of_worst]))
    highest, said = 0.0, ""
    numbers = torch.stack(rows).tolist() if rows else []  # all in one wait for a GPU
    for (_, first, _, words, _), (most, by, one, other) in zip(each, numbers, strict=True):
        highest = max(highest, most)
        if not said and by > 1:
            said = f"the same image has {one:.6g} nats {first} and {other:.6g} {words}"
    return highest, said


def an_image_is_scored_alone(make: Setting) -> None:
    """log_mass and log_prob of an image depend on its own levels and raw outputs alone, with gradients recorded or
    not."""
    lik, levels = at_17_levels(make)
    raw, k = _unlike(lik, levels, 0)
    for name, data, score in _scores(lik, k, levels):
        with torch.no_grad():
            _, said = what_differs(ways(score, data, raw))
            plain = score(data, raw)
        recorded = score(data, raw.clone().requires_grad_()).detach()
        said = said or what_differs(iter([("without gradients", plain), ("with them", recorded)]))[1]
        if said:
            raise LawBroken(f"by {name} {said}", REMEDY_ALONE)


def scoring_changes_nothing(make: Setting) -> None:
    """Neither what it is given, nor an attribute, nor a global of its module, nor global random numbers.

    What is kept from a first call on, as a scale's logarithm on its device, is kept by then.
    """
    lik, levels = at_17_levels(make)
    before: dict[str, str] = {}
    for turn in range(2):
        raw, k = _unlike(lik, levels, turn)
        before = fingerprint(lik)  # of the second turn: whatever was to be kept was, by the first
        for name, data, score in _scores(lik, k, levels):
            given = raw.clone(), data.clone()
            with torch.no_grad():
                score(data, raw)
                score(data[:1], raw[:1])
            score(data, raw.clone().requires_grad_())
            for what, now, then in (("raw outputs", raw, given[0]), ("images", data, given[1])):
                if not torch.equal(now, then):
                    raise LawBroken(f"{name} writes into the {what} that it is given", REMEDY_STATE)
    if changed := changes(before, fingerprint(lik)):
        raise LawBroken(f"scoring changes {listed(changed)}", REMEDY_STATE)


def what_is_learned_is_held_in_parts(make: Setting) -> None:
    """An attribute is a plain value or a Part; and training changes nothing but parts.

    What is learned elsewhere is neither stacked nor moved to a device, and is in no snapshot and no file of weights.
    """
    lik, levels = at_17_levels(make)
    for name, value in lik._attributes().items():
        if what := _no_place_for(value):
            raise LawBroken(f"{type(lik).__name__}.{name} is {what}", REMEDY_PART)
    looks = []
    for turn, score in enumerate((lik.log_prob, lik.train_log_prob, lik.log_prob, lik.train_log_prob)):
        raw, k = _unlike(lik, levels, turn)
        score(seen(lik, k, levels), raw)
        looks.append(fingerprint(lik))
    scoring = set(changes(looks[1], looks[2]))  # of which another law tells
    parts = tuple(f"self.{name}" for name in lik._parts())
    learned = [place for place in changes(looks[2], looks[3]) if place not in scoring and not place.startswith(parts)]
    if learned:
        raise LawBroken(f"training changes {listed(learned)}, which is in no Part", REMEDY_PART)


def listed(places: list[str]) -> str:
    """Some of them in words."""
    more = len(places) - 3
    return ", ".join(places[:3]) + (f" and {more} more" if more > 0 else "")


def _no_place_for(value: object) -> str:
    """What a value is that an attribute may not be, "" where it may."""
    if isinstance(value, Part):
        return ""
    if isinstance(value, Likelihood):
        return f"a likelihood ({value.name}), whose own state is neither stacked, moved nor kept"
    if isinstance(value, torch.nn.Module):
        return f"a module ({type(value).__name__}), whose parameters are neither stacked, moved nor kept"
    if isinstance(value, Tensor):
        return "a tensor, which is neither stacked, moved nor kept"
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    found = next((what for item in inside if (what := "a Part" if isinstance(item, Part) else _no_place_for(item))), "")
    return f"a {type(value).__name__} that holds {found}" if found else ""


def _unlike(lik: Likelihood, levels: int, turn: int) -> tuple[Tensor, Tensor]:
    """Six images that are unlike each other, at two z each: raw [6, 2, R], k [6, 1, D], of 4 pixels."""
    dims = sized(lik, 4)
    raw = raw_outputs(lik, dims, 12, "random", seed=turn).reshape(6, 2, -1)
    raw = raw * torch.linspace(0.3, 2.0, 6).reshape(-1, 1, 1)
    return raw, torch.randint(levels, (6, 1, dims), generator=torch.Generator().manual_seed(6 + turn))


def _scores(lik: Likelihood, k: Tensor, levels: int) -> Iterator[tuple[str, Tensor, Score]]:
    yield "log_mass", k, lambda data, raw: lik.log_mass(data, raw, levels)
    yield "log_prob", seen(lik, k, levels), lambda data, raw: lik.log_prob(data, raw)
