"""Two runs compared: what is found, what is not invented, what is refused, and how it reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.statistics.two_runs.differences import Change, DifferencesError, differences
from bench.store import RunTables, StoreError
from bench.store.export import export
from bench.store.read_export import read_exported
from tests.bench.report import fake_run
from tests.bench.statistics.two_runs import BITS, CHOSEN, changed, flat, read, shifted


@pytest.fixture(scope="module")
def before() -> RunTables:
    return fake_run.tables(CHOSEN, failures=False, pictures=False)


def of_device(tables: RunTables, name: str) -> RunTables:
    return replace(tables, provenance=[fake_run.provenance(device={"kind": "cuda", "name": name})])


# -- what is found -----------------------------------------------------------------------------------------------------


def test_a_run_against_itself_is_identical(before: RunTables) -> None:
    found = differences(before, before)
    assert (found.configurations["change"] == Change.IDENTICAL).all()
    assert (found.configurations["difference"] == 0).all()
    assert len(found.configurations) == len(CHOSEN)
    assert not found.regressed
    assert all(getattr(found, name).empty for name in ("new", "missing", "newly_failed", "failed", "left_out"))
    text = read(found, before, before)
    assert text.startswith("Identical: every difference is zero, in all 7 configurations that both have.")


@pytest.mark.parametrize(("keep", "unit", "factor"), [("laplace", "bits/dim", -BITS), ("bernoulli", "nats", 1.0)])
def test_a_known_loss_is_found_with_its_size(before: RunTables, keep: str, unit: str, factor: float) -> None:
    after = shifted(before, keep, -1.5, noise=0.1)
    found = differences(before, after)
    row = found.configurations.iloc[0]
    assert found.regressed
    assert (row["change"], row["unit"], row["seeds"]) == (Change.WORSE, unit, 3)
    assert keep in row["label"]
    assert row["difference"] == pytest.approx(-1.5 * factor, rel=0.2)
    assert row["low"] <= -1.5 * factor <= row["high"]
    assert row["after"] - row["before"] == pytest.approx(row["difference"])
    assert row["loss"] > 0
    assert (found.configurations["change"][1:] == Change.IDENTICAL).all()
    assert "Regression. 1 of 7 configurations is worse: 6 identical." in flat(read(found, before, after))


def test_a_gain_is_no_regression(before: RunTables) -> None:
    found = differences(before, shifted(before, "gaussian", 1.5, noise=0.1))
    assert found.count(Change.BETTER) == 2
    assert not found.regressed
    assert (found.configurations["loss"][:2] < 0).all()


def test_a_loss_below_the_threshold_is_told_and_does_not_fail(before: RunTables) -> None:
    after = shifted(before, "laplace", -0.1, noise=0.005)  # 0.0023 bits/dim
    found = differences(before, after)
    assert found.count(Change.SLIGHT) == 1
    assert not found.regressed
    assert "1 slightly worse (below the threshold)" in flat(read(found, before, after))
    assert differences(before, after, {"bits/dim": 0.001, "nats": 0.1}).regressed


def test_regressions_come_first_and_the_worst_of_them_at_the_top(before: RunTables) -> None:
    after = shifted(shifted(shifted(before, "laplace", -2, 0.1), "categorical", -4, 0.1), "pixel", 3, 0.1)
    found = differences(before, after)
    labels = list(found.configurations["label"][:3])
    assert [label.split()[0] for label in labels] == ["categorical", "laplace", "logistic"]


def test_noise_is_no_difference(before: RunTables) -> None:
    found = differences(before, shifted(before, "", 0.0, noise=0.3, seed=2))
    assert found.count(Change.NONE) == len(CHOSEN)
    assert (found.configurations["p"] > 0.05).all()


@pytest.mark.slow
def test_equal_truth_seldom_fails_a_check() -> None:
    """A hundred pairs of runs, each of seven configurations trained afresh: few end with a regression."""
    small = fake_run.tables(CHOSEN[:6], failures=False, pictures=False, throughput=False, images=40)
    invented = [differences(small, shifted(small, "", 0.0, noise=0.5, seed=seed)).regressed for seed in range(100)]
    assert np.mean(invented) <= 0.05


def test_new_missing_failed_and_mended_cells(before: RunTables) -> None:
    a = changed(before, "laplace", status="failed", reason="it was broken")
    a = changed(fake_run.only(a, lambda cells: cells["family"] != "categorical"), "pixel", status="oom", reason="big")
    b = fake_run.only(before, lambda cells: cells["family"] != "bernoulli")
    b = changed(b, "sigma=0.1-elbo-L1-s0", status="failed", reason="the loss became NaN in epoch 7")
    b = changed(b, "pixel", status="timeout", reason="it took longer than 600 s")
    found = differences(a, b)
    assert set(found.new["label"].str.split().str[0]) == {"categorical"}
    assert set(found.missing["label"]) == {"bernoulli"}
    assert sorted(found.newly_failed["label"]) == ["gaussian σ=0.1", "logistic σ=0.1"]
    assert set(found.newly_failed["reason"]) == {"the loss became NaN in epoch 7"}
    assert list(found.newly_done["seed"]) == [1, 2]
    assert len(found.failed) == 4
    assert found.regressed, "a cell that was done fails now"
    kept = found.configurations.set_index("label")["seeds"]
    assert kept["gaussian σ=0.1"] == 2, "the seeds that both have"
    text = flat(read(found, a, b))
    for said in (
        "Regression. 2 cells that A has done failed in B. Identical: every difference is zero",
        "gaussian σ=0.1, seed 0: the loss became NaN in epoch 7",
        "3 cells only in B: categorical, seeds 0, 1, 2",
        "3 cells only in A: bernoulli, seeds 0, 1, 2",
        "2 cells failed in A, done in B: laplace σ=0.1, seeds 1, 2",
        "4 cells failed in both:",
    ):
        assert said in text


def test_what_cannot_be_compared_is_left_out_with_its_reason(before: RunTables) -> None:
    a, after = before, before
    images = after.per_image.copy()
    images.loc[images["cell"].str.contains("categorical-elbo-L1-s1") & (images["image"] == 7), "iw_nats"] = -np.inf
    found = differences(a, replace(after, per_image=images))
    assert sorted(set(found.left_out["reason"])) == [
        "one of the runs has no finite log-likelihood of every test image",
    ]
    assert len(found.left_out) == 1
    assert "1 cell done in both, but not compared:" in read(found, a, after)


def test_a_loss_counts_whatever_the_estimator(before: RunTables) -> None:
    """A training that worsens q makes the bound a refined one: both bound one log-likelihood, and a loss is a loss."""
    a, b = (changed(before, "laplace", estimator=whose) for whose in ("encoder", "refined"))
    assert differences(a, shifted(b, "laplace", -5.0, 0.1)).regressed
    assert not differences(a, b).regressed


def test_nothing_in_common_is_said_plainly(before: RunTables) -> None:
    a = fake_run.only(before, lambda cells: cells["family"] == "laplace")
    b = fake_run.only(before, lambda cells: cells["family"] == "logistic")
    found = differences(a, b)
    assert not found.regressed
    assert read(found, a, b).startswith("Nothing can be compared")


def test_bounds_that_have_not_converged_are_marked(before: RunTables) -> None:
    a, b = (changed(before, "laplace", khat_bad_fraction=share) for share in (0.0, 0.3))
    after = shifted(b, "laplace", -1.0, 0.1)
    found = differences(a, after)
    assert list(found.configurations.loc[found.configurations["doubtful"], "label"]) == ["laplace σ=0.1"]
    text = read(found, a, after)
    assert "\n! laplace σ=0.1" in text
    assert "! not converged: a bound, the true value is better than shown." in text


def test_one_seed_says_that_training_noise_is_unknown(before: RunTables) -> None:
    a = fake_run.only(before, lambda cells: cells["seed"] == 1)
    after = shifted(a, "laplace", -1.0, 0.1)
    assert "With one seed the training noise is unknown" in read(differences(a, after), a, after)


# -- speed -------------------------------------------------------------------------------------------------------------


def test_speed_is_a_ratio_and_never_a_regression(before: RunTables) -> None:
    cells = before.cells.assign(train_images_per_s=before.cells["train_images_per_s"] / 4)
    after = replace(before, cells=cells)
    found = differences(before, after)
    assert not found.regressed
    assert found.speeds is not None
    assert found.speeds["train_images_per_s"].to_numpy() == pytest.approx(0.25)
    assert found.speeds["eval_decodes_per_s"].to_numpy() == pytest.approx(1.0)
    assert "never judged" in read(found, before, after)


def test_speeds_of_different_devices_are_not_compared(before: RunTables) -> None:
    after = of_device(before, "a faster one")
    found = differences(before, after)
    assert found.speeds is None
    text = flat(read(found, before, after))
    assert "Speed is not compared: the devices differ (a fake processor in A, a faster one in B)." in text


# -- where they come from ----------------------------------------------------------------------------------------------


def test_the_header_says_commits_and_what_changed(before: RunTables) -> None:
    git = {"commit": "0123456789abcdef", "dirty": True}
    after = replace(before, provenance=[fake_run.provenance(git=git, packages={"torch": "3.0", "numpy": "2.4.6"})])
    text = flat(read(differences(before, after), before, after))
    assert "A before: 21 of 21 cells done; commit 3f9a2c1b; a fake processor; 2026-11-23" in text
    assert "commit 01234567 with changes" in text
    assert "torch 3.0 (A: 2.14.1)" in text
    assert "pandas absent (A: 3.1.1)" in text
    assert "numpy" not in text


def test_other_data_is_refused(before: RunTables) -> None:
    meta = {**before.meta, "data": {"digits": {**before.meta["data"]["digits"], "checksum": "beef" * 16}}}
    with pytest.raises(DifferencesError, match=r"digits is not the same in both runs \(checksum 5f1d5f1d in A, beef"):
        differences(before, replace(before, meta=meta))


def test_parts_of_one_data_set_are_told_apart(before: RunTables) -> None:
    """Each has a checksum of its own: two runs are compared where those of the same part agree."""
    facts = before.meta["data"]["digits"]
    more = {**before.meta, "data": {"digits": facts, "digits train_images=100": {**facts, "checksum": "beef" * 16}}}
    part = replace(before, meta=more, cells=before.cells.assign(train_images=100))
    assert differences(part, part).unchecked == []
    found = differences(replace(part, meta=before.meta), part)
    assert found.unchecked == ["digits train_images=100"]
    assert set(found.configurations["board"]) == {
        f"digits (100 training images) {measure}" for measure in before.cells["measure"].dropna().unique()
    }


def test_changes_are_judged_over_blocks(before: RunTables) -> None:
    """All that changes is one block of thirty: over images it would look as sure as ten of them."""
    images = before.per_image.copy()
    images.loc[images["image"] < 10, "iw_nats"] -= 60
    facts = {**before.meta["data"]["digits"], "test_blocks": [10] * 30}
    of_blocks = {**before.meta, "data": {"digits": facts}}
    plain = differences(before, replace(before, per_image=images)).configurations
    blocked = differences(
        replace(before, meta=of_blocks), replace(before, meta=of_blocks, per_image=images)
    ).configurations
    assert blocked["difference"].to_numpy() == pytest.approx(plain["difference"].to_numpy())
    assert ((blocked["high"] - blocked["low"]) > 2 * (plain["high"] - plain["low"])).all()
    assert set(plain["change"]) == {Change.WORSE}
    assert set(blocked["change"]) == {Change.NONE}


def test_other_images_are_refused(before: RunTables) -> None:
    fewer = replace(before, per_image=before.per_image[before.per_image["image"] < 200])
    with pytest.raises(DifferencesError, match="300 test images in A and on 200 in B"):
        differences(before, fewer)


# -- exported tables ---------------------------------------------------------------------------------------------------


def test_exported_tables_compare_like_their_run(before: RunTables, tmp_path: Path) -> None:
    after = shifted(before, "laplace", -1.0, 0.1)
    for name, tables in (("a", before), ("b", after)):
        export(tables, tmp_path / name)
    same = differences(before, after)
    found = differences(read_exported(tmp_path / "a"), read_exported(tmp_path / "b"))
    pd.testing.assert_frame_equal(found.configurations, same.configurations)
    assert found.unchecked == []
    for name in "ab":
        (tmp_path / name / "provenance.json").unlink()
    a, b = (read_exported(tmp_path / name) for name in "ab")
    found = differences(a, b)
    pd.testing.assert_frame_equal(found.configurations, same.configurations)
    assert found.unchecked == ["digits"]
    text = flat(read(found, a, b))
    assert "The data behind digits cannot be checked: a run does not tell its checksum." in text
    assert "commit unknown" in text


def test_the_reference_tables_can_be_compared() -> None:
    tables = read_exported(Path(__file__).parents[3] / "results/reference/digits")
    found = differences(tables, tables)
    assert (found.configurations["change"] == Change.IDENTICAL).all()
    assert found.unchecked == []


def test_damaged_exports_are_refused(before: RunTables, tmp_path: Path) -> None:
    export(before, tmp_path)
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(StoreError, match=r"provenance.json is damaged"):
        read_exported(tmp_path)
    before.cells[["cell"]].to_parquet(tmp_path / "per_image.parquet")
    with pytest.raises(StoreError, match=r"per_image.parquet is not a run's table: it has no column 'image'"):
        read_exported(tmp_path)
    (tmp_path / "per_image.parquet").write_text("no table")
    with pytest.raises(StoreError, match=r"per_image.parquet is damaged or not a Parquet file"):
        read_exported(tmp_path)
    (tmp_path / "cells.parquet").unlink()
    with pytest.raises(StoreError, match=r"there is no .*cells.parquet; vae-bench export RUN --to"):
        read_exported(tmp_path)


@pytest.mark.parametrize("width", [80, 100])
def test_every_line_fits(before: RunTables, width: int) -> None:
    long = before.cells["label"] + " with=options that=are very=long indeed=long"
    a = replace(before, cells=before.cells.assign(label=long))
    after = shifted(changed(a, "pixel", status="failed", reason="why " * 60), "", -1000.0, 3.0)
    assert "…" in read(differences(a, after), a, after, width)


# -- what cannot be judged ---------------------------------------------------------------------------------------------


def few_images(tables: RunTables, images: int) -> RunTables:
    return replace(tables, per_image=tables.per_image[tables.per_image["image"] < images])


@pytest.mark.parametrize("images", [1, 5, 19, 20])
def test_too_few_images_judge_nothing(before: RunTables, images: int) -> None:
    a, b = few_images(before, images), few_images(shifted(before, "laplace", -1.5, noise=0.1), images)
    found = differences(a, b)
    row = found.configurations[found.configurations["change"] != Change.IDENTICAL].iloc[0]
    enough = images >= 20
    assert row["change"] == (Change.WORSE if enough else Change.UNJUDGED)
    assert found.regressed == enough
    assert [bool(np.isnan(row[name])) for name in ("low", "high", "p")] == [not enough] * 3
    assert row["loss"] > 0
    text = flat(read(found, a, b))
    assert "nan" not in text.lower()
    if not enough:
        assert text.startswith("Nothing is judged: fewer than 20 test images, or blocks of them.")
        assert "Not judged, without an interval: fewer than 20 test images, or blocks of them." in text


def test_too_few_blocks_of_many_images_are_called_blocks(before: RunTables) -> None:
    """No sentence may say that hundreds of images are fewer than 20."""
    images = before.per_image["image"].nunique()
    facts = {**before.meta["data"]["digits"], "test_blocks": [images // 10] * 10}
    blocked = replace(before, meta={**before.meta, "data": {"digits": facts}})
    found = differences(blocked, after := shifted(blocked, "laplace", -1.5, noise=0.1))
    assert Change.UNJUDGED in set(found.configurations["change"])
    text = flat(read(found, blocked, after))
    assert text.startswith("Nothing is judged: fewer than 20 test images, or blocks of them.")


def test_a_score_above_zero_in_either_run_is_left_out(before: RunTables) -> None:
    wrong = shifted(before, "categorical", 300.0)
    for a, b, run in ((before, wrong, "B"), (wrong, before, "A")):
        found = differences(a, b)
        reasons = found.left_out["reason"]
        assert len(reasons) == 3
        assert reasons.str.startswith(f"in {run}, the mean ln P of 300 images is ").all()
        assert not found.configurations["label"].str.contains("categorical").any()


def test_one_seed_takes_the_noise_of_the_others(before: RunTables) -> None:
    thin = fake_run.only(before, lambda cells: (cells["family"] != "laplace") | (cells["seed"] == 1))
    after = shifted(thin, "", -0.3, noise=0.3)
    found = differences(thin, after)
    rows = found.configurations.query("unit == 'bits/dim'").set_index("seeds")
    wide = rows["high"] - rows["low"]
    assert wide[1] > np.median(wide[3])
    assert "Of what has one seed the training noise is taken to be that of the others." in flat(
        read(found, thin, after)
    )
