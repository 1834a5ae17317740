"""A mixture of products of categoricals: what a latent with C values and a free table can do, without any network.

P(k) = Σ_c w_c Π_d P_c,d(k_d), by EM on training images (McLachlan & Peel 2000, Finite Mixture Models, chapter 2). Each
table is drawn towards the histogram by a Dirichlet prior worth `PULLS` images; C = 1, 2, 4, … as long as the mean ln P
of the validation images rises, and the pull that they have best at each C. More than `FINE` levels are joined to
`COARSE` groups, alike in how often they occur in training images: the components differ in their groups, and what a
group's levels are among themselves is the histogram's in all of them, so that 256 levels are not counted one by one in
components of a hundred images.

Bounds, none of them in seconds, so that a machine changes no number: at most `TRAINED` training images and `VALUES`
values of them, `JUDGED` validation images, `ROUNDS` rounds a fit, `MOST` components and `WORK` products of a value and
a component a round. (Values that are the most frequent of their dimension cost nothing and are not counted.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from vae_core.numerics import progress
from vae_core.references._base import ANY, Card, Distribution, Fitted, Images, Sizes
from vae_core.references._tables import Floats, Integers, OneHot, Tables, counted
from vae_core.references.histogram import smoothed

SEED = 0
TRAINED, VALUES, JUDGED = 20_000, 1e7, 5_000
ROUNDS, SETTLED = 50, 1e-4  # bits/dim that a round must gain
MOST = 256
WORK = 4e8
FINE, COARSE = 32, 16
PULL = 8.0  # while EM goes on
PULLS = (0.5, 2.0, 8.0, 16.0, 32.0)  # among which validation images choose then


class ProductMixture(Distribution):
    card = Card(
        title="mixture of products",
        summary="Knows a number of kinds of image and a histogram of each; within a kind, places do not depend on one "
        "another.",
        source="EM: Dempster, Laird & Rubin 1977; McLachlan & Peel 2000, Finite Mixture Models, chapter 2",
    )

    @classmethod
    def seconds(cls, sizes: Sizes) -> float:
        return ANY + 2e-6 * min(VALUES, sizes.train * sizes.dims / 4)

    def fit(self, images: Images) -> Fitted:
        table, _ = smoothed(images)
        joined = groups(counted(images.train, images.levels).sum(axis=0))
        size = int(joined.max()) + 1
        prior = np.stack([table[:, joined == group].sum(axis=1) for group in range(size)], axis=1)
        within = np.log(table) - np.log(prior)[:, joined]
        valid = joined[evenly(images.valid, JUDGED)]
        fitted, details = chosen(joined[images.train], valid, prior)
        components = len(fitted.log_weights)
        label = f"product mixture ({components})"
        details |= {"groups of levels": size} if size < images.levels else {}
        return Fitted(Tables(fitted.log_weights, fitted.log_masses, joined, within), label, details)


def chosen(every: Integers, valid: Integers, prior: Floats) -> tuple[Tables, dict[str, Any]]:
    """The mixture of as many components as validation images [N, D] have best, of training images `every`; `prior`
    [D, B] is what its tables are drawn towards. And how it was found."""
    dims, size = prior.shape
    typical = counted(every, size).argmax(axis=1)
    train = evenly(every, fitting(every, typical, TRAINED, VALUES))
    of_train, of_valid = OneHot(train, size, typical), OneHot(valid, size, typical)
    best = Judged(-np.inf, Tables(np.zeros(1), np.log(prior)[None]), PULL)
    facts, tried, components = {}, {}, 1
    while components <= min(MOST, len(train) // 2) and components * max(of_train.rows.nnz, len(train)) <= WORK:
        weights, counts, rounds = expected(begun(train, of_train, prior, components), train, of_train, prior)
        now = judged(weights, counts, prior, of_valid)
        tried[str(components)] = round(float(-now.mean / (dims * np.log(2))), 4)
        if now.mean <= best.mean:
            break
        best, facts = now, {"components": components, "rounds": rounds, "images": len(train)}
        components *= 2
    return best.tables, {**facts, "pull": best.pull, "validation bits/dim by components": tried}


class Judged(NamedTuple):
    """Tables, by the pull that the validation images have best, and their mean ln P of an image then."""

    mean: float
    tables: Tables
    pull: float


def judged(weights: Floats, counts: Floats, prior: Floats, of_valid: OneHot) -> Judged:
    """Of expected images [C] and counts [C, D, B]."""
    pulled = ((pull, drawn(weights, counts, prior, pull)) for pull in PULLS)
    return max((Judged(mean(of_valid, tables), tables, pull) for pull, tables in pulled), key=lambda one: one.mean)


def fitting(k: Integers, typical: Integers, most: int, values: float) -> int:
    """How many images, `most` at most, have so many values that are not the typical ones of their dimensions."""
    each = float((evenly(k, JUDGED) != typical).sum(axis=1).mean())
    return int(min(len(k), most, max(2, values / max(each, 1))))


def expected(shares: Floats, train: Integers, one_hot: OneHot, prior: Floats) -> tuple[Floats, Floats, int]:
    """EM from shares [N, C] to its end: expected images [C] of each component, their counts [C, D, B], and the rounds
    that it took."""
    before, now, rounds = -np.inf, -np.inf, 0
    while rounds < ROUNDS and (rounds < 2 or now - before >= SETTLED * np.log(2) * train.size):
        before, rounds = now, rounds + 1
        weights, counts = shares.sum(axis=0), one_hot.counts(shares)
        tables = drawn(weights, counts, prior, PULL)
        joint = one_hot.sums(tables.log_masses) + tables.log_weights
        shares = softmax(joint, axis=1)
        now = objective(joint, tables, prior)
        progress.made()
    return weights, counts, rounds


def objective(joint: Floats, tables: Tables, prior: Floats) -> float:
    """What EM never lowers, in nats: ln P of the images, of ln P(k, c) [N, C], and the logarithm of the prior."""
    pulled = PULL * float((prior * tables.log_masses).sum())
    return float(logsumexp(joint, axis=1).sum()) + pulled + float(tables.log_weights.mean())


def drawn(weights: Floats, counts: Floats, prior: Floats, pull: float) -> Tables:
    """The tables of expected images [C] and counts [C, D, B], drawn towards the prior by so many images."""
    masses = (counts + pull * prior) / (counts.sum(axis=2, keepdims=True) + pull)
    count = len(weights)
    return Tables(np.log((weights + 1 / count) / (weights.sum() + 1)), np.log(masses))


def begun(train: Integers, one_hot: OneHot, prior: Floats, components: int) -> Floats:
    """Shares [N, C] to begin with: of images that are far from one another, each half itself and half the prior
    (k-means++, Arthur & Vassilvitskii 2007, by the number of values that differ)."""
    rng = np.random.default_rng(SEED)
    centres = [int(rng.integers(len(train)))]
    apart = np.full(len(train), np.inf)
    while len(centres) < components:
        progress.made()
        apart = np.minimum(apart, (train != train[centres[-1]]).sum(axis=1))
        chances = apart.astype(float) ** 2
        total = chances.sum()
        centres.append(int(rng.choice(len(train), p=chances / total if total > 0 else None)))
    size = prior.shape[1]
    masses = 0.5 * prior + 0.5 * np.eye(size)[train[centres]]
    return np.asarray(softmax(one_hot.sums(np.log(masses)), axis=1))


def mean(one_hot: OneHot, tables: Tables) -> float:
    """Mean ln P of images, nats."""
    return float(logsumexp(one_hot.sums(tables.log_masses) + tables.log_weights, axis=1).mean())


def groups(counts: Floats) -> Integers:
    """The group [K] of each level, by how often levels occur: one for each where they are few, else some `COARSE`
    neighbouring ones of equal share, a frequent level alone."""
    levels = len(counts)
    if levels <= FINE:
        return np.arange(levels)
    share = counts / counts.sum()
    alone = share >= 1 / COARSE
    full = share[~alone].sum() / max(1, COARSE - int(alone.sum()))
    joined, group, filled = np.zeros(levels, int), 0, 0.0
    for level in range(1, levels):
        filled += share[level - 1]
        if alone[level] or alone[level - 1] or filled + share[level] / 2 > full:
            group, filled = group + 1, 0.0
        joined[level] = group
    return joined


def evenly(k: Integers, most: int) -> Integers:
    """At most so many images, at even spacing."""
    return k if len(k) <= most else k[np.arange(most) * len(k) // most]
