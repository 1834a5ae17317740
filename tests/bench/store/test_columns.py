"""What the run file holds is declared once, and pinned to the version of its format."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import fields

import pytest

from bench.grid.settings import GROUPS, KEYS
from bench.store import RESULT_COLUMNS, Results
from bench.store.columns import FORMAT, columns
from bench.store.guard import content, digests
from bench.store.schema import KEY_COLUMNS, TABLES, digest

#: of the tables that each format fixes: whoever changes them raises FORMAT, adds a line here and a step of migration
DIGESTS = {4: "6a78974b4a3b821d", 5: "a4089bd9454fb541", 6: "e7c2465aa6357164", 7: "4b787c48560535cf"}

#: of the digests of one small run (bench.store.guard.digests)
DIGESTS_OF_ROWS = {7: "1f071d30d10bf3e2"}
PINNED = ("cell", "label", "current", "reference", "status", "iw_nats", "iw_samples", "reason", "spec")

#: type, unit and how it is joined over seeds, of columns of results: whoever changes one raises FORMAT likewise; a new
#: one needs neither, and is added here by who wants it fixed
FIXED = {
    "measure": ("TEXT", "", ""),
    "currency": ("TEXT", "", ""),
    "elbo_nats": ("REAL", "nats", "mean"),
    "elbo_se": ("REAL", "nats", ""),
    "iw_nats": ("REAL", "nats", "mean"),
    "iw_se": ("REAL", "nats", ""),
    "iw_samples": ("INTEGER", "", "highest"),
    "iw_mc_se": ("REAL", "nats", ""),
    "estimator": ("TEXT", "", ""),
    "khat_median": ("REAL", "", "mean"),
    "khat_bad_fraction": ("REAL", "share", "highest"),
    "encoder_iw_nats": ("REAL", "nats", "mean"),
    "encoder_samples": ("INTEGER", "", "highest"),
    "encoder_khat_bad_fraction": ("REAL", "share", "mean"),
    "jackknife_nats": ("REAL", "nats", "mean"),
    "bits_per_dim": ("REAL", "bits/dim", ""),
    "bits_per_dim_se": ("REAL", "bits/dim", ""),
    "dequantised_nats": ("REAL", "nats", ""),
    "dequantised_bits_per_dim": ("REAL", "bits/dim", "mean"),
    "density_nats": ("REAL", "nats", "mean and deviation"),
    "density_khat_bad_fraction": ("REAL", "share", "mean"),
    "training_objective_nats": ("REAL", "nats", "mean and deviation"),
    "kl_nats": ("REAL", "nats", "mean"),
    "reconstruction_nats": ("REAL", "nats", "mean"),
    "amortisation_gap_nats": ("REAL", "nats", "mean"),
    "approximation_gap_nats": ("REAL", "nats", "mean"),
    "active_units": ("INTEGER", "", "mean"),
    "collapsed": ("INTEGER", "", "sum"),
    "pit_deviation": ("REAL", "share", "mean"),
    "coverage_50": ("REAL", "share", "mean"),
    "coverage_95": ("REAL", "share", "mean"),
    "noise_predicted": ("REAL", "of pixels in [0, 1]", "mean"),
    "noise_realised": ("REAL", "of pixels in [0, 1]", "mean"),
    "ess_median": ("REAL", "", "lowest"),
    "sigma_fitted": ("REAL", "of pixels in [0, 1]", "mean"),
    "best_epoch": ("INTEGER", "", "highest"),
    "train_seconds": ("REAL", "s", ""),
    "eval_seconds": ("REAL", "s", ""),
    "train_images_per_s": ("REAL", "images/s", "mean"),
    "eval_decodes_per_s": ("REAL", "decodes/s", "mean"),
    "matmul_share": ("REAL", "share", "mean"),
    "bundle_train_images_per_s": ("REAL", "images/s", "mean"),
    "bundle_models": ("INTEGER", "", "mean"),
    "peak_memory_bytes": ("INTEGER", "bytes", ""),
    "device": ("TEXT", "", ""),
}

#: what cells had before a key existed, or before its default was changed: it is in the names of stored cells for ever
ABSENT = {
    "dataset": "digits",
    "levels": None,
    "quantise": None,
    "train_images": None,
    "block": None,
    "family": None,
    "train_samples": 1,
    "objective": "dequantised",
    "bound": "elbo",
    "network": "mlp",
    "hidden": (200,),
    "activation": "tanh",
    "latent": 10,
    "epochs": 50,
    "patience": 0,
    "tolerance": 0.001,
    "averaging": 0.0,
    "batch_size": 100,
    "learning_rate": 0.001,
    "precision": "float32",
    "seed": 0,
    "eval_samples": (1, 10, 100, 1000),
    "eval_tolerance": 0.0,
    "test_images": None,
    "refine": "auto",
    "binarisation": "stochastic",
}


def test_the_declarations_are_those_of_this_format():
    assert DIGESTS.get(FORMAT) == digest(), "the tables changed: raise FORMAT in bench/store/columns.py, pin it here"
    declared = {name: (RESULT_COLUMNS[name], column.unit, column.joined) for name, column in columns()}
    assert {name: declared.get(name) for name in FIXED} == FIXED, "a column changed: raise FORMAT, pin it here"


def test_what_digests_are_of_is_that_of_this_format():
    """Whoever changes how they are made raises FORMAT, or every cell of every run file would be called damaged."""
    connection = sqlite3.connect(":memory:")
    for table, declared in TABLES.items():
        kept = {name: kind for name, kind in declared.items() if table != "cells" or name in PINNED}
        connection.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in kept.items())})")
    connection.executemany(
        f"INSERT INTO cells ({', '.join(PINNED)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  own names
        [
            ("a", "σ", 1, 0, "done", -1.5, 10, "two\0words", '{"reference": "x"}'),
            ("b", "σ", 1, 0, "failed", None, None, "why", '{"reference": "x"}'),
        ],
    )
    connection.execute("INSERT INTO bounds VALUES ('a', 10, -1.5, NULL, 0.25)")
    connection.execute("INSERT INTO history VALUES ('a', 0, -3.0, -4.0), ('a', 1, -2.0, -3.0)")
    connection.execute("INSERT INTO per_image VALUES ('a', zeroblob(16), NULL, zeroblob(16), NULL)")
    connection.execute("INSERT INTO pictures VALUES ('a', 'sample', '[1, 2, 2]', x'00010203')")
    connection.execute("INSERT INTO meta VALUES ('name', '\"t\"')")
    connection.execute("INSERT INTO provenance VALUES (1, '{}')")
    connection.execute("INSERT INTO throughput (kind, train_images_per_s) VALUES ('k', 7.5)")
    connection.execute("INSERT INTO scaling (kind, size) VALUES ('k', 2), ('k', 4)")
    connection.execute("INSERT INTO candidates (search, candidate, chosen) VALUES ('s', '{}', 1)")
    connection.execute("INSERT INTO candidate_history VALUES ('s', '{}', 1, -2.0, -3.0)")
    found = content.read(connection)
    assert found.wrong == {}
    parts = digests.of(found)
    assert len(parts) == 9
    said = hashlib.sha256(json.dumps(sorted((*part, text) for part, text in parts.items())).encode()).hexdigest()[:16]
    assert DIGESTS_OF_ROWS.get(FORMAT) == said


def test_what_names_leave_out_stays_what_it_was():
    """A key whose default is changed says `absent=` with the old one, or the cells of old runs lose their names."""
    assert {name: KEYS[name].absent for name in ABSENT} == ABSENT


def test_every_key_has_a_group_and_a_column():
    assert {key.group for key in KEYS.values()} <= set(GROUPS)
    assert KEY_COLUMNS["learning_rate"] == "REAL"
    assert KEY_COLUMNS["levels"] == KEY_COLUMNS["seed"] == "INTEGER"
    assert KEY_COLUMNS["hidden"] == KEY_COLUMNS["family"] == "TEXT"


@pytest.mark.parametrize(("name", "column"), list(columns()))
def test_every_column_says_what_it_is(name, column):
    assert column.meaning
    assert column.joined in ("mean", "mean and deviation", "highest", "lowest", "sum", "")
    assert bool(column.table) == bool(column.head)
    if RESULT_COLUMNS[name] == "TEXT":
        assert not column.unit
        assert not column.joined
    for unit, ending in (("nats", ("_nats", "_se")), ("share", ("_fraction", "_share", "_deviation", "_50", "_95"))):
        if column.unit == unit:
            assert name.endswith(ending)


def test_columns_are_named_as_sqlite_takes_them():
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE cells ({', '.join(f'{name} {kind}' for name, kind in RESULT_COLUMNS.items())})")
    assert list(RESULT_COLUMNS) == [item.name for item in fields(Results)]
