"""The tables of a run file and their columns (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import hashlib
import json
from typing import get_args

from bench.grid.settings import KEYS, Settings
from bench.store.columns import RESULT_COLUMNS

DIGESTED = 7  #: formats from here on say a digest of all that they hold (bench.store.guard.digests)
APPLICATION_ID = 0x56414562  # "VAEb", at byte 68 of every run file

#: share of test images with a bad Pareto k̂ above which a cell's bound is not believed: the worker has refined it (by
#: vae_core.evaluate.effort.BAD_SHARE, the same), and where that did not help it is shown but not ranked
BAD_SHARE = 0.05


def _key_type(name: str) -> str:
    """The type in SQLite of a grid's key; lists are text, and what is true or false is 1 or 0."""
    takes = Settings.model_fields[name].annotation
    kinds = {takes, *get_args(takes)} - {type(None)}
    types = ((float, "REAL"), (int, "INTEGER"), (bool, "INTEGER"))
    return next((sql for kind, sql in types if kinds & {kind}), "TEXT")


#: one for each key of a grid
KEY_COLUMNS = {name: _key_type(name) for name in KEYS}
SPEC_COLUMNS = {
    "cell": "TEXT PRIMARY KEY",
    "config": "TEXT",
    "label": "TEXT",
    "kind": "TEXT",
    **KEY_COLUMNS,
    "view": "TEXT",
    "sigma": "TEXT",
    "options": "TEXT",  # but for σ, as JSON
    "scored_as": "TEXT",
    "recipe": "INTEGER",
    "tune": "TEXT",  # the candidates of what is tuned, as JSON; '' where nothing is
    "search": "TEXT",  # what its candidates are listed under; '' where nothing is tuned
    "spec": "TEXT",  # the whole cell, as JSON
    "current": "INTEGER",  # whether it is of the present grid
    "reference": "INTEGER",  # 1 of what scores are held against (rule 13), 0 of a trained cell
}
END_COLUMNS = {
    "status": "TEXT",
    "reason": "TEXT",
    "provenance": "INTEGER",
    "details": "TEXT",  # of a reference: what was chosen and measured on the way, as JSON
}
CELL_COLUMNS = SPEC_COLUMNS | END_COLUMNS | RESULT_COLUMNS

THROUGHPUT_COLUMNS = {
    "kind": "TEXT PRIMARY KEY",
    "family": "TEXT",
    "sigma_mode": "TEXT",
    "train_samples": "INTEGER",
    "objective": "TEXT",
    "bound": "TEXT",
    "train_images_per_s": "REAL",
    "eval_decodes_per_s": "REAL",
    "train_flops_share": "REAL",
    "eval_flops_share": "REAL",
    "matmul_gflops": "REAL",
    "device": "TEXT",
    "provenance": "INTEGER",
    "extra": "TEXT",
}
#: curves of speed over sizes, of one kind: those of the latest survey
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
#: what tuning made of each candidate of a configuration; numbers are of validation images
CANDIDATE_COLUMNS = {
    "search": "TEXT",
    "candidate": "TEXT",  # the values of what is tuned, as JSON
    "chosen": "INTEGER",
    "edges": "TEXT",  # of the chosen one: keys at an end of their range, with the value to add, as JSON
    "ended_by": "TEXT",
    "epochs_run": "INTEGER",
    "reason": "TEXT",  # why it is of no use
    "scored_as": "TEXT",  # its best reading
    "bits_per_dim": "REAL",  # by the bound of training, of exact masses
    "refined_bits_per_dim": "REAL",  # by refined importance weighting, where the two best were refined
    "behind": "REAL",  # bits/dim that the chosen one is better by, paired over images
    "behind_se": "REAL",
    "seconds": "REAL",  # that the whole search took, its share of the common training included
    "provenance": "INTEGER",
}
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
    "history": {"cell": "TEXT", "epoch": "INTEGER", "train_nats": "REAL", "valid_nats": "REAL"},  # of the objective
    "candidates": CANDIDATE_COLUMNS,
    "candidate_history": {
        "search": "TEXT",
        "candidate": "TEXT",
        "epoch": "INTEGER",
        "train_nats": "REAL",
        "valid_nats": "REAL",
    },
    "pictures": {"cell": "TEXT", "kind": "TEXT", "shape": "TEXT", "data": "BLOB"},  # uint8, row-major, shape as JSON
    "throughput": THROUGHPUT_COLUMNS,
    "scaling": SCALING_COLUMNS,
    "digests": {"part": "TEXT PRIMARY KEY", "digest": "TEXT"},
}
#: tables of many rows a cell
INDEXED = ("bounds", "latents", "calibration", "history", "pictures")
RESULT_TABLES = ("cells", "bounds", "per_image", "latents", "calibration", "history", "pictures")


def digest() -> str:
    """Of the tables and columns that a format fixes. Columns of the grid's keys and of results are left out: those that
    are new are made in older files without being asked."""
    free = {*KEY_COLUMNS, *RESULT_COLUMNS}
    fixed = {
        table: {name: kind for name, kind in kinds.items() if table != "cells" or name not in free}
        for table, kinds in TABLES.items()
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]
