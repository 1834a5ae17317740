"""What the run file holds is declared once, and pinned to the version of its format."""

from __future__ import annotations

import sqlite3
from dataclasses import fields

import pytest

from bench.grid.settings import GROUPS, KEYS
from bench.store import RESULT_COLUMNS, Results
from bench.store.columns import FORMAT, columns
from bench.store.schema import KEY_COLUMNS, digest

#: the digest of the declarations that each format fixes: whoever changes them raises FORMAT and adds a line
DIGESTS = {4: "bddafe4e0dfe042c"}

#: what cells had before a key existed, or before its default was changed: it is in the names of stored cells for ever
ABSENT = {
    "dataset": "digits",
    "levels": None,
    "family": None,
    "train_samples": 1,
    "objective": "elbo",
    "network": "mlp",
    "hidden": (200,),
    "activation": "tanh",
    "latent": 10,
    "epochs": 50,
    "batch_size": 100,
    "learning_rate": 0.001,
    "precision": "float32",
    "seed": 0,
    "eval_samples": (1, 10, 100, 1000),
    "test_images": None,
    "refine": "auto",
    "binarisation": "stochastic",
}


def test_the_declarations_are_those_of_this_format():
    assert DIGESTS.get(FORMAT) == digest(), "the columns changed: raise FORMAT in bench/store/columns.py, pin it here"


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
