"""The decision card: what it says is computed from the board, and nothing stands on it that the run does not hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench.grid.families import registry
from bench.grid.families.cards import cards as cards_of
from bench.report import build
from bench.report.numbers import bracket
from bench.report.text.decision import Decision, decision, outputs_a_value
from bench.statistics import references
from bench.statistics.boards import boards
from bench.statistics.contests import Contest
from bench.store import RunTables
from tests.bench.report.page_reader import read
from tests.bench.report.planted import grey, of, planted
from tests.bench.report.runs import doubted, few

DIMS = 64
WIDTHS = {"gaussian": 2, "categorical": 17, "beta_binomial": 2, "logistic": 1}


def run(*settings: Any, **more: Any) -> RunTables:
    """A planted run whose decoders have so many outputs a value, and costs."""
    tables = planted(settings, **more)
    tables.cells["outputs"] = [WIDTHS[family] * DIMS for family in tables.cells["family"]]
    tables.cells["parameters"] = 12_345
    tables.cells["epochs_run"] = 50
    tables.cells["train_images_per_s"] = 1000.0
    tables.cells["eval_decodes_per_s"] = 4321.0
    return tables


def card(tables: RunTables, cards: dict[str, Any] | None = None) -> Decision:
    found = decision(grey(tables), cards)
    assert found is not None
    return found


def facts(found: Decision) -> dict[str, str]:
    return {word: " | ".join(text.striptags() for text in texts) for word, texts in found.facts}


def cautions(found: Decision) -> str:
    return " ".join(text.striptags() for text in found.cautions)


def test_it_names_the_best_whom_it_is_ahead_of_and_what_costs_less() -> None:
    tables = run(
        of("categorical", 1.5),
        of("beta_binomial", 1.502),
        of("gaussian", 1.9, "pixel", "binned"),
        of("logistic", 2.4, "shared", "binned"),
        images=200,
    )
    found = card(tables)
    assert found.use.striptags() == "categorical"
    said = facts(found)
    top = grey(tables).ranked[0]
    interval = bracket(top.value, "bits/dim").replace("\u00a0", " ")
    assert said["Score"] == f"{top.value.mean:.3f} bits/dim {interval}, over 200 test images and 3 seeds"
    assert "cannot be told apart from beta_binomial" in said["How surely"]
    assert "ahead of gaussian σ=pixel binned by" in said["How surely"]
    assert "and of 1 other behind that" in said["How surely"]
    assert said["As good, cheaper"] == "beta_binomial, with 2 outputs a value, as far as can be told"
    assert said["Best within one output a value"].startswith("logistic σ=shared binned, 2.")
    assert "behind by" in said["Best within one output a value"]


def test_the_cost_is_of_one_model_alone_to_its_end() -> None:
    tables = run(of("categorical", 1.5), of("gaussian", 1.9, 0.1))
    board = grey(tables)
    told = dataclasses.replace(board, scope=dataclasses.replace(board.scope, train=1200))
    found = decision(told, None)
    assert found is not None
    assert facts(found)["Cost"] == (
        "12,345 learned numbers; 17 outputs a value; 60 s to train one model to its end (50 epochs); "
        "4,321 decodes/s to score, on the machine of this run"
    )


def test_a_training_that_had_not_ended_is_not_said_to_be_to_its_end() -> None:
    tables = run(of("categorical", 1.5), of("gaussian", 1.9, 0.1))
    tables.cells[["converged", "last_gain_bits_per_dim", "ended_by"]] = 0, 0.2, "limit"
    board = grey(tables)
    found = decision(dataclasses.replace(board, scope=dataclasses.replace(board.scope, train=1200)), None)
    assert found is not None
    assert "60 s to train one model (50 epochs)" in facts(found)["Cost"]


def test_what_is_not_known_of_the_cost_is_left_out() -> None:
    tables = planted([of("categorical", 1.5), of("gaussian", 1.9, 0.1)])
    for name in ("outputs", "parameters", "train_images_per_s", "eval_decodes_per_s"):
        tables.cells[name] = float("nan")
    said = facts(card(tables))
    assert "Cost" not in said
    assert "Best within one output a value" not in said


def test_outputs_a_value_are_whole_where_they_are() -> None:
    board = grey(run(of("categorical", 1.5), of("gaussian", 1.9, "image")))
    row = board.ranked[0]
    known: Any = ((64, "1"), (65, "1.02"), (1088, "17"), (float("nan"), ""))
    for outputs, expected in known:
        some = dataclasses.replace(row, results=dataclasses.replace(row.results, outputs=outputs))
        assert outputs_a_value(some, board) == expected


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (of("gaussian", 1.2, "pixel", "binned"), 'likelihoods.make("gaussian", sigma="pixel", levels=K)'),
        (of("gaussian", 1.2, 0.25), 'likelihoods.make("gaussian", sigma=0.25, levels=K)'),
        (of("categorical", 1.2), 'likelihoods.make("categorical", levels=K)'),
    ],
)
def test_the_loss_is_that_of_explain_for_its_sigma_and_objective(setting: Any, line: str) -> None:
    tables = run(setting, of("logistic", 2.0, "shared"))
    found = card(tables, cards_of(tables.cells["family"]))
    assert line in found.loss
    assert ("self.lik.log_mass(k, raw, K)\n" in found.loss.partition("def bits_per_dim")[0]) is False
    binned = setting.objective == "binned"
    assert ("self.lik.log_mass(k, raw, K) - kl" in found.loss) is binned
    compile(found.loss, "loss", "exec")
    assert card(tables, None).loss == ""


def test_it_warns_of_what_the_numbers_do_not_say() -> None:
    tables = run(of("categorical", 1.5), of("gaussian", 1.9, "pixel"), of("logistic", 2.4, "shared"))
    tables.cells.loc[tables.cells["family"] == "logistic", ["converged", "last_gain_bits_per_dim", "ended_by"]] = (
        0,
        0.2,
        "limit",
    )
    said = cautions(card(tables))
    assert "40 test images leave a score open by" in said
    assert "That longer training would change nothing: logistic σ=shared was still improving." in said
    assert "That an encoder alone would reach this" in said
    assert "Anything of what was not tried:" in said
    assert "beta_binomial" in said
    bad = cautions(card(doubted(tables, lambda cells: cells["family"] == "gaussian")))
    assert "Anything of gaussian σ=pixel: its bound cannot be trusted" in bad
    one_seed = cautions(card(run(of("categorical", 1.5), of("gaussian", 1.9, "pixel"), seeds=(0,))))
    assert "That another seed would say the same" in one_seed


def test_too_few_images_give_no_verdict() -> None:
    found = card(run(of("categorical", 1.5), of("gaussian", 1.9, "pixel"), images=12))
    assert found.use.striptags() == "categorical has the best mean, which is no verdict"
    assert "12 test images are too few for a verdict, which needs 20" in cautions(found)


def test_too_few_images_give_no_verdict_over_references_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few images nothing is shown, so a reference that was not beaten says nothing against a model."""

    def kind(contest: Contest, tables: RunTables) -> Iterable[references.Held]:
        yield references.Held(references.reference("codec", 3.0))

    monkeypatch.setattr(references, "KINDS", (kind,))
    found = card(run(of("categorical", 1.5), of("gaussian", 1.9, "pixel"), images=12))
    assert found.use.striptags() == "categorical has the best mean, which is no verdict"


def test_what_may_be_better_and_cannot_be_ranked_is_kept_in_mind() -> None:
    tables = run(of("categorical", 1.5), of("gaussian", 1.2, "pixel"))
    found = card(doubted(tables, lambda cells: cells["family"] == "gaussian"))
    assert found.use.striptags() == "categorical, of what can be ranked"
    assert "Anything of gaussian σ=pixel: its bound cannot be trusted, and it is better already by that" in cautions(
        found
    )


def test_what_loses_to_a_uniform_guess_is_not_to_be_used() -> None:
    found = card(run(of("categorical", 5.5), of("gaussian", 5.9, "pixel")))
    assert found.use.striptags().startswith("none of these models as they stand: a uniform guess is not beaten")
    assert found.loss == ""


def test_it_stands_on_the_first_screen_of_the_page_and_not_where_nothing_is_ranked(tmp_path: Path) -> None:
    shown = read(build(few(), tmp_path / "index.html"))
    cards = shown.all("aside", class_="card")
    assert len(cards) == len([board for board in boards(few()) if board.ranked])
    none = read(build(doubted(few(), lambda cells: cells["cell"] != ""), tmp_path / "none.html"))
    assert not none.all("aside", class_="card")


def test_what_shares_no_seed_is_not_won_against_and_failed_seeds_are_told() -> None:
    tables = run(of("categorical", 1.5), of("beta_binomial", 1.9), of("gaussian", 2.4, "pixel", "binned"), images=200)
    cells = tables.cells
    lost = cells["family"].eq("categorical") & cells["seed"].gt(0) | cells["family"].eq("gaussian") & cells["seed"].eq(
        0
    )
    tables.cells.loc[lost, "status"] = "failed"
    tables.cells.loc[lost, "reason"] = "diverged"
    found = card(tables)
    assert found.use.striptags() == "categorical, of what it can be held against"
    said = facts(found)
    assert "ahead of beta_binomial by" in said["How surely"]
    assert "shares no seed with gaussian σ=pixel binned: which is better cannot be judged" in said["How surely"]
    assert said["Best within one output a value"] == "nothing here"
    told = cautions(found)
    assert "categorical (2 of 3 seeds failed)" in told
    assert "gaussian σ=pixel binned (1 of 3 seeds failed)" in told
    assert "as many trainings" not in told, "each row is named once"


def test_without_the_code_there_is_the_command_that_prints_it() -> None:
    found = facts(card(run(of("gaussian", 1.5, "pixel", "binned"), of("beta_binomial", 1.9), images=200)))
    assert found["What to write"] == "vae-bench explain gaussian --sigma pixel --code loss prints a loss to copy"
    assert "What to write" not in facts(card(run(of("categorical", 1.5), images=200), cards_of(["categorical"])))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"channels": "coupled"},
            "vae-bench explain gaussian --sigma pixel --channels coupled --code loss prints a loss",
        ),
        ({"channels": "coupled", "link": "sigmoid"}, "; the options of this row are to be added"),
    ],
)
def test_the_loss_of_coupled_channels_is_asked_for_since_it_is_told_a_shape(options: dict[str, Any], told: str) -> None:
    tables = run(of("gaussian", 1.2, "pixel"), of("logistic", 2.0, "shared"))
    tables.cells.loc[tables.cells["family"] == "gaussian", "options"] = json.dumps(options)
    found = card(tables, cards_of(tables.cells["family"]))
    assert found.loss == ""
    assert told in facts(found)["What to write"]
    assert ("to be added" in facts(found)["What to write"]) == ("link" in options)


@pytest.mark.parametrize(("channels", "held"), [("coupled", True), ("independent", False)])
def test_which_channels_the_code_of_a_run_has_is_the_familys_to_say(
    channels: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that couples them by default has a code of its own with them, and none of others."""
    tables = run(of("gaussian", 1.2, "pixel"), of("logistic", 2.0, "shared"))
    tables.cells.loc[tables.cells["family"] == "gaussian", "options"] = json.dumps({"channels": channels})
    cards = cards_of(tables.cells["family"])
    family = registry().get("gaussian")
    defaults = {**family.option_defaults(), "channels": "coupled"}
    monkeypatch.setattr(family, "option_defaults", classmethod(lambda cls: defaults))
    found = card(tables, cards)
    assert bool(found.loss) == held
    assert (f"--channels {channels} --code loss" in facts(found).get("What to write", "")) == (not held)
