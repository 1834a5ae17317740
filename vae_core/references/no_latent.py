"""A family's own best without a latent: one raw output and one set of learned scales for all images.

A likelihood with a latent that is below this one has learned nothing from its latent. As all images share the
parameters, the mean of their exact ln P is Σ_d Σ_k f_d(k) ln P_d(k), f the frequencies of the training images: a step
costs K·D masses, however many images there are. It is raised by L-BFGS (Liu & Nocedal 1989) from the raw output 0, in
float64, first with f drawn a little towards the uniform guess (by `PULLS` images), then with less of it; it ends when
`SPAN` steps gain less than `SETTLED`, or the validation images gain nothing in as many; where it is cut before that,
its label says so. Of all that was on the way, in all settings of the family that are tried, what the validation images
have best is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from vae_core import likelihoods
from vae_core.numerics import progress
from vae_core.references._base import ANY, Card, Fitted, Images, OfFamily, Sizes, require_room
from vae_core.references._tables import Floats, Tables, counted

if TYPE_CHECKING:
    from vae_core.likelihoods import Likelihood

#: scales that are the same one number where there is one raw output: an image's, and the closed form of a batch's
SAME_WITHOUT_LATENT = {"image": "shared", "optimal": "shared"}
PULLS = (1.0, 0.01)
SPAN, SETTLED = 10, 1e-4  # steps, bits/dim
MASSES = 1.2e7  # of a fit at most: it takes that many over K·D steps, `FEWEST` to `MOST`
FEWEST, MOST = 300, 400
LARGE = 50_000  # of K·D, from which on one pull has to do
NOT_SETTLED = " (not settled)"
CHUNK = 2e6  # raw outputs that are looked at together


class NoLatent(OfFamily):
    card = Card(
        title="no latent",
        summary="The family's own best where all images get the same parameters: what is above it is bought by the "
        "latent and the network.",
        source="L-BFGS: Liu & Nocedal 1989, On the limited memory BFGS method for large scale optimization",
    )

    @classmethod
    def seconds(cls, sizes: Sizes) -> float:
        table = sizes.dims * sizes.levels
        return ANY + 8e-8 * max(FEWEST * table, MASSES)

    def fit(self, images: Images) -> Fitted:
        require_room(images)
        valid = counted(images.valid, images.levels)
        valid /= len(images.valid)
        best: Best | None = None
        tried: dict[str, float] = {}
        for setting in self.apart():
            for pull, reached in self.course(setting, images, valid):
                bits = -reached.value / (valid.shape[0] * math.log(2))
                tried[self.said(setting)] = round(min(bits, tried.get(self.said(setting), math.inf)), 4)
                if best is None or reached.value > best.value:
                    best, chosen, details = (
                        reached,
                        setting,
                        {"pull": pull, "steps": reached.steps, "ended": reached.ended},
                    )
        if best is None:
            raise ValueError(f"no setting of {self.family} has finite masses without a latent")
        label = f"{' '.join(filter(None, [self.family, self.said(chosen)]))}, no latent"
        label += NOT_SETTLED if best.ended == "limit" else ""
        tables = Tables(np.zeros(1), best.masses[None])
        return Fitted(tables, label, {**details, "validation bits/dim by setting": tried}, chosen)

    def apart(self) -> list[dict[str, Any]]:
        """The settings that differ where there is no latent, each as it is made. A number for σ is no better than a
        learned one: where that is tried with the same other options, numbers are left out."""
        made = [{key: SAME_WITHOUT_LATENT.get(value, value) for key, value in given.items()} for given in self.settings]
        learned = [_without_sigma(setting) for setting in made if isinstance(setting.get("sigma"), str)]
        left = [s for s in made if not isinstance(s.get("sigma"), float | int) or _without_sigma(s) not in learned]
        return [setting for place, setting in enumerate(left) if setting not in left[:place]]

    @staticmethod
    def said(setting: Mapping[str, Any]) -> str:
        """`σ=pixel link=sigmoid`, as labels have it."""
        ordered = sorted(setting.items(), key=lambda item: (item[0] != "sigma", item[0]))
        return " ".join(f"{'σ' if key == 'sigma' else key}={value}" for key, value in ordered)

    def course(self, setting: Mapping[str, Any], images: Images, valid: Floats) -> Iterator[tuple[float, Best]]:
        """Where a setting comes to, by each pull; nothing where its masses are not finite."""
        levels = images.levels
        needed = {"levels": levels} if likelihoods.get(self.family).takes_levels else {}
        likelihood = likelihoods.make(self.family, **setting, **needed)
        counts, count = counted(images.train, levels), len(images.train)
        likelihood.initialise(_spread(counts))
        problem = Problem(likelihood, *counts.shape)
        for pull in PULLS if counts.size < LARGE else PULLS[:1]:
            best = problem.raised((counts + pull / levels) / (count + pull), valid)
            if best:
                yield pull, best


class Best(NamedTuple):
    """What validation images have best of a fit: their mean ln P, after how many steps, and ln P_d(k) [D, K]. The fit
    ended "settled", or by the "limit" of its steps, where more of them may be better."""

    value: float
    steps: int
    masses: Floats
    ended: str = "settled"


class Problem:
    """A likelihood's parameters as one vector: its raw output [R] for D dimensions, then the scales that it learns."""

    def __init__(self, likelihood: Likelihood, dims: int, levels: int) -> None:
        self.likelihood, self.dims, self.levels = likelihood, dims, levels
        self.raw = torch.zeros(likelihood.outputs(dims), dtype=torch.float64, requires_grad=True)
        self.tensors = [self.raw, *likelihood.parameters()]
        self.at: Floats = torch.cat([tensor.detach().reshape(-1).double() for tensor in self.tensors]).numpy()

    def raised(self, frequencies: Floats, valid: Floats) -> Best | None:
        """Raises Σ_d Σ_k f_d(k) ln P_d(k) from where it is, to its end; gives the best by the same sum with the
        frequencies `valid` on the way, the start among it; None where it is finite nowhere."""
        from scipy.optimize import minimize

        weights = torch.from_numpy(frequencies)
        most = int(min(MOST, max(FEWEST, MASSES / frequencies.size)))
        values: list[float] = []
        best: Best | None = None

        def loss(at: Floats) -> tuple[float, Floats]:
            value, slope = self._value(at, weights)
            progress.made()
            return (-value / self.dims, -slope / self.dims) if math.isfinite(value) else (math.inf, 0 * slope)

        def judge(at: Floats) -> None:
            nonlocal best
            masses = self.masses(at)
            value = float((valid * masses).sum())
            if math.isfinite(value) and np.isfinite(masses).all() and (best is None or value > best.value):
                best = Best(value, len(values), masses)

        def step(intermediate_result: Any) -> None:
            self.at = np.array(intermediate_result.x)
            values.append(float(intermediate_result.fun))
            judge(self.at)
            settled = len(values) > SPAN and values[-1 - SPAN] - values[-1] < SETTLED * math.log(2)
            if settled or (best and len(values) - best.steps >= SPAN):
                raise StopIteration

        judge(self.at)
        options = {"maxiter": most, "maxfun": 2 * most, "maxcor": 20, "ftol": 0, "gtol": 1e-12}
        found = minimize(loss, self.at, jac=True, method="L-BFGS-B", callback=step, options=options)
        if best and found.status == 1:  # as many steps or masses as it may take
            return best._replace(ended="limit")
        return best

    def masses(self, at: Floats) -> Floats:
        """ln P_d(k) [D, K] of the parameters `at`."""
        self._write(at)
        with torch.no_grad():
            parts = [self.likelihood.log_masses(k, self.raw[None], self.levels) for k in self._levels()]
        table: Floats = torch.cat([part.expand(-1, self.dims) for part in parts]).T.contiguous().numpy()
        return table

    def _value(self, at: Floats, weights: torch.Tensor) -> tuple[float, Floats]:
        """Σ_d Σ_k f_d(k) ln P_d(k) with its gradient, some levels at a time."""
        self._write(at)
        total = 0.0
        for tensor in self.tensors:
            tensor.grad = None
        for k in self._levels():
            masses = self.likelihood.log_masses(k, self.raw[None], self.levels)
            value = (masses * weights[:, k[:, 0]].T).sum()
            value.backward()
            total += float(value.detach())
        slopes = [torch.zeros_like(t) if t.grad is None else t.grad for t in self.tensors]
        return total, torch.cat([slope.reshape(-1).double() for slope in slopes]).numpy()

    def _levels(self) -> Iterator[torch.Tensor]:
        """All levels as integers [some, D]."""
        some = max(1, int(CHUNK / max(self.dims, len(self.raw))))
        for part in torch.arange(self.levels).split(some):
            yield part[:, None].expand(-1, self.dims)

    def _write(self, at: Floats) -> None:
        given = torch.from_numpy(np.array(at))
        with torch.no_grad():
            for tensor, part in zip(self.tensors, given.split([t.numel() for t in self.tensors]), strict=True):
                tensor.copy_(part.reshape(tensor.shape))


def _without_sigma(setting: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in setting.items() if key != "sigma"}


def _spread(counts: Floats) -> float:
    """The standard deviation of values (k + ½)/K about their dimension's mean, as training starts a scale at."""
    levels = counts.shape[1]
    value = (np.arange(levels) + 0.5) / levels
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ value
    return float(np.sqrt(max((shares @ value**2 - mean**2).mean(), 0.0)))
