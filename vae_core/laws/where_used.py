"""The laws where they are used: the masses that scored a trained model are summed, and its images are scored alone.

A plug-in is held to its laws on loading at raw outputs that somebody thought of; what a trained decoder gives is
something else. So every pass that scores images is watched. Of the pairs of an image and a z that it scores some are
taken out, at random, and of each of some images the z at which it scored best, since a mass that is too large there
would carry the score. At these raw outputs the masses of every dimension are summed over all K levels; and those of the
image's own levels, out of that very table, must give the score that was used. Axes: pairs P, images N, samples C,
dimensions D, levels K, raw R. It is one file, for what is summed and what is compared are taken from one pass.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.laws.alone import listed, rounding, ways, what_differs
from vae_core.laws.setting import LawBroken
from vae_core.laws.state import changes, fingerprint
from vae_core.likelihoods import Likelihood
from vae_core.numerics import progress
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import pieces
from vae_core.numerics.random import generator_for

#: how far from 1 masses may sum: far above what float32 does to shipped families on trained outputs, which are off by
#: 1.2e-5 at most on digits; worth 1.4e-4 bits/dim where every dimension is off by it
LIMIT = 1e-4
#: masses to be summed: as many as this share of those that the score takes, so that it costs about that share of the
#: time (a mass out of a table costs 0.01 to 2.4 times as much as one of a score, of a Bernoulli six times); …
SHARE = 0.03
#: … but at least so many, …
LEAST = 1 << 17
#: … and all of so many z of every image, one of them the one at which it scored best, …
EACH = 2
#: … and at most so many
MOST = 10**8
#: images that are scored alone and beside each other
ALONE = 8
#: raw outputs kept, at most, of the z at which images scored best
KEPT = 1 << 24

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Decode = Callable[[Tensor], Tensor]
Scorer = Callable[[Tensor, slice], Tensor]


class NotAScore(LawBroken):
    """Masses that were summed on a trained model's outputs and do not make 1, or an image that is not scored alone."""

    def __init__(self, said: str, found: Checked) -> None:
        super().__init__(said)
        self.found = found


@dataclass(frozen=True)
class Checked:
    """What was found where the masses were used."""

    mass_deviation: float  #: the highest |Σ_k P(k) − 1|
    masses_summed: int
    alone_deviation: float  #: between the scores of one image in different company, the highest, nats


@dataclass
class _Worst:
    """The worst of something so far, on the device: values[0] is how bad, the others say where."""

    values: Tensor
    raw: Tensor | None = None

    def take(self, badness: Tensor, raw: Tensor, *where: Tensor) -> None:
        """Of P pairs: how bad each is, its raw output [P, R], and what is to be kept of it, each [P]."""
        worst = badness.argmax().reshape(1)  # a number as an index would be read, and a GPU waited for
        values = torch.cat([part.double().index_select(0, worst) for part in (badness, *where)])
        better = values[0] > self.values[0]
        of_worst = raw.index_select(0, worst)[0]
        self.raw = of_worst if self.raw is None else torch.where(better, of_worst, self.raw)
        self.values = torch.where(better, values, self.values)


class Watch:
    """Watches one likelihood while it scores the images k [N, D] of K levels.

    Args:
        k: integers 0…K−1.
        encode: k -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [..., Z] -> raw [..., R].
        likelihood: a single one.
        levels: K.
        samples: z an image that are to be scored, about.
        seed: of which pairs are looked at.
    """

    def __init__(
        self, k: Tensor, encode: Encode, decode: Decode, likelihood: Likelihood, levels: int, samples: int, seed: int
    ) -> None:
        count, self._dims = k.shape
        self._k, self._likelihood, self._levels = k, likelihood, levels
        self._generator = generator_for("cpu", "masses summed", seed)
        self._a_pair = self._dims * levels
        to_score = count * self._dims * samples
        least = max(LEAST, EACH * count * self._a_pair)
        self._share = min(MOST / to_score, max(SHARE, least / to_score)) / 2  # the other half is for the best z
        self._to_come = to_score  # at that share; of what is scored beyond it, the usual one
        some = min(self._share * to_score / self._a_pair, KEPT / likelihood.outputs(self._dims), count)
        some = max(1, math.floor(some))
        self._chosen = [place * count // some for place in range(some)]
        self._images = torch.tensor(self._chosen, device=k.device)
        self._best = torch.full((some,), -math.inf, device=k.device)
        self._best_raw: Tensor | None = None
        self._owed, self._summed = 0.0, 0
        self._at_once = pieces(1 << (26 if accelerated(k.device) else 16))  # masses, which then stay in a core's cache
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []  # raw [P, R], images [P], score [P]
        self._off = _Worst(torch.full((4,), -1.0, dtype=torch.float64, device=k.device))
        self._other = _Worst(torch.full((4,), -1.0, dtype=torch.float64, device=k.device))
        self._alone = self._some(encode, decode)
        self._first: tuple[str, Tensor] | None = None  # their scores before all others
        self._written, self._version = False, k._version

    def over(self, scorer: Scorer) -> Scorer:
        """The same scorer, watched: raw [n, C, R], which images [n] -> ln P(k|z) [n, C]."""

        def watched(raw: Tensor, rows: slice) -> Tensor:
            if self._first is None:
                self._first = next(self._in_company())
            given = raw._version
            score = scorer(raw, rows)
            self._written |= raw._version != given
            if not torch.is_grad_enabled():
                self._keep_best(raw, rows, score)
                self._look(raw, rows, score)
            return score

        return watched

    def checked(self) -> Checked:
        """What was found. Raises NotAScore where the masses are none, or an image's score is not its own."""
        with torch.no_grad():
            scored = (self._best > -math.inf).nonzero()[:, 0]
            if self._best_raw is not None and len(scored):
                self._waiting.append((self._best_raw[scored], self._images[scored], self._best[scored]))
            self._sum_waiting()
            after = list(self._in_company())
            first = [("before all others", self._first[1]), after[0]] if self._first else []
            deviations = [what_differs(iter(found)) for found in (first, after) if found]
            changed = self._changed()
            if self._written or self._k._version != self._version:
                changed = ["the raw outputs or the test images that it is given", *changed]
        found = Checked(
            mass_deviation=max(0.0, float(self._off.values[0])),
            masses_summed=self._summed,
            alone_deviation=max([deviation for deviation, _ in deviations] + [self._from_table()]),
        )
        faults = [*self._said_of_sums(), *self._said_of_table()]
        if said := next((said for _, said in deviations if said), ""):
            faults.append(f"an image's score depends on others: {said}")
        if changed:
            faults.append(f"scoring changes {listed(changed)}, but may only read")
        if faults:
            raise NotAScore(f"{self._likelihood.name}: {'; and '.join(faults)}", found)
        return found

    def _from_table(self) -> float:
        """How far the score that was used is from the masses that were summed, nats, where it is worst."""
        beyond, _, used, own = self._other.values.tolist()
        return 0.0 if beyond <= 0 else abs(used - own) if math.isfinite(used - own) else math.inf

    # -- sums --------------------------------------------------------------------------------------------------------

    def _keep_best(self, raw: Tensor, rows: slice, score: Tensor) -> None:
        """Of the chosen images among the rows: the raw output at which each has scored best."""
        start, stop = (bisect.bisect_left(self._chosen, edge) for edge in (rows.start, rows.stop))
        if start == stop:
            return
        local = self._images[start:stop] - rows.start
        value, at = (part[local] for part in score.max(-1))  # of NaN, which is no best, the pairs at random tell
        better = value > self._best[start:stop]
        if not accelerated(raw.device) and not better.any():  # which a GPU would be waited for to say
            return
        if self._best_raw is None:
            self._best_raw = raw.new_zeros(len(self._chosen), raw.shape[-1])
        self._best_raw[start:stop] = torch.where(better.unsqueeze(-1), raw[local, at], self._best_raw[start:stop])
        self._best[start:stop] = torch.where(better, value, self._best[start:stop])

    def _look(self, raw: Tensor, rows: slice, score: Tensor) -> None:
        """Takes out some pairs, or all: their share of what this call scores, and of what is owed."""
        every, samples = score.numel(), score.shape[1]
        scored = every * self._dims
        expected = max(0, min(scored, self._to_come))
        self._to_come -= expected
        self._owed += self._share * expected + min(self._share, SHARE / 2) * (scored - expected)
        pairs = min(int(self._owed // self._a_pair), every)
        if pairs == every:
            picks, self._owed = torch.arange(every), 0.0
        elif pairs:
            picks = torch.randint(every, (pairs,), generator=self._generator)
            self._owed -= pairs * self._a_pair
        else:
            return
        picks = picks.to(raw.device)
        self._waiting.append((raw.flatten(0, 1)[picks], rows.start + picks // samples, score.flatten()[picks]))
        if sum(len(images) for _, images, _ in self._waiting) * self._a_pair >= self._at_once:
            self._sum_waiting()

    def _sum_waiting(self) -> None:
        """Sums all masses of the pairs that wait, and takes down the worst."""
        if not self._waiting:
            return
        raw, images, score = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting = []
        step = max(1, self._at_once // self._a_pair)
        for start in range(0, len(raw), step):
            some = slice(start, start + step)
            k = self._k[images[some]].long()
            total, own = sums(self._likelihood, raw[some], k, self._levels, max(1, self._at_once // self._dims))
            off, dim = (total - 1).abs().nan_to_num(nan=math.inf).max(-1)
            self._off.take(off, raw[some], images[some], dim, total.gather(1, dim.unsqueeze(1))[:, 0])
            used = score[some].double()
            gap = torch.where(used == own, 0.0, (used - own).abs().nan_to_num(nan=math.inf))
            gap = torch.where(used.isnan() & own.isnan(), 0.0, gap)
            gap = gap / rounding(own).nan_to_num(nan=1.0, posinf=1.0, neginf=1.0)
            self._other.take(gap, raw[some], images[some], used, own)
            self._summed += total.numel() * self._levels

    def _said_of_sums(self) -> list[str]:
        off, image, dim, total = self._off.values.tolist()
        if off <= LIMIT or self._off.raw is None:
            return []
        raw, k = self._off.raw.unsqueeze(0), self._k[int(image)].unsqueeze(0).long()
        with torch.no_grad():
            again, exact = (
                float(sums(self._likelihood, given, k, self._levels)[0][0, int(dim)]) for given in (raw, raw.double())
            )
        if not math.isfinite(total):
            why = "log_masses is not finite there"
        elif abs(again - total) > LIMIT / 2:
            why = f"summed again they make {again:.6g}: log_masses is not the same each time"
        elif abs(exact - 1) < LIMIT / 10:
            why = "in float64 they do make 1, so log_masses loses digits: compute in log space"
        elif total > 1:
            why = "log_masses has a factor too many there, or a normaliser that is too small"
        else:
            why = "log_masses loses mass there: a tail that no bin has, or a normaliser that is too large"
        return [
            f"over all {self._levels} levels the masses of test image {int(image)}, dimension {int(dim)} (counted from "
            f"0), sum to {total:.6g}, not 1 (the worst of {self._summed:,} masses; raw outputs within "
            f"[{float(raw.min()):.3g}, {float(raw.max()):.3g}]): {why}"
        ]

    def _said_of_table(self) -> list[str]:
        beyond, image, used, own = self._other.values.tolist()
        if beyond <= 1:
            return []
        return [
            f"test image {int(image)} (counted from 0) was scored {used:.6g} nats where the masses of its levels, of "
            f"all that were summed, make {own:.6g}: its score is not its log_masses, or not its own alone"
        ]

    # -- alone -------------------------------------------------------------------------------------------------------

    def _some(self, encode: Encode, decode: Decode) -> tuple[Tensor, Tensor]:
        """Some images, k [n, 1, D], and their raw outputs at the mean of q, [n, 1, R]; n ≥ 2, the same image twice
        where there is one alone."""
        count = len(self._k)
        some = torch.arange(min(ALONE, count), device=self._k.device) * count // min(ALONE, count)
        if count == 1:
            some = some.repeat(2)
        with torch.no_grad():
            raw = decode(encode(self._k[some])[0])
        return self._k[some].unsqueeze(1), raw.unsqueeze(1)

    def _in_company(self, *others: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Them, or other images and raw outputs in their place, in every company."""

        def score(data: Tensor, raw: Tensor) -> Tensor:
            with torch.no_grad():
                return self._likelihood.log_mass(data, raw, self._levels)

        return ways(score, *(others or self._alone))

    def _changed(self) -> list[str]:
        """What scoring others changes, now that what is kept for speed is kept."""
        k, raw = self._alone
        before = fingerprint(self._likelihood)
        for _ in self._in_company(k.roll(1, 0), raw.flip(0) + 0.5):
            pass
        return changes(before, fingerprint(self._likelihood))


def sums(
    likelihood: Likelihood, raw: Tensor, k: Tensor, levels: int, levels_at_once: int | None = None
) -> tuple[Tensor, Tensor]:
    """Σ_k P(k) of every dimension, [P, D], and Σ_d ln P(k_d) of the images' own levels out of the same masses, [P], in
    float64: raw [P, R], k [P, D]."""
    step = min(levels, levels_at_once or levels)
    total = torch.zeros(k.shape, dtype=torch.float64, device=k.device)
    own = torch.zeros_like(total)
    for start in range(0, levels, step):
        some = torch.arange(start, min(start + step, levels), device=k.device)
        table = likelihood.log_level_masses(some, k, raw, levels)
        total += table.exp().sum(1, dtype=torch.float64)
        inside = (k - start).clamp(0, len(some) - 1)
        here = (k >= start) & (k < start + len(some))
        own += torch.where(here, table.gather(1, inside.unsqueeze(1))[:, 0].double(), 0.0)
        progress.made()
    return total, own.sum(-1)
