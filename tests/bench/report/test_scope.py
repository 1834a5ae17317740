"""The scope of a claim, the sentence to quote, and that neither says more than the numbers do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from bench.report import ranking_text
from bench.report.text.scope import quote, scope, untried_families
from bench.report.text.verdict import Sentences, sentences
from bench.statistics import references
from bench.statistics.boards import boards
from bench.statistics.contests import Contest
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.planted import grey, of, planted, twins
from tests.bench.report.runs import LN2, built, doubted, findings, said
from tests.bench.report.tuned_run import AT_EDGE, tuned
from tests.bench.statistics.claims.test_scope import failing

BEST = re.compile(r"\bfits? best\b")
#: what every statement of a scope names: the data, how much was tried, the network, the budget, the tuning, the seeds
SCOPE = (
    r"\d+ configurations?",
    r"digits \(8×8, \d+ levels",
    r"40 test images|60 test images",
    r"64–256–256–16 tanh MLP",
    r"60 epochs",
    r"learning rate",
    r"\d seeds?",
)

RUN = [
    *twins("gaussian", 2.3, 2.0, "pixel"),
    *twins("continuous_bernoulli", 2.4, 2.35),
    of("categorical", 2.2),
    fake_run.Setting("mse_sum", 2.7, scored_as="gaussian_fitted", view="grey"),
]
UNTRIED = (
    "beta, beta_binomial, binomial, kumaraswamy, laplace, logistic, logistic_mixture, logit_normal, student_t and "
)
UNTRIED += "truncated_gaussian"


def plain(text: Markup | str) -> str:
    return re.sub(r"\s+", " ", Markup(text).striptags().replace("\u00a0", " "))


def with_reference(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """References of these values stand in every ranking of grey levels."""

    def kind(contest: Contest, tables: RunTables) -> Iterator[references.Held]:
        if contest.currency == "pmf-K":
            yield from (references.Held(references.reference(name, value)) for name, value in values.items())

    monkeypatch.setattr(references, "KINDS", (kind,))


def holds_its_scope(text: str) -> bool:
    return all(re.search(part, text) for part in SCOPE)


def test_a_clear_winner_is_quoted_with_all_that_it_holds_for() -> None:
    spoken = said(planted(RUN))
    assert spoken.headline.striptags() == "gaussian fits best of the 3 families and 1 recipe tried"
    assert plain(spoken.scope) == (
        "Tried: 6 configurations of 3 families and 1 recipe on digits (8×8, 17 levels; 1,297 training and 40 test "
        "images), a 64–256–256–16 tanh MLP, trained for 60 epochs, learning rate 0.001, not tuned, 3 seeds. "
        f"Not tried: {UNTRIED}."
    )
    text = plain(spoken.quote)
    assert text.startswith(
        "On digits (8×8, 17 levels; 1,297 training and 40 test images), among 6 configurations of 3 "
    )
    assert f"(not tried: {UNTRIED}), each a VAE with a 64–256–256–16 tanh MLP, trained for 60 epochs, " in text
    assert "3 seeds: gaussian σ=pixel binned has the highest log-likelihood of the test images" in text
    best, second = grey(planted(RUN)).ranked[:2]
    assert f"{best.value.mean:.3f} bits/dim [" in text
    assert f"], ahead of categorical by {second.behind.mean:.3f} bits/dim [" in text
    assert "; " not in text.split("3 seeds: ")[1], "nothing speaks against it"


def test_ties_are_quoted_by_name() -> None:
    tables = planted([of("categorical", 2.0), *twins("gaussian", 2.4, 2.0, "pixel"), of("beta_binomial", 2.1)])
    nats = tables.per_image["iw_nats"].to_numpy().reshape(4, 3, -1).copy()
    nats[2] = nats[0] + 0.01
    nats[2, 0] -= 0.5
    tied = dataclasses.replace(tables, per_image=tables.per_image.assign(iw_nats=nats.ravel()))
    board = grey(tied)
    other = board.ranked[1]
    assert {board.ranked[0].family, other.family} == {"categorical", "gaussian"}
    assert f"indistinguishable from {other.label}." in plain(quote(board))
    assert sentences(board).headline.endswith("fit best of the 3 families tried, and cannot be told apart")


def test_one_configuration_is_compared_with_nothing_and_says_so() -> None:
    board = grey(planted([of("categorical", 2.0)]))
    text = plain(quote(board))
    assert re.search(r"images\), of 1 configuration \(not tried: .*\), a VAE with a 64", text)
    assert text.endswith("and is compared with no other configuration.")
    assert "highest" not in text
    assert plain(scope(board)).startswith("Tried: 1 configuration on digits")


def test_where_nothing_is_ranked_the_quote_ranks_nothing() -> None:
    tables = planted(RUN)
    text = plain(said(doubted(tables, lambda cells: cells["cell"].notna())).quote)
    assert text.endswith("none can be ranked, for no bound on its log-likelihood can be trusted.")
    assert "6 configurations of 3 families and 1 recipe (6 not ranked; " in text


@pytest.mark.parametrize("whose", ["the first", "a rival within reach"])
def test_trainings_that_had_not_ended_qualify_the_quote(whose: str) -> None:
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.05)])
    which = tables.cells["family"] == ("categorical" if whose == "the first" else "beta_binomial")
    tables.cells.loc[which, ["converged", "last_gain_bits_per_dim", "best_epoch"]] = 0, 0.3, 60
    tables.cells["patience"], tables.cells["epochs"] = 50, 800
    text = plain(quote(grey(tables)))
    assert "trained until its validation bound stops rising (at most 800 epochs; 1 of 2 still improving then)" in text
    wanted = (
        "its training had not ended" if whose == "the first" else "the training of beta_binomial, which may yet reach"
    )
    assert f"; {wanted}" in text


def test_what_was_tuned_is_named_and_an_edge_qualifies_the_quote() -> None:
    tables = planted(RUN)
    calm, edged = tuned(tables), tuned(tables, gaussian=AT_EDGE)
    assert "60 epochs, learning rate tuned, 3 seeds" in plain(said(calm).quote)
    assert "edge" not in said(calm).quote
    assert "; what was tuned for gaussian σ=pixel binned lies at the edge of its range" in plain(said(edged).quote)
    both = tuned(tables, {"learning_rate": [0.001, 0.01], "latent": [5, 10]})
    assert ", a tanh MLP, with hidden layers 256–256, trained for 60 epochs" in plain(said(both).scope)
    assert "latent and learning rate tuned" in plain(said(both).scope)


@pytest.mark.parametrize(
    ("varied", "text"),
    [
        ({"hidden": ["64,32", "32"], "latent": [3, 3]}, "a tanh MLP, latent 3, with hidden layers 64–32 or 32"),
        ({"latent": [3, 10]}, "a tanh MLP, latent 3 or 10, with hidden layers 256–256"),
        ({"activation": ["tanh", "relu"]}, "an MLP, activation tanh or relu, latent 16, with hidden layers 256–256"),
        ({"activation": ["elu", "elu"], "hidden": ["8", "9"]}, "an elu MLP, latent 16, with a hidden layer of 8 or 9"),
        ({"hidden": ["64,32", "64,32"]}, "a 64–64–32–16 tanh MLP"),
        (
            {"network": ["conv", "conv"], "widths": ["32,64", "32,64"], "kernel": [3, 3]},
            "a tanh convolutional network, latent 16, with hidden layers 256–256, widths 32–64, kernel 3",
        ),
        (
            {"network": ["mlp", "resnet"], "widths": ["32,64", "8"], "kernel": [3, 5], "dropout": [0.0, 0.1]},
            "a tanh MLP or ResNet, latent 16, with hidden layers 256–256, widths 8 (ResNet), "
            "kernel 5 (ResNet), dropout 0.0 or 0.1",
        ),
        (
            {"network": ["a/own.py", "a/own.py"]},
            "a network of own.py, latent 16, with hidden layers 256–256",  # of a run that did not record what it reads
        ),
    ],
)
def test_a_network_that_varies_is_named_by_what_varies(varied: dict[str, Any], text: str) -> None:
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1)])
    first = tables.cells["family"] == "categorical"
    cells = tables.cells.assign(**{key: np.where(first, one, other) for key, (one, other) in varied.items()})
    spoken = said(dataclasses.replace(tables, cells=cells))
    assert f"images), {text}, trained for 60 epochs" in plain(spoken.scope)
    assert f"each a VAE with {text}, trained for 60 epochs" in plain(spoken.quote)


@pytest.mark.parametrize("setting", [" dataset=a&b", " quantise=17", " test_images=40 dataset=digits"])
def test_labels_of_headline_and_quote_have_no_settings_that_the_board_fixes(setting: str) -> None:
    """In a run of several data sets each label has its own; what varies on the board stays."""
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1), of("laplace", 2.2, "pixel")])
    varied = np.where(tables.cells["family"] == "laplace", " train_images=100", " train_images=1000")
    cells = tables.cells.assign(label=tables.cells["label"] + setting + varied)
    spoken = said(dataclasses.replace(tables, cells=cells))
    text = " ".join(map(plain, (spoken.headline, spoken.best, spoken.gap, spoken.quote)))
    assert not re.search("dataset=|quantise=|test_images=|a&", text)
    assert "categorical train_images=1000 has the highest" in text
    assert "beta_binomial train_images=1000" in text
    plain_one = planted([of("categorical", 2.0), of("categorical", 2.2, train_samples=5)])
    cells = plain_one.cells.assign(label=plain_one.cells["label"] + setting)
    alone = said(dataclasses.replace(plain_one, cells=cells))
    assert alone.headline.striptags() == "Of 2 settings of categorical, the plain setting fits best"


def test_a_better_bound_that_is_not_ranked_qualifies_the_quote() -> None:
    text = plain(said(doubted(planted(RUN), lambda cells: cells["objective"] == "binned")).quote)
    assert "of those that can be ranked, categorical has the highest" in text
    assert "; the bound of gaussian σ=pixel binned, which cannot be trusted, is better than that" in text
    assert "(2 not ranked; " in text


def test_what_failed_is_named_in_the_scope_and_is_not_called_untried() -> None:
    spoken = said(failing(planted([*RUN, of("laplace", 2.0, "pixel", "binned")]), "laplace"))
    assert spoken.headline.striptags() == "gaussian fits best of the 3 families and 1 recipe ranked"
    assert "7 configurations of 4 families and 1 recipe (1 without a score)" in plain(spoken.scope)
    assert "laplace" not in plain(spoken.scope)
    assert "; no score was got from laplace σ=pixel binned" in plain(spoken.quote)
    some = said(failing(planted(RUN), "gaussian", (1,)))
    assert "; of it 1 of 3 seeds failed" in plain(some.quote)
    assert "2–3 seeds" in plain(some.quote)


def test_what_could_not_score_these_levels_is_named_and_not_counted() -> None:
    """A bernoulli that failed leaves no board of 0 and 1: it was not tried on 17 levels."""
    bernoulli = fake_run.Setting("bernoulli", -20, view="binary")
    spoken = said(failing(planted([*RUN, bernoulli]), "bernoulli"))
    assert spoken.headline.striptags() == "gaussian fits best of the 3 families and 1 recipe tried"
    assert "6 configurations of 3 families and 1 recipe on digits" in plain(spoken.scope)
    assert "; no score was got from bernoulli" in plain(spoken.quote)
    assert "Failed in every seed and not in the ranking: bernoulli (" in plain(spoken.gap)
    (other,) = boards(failing(planted([of("categorical", 2.0), bernoulli]), "categorical"))
    assert plain(scope(other)).startswith("Tried: 1 configuration on digits"), "nor 17 levels on 0 and 1"
    assert "no score was got from categorical" in plain(quote(other))


def test_one_seed_qualifies_the_quote() -> None:
    text = plain(said(planted(RUN, seeds=[4])).quote)
    assert "1 seed: " in text
    assert text.endswith("; each was trained once, so that the noise of training is unknown.")


@pytest.mark.parametrize("lost", [(1,), (0, 1)], ids=["one of two seeds", "two of three seeds"])
def test_what_has_one_seed_left_was_not_trained_once(lost: tuple[int, ...]) -> None:
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1)], seeds=range(len(lost) + 1))
    spoken = said(failing(failing(tables, "categorical", lost), "beta_binomial", lost))
    assert "; each has the score of one seed alone, so that the noise of training is unknown." in plain(spoken.quote)
    assert findings(spoken)["One seed"].startswith("Every configuration has the score of one seed alone: ")
    assert "trained once" not in plain(spoken.quote) + str(spoken.findings)


def test_one_is_said_in_the_singular() -> None:
    tables = planted([of("gaussian", 2.0, "pixel", "binned")], seeds=[0])
    cells = tables.cells.assign(converged=0, last_gain_bits_per_dim=0.3, best_epoch=60)
    cells[["noise_predicted", "noise_realised"]] = 0.9, 0.1
    cells["renormalised_nats"] = cells["iw_nats"] - 100
    cells["renormalised_khat_bad_fraction"] = 0.0
    one = dataclasses.replace(tables, cells=cells)
    spoken = said(one)
    assert "trained for 60 epochs (still improving then)" in plain(spoken.quote)
    assert "; it was trained once, so that the noise of training is unknown." in plain(spoken.quote)
    found = findings(spoken)
    assert found["One seed"].startswith("The configuration was trained once: ")
    assert found["Predicted noise"].startswith("The only configuration whose noise can be checked predicts a noise")
    assert found["End bins"].startswith("The only ranked configuration with open ends owes the end bins")
    left = findings(said(doubted(one, lambda cells: cells["cell"].notna())))
    assert left["Left out of the ranking"].startswith("The only bound cannot be trusted and is not ranked: ")
    assert not re.search(r"\b1 of (these )?1\b", " ".join([plain(spoken.quote), *found.values(), *left.values()]))


def test_one_comparison_is_not_one_of_one() -> None:
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1)])
    tables.cells[["converged", "last_gain_bits_per_dim", "best_epoch"]] = 0, 0.3, 60
    text = " ".join(findings(said(tables)).values())
    assert "In this comparison a training had not ended" in text
    assert "1 of these 1" not in text


def test_too_few_images_are_no_verdict_in_any_sentence() -> None:
    spoken = said(planted(RUN, images=12))
    assert spoken.headline.startswith("Too few test images to rank by: 12")
    assert "which 12 test images are too few to tell from any other" in plain(spoken.quote)
    assert not BEST.search(spoken.headline + spoken.gap + spoken.quote)


def test_families_that_could_not_have_been_tried_are_not_called_untried() -> None:
    (binary,) = (board for board in boards(planted([fake_run.Setting("bernoulli", -20, view="binary")])))
    assert untried_families(binary) == []
    assert "Every family of the catalogue that can score such data was tried." in scope(binary)
    assert "bernoulli" not in untried_families(grey(planted(RUN)))
    assert not {"mse_mean", "bce_sum"} & set(untried_families(grey(planted(RUN)))), "recipes are no families"
    joined = dataclasses.replace(binary, scope=dataclasses.replace(binary.scope, levels=2))
    assert "categorical" in untried_families(joined), "data of two levels can be seen as levels, too"


def test_on_two_levels_all_families_are_one_and_that_is_said() -> None:
    two = planted(
        [
            fake_run.Setting("bernoulli", -20, view="binary"),
            fake_run.Setting("bernoulli", -19, view="binary", train_samples=5),
        ]
    )
    assert "all likelihoods of single values are one Bernoulli" in findings(said(two, "pmf-2"))["Two levels"]
    assert "one Bernoulli" in " ".join(ranking_text(two).split())
    assert "Two levels" not in findings(said(planted(RUN)))
    tables = planted([*twins("gaussian", 0.9, 0.8, "pixel"), of("categorical", 0.85)])
    quantised = dataclasses.replace(
        tables, cells=tables.cells.assign(measure="pmf-2", currency="pmf-2", quantise=2, binarisation="stochastic")
    )
    assert "Two levels" in findings(said(quantised, "pmf-2"))


NAME = "<i>my & data"


def test_names_are_escaped_wherever_they_are_said(tmp_path: Path) -> None:
    tables = planted(RUN)
    cells = tables.cells.assign(dataset=NAME, label=tables.cells["label"] + " <script>")
    spoilt = dataclasses.replace(tables, cells=cells, meta={**tables.meta, "data": {}})
    spoken = said(spoilt)
    for text in (spoken.headline, spoken.scope, spoken.quote, spoken.best):
        assert not re.search("<(?!/?(b|code)>)", text), text
    assert "&lt;i&gt;my &amp; data" in spoken.scope
    assert "&lt;script&gt;" in spoken.quote
    assert "<script>" in ranking_text(spoilt), "a terminal shows them as they are"
    assert built(spoilt, tmp_path)


@pytest.mark.parametrize(
    ("value", "headline", "but"),
    [
        (
            1.5,
            "Nothing here beats the reference mixture: gaussian σ=pixel binned, the first configuration, is 0.5",
            "worse",
        ),
        (2.1, "gaussian fits best of the 3 families and 1 recipe tried", ""),
    ],
)
def test_a_winner_below_a_reference_is_not_called_one(
    value: float, headline: str, but: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_reference(monkeypatch, mixture=value, uniform=4.087)
    tables = planted(RUN)
    spoken = said(tables)
    assert plain(spoken.headline).startswith(headline)
    assert bool(BEST.search(spoken.headline)) == (not but)
    first = next(line for line in ranking_text(tables).splitlines() if line.startswith("1  "))
    assert first.endswith("first" if but else "best")
    assert (f"but it is {but} than the reference mixture ({value:.3f})" in plain(spoken.quote)) == bool(but)
    assert ("uniform" in spoken.quote) is False


@pytest.mark.parametrize(("ahead", "by"), [(0.1, "mean"), (-0.1, "mean"), (12.0, "noise"), (-12.0, "noise")])
def test_a_reference_with_a_score_of_every_image_is_judged_beyond_noise(
    ahead: float, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nats by which it is ahead of the first; twelve of them are more than the noise, a tenth is not."""
    tables = planted(RUN)
    top = grey(tables).samples[grey(tables).ranked[0].config].nats.mean(axis=0)
    nats = top + ahead + np.random.default_rng(1).normal(0, 1, len(top))
    nats += ahead - (nats - top).mean()

    def kind(contest: Contest, tables: RunTables) -> Iterator[references.Held]:
        row = references.reference("mixture", -nats.mean() / (contest.dims * LN2))
        yield references.Held(row, nats)

    monkeypatch.setattr(references, "KINDS", (kind,))
    spoken = said(tables)
    if by == "mean":
        assert spoken.headline.striptags().endswith("is not shown to be better than the reference mixture")
        assert "but it is not shown to be better than the reference mixture" in plain(spoken.quote)
    elif ahead > 0:
        assert spoken.headline.striptags().startswith(
            "Nothing here beats the reference mixture: gaussian σ=pixel binned"
        )
        assert "but it is worse than the reference mixture" in plain(spoken.quote)
    else:
        assert spoken.headline.striptags() == "gaussian fits best of the 3 families and 1 recipe tried"
        assert "the reference" not in spoken.quote


def test_a_winner_that_knows_nothing_is_not_called_one() -> None:
    spoken = said(planted([of("categorical", 4.6), of("beta_binomial", 5.0)]))
    assert spoken.headline.striptags() == "categorical, the first configuration, is worse than a uniform guess"
    assert "worse than a uniform guess (4.087)" in plain(spoken.quote)


def test_terminal_and_page_end_and_show_the_sentence(tmp_path: Path) -> None:
    tables = planted([*RUN, fake_run.Setting("bernoulli", -20, view="binary")])
    text = ranking_text(tables)
    blocks = re.split(r"\n\n(?=digits pmf-)", text)
    page = plain(built(tables, tmp_path).one("main").text)
    assert len(blocks) == len(boards(tables)) == 2
    for board, block in zip(boards(tables), blocks, strict=True):
        assert " ".join(block.split()).endswith(f"To quote: {plain(quote(board))}".replace("−", "-"))
        assert f"A sentence to quote: {plain(quote(board))}" in page
        assert max(map(len, block.splitlines())) <= 80


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_best_is_never_said_above_a_better_reference_and_never_without_its_scope(data: st.DataObject) -> None:
    """Whatever was tried, left out, or failed, however many seeds and images, whatever the reference's value."""
    some = data.draw(st.lists(st.sampled_from(RUN), unique_by=id, min_size=1))
    tables = planted(
        some, images=data.draw(st.sampled_from([40, 60])), seeds=data.draw(st.sampled_from([[0], [0, 1, 2]]))
    )
    left = data.draw(st.lists(st.sampled_from(tables.cells["config"].tolist()), max_size=2))
    tables = doubted(tables, lambda cells: cells["config"].isin(left))
    value = data.draw(st.floats(1.7, 2.9))
    with pytest.MonkeyPatch.context() as patched:
        with_reference(patched, mixture=value)
        board = grey(tables)
        spoken, text = sentences(board), plain(ranking_text(tables))
    assert holds_its_scope(plain(spoken.scope))
    assert holds_its_scope(plain(spoken.quote))
    assert plain(spoken.quote) in text
    assert spoken.quote.count(". ") == 0, "one sentence"
    if board.ranked and value < board.ranked[0].value.mean:
        assert not any(BEST.search(part) for part in all_of(spoken))
        assert "reference mixture" in plain(spoken.headline)
        assert "mixture" in plain(spoken.quote)
    if not board.ranked:
        assert not any(BEST.search(part) for part in all_of(spoken))


def all_of(spoken: Sentences) -> Iterable[str]:
    texts = (text for finding in spoken.findings for text in finding.texts)
    return [*map(plain, (spoken.headline, spoken.best, spoken.gap, spoken.quote, *texts))]
