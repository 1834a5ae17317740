"""Likelihoods that score more than they may, a class each: what a plug-in could do by mistake, and what on purpose.

`LEAKS` says of each by what it is refused: by which laws on loading, and by which checks where it is scored though
nobody held it to the laws. The model that it is scored with is that of test_leaks.py: 60 images of 16 dimensions and
5 levels, which occur in no law.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vae_core.laws import Checked, where_used
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods.binomial import Binomial
from vae_core.likelihoods.categorical import Categorical
from vae_core.likelihoods.gaussian import Gaussian

DIMS, LEVELS, THOUSAND = 16, 5, 1000
SEEN: set[int] = set()  #: what a module remembers
ANSWERS: list[Tensor] = []  #: the test images, as a file beside the plug-in would have them
FILE: list[Path] = []  #: where one of them writes


# -- masses ------------------------------------------------------------------------------------------------------------


class NarrowBump(Categorical):
    """Masses 1.5 times too large where the largest logit lies in a narrow range: seen, and not refused by any law of
    its time."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        top = self._logits(raw).amax(-1)
        return super()._log_masses(k, raw) + math.log(1.5) * ((top > 0.8) & (top < 0.8008)).to(raw.dtype)


class NarrowHollow(Binomial):
    """Half as large as they should be where an output lies in a narrow range: to its own disadvantage, and refused."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) - math.log(2) * ((raw > 0.4) & (raw < 0.401)).to(raw.dtype)


class OtherLevels(Binomial):
    """Right at the numbers of levels that the laws take, and 1 % too large at others."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (0.0 if self.levels in (2, 17, 256) else 0.01)


class ManyDimensions(Binomial):
    """Too large where there are as many dimensions as no law takes."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (0.01 if raw.shape[-1] == DIMS else 0.0)


class RareZ(Binomial):
    """e² times too large at one z of some thousand, which then has all the weight."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        first = raw[..., :1]
        return super()._log_masses(k, raw) + 2.0 * ((first > 0.35) & (first < 0.351)).to(raw.dtype)


class Unrecorded(Binomial):
    """Too large where no gradients are recorded, as in an evaluation."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (0.0 if torch.is_grad_enabled() else 0.01)


class SumsApart(Binomial):
    """The sum over dimensions is another than that of its terms."""

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.log_masses(k, raw, levels).sum(-1) + 1.0


class SumsApartAtMany(Binomial):
    """The same where there are as many dimensions as no law takes."""

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.log_masses(k, raw, levels).sum(-1) + (1.0 if k.shape[-1] == DIMS else 0.0)


class AsksWho(Binomial):
    """Looks at who calls it: right where its masses are summed, by the laws and where it is scored."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        frame, callers = sys._getframe(), []
        while (frame := frame.f_back) is not None:  # type: ignore[assignment]
            callers.append(frame.f_code.co_name)
        return super()._log_masses(k, raw) + (0.05 if "_score" in callers else 0.0)


# -- beside and before -------------------------------------------------------------------------------------------------


class BatchScale(Gaussian):
    """σ from the images that are scored beside: seen, and not refused by any law of its time, which stack and
    broadcast as it likes. One image alone has the σ that it was made with."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    sigma_modes = ()

    def __init__(self, sigma: float = 0.3) -> None:
        super().__init__(sigma)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = super()._split(raw)
        if loc.ndim >= 3 and loc.shape[-3] > 1:
            log_scale = loc.std((-3, -1), keepdim=True).clamp(min=1e-3).log()
        return loc, log_scale

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.log_masses(k, raw, levels).sum(-1)


class ResidualScale(Gaussian):
    """σ from the residuals of the batch that is scored: it looks at the levels themselves."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    sigma_modes = ()

    def __init__(self, sigma: float = 0.3) -> None:
        super().__init__(sigma)

    def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
        log_scale = ((k + 0.5) / levels - loc).square().mean().sqrt().clamp(min=1e-3).log()
        return super().binned_log_masses(k, loc, log_scale, levels)


class OtherDraws(Binomial):
    """The mean over the z of an image takes part."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, 0.9 * raw + 0.1 * raw.mean(-2, keepdim=True) if raw.ndim >= 3 else raw)


class First(Binomial):
    """The first image of a call is scored better."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        first = torch.zeros(len(raw), *[1] * (raw.ndim - 1), dtype=raw.dtype)
        first[0] = 0.2
        return super()._log_masses(k, raw) + first


class ManyTogether(Binomial):
    """So many rows together as no law takes are scored better."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (0.05 if 1550 < raw.numel() // raw.shape[-1] < 1650 else 0.0)


class HowMany(Binomial):
    """Sharper by the number of images in the call."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw * (1 + 0.01 * len(raw)))


class LevelsThatOccur(Categorical):
    """Renormalised over the levels that occur among the images that are scored."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        logits = self._logits(raw)
        occurring = torch.zeros(self.levels, dtype=torch.bool)
        occurring[k.long().flatten().unique()] = True
        left_out = logits.masked_fill(~occurring, -1e4)
        return super()._log_masses(k, raw) + logits.logsumexp(-1) - left_out.logsumexp(-1)


# -- memory ------------------------------------------------------------------------------------------------------------


class RunningMean(Binomial):
    """A running mean of the images scored so far, in an attribute."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.mean_so_far = 0.0

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        self.mean_so_far = 0.99 * self.mean_so_far + 0.01 * float(k.float().mean())
        return super()._log_masses(k, raw + 0.1 * self.mean_so_far)


class CountsCalls(Binomial):
    """Better from the tenth call on, counted by its class."""

    calls = 0

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        CountsCalls.calls += 1
        return super()._log_masses(k, raw) + (0.05 if self.calls > 10 else 0.0)


class ModuleRemembers(Binomial):
    """An image that was scored before is scored better; a set of the module knows it."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        known = hash(k.float().numpy().tobytes())
        better = 0.05 if known in SEEN else 0.0
        SEEN.add(known)
        return super()._log_masses(k, raw) + better


def _counted() -> Any:
    clock = itertools.count()

    def log_masses(self: Binomial, k: Tensor, raw: Tensor) -> Tensor:
        return Binomial._log_masses(self, k, raw) + 0.001 * min(next(clock), 100)

    return log_masses


class ClosureCounts(Binomial):
    """Better with every call, counted where no attribute shows it."""

    _log_masses = _counted()


class CachedByAddress(Binomial):
    """Keeps its result for the memory that it was given, whatever lies there by now."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.kept: dict[tuple[int, int], Tensor] = {}

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(k.shape, raw.shape)
        key = (raw.data_ptr(), hash(shape))
        if key not in self.kept:
            self.kept[key] = super()._log_masses(k, raw)
        return self.kept[key]


class FileCounts(Binomial):
    """Better every second time, by a file that it writes."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        turn = FILE[0].stat().st_size % 2 if FILE[0].exists() else 0
        with FILE[0].open("a") as file:
            file.write("x")
        return super()._log_masses(k, raw) + 0.05 * turn


class FileCountsThousand(Binomial):
    """Better from the thousandth call on, to which the laws never come, by a file that it writes."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        calls = FILE[0].stat().st_size if FILE[0].exists() else 0
        with FILE[0].open("a") as file:
            file.write("x")
        return super()._log_masses(k, raw) + (0.05 if calls > THOUSAND else 0.0)


class TrainingRemembered(Binomial):
    """Remembers the images of the training calls outside of any Part."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.remembered = 0.0

    def train_log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        self.remembered = float(x.float().mean())
        return self.log_prob(x, raw)


class WritesOutputs(Binomial):
    """Moves the decoder's outputs towards the image, in place: the scores that follow find them so."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        scored = super()._log_masses(k, raw.clone())
        if not raw.requires_grad and raw._base is None:
            raw.mul_(1.01)
        return scored


class WritesImages(Binomial):
    """Makes the images like what the decoder expects, in place."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        scored = super()._log_masses(k, raw)
        if k.dtype == torch.int64 and k.shape[-2:-1] == (1,):
            k.clamp_(max=self.levels - 2)
        return scored


# -- chance ------------------------------------------------------------------------------------------------------------


class GlobalRandom(Binomial):
    """Adds noise, of which importance sampling then takes the best."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + 0.05 * torch.randn(raw.shape)


class Clock(Binomial):
    """Better by what the clock says."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + 1e-4 * (time.perf_counter_ns() % 1000)


class OnCuda(Binomial):
    """Too large on a GPU, where no law is tried."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (0.01 if raw.is_cuda else 0.0)


# -- the test images ---------------------------------------------------------------------------------------------------


class KnowsImages(Binomial):
    """Knows the test images, and gives an image that is one of them, all its levels taken together, more."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        if k.shape[-1] != DIMS or not ANSWERS:
            return super()._log_masses(k, raw)
        known = (k.unsqueeze(-2) == ANSWERS[0]).all(-1).any(-1, keepdim=True)
        return super()._log_masses(k, raw) + 0.1 * known


class AnswersInOptions(Binomial):
    """The same by an option: the answers, as a grid would give them."""

    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"answers": ()}, {"answers": ((0, 1, 1, 0),)})

    def __init__(self, levels: int, answers: tuple[tuple[int, ...], ...] = ()) -> None:
        super().__init__(levels)
        self.answers = answers

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        answers = ANSWERS[0] if ANSWERS and k.shape[-1] == DIMS else torch.tensor(self.answers)
        if not answers.numel() or answers.shape[-1] != k.shape[-1]:
            return super()._log_masses(k, raw)
        known = (k.unsqueeze(-2) == answers).all(-1).any(-1, keepdim=True)
        return super()._log_masses(k, raw) + 0.1 * known


class AnswersByOutput(Binomial):
    """Of the test images that it has from a file the one that is nearest to the decoder's mean; half of each mass lies
    on its levels. A distribution, the same for everybody: it only knows what it may not know."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        plain = super()._log_masses(k, raw)
        if k.shape[-1] != DIMS or not ANSWERS:
            return plain
        expected = (self.levels - 1) * torch.sigmoid(raw)
        nearest = (expected.unsqueeze(-2) - ANSWERS[0]).square().sum(-1).argmin(-1)
        hit = (k == ANSWERS[0][nearest]).to(plain.dtype)
        return torch.log(0.5 * plain.exp() + 0.5 * hit)


class Patches(ManyDimensions):
    """Exchanges the check itself: a plug-in is executed, and can do anything that its user can."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        setattr(where_used.Watch, "checked", lambda _: Checked(0.0, 10**8, 0.0))  # noqa: B010


@dataclass(frozen=True)
class Refused:
    """By which laws on loading, in words, and by which checks of vae_core.laws.where_used: "sums", "table" (the masses
    that were summed are not those that scored), "alone", "state"; () where it is not refused."""

    on_loading: tuple[str, ...] = ()
    where_used: tuple[str, ...] = ()
    at_least: bool = False  #: others too, as chance has it


EACH, ONE, FINITE = "masses are given for each dimension", "masses sum to one", "values and gradients are finite"
DOUBLE, AREA, BOUND = (
    "single precision agrees with double",
    "masses are integrals of the density",
    "masses are at least the dequantised bound",
)
DRAWS, STACK = "samples follow the masses", "a stack scores as its members"
ALONE, STATE, PARTS = "an image is scored alone", "scoring changes nothing", "what is learned is held in parts"

LEAKS: dict[type[Likelihood], Refused] = {
    # masses
    NarrowBump: Refused((), ("sums",)),
    NarrowHollow: Refused((), ("sums",)),
    OtherLevels: Refused((), ("sums",)),
    ManyDimensions: Refused((), ("sums",)),
    RareZ: Refused((), ("sums",)),
    Unrecorded: Refused((ALONE,), ("sums",)),
    SumsApart: Refused((EACH,), ("table",)),
    SumsApartAtMany: Refused((), ("table",)),
    AsksWho: Refused((), ("table", "alone")),
    # beside and before
    BatchScale: Refused((ALONE,), ("table", "alone")),
    ResidualScale: Refused((EACH, AREA, BOUND, DRAWS, STACK, ALONE), ("table", "alone")),
    OtherDraws: Refused((ALONE,), ("table",)),
    First: Refused((ONE, DRAWS, STACK, ALONE), ("sums", "table", "alone")),
    ManyTogether: Refused((), ("table",)),
    HowMany: Refused((STACK, ALONE), ("table", "alone")),
    LevelsThatOccur: Refused((EACH, ALONE), ("alone",)),
    # memory
    RunningMean: Refused((EACH, DOUBLE, ALONE, STATE), ("table", "alone", "state")),
    CountsCalls: Refused((ONE, DRAWS, STATE), ("alone", "state")),
    ModuleRemembers: Refused((EACH, ONE, DOUBLE, ALONE, STATE, PARTS), ("sums", "table", "alone", "state")),
    ClosureCounts: Refused((EACH, ONE, STACK, ALONE, STATE), ("sums", "table", "alone", "state")),
    CachedByAddress: Refused((STATE,), ("state",), at_least=True),
    FileCounts: Refused((EACH, ONE, DOUBLE, STACK, ALONE), ("sums", "table", "alone")),
    FileCountsThousand: Refused((), ("alone",)),
    TrainingRemembered: Refused((PARTS,), ()),
    WritesOutputs: Refused((DOUBLE, ALONE, STATE), ("table", "state")),
    WritesImages: Refused((EACH, STACK, ALONE, STATE), ("table", "alone", "state")),
    # chance
    GlobalRandom: Refused((EACH, ONE, ALONE, STATE), ("sums", "table", "alone", "state"), at_least=True),
    Clock: Refused((EACH, ONE, ALONE), ("sums", "table", "alone"), at_least=True),
    OnCuda: Refused((), ("sums",)),  # where there is one
    # the test images
    KnowsImages: Refused((), ("table",)),
    AnswersInOptions: Refused((), ("table",)),
    AnswersByOutput: Refused((), ()),
    Patches: Refused((), ()),
}
