"""What other settings changed between two runs: endings, moves, verdicts that turn round; and how it reads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.statistics.two_runs.differences import differences
from bench.statistics.two_runs.pairing import pair
from bench.statistics.two_runs.retrained import End, Retrained, retrained
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.statistics.two_runs import BITS, CHOSEN, asked, changed, flat, read, shifted

GREY = len(CHOSEN) - 1  # configurations of the board of grey levels; the other board has one
RISING = {"converged": 0, "last_gain_bits_per_dim": 0.05, "last_gain_se": 0.001, "best_epoch": 60, "epochs_run": 60}
SETTLED = {"converged": 1, "best_epoch": 60, "epochs_run": 90}


@pytest.fixture(scope="module")
def before() -> RunTables:
    return changed(fake_run.tables(CHOSEN, failures=False, pictures=False, images=150), "", **SETTLED)


def test_a_recipe_whose_chosen_reading_changed_has_no_verdict_and_stops_nothing() -> None:
    """What is set aside in one run may be ranked in the other: its change is told, its verdicts are of neither."""
    readings = ("gaussian_implied", "gaussian_fitted")
    own = [fake_run.Setting("mse_sum", 2.4, scored_as=reading, view="grey") for reading in readings]
    tables = fake_run.tables([*CHOSEN, *own], failures=False, pictures=False, images=60)

    def choosing(best: str) -> RunTables:
        bits = tables.cells["scored_as"].map({reading: 2.5 - (reading == best) for reading in readings})
        return dataclasses.replace(tables, cells=tables.cells.assign(reading_bits_per_dim=bits))

    one, other = (choosing(best) for best in readings)
    same, _ = found(one, asked(one, epochs=120))
    swapped, _ = found(one, asked(other, epochs=120))
    configurations = len(CHOSEN) + len(readings)
    assert len(same.configurations) == len(swapped.configurations) == configurations
    assert (same.untrusted, swapped.untrusted) == (0, 1)
    assert same.pairs - swapped.pairs == GREY


def found(before: RunTables, after: RunTables, width: int = 80) -> tuple[Retrained, str]:
    pairing = pair(before, after, ["epochs"])
    differing = differences(pairing.before, after)
    told = retrained(pairing.before, after, differing, pairing.ignored)
    return told, read(differing, pairing.before, after, width, changed=told)


def test_a_turned_verdict_is_found_with_its_size_both_ways(before: RunTables) -> None:
    """Laplace is behind both Gaussians and a logistic by 0.15 to 0.2 bits/dim; it gains half as much again."""
    a = changed(before, "laplace", **RISING)
    after = asked(shifted(changed(a, "laplace", **SETTLED), "laplace", 0.3 / BITS, 0.2), epochs=120)
    told, text = found(a, after)
    over = {turned.better for turned in told.turned}
    assert {turned.worse for turned in told.turned} == {"laplace σ=0.1"}
    assert {"gaussian σ=0.1", "logistic σ=0.1", "gaussian σ=shared"} <= over
    assert "categorical" not in over
    for turned in told.turned:
        assert turned.before.low > 0 > turned.after.high
        assert turned.before.mean - turned.after.mean == pytest.approx(0.3, abs=0.01)
        assert turned.unended == ("laplace σ=0.1",)
    assert told.stand + told.faded + len(told.turned) == told.judged <= told.pairs == GREY * (GREY - 1) / 2
    assert (told.moved(), told.untrusted) == (1, 0)
    assert "Ignored: epochs (60 in A, 120 in B)." in flat(text)
    assert (
        "1 of 7 configurations moved by more than 0.01 bits/dim: 1 of the 1 still improving in A, 0 of the 6"
        in flat(text)
    )
    assert "Still improving when training ended: 1 of 7 (14 %) in A, 0 of 7 (0 %) in B." in flat(text)
    assert f'{len(told.turned)} of {told.judged} verdicts of A "x is better than y" beyond noise turn round' in flat(
        text
    )
    assert "gaussian σ=0.1 is better than laplace σ=0.1 by 0.1" in flat(text)
    assert "; laplace σ=0.1 was still improving in A" in flat(text)
    assert "\n  laplace σ=0.1  ↑·  2.200  " in text
    back, _ = found(after, a)
    assert {(turned.better, turned.worse) for turned in back.turned} == {("laplace σ=0.1", name) for name in over}


def test_a_move_that_passes_nobody_turns_nothing(before: RunTables) -> None:
    after = asked(shifted(before, "categorical", 0.3 / BITS, 0.2), epochs=120)
    told, text = found(before, after)
    assert told.turned == ()
    assert told.moved() == 1
    assert told.judged == told.stand
    assert "1 of 7 configurations moved by more than 0.01 bits/dim: 1 of the 7 not still improving in A." in flat(text)
    assert f"None of {told.judged} verdicts of A" in flat(text)


def test_a_verdict_that_meets_noise_is_no_turn(before: RunTables) -> None:
    """Level with a rival in B, up to the noise of images and seeds."""
    level = shifted(before, "laplace", 0.2 / BITS)
    told, _ = found(before, asked(shifted(level, "laplace", 0.0, 0.3), epochs=120))
    assert told.faded > 0
    assert all(turned.after.high < 0 for turned in told.turned)


def test_identical_runs_have_nothing_to_tell(before: RunTables) -> None:
    told, text = found(before, asked(before, epochs=120))
    assert (told.moved(), told.turned, told.faded, told.new) == (0, (), 0, 0)
    assert text.startswith("Identical: every difference is zero, in all 7 configurations that both have.")
    assert "None of 7 configurations moved by more than 0.01 bits/dim." in flat(text)
    _, text = found(before, before)
    assert "Ignored: epochs (no difference)." in flat(text)


def test_moves_of_binary_pixels_are_counted_in_bits_too(before: RunTables) -> None:
    for bits, moved in ((0.02, 1), (0.005, 0)):
        told, _ = found(before, asked(shifted(before, "bernoulli", bits / BITS), epochs=120))
        assert told.moved() == moved
        assert np.abs(told.configurations["moved"]).max() == pytest.approx(bits)


def test_how_trainings_ended_is_that_of_the_worst_seed(before: RunTables) -> None:
    a = changed(changed(before, "laplace.*-s1-", **RISING), "categorical", converged=0)
    b = asked(changed(before, "laplace", epochs_run=np.nan), epochs=120)
    told, text = found(a, shifted(b, "laplace|categorical", 1.0, 0.1))
    ends = {config: (row["before"], row["after"]) for config, row in told.configurations.iterrows()}
    assert next(ends[config] for config in ends if "laplace" in config) == (End.IMPROVING, End.UNKNOWN)
    assert next(ends[config] for config in ends if "categorical" in config) == (End.LIMIT, End.ENDED)
    assert "\n  laplace σ=0.1  ↑?  2.200  " in text
    assert "\n  categorical    |·  " in text
    assert "AB: how training ended in A and in B:" in flat(text)
    assert "1 of 7 (14 %) in A, 0 of 7 (0 %) and 1 not recorded in B." in flat(text)


def test_bounds_that_cannot_be_trusted_have_no_verdicts(before: RunTables) -> None:
    a = changed(before, "laplace", khat_bad_fraction=0.5)
    told, text = found(a, asked(shifted(before, "laplace", 0.3 / BITS, 0.2), epochs=120))
    assert (told.turned, told.untrusted) == ((), 1)
    assert told.pairs == (GREY - 1) * (GREY - 2) / 2
    assert "1 configuration whose bound cannot be trusted in one of the runs has none." in flat(text)


def test_seeds_have_their_column_where_they_are_not_the_same(before: RunTables) -> None:
    after = shifted(asked(before, epochs=120), "laplace|categorical", 1.0, 0.1)
    _, text = found(before, after)
    assert "150 test images, 3 seeds" in flat(text)
    fewer = fake_run.only(after, lambda cells: (cells["family"] != "laplace") | (cells["seed"] > 0))
    _, text = found(before, fewer)
    assert "150 test images likelihood AB seeds A " in flat(text)


def test_runs_with_nothing_in_common_have_no_summary(before: RunTables) -> None:
    told, text = found(before, asked(before, epochs=120, latent=3))
    assert (told.pairs, told.moved()) == (0, 0)
    assert text.startswith("Nothing can be compared")
    assert "What changed with the settings" not in text


@pytest.mark.parametrize("width", [80, 100])
def test_every_line_fits(before: RunTables, width: int) -> None:
    long = before.cells["label"] + " with=options that=are very=long indeed=long"
    rising = changed(before, "", **RISING)
    a = changed(rising, "", reason=None)
    a.cells["label"] = long
    b = shifted(asked(a, epochs=120), "laplace", 0.3 / BITS, 0.2)
    b = shifted(b, "gaussian", -0.1, 0.01)
    _, text = found(a, shifted(b, "bernoulli", -100, 3), width)
    assert "…" in text
    assert "slightly worse" in text
