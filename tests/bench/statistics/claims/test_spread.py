"""What a spread is made of: effects of one thing at a time, paired, and never marginals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics.boards import Board
from bench.statistics.claims.spread import Axis, may_owe_to_objective, spread, tuning, untwinned
from bench.statistics.tuning import searches
from tests.bench.report.fake_run import Setting
from tests.bench.report.planted import grey, of, planted, twins
from tests.bench.report.runs import DIMS, LN2, doubted
from tests.bench.report.tuned_run import tuned

NOISE = 0.02  # bits/dim by which a planted score comes out otherwise


def axes(board: Board) -> dict[str, Axis]:
    return {axis.key: axis for axis in spread(board)}


#: gaussian σ=pixel gains 0.249 from its bins, more than the 0.238 that it was behind categorical
SEEN = [of("categorical", 1.860), *twins("gaussian", 2.098, 1.849, "pixel"), *twins("gaussian", 2.372, 1.897, "shared")]


def test_what_bins_gain_is_the_difference_of_the_twins_image_by_image() -> None:
    tables = planted(SEEN)
    board = grey(tables)
    effects = axes(board)["objective"].effects
    assert {(effect.better.sigma, effect.better.objective, effect.worse.objective) for effect in effects} == {
        ("pixel", "binned", "dequantised"),
        ("shared", "binned", "dequantised"),
    }
    scores = tables.per_image.merge(tables.cells[["cell", "seed", "config"]]).groupby("config")["iw_nats"].mean()
    for effect in effects:
        gain = (scores[effect.better.config] - scores[effect.worse.config]) / (DIMS * LN2)
        assert effect.gain.mean == pytest.approx(gain, abs=1e-9)
        assert effect.gain.low < gain < effect.gain.high
        assert effect.gain == board.leads([(effect.better.config, effect.worse.config)])[0]
    axis = axes(board)["objective"]
    assert (axis.low, axis.typical, axis.high) == pytest.approx((0.249, (0.249 + 0.475) / 2, 0.475), abs=NOISE)


def test_bins_that_do_harm_have_a_negative_effect_and_a_family_never_has() -> None:
    board = grey(planted([*twins("gaussian", 2.0, 2.3, "pixel"), *twins("laplace", 2.1, 2.2, "pixel")]))
    assert axes(board)["objective"].high == pytest.approx(-0.1, abs=NOISE)
    assert all(effect.gain.mean > 0 for effect in axes(board)["family"].effects)


def test_what_marginals_would_credit_to_a_family_is_nobody_s() -> None:
    """laplace has the better mean by far, only since it was trained on bins alone, and gaussian was not at all."""
    board = grey(
        planted([of("gaussian", 2.4, "pixel"), of("gaussian", 2.5, "shared"), of("laplace", 1.9, "pixel", "binned")])
    )
    found = axes(board)
    assert found["family"].effects == ()
    assert found["objective"].effects == ()
    assert np.isnan(found["family"].typical)
    assert len(found["sigma"].effects) == 1


def test_a_mass_stands_beside_bins_and_a_scale_beside_its_like() -> None:
    board = grey(
        planted(
            [
                of("categorical", 2.0),
                of("beta_binomial", 1.9),
                *twins("continuous_bernoulli", 2.2, 2.1),
                of("beta", 2.3),
                *twins("gaussian", 2.5, 2.4, 0.1),
                *twins("laplace", 2.7, 2.35, 0.1),
            ]
        )
    )
    sets = {(e.better.label, e.worse.label, e.size) for e in axes(board)["family"].effects}
    assert sets == {
        ("beta_binomial", "continuous_bernoulli binned", 3),
        ("continuous_bernoulli", "beta", 2),
        ("laplace σ=0.1 binned", "gaussian σ=0.1 binned", 2),
        ("gaussian σ=0.1", "laplace σ=0.1", 2),
    }


def test_options_of_one_family_are_its_own_and_shared_ones_must_agree() -> None:
    def linked(family: str, score: float, link: str) -> Setting:
        return of(family, score, "pixel", options={"link": link})

    board = grey(
        planted(
            [
                linked("gaussian", 2.0, "identity"),
                linked("laplace", 2.1, "identity"),
                linked("laplace", 2.6, "sigmoid"),
                of("student_t", 2.3, "pixel", options={"link": "identity", "df": 3.0}),
                of("student_t", 2.4, "pixel", options={"link": "identity", "df": 9.0}),
            ]
        )
    )
    found = axes(board)
    assert sorted(round(e.gain.mean, 1) for e in found["family"].effects) == [0.3, 0.4]
    assert {e.size for e in found["family"].effects} == {3}
    assert [round(e.gain.mean, 1) for e in found["link"].effects] == [0.5]
    assert [round(e.gain.mean, 1) for e in found["df"].effects] == [0.1]


def test_the_best_of_fixed_numbers_stands_for_all_and_numbers_have_an_axis() -> None:
    board = grey(
        planted(
            [of("gaussian", 2.0 + abs(i - 1) / 10, s) for i, s in enumerate((0.1, 0.2, 0.4))]
            + [of("gaussian", 1.9, "pixel")]
        )
    )
    found = axes(board)
    (given_as,) = found["sigma"].effects
    assert (given_as.better.sigma, given_as.worse.sigma, given_as.size) == ("pixel", "0.2", 2)
    (numbers,) = found["fixed sigma"].effects
    assert (numbers.better.sigma, numbers.size) == ("0.2", 3)


def test_samples_and_bounds_are_axes_too() -> None:
    board = grey(
        planted(
            [
                of("categorical", 2.0 - 0.1 * (k > 1) - 0.05 * (b == "iwae"), train_samples=k, bound=b)
                for k, b in ((1, "elbo"), (5, "elbo"), (5, "iwae"), (9, "iwae"))
            ]
        )
    )
    found = axes(board)
    assert found["family"].effects == ()
    assert "objective" in found
    assert "sigma" not in found
    assert {(e.better.train_samples, e.worse.train_samples) for e in found["train_samples"].effects} in (
        {(5, 1), (5, 9)},
        {(5, 1), (9, 5)},
    )
    assert [(e.better.bound, e.worse.bound) for e in found["bound"].effects] == [("iwae", "elbo")]


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_of_any_part_of_a_design_every_effect_is_of_one_thing_alone(data: st.DataObject) -> None:
    design = [(f, s, o) for f in ("gaussian", "laplace") for s in (0.1, "pixel") for o in ("dequantised", "binned")]
    kept = data.draw(st.lists(st.sampled_from(design), min_size=2, unique=True))
    scores = data.draw(st.lists(st.floats(1.5, 3), min_size=len(kept), max_size=len(kept)))
    board = grey(
        planted([of(f, score, s, o) for (f, s, o), score in zip(kept, scores, strict=True)], images=20, seeds=(0, 1))
    )
    place = {"family": 0, "sigma": 1, "objective": 2}
    for key, axis in axes(board).items():
        pairs = set()
        for effect in axis.effects:
            one, two = ((r.family, r.sigma, r.objective) for r in (effect.better, effect.worse))
            assert [a != b for a, b in zip(one, two, strict=True)] == [place[key] == i for i in range(3)]
            assert (effect.gain.mean > 0) or axis.directed
            pairs.add((one, two))
        others = {tuple(v for i, v in enumerate(row) if i != place[key]) for row in kept}
        assert len(pairs) == len(kept) - len(others), "every pair that there is, and no other"
    alone = {(r.family, r.sigma) for r in untwinned(board)}
    assert alone == {(f, str(s)) for f, s, o in kept if o == "dequantised" and (f, s, "binned") not in kept}


def test_who_may_owe_its_place_to_the_objective() -> None:
    """categorical leads gaussian σ=pixel by 0.238, whose bins were not tried."""
    alone = [setting for setting in SEEN if setting.objective != "binned"]
    board = grey(planted(alone))
    assert board.ranked[0].family == "categorical"
    assert [row.sigma for row in may_owe_to_objective(board)] == ["pixel", "shared"], "no pair tells how much"
    with_a_pair = grey(planted([s for s in SEEN if (s.sigma, s.objective) != ("pixel", "binned")]))
    assert with_a_pair.ranked[0].family == "categorical"
    assert [row.sigma for row in may_owe_to_objective(with_a_pair)] == ["pixel"], "others gained 0.475 so"
    small = grey(planted([*alone[:2], *twins("laplace", 2.5, 2.45, "shared")]))
    assert may_owe_to_objective(small) == (), "others gained 0.05 so, and it is 0.238 behind"
    assert may_owe_to_objective(grey(planted(SEEN))) == ()


def test_own_settings_matter_to_a_tie_and_to_a_family_alone() -> None:
    one_family = grey(planted([of("gaussian", 2.0, "pixel", "binned"), of("gaussian", 2.3, "shared")]))
    assert [row.sigma for row in may_owe_to_objective(one_family)] == ["shared"]
    ahead = grey(planted([of("gaussian", 2.0, "pixel"), of("gaussian", 2.1, "shared"), of("categorical", 2.5)]))
    assert may_owe_to_objective(ahead) == ()
    level = planted([of("gaussian", 2.0, "pixel"), of("categorical", 2.0)])
    images = level.per_image
    nats = images["iw_nats"].to_numpy().reshape(2, 3, -1).copy()
    nats[1] = nats[0] + np.random.default_rng(0).normal(0, 0.1, nats[0].shape)
    tied = grey(dataclasses.replace(level, per_image=images.assign(iw_nats=nats.ravel())))
    assert [row.family for row in may_owe_to_objective(tied)] == ["gaussian"], "first or not, its bins would settle it"


def test_a_twin_that_cannot_be_trusted_is_no_twin() -> None:
    board = grey(doubted(planted(SEEN), lambda cells: (cells["objective"] == "binned") & (cells["sigma"] == "pixel")))
    assert [row.sigma for row in untwinned(board)] == ["pixel"]


def test_an_effect_of_a_training_that_had_not_ended_is_marked() -> None:
    tables = planted(SEEN)
    which = (tables.cells["sigma"] == "shared") & (tables.cells["objective"] == "dequantised")
    tables.cells.loc[which, ["converged", "last_gain_bits_per_dim", "best_epoch"]] = 0, 0.1, 60
    effects = axes(grey(tables))["objective"].effects
    assert {effect.better.sigma: effect.unended for effect in effects} == {"pixel": False, "shared": True}


def test_what_tuning_is_worth_is_told_by_the_candidates_of_validation_data() -> None:
    """Of three candidates one was left without a number, one is 0.01 behind the chosen one."""
    tables = tuned()
    board = grey(tables)
    own = [row.config for row in board.ranked]
    found = tuning(searches(tables), own)
    assert found is not None
    made = {search.name for search in searches(tables) if set(search.configs) & set(own)}
    assert found.searches == found.unjudged == len(made)
    assert np.isnan(found.median), "one of two has no number, so the middle of them has none"
    assert (found.worst, found.low, found.high, found.most_se) == pytest.approx((0.01, 0.01, 0.01, 0.002))
    behind = tables.candidates["behind"].where(tables.candidates["behind"] != 0.01, 0.3)
    behind = behind.where(tables.candidates["ended_by"] != "behind", 0.1)
    judged = tuning(searches(dataclasses.replace(tables, candidates=tables.candidates.assign(behind=behind))), own)
    assert judged is not None
    assert (judged.median, judged.worst, judged.unjudged) == pytest.approx((0.2, 0.3, 0))
    assert tuning(searches(tables), []) is None
