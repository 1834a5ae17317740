"""What training makes of the KL: a weight, a warm-up of it, free bits; each model of a bundle its own."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_core.training.bundles import EVEN, images, numbers
from tests.vae_core.training.test_capture import Fixed, recorder
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.likelihoods import Likelihood
from vae_core.objectives import BOUNDS, Posterior, free_bits_kl, split_posterior
from vae_core.training import BundleProgram, Member, Noise, Schedule, Trainer, loop, train, validate
from vae_core.training.capture import WARM_UP, Replay
from vae_core.training.course import Course

SCHEDULE = Schedule(4, 32, 3e-3)
#: too small to move a float32
FROZEN = 1e-30
AS_IT_IS: dict[str, Any] = {}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return images(8, 8)


def gaussian(sigma: Any = 0.2, objective: str = "", bound: str = "elbo", seed: int = 0, **kl: Any) -> Member:
    return Member(likelihoods.make("gaussian", sigma=sigma), objective, bound, seed, **kl)


def of_every_kind(seed: int = 0) -> list[Member]:
    """Weights, warm-ups and free bits beside a plain model, of densities, bins, both bounds and a recipe."""
    return [
        gaussian(seed=seed),
        gaussian(kl_weight=4.0, seed=seed),
        gaussian(0.5, kl_weight=0.25, kl_warmup=2, seed=seed),
        gaussian(kl_warmup=0.5, seed=seed),
        gaussian(free_bits=0.3, seed=seed),
        gaussian(0.5, free_bits=0.1, kl_weight=2.0, kl_warmup=1, seed=seed),
        gaussian("shared", "binned", kl_weight=0.0, seed=seed),
        gaussian("shared", "binned", "iwae", kl_weight=3.0, kl_warmup=1, seed=seed),
        Member(likelihoods.make("mse_sum"), seed=seed, kl_weight=0.5),
        Member(likelihoods.make("bernoulli"), seed=seed, free_bits=0.2),
    ]


def gradients(data: Dataset, member: Member, samples: int = 2) -> list[Tensor]:
    """Of the objective, on all training images and some noise, of both networks."""
    program = BundleProgram([member], EVEN, replace(SCHEDULE, train_samples=samples), data, "cpu")
    generator = torch.Generator().manual_seed(3)
    k = data.train.unsqueeze(0)
    noise = Noise(
        torch.rand(k.shape, generator=generator),
        torch.randn((1, len(data.train), samples, EVEN.latent), generator=generator),
    )
    learned = program.parameters()
    return list(torch.autograd.grad(program.objectives(k, noise, training=True).mean(1).sum(), learned))


def assert_proportional(left: list[Tensor], right: list[Tensor], factor: float) -> None:
    """left = factor × right, to rounding of the largest."""
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, factor * other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


# -- identities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "weight"), [(0.1, 4.0), (0.5, 0.16), (0.2 * 3**0.5, 1 / 3)])
def test_variance_and_weight_are_one_knob_of_a_gaussian(data: Dataset, sigma: float, weight: float) -> None:
    """−S/2σ² − w KL = (1/σ²)(−S/2 − σ² w KL): where σ² w agrees, gradients agree up to the factor."""
    plain = gradients(data, gaussian(0.2))
    assert_proportional(gradients(data, gaussian(sigma, kl_weight=weight)), plain, 0.04 / sigma**2)
    other = gradients(data, gaussian(sigma, kl_weight=2 * weight))
    with pytest.raises(AssertionError):  # where it does not, they do not
        assert_proportional(other, plain, 0.04 / sigma**2)


@pytest.mark.parametrize("bins", [0.5, 2.0, 20.0])
def test_on_bins_they_are_two(data: Dataset, bins: float) -> None:
    """Neither where σ is narrow beside a bin nor where the tails beyond the data count."""

    def off(objective: str) -> float:
        """How far from proportional the gradients are, as a share."""
        sigma, weight = bins / data.levels, 4.0
        members = (gaussian(sigma, objective, kl_weight=weight), gaussian(sigma * weight**0.5, objective))
        weighed, plain = (torch.cat([part.double().flatten() for part in gradients(data, one)]) for one in members)
        return float((weighed - (weighed @ plain) / (plain @ plain) * plain).norm() / weighed.norm())

    assert off("dequantised") < 1e-3
    assert off("binned") > 0.01


@pytest.mark.parametrize("beta", [0.1, 4.0])
def test_beta_mse_is_squared_error_with_a_weight(data: Dataset, beta: float) -> None:
    """Σ(x−μ)² + β KL = β (Σ(x−μ)²/β + KL)."""
    as_weight = gradients(data, Member(likelihoods.make("mse_sum"), kl_weight=beta))
    as_option = gradients(data, Member(likelihoods.make("beta_mse", beta=beta)))
    assert_proportional(as_weight, as_option, beta)


@pytest.mark.parametrize(("beta", "sigma"), [(0.1, 0.2), (4.0, 0.5**0.5), (1.0, 0.05)])
def test_beta_mse_is_a_gaussian_with_a_weight(beta: float, sigma: float) -> None:
    """Of the same x, up to the factor β / (2 σ²): with the weight β / (2 σ²); at σ = √½ the weight is β itself."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((7, 5), generator=generator)
    weight = beta / (2 * sigma**2)

    def gradient(likelihood: Likelihood, weight: float) -> Tensor:
        encoded = torch.randn((7, 10), generator=torch.Generator().manual_seed(1)).requires_grad_()
        posterior = split_posterior(encoded)
        z = posterior.sample(torch.randn((7, 3, 5), generator=torch.Generator().manual_seed(2)))
        score = likelihood.log_prob(x.unsqueeze(1), z.tanh())
        value = BOUNDS["elbo"].formula(score, weight * posterior.kl()).sum()
        return torch.autograd.grad(value, encoded)[0]

    of_gaussian = gradient(likelihoods.make("gaussian", sigma=sigma), weight)
    assert_proportional([of_gaussian], [gradient(likelihoods.make("beta_mse", beta=beta), 1.0)], weight)


def test_adam_trains_the_two_alike(data: Dataset) -> None:
    """It does not feel the factor, but for its ε."""
    both = [Member(likelihoods.make("mse_sum"), kl_weight=0.2), Member(likelihoods.make("beta_mse", beta=0.2))]
    bundle = train(data, both, EVEN, SCHEDULE)
    first = bundle.models[0].decoder.parameters(), bundle.models[1].decoder.parameters()
    for one, other in zip(*first, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert bundle.validation[0] == pytest.approx(0.2 * bundle.validation[1], rel=1e-3)


# -- the weight --------------------------------------------------------------------------------------------------------


def test_each_model_of_a_bundle_is_as_alone(data: Dataset) -> None:
    schedule = replace(SCHEDULE, train_samples=2)
    bundle = train(data, [*of_every_kind(0), *of_every_kind(1)], EVEN, schedule)
    assert bundle.failures == [None] * 20
    for place, member in enumerate([*of_every_kind(0), *of_every_kind(1)]):
        alone = train(data, [member], EVEN, schedule)
        for one, other in zip(numbers(bundle, place), numbers(alone, 0), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3, equal_nan=True, msg=str(place))
    assert len(set(bundle.validation)) == 20


def test_a_weight_of_one_beside_others_moves_no_bit(data: Dataset) -> None:
    """And models of different weights are one group, as those of different σ are."""
    plain, among = (
        train(data, [gaussian(), gaussian(0.3, **kl)], EVEN, SCHEDULE)
        for kl in (AS_IT_IS, {"kl_weight": 4.0, "kl_warmup": 2})
    )
    for one, other in zip(numbers(plain, 0), numbers(among, 0), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
    program = BundleProgram([gaussian(), gaussian(0.3, kl_weight=4.0, kl_warmup=2)], EVEN, SCHEDULE, data, "cpu")
    assert len(program.groups) == 1
    assert BundleProgram([gaussian(), gaussian(0.3)], EVEN, SCHEDULE, data, "cpu").groups[0].kl_weight is None


@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_the_weight_is_on_the_kl_alone(data: Dataset, bound: str) -> None:
    """By the formulas, where z, ln p(x|z), KL and ratio are computed apart."""
    members = [gaussian(0.4, bound=bound, kl_weight=weight) for weight in (1.0, 0.3, 5.0)]
    program = BundleProgram(members, EVEN, replace(SCHEDULE, train_samples=3), data, "cpu")
    k = data.train[:9].unsqueeze(0)
    noise = Noise(torch.rand(k.shape), torch.randn((1, 9, 3, EVEN.latent)))
    with torch.no_grad():
        found = program.objectives(k, noise, training=True)
        true = program.objectives(k, noise, training=True, masses=True)
        posterior = split_posterior(program.encoder(program._inputs({"grey": program.see("grey", k, noise.uniform)})))
        eps = noise.eps.expand(3, -1, -1, -1)
        z = posterior.sample(eps)
        raw = program.decoder(z.flatten(1, 2)).unflatten(1, (9, 3))
        one = likelihoods.make("gaussian", sigma=0.4)
        score = one.log_prob(program.see("real", k, noise.uniform).unsqueeze(2), raw)
        masses = one.log_mass(k.unsqueeze(2), raw, data.levels)
        ratio, kl = posterior.log_ratio(z, eps), posterior.kl()
    for place, member in enumerate(program.members):
        weight = member.kl_weight
        if bound == "elbo":
            expected, bare = score[place].mean(-1) - weight * kl[place], masses[place].mean(-1) - kl[place]
        else:
            expected = (score[place] + weight * ratio[place]).logsumexp(-1) - np.log(3)
            bare = (masses[place] + ratio[place]).logsumexp(-1) - np.log(3)
        torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(true[place], bare, rtol=1e-4, atol=1e-3)


def test_more_weight_less_rate(data: Dataset) -> None:
    bundle = train(data, [gaussian(0.3, kl_weight=w) for w in (0.1, 1.0, 10.0)], EVEN, Schedule(60, 32, 1e-2))
    rates = [float(Posterior(*model.encode(data.test)).kl().mean()) for model in bundle.models]
    assert rates[0] > 1.5 * rates[1] > 2 * rates[2]


# -- the warm-up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("warmup", "over"), [(2.0, 4), (0.75, 6), (0.25, 2)])
def test_the_weight_rises_linearly_over_steps(data: Dataset, warmup: float, over: int) -> None:
    """Frozen models of one seed: that of a weight w is on the line from w = 0 to w = 1; 2 steps an epoch, 4 epochs."""
    members = [gaussian(kl_weight=w, kl_warmup=on, learning_rate=FROZEN) for w, on in ((0, 0), (1, 0), (3, warmup))]
    trainer = Trainer(data, members, EVEN, SCHEDULE, "cpu")
    shares = []
    for _ in range(4):
        for index in trainer.epoch():
            value = trainer.step(index).double()
            none, whole, rising = (value[trainer.program.order.index(place)] for place in range(3))
            shares.append(float((rising - none) / (whole - none)) / 3)
    np.testing.assert_allclose(shares, [min(step / over, 1) for step in range(8)], atol=1e-4)


def test_a_captured_step_goes_on_rising(data: Dataset) -> None:
    """To the bit what ordinary steps give, replays read the step that they are at; also after half have left."""
    members = [replace(member, kl_warmup=member.kl_warmup and 3.0) for member in of_every_kind()]
    schedule = replace(SCHEDULE, epochs=40, averaging=0.9)
    plain, replayed = (Trainer(data, members, EVEN, schedule, "cpu") for _ in range(2))
    for staying in (list(range(10)), list(range(0, 10, 2))):
        for trainer in (plain, replayed):
            trainer.keep(staying)
        made: list[Fixed] = []
        replayed._replay = Replay(torch.device("cpu"), recorder(made, replayed.failed_at.float()))
        for _ in range(4):
            for index, other in zip(plain.epoch(), replayed.epoch(), strict=True):
                assert torch.equal(plain.step(index), replayed.step(other))
        assert made[0].replays == 4 * plain.steps - WARM_UP
        for one, other in zip(plain.state(), replayed.state(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
def test_nothing_of_it_stops_a_trace(data: Dataset) -> None:
    """No value is read on the host, at which a trace must stop, and a captured graph too: there are no more stops than
    in the same bundle as it was before."""
    k = data.train[:32].unsqueeze(0)
    noise = Noise(torch.rand(k.shape), torch.randn(1, 32, 1, EVEN.latent))
    breaks = []
    logging.disable()  # what the tracer logs fills pages
    try:
        for weighed in (True, False):
            members = of_every_kind()
            if not weighed:
                members = [replace(member, kl_weight=1.0, kl_warmup=0.0, free_bits=0.0) for member in members]
            program = BundleProgram(members, EVEN, SCHEDULE, data, "cpu")
            warmed = torch.full((10, 1), 0.5) if weighed else None
            torch._dynamo.reset()
            explained = torch._dynamo.explain(
                lambda own=program, now=warmed: own.objectives(k, noise, training=True, warmed=now)
            )()
            breaks.append(explained.graph_break_count)
    finally:
        logging.disable(logging.NOTSET)
    assert breaks[0] <= breaks[1]


def test_a_share_is_that_of_the_epochs(data: Dataset) -> None:
    share, epochs = (train(data, [gaussian(kl_warmup=w)], EVEN, replace(SCHEDULE, epochs=8)) for w in (0.25, 2))
    for one, other in zip(numbers(share, 0), numbers(epochs, 0), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


def followed(warmup: float, epochs: int, patience: int, height: dict[int, float] | None = None) -> Course:
    """A course whose bound falls from its first epoch on, but where a height is given."""
    course = Course(Schedule(1000, 1, 1e-3, patience=patience), 8, warmup)
    for epoch in range(1, epochs + 1):
        each = torch.full((20,), (height or {}).get(epoch, -float(epoch)))
        course.look(epoch, 0.0, float(each.mean()), each)
        if patience and course.has_ended(epoch):
            course.end("patience", epoch)
            return course
    course.end("limit", epochs)
    return course


@pytest.mark.parametrize(("warmup", "best"), [(0.0, 1), (20.0, 21), (12.5, 13)])
def test_patience_begins_after_the_warmup(warmup: float, best: int) -> None:
    course = followed(warmup, 100, 10)
    assert (course.ended_by, course.best_epoch, course.epochs_run) == ("patience", best, best + 10)
    assert [epoch for epoch, _, _ in course.history] == list(range(1, best + 11))  # seen is all
    assert followed(warmup, 100, 0).best_epoch == best


def test_a_gain_is_that_of_the_second_half_after_the_warmup() -> None:
    course = followed(20, 40, 0, {25: 1.0, 35: 3.0})
    assert course.last_gain()[0] == pytest.approx(2 / (8 * np.log(2)))
    assert np.isnan(followed(30, 31, 0).last_gain()[0])  # no look in the first half of one epoch


def test_no_epoch_of_a_warmup_is_kept(data: Dataset) -> None:
    """A rate that ruins a model at once: the best epoch would be the first; and patience ends it a stretch later."""
    schedule = Schedule(60, 32, 0.5, patience=5, tolerance=1.0)
    bundle = train(data, [gaussian(0.05, kl_warmup=w) for w in (0, 13)], EVEN, schedule)
    assert bundle.best_epoch[1] > 13
    assert bundle.epochs_run[1] >= 13 + 5
    assert bundle.epochs_run[0] < 13 + 5


# -- free bits ---------------------------------------------------------------------------------------------------------


def test_free_bits_are_the_formula() -> None:
    """Kingma et al. 2016, eq. 15: Σ_j max(λ, mean over the batch of KL_j), whatever single images have."""
    encoded = torch.randn((3, 11, 8), generator=torch.Generator().manual_seed(0)).requires_grad_()
    each = split_posterior(encoded).kl_per_dimension()
    for free in (0.9, 1.0, torch.tensor([0.7, 0.9, 1.2]).reshape(3, 1, 1)):
        floor = torch.as_tensor(free).reshape(-1, 1)
        expected = each.mean(1).clamp(min=floor.expand(3, 1)).sum(-1)
        torch.testing.assert_close(free_bits_kl(each, free).mean(1), expected)
        (mine,) = torch.autograd.grad(free_bits_kl(each, free).mean(1).sum(), encoded, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected.sum(), encoded, retain_graph=True)
        torch.testing.assert_close(mine, theirs)
        assert 0 < float((mine == 0).double().mean()) < 1  # some dimensions are free, some not


def test_free_bits_keep_a_latent_alive(data: Dataset) -> None:
    """A weight that collapses it does not below what is free, in the mean over the training images."""
    kl: dict[str, Any] = {"kl_weight": 30.0}
    collapsed, kept = train(
        data, [gaussian(0.5, **kl), gaussian(0.5, free_bits=0.25, **kl)], EVEN, Schedule(80, 32, 1e-2)
    ).models
    rates = [Posterior(*model.encode(data.train)).kl_per_dimension().mean(0) for model in (collapsed, kept)]
    assert float(rates[0].max()) < 0.05
    assert float(rates[1].mean()) > 0.1
    assert float(rates[1].max()) < 0.35  # beyond what is free the weight is felt


def test_no_free_bits_among_others_move_nothing_but_rounding(data: Dataset) -> None:
    plain, among = (
        train(data, [gaussian(), gaussian(0.3, **kl)], EVEN, SCHEDULE) for kl in (AS_IT_IS, {"free_bits": 0.5})
    )
    torch.testing.assert_close(plain.validation[0], among.validation[0], rtol=1e-6, atol=0)


def test_the_bound_is_looked_at_for_rivals_alone(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose own objective is that bound need no second look, whoever is trained beside them."""
    looks: list[bool] = []
    validated = loop._validated

    def counted(*given: Any, masses: bool = False) -> Any:
        looks.append(masses)
        return validated(*given, masses=masses)

    monkeypatch.setattr(loop, "_validated", counted)
    bins = [gaussian(0.3, "binned", learning_rate=rate) for rate in (1e-3, 2e-3)]
    weighed = [gaussian(0.3, "binned", kl_weight=weight) for weight in (2.0, 3.0)]
    for rivals, wanted in (([[0, 1]], False), ([[2, 3]], True), ([], False)):
        looks.clear()
        train(data, [*bins, *weighed], EVEN, SCHEDULE, rivals=rivals)
        assert any(looks) is wanted


# -- what epochs are chosen by -----------------------------------------------------------------------------------------


def test_epochs_are_chosen_by_what_is_raised_at_its_whole_weight(data: Dataset) -> None:
    """History, model choice and ends go by −E ln p + w KL with free bits, also while the weight still rises; the bound
    of rivals has the KL as it is."""
    members = [gaussian(0.4, kl_weight=5.0, kl_warmup=3, learning_rate=FROZEN), gaussian(0.4, learning_rate=FROZEN)]
    members.append(gaussian(0.4, free_bits=1.5, learning_rate=FROZEN))
    bundle = train(data, members, EVEN, SCHEDULE)
    fixed = BundleProgram([replace(m, kl_warmup=0.0) for m in members], EVEN, SCHEDULE, data, "cpu")
    expected = validate(fixed, data.valid)[[fixed.order.index(place) for place in range(3)]].tolist()
    for place in range(3):
        assert [valid for _, _, valid in bundle.history[place]] == pytest.approx([expected[place]] * 4, rel=1e-5)
    assert bundle.best_epoch[0] == 4
    model = bundle.models[0]
    kl = Posterior(*model.encode(data.valid)).kl_per_dimension().mean(0).double()
    assert expected[1] - expected[0] == pytest.approx(4 * float(kl.sum()), rel=1e-4)
    assert expected[1] - expected[2] == pytest.approx(float(kl.clamp(min=1.5).sum() - kl.sum()), rel=1e-3)


@pytest.mark.parametrize(
    ("kl", "said"),
    [
        ({"kl_weight": -1.0}, "kl_weight must be a finite number, 0 or more, given -1"),
        ({"kl_weight": float("inf")}, "kl_weight must be a finite"),
        ({"kl_warmup": 2.5}, "kl_warmup must be a share of the epochs below 1 or a whole number of epochs, given 2.5"),
        ({"kl_warmup": -0.1}, "kl_warmup must be"),
        ({"free_bits": float("nan")}, "free_bits must be a finite number of nats a latent dimension"),
    ],
)
def test_numbers_out_of_range_are_refused(kl: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gaussian(**kl)


def test_free_bits_of_a_weighted_bound_and_endless_warmups_are_refused(data: Dataset) -> None:
    with pytest.raises(ValueError, match=r"free_bits = 0\.5 is a floor of the KL, which importance-weighted bounds do"):
        gaussian(bound="iwae", free_bits=0.5)
    for warmup in (4, 9):
        with pytest.raises(ValueError, match=f"kl_warmup = {warmup} leaves none of 4 epochs the whole weight"):
            train(data, [gaussian(kl_warmup=warmup)], EVEN, SCHEDULE)
    assert train(data, [gaussian(kl_warmup=3), gaussian(kl_warmup=0.99)], EVEN, SCHEDULE).best_epoch == [4, 4]


def test_every_family_takes_all_of_them(data: Dataset) -> None:
    """In bundles of one width each, beside the plain one: what is raised differs, and the objective stays finite."""
    kinds: list[dict[str, Any]] = [{}, {"kl_weight": 0.5}, {"kl_weight": 2.0, "kl_warmup": 1}, {"free_bits": 0.5}]
    for name in likelihoods.names():
        family = likelihoods.get(name)
        options = dict(family.examples[0]) | ({"levels": data.levels} if family.takes_levels else {})
        members = [Member(likelihoods.make(name, **options), **kl) for kl in kinds]
        bundle = train(data, members, EVEN, Schedule(2, 32, 1e-3))
        assert bundle.failures == [None] * 4, name
        assert len(set(bundle.validation)) == 4, name
    fields = [field.name for field in dataclasses.fields(Member)]
    assert {*itertools.chain(*kinds)} <= set(fields)
