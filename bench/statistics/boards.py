"""From a run's tables to ranked configurations: one board for each kind of number that may be ranked together.

A board is one data set in one measure (and, for the binary view, one binarisation) over the same test images. A
configuration is a cell without its seed. Nothing is ranked across boards; densities and the unnormalised objectives
of recipes are carried along as columns and take no part. Nor is a bound ranked that cannot be trusted
(bench.statistics.trust): it is left out, a lower bound with the reason why it is no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from bench.report.numbers import listed
from bench.statistics.trust import doubts, rise_per_doubling
from bench.store import RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.intervals import Floats, Interval

LN2 = float(np.log(2))
CURRENCIES = ("pmf-K", "pmf-2")  # in the order in which they are shown
BOOTSTRAP_SEED = 0  # the same tables give the same page
SETTINGS = (
    "train_samples",
    "objective",
    "hidden",
    "activation",
    "latent",
    "epochs",
    "batch_size",
    "learning_rate",
    "precision",
)
AVERAGED = (
    "iw_nats",
    "elbo_nats",
    "kl_nats",
    "reconstruction_nats",
    "active_units",
    "amortisation_gap_nats",
    "approximation_gap_nats",
    "jackknife_nats",
    "khat_median",
    "encoder_iw_nats",
    "encoder_khat_bad_fraction",
    "pit_deviation",
    "coverage_50",
    "coverage_95",
    "noise_predicted",
    "noise_realised",
    "dequantised_bits_per_dim",
    "density_nats",
    "density_khat_bad_fraction",
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
    """Configurations of one kind of number (the columns are those of `ranking`).

    `rows` are ranked, best first; `left_out` have bounds that cannot be trusted, best bound first.
    """

    dataset: str
    measure: str
    currency: str
    binarisation: str
    dims: int
    images: int
    samples: dict[str, Sample]
    rows: pd.DataFrame
    left_out: pd.DataFrame

    @property
    def everything(self) -> pd.DataFrame:
        """The ranked rows, then those that are left out."""
        return pd.concat([self.rows, self.left_out], ignore_index=True)

    @property
    def better_unranked(self) -> pd.DataFrame:
        """What is left out although its bound alone beats the best ranked one: then the best is not known."""
        if self.rows.empty:
            return self.left_out
        return self.left_out[self.sign * self.left_out["value"] > self.sign * self.rows.iloc[0]["value"]]

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
    def sign(self) -> int:
        """1 where a higher number is better, else -1."""
        return 1 if self.better == "higher" else -1

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
    """One row per configuration and currency: within each board the ranked ones, best first, then those left out.

    `trusted` says whether the bound can be believed in every seed; if not, `caution` says why, and the row has no
    rank (NA), no verdict ('') and no difference to the best (NaN): its value is "at least this good", no more.
    `value [low, high]` is the log-likelihood in `unit` (nats: higher is better, bits/dim: lower is better) with its
    95 % interval over images and seeds; `seed_deviation` the standard deviation of the value between seeds (NaN with
    one seed); `worse_by [worse_low, worse_high]` the paired difference to the board's first row, positive is worse,
    over `shared_seeds` seeds; `verdict` one of `intervals.Verdict`, by `p_adjusted` and that interval.
    `khat_bad_fraction`, `ess_median` and `rise` (gain per doubling of L) are those of the worst seed, `refined` and
    `collapsed` count seeds, `lift` is what refinement gained over the encoder's own bound, in `unit`. Means over
    seeds of the cells' own columns follow under the names of the run file.
    """
    return frame(boards(tables))


def frame(found: list[Board]) -> pd.DataFrame:
    """The rows of several boards under one another."""
    if not found:
        return pd.DataFrame(columns=["board", "currency", "rank", "config", "label", "value", "verdict"])
    return pd.concat([board.everything for board in found], ignore_index=True)


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
        left_out=pd.DataFrame(),
    )
    rises = {cell: board.scale * rise_per_doubling(own) for cell, own in bounds.groupby("cell")}
    known = {config: _known(board, group, rises) for config, group in groups.items()}
    trusted = [config for config, facts in known.items() if facts["trusted"]]
    others = [config for config, facts in known.items() if not facts["trusted"]]
    rows = pd.DataFrame(
        [
            {"rank": place, **known[config], **results}
            for place, config, results in (*_ranked(board, trusted), *_unranked(board, others))
        ]
    ).astype({"rank": "Int64"})
    believed = rows["trusted"].astype(bool)
    return replace(board, rows=rows[believed].reset_index(drop=True), left_out=rows[~believed].reset_index(drop=True))


def _known(board: Board, group: pd.DataFrame, rises: dict[str, float]) -> dict[str, Any]:
    """What is known of one configuration, given its cells, without comparing it with others."""
    sample = board.samples[group.iloc[0]["config"]]
    worst = [rises.get(cell, float("nan")) for cell in sample.cells]
    bad = group["khat_bad_fraction"].to_numpy(dtype=float)
    largest = int(np.nan_to_num(group["iw_samples"].max()))
    bad_share = float(bad.max())  # NaN where one is
    ess, rise = float(group["ess_median"].min()), float(np.fmax.reduce(worst))
    against = doubts(bad_share, ess, rise, largest, board.unit)
    return {
        "board": board.name,
        "dataset": board.dataset,
        "currency": board.currency,
        "measure": board.measure,
        "unit": board.unit,
        "config": group.iloc[0]["config"],
        **{name: group.iloc[0][name] for name in DESCRIBED},
        "seeds": len(sample.seeds),
        "seed_deviation": board.scale * compare.seed_deviation(sample.nats),
        "iw_samples": largest,
        "khat_bad_fraction": bad_share,
        "ess_median": ess,
        "rise": rise,
        "trusted": not against,
        "caution": listed(against),
        "refined": int((group["estimator"] == "refined").sum()),
        "lift": board.scale * float((group["iw_nats"] - group["encoder_iw_nats"]).mean()),
        "collapsed": int(np.nan_to_num(group["collapsed"].sum())),
        **{name: float(group[name].mean()) for name in AVERAGED},
        **{f"{name}_sd": float(group[name].std()) for name in SPREAD},
    }


def _ranked(board: Board, configs: list[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(rank, configuration, how it stands), best first."""
    if not configs:
        return
    samples = [board.samples[config] for config in configs]
    ranked = compare.rank([s.nats for s in samples], [s.seeds for s in samples], _generator())
    value = _scaled(ranked.mean, board.sign * board.scale)
    deficit = _scaled(ranked.deficit, board.scale)
    for place, index in enumerate(ranked.order, start=1):
        lag = deficit.at(index)
        yield (
            place,
            configs[index],
            _value(value.at(index))
            | {
                "worse_by": lag.mean,
                "worse_low": lag.low,
                "worse_high": lag.high,
                "shared_seeds": int(lag.seeds),
                "p_adjusted": float(ranked.p_adjusted[index]),
                "verdict": str(ranked.verdicts[index]),
            },
        )


def _unranked(board: Board, configs: list[str]) -> Iterator[tuple[None, str, dict[str, Any]]]:
    """The bounds of configurations that are compared with nothing, best first."""
    if not configs:
        return
    value = _scaled(
        compare.intervals([board.samples[config].nats for config in configs], _generator()), board.sign * board.scale
    )
    unknown = dict.fromkeys(("worse_by", "worse_low", "worse_high"), float("nan"))
    none = unknown | {"shared_seeds": 0, "p_adjusted": float("nan"), "verdict": ""}
    for index in np.argsort(-board.sign * value.mean, kind="stable"):
        yield None, configs[index], _value(value.at(index)) | none


def _value(own: Interval) -> dict[str, float]:
    """The columns that hold a value and its intervals."""
    ends = ("low", "high", "image_low", "image_high", "seed_low", "seed_high")
    return {"value": own.mean} | {name: getattr(own, name) for name in ends}


def _scaled(interval: Interval, factor: float) -> Interval:
    """The interval of `factor` times the quantity: a negative factor exchanges the ends."""
    mean, *ends = (field * factor for field in interval[:-1])
    if factor < 0:
        ends = [ends[place] for place in (1, 0, 3, 2, 5, 4)]
    low, high, image_low, image_high, seed_low, seed_high = ends
    return Interval(mean, low, high, image_low, image_high, seed_low, seed_high, interval.seeds)


def _generator() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)
