"""What a worker makes of a bundle: rows whose numbers can be recomputed from the trained model."""

from __future__ import annotations

import copy
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import store
from bench.engine.worker import bundle
from bench.engine.worker.bundle import carry_out
from bench.engine.worker.facts import inspect_data, inspect_precision
from bench.engine.worker.from_cell import (
    architecture_of,
    compared_images,
    data_of,
    load_data,
    member_of,
    schedule_of,
    scored_images,
)
from bench.engine.worker.rows import FIT_SAMPLES
from bench.grid.cell import Cell
from bench.grid.plan import bundle_of, plan
from bench.store import IMAGE_ARRAYS, RESULT_COLUMNS, CellResult
from vae_core import likelihoods, plugins
from vae_core.evaluate import effort, importance_bounds, log_likelihood
from vae_core.evaluate.pareto import khat_threshold
from vae_core.training import fit_scale, train

BASE = Cell(
    family="gaussian",
    options={"sigma": 0.2},
    view="real",
    hidden=(16,),
    latent=3,
    epochs=2,
    learning_rate=3e-3,
    eval_samples=(1, 10, 40),
    eval_tolerance=0.0,
    test_images=50,
    refine="never",
)


BOTH_ENDS = ({"sigma": "pixel"}, {"sigma": "pixel", "ends": "renormalised"})


def cell(family: str, scored_as: str | None = None, **changes: Any) -> Cell:
    known = likelihoods.get(family)
    options = {"sigma": changes.pop("sigma", "shared")} if known.takes_sigma else {}
    changes.setdefault("objective", known.objectives[0])
    return BASE.but(
        family=family, options=options, view=known.view, scored_as=scored_as or known.scorings[0], **changes
    )


@pytest.fixture(scope="module", autouse=True)
def denormals_afterwards() -> Iterator[None]:
    """A worker flushes denormal numbers to zero; the other tests' process keeps them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def results() -> dict[str, CellResult]:
    cells = [
        BASE,
        cell("bernoulli"),
        cell("bce_sum"),
        cell("mse_sum", "gaussian_implied"),
        cell("mse_sum", "gaussian_fitted"),
        cell("laplace", bound="iwae"),
        cell("logistic", sigma=0.1, objective="binned"),
        cell("logistic", sigma=0.3, objective="binned", bound="iwae", train_samples=1),
        cell("gaussian", sigma=1e-30),
    ]
    rows = carry_out(bundle_of(cells), "cpu")
    assert [row.cell for row in rows] == [c.id for c in cells]
    return {f"{c.family} {c.scored_as} {c.options.get('sigma', '')}": row for c, row in zip(cells, rows, strict=True)}


def test_numbers_are_those_of_the_model_evaluated_by_hand(results: dict[str, CellResult]) -> None:
    data = load_data("digits", None, "cpu")
    trained = train(data, [member_of(BASE, 17)], architecture_of(BASE), schedule_of(BASE))
    model = trained.models[0]
    k, levels = scored_images(BASE, data)
    assert (len(k), levels) == (50, 17)
    estimate = log_likelihood(k, model.encode, model.decode, model.likelihood, (1, 10, 40), levels=17)
    row = results["gaussian itself 0.2"]
    np.testing.assert_allclose(row.per_image["iw_nats"], estimate.bound[40].numpy(), rtol=1e-3)
    values = row.values
    iw = float(estimate.bound[40].mean())
    assert values["iw_nats"] == pytest.approx(iw, rel=1e-4)
    assert values["bits_per_dim"] == pytest.approx(-iw / (64 * math.log(2)), rel=1e-4)
    assert values["elbo_nats"] == pytest.approx(float(estimate.elbo.mean()), rel=1e-4)
    assert values["iw_se"] == pytest.approx(float(estimate.bound[40].std()) / math.sqrt(50), rel=1e-2)
    assert values["elbo_nats"] == pytest.approx(values["reconstruction_nats"] - values["kl_nats"], rel=1e-6)  # type: ignore[operator]
    assert [size for size, *_ in row.bounds] == [1, 10, 40]
    assert row.bounds[-1][1] == pytest.approx(values["iw_nats"])
    assert values["measure"] == "pmf-17"
    assert values["currency"] == "pmf-K"


def test_an_iwae_of_bins_is_trained_and_assessed_as_one() -> None:
    """Another model than the density's and the ELBO's; its objective is the bound of masses at the L of training."""
    asked = [("dequantised", "iwae"), ("binned", "elbo"), ("binned", "iwae")]
    cells = [cell("gaussian", sigma=0.2, objective=o, bound=b, train_samples=3) for o, b in asked]
    rows = carry_out(bundle_of(cells), "cpu")
    assert len({row.values["elbo_nats"] for row in rows}) == 3
    data = load_data("digits", None, "cpu")
    (model,) = train(data, [member_of(cells[2], 17)], architecture_of(cells[2]), schedule_of(cells[2])).models
    k, levels = scored_images(cells[2], data)
    masses = {"mass": lambda raw, at: model.likelihood.log_mass(k[at].unsqueeze(1), raw, levels)}
    bound = importance_bounds(k, model.encode, model.decode, masses, (1, 3, 10, 40), seed=0)["mass"].bound[3]
    assert rows[2].values["training_objective_nats"] == pytest.approx(float(bound.mean()), rel=1e-4)
    assert rows[2].history[-1][2] == pytest.approx(float(bound.mean()), rel=0.1), "as the validation images have it"


def test_what_weighs_the_kl_is_reported_with_the_kl_as_it_is() -> None:
    """In one bundle with the plain cell; ELBO, scores, validation bits have weight 1, what was trained on its own."""
    asked: list[dict[str, Any]] = [{}, {"kl_weight": 8.0}, {"kl_weight": 0.0, "kl_warmup": 1.0}, {"free_bits": 0.5}]
    cells = [cell("gaussian", sigma=0.2, **kl) for kl in asked]
    (planned,) = plan(cells, "cpu", 1)
    rows = {row.cell: row.values for row in carry_out(planned, "cpu")}
    alone = {one.id: carry_out(bundle_of([one]), "cpu")[0].values for one in cells}
    data = load_data("digits", None, "cpu")
    for one in cells:
        values: Any = rows[one.id]
        parts = values["reconstruction_nats"], values["kl_nats"]
        assert values["elbo_nats"] == pytest.approx(parts[0] - parts[1], rel=1e-6)
        for column in ("iw_nats", "elbo_nats", "kl_nats", "training_objective_nats", "valid_bits_per_dim"):
            assert values[column] == pytest.approx(alone[one.id][column], rel=1e-3), (one.id, column)
        (model,) = train(data, [member_of(one, 17)], architecture_of(one), schedule_of(one)).models
        k, levels = compared_images(one, data, "valid", 50)
        valid = log_likelihood(k, model.encode, model.decode, model.likelihood, (10,), levels, seed=one.seed).elbo
        bits = -float(valid.mean()) / (64 * math.log(2))
        assert values["valid_bits_per_dim"] == pytest.approx(bits, rel=1e-3)
    raised = [rows[one.id]["training_objective_nats"] for one in cells]
    rates = [rows[one.id]["kl_nats"] for one in cells]
    assert rates[1] < rates[0] < rates[2]  # type: ignore[operator]
    (row,) = carry_out(bundle_of([cell("gaussian", sigma=0.2, objective="binned", kl_weight=8.0)]), "cpu")
    assert row.values["training_objective_nats"] == pytest.approx(
        row.values["reconstruction_nats"] - 8 * row.values["kl_nats"], rel=1e-5  # type: ignore[operator]
    )  # fmt: skip
    assert len(set(raised)) == 4


@pytest.fixture(scope="module")
def scored() -> dict[str, CellResult]:
    """A model of a narrow σ, whose encoder's k̂ is bad, scored with and without refinement; and one of a σ so wide that
    the posterior is the prior."""
    cells = [BASE.but(options={"sigma": 0.05}, refine=word, eval_samples=(1, 100)) for word in ("never", "auto")]
    cells += [BASE.but(options={"sigma": 2.0}, refine=word, eval_samples=(1, 1000)) for word in ("auto", "always")]
    rows = carry_out(bundle_of(cells[:2]), "cpu") + carry_out(bundle_of(cells[2:]), "cpu")
    return dict(zip(("never", "auto", "good", "always"), rows, strict=True))


def test_a_bad_khat_is_refined_and_a_good_one_is_not(scored: dict[str, CellResult]) -> None:
    plain, refined, good = (scored[name].values for name in ("never", "auto", "good"))
    assert [row.values["estimator"] for row in scored.values()] == ["encoder", "refined", "encoder", "refined"]
    assert plain["khat_bad_fraction"] == plain["encoder_khat_bad_fraction"] > 0.5  # type: ignore[operator]
    assert refined["encoder_khat_bad_fraction"] == plain["khat_bad_fraction"]
    assert refined["khat_bad_fraction"] <= 0.1  # type: ignore[operator]
    assert refined["encoder_iw_nats"] == plain["iw_nats"] < refined["iw_nats"] - 1  # type: ignore[operator]
    assert good["encoder_iw_nats"] == good["iw_nats"]
    for column in ("elbo_nats", "kl_nats", "reconstruction_nats", "training_objective_nats", "active_units"):
        assert refined[column] == plain[column], column


@pytest.fixture(scope="module")
def needed() -> dict[str, CellResult]:
    """One model under every word for refine, with a pilot."""
    asked = BASE.but(eval_tolerance=1e-3, eval_samples=(1, 10, 100, 200, 1000))
    cells = [asked.but(refine=word) for word in ("never", "auto", "always")]
    rows = carry_out(bundle_of(cells), "cpu")
    return {cell.refine: row for cell, row in zip(cells, rows, strict=True)}


def test_an_l_that_was_not_needed_has_no_row(needed: dict[str, CellResult]) -> None:
    never, refined = needed["never"], needed["auto"]
    assert never.values["iw_samples"] == 1000
    assert never.values["khat_bad_fraction"] > 0.05  # type: ignore[operator]
    assert refined.values["estimator"] == "refined"
    assert refined.values["iw_samples"] in (100, 200)
    assert refined.values["khat_bad_fraction"] <= 0.05  # type: ignore[operator]
    for row in needed.values():
        values: Any = row.values
        sizes = [size for size, *_ in row.bounds]
        assert sizes == [size for size in (1, 10, 100, 200, 1000) if size <= values["iw_samples"]]
        assert row.bounds[-1][1] == values["iw_nats"]
        assert values["encoder_samples"] == 100
        from_encoder = {size: bound for size, _, _, bound in row.bounds}
        assert from_encoder[100] == values["encoder_iw_nats"]
        assert all(math.isnan(bound) == (size > 100) for size, bound in from_encoder.items())
        assert len(row.per_image["iw_nats"]) == 50


def test_cells_of_one_model_share_the_encoder_s_pass_whatever_becomes_of_it(needed: dict[str, CellResult]) -> None:
    never, auto, always = (needed[word] for word in ("never", "auto", "always"))
    for column in ("elbo_nats", "kl_nats", "training_objective_nats", "encoder_iw_nats", "encoder_khat_bad_fraction"):
        assert never.values[column] == auto.values[column] == always.values[column], column
    np.testing.assert_array_equal(auto.per_image["iw_nats"], always.per_image["iw_nats"])
    assert auto.values["iw_nats"] > never.values["iw_nats"]  # type: ignore[operator]


def test_a_resumed_bundle_scores_a_cell_as_the_whole_one_did(needed: dict[str, CellResult]) -> None:
    asked = BASE.but(eval_tolerance=1e-3, eval_samples=(1, 10, 100, 200, 1000), refine="auto")
    (alone,) = carry_out(bundle_of([asked]), "cpu")
    np.testing.assert_array_equal(alone.per_image["iw_nats"], needed["auto"].per_image["iw_nats"])
    assert alone.bounds[:2] == needed["auto"].bounds[:2]


def test_the_gaps_are_those_of_the_encoder_s_elbo(scored: dict[str, CellResult]) -> None:
    """amortisation + approximation = ln p(x) − ELBO over the images that were looked at: here 24 of 50."""
    values: Any = scored["auto"].values
    assert values["amortisation_gap_nats"] > 0
    assert values["approximation_gap_nats"] > 0
    whole = values["iw_nats"] - values["elbo_nats"]
    parts = values["amortisation_gap_nats"] + values["approximation_gap_nats"]
    assert parts == pytest.approx(whole, rel=0.25)
    assert "amortisation_gap_nats" not in scored["never"].values


def test_per_image_arrays_are_those_behind_the_columns(scored: dict[str, CellResult]) -> None:
    for name, row in scored.items():
        values, arrays = row.values, row.per_image
        assert set(arrays) == set(IMAGE_ARRAYS)
        assert {len(array) for array in arrays.values()} == {50}
        assert arrays["iw_nats"].mean() == pytest.approx(values["iw_nats"])
        assert np.median(arrays["ess"]) == pytest.approx(values["ess_median"], rel=0.2), name
        size, bound, _, from_encoder = row.bounds[-1]
        assert (size, bound, from_encoder) == (values["iw_samples"], values["iw_nats"], values["encoder_iw_nats"])
        assert (arrays["khat"] > khat_threshold(size)).mean() == pytest.approx(values["khat_bad_fraction"])


def test_latents_and_calibration(scored: dict[str, CellResult]) -> None:
    for row in scored.values():
        values: Any = row.values
        assert sum(kl for kl, _ in row.latents) == pytest.approx(values["kl_nats"], rel=1e-5)
        assert sum(variance > 0.01 for _, variance in row.latents) == values["active_units"]
        assert sum(row.calibration) == pytest.approx(1)
        assert values["pit_deviation"] == pytest.approx(np.abs(np.array(row.calibration) - 0.05).sum() / 2)
    narrow: Any = scored["auto"].values
    assert narrow["noise_predicted"] < 0.08 < narrow["noise_realised"]  # σ = 0.05 on digits is too sure of itself
    assert narrow["coverage_95"] < 0.8


def test_both_shares_of_bad_khat_are_one_number() -> None:
    assert store.BAD_SHARE == effort.BAD_SHARE


def test_what_open_end_bins_lend_a_score_is_beside_it(results: dict[str, CellResult]) -> None:
    """Of all whose ends are open, recipes read as a Gaussian among them, and of no other."""
    for name, row in results.items():
        values: Any = row.values
        family = likelihoods.get(name.split()[0])
        reading = next((word for word in name.split()[1:] if word in family.scorings), "itself")
        opened = reading in family.opened() and row.status == "done"
        assert ("end_bins_bits_per_dim" in values) == opened, name
        if opened:
            assert values["renormalised_bits_per_dim"] == pytest.approx(
                -values["renormalised_nats"] / (64 * math.log(2))
            )
            owed = values["renormalised_bits_per_dim"] - values["bits_per_dim"]
            assert values["end_bins_bits_per_dim"] == pytest.approx(owed, abs=1e-9)
            assert 0.05 < owed < 4, name
            assert 0 <= values["renormalised_khat_bad_fraction"] <= 1


def test_cells_whose_ends_differ_are_trained_in_one_bundle_each_as_it_says() -> None:
    """Their raw outputs have one width; only what is open is scored with both."""
    cells = [cell("gaussian", objective="binned", sigma="pixel").but(options=options) for options in BOTH_ENDS]
    (bundle,) = plan(cells, "cpu", 1)
    values: list[Any] = [row.values for row in carry_out(bundle, "cpu")]
    opened, closed = values
    assert opened["bundle_models"] == closed["bundle_models"] == 2
    assert "end_bins_bits_per_dim" in opened
    assert "end_bins_bits_per_dim" not in closed
    alone: Any = carry_out(bundle_of(cells[1:]), "cpu")[0].values
    assert closed["bits_per_dim"] == pytest.approx(alone["bits_per_dim"], abs=2e-3)
    assert closed["bits_per_dim"] < opened["renormalised_bits_per_dim"], "it was trained for it"


def test_every_value_has_a_column_and_every_column_a_value(
    results: dict[str, CellResult], scored: dict[str, CellResult]
) -> None:
    rows = [*results.values(), *scored.values()]
    for row in rows:
        assert set(row.values) <= set(RESULT_COLUMNS)
    timed_apart = {"train_images_per_s", "eval_decodes_per_s", "matmul_share"}
    assert {name for row in rows for name in row.values} == set(RESULT_COLUMNS) - timed_apart


def test_bounds_are_ordered(results: dict[str, CellResult]) -> None:
    """Mass ≥ dequantised bound; the bound rises with L; the ELBO is the lowest (all within Monte-Carlo error)."""
    for name, row in results.items():
        if row.status != "done":
            continue
        values: Any = row.values
        assert values["iw_nats"] > values["elbo_nats"] - 1e-6, name
        assert row.bounds[0][1] < row.bounds[1][1] < row.bounds[2][1] + 0.05, name
        if values.get("dequantised_bits_per_dim") is not None:
            assert values["dequantised_bits_per_dim"] > values["bits_per_dim"], name
            assert values["dequantised_nats"] == pytest.approx(values["density_nats"] - 64 * math.log(17))


def test_a_cell_is_trained_in_its_precision_and_scored_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near what float32 gives, and not equal; the scoring is in full float32 though the process allows TF32."""
    bf16 = BASE.but(precision="bf16")
    assert schedule_of(bf16).precision == "bf16"
    plain, abridged = (carry_out(bundle_of([one]), "cpu")[0].values["iw_nats"] for one in (BASE, bf16))
    assert plain != abridged
    assert abridged == pytest.approx(plain, abs=0.5)

    seen: list[str] = []

    def spy(*arguments: Any, **named: Any) -> Any:
        seen.append(torch.backends.cuda.matmul.fp32_precision)
        return importance_bounds(*arguments, **named)

    monkeypatch.setattr(sys.modules["vae_core.evaluate.assess"], "importance_bounds", spy)
    torch.set_float32_matmul_precision("high")
    try:
        carry_out(bundle_of([BASE]), "cpu")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["ieee"]


def test_a_precision_that_the_device_lacks_is_named() -> None:
    assert inspect_precision("bf16", "cpu") == {"precision": "bf16"}
    with pytest.raises(ValueError, match="precision 'tf32' needs a CUDA device"):
        inspect_precision("tf32", "cpu")


def test_the_binary_view_is_scored_on_fixed_zeros_and_ones(results: dict[str, CellResult]) -> None:
    binary = cell("bernoulli")
    data = load_data("digits", None, "cpu")
    first, levels = scored_images(binary, data)
    again, _ = scored_images(binary.but(seed=7), data)
    assert levels == 2
    assert set(first.unique().tolist()) == {0, 1}
    assert torch.equal(first, again)
    assert results["bernoulli itself "].values["currency"] == "pmf-2"
    threshold, _ = scored_images(binary.but(binarisation="threshold"), data)
    grey, _ = scored_images(BASE, data)
    assert torch.equal(threshold, (grey > 8).to(torch.uint8))


def test_fewer_test_images_are_spread_over_the_split() -> None:
    data = load_data("digits", None, "cpu")
    some, _ = scored_images(BASE.but(test_images=3), data)
    assert torch.equal(some, data.test[[0, 100, 200]])
    everything, _ = scored_images(BASE.but(test_images=None), data)
    assert len(everything) == 300


def test_two_scorings_of_one_model(results: dict[str, CellResult]) -> None:
    """One training: equal KL and unnormalised objective; the σ that fits the residuals is not the implied one."""
    implied, fitted = (results[f"mse_sum gaussian_{how} "].values for how in ("implied", "fitted"))
    assert implied["sigma_fitted"] == pytest.approx(math.sqrt(0.5))
    assert 0.1 < float(fitted["sigma_fitted"]) < 0.5  # type: ignore[arg-type]
    for column in ("kl_nats", "training_objective_nats", "best_epoch"):
        assert implied[column] == fitted[column]
    assert implied["iw_nats"] != fitted["iw_nats"]


def test_a_reading_is_judged_by_importance_weighting_on_validation_images(results: dict[str, CellResult]) -> None:
    """Of 200 of them, L = 100; what it is fitted to is training data, and what is not a recipe has no such number."""
    asked = cell("mse_sum", "gaussian_fitted")
    data = load_data("digits", None, "cpu")
    model = train(data, [member_of(asked, 17)], architecture_of(asked), schedule_of(asked)).models[0]
    likelihood = model.likelihood.scored("gaussian_fitted")
    fit_scale(likelihood, data, model.encode, model.decode)
    k = data.valid[torch.arange(200) * 300 // 200]
    estimate = log_likelihood(k, model.encode, model.decode, likelihood, (100,), 17)
    expected = -float(estimate.bound[100].mean()) / (64 * math.log(2))
    values = results["mse_sum gaussian_fitted "].values
    assert values["reading_bits_per_dim"] == pytest.approx(expected, rel=1e-4)
    assert values["reading_bits_per_dim"] < values["valid_bits_per_dim"], "the ELBO of much the same images"  # type: ignore[operator]
    assert math.isfinite(results["mse_sum gaussian_implied "].values["reading_bits_per_dim"])  # type: ignore[arg-type]
    for name in ("gaussian itself 0.2", "bernoulli itself "):
        assert math.isnan(results[name].values["reading_bits_per_dim"])  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_elbo_of_the_encoder_would_choose_another_reading() -> None:
    """Why it is not by the ELBO: of a short training of squared error the implied σ, for which the encoder's q was
    trained, leads by that, and the narrower one of the residuals by what the decoder is worth."""
    longer = {"epochs": 60, "hidden": (100,), "latent": 8, "refine": "auto"}
    cells = [cell("mse_sum", reading, **longer) for reading in ("gaussian_implied", "gaussian_fitted")]
    wide, narrow = (row.values for row in carry_out(bundle_of(cells), "cpu"))
    assert narrow["sigma_fitted"] < 0.5 * wide["sigma_fitted"]  # type: ignore[operator]
    assert narrow["valid_bits_per_dim"] > wide["valid_bits_per_dim"] + 0.05  # type: ignore[operator]
    assert narrow["reading_bits_per_dim"] < wide["reading_bits_per_dim"] - 0.02  # type: ignore[operator]
    assert narrow["bits_per_dim"] < wide["bits_per_dim"] - 0.02  # type: ignore[operator]


def test_the_folk_objective_is_what_folk_compute(results: dict[str, CellResult]) -> None:
    """−(summed BCE + KL) on grey test images, at the posterior's samples: near its value at the posterior mean."""
    bce = cell("bce_sum")
    data = load_data("digits", None, "cpu")
    trained = train(data, [member_of(bce, 17)], architecture_of(bce), schedule_of(bce))
    model = trained.models[0]
    k, _ = scored_images(bce, data)
    mean, log_variance = model.encode(k)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(100):
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        target = k.float() / 16
        bce_loss = torch.nn.functional.binary_cross_entropy_with_logits(model.decode(z), target, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        losses.append(float(bce_loss + kl) / len(k))
    found = results["bce_sum continuous_bernoulli "].values["training_objective_nats"]
    assert found == pytest.approx(-np.mean(losses), rel=2e-3)


def test_a_model_that_diverges_is_a_failed_row_with_a_reason(results: dict[str, CellResult]) -> None:
    row = results["gaussian itself 1e-30"]
    assert row.status == "failed"
    assert row.reason is not None
    assert "no longer finite" in row.reason
    assert "iw_nats" not in row.values
    assert results["gaussian itself 0.2"].status == "done"


def test_pictures_are_bytes_of_the_data_s_shape(results: dict[str, CellResult]) -> None:
    for row in results.values():
        if row.status == "done":
            assert set(row.pictures) == {"original", "reconstruction", "sample", "draw"}
            assert all(p.dtype == np.uint8 and p.shape == (8, 8, 8) for p in row.pictures.values())
    data = load_data("digits", None, "cpu")
    original = results["gaussian itself 0.2"].pictures["original"]
    k, _ = scored_images(BASE, data)
    np.testing.assert_array_equal(original[0], np.round(k[0].numpy().reshape(8, 8) / 16 * 255).astype(np.uint8))


def test_facts_of_the_data() -> None:
    facts = inspect_data("digits", None)
    assert (facts.levels, facts.dims, facts.shape) == (17, 64, (8, 8))
    assert (facts.train, facts.valid, facts.test) == (1197, 300, 300)
    some = inspect_data("digits", None, None, 399)
    assert (some.name, some.train, some.valid, some.test) == ("digits", 399, 100, 300)
    assert some.checksum != facts.checksum


def test_a_cell_gets_the_data_that_it_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "ramp.npz"
    np.savez(path, images=np.arange(60 * 16, dtype=np.uint8).reshape(60, 4, 4))
    whole, coarse = (BASE.but(dataset=str(path), quantise=quantise, train_images=20) for quantise in (None, 16))
    data = data_of(coarse, "cpu")
    assert (data.levels, len(data.train), len(data.valid), len(data.test)) == (16, 20, 5, 10)
    assert torch.equal(data.test, data_of(whole, "cpu").test // 16)
    drawn, levels = scored_images(coarse.but(family="bernoulli", view="binary", options={}), data)
    assert levels == 2
    assert not torch.equal(
        drawn, scored_images(whole.but(family="bernoulli", view="binary", options={}), data_of(whole, "cpu"))[0]
    )


# -- a plug-in whose masses are none ----------------------------------------------------------------------------------

BUMP = '''"""Masses 1.5 times too large where the largest logit lies in a narrow range."""
import math
from vae_core.likelihoods.categorical import Categorical
class Bump(Categorical):
    def _log_masses(self, k, raw):
        top = self._logits(raw).amax(-1)
        return super()._log_masses(k, raw) + math.log(1.5) * ((top > 0.8) & (top < 0.801)).to(raw.dtype)
'''
BESIDE = "tests/vae_core/likelihoods/mutants/beside.py"


@pytest.fixture
def leaking(tmp_path: Path, same_catalogue_afterwards: None) -> dict[str, CellResult]:
    """One bundle of a family that is none, read as nobody held it to the laws, and one that is."""
    path = tmp_path / "bump.py"
    path.write_text(BUMP)
    plugins.register(path)  # which no law on loading refuses
    plugins.register(Path(__file__).parents[3] / BESIDE, check=False)
    cells = [cell("bump"), cell("categorical"), cell("beside", sigma=0.2), cell("laplace", sigma=0.2)]
    rows = [*carry_out(bundle_of(cells[:2]), "cpu"), *carry_out(bundle_of(cells[2:]), "cpu")]
    return {c.family: row for c, row in zip(cells, rows, strict=True)}


def test_masses_that_are_none_fail_the_cell_with_the_place_and_give_no_score(leaking: dict[str, CellResult]) -> None:
    assert {family: row.status for family, row in leaking.items()} == {
        "bump": "failed",
        "categorical": "done",
        "beside": "failed",
        "laplace": "done",
    }
    bump, beside = leaking["bump"], leaking["beside"]
    assert bump.reason
    assert beside.reason
    assert re.search(r"bump: over all 17 levels .* image \d+, dimension \d+ .* sum to 1\.5, not 1", bump.reason)
    assert bump.values["mass_deviation"] == pytest.approx(0.5, abs=1e-4)
    assert "an image's score depends on others" in beside.reason
    assert beside.values["alone_deviation_nats"] > 1  # type: ignore[operator]
    for row in (bump, beside):
        assert "iw_nats" not in row.values
        assert row.values["epochs_run"] == 2
        assert not row.per_image
    for family in ("categorical", "laplace"):
        values = leaking[family].values
        assert 0 < values["mass_deviation"] < 1e-5  # type: ignore[operator]
        assert values["masses_summed"] > 100_000  # type: ignore[operator]
        assert values["alone_deviation_nats"] < 1e-2  # type: ignore[operator]


@pytest.mark.parametrize("where", ["test", "training"])
def test_an_impossible_score_fails_its_cell_alone(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other scorings of the same model keep theirs; so does the other model of the bundle."""
    cells = [cell("mse_sum", scored_as) for scored_as in ("gaussian_implied", "gaussian_fitted")] + [BASE]
    before = carry_out(bundle_of(cells), "cpu")
    scored_as = bundle._scored_as

    def inflated(cell: Cell, model: Any, data: Any) -> Any:
        right = scored_as(cell, model, data)
        if cell.scored_as != "gaussian_fitted":
            return right
        wrong = copy.copy(right)

        def log_mass(k: torch.Tensor, raw: torch.Tensor, levels: int) -> torch.Tensor:
            in_fit = raw.shape[-2] == FIT_SAMPLES  # z an image, of training and validation images
            return right.log_mass(k, raw, levels) + 400 * (in_fit == (where == "training"))

        wrong.log_mass = log_mass  # type: ignore[misc, method-assign]
        return wrong

    monkeypatch.setattr(bundle, "_scored_as", inflated)
    after = carry_out(bundle_of(cells), "cpu")
    assert [row.status for row in after] == ["done", "failed", "done"]
    said = {
        "test": "where the masses of its levels, of all that were summed, make",  # seen before the score is
        "training": "no probability is above 1: the masses do not sum to one over 17 levels",
    }
    assert said[where] in (after[1].reason or "")
    assert after[1].values["epochs_run"] == before[1].values["epochs_run"], "that it was trained is still said"
    assert "bits_per_dim" not in after[1].values
    assert [row.values["bits_per_dim"] for row in after[::2]] == [row.values["bits_per_dim"] for row in before[::2]]
