"""The tables of a run file and their columns (DESIGN.md §4)."""

from __future__ import annotations

APPLICATION_ID = 0x56414562  # "VAEb", at byte 68 of every run file
SCHEMA_VERSION = 3

#: share of test images with a bad Pareto k̂ above which a cell's bound is not believed: the worker has refined it (by
#: vae_core.evaluate.scoring.BAD_SHARE, the same), and where that did not help it is shown but not ranked
BAD_SHARE = 0.05

SPEC_COLUMNS = {
    "cell": "TEXT PRIMARY KEY",
    "config": "TEXT",
    "label": "TEXT",
    "kind": "TEXT",
    "dataset": "TEXT",
    "levels": "INTEGER",
    "view": "TEXT",
    "family": "TEXT",
    "sigma": "TEXT",
    "options": "TEXT",
    "scored_as": "TEXT",
    "recipe": "INTEGER",
    "train_samples": "INTEGER",
    "objective": "TEXT",
    "hidden": "TEXT",
    "activation": "TEXT",
    "latent": "INTEGER",
    "epochs": "INTEGER",
    "batch_size": "INTEGER",
    "learning_rate": "REAL",
    "precision": "TEXT",  # of the matrix products in training
    "seed": "INTEGER",
    "test_images": "INTEGER",
    "refine": "TEXT",
    "binarisation": "TEXT",
    "spec": "TEXT",
    "current": "INTEGER",
}
RESULT_COLUMNS = {
    "measure": "TEXT",
    "currency": "TEXT",
    "elbo_nats": "REAL",
    "elbo_se": "REAL",
    "iw_nats": "REAL",
    "iw_se": "REAL",
    "iw_samples": "INTEGER",
    "iw_mc_se": "REAL",
    "estimator": "TEXT",  # whose proposals the bound is of: "encoder", or "refined": fitted to each image
    "khat_median": "REAL",
    "khat_bad_fraction": "REAL",
    "encoder_iw_nats": "REAL",  # what the encoder's proposal alone gave, with its own k̂
    "encoder_khat_bad_fraction": "REAL",
    "jackknife_nats": "REAL",
    "bits_per_dim": "REAL",
    "bits_per_dim_se": "REAL",
    "dequantised_nats": "REAL",
    "dequantised_bits_per_dim": "REAL",
    "density_nats": "REAL",
    "density_khat_bad_fraction": "REAL",  # of the density's own weights: q was fitted under the mass
    "training_objective_nats": "REAL",
    "kl_nats": "REAL",
    "reconstruction_nats": "REAL",
    "amortisation_gap_nats": "REAL",
    "approximation_gap_nats": "REAL",
    "active_units": "INTEGER",
    "collapsed": "INTEGER",
    "pit_deviation": "REAL",  # of the PIT histogram from uniform, total variation: 0 for calibrated noise
    "coverage_50": "REAL",
    "coverage_95": "REAL",
    "noise_predicted": "REAL",
    "noise_realised": "REAL",
    "ess_median": "REAL",
    "sigma_fitted": "REAL",
    "best_epoch": "INTEGER",
    "train_seconds": "REAL",
    "eval_seconds": "REAL",
    "train_images_per_s": "REAL",
    "eval_decodes_per_s": "REAL",
    "matmul_share": "REAL",
    "bundle_train_images_per_s": "REAL",
    "bundle_models": "INTEGER",
    "peak_memory_bytes": "INTEGER",
    "device": "TEXT",
}
END_COLUMNS = {"status": "TEXT", "reason": "TEXT", "provenance": "INTEGER"}
CELL_COLUMNS = SPEC_COLUMNS | END_COLUMNS | RESULT_COLUMNS

THROUGHPUT_COLUMNS = {
    "kind": "TEXT PRIMARY KEY",
    "family": "TEXT",
    "sigma_mode": "TEXT",
    "train_samples": "INTEGER",
    "objective": "TEXT",
    "train_images_per_s": "REAL",
    "eval_decodes_per_s": "REAL",
    "train_flops_share": "REAL",
    "eval_flops_share": "REAL",
    "matmul_gflops": "REAL",
    "device": "TEXT",
    "provenance": "INTEGER",
    "extra": "TEXT",
}
#: curves of speed over sizes, of one kind: those of the latest survey. Files of before surveys lack the table.
SCALING_COLUMNS = {
    "kind": "TEXT",
    "label": "TEXT",
    "curve": "TEXT",  # what grows: bundle, batch, samples, latent
    "size": "INTEGER",
    "unit": "TEXT",  # of the rate
    "rate": "REAL",
    "flops_share": "REAL",
    "bytes_share": "REAL",
    "peak_bytes": "INTEGER",
    "matmul_gflops": "REAL",
    "copy_gbytes_per_s": "REAL",
    "device": "TEXT",
    "threads": "INTEGER",
    "provenance": "INTEGER",
}
#: what is known of every test image: little-endian float64 each, one number an image
IMAGE_ARRAYS = ("iw_nats", "standard_error", "ess", "khat")
PER_IMAGE_COLUMNS = {"cell": "TEXT PRIMARY KEY", **dict.fromkeys(IMAGE_ARRAYS, "BLOB")}
TABLES = {
    "meta": {"key": "TEXT PRIMARY KEY", "value": "TEXT"},
    "provenance": {"id": "INTEGER PRIMARY KEY", "json": "TEXT"},
    "cells": CELL_COLUMNS,
    "bounds": {
        "cell": "TEXT",
        "samples": "INTEGER",
        "bound_nats": "REAL",
        "standard_error": "REAL",
        "encoder_bound_nats": "REAL",  # of the encoder's proposal alone
    },
    "per_image": PER_IMAGE_COLUMNS,
    "latents": {"cell": "TEXT", "dimension": "INTEGER", "kl_nats": "REAL", "mean_variance": "REAL"},
    "calibration": {"cell": "TEXT", "bin": "INTEGER", "share": "REAL"},  # the PIT histogram, equal bins of [0, 1]
    "pictures": {"cell": "TEXT", "kind": "TEXT", "shape": "TEXT", "data": "BLOB"},  # uint8, row-major, shape as JSON
    "throughput": THROUGHPUT_COLUMNS,
    "scaling": SCALING_COLUMNS,
}
RESULT_TABLES = ("cells", "bounds", "per_image", "latents", "calibration", "pictures")
