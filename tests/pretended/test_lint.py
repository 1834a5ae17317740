"""Forward passes on fake tensors of cuda:0: of a training step, and of all that scores, for every family in every
setting of its laws; of an importance pass from fitted proposals, of the checks where masses are used. And faults that
are planted there, each found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.pretended.faults import planted
from tests.pretended.images import tiny
from tests.pretended.lint import CUDA, fakes, linted
from tests.vae_core.likelihoods.cases import few_and_coupled
from vae_core import laws, likelihoods, networks
from vae_core.evaluate import calibration, latents
from vae_core.evaluate.importance import _Groups, _score
from vae_core.evaluate.pareto import Tail
from vae_core.evaluate.programs import AtOnce
from vae_core.evaluate.proposals import Gaussian
from vae_core.evaluate.refine import defensive
from vae_core.laws.setting import seen
from vae_core.laws.where_used import _Worst, sums
from vae_core.likelihoods import Likelihood, stack, told
from vae_core.networks import Architecture, places_of_each
from vae_core.objectives import Posterior
from vae_core.training import Member, Noise, Schedule
from vae_core.training import program as program_module
from vae_core.training.program import BundleProgram

SHAPE, DIMS, IMAGES = (2, 1, 3), 6, 6
SIDES = (4, 4)  #: of images that networks of maps can be built for
#: whose masses of all levels are adaptive integrals, which look at numbers (tests/pretended/test_families.py)
ADAPTIVE = [make for make in laws.settings(likelihoods.get("gaussian")) if make.options.get("channels") == "coupled"]
MLP = Architecture((6,), "tanh", 2)
SETTINGS = [pytest.param(case.setting, id=str(case)) for case in few_and_coupled()]


def require_clean(work: Callable[[], Any]) -> None:
    found, operations = linted(work)
    assert found == []
    assert operations > 0


def step_of(
    make: laws.Setting, objective: str, network: Architecture = MLP, shape: tuple[int, ...] = SHAPE
) -> Callable[[], Any]:
    """The forward part of a step of two models, two samples each; to be called among fakes."""
    members = [Member(make(5), objective, seed=seed, free_bits=0.1, kl_weight=2.0) for seed in (0, 1)]
    schedule = Schedule(1, 8, 1e-3, train_samples=2)
    program = BundleProgram(members, network, schedule, tiny(shape=shape), "cuda:0")
    dims = math.prod(shape)
    noise = Noise(
        torch.rand(2, 8, dims, device=CUDA),
        torch.randn(2, 8, 2, network.latent, device=CUDA),
        of_encoder=torch.rand(2, 8, program.randomness[0], device=CUDA) if program.randomness[0] else None,
        of_decoder=torch.rand(2, 16, program.randomness[1], device=CUDA) if program.randomness[1] else None,
    )
    k = torch.zeros(2, 8, dims, dtype=torch.uint8, device=CUDA)
    warmed = torch.ones(2, 1, device=CUDA)
    return lambda: program.objectives(k, noise, training=True, warmed=warmed)


@pytest.mark.parametrize("make", SETTINGS)
def test_a_step_of_every_family_can_be_captured_as_far_as_its_forward_pass(make: laws.Setting) -> None:
    with fakes():
        for objective in make(5).objectives:
            if not make(5).refusal(objective):
                require_clean(step_of(make, objective))


@pytest.mark.parametrize("network", networks.names())
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_step_of_every_network_too(network: str, dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    make = next(laws.settings(likelihoods.get("logistic_mixture")))
    places = places_of_each([make(5)] * 2, SIDES, 5)  # found by numbers, which fakes have none of
    monkeypatch.setattr(program_module, "places_of_each", lambda *_: places)
    asked = Architecture((6,), "relu", 2, network=network, widths=(4,), dropout=dropout)
    with fakes():
        require_clean(step_of(make, "own", asked, SIDES))


def scorers(make: laws.Setting) -> dict[str, Callable[[], Any]]:
    """All that scores images, to be called among fakes."""
    levels = 2 if make(2).view == "binary" else 5
    lik: Likelihood = told(stack([make(levels)]).to(CUDA).select(0), SHAPE).unchecked()
    k = torch.zeros(IMAGES, DIMS, dtype=torch.long, device=CUDA)
    raw = torch.randn(IMAGES, lik.outputs(DIMS), device=CUDA)
    x = seen(lik, k, levels)
    found: dict[str, Callable[[], Any]] = {
        "mass": lambda: lik.log_mass(k.unsqueeze(1), raw.unsqueeze(1).expand(-1, 3, -1), levels),
        "prob": lambda: lik.log_prob(x, raw),
        "mean": lambda: lik.mean(raw),
        "sums": lambda: sums(lik, raw, k, levels),
        "calibration": lambda: calibration(k, raw, lik, levels),
    }
    if lik.has_density:
        found["density"] = lambda: lik.log_density(x, raw, levels)
    if (closed := lik.renormalised()) is not None:
        found["renormalised"] = lambda: closed.log_mass(k, raw, levels)
    return found


@pytest.mark.parametrize("make", SETTINGS)
def test_what_scores_waits_for_nothing(make: laws.Setting) -> None:
    with fakes():
        first = make == next(laws.settings(make.family))
        for name, work in scorers(make).items():
            if name in ("sums", "calibration") and (make in ADAPTIVE or not first):
                continue  # of the others the same table is made by the same lines
            require_clean(work)


# -- passes ------------------------------------------------------------------------------------------------------------


def importance_pass() -> Callable[[], Any]:
    """A tile of an importance pass from fitted proposals, and what is made of its weights."""
    lik = likelihoods.make("gaussian", sigma="pixel").to(CUDA)
    k, widen = torch.zeros(IMAGES, DIMS, dtype=torch.uint8, device=CUDA), torch.randn(2, lik.outputs(DIMS), device=CUDA)
    q = Posterior(torch.randn(IMAGES, 2, device=CUDA), torch.zeros(IMAGES, 2, device=CUDA))
    proposal = defensive(Gaussian.diagonal(q.mean, q.log_variance), q)
    eps, uniform = torch.randn(IMAGES, 64, 2, device=CUDA), torch.rand(IMAGES, 64, device=CUDA)

    def work() -> Any:
        some = proposal.rows(slice(0, IMAGES))
        z, ratio = some.draw(eps, uniform)
        masses = AtOnce({"": lambda raw, rows: lik.log_mass(k[rows].unsqueeze(1), raw, 5)})
        scores = _score(z, lambda z: z @ widen, masses, slice(0, IMAGES), 1 << 10)
        like = q.mean[..., 0].double()
        tail, groups = Tail(64, like), [_Groups(size, like, 64) for size in (1, 8, 64)]
        log_weights = scores[""] + ratio
        tail.push(log_weights)
        for group in groups:
            group.push(log_weights)
        return tail.khat(), tail.jackknife(), [(g.bound(), g.standard_error()) for g in groups], groups[-1].ess()

    return work


def checks() -> Callable[[], Any]:
    """The worst of some pairs."""
    worst = _Worst(torch.full((2,), -1.0, dtype=torch.float64, device=CUDA))
    badness, raw, where = (torch.rand(9, device=CUDA), torch.rand(9, 4, device=CUDA), torch.rand(9, device=CUDA))

    def work() -> None:
        worst.take(badness, raw, where)
        worst.take(badness, raw, where)

    return work


def step() -> Callable[[], Any]:
    return step_of(next(laws.settings(likelihoods.get("gaussian"))), "dequantised")


def score() -> Callable[[], Any]:
    return scorers(next(laws.settings(likelihoods.get("truncated_gaussian"))))["mass"]


def of_latents() -> Callable[[], Any]:
    mean = torch.randn(IMAGES, 2, device=CUDA)
    return lambda: latents(mean, torch.zeros_like(mean))


PASSES = [importance_pass, checks, step, score, of_latents]


@pytest.mark.parametrize("make", PASSES)
def test_passes_wait_for_nothing(make: Callable[[], Callable[[], Any]]) -> None:
    with fakes():
        require_clean(make())


PLANTED: dict[str, tuple[Any, str, str, str, Callable[[], Callable[[], Any]], str]] = {
    ".item() in a step": (
        BundleProgram, "objectives", "values.append(", "z.sum().item()\n        values.append(", step, "read by",
    ),
    "a condition in a step": (
        BundleProgram, "objectives", "values.append(",
        "likelihood = likelihood if z.isnan().any() else group.likelihood\n        values.append(", step, "read by",
    ),
    "a mask as an index in a step": (
        BundleProgram, "objectives", "values.append(", "z[z > 0]\n        values.append(", step, "read by",
    ),
    ".cpu() in a step": (
        BundleProgram, "objectives", "values.append(", "z.cpu()\n        values.append(", step, "copy by _to_copy",
    ),
    "a constant made in a step": (
        BundleProgram, "objectives", "values.append(",
        "torch.tensor(1.0, device=z.device)\n        values.append(", step, "copy by _to_copy",
    ),
    "a permutation of the CPU in a step": (
        BundleProgram, "objectives", "values.append(",
        "z[torch.randperm(len(z))]\n        values.append(", step, "copy of an index",
    ),
    "a tensor of the CPU in a step": (
        BundleProgram, "objectives", "values.append(", "z + torch.zeros(2)\n        values.append(", step,
        "mixed devices",
    ),
    "a number of the device as an index": (
        _Worst, "take", "raw.index_select(0, worst)[0]", "raw[worst[0]]", checks, "read by",
    ),
    "a tail put together on the CPU": (
        Tail, "push", "log_weights.double()", "log_weights.double().cpu()", importance_pass, "copy by",
    ),
    "a width that is a constant of each call": (
        likelihoods.get("truncated_gaussian"), "_log_area", "loc.new_full((), float(high - low))",
        "torch.as_tensor(high - low, dtype=loc.dtype, device=loc.device)", score, "copy by _to_copy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    owner, function, line, instead, make, said = PLANTED[name]
    with fakes():
        work = make()
        work()
        with planted(owner, function, line, instead):
            found, _ = linted(work)
    assert any(said in one for one in found), found
