"""One row of a ranking: a configuration, joined over its seeds; or a reference, a number that others are held against.

A configuration is a cell without its seed. What is not known of a row, or does not apply to it, is NaN, '', 0 or None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.grid.settings import KEYS, keys_of
from bench.statistics.endings import Ending
from bench.statistics.trust import Doubt
from bench.statistics.tuning import Tuned
from bench.store import RESULT_COLUMNS, Results
from bench.store.columns import columns
from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import Floats, Interval, Verdict

NOTHING_KNOWN = Results()
NOT_RECORDED = Ending()
NOT_TUNED = Tuned()
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

NAN = math.nan
MATCHED = keys_of("training", "network", "schedule")  # settings that two rows of a fair comparison agree in

#: how columns [C, S] are joined over the S seeds of a configuration, by the word with which each is declared
JOINS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda values: means(values),
    "mean and deviation": lambda values: means(values),
    "highest": lambda values: values.max(axis=1),  # what is unknown of one seed may be the highest
    "lowest": lambda values: np.fmin.reduce(values, axis=1),
    "sum": lambda values: np.where(np.isnan(values), 0.0, values).sum(axis=1),
}


class Withheld(StrEnum):
    """Why an estimate has no interval."""

    NOTHING = ""  # it has one, or it is one number that has none
    FEW_IMAGES = f"fewer than {FEWEST_IMAGES} test images, or blocks of them"
    IMPOSSIBLE = "reaches beyond what is possible"  # of the mean of a log-probability: above 0 nats, below 0 bits/dim


@dataclass(frozen=True)
class Estimate:
    """A mean over images and seeds with its 95 % interval, and the parts of that; NaN where one is not known, or is
    withheld."""

    mean: float
    low: float = NAN
    high: float = NAN
    image_low: float = NAN
    image_high: float = NAN
    seed_low: float = NAN
    seed_high: float = NAN
    seeds: int = 0
    withheld: Withheld = Withheld.NOTHING

    @classmethod
    def of(cls, intervals: Interval, index: int) -> Estimate:
        """One of several intervals."""
        one = intervals.at(index)
        mean, low, high, image_low, image_high, seed_low, seed_high = map(float, one[:-1])
        few = one.seeds > 0 and math.isnan(image_low)
        withheld = Withheld.FEW_IMAGES if few else Withheld.NOTHING
        return cls(mean, low, high, image_low, image_high, seed_low, seed_high, int(one.seeds), withheld)

    @property
    def noise_known(self) -> bool:
        """Whether its interval holds what another training would change."""
        return not math.isnan(self.seed_low)

    def possible(self) -> Estimate:
        """Without its interval where that reaches above 0, as no mean of log-probabilities (nats) can; the parts that
        do not reach there stay."""
        if not self.high > 0:
            return self
        hidden = replace(self, low=NAN, high=NAN, withheld=Withheld.IMPOSSIBLE)
        if self.image_high > 0:
            hidden = replace(hidden, image_low=NAN, image_high=NAN)
        return replace(hidden, seed_low=NAN, seed_high=NAN) if self.seed_high > 0 else hidden

    def times(self, factor: float) -> Estimate:
        """That of `factor` times the quantity: a negative factor exchanges the ends."""
        mean, low, high = factor * self.mean, factor * self.low, factor * self.high
        images = factor * self.image_low, factor * self.image_high
        seeds = factor * self.seed_low, factor * self.seed_high
        if factor < 0:
            low, high, images, seeds = high, low, images[::-1], seeds[::-1]
        return Estimate(mean, low, high, *images, *seeds, self.seeds, self.withheld)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; numbers without a unit in their name are in the unit of its board."""

    label: str
    value: Estimate
    reference: bool = False  # one number to hold others against: without rank, verdict, seeds and results

    # what was asked
    config: str = ""
    kind: str = ""
    family: str = ""
    sigma: str = ""  # a number, or how it is learned; '' without one
    options: str = ""
    scored_as: str = ""
    view: str = ""
    recipe: bool = False
    reading_of: str = ""  # the configuration that is its recipe's chosen reading; '' where none was chosen
    settings: Mapping[str, Any] = field(default_factory=dict)  # by the keys of MATCHED; of a tuned one, its candidates
    tuned: Tuned = NOT_TUNED

    # what came out, over the seeds
    seeds: int = 0
    seed_deviation: float = NAN  # of the value
    results: Results = NOTHING_KNOWN  # joined as each column declares
    deviations: Results = NOTHING_KNOWN  # between seeds, of the columns that declare one
    refined: int = 0  # seeds whose proposals were fitted to each image
    lift: float = NAN  # by which that raised the bound over the encoder's own
    rise: float = NAN  # per doubling of L, in the worst seed
    doubts: tuple[Doubt, ...] = ()  # why it is not ranked
    ending: Ending = NOT_RECORDED  # of its trainings

    # how it stands
    rank: int | None = None
    behind: Estimate = Estimate(NAN)  # paired difference to the first of the board, positive is worse
    p: float = NAN  # of "this one is among the best", corrected
    verdict: Verdict | None = None

    @property
    def trusted(self) -> bool:
        """Whether its bound can be believed in every seed."""
        return not self.doubts

    @property
    def set_aside(self) -> bool:
        """Whether it is a reading of a recipe of which another one was chosen."""
        return self.reading_of not in ("", self.config)

    @property
    def objective(self) -> str:
        return str(self.settings["objective"])

    @property
    def bound(self) -> str:
        return str(self.settings["bound"])

    @property
    def networks(self) -> list[str]:
        """The network, or those that it may have where that is tuned, as a grid names them."""
        return [str(name) for name in self.tuned.candidates.get("network", (self.settings["network"],))]

    @property
    def train_samples(self) -> int:
        return int(self.in_use("train_samples"))

    @property
    def latent(self) -> int:
        """The size of the latent."""
        return int(self.in_use("latent"))

    def in_use(self, key: str) -> Any:
        """The value of a key of MATCHED that its models have, chosen or given."""
        return self.tuned.values.get(key, self.settings[key])

    @property
    def own_options(self) -> dict[str, Any]:
        """The options of its family but for σ."""
        return dict(json.loads(self.options)) if self.options else {}

    @property
    def fixed_sigma(self) -> float:
        """σ where the grid gives a number, NaN where it is learned or there is none."""
        try:
            return float(self.sigma)
        except ValueError:
            return NAN

    @property
    def learns_sigma(self) -> bool:
        return self.sigma != "" and math.isnan(self.fixed_sigma)

    @property
    def noise_ratio(self) -> float:
        """The noise that the decoder predicts, as a multiple of the noise there is."""
        there_is = self.results.noise_realised
        return self.results.noise_predicted / there_is if there_is > 0 else NAN


def joined(cells: pd.DataFrame, places: Iterable[NDArray[np.intp]]) -> Iterator[tuple[Results, Results]]:
    """What the cells of each configuration ended with, over its seeds as each column declares; and the standard
    deviations between them, of the columns that declare one. places: the rows of `cells` that are a configuration's.

    A run may have thousands of configurations: of each word all columns are joined at once.
    """
    declared = grouped([(name, column.joined) for name, column in columns() if column.joined], lambda pair: pair[1])
    tables = {
        word: (names, np.ascontiguousarray(cells[names].to_numpy(dtype=float).T))
        for word, names in ((word, [name for name, _ in pairs]) for word, pairs in declared.items())
    }
    for place in places:
        numbers: dict[str, Any] = {}
        spread: dict[str, Any] = {}
        for word, (names, table) in tables.items():
            own = np.ascontiguousarray(table[:, place])  # each column in one piece: summed as it would be alone
            for name, value in zip(names, JOINS[word](own).tolist(), strict=True):
                # a count stays one, but for a mean of counts
                whole = RESULT_COLUMNS[name] == "INTEGER" and not word.startswith("mean") and math.isfinite(value)
                numbers[name] = int(value) if whole else value
            if word == "mean and deviation":
                spread |= dict(zip(names, _deviations(own).tolist(), strict=True))
        yield Results(**numbers), Results(**spread)


def means(values: Floats) -> Floats:
    """Of each column [C, S], of the numbers that are known; NaN of none."""
    unknown = np.isnan(values)
    count = values.shape[1] - unknown.sum(axis=1)
    total = np.where(unknown, 0.0, values).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), NAN), where=count > 0)


def _deviations(values: Floats) -> Floats:
    """The standard deviation of each column [C, S], of the numbers that are known; NaN of fewer than two."""
    unknown = np.isnan(values)
    freedom = values.shape[1] - unknown.sum(axis=1) - 1
    squares = np.where(unknown, 0.0, (means(values)[:, None] - values) ** 2).sum(axis=1)
    variance = np.divide(squares, freedom, out=np.full(len(values), NAN), where=freedom > 0)
    return np.sqrt(variance)


def matched(rows: Iterable[Row], row: Row) -> list[Row]:
    """Those of `rows` whose training settings (objective, bound, samples, network, schedule) are those of `row`. Of a
    family without a choice of objective a grid asks for it in the word that asks a density for dequantised data;
    what was tuned agrees where it had the same candidates."""
    return [other for other in rows if _asked(other) == _asked(row)]


def _asked(row: Row) -> dict[str, Any]:
    """The settings of a row as a grid asks for them; what its family implies is not asked for."""
    return {name: KEYS[name].absent if value in KEYS[name].implied else value for name, value in row.settings.items()}


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Rows with one key together, both in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_family(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each family, in the order in which they come."""
    return grouped(rows, lambda row: row.family)


def first_of_each(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """The first row with each key."""
    return [group[0] for group in grouped(rows, key).values()]


def median(numbers: Sequence[float]) -> float:
    """Of the numbers that are known; NaN of none."""
    numbers = [number for number in numbers if not math.isnan(number)]
    return float(np.median(numbers)) if numbers else NAN
