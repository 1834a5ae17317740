"""From a run's tables to ranked configurations: one board for each kind of number that may be ranked together.

A board is one data set in one measure (and, for the binary view, one binarisation) over the same test images. A
configuration is a cell without its seed. Nothing is ranked across boards; densities and the unnormalised objectives
of recipes are carried along as columns and take no part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
import pandas as pd

from bench import compare
from bench.compare import Floats, Interval
from bench.store import RunTables

LN2 = float(np.log(2))
CURRENCIES = ("pmf-K", "pmf-2")  # in the order in which they are shown
ESS_FLOOR = 10.0  # effective samples in the median image below which an importance-weighted bound is not believed
RISE_FLOOR = {"bits/dim": 0.005, "nats": 0.1}  # gain per doubling of L: half or one unit of the last digit people quote
BOOTSTRAP_SEED = 0  # the same tables give the same page
SETTINGS = ("train_samples", "objective", "hidden", "activation", "latent", "epochs", "batch_size", "learning_rate")
AVERAGED = (
    "iw_nats",
    "elbo_nats",
    "kl_nats",
    "reconstruction_nats",
    "active_units",
    "dequantised_bits_per_dim",
    "density_nats",
    "training_objective_nats",
    "sigma_fitted",
    "train_images_per_s",
    "eval_decodes_per_s",
    "bundle_train_images_per_s",
    "bundle_models",
    "matmul_share",
)
SPREAD = ("density_nats", "training_objective_nats")  # shown unranked, with their standard deviation between seeds
DESCRIBED = ("label", "kind", "family", "sigma", "options", "scored_as", "recipe", "view", *SETTINGS)


@dataclass(frozen=True)
class Sample:
    """ln P(x) of one configuration: nats [S, N], with the seed of each row and the cell that it came from."""

    nats: Floats
    seeds: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Configurations that may be ranked together, best first in `rows` (the columns are those of `ranking`)."""

    dataset: str
    measure: str
    currency: str
    binarisation: str
    dims: int
    images: int
    samples: dict[str, Sample]
    rows: pd.DataFrame

    @property
    def data(self) -> str:
        """The data set's name; of a path, its last part."""
        return short(self.dataset)

    @property
    def unit(self) -> str:
        return "nats" if self.currency == "pmf-2" else "bits/dim"

    @property
    def better(self) -> str:
        return "higher" if self.unit == "nats" else "lower"

    @property
    def levels(self) -> int:
        return int(self.measure.rpartition("-")[2])

    @property
    def name(self) -> str:
        return f"{self.data} {self.measure}" + (f" {self.binarisation}" if self.binarisation else "")

    @property
    def uniform(self) -> float:
        """What a uniform guess over the levels scores, in the board's unit: a floor for anything that has learned."""
        nats = -self.dims * float(np.log(self.levels))
        return nats if self.unit == "nats" else -nats / (self.dims * LN2)

    def leads(self, pairs: Sequence[tuple[str, str]]) -> list[Interval | None]:
        """By how much the first configuration of each pair is better, in the board's unit (negative: it is worse).

        Paired by seed and image, fields are scalars; None where the two share no seed.
        """
        differences: list[Floats | None] = []
        for pair in pairs:
            one, other = (self.samples[config] for config in pair)
            shared = [seed for seed in one.seeds if seed in other.seeds]
            a, b = (sample.nats[[sample.seeds.index(seed) for seed in shared]] for sample in (one, other))
            differences.append(a - b if shared else None)
        known = [difference for difference in differences if difference is not None]
        if not known:
            return [None for _ in pairs]
        found = iter(range(len(known)))
        lead = _scaled(compare.intervals(known, _generator()), self.scale)
        return [None if difference is None else lead.at(next(found)) for difference in differences]

    @property
    def scale(self) -> float:
        """Units per nat of difference."""
        return 1.0 if self.unit == "nats" else 1 / (self.dims * LN2)


def boards(tables: RunTables) -> list[Board]:
    """The boards of a run, grey levels first; empty where no cell has usable numbers."""
    cells = tables.cells
    usable = set(cells["cell"]) - set(unusable(tables)["cell"])
    cells = cells[cells["cell"].isin(usable)]
    arrays = dict(_per_image(tables, usable))
    binarisation = cells["binarisation"].where(cells["currency"] == "pmf-2", "").fillna("")
    images = cells["cell"].map(lambda cell: len(arrays[cell])).astype(int)
    keys = [cells["currency"], cells["dataset"], cells["measure"], binarisation, images]
    found = [
        _board(group, arrays, tables.bounds, binarisation=str(key[3]))
        for key, group in cells.groupby(keys, sort=False, observed=True)
    ]
    order = {currency: place for place, currency in enumerate(CURRENCIES)}
    return sorted(found, key=lambda board: order.get(board.currency, len(order)))


def ranking(tables: RunTables) -> pd.DataFrame:
    """One row per configuration and currency, best first within each board.

    `value [low, high]` is the log-likelihood in `unit` (nats: higher is better, bits/dim: lower is better) with its
    95 % interval over images and seeds; `seed_deviation` the standard deviation of the value between seeds (NaN with
    one seed); `worse_by [worse_low, worse_high]` the paired difference to the board's first row, positive is worse,
    over `shared_seeds` seeds; `verdict` one of bench.compare.Verdict; `trusted` whether the bound can be believed,
    else `caution` says why not. Means over seeds of the cells' own columns follow under the names of the run file.
    """
    return frame(boards(tables))


def frame(found: list[Board]) -> pd.DataFrame:
    """The rows of several boards under one another."""
    if not found:
        return pd.DataFrame(columns=["board", "currency", "rank", "config", "label", "value", "verdict"])
    return pd.concat([board.rows for board in found], ignore_index=True)


def unusable(tables: RunTables) -> pd.DataFrame:
    """The cells that cannot be ranked: failed ones, and finished ones without finite numbers for every test image.

    Columns: cell, label, seed, status, reason.
    """
    cells = tables.cells
    images = tables.per_image
    bad = set(images.loc[~np.isfinite(images["iw_nats"]), "cell"].unique())
    scored = set(images["cell"].unique())
    rows = []
    for row in cells[["cell", "label", "seed", "status", "reason", "measure", "bits_per_dim"]].itertuples(index=False):
        reason = row.reason if isinstance(row.reason, str) else None
        if row.status == "done":
            if row.cell not in scored or not isinstance(row.measure, str) or not np.isfinite(row.bits_per_dim):
                reason = "it ended without a log-likelihood of the test images"
            elif row.cell in bad:
                reason = "a test image has no finite log-likelihood"
            else:
                continue
        rows.append((row.cell, row.label, row.seed, row.status, reason or "no reason was recorded"))
    return pd.DataFrame(rows, columns=["cell", "label", "seed", "status", "reason"])


def short(dataset: str) -> str:
    """A data set's name, without the folders of one that is given as a path."""
    return PurePath(dataset).name or dataset


def matched(rows: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """Those of `rows` whose training settings (samples, objective, network, schedule) are those of `row`."""
    return rows[np.logical_and.reduce([rows[name] == row[name] for name in SETTINGS])]


def rise_per_doubling(bounds: pd.DataFrame) -> float:
    """Nats that the last doubling of L brought, from rows (samples, bound_nats) of one configuration; NaN of one L."""
    means = bounds.groupby("samples")["bound_nats"].mean().dropna().sort_index()
    if len(means) < 2:
        return float("nan")
    before, last = means.index[-2:]
    return float((means[last] - means[before]) / np.log2(last / before))


def _per_image(tables: RunTables, cells: set[str]) -> Iterator[tuple[str, Floats]]:
    for cell, group in tables.per_image.groupby("cell", sort=False):
        if cell in cells:
            order = np.argsort(group["image"].to_numpy(), kind="stable")
            yield cell, group["iw_nats"].to_numpy(dtype=float)[order]


def _board(cells: pd.DataFrame, arrays: dict[str, Floats], bounds: pd.DataFrame, binarisation: str) -> Board:
    first = cells.iloc[0]
    dims = round(float(np.median(-cells["iw_nats"] / (cells["bits_per_dim"] * LN2))))
    groups = {config: group.sort_values("seed") for config, group in cells.groupby("config", sort=False)}
    samples = {
        config: Sample(
            nats=np.stack([arrays[cell] for cell in group["cell"]]),
            seeds=tuple(int(seed) for seed in group["seed"]),
            cells=tuple(group["cell"]),
        )
        for config, group in groups.items()
    }
    board = Board(
        dataset=first["dataset"],
        measure=first["measure"],
        currency=first["currency"],
        binarisation=binarisation,
        dims=dims,
        images=len(arrays[first["cell"]]),
        samples=samples,
        rows=pd.DataFrame(),
    )
    ranked = compare.rank([s.nats for s in samples.values()], [s.seeds for s in samples.values()], _generator())
    value = _scaled(ranked.mean, 1.0 if board.unit == "nats" else -board.scale)
    deficit = _scaled(ranked.deficit, board.scale)
    by_cell = bounds.groupby("cell")
    rows = []
    for place, index in enumerate(ranked.order, start=1):
        config = list(samples)[index]
        group, sample = groups[config], samples[config]
        curves = [by_cell.get_group(cell) for cell in sample.cells if cell in by_cell.groups]
        rise = board.scale * rise_per_doubling(pd.concat(curves)) if curves else float("nan")
        ess = float(group["ess_median"].min())
        caution = _caution(ess, rise, board.unit)
        own, lag = value.at(index), deficit.at(index)
        rows.append(
            {
                "board": board.name,
                "dataset": board.dataset,
                "currency": board.currency,
                "measure": board.measure,
                "rank": place,
                "config": config,
                **{name: group.iloc[0][name] for name in DESCRIBED},
                "unit": board.unit,
                "value": own.mean,
                "low": own.low,
                "high": own.high,
                "image_low": own.image_low,
                "image_high": own.image_high,
                "seed_low": own.seed_low,
                "seed_high": own.seed_high,
                "seeds": len(sample.seeds),
                "seed_deviation": board.scale * compare.seed_deviation(sample.nats),
                "worse_by": lag.mean,
                "worse_low": lag.low,
                "worse_high": lag.high,
                "shared_seeds": int(lag.seeds),
                "verdict": str(ranked.verdicts[index]),
                "iw_samples": int(np.nan_to_num(group["iw_samples"].max())),
                "ess_median": ess,
                "rise": rise,
                "trusted": not caution,
                "caution": caution,
                **{name: float(group[name].mean()) for name in AVERAGED},
                **{f"{name}_sd": float(group[name].std()) for name in SPREAD},
            }
        )
    return replace(board, rows=pd.DataFrame(rows))


def _caution(ess: float, rise: float, unit: str) -> str:
    """Why a bound is not to be believed, '' if nothing speaks against it."""
    doubts = []
    if ess < ESS_FLOOR:
        doubts.append(f"only {ess:.1f} effective samples in the median image")
    if rise > RISE_FLOOR[unit]:
        doubts.append(f"still gaining {rise:.{3 if unit == 'bits/dim' else 2}f} {unit} per doubling of L")
    return "; ".join(doubts)


def _scaled(interval: Interval, factor: float) -> Interval:
    """The interval of `factor` times the quantity: a negative factor exchanges the ends."""
    mean, *ends = (field * factor for field in interval[:-1])
    if factor < 0:
        ends = [ends[place] for place in (1, 0, 3, 2, 5, 4)]
    low, high, image_low, image_high, seed_low, seed_high = ends
    return Interval(mean, low, high, image_low, image_high, seed_low, seed_high, interval.seeds)


def _generator() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)
