"""What the planned run does, times what each of it is, by the rates of a device: terms, their range, the memory.

The plan is the run's own (bench.grid.plan). A term is what one kind of work takes in all workers together; the run
takes that over its workers, and on a GPU, which one worker has, as long as the terms do one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.grid.plan import Bundle, Tuning, plan, plan_tuning
from bench.grid.references import of_grid
from bench.speed.estimate.counts import LOOKS, EvaluationCounts, TrainingCounts
from bench.speed.estimate.cuts import CUTS
from bench.speed.estimate.given import PILOT, Course, Evaluated, told, validated_every
from bench.speed.estimate.profiles import Profile
from bench.speed.estimate.tally import COMPILED, HOST, MOVED, WAITS, Seconds, Tally, seconds

LEAVING_SHARE = 0.25  # of a stack that has ended when the others get one of their own, on CUDA (training.loop)
CAPTURED = 4  # steps that launch one by one before a graph is replayed, its capture among them (training.capture)
WORTH_COMPILING = 1 << 31  # raw outputs (vae_core.numerics.compiled)
WAITS_OF_VALIDATION, WAITS_OF_PASS, WAITS_OF_CELL = 4, 8, 60  # values that the host reads, about
ELBO_SAMPLES, REFINED_SAMPLES = 10, 100  # of the judging of candidates (vae_core.tuning)
FIT_SAMPLES, READING_IMAGES, READING_SAMPLES = 10, 200, 100  # bench.engine.worker.rows
FEWEST_STEPS, MASSES_OF_A_REFERENCE = 300, 1.2e7  # vae_core.references.no_latent
A_REFERENCE, A_VALUE, A_CODED = 0.3, 2e-6, 2.5e-7  # s: any, a value of a mixture's image, a byte of a codec
A_SPEED = 0.9  # s of the timing of a kind at the end of a run (bench.speed.throughput)
TERMS = (
    "training",
    "validation",
    "tuning: training",
    "tuning: judging",
    "encoder's pass",
    "score's passes",
    "refinement",
    "gaps",
    "calibration",
    "checks",
    "fits and readings",
    "pictures",
    "compiling",
    "references",
    "timing of kinds",
    "start and data",
)
#: terms by the columns of a run file that record them
RECORDED = {
    "training": ("training", "validation"),
    "tuning": ("tuning: training", "tuning: judging"),
    "evaluation": ("encoder's pass", "score's passes", "refinement", "gaps", "calibration", "checks"),
}
CAST = 8  # bytes of a mass, and of what is made of it


@dataclass(frozen=True)
class Facts:
    """Of a data set."""

    dims: int
    levels: int
    train: int
    valid: int
    test: int


@dataclass(frozen=True)
class Asked:
    """What is to be counted for a grid: kinds of bundle, and models with their scoring, by keys."""

    bundles: Mapping[str, tuple[tuple[Cell, ...], bool]]
    models: Mapping[str, Cell]


@dataclass
class Prediction:
    """Seconds of all workers by term, the least and the most; bytes of the largest bundle and what they are of."""

    profile: Profile
    workers: int
    low: dict[str, Seconds] = field(default_factory=dict)
    high: dict[str, Seconds] = field(default_factory=dict)
    memory: float = 0.0
    memory_of: str = ""
    longest: tuple[float, float] = (0.0, 0.0)  #: seconds of the longest piece of work

    def total(self, terms: Mapping[str, Seconds]) -> float:
        """Seconds of all workers."""
        return sum(one.total for one in terms.values())

    @property
    def range(self) -> tuple[float, float]:
        """Of the run by the clock: its workers share the work, but for the longest piece."""
        low, high = (
            max(self.total(terms) / self.workers, longest)
            for terms, longest in zip((self.low, self.high), self.longest, strict=True)
        )
        return low, high


def settled_kind(cell: Cell) -> str:
    """Equal for cells whose models are trained alike."""
    return cell.kind


def model_key(cell: Cell) -> str:
    """Equal for settled cells whose evaluation does the same work, sizes apart: σ's value and the training make no
    difference."""
    options = {key: "number" if key == "sigma" and not isinstance(v, str) else v for key, v in cell.options.items()}
    network = [cell.network, cell.hidden, cell.activation, cell.latent, cell.widths, cell.depth, cell.kernel]
    network += [cell.normalisation, cell.data.key, cell.binarisation]
    family = "" if registry().get(cell.family).recipe else cell.family  # what recipes are read as is alike in all
    return json.dumps([family, sorted(options.items()), cell.scored_as, network])


def bundle_key(cells: Sequence[Cell], *, tuned: bool) -> str:
    """Equal for bundles of models of the same kinds."""
    kinds = sorted({settled_kind(cell) for cell in cells})
    return json.dumps([kinds, tuned])


def one_a_kind(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """The first of each kind."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(settled_kind(cell), cell)
    return tuple(found.values())


def asked_of(cells: Sequence[Cell], device: str, workers: int, course: Course) -> Asked:
    """What must be counted to predict these cells."""
    bundles: dict[str, tuple[tuple[Cell, ...], bool]] = {}
    for piece in plan(cells, device, workers, course.settled):
        settled = [course.settled(cell) for cell in piece.cells]
        bundles.setdefault(bundle_key(settled, tuned=False), (one_a_kind(settled), False))
    for tuning in plan_tuning(cells, device, workers):
        for alike in _alike(tuning):
            candidates = [cell for cell, _, _ in alike]
            bundles.setdefault(bundle_key(candidates, tuned=True), (one_a_kind(candidates), True))
    models: dict[str, Cell] = {}
    for cell in cells:
        settled_cell = course.settled(cell)
        models.setdefault(model_key(settled_cell), settled_cell)
        for reading in _readings(cell):
            models.setdefault(model_key(reading), reading)
    return Asked(bundles, models)


def _readings(cell: Cell) -> Iterator[Cell]:
    """As what a tuned cell's candidates are judged."""
    if cell.search:
        first = cell.settled()
        for name in registry().get(cell.family).scorings:
            yield first.but(scored_as=name)


def _alike(tuning: Tuning) -> list[list[tuple[Cell, str, str]]]:
    """Candidates of a piece of tuning that train together, of one network and schedule, learning rates apart: each as
    it is trained, its search and its values."""
    together: dict[str, list[tuple[Cell, str, str]]] = {}
    for cell in {cell.search: cell for cell in tuning.cells}.values():
        for values in cell.candidates:
            shape = told({key: value for key, value in values.items() if key != "learning_rate"})
            together.setdefault(shape, []).append((cell.settled(values), cell.search, told(values)))
    return list(together.values())


@dataclass
class _Sum:
    """Seconds by term, of a piece of work and of all."""

    terms: dict[str, Seconds] = field(default_factory=dict)
    piece: float = 0.0
    longest: float = 0.0

    def add(self, term: str, what: Seconds) -> None:
        self.terms[term] = self.terms[term].plus(what) if term in self.terms else what
        self.piece += what.total

    def ends(self) -> None:
        """A piece of work."""
        self.longest, self.piece = max(self.longest, self.piece), 0.0


class Predictor:
    """Predicts a grid's cells by a profile, from what was counted and the facts of data sets (by DataSpec.key)."""

    def __init__(
        self,
        cells: Sequence[Cell],
        profile: Profile,
        workers: int,
        facts: Mapping[str, Facts],
        bundles: Mapping[str, TrainingCounts],
        models: Mapping[str, EvaluationCounts],
    ) -> None:
        self.cells, self.profile, self.workers = cells, profile, workers
        self.facts, self.bundles, self.models = facts, bundles, models
        self.cut = CUTS[profile.kind]

    def predict(self, least: Course, most: Course) -> Prediction:
        """The range between two courses, which may be one."""
        low, high = self._of(least), self._of(most)
        memory, of = max(self._memory(most), default=(0.0, ""))
        order = [term for term in TERMS if term in low.terms or term in high.terms]
        return Prediction(
            self.profile,
            self.workers,
            {term: low.terms[term] for term in order if term in low.terms},
            {term: high.terms[term] for term in order if term in high.terms},
            memory,
            of,
            (low.longest, high.longest),
        )

    def _of(self, course: Course) -> _Sum:
        found = _Sum()
        for tuning in plan_tuning(self.cells, self.profile.kind, self.workers):
            self._tuning(found, tuning, course)
            found.ends()
        for bundle in plan(self.cells, self.profile.kind, self.workers, course.settled):
            self._bundle(found, bundle, course)
            found.ends()
        self._besides(found, course)
        return found

    # -- training --------------------------------------------------------------------------------------------------

    def _training(
        self, found: _Sum, cells: Sequence[Cell], ends: Sequence[int], terms: tuple[str, str], *, tuned: bool
    ) -> None:
        """Of models of these settled cells, one a model, that end at these epochs."""
        counts, first = self.bundles[bundle_key(cells, tuned=tuned)], cells[0]
        facts = self.facts[first.data.key]
        batch = min(first.batch_size, facts.train)
        steps, every = max(1, facts.train // batch), validated_every(first)
        for models, epochs in segments(ends, 0.0 if self.profile.on_cpu else LEAVING_SHARE):
            step = counts.of_step(models, batch)
            once = self._time(step, replayed=not self.profile.on_cpu, precision=first.precision)
            found.add(terms[0], once * (steps * epochs))
            made = counts.of_setup(models)
            found.add(terms[0], self._time(made if self.profile.on_cpu else made + CAPTURED * step))
            seen = counts.of_validation(models, facts.valid)
            if not self.profile.on_cpu:
                seen += Tally({WAITS: WAITS_OF_VALIDATION, MOVED: 4.0 * models * facts.valid})
            found.add(terms[1], self._time(seen) * max(1.0, epochs / every))

    def _tuning(self, found: _Sum, tuning: Tuning, course: Course) -> None:
        for alike in _alike(tuning):
            ends = [course.epochs_of_candidate(cell, search, values) for cell, search, values in alike]
            self._training(found, [cell for cell, _, _ in alike], ends, ("tuning: training",) * 2, tuned=True)
        searches = {cell.search: cell for cell in tuning.cells}
        for cell in searches.values():
            self._judging(found, cell, course)

    def _judging(self, found: _Sum, cell: Cell, course: Course) -> None:
        facts, term = self.facts[cell.data.key], "tuning: judging"
        always = any(key != "learning_rate" for key in cell.tune)
        readings = [self.models[model_key(reading)] for reading in _readings(cell)]
        for counts in readings:
            image, images = counts.scale
            found.add(term, self._time(cell.tried * images * image))
            found.add(term, self._time(cell.tried * self._pass(counts, facts.valid, ELBO_SAMPLES, fused=False)))
        counts = readings[0]
        refined = course.refined_of(cell, always)
        if refined:
            plain = self._pass(counts, facts.valid, REFINED_SAMPLES, fused=False)
            fit = self._fit(counts, facts.valid, fused=False)
            found.add(term, self._time(refined * (2 * plain + fit)))

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _bundle(self, found: _Sum, bundle: Bundle, course: Course) -> None:
        models: dict[str, list[Cell]] = {}
        for cell in bundle.cells:
            models.setdefault(cell.training_key, []).append(cell)
        firsts = [cells[0] for cells in models.values()]
        settled = [course.settled(cell) for cell in firsts]
        ends = [course.epochs_of(cell) for cell in firsts]
        self._training(found, settled, ends, ("training", "validation"), tuned=False)
        for cells in models.values():
            for cell in cells:
                self._evaluation(found, cell, course, shared=len(cells))

    def _evaluation(self, found: _Sum, cell: Cell, course: Course, shared: int) -> None:
        counts, facts = self.models[model_key(course.settled(cell))], self.facts[cell.data.key]
        images = min(cell.test_images or facts.test, facts.test)
        way = course.scoring_of(cell)
        fused = self._fuses(counts, images, self._to_come(cell))
        used = counts.fused if fused and counts.fused else counts
        self._passes(found, used, images, way)
        if way.refined:
            found.add("refinement", self._time(self._fit(counts, images, fused=fused)))
            found.add("gaps", self._time(counts.gaps))
        found.add("calibration", self._time(counts.calibration))
        found.add("checks", self._time(counts.of_checks(images, self._to_come(cell), self.cut)))
        compared = 2 * self._pass(counts, min(images, facts.valid), FIT_SAMPLES, fused=False)
        if len(registry().get(cell.family).scorings) > 1:
            some = min(READING_IMAGES, facts.valid)
            compared += self._pass(counts, some, READING_SAMPLES, fused=False)
            if way.refined:
                compared += self._fit(counts, some, fused=False)
                compared += self._pass(counts, some, READING_SAMPLES, fused=False)
        image, fitted = counts.scale
        compared += fitted * image
        found.add("fits and readings", self._time(compared))
        shown = counts.pictures
        if not self.profile.on_cpu:
            shown += Tally({WAITS: WAITS_OF_CELL, MOVED: 64.0 * images})
        found.add("pictures", self._time(shown))

    def _passes(self, found: _Sum, used: EvaluationCounts, images: int, way: Evaluated) -> None:
        first = self._pass(used, images, way.first, fused=False) + self._besides_of(used, images, way.first)
        found.add("encoder's pass", self._time(first))
        for place, size in enumerate(way.passes):
            counts = used.fitted if way.refined else used.encoder
            whole = counts.of(images, size, self.cut, used.width) + self._waits(1)
            pilot = way.refined and place == 0 and len(way.passes) > 1
            if not pilot:
                whole += self._besides_of(used, images, size)
            found.add("score's passes", self._time(whole))

    def _pass(self, counts: EvaluationCounts, images: int, samples: int, *, fused: bool) -> Tally:
        used = counts.fused if fused and counts.fused else counts
        return used.encoder.of(images, samples, self.cut, used.width) + self._waits(1)

    def _besides_of(self, used: EvaluationCounts, images: int, samples: int) -> Tally:
        """What the other scorers of a pass add."""
        return used.besides.of(images, samples, self.cut, used.width) if used.scorers > 1 else Tally()

    def _fit(self, counts: EvaluationCounts, images: int, *, fused: bool) -> Tally:
        used = counts.fused if fused and counts.fused else counts
        return used.fit.of(images, LOOKS["full"], self.cut, used.width) + self._waits(1)

    def _waits(self, passes: int) -> Tally:
        return Tally() if self.profile.on_cpu else Tally({WAITS: float(WAITS_OF_PASS * passes)})

    def _to_come(self, cell: Cell) -> int:
        """z of an image that an assessment expects."""
        return 4 * PILOT if cell.eval_tolerance and max(cell.eval_samples) > PILOT else max(cell.eval_samples)

    def _fuses(self, counts: EvaluationCounts, images: int, samples: int) -> bool:
        return not self.profile.on_cpu and images * samples * counts.width >= WORTH_COMPILING

    # -- what else -------------------------------------------------------------------------------------------------

    def _besides(self, found: _Sum, course: Course) -> None:
        compiled = self._compiled(course)
        if compiled:
            found.add("compiling", self._time(Tally({COMPILED: float(compiled)})))
        host = sum(self._reference(spec.reference, spec.cell) for spec in of_grid(self.cells) if spec.cell)
        found.add("references", self._time(Tally({HOST: host})))
        kinds = {settled_kind(course.settled(cell)) for cell in self.cells}
        found.add("timing of kinds", self._time(Tally({HOST: A_SPEED * len(kinds)})))
        found.add("start and data", self._time(Tally({HOST: self.profile.start * self.workers})))

    def _compiled(self, course: Course) -> int:
        """Functions that a compiler makes kernels of: each scorer of a kind, and where proposals are fitted the mass
        once more with its gradient."""
        made: set[tuple[str, str]] = set()
        for cell in self.cells:
            key = model_key(course.settled(cell))
            counts, facts = self.models[key], self.facts[cell.data.key]
            if self._fuses(counts, min(cell.test_images or facts.test, facts.test), self._to_come(cell)):
                made |= {(key, str(number)) for number in range(counts.scorers)}
                if course.scoring_of(cell).refined:
                    made.add((key, "gradient"))
        return len(made)

    def _reference(self, name: str, cell: Cell) -> float:
        """Seconds, about: references are fitted by numpy on the host."""
        facts = self.facts[cell.data.key]
        images = min(cell.test_images or facts.test, facts.test)
        if name.startswith("no_latent"):
            table = facts.dims * facts.levels
            return A_REFERENCE + 20e-9 * 4 * table * max(FEWEST_STEPS, MASSES_OF_A_REFERENCE / table)
        if name == "product_mixture":
            return A_REFERENCE + A_VALUE * min(1e7, facts.train * facts.dims / 4)
        return A_REFERENCE + A_CODED * images * facts.dims

    def _memory(self, course: Course) -> Iterator[tuple[float, str]]:
        """Bytes at their most of each bundle in training, and of each model in evaluation."""
        cuda = not self.profile.on_cpu
        for bundle in plan(self.cells, self.profile.kind, self.workers, course.settled):
            models = {cell.training_key: course.settled(cell) for cell in bundle.cells}
            settled = list(models.values())
            yield self._training_bytes(settled, len(settled), tuned=False), f"{len(settled)} models in training"
        for tuning in plan_tuning(self.cells, self.profile.kind, self.workers):
            for alike in _alike(tuning):
                candidates = [cell for cell, _, _ in alike]
                used = self._training_bytes(candidates, len(candidates), tuned=True)
                yield used, f"{len(candidates)} candidates in training"
        for cell in self.cells:
            counts, facts = self.models[model_key(course.settled(cell))], self.facts[cell.data.key]
            images = min(cell.test_images or facts.test, facts.test)
            piece = min(self.cut.floats, images * self.cut.samples * counts.width) * counts.bytes
            together = min(images, self.cut.fitted_at_once(counts.width, counts.fit.draws))
            fits = together * counts.fit.bytes if course.scoring_of(cell).refined else 0.0
            calibrated = CAST * 6 * self.cut.calibrated if cuda else 0.0
            raw = 4.0 * images * counts.width
            yield raw + max(piece, fits, calibrated), "the evaluation of a model"

    def _training_bytes(self, cells: Sequence[Cell], models: int, *, tuned: bool) -> float:
        counts, first = self.bundles[bundle_key(cells, tuned=tuned)], cells[0]
        facts = self.facts[first.data.key]
        data = facts.dims * (facts.train + facts.valid + facts.test)
        return data + counts.bytes(models, min(first.batch_size, facts.train))

    def _time(self, tally: Tally, *, replayed: bool = False, precision: str = "float32") -> Seconds:
        return seconds(tally, self.profile, replayed=replayed, precision=precision)


def segments(ends: Sequence[int], leaving: float) -> Iterator[tuple[int, int]]:
    """(models in the stack, epochs) of a bundle whose models end at these epochs, one after the other: whoever has
    ended leaves at once, or when that share of the stack has (vae_core.training.loop)."""
    stack, since = sorted(ends), 0
    while stack:
        quorum = max(1, -(-leaving * len(stack) // 1)) if leaving else 1
        until = stack[min(int(quorum), len(stack)) - 1]
        if until > since:
            yield len(stack), until - since
        stack, since = [end for end in stack if end > until], max(since, until)
