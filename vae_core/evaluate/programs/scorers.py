"""ln p(x|z) of given images under one likelihood, in each of the ways in which it is scored, or in several at once: by
a program where there is one, by the plain path everywhere else.
Axes: images n, samples C, dimensions D, raw R."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from vae_core.evaluate.programs.kept import Kept
from vae_core.evaluate.programs.kinds import ALL, ALONE, DENSITY, MASS, RENORMALISED, SLOPE, Kind, state_of
from vae_core.likelihoods import Likelihood
from vae_core.numerics.fused_functions import differentiable_once

Key = TypeVar("Key")
#: (raw [..., n, C, R], which images [n]) -> ln p(x|z) [..., n, C], nats
Scorer = Callable[[Tensor, slice], Tensor]

#: raw outputs on which a slope is held against the plain path, which keeps some hundred numbers for each: a program is
#: given many more at a time (vae_core.evaluate.scoring.points_at_once)
HELD_ON = 1 << 22


class Watching(Protocol):
    """Who looks at every score of masses."""

    def over(self, scorer: Scorer) -> Scorer: ...


class Scores:
    """Of the images k [N, D] of K levels, and the same dequantised, [N, D].

    Args:
        likelihood: a single one, that checks nothing.
        k: integers 0…K−1.
        unit: (k + u)/K; needed for densities.
        levels: K.
        kept: where programs are; None: the plain path alone.
        watch: sees the masses of every call.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        k: Tensor,
        unit: Tensor | None,
        levels: int,
        kept: Kept | None = None,
        watch: Watching | None = None,
    ) -> None:
        self._likelihood, self._k, self._unit, self._levels = likelihood, k, unit, levels
        self._closed = likelihood.renormalised()
        self._watch = watch
        kind = Kind(likelihood, k.shape[1], levels, k.device, k.dtype)
        self._kept = kept if kept is not None and kind.lawful and unit is not None else None
        self._results = kind.results
        self._names = {which: kind.name(which) for which in (ALL, SLOPE, ALONE)} if self._kept else {}
        self._state: list[Tensor] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways in which the likelihood can be scored: its mass first."""
        return self._results

    @property
    def has_slope(self) -> bool:
        return self._kept is not None and self._kept.has(self._names[SLOPE])

    def scorer(self, kind: str) -> Scorer:
        """One of them."""
        return One(self, kind)

    def __call__(self, kinds: Sequence[str], raw: Tensor, rows: slice) -> dict[str, Tensor]:
        """Some of them at one raw output [n, C, R] of the images in `rows`: each [n, C]."""
        if self._watch is None or MASS not in kinds:
            return self._scores(kinds, raw, rows)
        found: dict[str, Tensor] = {}

        def mass(raw: Tensor, rows: slice) -> Tensor:
            found.update(self._scores(kinds, raw, rows))
            return found[MASS]

        found[MASS] = self._watch.over(mass)(raw, rows)
        return found

    def _scores(self, kinds: Sequence[str], raw: Tensor, rows: slice) -> dict[str, Tensor]:
        if self._kept is not None and (found := self._by_program(self._kept, kinds, raw, rows)):
            return found
        return {kind: self._plain(kind, raw, rows) for kind in kinds}

    def _plain(self, kind: str, raw: Tensor, rows: slice) -> Tensor:
        if kind == DENSITY:
            assert self._unit is not None
            return self._likelihood.log_density(self._unit[rows].unsqueeze(1), raw, self._levels)
        lik = self._closed if kind == RENORMALISED else self._likelihood
        assert lik is not None
        return lik.log_mass(self._k[rows].unsqueeze(1), raw, self._levels)

    def _by_program(self, kept: Kept, kinds: Sequence[str], raw: Tensor, rows: slice) -> dict[str, Tensor]:
        """{} where there is none for it."""
        steep = torch.is_grad_enabled() and raw.requires_grad
        if raw.ndim != 3 or raw.dtype != torch.float32 or (steep and tuple(kinds) != (MASS,)):
            return {}
        able = (SLOPE,) if steep else (ALONE, ALL) if tuple(kinds) == (MASS,) else (ALL,)
        which = next((which for which in able if kept.has(self._names[which])), None)
        if which is None:
            return {}
        if steep:
            score: Tensor | None = _Sloped.apply(raw, self, kept, rows)
            return {} if score is None else {MASS: score}
        results = self._results if which == ALL else (MASS,)
        found = self._results_of(kept, which, results, raw, rows)
        return {kind: one for kind, one in zip(results, found or (), strict=False) if kind in kinds}

    def _results_of(
        self, kept: Kept, which: str, results: Sequence[str], raw: Tensor, rows: slice
    ) -> list[Tensor] | None:
        first = max(1, HELD_ON // raw[0].numel())
        if which == SLOPE and first < len(raw) and not kept.is_held(self._names[which]):
            begin = rows.indices(len(self._k))[0]
            if self._results_of(kept, which, results, raw[:first], slice(begin, begin + first)) is None:
                return None
        if self._state is None:
            self._state = list(state_of(self._likelihood, raw).values())
        given = [self._k[rows].contiguous()]
        if DENSITY in results and self._unit is not None:
            given.append(self._unit[rows].contiguous())
        inputs = [*self._state, *given, raw.detach().contiguous()]

        def plain() -> list[Tensor]:
            if which != SLOPE:
                return [self._plain(kind, inputs[-1], rows) for kind in results]
            with torch.enable_grad():
                inside = inputs[-1].detach().requires_grad_()
                score = self._plain(MASS, inside, rows)
                return [score.detach(), torch.autograd.grad(score.sum(), inside)[0]]

        return kept.carry_out(self._names[which], which, inputs, plain)


class _Sloped(torch.autograd.Function):
    """The mass of a program that gives its slope beside it."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, scores: Scores, kept: Kept, rows: slice) -> Tensor | None:
        found = scores._results_of(kept, SLOPE, (MASS,), raw, rows)
        if found is None:
            return None
        ctx.save_for_backward(found[1])
        return found[0]

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return given.unsqueeze(-1) * slope, None, None, None


@dataclass(frozen=True)
class One:
    """One way of scoring: a Scorer."""

    of: Scores
    kind: str

    def __call__(self, raw: Tensor, rows: slice) -> Tensor:
        return self.of((self.kind,), raw, rows)[self.kind]

    @property
    def slopes_by_program(self) -> bool:
        """Whether gradients in raw outputs come from a program, which keeps few numbers for each."""
        return self.kind == MASS and self.of.has_slope


class AtOnce(Generic[Key]):
    """Some scorers, all of them carried out at one raw output: those of one `Scores` by one call of it."""

    def __init__(self, scorers: Mapping[Key, Scorer]) -> None:
        self.keys = list(scorers)
        self._apart = {key: scorer for key, scorer in scorers.items() if not isinstance(scorer, One)}
        self._together: dict[int, list[tuple[Key, One]]] = {}
        for key, scorer in scorers.items():
            if isinstance(scorer, One):
                self._together.setdefault(id(scorer.of), []).append((key, scorer))

    def __call__(self, raw: Tensor, rows: slice) -> dict[Key, Tensor]:
        found = {key: scorer(raw, rows) for key, scorer in self._apart.items()}
        for group in self._together.values():
            of_group = group[0][1].of(tuple(dict.fromkeys(one.kind for _, one in group)), raw, rows)
            found |= {key: of_group[one.kind] for key, one in group}
        return found
