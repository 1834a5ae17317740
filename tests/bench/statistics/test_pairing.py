"""Two runs whose settings differ on purpose: which cells are paired, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.report.two_runs.settings import remedy
from bench.statistics.two_runs.differences import Change, DifferencesError, differences
from bench.statistics.two_runs.pairing import apart, pair
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.statistics.two_runs import CHOSEN, asked, together

TUNED = {"learning_rate": [0.001, 0.01]}


@pytest.fixture(scope="module")
def before() -> RunTables:
    return fake_run.tables(CHOSEN, failures=False, pictures=False, images=60)


def compared(before: RunTables, after: RunTables, *ignore: str) -> int:
    """How many configurations are compared, every number of which is the same."""
    found = differences(pair(before, after, ignore).before, after)
    assert (found.configurations["change"] == Change.IDENTICAL).all()
    assert len(found.new) == len(found.missing) == 3 * (len(CHOSEN) - len(found.configurations))
    return len(found.configurations)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 120),
        ("patience", 5),
        ("averaging", 0.9),
        ("learning_rate", 0.01),
        ("eval_samples", [1, 10]),
        ("eval_tolerance", 0.0),
        ("bound", "iwae"),
        ("latent", 3),
        ("batch_size", 7),
        ("tune", TUNED),
    ],
)
def test_cells_are_paired_by_what_is_left_of_them(before: RunTables, key: str, value: Any) -> None:
    after = asked(before, **{key: value})
    assert compared(before, after, key) == compared(after, before, key) == len(CHOSEN)
    assert differences(before, after).configurations.empty
    assert compared(before, after, "precision") == 0
    (varied, *_) = pair(before, after, [key]).ignored
    assert (varied.key, varied.differs) == (key, True)
    assert varied.before != varied.after


def test_seeds_stay_paired_and_one_that_a_run_lacks_is_told(before: RunTables) -> None:
    after = asked(fake_run.only(before, lambda cells: cells["seed"] != 1), epochs=120)
    found = differences(pair(before, after, ["epochs"]).before, after)
    assert set(found.configurations["seeds"]) == {2}
    assert set(found.missing["seed"]) == {1}


def test_every_key_that_differs_must_be_ignored(before: RunTables) -> None:
    after = asked(before, epochs=120, latent=3)
    assert compared(before, after, "epochs") == 0
    assert compared(before, after, "epochs", "latent", "refine", "latent") == len(CHOSEN)
    assert [(varied.key, varied.differs) for varied in pair(before, after, ("epochs", "refine", "latent")).ignored] == [
        ("epochs", True),
        ("refine", False),
        ("latent", True),
    ]
    found = apart(before, after)
    assert [(varied.key, varied.before, varied.after) for varied in found] == [
        ("latent", ("16",), ("3",)),
        ("epochs", ("60",), ("120",)),
    ]
    assert remedy(found) == (
        "The cells differ in latent (16 in A, 3 in B); epochs (60 in A, 120 in B): with --ignore latent "
        "--ignore epochs they are paired by the rest."
    )


def test_nothing_is_promised_where_data_differ(before: RunTables) -> None:
    assert (
        remedy(apart(before, asked(before, train_images=7))) == "The cells differ in train_images (none in A, 7 in B)."
    )
    assert remedy(apart(before, before)) == ""


def test_what_is_tuned_is_ignored_with_its_table(before: RunTables) -> None:
    tuned, given = asked(before, tune=TUNED), asked(before, learning_rate=0.01)
    for ignored in (["tune"], ["learning_rate"]):
        assert compared(tuned, given, *ignored) == len(CHOSEN)
    assert {varied.key: (varied.before, varied.after) for varied in pair(tuned, given, ["tune"]).ignored} == {
        "tune": (("learning_rate",), ("nothing",)),
        "learning_rate": (("one of 0.001, 0.01",), ("0.01",)),
    }


def test_configurations_of_both_runs_have_one_name_without_losing_any(before: RunTables) -> None:
    after = asked(before, epochs=120)
    paired = pair(before, after, ["epochs"]).before
    assert list(paired.cells["config"]) == list(after.cells["config"])
    assert set(paired.per_image["cell"]) == set(after.cells["cell"])
    assert before.cells["cell"].is_unique
    assert not set(before.cells["cell"]) & set(after.cells["cell"])


@pytest.mark.parametrize("swapped", [False, True])
def test_what_leaves_two_cells_for_one_place_is_refused(before: RunTables, swapped: bool) -> None:
    several = together(before, asked(before, "laplace", epochs=120))
    runs = (before, several) if swapped else (several, before)
    said = rf"cells of {'B' if swapped else 'A'} differ in epochs \(60, 120\) alone, such as those of laplace, so that"
    with pytest.raises(DifferencesError, match=said):
        pair(*runs, ["epochs", "refine"])
    with pytest.raises(DifferencesError, match="epochs"):
        pair(before, asked(before, "laplace.*-s1-", epochs=120), ["epochs"])  # one seed otherwise than the others
    assert compared(before, before, "refine") == len(CHOSEN)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "epoch",
            r"--ignore epoch: unknown key 'epoch' \(did you mean 'epochs'\? allowed: .*learning_rate.* tune\)\.$",
        ),
        ("sigma", r"--ignore sigma: sigma is part of the likelihood, which is what is compared \(allowed: "),
        ("family", "family is part of the likelihood"),
        ("scored_as", "scored_as is part of the likelihood"),
        ("train_images", "train_images is part of the data, whose images the scores are paired by"),
        ("seed", "seed is what cells are paired by"),
    ],
)
def test_what_cannot_be_ignored_is_refused_in_a_sentence(before: RunTables, key: str, said: str) -> None:
    with pytest.raises(DifferencesError, match=said):
        pair(before, before, [key])


def test_tables_that_do_not_tell_their_settings_are_refused(before: RunTables) -> None:
    bare = replace(before, cells=before.cells.drop(columns="spec"))
    with pytest.raises(DifferencesError, match="the cells of B do not tell their settings"):
        pair(before, bare, ["epochs"])
    assert apart(before, bare) == ()


def test_other_test_images_are_nothing_to_ignore(before: RunTables) -> None:
    after = asked(before, test_images=30)
    with pytest.raises(DifferencesError, match="test_images is which images are scored, and only scores of the same"):
        pair(before, after, ["test_images"])
    with pytest.raises(DifferencesError) as error:
        pair(before, after, ["epoch"])
    assert "test_images" not in str(error.value)
