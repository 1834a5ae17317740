"""Annealed importance sampling: its transitions against their target, its estimates against exact values, and both
against what would be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases, few, suitable_levels
from vae_core import likelihoods
from vae_core.evaluate.annealing import ais, bdmc, hmc
from vae_core.evaluate.annealing.ais import Annealed, Annealing, annealed_importance, prior, tuned_step_sizes
from vae_core.evaluate.annealing.bdmc import sandwich, simulate
from vae_core.evaluate.annealing.exact import ppca_log_likelihood, ppca_posterior, quadrature
from vae_core.evaluate.annealing.hmc import Point
from vae_core.evaluate.conditional import Conditional
from vae_core.likelihoods import stack
from vae_core.objectives import Posterior

DIMS, LATENT, SIGMA = 6, 2, 0.5


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On tensors of this size a second thread costs more than it gives, and tenfold on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def short_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few distributions, a few transitions are enough to find the steps of these small models."""
    monkeypatch.setattr(ais, "TUNING_TRANSITIONS", 40)


class Ppca(NamedTuple):
    """A linear decoder and data drawn from it."""

    conditional: Conditional
    z: Tensor
    exact: Tensor
    covariance: Tensor  #: of the posterior
    starts: dict[str, Posterior]  #: the prior; the posterior's diagonal; a Gaussian that is off in place and width


def ppca(images: int, sigma: float = SIGMA) -> Ppca:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(LATENT, DIMS, generator=generator, dtype=torch.float64)
    bias = torch.randn(DIMS, generator=generator, dtype=torch.float64)
    lik = likelihoods.make("gaussian", sigma=sigma)
    start = prior((images,), LATENT, torch.float64)
    z, x = simulate(lambda z: z @ weight + bias, lik, start)
    mean, covariance = ppca_posterior(x, weight, bias, sigma)
    variance = covariance.diagonal().expand_as(mean)
    return Ppca(
        conditional=lambda z, rows: lik.log_prob(x[rows].unsqueeze(-2), z @ weight + bias),
        z=z,
        exact=ppca_log_likelihood(x, weight, bias, sigma),
        covariance=covariance,
        starts={
            "prior": start,
            "posterior": Posterior(mean, variance.log()),
            "wrong": Posterior(mean + 1.5 * variance.sqrt(), variance.log() - 0.5),
        },
    )


# -- transitions -------------------------------------------------------------------------------------------------------


def gaussian(e: Tensor) -> Tensor:
    return -1.5 * (e - 1).square().sum(-1)


def two_bumps(e: Tensor) -> Tensor:
    """Skewed, with two peaks, and a kink at 0."""
    bumps = torch.logaddexp(-8 * (e - 1).square(), -3 * (e + 1).square() - 0.7)
    return (bumps - 0.5 * e.abs()).sum(-1)


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {"gaussian": gaussian, "two bumps": two_bumps}


def evaluation_of(target: Callable[[Tensor], Tensor], images: int = 1) -> hmc.Evaluate:
    """T itself, without a decoder: q is the prior, p(z) = q(z)."""
    return ais.evaluation(lambda z, rows: target(z), prior((images,), 1, torch.float64), slice(0, images))


@pytest.mark.parametrize("target", TARGETS)
def test_leapfrog_is_reversible(target: str) -> None:
    evaluate = evaluation_of(TARGETS[target])
    generator = torch.Generator().manual_seed(0)
    position, momentum = torch.randn(2, 1, 50, 1, generator=generator, dtype=torch.float64)
    step = torch.tensor(0.1, dtype=torch.float64)
    there, end = hmc.leapfrog(evaluate, evaluate(position), momentum, 0.7, step, 12)
    assert (there.position - position).abs().min() > 1e-3
    back, start = hmc.leapfrog(evaluate, there, -end, 0.7, step, 12)
    torch.testing.assert_close(back.position, position)
    torch.testing.assert_close(-start, momentum)


def test_leapfrog_preserves_volume() -> None:
    """|∂(e*, v*)/∂(e, v)| = 1, by central differences, in 2 dimensions and far from any fixed point."""
    start = prior((1,), 2, torch.float64)
    evaluate = ais.evaluation(lambda z, rows: two_bumps(z) + torch.sin(z[..., 0] * z[..., 1]), start, slice(0, 1))
    width = 1e-5
    origin = torch.tensor([0.3, -0.7, 0.9, -1.1], dtype=torch.float64)
    ends = origin + width * torch.cat([torch.eye(4), -torch.eye(4)]).double()
    position, momentum = ends[:, :2].unsqueeze(0), ends[:, 2:].unsqueeze(0)
    point, end = hmc.leapfrog(evaluate, evaluate(position), momentum, 0.8, torch.tensor(0.2), 5)
    after = torch.cat([point.position, end], -1)[0]
    jacobian = (after[:4] - after[4:]) / (2 * width)
    assert torch.linalg.det(jacobian).abs().item() == pytest.approx(1, abs=1e-6)
    assert (jacobian - torch.eye(4)).abs().max() > 0.5


def no_metropolis(at: Point, momentum: Tensor, proposal: Point, end: Tensor, beta: float) -> Tensor:
    return torch.full_like(at.value, math.inf)


def kinetic_sign(at: Point, momentum: Tensor, proposal: Point, end: Tensor, beta: float) -> Tensor:
    right = RIGHT_ACCEPTANCE(at, momentum, proposal, end, beta)
    return right - (momentum.square() - end.square()).sum(-1)


def whole_likelihood(at: Point, momentum: Tensor, proposal: Point, end: Tensor, beta: float) -> Tensor:
    return RIGHT_ACCEPTANCE(at, momentum, proposal, end, 1.0)


RIGHT_ACCEPTANCE = hmc.log_acceptance
WRONG_ACCEPTANCES = [no_metropolis, kinetic_sign, whole_likelihood]


def worst_moment(target: Callable[[Tensor], Tensor], beta: float, step: float) -> tuple[float, float]:
    """Exact draws of p_β, one transition, and then the worst of several means in standard errors off; the share of
    chains that moved."""
    lattice = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    density = torch.exp(beta * target(lattice.unsqueeze(-1)) - 0.5 * lattice.square())
    density /= density.sum()
    generator = torch.Generator().manual_seed(1)
    chains = 200_000
    uniform = torch.rand(chains, generator=generator, dtype=torch.float64)
    drawn = lattice[torch.searchsorted(density.cumsum(0), uniform).clamp(max=len(lattice) - 1)]
    evaluate = evaluation_of(target)
    after, acceptance = hmc.transition(
        evaluate,
        evaluate(drawn.reshape(1, chains, 1)),
        beta,
        torch.tensor([step], dtype=torch.float64),
        3,
        torch.randn(1, chains, 1, generator=generator, dtype=torch.float64),
        torch.rand(1, chains, 2, generator=generator, dtype=torch.float64),
    )
    moved = (after.position.flatten() != drawn).double().mean().item()
    assert moved == pytest.approx(acceptance.item(), abs=0.01)
    moments: list[Callable[[Tensor], Tensor]] = [
        lambda e: e,
        lambda e: e.square(),
        lambda e: torch.cos(3 * e),
        lambda e: (e > 0.8).double(),
    ]
    off = []
    for moment in moments:
        values = moment(after.position.flatten())
        expected = (density * moment(lattice)).sum()
        off.append(((values.mean() - expected) / (values.std() / math.sqrt(chains))).abs().item())
    return max(off), moved


@pytest.mark.parametrize(("target", "step"), [("gaussian", 0.85), ("two bumps", 0.6)])
def test_a_transition_leaves_its_target_invariant(target: str, step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    off, moved = worst_moment(TARGETS[target], 0.6, step)
    assert off < 4
    assert 0.4 < moved < 0.97
    for wrong in WRONG_ACCEPTANCES:
        monkeypatch.setattr(hmc, "log_acceptance", wrong)
        assert worst_moment(TARGETS[target], 0.6, step)[0] > 8, wrong.__name__


# -- the estimate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["prior", "posterior", "wrong"])
def test_linear_decoder_gives_the_exact_ppca_likelihood(start: str) -> None:
    model = ppca(12)
    estimate = annealed_importance(model.conditional, model.starts[start], Annealing(250, chains=32, leapfrog_steps=5))
    error, off = estimate.standard_error, estimate.log_likelihood - model.exact
    assert off.mean().abs() < 0.05
    assert (off.abs() < 4.5 * error + 1e-9).all()
    assert error.max() < 0.15
    assert (estimate.acceptance - 0.65).abs().max() < 0.1
    assert estimate.ess.min() > 16


def bias(estimate: Annealed, exact: Tensor) -> float:
    """E[w] / p(x) − 1 in standard errors."""
    ratio = torch.exp(estimate.log_weights - exact.unsqueeze(-1)).flatten()
    return ((ratio.mean() - 1) / (ratio.std() / math.sqrt(len(ratio)))).item()


def coarse_run(start: str = "prior") -> tuple[Annealed, Tensor]:
    """4 transitions and 40,000 chains, at steps long enough for a third of all proposals to be rejected."""
    model = ppca(1)
    settings = Annealing(6, chains=40_000, leapfrog_steps=3, schedule="linear")
    step_sizes = tuned_step_sizes(model.conditional, model.starts[start], settings)
    run = annealed_importance(model.conditional, model.starts[start], settings, step_sizes=step_sizes)
    return run, model.exact


@pytest.mark.parametrize("start", ["prior", "wrong"])
def test_the_estimate_of_p_is_unbiased_with_few_distributions(start: str) -> None:
    run, exact = coarse_run(start)
    assert run.standard_error.item() < 0.05
    assert abs(bias(run, exact)) < 4


@pytest.mark.parametrize("wrong", WRONG_ACCEPTANCES)
def test_a_wrong_acceptance_is_seen_as_bias(wrong: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    model = ppca(1)
    settings = Annealing(6, chains=40_000, leapfrog_steps=3, schedule="linear")
    step_sizes = tuned_step_sizes(model.conditional, model.starts["prior"], settings)
    monkeypatch.setattr(hmc, "log_acceptance", wrong)
    run = annealed_importance(model.conditional, model.starts["prior"], settings, step_sizes=step_sizes)
    assert abs(bias(run, model.exact)) > 8


def influence_of_a_neighbour() -> float:
    """How far ln w of chains 1… moves when chain 0 starts elsewhere."""
    model = ppca(1)
    settings = Annealing(20, chains=8, leapfrog_steps=3)
    step_sizes = tuned_step_sizes(model.conditional, model.starts["prior"], settings)
    evaluate = ais.evaluation(model.conditional, model.starts["prior"], slice(0, 1))
    position = torch.randn(1, 8, LATENT, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    elsewhere = position.clone()
    elsewhere[:, 0] += 2
    weights = []
    for start in (position, elsewhere):
        noise = ais.Noise(model.starts["prior"], slice(0, 1), 8, "weights", 0)
        weights.append(ais.run(evaluate, evaluate(start), settings.betas(), step_sizes, 3, noise)[0])
    assert (weights[0] - weights[1])[:, 0].abs() > 0.1
    return (weights[0] - weights[1])[:, 1:].abs().max().item()


def test_chains_do_not_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that adapt while the weights are made would let them, and spoil the balance that makes them unbiased."""
    assert influence_of_a_neighbour() < 1e-12
    log_scale = torch.zeros(1, dtype=torch.float64)

    def adapting(evaluate, at, beta, step, *rest):
        after, acceptance = hmc.transition(evaluate, at, beta, step * log_scale.exp(), *rest)
        log_scale.add_(ais.GAIN * (acceptance - ais.ACCEPTANCE))
        return after, acceptance

    monkeypatch.setattr(ais, "transition", adapting)
    assert influence_of_a_neighbour() > 1e-3


def test_weights_depend_on_the_tuning_run_through_its_steps_alone() -> None:
    model = ppca(3)
    settings = Annealing(15, chains=4, leapfrog_steps=3)
    step_sizes = tuned_step_sizes(model.conditional, model.starts["prior"], settings, seed=5)
    given = annealed_importance(model.conditional, model.starts["prior"], settings, seed=5, step_sizes=step_sizes)
    own = annealed_importance(model.conditional, model.starts["prior"], settings, seed=5)
    torch.testing.assert_close(given.log_weights, own.log_weights, rtol=0, atol=0)
    other = annealed_importance(model.conditional, model.starts["prior"], settings, seed=6, step_sizes=step_sizes)
    assert (other.log_weights - own.log_weights).abs().min() > 0


def test_step_sizes_follow_the_width_of_the_posterior() -> None:
    """A tenth of σ, a tenth of the step at β = 1; in units of q's deviations it does not shrink."""
    settings = Annealing(150, chains=8, leapfrog_steps=4)
    last = {}
    for sigma in (0.5, 0.05):
        model = ppca(3, sigma)
        for start in ("prior", "posterior"):
            steps = tuned_step_sizes(model.conditional, model.starts[start], settings)
            last[sigma, start] = steps[:, -1].log().mean().exp().item()
    assert last[0.5, "prior"] / last[0.05, "prior"] == pytest.approx(10, rel=0.35)
    assert last[0.5, "posterior"] / last[0.05, "posterior"] == pytest.approx(1, rel=0.2)


def test_two_distributions_are_importance_sampling() -> None:
    """No transition: ln w = ln p(x|z) + ln p(z) − ln q(z) at draws of q."""
    model = ppca(3)
    start = model.starts["wrong"]
    estimate = annealed_importance(model.conditional, start, Annealing(2, chains=50))
    eps = ais.Noise(start, slice(0, 3), 50, "weights", 0).normal()
    z = start.sample(eps)
    expected = model.conditional(z, slice(0, 3)) + start.log_ratio(z, eps)
    torch.testing.assert_close(estimate.log_weights, expected)
    assert estimate.acceptance.isnan().all()


def test_the_standard_error_is_what_repetition_shows() -> None:
    """200 times the same image, each with noise of its own."""
    model = ppca(1)
    start = model.starts["prior"]
    many = Posterior(start.mean.expand(200, -1), start.log_variance.expand(200, -1))
    estimate = annealed_importance(
        lambda z, rows: model.conditional(z, slice(0, 1)), many, Annealing(40, chains=16, leapfrog_steps=3)
    )
    spread = estimate.log_likelihood.std()
    assert (estimate.standard_error.square().mean().sqrt() / spread).item() == pytest.approx(1, abs=0.15)
    w = torch.exp(estimate.log_weights - estimate.log_weights.amax(-1, keepdim=True))
    torch.testing.assert_close(estimate.ess, w.sum(-1).square() / w.square().sum(-1))
    torch.testing.assert_close(estimate.standard_error, w.std(-1) / math.sqrt(16) / w.mean(-1))
    torch.testing.assert_close(estimate.log_likelihood, estimate.log_weights.logsumexp(-1) - math.log(16))


@pytest.mark.slow
@pytest.mark.parametrize("case", few(), ids=str)
def test_agrees_with_quadrature(case: Case) -> None:
    """Every family and mode, two latent dimensions, on integers that it drew itself."""
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 5
    lik = case.make(levels)
    generator = torch.Generator().manual_seed(3)
    weight = 0.5 * torch.randn(2, lik.outputs(3), generator=generator, dtype=torch.float64)
    bias = 0.3 * torch.randn(lik.outputs(3), generator=generator, dtype=torch.float64)
    start = prior((2,), 2, torch.float64)

    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z) @ weight + bias

    _, k = simulate(decode, lik, start, levels)

    def conditional(z: Tensor, rows: slice) -> Tensor:
        return lik.log_mass(k[rows].unsqueeze(-2), decode(z), levels)

    exact, accuracy = quadrature(conditional, (2,), 2, points=129)
    assert accuracy.max() < 0.01
    estimate = annealed_importance(conditional, start, Annealing(30, chains=24, leapfrog_steps=3))
    error, off = estimate.standard_error, estimate.log_likelihood - exact
    assert (off < 4.5 * error + 0.01).all()
    trusted = estimate.ess > 6
    assert (off[trusted] > -4.5 * error[trusted] - 0.01).all()
    assert trusted.any()


# -- both sides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["prior", "wrong"])
def test_both_directions_hold_the_exact_value_between_them(start: str) -> None:
    """Averaged over 60 images lower < exact < upper, and the gap closes as distributions are added."""
    model = ppca(60, sigma=0.2)
    gaps = []
    for distributions in (5, 15, 45):
        both = sandwich(
            model.conditional, model.starts[start], model.z, Annealing(distributions, chains=4, leapfrog_steps=3)
        )
        below, above = model.exact - both.lower, both.upper - model.exact
        for side in (below, above):
            assert side.mean() > -3 * side.std() / math.sqrt(len(side))
        torch.testing.assert_close(both.gap, below + above)
        gaps.append(both.gap.mean().item())
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


def test_reverse_weights_are_unbiased_for_one_over_p() -> None:
    """Over 20,000 exact posterior draws of one image, with few distributions."""
    model, draws = ppca(1), 20_000
    settings = Annealing(6, chains=1, leapfrog_steps=3)
    start = model.starts["posterior"]
    steps = tuned_step_sizes(model.conditional, start, settings).expand(draws, -1)
    normal = torch.randn(draws, LATENT, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = model.starts["posterior"].mean + normal @ torch.linalg.cholesky(model.covariance).T
    many = Posterior(start.mean.expand(draws, -1), start.log_variance.expand(draws, -1))
    reverse = bdmc.reversed_annealing(
        lambda z, rows: model.conditional(z, slice(0, 1)), many, z, settings, steps, rows=draws
    )
    assert (reverse.log_likelihood + reverse.log_weights[:, 0]).abs().max() == 0
    ratio = torch.exp(reverse.log_weights.flatten() + model.exact)
    assert 0.1 < ratio.std() < 2
    assert ((ratio.mean() - 1) / (ratio.std() / math.sqrt(draws))).abs() < 4


@pytest.mark.parametrize("case", cases(), ids=str)
def test_simulated_levels_follow_log_mass(case: Case) -> None:
    """Frequencies of each level among 4000 images of one pixel."""
    levels = 2 if case.make().view == "binary" else 5
    lik = case.make(levels)
    raw = 0.5 * torch.randn(lik.outputs(1), generator=torch.Generator().manual_seed(4))
    _, k = simulate(lambda z: raw.expand(*z.shape[:-1], -1), lik, prior((4000,), 1), levels)
    assert k.shape == (4000, 1)
    assert not k.is_floating_point()
    seen = torch.bincount(k.flatten(), minlength=levels).double() / 4000
    expected = lik.log_mass(torch.arange(levels).unsqueeze(-1), raw.expand(levels, -1), levels).double().exp()
    error = (expected * (1 - expected) / 4000).sqrt() + 1e-3
    assert ((seen - expected).abs() / error).max() < 5


# -- shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 35, 90])
def test_blocks_do_not_change_the_result(rows: int) -> None:
    """Blocks of one image, of ones that cut the noise's tiles of 16 anywhere, of all."""
    model = ppca(20)
    settings = Annealing(6, chains=5, leapfrog_steps=2)
    whole = sandwich(model.conditional, model.starts["wrong"], model.z, settings, rows=1 << 20)
    cut = sandwich(model.conditional, model.starts["wrong"], model.z, settings, rows=rows)
    for one, other in zip((*whole.forward, *whole.reverse), (*cut.forward, *cut.reverse), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_an_image_scores_the_same_in_a_smaller_set() -> None:
    model = ppca(20)
    start = model.starts["wrong"]
    settings = Annealing(12, chains=5, leapfrog_steps=2)
    few = Posterior(start.mean[:3], start.log_variance[:3])
    torch.testing.assert_close(
        annealed_importance(model.conditional, few, settings).log_weights,
        annealed_importance(model.conditional, start, settings).log_weights[:3],
    )


def test_stacked_models_score_as_each_alone() -> None:
    """Three models of different σ and decoder on a leading axis, on their own simulated data, both directions."""
    sigmas = (0.1, 0.3, 1.0)
    members = [likelihoods.make("gaussian", sigma=sigma) for sigma in sigmas]
    stacked = stack(members)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, LATENT, DIMS, generator=generator, dtype=torch.float64)

    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z.flatten(1, -2) @ weight).unflatten(1, z.shape[1:-1])

    z, x = simulate(decode, stacked, prior((3, 18), LATENT, torch.float64))
    start = Posterior(0.5 * z, torch.full_like(z, -0.5))
    settings = Annealing(6, chains=5, leapfrog_steps=2)
    together = sandwich(
        lambda z, rows: stacked.log_prob(x[:, rows].unsqueeze(-2), decode(z)), start, z, settings, rows=100
    )
    for m, lik in enumerate(members):

        def conditional(z: Tensor, rows: slice, m: int = m, lik: likelihoods.Likelihood = lik) -> Tensor:
            return lik.log_prob(x[m, rows].unsqueeze(-2), torch.tanh(z @ weight[m]))

        own = Posterior(start.mean[m], start.log_variance[m])
        alone = sandwich(conditional, own, z[m], settings)
        for one, other in zip((*together.forward, *together.reverse), (*alone.forward, *alone.reverse), strict=True):
            torch.testing.assert_close(one[m], other, rtol=1e-6, atol=1e-6)


# -- edges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_where_ln_p_is_not_finite_the_density_counts_as_zero(nothing: float) -> None:
    """p(x|z) = e^z on z < 0.5: ∫ = e^{½} Φ(−0.5)."""

    def cut(z: Tensor, rows: slice) -> Tensor:
        return torch.where(z[..., 0] < 0.5, z[..., 0], nothing)

    estimate = annealed_importance(cut, prior((5,), 1, torch.float64), Annealing(40, chains=200, leapfrog_steps=3))
    exact = 0.5 + math.log(0.5 * math.erfc(0.5 / math.sqrt(2)))
    assert ((estimate.log_likelihood - exact).abs() < 4.5 * estimate.standard_error).all()
    assert estimate.standard_error.max() < 0.2


@pytest.mark.parametrize("schedule", ais.SCHEDULES)
@pytest.mark.parametrize("distributions", [2, 3, 10, 1001])
def test_schedules_rise_from_0_to_1(schedule: str, distributions: int) -> None:
    betas = torch.tensor(Annealing(distributions, schedule=schedule).betas(), dtype=torch.float64)
    assert len(betas) == distributions
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (betas.diff() > 0).all()
    torch.testing.assert_close(betas, 1 - betas.flip(0))


def test_one_chain_has_no_standard_error() -> None:
    model = ppca(2)
    estimate = annealed_importance(model.conditional, model.starts["prior"], Annealing(5, chains=1, leapfrog_steps=1))
    assert estimate.standard_error.isnan().all()
    torch.testing.assert_close(estimate.ess, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(estimate.log_likelihood, estimate.log_weights[:, 0])


def test_gradients_are_computed_once_a_leapfrog_step_and_kept_out_of_the_result() -> None:
    model = ppca(2)
    calls = 0

    def counted(z: Tensor, rows: slice) -> Tensor:
        nonlocal calls
        calls += 1
        return model.conditional(z, rows)

    settings = Annealing(7, chains=3, leapfrog_steps=4)
    steps = torch.full((2, 5), 0.3, dtype=torch.float64)
    estimate = annealed_importance(counted, model.starts["prior"], settings, step_sizes=steps)
    assert calls == 1 + 5 * 4
    assert not any(tensor.requires_grad for tensor in estimate)


def test_bad_input_is_refused() -> None:
    for wrong, said in (
        ({"distributions": 1}, "give 2 or more"),
        ({"chains": 0}, "chains=0: give 1 or more"),
        ({"leapfrog_steps": 0}, "leapfrog_steps=0: give 1 or more"),
        ({"schedule": "cosine"}, r"unknown schedule 'cosine' \(allowed: sigmoid, linear\)"),
    ):
        with pytest.raises(ValueError, match=said):
            Annealing(**wrong)
    model = ppca(2)
    start = model.starts["prior"]
    with pytest.raises(ValueError, match=r"step_sizes have shape \[2, 4\], needed is \[2, 3\]"):
        annealed_importance(model.conditional, start, Annealing(5), step_sizes=torch.ones(2, 4))
    with pytest.raises(ValueError, match="give the z"):
        sandwich(model.conditional, start, model.z[:1], Annealing(5))
    with pytest.raises(ValueError, match="no distribution to draw from"):
        bdmc.simulate(lambda z: z, likelihoods.make("bce_sum"), start)
