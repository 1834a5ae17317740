"""What a cell ends with: every column of results, declared once.

The run file's schema, its export, what is joined over the seeds of a configuration, and the page's tables follow from
this. A new column is one field of `Results` here, and a value in what a worker gives (bench.engine.worker); in older
run files and exports it is made with nothing in it (bench.store.migrate).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

#: raised by one whenever something that a run file holds changes its meaning, with a step in bench.store.migrate; what
#: is only new needs neither. tests/bench/store/test_columns.py pins what a format fixes
FORMAT = 7

SQL_TYPES = {"float": "REAL", "int": "INTEGER", "str": "TEXT"}


@dataclass(frozen=True)
class Column:
    """What a column is."""

    unit: str  #: of the number, "" for a word or a count
    meaning: str  #: in a sentence's words; a mean over test images unless it says otherwise
    joined: str  #: over the seeds of a configuration: "mean", "mean and deviation", "highest", "lowest", "sum", or ""
    table: str  #: of the page, which shows it under `head`: "diagnostics"; "" where something of its own shows it
    head: str
    digits: int


def _column(
    unit: str,
    meaning: str,
    joined: str = "mean",
    *,
    table: str = "",
    head: str = "",
    digits: int = 2,
    empty: Any = math.nan,
) -> Any:
    return field(default=empty, metadata={"column": Column(unit, meaning, joined, table, head, digits)})


def _word(meaning: str) -> Any:
    return _column("", meaning, "", empty="")


@dataclass(frozen=True, kw_only=True)
class Results:
    """The numbers of one cell; of a configuration, joined over its seeds as each column says. NaN: not known."""

    measure: str = _word("what the score is a probability of: pmf-K, of integers with K levels")
    currency: str = _word("what it may be ranked with: pmf-2 or pmf-K")
    elbo_nats: float = _column("nats", "the ELBO of the exact mass, by the encoder's q")
    elbo_se: float = _column("nats", "its standard error over images (blocks, where those were drawn)", "")
    iw_nats: float = _column("nats", "the importance-weighted bound at iw_samples: the score")
    iw_se: float = _column("nats", "its standard error over images", "")
    iw_samples: int = _column("", "the largest L: the grid's, or the one that eval_tolerance needed", "highest")
    iw_mc_se: float = _column("nats", "the Monte-Carlo standard error of the mean bound", "")
    estimator: str = _word('whose proposals the bound is of: "encoder", or "refined": fitted to each image')
    khat_median: float = _column("", "Pareto k̂ of the median image's weights")
    khat_bad_fraction: float = _column("share", "of the images with a bad k̂", "highest")
    encoder_iw_nats: float = _column("nats", "the bound at encoder_samples from the encoder's own pass")
    encoder_samples: int = _column("", "the largest L of the encoder's own pass, which the ELBO is of too", "highest")
    encoder_khat_bad_fraction: float = _column(
        "share", "of the images with a bad k̂ of the encoder's weights, encoder_samples of them"
    )
    jackknife_nats: float = _column("nats", "the bound without its bias of order 1/L: no bound any more")
    bits_per_dim: float = _column("bits/dim", "the score in bits per dimension", "")
    bits_per_dim_se: float = _column("bits/dim", "its standard error over images", "")
    dequantised_nats: float = _column("nats", "the bound on ln P that the density of dequantised data implies", "")
    dequantised_bits_per_dim: float = _column("bits/dim", "the same in bits per dimension")
    renormalised_nats: float = _column(
        "nats", "of a family with open end bins, what iw_nats would be with renormalised ends; from the same samples"
    )
    renormalised_bits_per_dim: float = _column("bits/dim", "the same in bits per dimension")
    renormalised_khat_bad_fraction: float = _column(
        "share", "of the images with a bad k̂ of its own weights: q was fitted with open ends", "highest"
    )
    end_bins_bits_per_dim: float = _column(
        "bits/dim",
        "by how much the score with renormalised ends is worse than the score: what open end bins lend to it, at most. "
        "Negative where masses beyond 0 and 1 are wasted",
        table="diagnostics",
        head="Owed to end bins",
        digits=3,
    )
    density_nats: float = _column("nats", "ln density of the dequantised data, per unit length", "mean and deviation")
    density_khat_bad_fraction: float = _column(
        "share", "of the images with a bad k̂ of the density's own weights: q was fitted under the mass"
    )
    training_objective_nats: float = _column("nats", "what was trained on, of test data", "mean and deviation")
    kl_nats: float = _column("nats", "KL(q(z|x) ‖ p(z)) of the encoder", table="diagnostics", head="KL")
    reconstruction_nats: float = _column(
        "nats", "E_q ln P(x|z) of the encoder", table="diagnostics", head="Reconstruction"
    )
    amortisation_gap_nats: float = _column(
        "nats",
        "ELBO of the best diagonal q less the encoder's, over some images",
        table="diagnostics",
        head="Amortisation gap",
    )
    approximation_gap_nats: float = _column(
        "nats",
        "the score less the ELBO of the best diagonal q, over some images",
        table="diagnostics",
        head="Approximation gap",
    )
    active_units: int = _column("", "latent dimensions whose mean varies over images by more than 0.01")
    collapsed: int = _column("", "1 where the posterior is the prior in every dimension, for nearly all images", "sum")
    pit_deviation: float = _column("share", "of the values in other bins of the PIT histogram than if calibrated")
    coverage_50: float = _column("share", "of the values within the central 50 % of what is predicted")
    coverage_95: float = _column("share", "of the values within the central 95 % of what is predicted")
    noise_predicted: float = _column("of pixels in [0, 1]", "the standard deviation that the decoder predicts")
    noise_realised: float = _column("of pixels in [0, 1]", "the standard deviation that there is")
    mass_deviation: float = _column(
        "",
        "how far from 1 the masses of all levels sum, at worst, at the outputs that were scored",
        "highest",
        table="diagnostics",
        head="Masses off 1",
        digits=7,
    )
    masses_summed: int = _column(
        "", "masses that were summed for that", "sum", table="diagnostics", head="Masses summed", digits=0
    )
    alone_deviation_nats: float = _column(
        "nats",
        "how far the score of an image alone lies, at worst, from its score beside or after others",
        "highest",
        table="diagnostics",
        head="Alone",
        digits=5,
    )
    ess_median: float = _column("", "effective sample size of the median image's weights", "lowest")
    sigma_fitted: float = _column("of pixels in [0, 1]", "the scale σ in use at test time")
    best_epoch: int = _column("", "the epoch whose parameters were kept", "highest")
    epochs_run: int = _column("", "epochs that were trained")
    ended_by: str = _word('what ended the training: "patience", or "limit": the epochs of the grid')
    converged: int = _column("", "1 where the training ended because the validation bound had stopped rising", "lowest")
    last_gain_bits_per_dim: float = _column(
        "bits/dim", "what the validation bound gained in the second half of the epochs run", "highest"
    )
    last_gain_se: float = _column("bits/dim", "its standard error over validation images", "highest")
    train_bits_per_dim: float = _column(
        "bits/dim", "minus the ELBO of the exact mass, of training images", table="diagnostics", head="Train", digits=3
    )
    valid_bits_per_dim: float = _column(
        "bits/dim", "the same of validation images", table="diagnostics", head="Validation", digits=3
    )
    reading_bits_per_dim: float = _column(
        "bits/dim",
        "of a recipe: the importance-weighted bound of validation images, by which one of its readings is chosen",
    )
    generalisation_bits_per_dim: float = _column(
        "bits/dim", "the same of test images less that of training images", table="diagnostics", head="Gap", digits=3
    )
    tuned: str = _word("what was chosen on validation data of what is tuned, as JSON")
    tuned_edges: str = _word("what of it lies at an end of its range beyond noise, with the value to add, as JSON")
    parameters: int = _column(
        "", "learned numbers of a model, its likelihood's among them", table="diagnostics", head="Parameters", digits=0
    )
    outputs: int = _column("", "numbers that the decoder's last layer gives for an image", "highest")
    train_seconds: float = _column("s", "of the bundle's training, by model", "")
    tune_seconds: float = _column("s", "of the choice that its configuration's cells share", "")
    eval_seconds: float = _column("s", "of the evaluation", "")
    train_images_per_s: float = _column("images/s", "in training, of one model alone")
    eval_decodes_per_s: float = _column("decodes/s", "in evaluation, of one model alone")
    matmul_share: float = _column("share", "of the machine's rate of matrix products, in training alone")
    bundle_train_images_per_s: float = _column("images/s", "of all models of its bundle, validation included")
    bundle_models: int = _column("", "models in its bundle")
    peak_memory_bytes: int = _column("bytes", "of the worker at most", "")
    device: str = _word("where it was computed")
    weights: str = _word("the file of the trained weights, in the folder beside the run file")
    weights_reason: str = _word("why there is none")


def columns() -> Iterator[tuple[str, Column]]:
    """Name and declaration of every column, in order."""
    return ((item.name, item.metadata["column"]) for item in fields(Results))


#: name -> type in SQLite
RESULT_COLUMNS = {item.name: SQL_TYPES[str(item.type)] for item in fields(Results)}
