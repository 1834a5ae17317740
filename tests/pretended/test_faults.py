"""What a GPU would not forgive, planted into the code as it stands: each is caught by a test that is named here.

A test that lets its fault pass is worth nothing, so each is first seen to pass without it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.pretended import test_budgets as budgets
from tests.pretended import test_evaluation as evaluation
from tests.pretended import test_training as training
from tests.pretended.faults import planted
from vae_core.evaluate import importance, pareto, proposals
from vae_core.laws import where_used
from vae_core.networks import _places
from vae_core.training import loop, noise
from vae_core.training.adam import Adam
from vae_core.training.trainer import Trainer

refine, pictures = (sys.modules[f"vae_core.evaluate.{name}"] for name in ("refine", "pictures"))

# -- the tests that catch them -----------------------------------------------------------------------------------------


def of_a_step() -> None:
    budgets.test_a_step_reads_nothing_and_copies_nothing("folk recipes")


def of_a_step_with_a_warm_up() -> None:
    budgets.test_a_step_reads_nothing_and_copies_nothing(
        "several samples, a warm-up, free bits, averaged weights, dropout"
    )


def of_training() -> None:
    training.test_training_gives_the_cpu_s_numbers_to_the_bit("folk recipes")


def of_a_warm_up() -> None:
    training.test_training_gives_the_cpu_s_numbers_to_the_bit(
        "several samples, a warm-up, free bits, averaged weights, dropout"
    )


def of_maps() -> None:
    training.test_training_gives_the_cpu_s_numbers_to_the_bit("maps")


def of_validation() -> None:
    budgets.test_a_validation_pass_reads_nothing()


def of_validations() -> None:
    budgets.test_a_validation_waits_thrice_and_once_more_for_exact_masses()


def _model() -> budgets.Model:
    return budgets.Model()


def of_importance() -> None:
    budgets.test_an_importance_pass_reads_nothing(_model(), 7, 16, 1 << 9, True)


def of_refinement() -> None:
    budgets.test_a_refinement_copies_its_directions_once(_model(), "diagonal", 100)


def of_gaps() -> None:
    budgets.test_gaps_copy_directions_and_judges(_model())


def of_pictures() -> None:
    budgets.test_pictures_are_copied_once_each(_model())


def of_checks() -> None:
    budgets.test_checks_wait_as_often_for_many_images_as_for_few()


def of_an_assessment() -> None:
    evaluation.test_an_assessment_is_the_cpu_s_to_the_bit("levels' own")


@dataclass(frozen=True)
class Fault:
    owner: Any
    name: str  #: of the function
    line: str
    instead: str
    caught_by: Callable[[], None]
    said: str  #: a part of what the failed test says
    error: type[BaseException] = AssertionError


OTHER_DEVICE = "Expected all tensors to be on the same device"
CAPTURE = "training goes on without a captured graph: operation not permitted when stream is capturing"
FAULTS = {
    # a forgotten .to
    "judges stay on the CPU": Fault(
        refine, "elbo", ".to(q.mean.device)", "", of_gaps, OTHER_DEVICE, RuntimeError
    ),
    "z of pictures stays on the CPU": Fault(
        pictures, "pictures", ".to(raw.device)", "", of_pictures, OTHER_DEVICE, RuntimeError
    ),
    "a sum that is begun on the CPU": Fault(
        loop, "_mean", ", device=batches[0].device", "", of_validation, OTHER_DEVICE, RuntimeError
    ),
    "components of a mixture on the CPU": Fault(
        proposals.Mixture, "__post_init__", "torch.tensor(column, device=device)", "torch.tensor(column)",
        of_importance, OTHER_DEVICE, RuntimeError,
    ),
    "a likelihood looked at where it lies": Fault(
        _places, "places_of", '.to("cpu")', "", of_maps, OTHER_DEVICE, RuntimeError
    ),
    "moments of Adam on the CPU": Fault(
        Adam, "__init__", "[torch.zeros_like(tensor.detach()) for tensor in self._tensors]\n    self._second",
        "[torch.zeros_like(tensor.detach(), device='cpu') for tensor in self._tensors]\n    self._second",
        of_training, OTHER_DEVICE, RuntimeError,
    ),
    # values that the host reads
    ".item() in a step": Fault(
        Trainer, "_work", "self._sum += value", "self._sum += value * (value.sum().item() != 0)", of_a_step,
        "(0, 0, 0)",
    ),
    ".item() in a step, which ends its capture": Fault(
        Trainer, "_work", "self._sum += value", "self._sum += value * (value.sum().item() != 0)", of_training, CAPTURE,
        RuntimeWarning,
    ),
    "a condition in a step": Fault(
        Trainer, "_work", "self._taken += 1", "self._taken += 1 if value.isnan().any() else 1", of_a_step, "(0, 0, 0)",
    ),
    "a mask as an index in a step": Fault(
        Trainer, "_work", "self._sum += value", "self._sum[value == value] += value[value == value]", of_a_step,
        "(0, 0, 0)",
    ),
    "a mask as an index in a pass": Fault(
        importance, "_score", "score.double()", "score.double()\n"
        "            scores[key][scores[key].isnan()] = 0.0", of_importance, "(0, 0, 0)",
    ),
    "a number of the device as an index": Fault(
        pareto.Tail, "khat", "return pareto_khat(", "self._held = self._held[..., self._held[0].argmax() * 0 :]\n"
        "    return pareto_khat(", of_importance, "(0, 0, 0)",
    ),
    "the worst pair by a number of the device": Fault(
        where_used._Worst, "take", "raw.index_select(0, worst)[0]", "raw[worst[0]]", of_checks, "(2, 0, 7)",
    ),
    ".tolist() in the loop of a refinement": Fault(
        refine, "_ascend", "reach = reach * torch.where(good, 2.0, 0.25)",
        "reach = reach * torch.where(good, 2.0, 0.25)\n        good.tolist()", of_refinement, "(0, 1, 0)",
    ),
    "a look at each batch of a validation": Fault(
        loop, "_mean", "total += each.sum(1)", "total += each.sum(1)\n        float(total[0])", of_validation,
        "(0, 0, 0)",
    ),
    "one wait more at each validation": Fault(
        loop, "_validate_all", "means, each = _mean(batches).tolist(), torch.cat(batches, 1).cpu()",
        "means, each = _mean(batches).tolist(), torch.cat(batches, 1).cpu()\n    _mean(batches).cpu()", of_validations,
        "[0.0, 1.0, 4.0]",
    ),
    # copies
    ".cpu() in a step": Fault(
        Trainer, "_work", "self._sum += value", "self._sum += value.cpu().to(value.device)", of_a_step, "(0, 0, 0)"
    ),
    "a constant made in a step": Fault(
        Trainer, "_work", "self._sum += value", "self._sum += value * torch.tensor(1.0, device=value.device)",
        of_a_step, "(0, 0, 0)",
    ),
    "a list as an index in a step": Fault(
        Trainer, "_work", "self._sum += value", "self._sum += value[list(range(len(value)))]", of_a_step, "(0, 0, 0)"
    ),
    "a numpy round trip in a pass": Fault(
        importance, "_score", "score.double()",
        "torch.from_numpy(score.cpu().numpy()).double().to(z.device)", of_importance, "(0, 0, 0)",
    ),
    "directions copied for each block": Fault(
        refine, "_ascend", "in enumerate(looks):", "in enumerate(looks.cpu().to(q.mean.device)):", of_refinement,
        "(0, 1, 0)",
    ),
    # the host's random numbers, or in the host's order
    "a generator of the CPU": Fault(
        noise.Streams, "__init__", 'generator_for(device, purpose, "eps", seed)',
        'generator_for("cpu", purpose, "eps", seed)', of_training, "'gpu' device type for generator", RuntimeError,
    ),
    "a permutation of the CPU": Fault(
        noise.Streams, "permutations", "generator=g, device=self.device", "generator=torch.Generator()", of_a_step,
        "(0, 0, 0)",
    ),
    "noise of the CPU": Fault(
        noise.Streams, "fill", "of_seed.normal_(generator=generator)", "of_seed.copy_(torch.randn(of_seed.shape))",
        of_a_step, "(0, 0, 0)",
    ),
    "noise of another stream": Fault(
        noise.Streams, "fill", "of_seed.normal_(generator=generator)", "of_seed.normal_()", of_training,
        "Not equal to tolerance",
    ),
    # a graph is not the program
    "a number of the program in a graph": Fault(
        Trainer, "_work", "(self._taken + ahead)", "(self._summed - 1 + ahead)", of_a_warm_up, "Not equal to tolerance"
    ),
    "indices that are put elsewhere": Fault(
        Trainer, "step", "self._index.copy_(index)", "self._index = index.contiguous()", of_training,
        "Not equal to tolerance",
    ),
    "noise that is put elsewhere": Fault(
        Trainer, "step", "self._streams.fill(self._noise)",
        "self._noise = self._streams.noise(self.batch, self.data.dims, self.schedule.train_samples, self.latent)",
        of_training, "Not equal to tolerance",
    ),
    "weights that are put elsewhere": Fault(
        Trainer, "_work", "self._sum += value", "self._sum = self._sum + value", of_training, "Not equal to tolerance"
    ),
    "noise drawn in a graph": Fault(
        Trainer, "_work", "    kept = {", "    self._streams.fill(self._noise)\n    kept = {", of_training,
        CAPTURE, RuntimeWarning,
    ),
}  # fmt: skip

CATCHERS = {fault.caught_by for fault in FAULTS.values()}


@pytest.mark.parametrize("test", sorted(CATCHERS, key=str))
def test_without_a_fault_nothing_is_caught(test: Callable[[], None]) -> None:
    test()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.filterwarnings("ignore:training goes on without a captured graph")
def test_a_planted_fault_is_caught(name: str) -> None:
    fault = FAULTS[name]
    with contextlib.ExitStack() as stack:
        stack.enter_context(planted(fault.owner, fault.name, fault.line, fault.instead))
        caught = stack.enter_context(pytest.raises(fault.error))
        fault.caught_by()
    assert fault.said in " ".join(str(caught.value).split())
