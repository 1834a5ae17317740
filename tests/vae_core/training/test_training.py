"""A bundle trains each model as if it were alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import log_likelihood
from vae_core.likelihoods.laplace import Laplace
from vae_core.networks import ACTIVATIONS, Architecture, StackedMLP
from vae_core.networks.mlp import MLP
from vae_core.objectives import Posterior, elbo, iwae
from vae_core.training import (
    BundleProgram,
    Member,
    Noise,
    Schedule,
    TrainedBundle,
    Trainer,
    fit_scale,
    train,
)

ARCHITECTURE = Architecture((12,), "tanh", 3)
SCHEDULE = Schedule(epochs=3, batch_size=20, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", 5, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def members(seed: int = 0) -> list[Member]:
    """Every family and mode of one raw width (D outputs), both objectives."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("gaussian", {"sigma": 0.1}),
        ("gaussian", {"sigma": 1.0}),
        ("gaussian", {"sigma": "shared"}),
        ("gaussian", {"sigma": "optimal"}),
        ("laplace", {"sigma": "shared"}),
        ("logistic", {"sigma": "optimal"}),
        ("continuous_bernoulli", {}),
        ("bernoulli", {}),
        ("bce_sum", {}),
        ("mse_mean", {}),
    ]
    own = [Member(likelihoods.make(name, **options), seed=seed) for name, options in settings]
    return [*own, Member(likelihoods.make("laplace", sigma=0.2), bound="iwae", seed=seed)]


def scores(bundle: TrainedBundle, place: int, data: Dataset) -> torch.Tensor:
    model = bundle.models[place]
    levels = 2 if model.view.binary else data.levels
    k = (data.test > 2).to(torch.uint8) if model.view.binary else data.test
    return log_likelihood(k, model.encode, model.decode, model.likelihood, (1, 20), levels=levels).bound[20]


@pytest.mark.parametrize("train_samples", [1, 3])
def test_a_model_is_the_same_alone_and_in_a_bundle(data: Dataset, train_samples: int) -> None:
    schedule = Schedule(3, 20, 3e-3, train_samples)
    bundle = train(data, [*members(0), *members(1)], ARCHITECTURE, schedule)
    count = len(members())
    for seed in (0, 1):
        for index in range(count):
            alone = train(data, [members(seed)[index]], ARCHITECTURE, schedule)
            place = seed * count + index
            torch.testing.assert_close(
                scores(bundle, place, data), scores(alone, 0, data), rtol=1e-4, atol=1e-3, msg=str(place)
            )
            assert bundle.validation[place] == pytest.approx(alone.validation[0], rel=1e-4)
            assert bundle.best_epoch[place] == alone.best_epoch[0]


def test_members_of_one_bundle_keep_their_order(data: Dataset) -> None:
    """Models of one kind stand side by side inside; outside, results come in the order given."""
    given = [Member(likelihoods.make("gaussian", sigma=s)) for s in (0.1, 2.0)]
    mixed = [given[0], Member(likelihoods.make("bce_sum")), given[1], Member(likelihoods.make("bernoulli"))]
    bundle = train(data, mixed, ARCHITECTURE, SCHEDULE)
    assert [model.likelihood.name for model in bundle.models] == ["gaussian", "bce_sum", "gaussian", "bernoulli"]
    sigmas = [float(bundle.models[i].likelihood.sigma_in_use(torch.zeros(1, 12))) for i in (0, 2)]  # type: ignore[arg-type]
    assert sigmas == pytest.approx([0.1, 2.0])


def test_a_likelihood_may_score_in_float64(data: Dataset) -> None:
    """A plug-in's, say, beside one that does not."""

    class Exact(Laplace):
        def log_prob(self, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
            return super().log_prob(x.double(), raw.double())

    bundle = train(data, [Member(Exact(0.2)), Member(likelihoods.make("laplace", sigma=0.2))], ARCHITECTURE, SCHEDULE)
    assert bundle.failures == [None, None]
    assert bundle.validation[0] == pytest.approx(bundle.validation[1], rel=1e-4)


def test_a_model_that_diverges_does_not_hurt_its_neighbours(data: Dataset) -> None:
    good = members()[:4]
    bad = Member(likelihoods.make("gaussian", sigma=1e-30))
    bundle = train(data, [good[0], bad, *good[1:]], ARCHITECTURE, SCHEDULE)
    clean = train(data, good, ARCHITECTURE, SCHEDULE)
    assert bundle.failures[1] is not None
    assert "no longer finite at step 1 (epoch 1)" in bundle.failures[1]
    for place, reference in ((0, 0), (2, 1), (3, 2), (4, 3)):
        assert bundle.failures[place] is None
        torch.testing.assert_close(scores(bundle, place, data), scores(clean, reference, data), rtol=1e-4, atol=1e-3)


def test_a_neighbour_that_turns_nan_midway_is_caught_alone(data: Dataset) -> None:
    trainer = Trainer(data, members()[:3], ARCHITECTURE, SCHEDULE, "cpu")
    index = next(trainer.epoch())
    trainer.step(index)
    learned = trainer.program.decoder.parameters()
    with torch.no_grad():
        learned[0][1] = math.nan
    value = trainer.step(index)
    assert torch.isfinite(value).tolist() == [True, False, True]
    trainer.step(index)
    for tensor in learned:
        assert torch.isfinite(tensor[[0, 2]]).all()


def test_the_snapshot_of_each_model_is_its_best_on_validation(data: Dataset) -> None:
    """A learning rate far too high makes validation jump about: what is kept scores what was best, not last."""
    wild = Schedule(epochs=12, batch_size=20, learning_rate=0.3)
    bundle = train(data, members()[:7], ARCHITECTURE, wild)
    kept_earlier = 0
    for place in range(7):
        values = {epoch: value for epoch, _, value in bundle.history[place]}
        assert len(values) == 12
        finite = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        best = max(finite, key=lambda epoch: finite[epoch])
        assert bundle.best_epoch[place] == best
        assert bundle.validation[place] == pytest.approx(finite[best])
        kept_earlier += best < 12
        model = bundle.models[place]
        again = BundleProgram([Member(model.likelihood)], ARCHITECTURE, wild, data, "cpu")
        again.encoder, again.decoder = model.encoder, model.decoder
        from vae_core.training import validate

        assert float(validate(again, data.valid)[0]) == pytest.approx(finite[best], rel=1e-4)
    assert kept_earlier >= 3


def test_models_with_one_seed_share_weights_and_noise(data: Dataset) -> None:
    """Common random numbers: equal layers start equal, whatever the width of the last one."""
    narrow, wide = MLP.create(ARCHITECTURE, (12,), 12, [4])[1], MLP.create(ARCHITECTURE, (12,), 24, [4, 5, 4])[1]
    torch.testing.assert_close(narrow.weights[0][0], wide.weights[0][0], rtol=0, atol=0)
    torch.testing.assert_close(wide.weights[1][0], wide.weights[1][2], rtol=0, atol=0)
    assert not torch.equal(wide.weights[0][0], wide.weights[0][1])
    pixel = Trainer(data, [Member(likelihoods.make("gaussian", sigma="pixel"))], ARCHITECTURE, SCHEDULE, "cpu")
    fixed = Trainer(data, [Member(likelihoods.make("gaussian", sigma=1.0))], ARCHITECTURE, SCHEDULE, "cpu")
    for left, right in zip(pixel.epoch(), fixed.epoch(), strict=True):
        assert torch.equal(left, right)
    noise = [t._streams.noise(20, 12, 1, 3) for t in (pixel, fixed)]
    assert torch.equal(noise[0].uniform, noise[1].uniform)
    assert torch.equal(noise[0].eps, noise[1].eps)


@pytest.mark.parametrize("binarisation", ["stochastic", "threshold"])
def test_views_that_are_kept_are_those_made_at_each_step(
    data: Dataset, binarisation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        *members(0),
        Member(likelihoods.make("binomial", levels=5)),
        Member(likelihoods.make("laplace", sigma=0.2), "binned"),
    ]
    schedule = Schedule(3, 20, 3e-3, binarisation=binarisation)
    kept = Trainer(data, own, ARCHITECTURE, schedule, "cpu")
    assert set(kept._kept) == {"grey", "levels"} | ({"binary"} if binarisation == "threshold" else set())
    monkeypatch.setattr("vae_core.training.trainer.KEPT", 0)
    made = Trainer(data, own, ARCHITECTURE, schedule, "cpu")
    assert not made._kept
    for left, right in zip(kept.epoch(), made.epoch(), strict=True):
        assert torch.equal(kept.step(left), made.step(right))
    for one, other in zip(kept.state(), made.state(), strict=True):
        assert torch.equal(one, other)


def test_results_are_the_same_when_run_again(data: Dataset) -> None:
    first, second = (train(data, members()[:4], ARCHITECTURE, SCHEDULE) for _ in range(2))
    assert first.validation == second.validation


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_stacked_networks_are_the_plain_ones(activation: str) -> None:
    stacked = StackedMLP.create("encoder", (5, 7, 4, 2), activation, [0, 1, 2])
    with torch.no_grad():
        for bias in stacked.biases:
            bias.normal_()
    x = torch.randn(3, 6, 5)
    plain = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU, "sigmoid": torch.nn.Sigmoid}
    plain |= {"softplus": torch.nn.Softplus, "silu": torch.nn.SiLU}
    for model in range(3):
        layers: list[torch.nn.Module] = []
        for weight, bias in zip(stacked.weights, stacked.biases, strict=True):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight.data, linear.bias.data = weight[model].T, bias[model, 0]
            layers += [linear, plain[activation]()]
        expected = torch.nn.Sequential(*layers[:-1])(x[model])
        torch.testing.assert_close(stacked(x)[model], expected)
        torch.testing.assert_close(stacked.select(model)(x[model : model + 1])[0], expected)


def test_kl_agrees_with_torch_distributions() -> None:
    posterior = Posterior(torch.randn(5, 3), torch.randn(5, 3))
    q = torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(posterior.kl(), expected)
    eps = torch.randn(5, 9, 3)
    z = posterior.sample(eps)
    log_ratio = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) - torch.distributions.Normal(
        posterior.mean[:, None], (0.5 * posterior.log_variance)[:, None].exp()
    ).log_prob(z).sum(-1)
    torch.testing.assert_close(posterior.log_ratio(z, eps), log_ratio, rtol=1e-4, atol=1e-4)


def test_objectives_are_ordered_bounds() -> None:
    """For the same weights: sampled ELBO ≤ IWAE ≤ the largest log-weight; equal at L = 1."""
    posterior = Posterior(torch.randn(4, 6, 3), torch.randn(4, 6, 3))
    eps = torch.randn(4, 6, 8, 3)
    z = posterior.sample(eps)
    log_likelihood_values = torch.randn(4, 6, 8)
    log_ratio = posterior.log_ratio(z, eps)
    log_weights = log_likelihood_values + log_ratio
    bound = iwae(log_likelihood_values, log_ratio)
    assert (bound >= log_weights.mean(-1) - 1e-5).all()
    assert (bound <= log_weights.max(-1).values + 1e-5).all()
    torch.testing.assert_close(
        elbo(log_likelihood_values, posterior.kl()), log_likelihood_values.mean(-1) - posterior.kl()
    )
    one = iwae(log_likelihood_values[..., :1], log_ratio[..., :1])
    torch.testing.assert_close(one, log_weights[..., 0])


def test_gradient_of_a_step_is_the_slow_path(data: Dataset) -> None:
    """Stacked forward and backward against a loop over models with torch.distributions, in float64."""
    own = [Member(likelihoods.make("gaussian", sigma=s), seed=seed) for s, seed in ((0.3, 0), (1.0, 1))]
    program = BundleProgram(own, ARCHITECTURE, SCHEDULE, data, "cpu")
    encoder, decoder = program.encoder, program.decoder
    assert isinstance(encoder, StackedMLP)
    assert isinstance(decoder, StackedMLP)
    for stacked in (encoder, decoder):
        stacked.weights, stacked.biases = ([t.double() for t in ts] for ts in (stacked.weights, stacked.biases))
    parameters = program.parameters()
    generator = torch.Generator().manual_seed(0)
    k = data.train[:10].expand(2, -1, -1)
    noise = Noise(
        torch.rand(2, 10, 12, generator=generator, dtype=torch.float64),
        torch.randn(2, 10, 1, 3, generator=generator, dtype=torch.float64),
    )
    found = torch.autograd.grad(program.objectives(k, noise, training=True).mean(1).sum(), parameters)
    total = torch.zeros((), dtype=torch.float64)
    for model, sigma in enumerate((0.3, 1.0)):
        ew, dw = [w[model] for w in encoder.weights], [w[model] for w in decoder.weights]
        eb, db = [b[model] for b in encoder.biases], [b[model] for b in decoder.biases]
        grey = k[model].double() / 4
        x = (k[model].double() + noise.uniform[model]) / 5
        mean, log_variance = (torch.tanh(grey @ ew[0] + eb[0]) @ ew[1] + eb[1]).chunk(2, -1)
        q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        z = mean + (0.5 * log_variance).exp() * noise.eps[model, :, 0]
        loc = torch.tanh(z @ dw[0] + db[0]) @ dw[1] + db[1]
        reconstruction = torch.distributions.Normal(loc, sigma).log_prob(x).sum(-1)
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
        total = total + (reconstruction - kl).mean()
    expected = torch.autograd.grad(total, parameters)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


def test_an_iwae_of_bins_is_the_formula_with_masses(data: Dataset) -> None:
    """Value and gradient, in double precision, beside every other pair of objective and bound."""
    asked = [(objective, bound) for objective in ("dequantised", "binned") for bound in ("elbo", "iwae")]
    own = [Member(likelihoods.make("logistic", sigma=0.3), *pair) for pair in asked]
    program = BundleProgram(own, ARCHITECTURE, Schedule(1, 10, 1e-3, train_samples=4), data, "cpu")
    place = next(i for i, m in enumerate(program.members) if (m.objective, m.bound) == ("binned", "iwae"))
    encoder, decoder = program.encoder, program.decoder
    assert isinstance(encoder, StackedMLP)
    assert isinstance(decoder, StackedMLP)
    for stacked in (encoder, decoder):
        stacked.weights, stacked.biases = ([t.double() for t in ts] for ts in (stacked.weights, stacked.biases))
    parameters = program.parameters()
    generator = torch.Generator().manual_seed(0)
    k = data.train[:10]
    noise = Noise(
        torch.rand(1, 10, 12, generator=generator, dtype=torch.float64),
        torch.randn(1, 10, 4, 3, generator=generator, dtype=torch.float64),
    )
    value = program.objectives(k.unsqueeze(0), noise, training=True)[place]
    found = torch.autograd.grad(value.sum(), parameters)

    ew, dw, eb, db = (
        [t[place] for t in ts] for ts in (encoder.weights, decoder.weights, encoder.biases, decoder.biases)
    )
    mean, log_variance = (torch.tanh(k.double() / 4 @ ew[0] + eb[0]) @ ew[1] + eb[1]).chunk(2, -1)
    deviation = (0.5 * log_variance).exp().unsqueeze(1)
    z = mean.unsqueeze(1) + deviation * noise.eps[0]
    loc = torch.tanh(z @ dw[0] + db[0]) @ dw[1] + db[1]
    low, high = (torch.sigmoid(((k.double().unsqueeze(1) + side) / 5 - loc) / 0.3) for side in (0, 1))
    low = torch.where(k.unsqueeze(1) == 0, 0.0, low)
    high = torch.where(k.unsqueeze(1) == 4, 1.0, high)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    posterior = torch.distributions.Normal(mean.unsqueeze(1), deviation).log_prob(z).sum(-1)
    expected = ((high - low).log().sum(-1) + prior - posterior).exp().mean(-1).log()
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
    for left, right in zip(found, torch.autograd.grad(expected.sum(), parameters), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_a_member_that_cannot_be_trained_is_refused() -> None:
    assert Member(likelihoods.make("gaussian")).objective == "dequantised"
    assert Member(likelihoods.make("bernoulli")).objective == Member(likelihoods.make("bce_sum")).objective == "own"
    with pytest.raises(ValueError, match=r"mse_sum cannot be trained on 'binned' .*: take 'own'"):
        Member(likelihoods.make("mse_sum"), "binned")
    with pytest.raises(ValueError, match=r"unknown bound 'binned' \(allowed: elbo, iwae\)"):
        Member(likelihoods.make("gaussian"), bound="binned")


@pytest.mark.parametrize("binarisation", ["stochastic", "threshold"])
def test_the_binary_view_sees_zeros_and_ones(data: Dataset, binarisation: str) -> None:
    seen: list[torch.Tensor] = []
    lik = likelihoods.make("bernoulli")
    plain = type(lik).log_prob

    class Spy(type(lik)):  # type: ignore[misc]
        def log_prob(self, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return plain(self, x, raw)

    train(data, [Member(Spy())], ARCHITECTURE, Schedule(2, 20, 1e-3, 1, binarisation))
    values = torch.cat([x.flatten() for x in seen])
    assert set(values.unique().tolist()) == {0.0, 1.0}


def test_learned_shared_sigma_finds_the_noise() -> None:
    """Images of pure noise of known σ: the learned scalars of gaussian and laplace end at their true values."""
    rng = np.random.default_rng(0)
    noise = np.clip(np.round(128 + 25.6 * rng.standard_normal((600, 4, 4))), 0, 255).astype(np.uint8)
    data = Dataset.from_arrays("noise", 256, noise[:400], noise[400:500], noise[500:])
    own = [Member(likelihoods.make("gaussian", sigma=mode)) for mode in ("shared", "optimal")]
    bundle = train(data, own, Architecture((8,), "tanh", 2), Schedule(60, 50, 3e-3))
    for model in bundle.models:
        sigma = float(model.likelihood.sigma_in_use(torch.zeros(1, 16)))  # type: ignore[arg-type]
        assert sigma == pytest.approx(0.1, rel=0.06)


@pytest.mark.parametrize("reading", ["gaussian_fitted", "gaussian_binned"])
def test_a_scale_is_fitted_to_the_training_split_alone(data: Dataset, reading: str) -> None:
    bundle = train(data, [Member(likelihoods.make("mse_sum"))], ARCHITECTURE, SCHEDULE)
    model = bundle.models[0]
    fitted = model.likelihood.scored(reading)
    fit_scale(fitted, data, model.encode, model.decode)
    sigma = float(fitted.sigma_in_use(torch.zeros(1, 12)))  # type: ignore[arg-type]
    posterior = Posterior(*model.encode(data.train))
    z = posterior.sample(torch.randn(80, 300, 3, generator=torch.Generator().manual_seed(0)))
    mean, k = model.decode(z), data.train.unsqueeze(1)
    if reading == "gaussian_fitted":
        by_hand = float((k / 4 - mean).square().mean().sqrt())
    else:
        grid = np.exp(np.linspace(np.log(0.05), np.log(2.0), 60))
        edges = [torch.as_tensor(end) for end in ((k - 0.5) / 4, (k + 0.5) / 4)]
        edges[0][k.expand_as(edges[0]) == 0], edges[1][k.expand_as(edges[1]) == 4] = -torch.inf, torch.inf
        low, high = (edge - mean for edge in edges)
        totals = [(torch.special.ndtr(high / s) - torch.special.ndtr(low / s)).log().sum() for s in grid]
        by_hand = float(grid[int(np.argmax(totals))])
    assert sigma == pytest.approx(by_hand, rel=0.1)
    changed = Dataset.from_arrays(
        "other images", 5, *(s.numpy().reshape(-1, 4, 3) for s in (data.train, 4 - data.valid, 4 - data.test))
    )
    again = model.likelihood.scored(reading)
    fit_scale(again, changed, model.encode, model.decode)
    assert float(again.sigma_in_use(torch.zeros(1, 12))) == sigma  # type: ignore[arg-type]


def test_masses_are_fitted_to_some_of_many_images_at_even_spacing(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train(data, [Member(likelihoods.make("bce_sum"))], ARCHITECTURE, SCHEDULE).models[0]
    seen: list[torch.Tensor] = []

    def encode(k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(k)
        return type(model).encode(model, k)

    monkeypatch.setattr(model, "encode", encode)
    for reading, most, expected in (
        ("laplace_binned", 7, 7),
        ("laplace_binned", 100, 80),
        ("laplace_fitted", None, 80),
    ):
        likelihood = model.likelihood.scored(reading)
        assert likelihood.fit_images == (None if most is None else 2000)
        likelihood.fit_images = most
        fit_scale(likelihood, data, model.encode, model.decode)
        assert torch.equal(seen[-1], data.train[torch.arange(expected) * 80 // expected])


def test_training_never_touches_the_test_split(data: Dataset) -> None:
    other = Dataset.from_arrays(
        "other test", 5, *(s.numpy().reshape(-1, 4, 3) for s in (data.train, data.valid, 4 - data.test))
    )
    first, second = (train(d, members()[:4], ARCHITECTURE, SCHEDULE) for d in (data, other))
    assert first.validation == second.validation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(0, 1, 1e-3), "epochs must be 1 or more"),
        (lambda: Schedule(1, 1, math.nan), "learning_rate must be a finite number > 0"),
        (lambda: Schedule(1, 1, 1e-3, 0), "train_samples must be 1 or more"),
        (lambda: Architecture((0,), "tanh", 2), "widths must be 1 or more"),
        (lambda: Architecture((3,), "tan", 2), "unknown activation 'tan' (allowed: tanh"),
    ],
)
def test_wrong_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_members_of_different_width_are_refused(data: Dataset) -> None:
    mixed = [Member(likelihoods.make("gaussian", sigma=s)) for s in (1.0, "pixel")]
    with pytest.raises(ValueError, match="differ in width"):
        train(data, mixed, ARCHITECTURE, SCHEDULE)


def test_updates_are_torch_s_adam(data: Dataset) -> None:
    """Against torch.optim.Adam on the same gradients, two learning rates, a learned scale among the parameters."""
    rates = (1e-3, 1e-2)  # in the order of the models axis
    own = [Member(likelihoods.make("gaussian", sigma="shared"), learning_rate=rate) for rate in rates]
    trainer = Trainer(data, own, ARCHITECTURE, SCHEDULE, "cpu")
    parameters = trainer.program.parameters()
    copies = [[p.detach()[m].clone().requires_grad_() for p in parameters] for m in (0, 1)]
    optimisers = [torch.optim.Adam(copy, lr=rate) for copy, rate in zip(copies, rates, strict=True)]
    for index in trainer.epoch():
        trainer.step(index)
        for model, (copy, optimiser) in enumerate(zip(copies, optimisers, strict=True)):
            for mine, stacked in zip(copy, parameters, strict=True):
                assert stacked.grad is not None
                mine.grad = stacked.grad[model].clone()
            optimiser.step()
    for model, copy in enumerate(copies):
        for mine, stacked in zip(copy, parameters, strict=True):
            torch.testing.assert_close(stacked.detach()[model], mine.detach(), rtol=1e-5, atol=1e-6)
