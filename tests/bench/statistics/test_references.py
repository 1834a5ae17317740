"""References on a board: at their place, held against the best configuration, and what is worse than they are."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from bench.statistics.boards import Board, boards
from bench.statistics.references import in_short, is_beaten
from bench.store import RunTables
from tests.bench.report.runs import DIMS, LN2, few, moved
from vae_core.statistics.intervals import Verdict

IMAGES = 60


def held(tables: RunTables, **nats: float | np.ndarray) -> RunTables:
    """The tables with references of grey levels: of a number a codec, of an array [N] one that scores images."""
    rows, images = [], [tables.per_image]
    for name, score in nats.items():
        family = name.replace("__", ":")
        mean = float(np.mean(score))
        row: dict[str, object] = {
            "cell": f"ref-{name}",
            "config": f"ref-{name}",
            "label": family,
            "family": family,
            "status": "done",
        }
        row |= {"dataset": "digits", "measure": "pmf-17", "currency": "pmf-K", "binarisation": "stochastic"}
        row |= {"iw_nats": mean, "bits_per_dim": -mean / (DIMS * LN2), "sigma": "", "options": "{}", "view": "levels"}
        rows.append(row)
        if isinstance(score, np.ndarray):
            images.append(pd.DataFrame({"cell": row["cell"], "image": np.arange(len(score)), "iw_nats": score}))
    references = pd.DataFrame(rows).reindex(columns=tables.references.columns)
    return dataclasses.replace(tables, references=references, per_image=pd.concat(images, ignore_index=True))


def best_scores(tables: RunTables) -> np.ndarray:
    board = grey(tables)
    return board.samples[board.ranked[0].config].nats.mean(axis=0)


def grey(tables: RunTables) -> Board:
    return next(board for board in boards(tables) if board.currency == "pmf-K")


def test_one_that_is_better_is_unbeaten_and_first():
    tables = few()
    noise = np.random.default_rng(0).normal(0, 1, IMAGES)
    board = grey(held(tables, histogram=best_scores(tables) + 12 + noise, png=-300.0))
    assert board.standing[0].label == "histogram"
    (row,) = board.unbeaten
    assert (row.verdict, row.rank, row.seeds) == (Verdict.BETTER, None, 0)
    assert row.behind.mean == pytest.approx(-12 / (DIMS * LN2), abs=0.01)
    assert row.behind.low < row.behind.mean < row.behind.high < 0
    assert all(board.says_less(one) for one in board.everything)


def test_one_that_is_worse_is_beaten():
    tables = few()
    noise = np.random.default_rng(0).normal(0, 1, IMAGES)
    board = grey(held(tables, product_mixture=best_scores(tables) - 40 + noise))
    assert board.unbeaten == ()
    (row,) = board.references
    assert row.verdict is Verdict.WORSE
    assert row.behind.low > 0
    assert row.p < 0.05
    assert is_beaten(row)
    assert board.histogram is None
    assert not any(board.says_less(one) for one in board.everything), "nothing is held against a mixture"


def test_one_that_cannot_be_told_apart_is_unbeaten():
    tables = few()
    noise = np.random.default_rng(0).normal(0, 8, IMAGES)
    board = grey(held(tables, histogram=best_scores(tables) - 0.1 + noise - noise.mean()))
    assert [row.verdict for row in board.unbeaten] == [Verdict.INDISTINGUISHABLE]


@pytest.mark.parametrize(("lead", "unbeaten"), [(1.0, True), (-1.0, False)])
def test_a_codec_is_one_number_without_interval_and_verdict(lead, unbeaten):
    tables = few()
    mean = float(best_scores(tables).mean())
    board = grey(held(tables, xz=mean + lead))
    (row,) = board.references
    assert row.verdict is None
    assert np.isnan([row.value.low, row.value.high, row.behind.low, row.p]).all()
    assert row.behind.mean == pytest.approx(-lead / (DIMS * LN2), abs=1e-9)
    assert bool(board.unbeaten) is unbeaten


def test_the_value_has_an_interval_over_images():
    scores = np.random.default_rng(1).normal(-110, 9, IMAGES)
    (row,) = grey(held(few(), histogram=scores)).references
    half = 2 * scores.std(ddof=1) / IMAGES**0.5 / (DIMS * LN2)
    assert row.value.mean == pytest.approx(-scores.mean() / (DIMS * LN2))
    assert row.value.high - row.value.low == pytest.approx(2 * half, rel=0.15)


def test_what_is_worse_than_the_table_or_than_nothing_is_known():
    """As on 32 × 32 photos, where five of nine configurations were worse than 8 bits and nobody said so."""
    tables = moved(few(), lambda cells: cells["family"] == "gaussian", -200.0)
    scores = np.random.default_rng(1).normal(-110, 1, IMAGES)
    board = grey(held(tables, histogram=scores))
    below = {row.family for row in board.everything if board.below_uniform(row)}
    assert below == {"gaussian"}
    assert all(board.says_less(row) for row in board.everything if row.family == "gaussian")
    assert not board.says_less(board.ranked[0])
    assert not any(board.says_less(row) or board.below_uniform(row) for row in board.references)


def test_a_uniform_guess_needs_no_reference():
    tables = moved(few(), lambda cells: cells["family"] == "categorical", -500.0)
    board = grey(tables)
    assert board.references == ()
    assert [row.family for row in board.ranked if board.below_uniform(row)] == ["categorical"]


def test_of_families_the_best_alone_stands_in_the_ranking():
    tables = few()
    noise = np.random.default_rng(0).normal(0, 1, IMAGES)
    scores = {f"no_latent__{name}": best_scores(tables) - 10 * n + noise for n, name in enumerate(("a", "b", "c"), 1)}
    board = grey(held(tables, **scores, histogram=best_scores(tables) - 15 + noise))
    assert [row.label for row in board.references] == ["no_latent:a", "histogram", "no_latent:b", "no_latent:c"]
    assert [row.label for row in in_short(board.references)] == ["no_latent:a", "histogram"]
    assert [row.label for row in board.standing if row.reference] == ["no_latent:a", "histogram"]


def test_the_gain_over_a_reference_is_paired_by_image():
    tables = few()
    noise = np.random.default_rng(0).normal(0, 0.1, IMAGES)
    board = grey(held(tables, no_latent__gaussian=best_scores(tables) - 20 + noise))
    gain = board.gain_over(board.ranked[0], board.references[0])
    assert gain.mean == pytest.approx((20 - noise.mean()) / (DIMS * LN2))
    assert gain.image_high - gain.image_low < 0.1 / (DIMS * LN2), "what images have in common is no noise"


def test_those_of_other_data_stand_elsewhere():
    tables = held(few(), histogram=np.full(IMAGES, -100.0), xz=-90.0)
    for column, other in (("measure", "pmf-16"), ("dataset", "mnist"), ("quantise", 4), ("train_images", 10)):
        changed = dataclasses.replace(tables, references=tables.references.assign(**{column: other}))
        assert grey(changed).references == ()
    of_reference = tables.per_image["cell"].str.startswith("ref")
    fewer = tables.per_image[~of_reference | (tables.per_image["image"] < IMAGES - 1)]
    assert [row.label for row in grey(dataclasses.replace(tables, per_image=fewer)).references] == ["xz"]


def test_one_that_failed_is_not_there():
    tables = held(few(), histogram=np.full(IMAGES, -100.0))
    failed = dataclasses.replace(tables, references=tables.references.assign(status="failed"))
    assert grey(failed).references == ()


def test_of_a_kind_that_two_views_have_there_is_one():
    """0/1 data are seen as levels and as binary pixels, and are the same contest."""
    tables = held(few(), histogram=np.full(IMAGES, -100.0))
    twice = pd.concat([tables.references, tables.references.assign(cell="other", config="other")])
    assert len(grey(dataclasses.replace(tables, references=twice)).references) == 1


def test_a_codec_of_other_test_images_stands_elsewhere():
    """It gives no image a score of its own: on how many it was computed its details say."""
    tables = held(few(), png=-300.0)
    for count, there in ((60, True), (21, False)):
        rows = tables.references.assign(details=json.dumps({"test images": count}))
        board = grey(dataclasses.replace(tables, references=rows))
        assert bool(board.references) is there


def test_what_could_not_be_had_is_known_with_its_reason_and_of_its_own_board_alone():
    tables = held(few(), png=-300.0, xz=-280.0)
    rows = tables.references.assign(reason="no memory")
    rows.loc[rows["family"] == "xz", "status"] = "failed"
    made = boards(dataclasses.replace(tables, references=rows))
    assert {board.currency: board.unreferred for board in made} == {"pmf-K": (("xz", "no memory"),), "pmf-2": ()}
