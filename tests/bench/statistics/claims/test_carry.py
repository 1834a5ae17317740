"""Does a ranking carry over to other networks and data: what is compared, what turns round, what is not known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bench.statistics.boards import boards
from bench.statistics.claims import carry
from bench.statistics.claims.carry import Carried, Comparison, Differs, Verdict, carried
from bench.store import RunTables
from tests.bench.report.fake_run import Setting
from tests.bench.report.runs import doubted, few
from tests.bench.statistics.carried import LIKELIHOODS, ORDER, noisy, run, scores, shuffled

DIGITS, CONV = ("digits", "mlp"), ("digits", "conv")
PATCHES = ("patches", "mlp")


def only(tables: RunTables) -> Carried:
    (found,) = carried(boards(tables))
    return found


def the(tables: RunTables) -> Comparison:
    (found,) = only(tables).comparisons
    return found


def numbers(found: Carried) -> list[tuple[object, ...]]:
    """What is found, but for the boards that it was found in."""
    return [
        (
            *(one.one.name, one.other.name, one.shared, one.verdict, one.tau, one.low, one.high, one.kept, one.open),
            *((turn.better, turn.worse, round(turn.lead.mean, 9), round(turn.lag.low, 9)) for turn in one.turned),
        )
        for one in found.comparisons
    ]


@pytest.mark.parametrize(("other", "differs"), [(CONV, Differs.NETWORK), (PATCHES, Differs.DATA)])
def test_one_order_in_both_carries_over(other: tuple[str, str], differs: Differs) -> None:
    found = the(run({DIGITS: scores(), other: scores(first=3, step=0.2)}))
    assert (found.tau, found.low, found.high) == (1, 1, 1)
    assert (found.verdict, found.differs) == (Verdict.CARRIES, differs)
    assert (found.kept, found.turned, found.open) == (15, (), 0)


@pytest.mark.parametrize("other", [CONV, PATCHES, ("patches", "conv")])
def test_the_opposite_order_turns_round_altogether(other: tuple[str, str]) -> None:
    found = the(run({DIGITS: scores(), other: scores(ORDER[::-1], first=3)}))
    assert (found.tau, found.low, found.high) == (-1, -1, -1)
    assert (found.verdict, found.kept, len(found.turned), found.open) == (Verdict.TURNS, 0, 15, 0)
    assert all(turn.lead.low > 0 > turn.lag.high for turn in found.turned)


def test_a_pair_that_turns_round_is_told_with_both_differences_each_in_its_own_unit() -> None:
    order = ("gaussian σ=shared", "gaussian σ=pixel", *ORDER[2:])
    found = the(run({DIGITS: scores(), CONV: scores(order, first=2, step=0.3)}))
    (turn,) = found.turned
    better, worse = ("σ=shared", "σ=pixel")  # contexts stand in the order of their names: conv first
    assert (found.one.name, found.other.name) == ("digits, convolutional network", "digits, MLP")
    assert (better in turn.better, worse in turn.worse) == (True, True)
    assert turn.lead.mean == pytest.approx(0.3, abs=0.03)
    assert turn.lag.mean == pytest.approx(-0.1, abs=0.03)
    assert found.verdict is Verdict.IN_PART
    assert found.tau == pytest.approx(13 / 15)
    assert (found.low, found.high) == (found.tau, found.tau)


def test_of_noise_alone_hardly_any_run_has_a_pair_that_turns_round() -> None:
    """All that six likelihoods differ by is noise, in both contexts; of 20 runs more than 4 would come once in 400."""
    level = dict.fromkeys(LIKELIHOODS, 2.0)
    template = run({DIGITS: level, PATCHES: level}, images=24)
    found = [the(noisy(template, 3.0, draw)) for draw in range(20)]
    assert sum(bool(one.turned) for one in found) <= 4
    assert sum(one.low <= 0 <= one.high for one in found) >= 16
    assert {one.verdict for one in found if not one.turned and one.low <= 0} == {Verdict.OPEN}


def test_noise_is_no_hindrance_to_what_is_far_apart() -> None:
    found = the(run({DIGITS: scores(step=0.3), PATCHES: scores(ORDER[::-1], step=0.3)}, noise=3.0))
    assert len(found.turned) >= 10


@pytest.mark.parametrize("draw", [0, 1])
def test_the_order_of_rows_does_not_matter(draw: int) -> None:
    tables = run({DIGITS: scores(), PATCHES: scores(step=0.01), ("patches", "resnet"): scores(ORDER[::-1])})
    assert numbers(only(shuffled(tables, draw))) == numbers(only(tables))


def test_what_is_missing_in_one_context_takes_no_part_in_its_comparisons() -> None:
    without = {name: score for name, score in scores().items() if name not in ORDER[:2]}
    found = only(run({DIGITS: scores(), CONV: without, PATCHES: scores()}))
    shared = {(one.one.name, one.other.name): (one.shared, one.pairs) for one in found.comparisons}
    assert shared == {
        ("digits, convolutional network", "digits, MLP"): (4, 6),
        ("digits, convolutional network", "patches, MLP"): (4, 6),
        ("digits, MLP", "patches, MLP"): (6, 15),
    }
    assert found.places[next(key for key in found.places if "pixel" in key)] == (None, 1, 1)


def test_what_is_left_out_of_a_ranking_is_not_compared() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    tables = doubted(tables, lambda cells: (cells["dataset"] == "patches") & (cells["family"] == "categorical"))
    assert the(tables).shared == 5


def test_of_fewer_than_three_nothing_is_said() -> None:
    two = {name: score for name, score in scores().items() if name in ORDER[:2]}
    found = the(run({DIGITS: scores(), PATCHES: two}))
    assert (found.verdict, found.shared, found.pairs) == (Verdict.UNCOMPARED, 2, 0)
    assert np.isnan([found.tau, found.low, found.high]).all()


def test_with_few_images_there_is_tau_and_no_more() -> None:
    found = the(run({DIGITS: scores(), PATCHES: scores()}, images={"digits": 40, "patches": 19}))
    assert (found.verdict, found.tau, found.kept) == (Verdict.UNJUDGED, 1, 0)
    assert np.isnan([found.low, found.high]).all()


def test_what_shares_no_seed_is_not_compared() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    cells = tables.cells
    place = cells["dataset"].eq("patches") & cells["family"].eq("categorical")
    cells.loc[place, "seed"] += 10
    found = the(tables)
    assert (found.shared, found.pairs, found.uncompared) == (6, 10, 5)
    assert found.tau == 1


def test_one_context_says_nothing() -> None:
    assert carried(boards(few())) == ()
    assert carried([]) == ()


def test_currencies_are_not_compared() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    cells = tables.cells
    place = cells["dataset"].eq("patches")
    cells.loc[place, ["currency", "measure"]] = ["pmf-2", "pmf-2"]
    assert carried(boards(tables)) == ()


@pytest.mark.parametrize("key", ["learning_rate", "epochs", "objective"])
def test_what_was_asked_otherwise_is_another_configuration(key: str) -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    place = tables.cells["dataset"].eq("patches")
    tables.cells.loc[place, key] = {"learning_rate": 0.02, "epochs": 7, "objective": "binned"}[key]
    found = the(tables)
    assert (found.verdict, found.shared) == (Verdict.UNCOMPARED, 0)


def test_what_tuning_chose_does_not_matter() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    tables.cells["tune"] = '{"learning_rate": [0.001, 0.01]}'
    tables.cells["tuned"] = [
        f'{{"learning_rate": {0.01 if name == "digits" else 0.001}}}' for name in tables.cells["dataset"]
    ]
    tables.cells["learning_rate"] = [0.01 if name == "digits" else 0.001 for name in tables.cells["dataset"]]
    assert the(tables).verdict is Verdict.CARRIES


def test_networks_are_told_apart_by_what_they_differ_in() -> None:
    tables = run({DIGITS: scores(), CONV: scores()})
    cells = tables.cells
    wide = cells["network"].eq("conv")
    cells.loc[wide, "network"] = "mlp"
    cells["hidden"] = [[400] if other else [200, 100] for other in wide]
    found = only(tables)
    assert [context.name for context in found.contexts] == ["digits, MLP hidden=200,100", "digits, MLP hidden=400"]
    assert found.comparisons[0].differs is Differs.NETWORK
    assert not any("hidden" in label for label in found.labels.values())


def test_a_recipe_is_one_configuration_whatever_it_is_read_as(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = ("gaussian_fitted", "laplace_binned")
    for reading in readings:
        monkeypatch.setitem(LIKELIHOODS, reading, Setting("mse_sum", 0, scored_as=reading, view="grey"))
    own = scores((*ORDER[:3], *readings))
    tables = run({DIGITS: own, PATCHES: own})
    assert the(tables).shared == 5  # nothing was chosen: every reading is ranked
    cells = tables.cells
    better = cells["scored_as"].eq("laplace_binned") == cells["dataset"].eq("digits")
    cells.loc[cells["family"].eq("mse_sum"), "reading_bits_per_dim"] = np.where(better, 2.0, 3.0)[
        cells["family"].eq("mse_sum")
    ]
    found = only(tables)
    assert found.comparisons[0].shared == 4
    assert "mse_sum" in found.labels.values()


def test_many_are_looked_at_in_part_and_that_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {("digits", network): scores() for network in ("mlp", "conv", "resnet")}
    monkeypatch.setattr(carry, "MOST", 4)
    monkeypatch.setattr(carry, "MOST_CONTEXTS", 2)
    found = only(run(given))
    assert (len(found.contexts), len(found.labels), found.left, found.left_contexts) == (2, 4, 2, 1)
    assert found.comparisons[0].pairs == 6


def test_a_pair_s_order_is_corrected_for_all_contexts() -> None:
    """Among more contexts a difference needs to be surer."""
    networks: Sequence[str] = ("mlp", "conv", "resnet")
    given = {(data, network): scores(step=0.02) for data in ("digits", "patches") for network in networks}
    template = run(given, images=24)
    kept = []
    for draw in range(6):
        tables = noisy(template, 3.0, draw)
        cells = tables.cells
        few = cells[cells["dataset"].eq("digits") & ~cells["network"].eq("resnet")].reset_index(drop=True)
        (alone,) = only(dataclasses.replace(tables, cells=few)).comparisons
        names = (alone.one.name, alone.other.name)
        (among,) = (one for one in only(tables).comparisons if (one.one.name, one.other.name) == names)
        kept.append((among.kept, alone.kept))
    assert all(among <= alone for among, alone in kept)
    assert sum(among for among, _ in kept) < sum(alone for _, alone in kept)


def test_files_of_one_name_are_two_data_sets() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()})
    names = {"digits": "/a/mine.npy", "patches": "/b/mine.npy"}
    cells = tables.cells.assign(dataset=tables.cells["dataset"].map(names))
    meta = tables.meta | {"data": {names[key]: facts for key, facts in tables.meta["data"].items()}}
    found = only(dataclasses.replace(tables, cells=cells, meta=meta))
    assert [context.name for context in found.contexts] == ["mine.npy (1), MLP", "mine.npy (2), MLP"]
    assert found.comparisons[0].differs is Differs.DATA


def contexts_of(**columns: Mapping[tuple[str, str], object]) -> RunTables:
    """A run whose contexts, all of one order, have these values of keys in place of those that they were made with."""
    first = next(iter(columns.values()))
    tables = run(dict.fromkeys(first, scores()), seeds=(0,), images=24)
    made = list(zip(tables.cells["dataset"], tables.cells["network"], strict=True))
    values = {key: [given[context] for context in made] for key, given in columns.items()}
    return dataclasses.replace(tables, cells=tables.cells.assign(**values))


ONE, TWO, FAR = (
    ("digits", "mlp"),
    ("digits", "conv"),
    ("patches", "mlp"),
)  # how contexts are made, before they are named


@pytest.mark.parametrize(
    ("network", "key", "values", "words"),
    [
        ("mlp", "latent", (10, 16, 10), ("MLP latent=10", "MLP latent=16", "MLP latent=10")),
        (
            "conv",
            "widths",
            ([8, 16], [32], [8, 16]),
            (
                "convolutional network widths=8,16",
                "convolutional network widths=32",
                "convolutional network widths=8,16",
            ),
        ),
    ],
)
def test_a_network_is_the_same_on_other_data_whatever_else_is_on_one_of_them(
    network: str, key: str, values: tuple[object, ...], words: tuple[str, ...]
) -> None:
    """Words that tell networks apart on one data set alone made of one network two."""
    given: dict[str, Mapping[tuple[str, str], object]] = {
        "network": dict.fromkeys((ONE, TWO, FAR), network),
        key: dict(zip((ONE, TWO, FAR), values, strict=True)),
    }
    found = only(contexts_of(**given))
    first, second, far = f"digits, {words[0]}", f"digits, {words[1]}", f"patches, {words[2]}"
    assert {context.name for context in found.contexts} == {first, second, far}
    assert {frozenset((one.one.name, one.other.name)): one.differs for one in found.comparisons} == {
        frozenset((first, second)): Differs.NETWORK,
        frozenset((first, far)): Differs.DATA,
        frozenset((second, far)): Differs.SETTINGS,
    }


def test_of_one_kind_in_other_settings_is_not_the_same_network() -> None:
    """The words are the same, for each data set has one: it is the settings that are not."""
    found = the(contexts_of(activation={ONE: "tanh", FAR: "relu"}))
    assert (found.one.name, found.other.name) == ("digits, MLP", "patches, MLP")
    assert found.differs is Differs.SETTINGS


def test_two_files_of_one_name_are_two_networks() -> None:
    found = only(contexts_of(network={ONE: "/a/own.py", TWO: "/b/own.py", FAR: "/b/own.py"}))
    assert [context.name for context in found.contexts] == [
        "digits, network of own.py (1)",
        "digits, network of own.py (2)",
        "patches, network of own.py (2)",
    ]
    assert [one.differs for one in found.comparisons] == [Differs.NETWORK, Differs.BOTH, Differs.DATA]


def test_two_files_that_call_themselves_the_same_are_two_networks() -> None:
    tables = contexts_of(network={ONE: "/a/one.py", FAR: "/a/other.py"})
    said = {name: {"spoken": "U-Net", "reads": ["latent"], "dense": False} for name in ("/a/one.py", "/a/other.py")}
    found = the(dataclasses.replace(tables, meta=tables.meta | {"networks": said}))
    assert (found.one.name, found.other.name) == ("digits, U-Net (1)", "patches, U-Net (2)")
    assert found.differs is Differs.BOTH


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        (["mlp", "conv"], "MLP or convolutional network (tuned)"),
        (["mlp", "/a/own.py"], "MLP or network of own.py (tuned)"),
        (["/b/own.py", "/a/own.py"], "network of own.py (2) or network of own.py (1) (tuned)"),
    ],
)
def test_a_tuned_network_is_called_what_it_may_be(candidates: list[str], words: str) -> None:
    tune = json.dumps({"network": candidates})
    tables = contexts_of(tune={ONE: tune, FAR: tune}, tuned={ONE: "{}", FAR: "{}"})
    found = the(tables)
    assert (found.one.name, found.other.name) == (f"digits, {words}", f"patches, {words}")
    assert found.differs is Differs.DATA, "whatever was chosen"


def test_candidates_with_long_paths_are_told_apart() -> None:
    """A setting of a tuned row is cut in its middle where it is long."""
    tune = {
        context: json.dumps({"network": ["mlp", f"/{'a' * 300}/{folder}/{'b' * 300}/own.py"]})
        for context, folder in ((ONE, "here"), (TWO, "there"))
    }
    found = the(contexts_of(tune=tune, tuned=dict.fromkeys(tune, "{}")))
    assert [one.name for one in (found.one, found.other)] == [
        f"digits, MLP or network of own.py ({number}) (tuned)" for number in (1, 2)
    ]
    assert found.differs is Differs.NETWORK


def test_what_is_found_of_the_boards_of_a_run_is_found_once() -> None:
    tables = run({DIGITS: scores(), PATCHES: scores()}, seeds=(0,), images=24)
    ranked = boards(tables)
    assert carried(ranked) is carried(list(ranked))
    assert carried(ranked[:1]) == (), "of other boards it is another thing, though the first is the same"
    assert len(carried(ranked)) == 1
    assert carried(boards(tables)) is not carried(ranked)
