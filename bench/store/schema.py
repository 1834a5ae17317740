"""The tables of a run file and their columns (DESIGN.md §4)."""

from __future__ import annotations

APPLICATION_ID = 0x56414562  # "VAEb", at byte 68 of every run file
SCHEMA_VERSION = 1

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
    "seed": "INTEGER",
    "test_images": "INTEGER",
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
    "bits_per_dim": "REAL",
    "bits_per_dim_se": "REAL",
    "dequantised_nats": "REAL",
    "dequantised_bits_per_dim": "REAL",
    "density_nats": "REAL",
    "training_objective_nats": "REAL",
    "kl_nats": "REAL",
    "reconstruction_nats": "REAL",
    "active_units": "INTEGER",
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
TABLES = {
    "meta": {"key": "TEXT PRIMARY KEY", "value": "TEXT"},
    "provenance": {"id": "INTEGER PRIMARY KEY", "json": "TEXT"},
    "cells": CELL_COLUMNS,
    "bounds": {"cell": "TEXT", "samples": "INTEGER", "bound_nats": "REAL", "standard_error": "REAL"},
    "per_image": {"cell": "TEXT PRIMARY KEY", "iw_nats": "BLOB"},  # little-endian float64, one number a test image
    "pictures": {"cell": "TEXT", "kind": "TEXT", "shape": "TEXT", "data": "BLOB"},  # uint8, row-major, shape as JSON
    "throughput": THROUGHPUT_COLUMNS,
}
RESULT_TABLES = ("cells", "bounds", "per_image", "pictures")
