"""A synthetic but plausible run, written through the real store: what the report's tests read, and its designer's eye.

    python -m tests.bench.report.fake_run FILE.html      # builds the page of the full fake run

The numbers are made up from smooth curves plus image, seed and configuration effects; the pictures are scikit-learn's
digits, blurred by as much as the made-up score is bad.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_digits

from bench.grid.cell import Cell, Described, labels
from bench.grid.errors import on_stderr
from bench.store import CellResult, RunFile, RunTables, read_run

SAMPLES = (1, 10, 100, 1000)
LN2 = float(np.log(2))
REALISED = 0.11  # the noise there is, on pixels in [0, 1]
RECIPES = ("bce_sum", "bce_mean", "mse_sum", "mse_mean")
GRID = """# a fake grid
name = "fake"
dataset = "digits"
"""


@dataclass(frozen=True)
class Setting:
    """One configuration: what the grid says about it and the score that the fake gives it (bits/dim, or nats)."""

    family: str
    score: float
    sigma: float | str | None = None
    scored_as: str = "itself"
    view: str = "real"
    train_samples: int = 1
    bound: str = "elbo"
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    options: dict[str, Any] = field(default_factory=dict)
    objective: str = ""  # by default what its view is trained on
    kl: dict[str, Any] = field(default_factory=dict)  # what training made of the KL, by the keys of a grid

    @property
    def binary(self) -> bool:
        return self.view == "binary"


def settings(sigmas: Iterable[float] = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)) -> list[Setting]:
    """About forty configurations: three families over σ, the rest of the first catalogue, and a binary view."""
    found = []
    for family, floor, centre, steep in (
        ("gaussian", 2.05, 0.13, 1.30),
        ("laplace", 2.16, 0.09, 1.05),
        ("logistic", 2.02, 0.07, 1.15),
    ):
        for sigma in sigmas:
            away = np.log10(sigma / centre)
            found.append(Setting(family, floor + steep * away**2 * (1 + 0.8 * (away < 0)), sigma))
        for mode, gain in (("shared", 0.01), ("image", 0.07), ("pixel", 0.36), ("optimal", 0.012)):
            found.append(Setting(family, floor - gain, mode))
    found += [
        Setting("categorical", 1.655, view="levels"),
        Setting("continuous_bernoulli", 2.41, view="unit"),
        Setting("bce_sum", 2.66, scored_as="continuous_bernoulli", view="grey"),
        Setting("bce_mean", 3.42, scored_as="continuous_bernoulli", view="grey"),
        Setting("mse_sum", 3.06, scored_as="gaussian_implied", view="grey"),
        Setting("mse_sum", 2.11, scored_as="gaussian_fitted", view="grey"),
        Setting("mse_mean", 5.90, scored_as="gaussian_implied", view="grey"),
        Setting("mse_mean", 2.74, scored_as="gaussian_fitted", view="grey"),
    ]
    found += [
        Setting("bernoulli", -21.6, view="binary"),
        Setting("bernoulli", -21.1, view="binary", train_samples=5),
        Setting("bernoulli", -20.4, view="binary", train_samples=5, bound="iwae"),
    ]
    return found


def few() -> list[Setting]:
    """A dozen of them: every kind of likelihood once, two fixed σ and a learned one for two families."""
    kept = ("0.1", "1.0", "pixel", "None")
    return [
        setting
        for setting in settings()
        if str(setting.sigma) in kept and setting.family not in ("laplace", "mse_mean")
    ]


def write(
    path: Path,
    chosen: Sequence[Setting] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 300,
    shape: tuple[int, ...] = (8, 8),
    failures: bool = True,
    pictures: bool = True,
    throughput: bool = True,
    survey: bool = False,
    samples: Sequence[int] = SAMPLES,
    grid: str = GRID,
    dataset: str = "digits",
    history: Sequence[dict[str, Any]] | None = None,
    planned: int | None = None,
    label: Callable[[str], str] = str,
    epochs: int = 60,
) -> Path:
    """Write a fake run file; `label` changes what configurations are called."""
    chosen = settings() if chosen is None else chosen
    cells = [(setting, _cell(setting, seed, samples, dataset, epochs)) for setting in chosen for seed in seeds]
    names = {cell: label(name) for cell, name in labels(cell for _, cell in cells).items()}
    described = [
        (setting, Described(cell, names[cell.id], recipe=setting.family in RECIPES)) for setting, cell in cells
    ]
    ends = _ends(described) if failures else {}
    dims = int(np.prod(shape))
    facts = {"name": dataset, "levels": 17, "shape": list(shape), "dims": dims, "train": 1297, "valid": 200}
    facts |= {"test": images, "checksum": "5f1d" * 16, "about": "8×8 grey digits of scikit-learn, 17 levels"}
    meta = {
        "name": "fake",
        "grid": grid,
        "data": {dataset: facts},
        "about": "A made-up run.",
        "overrides": [],
        "cells": planned or len(described),
        "cards": {family: card(family) for family in {setting.family for setting in chosen}},
    }
    run = RunFile.create(path, meta, on_stderr)
    try:
        for facts in history or [provenance()]:
            last = run.add_provenance(facts)
        results = []
        rng = np.random.default_rng(11)
        difficulty = rng.normal(0, 9, size=images)
        taste = {(setting.family, setting.sigma): rng.normal(0, 1.5, size=images) for setting in chosen}
        for setting, item in described:
            if item.cell.id in ends:
                results.append((item, CellResult(item.cell.id, *ends[item.cell.id])))
                continue
            own = difficulty + taste[setting.family, setting.sigma]
            results.append((item, _result(setting, item.cell, own, dims, shape, pictures=pictures)))
        run.write(results, last)
        if throughput:
            run.write_throughput(list(_speeds(item.cell for _, item in described)), last)
        if survey:
            number = run.add_provenance(provenance(command="vae-bench throughput fake"))
            rows = list(_speeds(item.cell for _, item in described))
            run.write_throughput([row | surveyed(row) for row in rows], number)
            run.write_scaling(curves(rows[0]["kind"], described[0][1].label), number)
    finally:
        run.close()
    return path


def card(family: str) -> dict[str, Any]:
    """What bench.grid.families.cards says of a family, made up."""
    return {
        "title": family.replace("_", " ").title(),
        "summary": f"What {family} assumes, in one sentence.",
        "formula": f"ln p(x|z) = −(x−μ)²/(2σ²) − ln σ − ½ ln 2π + ln Z_{family}(μ,σ)",
        "support": "the real line (view real: dequantised levels (k+u)/K)",
        "view": "real: dequantised, (k+u)/K with u uniform on [0, 1), on the real line",
        "measure": "density: per unit length of the data as it is seen",
        "parameters": "μ: D outputs; σ: a number, or learned",
        "outputs": {"a number, shared": "D", "pixel": "2 D"},
        "source": f"The Book of {family}, appendix C.2",
        "users": f"friends of {family}",
        "plugin": "",
    }


def tables(*arguments: Any, **options: Any) -> RunTables:
    """What `write` writes, read back."""
    with tempfile.TemporaryDirectory() as folder:
        return read_run(write(Path(folder) / "fake.sqlite", *arguments, **options))


def only(tables: RunTables, keep: Callable[[Any], Any]) -> RunTables:
    """The tables without the cells for which `keep(cells)` is false."""
    cells = tables.cells[keep(tables.cells)].reset_index(drop=True)
    known = set(cells["cell"])
    return replace(
        tables,
        cells=cells,
        **{
            name: table[table["cell"].isin(known)]
            for name in ("bounds", "per_image", "latents", "calibration")
            for table in [getattr(tables, name)]
        },
        pictures={key: value for key, value in tables.pictures.items() if key[0] in known},
    )


def _cell(setting: Setting, seed: int, samples: Sequence[int], dataset: str, epochs: int) -> Cell:
    options = dict(setting.options) | ({} if setting.sigma is None else {"sigma": setting.sigma})
    return Cell(
        dataset=dataset,
        family=setting.family,
        options=options,
        scored_as=setting.scored_as,
        view=setting.view,
        train_samples=setting.train_samples,
        objective=setting.objective or ("dequantised" if setting.view in ("unit", "real") else "own"),
        bound=setting.bound,
        hidden=(256, 256),
        latent=16,
        epochs=epochs,
        batch_size=64,
        precision=setting.precision,
        seed=seed,
        eval_samples=tuple(samples),
        **setting.kl,
    )


def _ends(described: Sequence[tuple[Setting, Described]]) -> dict[str, tuple[str, str]]:
    """A failed, an oom and a timeout cell."""
    ends = {}
    for setting, item in described:
        match (setting.family, setting.sigma, item.cell.seed):
            case ("gaussian", 0.01, 2):
                ends[item.cell.id] = ("failed", "the loss became NaN in epoch 7")
            case ("laplace", 0.01, 0):
                ends[item.cell.id] = ("oom", "the device ran out of memory: 71.2 GiB were asked for")
            case ("logistic", "pixel", 1):
                ends[item.cell.id] = ("timeout", "it took longer than 600 s")
    return ends


def _result(
    setting: Setting, cell: Cell, own: np.ndarray, dims: int, shape: tuple[int, ...], *, pictures: bool
) -> CellResult:
    name = cell.config.rpartition("-")[0]  # without its hash, which any new key of the grid changes
    rng = np.random.default_rng([cell.seed, *name.encode()])
    images = len(own)
    nats = setting.score if setting.binary else -setting.score * dims * LN2
    seed_effect = np.random.default_rng([cell.seed, *setting.family.encode()]).normal(0, 0.25)
    per_image = nats + seed_effect + own * (0.4 if setting.binary else 1.0) + rng.normal(0, 1.0, size=images)
    error = float(per_image.std(ddof=1) / np.sqrt(images))
    narrow = isinstance(setting.sigma, float) and setting.sigma < 0.02  # not even refinement helps
    gap = 40.0 if narrow else 3.0 + 0.3 * len(setting.family)
    rate = 0.12 if narrow else 0.7
    refined = setting.view in ("real", "grey")
    short = _shortfall(setting) if refined else 0.0
    most = max(cell.eval_samples)
    bounds = []
    for count in cell.eval_samples:
        mean = float(per_image.mean() - gap * (1 + min(short, 5) / 6) * (count**-rate - most**-rate))
        own = float(per_image.mean() - gap * (count**-rate - most**-rate)) - short * (1 + 0.4 * count**-0.5)
        bounds.append((count, mean, error, float(own if refined else mean)))
    threshold = float(min(1 - 1 / np.log10(most), 0.7)) if most >= 25 else np.nan
    khat = np.clip(rng.normal(0.9 if narrow else 0.15, 0.08, size=images), -0.5, 3)
    if most < 25:
        khat = np.full(images, np.nan)
    bad = float(np.nan if most < 25 else (khat > threshold).mean())
    density = not setting.binary and setting.view in ("real", "unit", "grey")
    dequantised = float(per_image.mean() - 0.06 * dims) if density else None
    kl_of = _kl(setting, cell, rng)
    kl = float(kl_of.sum())
    predicted = _predicted_noise(setting)
    shares = _histogram(predicted / REALISED)
    bits = dims * LN2
    values: dict[str, Any] = {
        "measure": "pmf-2" if setting.binary else "pmf-17",
        "currency": "pmf-2" if setting.binary else "pmf-K",
        "elbo_nats": bounds[0][1],
        "elbo_se": error,
        "iw_nats": float(per_image.mean()),
        "iw_se": error,
        "iw_samples": max(cell.eval_samples),
        "iw_mc_se": 0.02,
        "estimator": "refined" if refined else "encoder",
        "khat_median": float(np.median(khat)),
        "khat_bad_fraction": bad,
        "encoder_iw_nats": bounds[-1][3],
        "encoder_samples": most,
        "encoder_khat_bad_fraction": 0.97 if refined else bad,
        "jackknife_nats": float(per_image.mean()) + 0.01,
        "amortisation_gap_nats": 0.7 * short if refined else None,
        "approximation_gap_nats": 1.2 if refined else None,
        "collapsed": int(kl < 0.05),
        "pit_deviation": float(abs(shares - 1 / len(shares)).sum() / 2),
        "coverage_50": _inside(0.5, predicted / REALISED),
        "coverage_95": _inside(0.95, predicted / REALISED),
        "noise_predicted": predicted,
        "noise_realised": REALISED,
        "bits_per_dim": float(-per_image.mean() / bits),
        "bits_per_dim_se": error / bits,
        "dequantised_nats": dequantised,
        "dequantised_bits_per_dim": None if dequantised is None else -dequantised / bits,
        "density_nats": None if dequantised is None else dequantised + dims * float(np.log(17)),
        "density_khat_bad_fraction": None if dequantised is None else 0.2 if narrow else 0.0,
        "training_objective_nats": -14.2 if setting.family in RECIPES else bounds[0][1],
        "kl_nats": kl,
        "reconstruction_nats": bounds[0][1] + kl,
        "active_units": int((kl_of > 0.02).sum()),
        "ess_median": float(2.3 if narrow else 180 + 40 * rng.normal()),
        "sigma_fitted": setting.sigma if isinstance(setting.sigma, float) else 0.11 if setting.sigma else None,
        "best_epoch": 60 if setting.sigma == "pixel" else int(rng.integers(30, 60)),
        "epochs_run": 60,
        "ended_by": "limit" if setting.sigma == "pixel" else "patience",
        "converged": int(setting.sigma != "pixel"),
        "last_gain_bits_per_dim": 0.02 if setting.sigma == "pixel" else 0.0005,
        "last_gain_se": 0.001,
        "train_bits_per_dim": -nats / bits - 0.1,
        "valid_bits_per_dim": -nats / bits,
        "generalisation_bits_per_dim": 0.11,
        "parameters": 5205,
        "train_seconds": 1.9,
        "eval_seconds": 0.7,
        "bundle_train_images_per_s": 410_000.0 + 5_000 * len(setting.family),
        "bundle_models": 16,
        "peak_memory_bytes": 310 * 2**20,
        "device": "cpu",
    }
    shown = _pictures(setting, shape, rng) if pictures and cell.seed == 0 else {}
    arrays = {
        "iw_nats": per_image,
        "standard_error": np.full(images, 0.02),
        "ess": rng.uniform(2, 4, size=images) if narrow else rng.uniform(100, 900, size=images),
        "khat": khat,
    }
    latents = [(float(own), float(min(own, 0.9))) for own in rng.permutation(kl_of)]
    calibration = list(map(float, shares))
    history = [(epoch, nats - 40 / epoch, nats - 50 / epoch) for epoch in range(5, 61, 5)]
    return CellResult(cell.id, "done", None, values, bounds, arrays, latents, calibration, history, shown)


def _shortfall(setting: Setting) -> float:
    """Nats by which importance sampling from the encoder misses the refined bound."""
    if isinstance(setting.sigma, float):
        return min(35.0, 0.6 / setting.sigma)
    return {"pixel": 2.0, None: 0.4}.get(setting.sigma, 3.5) * (1.7 if setting.family == "logistic" else 1.0)


def _kl(setting: Setting, cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """KL of every latent dimension, largest first."""
    if setting.family == "mse_mean":
        return rng.uniform(0, 0.002, size=cell.latent)
    scale = 3.0 - 0.9 * np.log10(_predicted_noise(setting) / REALISED)
    return np.maximum(scale * 0.78 ** np.arange(cell.latent) - 0.25, 0.002) * rng.uniform(0.9, 1.1)


def _predicted_noise(setting: Setting) -> float:
    """The standard deviation that the decoder predicts, on pixels in [0, 1]."""
    if isinstance(setting.sigma, float):
        return setting.sigma * {"laplace": 1.41, "logistic": 1.81}.get(setting.family, 1.0)
    if setting.scored_as == "gaussian_implied":
        return 0.71 if setting.family == "mse_sum" else 5.7
    return REALISED * {"bce_sum": 2.2, "bce_mean": 2.4, "continuous_bernoulli": 2.1}.get(setting.family, 1.06)


def _histogram(ratio: float, bins: int = 20) -> np.ndarray:
    """The PIT histogram of Gaussian noise that is predicted `ratio` times too wide."""
    edges = norm.cdf(norm.ppf(np.linspace(0, 1, bins + 1)) * ratio)
    return np.diff(edges)


def _inside(share: float, ratio: float) -> float:
    """How much of Gaussian noise lies in the central interval of a prediction that is `ratio` times too wide."""
    return float(2 * norm.cdf(norm.ppf((1 + share) / 2) * ratio) - 1)


def _pictures(setting: Setting, shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Eight originals, their reconstructions, eight samples and draws of them, uint8 [8, *shape]."""
    base = load_digits().images[1400:1416] / 16  # [16, 8, 8]
    big = base.repeat(-(-shape[0] // 8), axis=1).repeat(-(-shape[1] // 8), axis=2)[:, : shape[0], : shape[1]]
    if len(shape) == 3:
        big = big[..., None] * np.linspace(1, 0.5, shape[2])
    if setting.binary:
        big = (big > 0.5).astype(float)
    blur = 0.25 if setting.binary else min(0.9, max(0.05, (setting.score - 1.5) / 3))

    def smeared(images: np.ndarray) -> np.ndarray:
        near = (np.roll(images, 1, 1) + np.roll(images, -1, 1) + np.roll(images, 1, 2) + np.roll(images, -1, 2)) / 4
        return (1 - blur) * images + blur * near

    def grey(images: np.ndarray) -> np.ndarray:
        return np.clip(images * 255, 0, 255).round().astype(np.uint8)

    noisy = smeared(big[8:]) + rng.normal(0, 0.04, size=big[8:].shape)
    draw = noisy + rng.normal(0, 0.2, size=noisy.shape)
    return {
        "original": grey(big[:8]),
        "reconstruction": grey(smeared(big[:8])),
        "sample": grey(noisy),
        "draw": grey(draw),
    }


def _speeds(cells: Iterable[Cell]) -> Iterable[dict[str, Any]]:
    seen = {cell.kind: cell for cell in cells}
    for index, (kind, cell) in enumerate(seen.items()):
        speed = 61_000 / cell.train_samples * 0.98**index
        yield {
            "kind": kind,
            "family": cell.family,
            "sigma_mode": cell.sigma_mode,
            "train_samples": cell.train_samples,
            "objective": cell.objective,
            "bound": cell.bound,
            "train_images_per_s": speed,
            "eval_decodes_per_s": 1.9e6 * 0.97**index,
            "train_flops_share": 0.21,
            "eval_flops_share": 0.33,
            "matmul_gflops": 131.0,
            "device": "cpu",
        }


def surveyed(row: dict[str, Any]) -> dict[str, Any]:
    """What a survey of speed knows of a kind besides."""
    return {
        "bundled_images_per_s": 5.1 * row["train_images_per_s"],
        "bundled_models": 16,
        "copy_gbytes_per_s": 21.5,
        "threads": 2,
        "suggested_bundle": 8,
        "planned_bundle": 16,
        "free_bytes": 14 * 2**30,
        **{
            f"{name}_{key}": value
            for name in ("train", "bundled", "eval")
            for key, value in (("bytes_share", 0.12), ("peak_bytes", 7_100_000), ("flops_share", 0.34))
        },
    }


def curves(kind: str, label: str) -> Iterable[dict[str, Any]]:
    """The points of a survey."""
    sizes = {
        "bundle": (1, 2, 4, 8, 16),
        "batch": (32, 64, 128, 256, 512),
        "samples": (10, 30, 100, 300, 1000),
        "latent": (2, 4, 8, 16, 32, 64),
    }
    for curve, own in sizes.items():
        for size in own:
            reached = size**2 / (size**2 + own[1] ** 2)
            yield {
                "kind": kind,
                "label": label,
                "curve": curve,
                "size": size,
                "unit": "decodes/s" if curve == "samples" else "images/s",
                "rate": 410_000 * reached,
                "flops_share": 0.6 * reached,
                "bytes_share": 0.25 * reached**0.5,
                "peak_bytes": 430_000 * size,
                "matmul_gflops": 94.4,
                "copy_gbytes_per_s": 21.5,
                "device": "cpu",
                "threads": 2,
            }


def provenance(**facts: Any) -> dict[str, Any]:
    """What bench.engine.provenance records, with some facts changed."""
    return {
        "time": "2026-11-23T08:08:00+00:00",
        "command": "vae-bench run fake",
        "git": {"commit": "3f9a2c1b7d4e5f60718293a4b5c6d7e8f9012345", "dirty": False},
        "packages": {"torch": "2.14.1", "numpy": "2.4.6", "pandas": "3.1.1"},
        "python": "3.11.9",
        "platform": "Linux",
        "cpu": "a fake processor",
        "cores": 2,
        "workers": 2,
        "threads_per_worker": 1,
        "device": {"kind": "cpu", "name": "a fake processor", "float32_matmul_precision": "highest"},
    } | facts


if __name__ == "__main__":
    from bench.report import build

    print(build(tables(), Path(sys.argv[1])))
