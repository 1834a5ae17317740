"""What the planned run does, times what each of it is, by the rates of a device: terms, their range, the memory.

The plan is the run's own (bench.grid.plan). A term is what one kind of work takes in all workers together; the run
takes that over its workers, and on a GPU, which one worker has, as long as the terms do one after the other.
It is one file, for every term is of the same plan, counts and course.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.engine.process.beside.ahead import MOST_HELPERS, PROGRAMS, kind_of, worthwhile
from bench.engine.process.beside.awaited import STEPS, Kind, Piece, step_kind, trained, worth_awaiting
from bench.grid.cell import Cell
from bench.grid.families import make, references, registry
from bench.grid.plan import Bundle, Tuning, plan, plan_tuning
from bench.grid.references import of_grid
from bench.speed.estimate.asked import Asked, Facts, alike, first_two, model_key, readings, segments, stack_key
from bench.speed.estimate.counts import CALIBRATED, GAPPED, LOOKS, EvaluationCounts, StackCounts, TrainingCounts
from bench.speed.estimate.cuts import cut_of
from bench.speed.estimate.devices.profile import Profile
from bench.speed.estimate.given import PILOT, Course, Evaluated, validated_every
from bench.speed.estimate.tally import BYTES, HOST, MOVED, WAITS, Seconds, Tally, seconds

LEAVING_SHARE = 0.25  # of a stack that has ended when the others get one of their own, on CUDA (training.loop)
CAPTURED = 4  # steps that launch one by one before a graph is replayed, its capture among them (training.capture)
FITTED_IN = "tf32"  # proposals are, where a device has it (vae_core.numerics.precision.for_fits)
A_PROGRAM, A_LOADER = 0.05, 4.0  # s: to load a compiled program of scores, and once torch's compiler, about
WAITS_OF_VALIDATION, WAITS_OF_PASS, WAITS_OF_CELL = 4, 8, 60  # values that the host reads, about
ELBO_SAMPLES, REFINED_SAMPLES = 10, 100  # of the judging of candidates (vae_core.tuning)
FIT_SAMPLES, READING_IMAGES, READING_SAMPLES = 10, 200, 100  # bench.engine.worker.rows
A_SPEED = {"cpu": 0.9, "cuda": 0.4}  # s of the timing of a kind at the end of a run (bench.speed.throughput), about
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


@dataclass
class Prediction:
    """Seconds of all workers by term, the least and the most; bytes of the largest bundle and what they are of."""

    profile: Profile
    workers: int
    low: dict[str, Seconds] = field(default_factory=dict)
    high: dict[str, Seconds] = field(default_factory=dict)
    memory: float = 0.0
    memory_of: str = ""
    programs: int = 0  #: of scores that are compiled beside the run
    step_programs: int = 0  #: of training steps
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


@dataclass
class Sum:
    """Seconds by term, of a piece of work and of all."""

    terms: dict[str, Seconds] = field(default_factory=dict)
    piece: float = 0.0
    longest: float = 0.0

    def add(self, term: str, what: Seconds) -> None:
        self.terms[term] = self.terms[term].plus(what) if term in self.terms else what
        self.piece += what.total

    def ends(self) -> float:
        """A piece of work: the seconds that it took."""
        took, self.piece = self.piece, 0.0
        self.longest = max(self.longest, took)
        return took


class Predictor:
    """Predicts a grid's cells by a profile, from what was counted and the facts of data sets (by DataSpec.key)."""

    def __init__(
        self,
        cells: Sequence[Cell],
        profile: Profile,
        workers: int,
        facts: Mapping[str, Facts],
        asked: Asked,
        stacks: Mapping[str, TrainingCounts],
        models: Mapping[str, EvaluationCounts],
    ) -> None:
        self.cells, self.profile, self.workers = cells, profile, workers
        self.asked = asked.stacks
        self.facts, self.stacks, self.models = facts, stacks, models
        self.cut = cut_of(profile.kind, profile.memory)
        self.programs, self._by_program = (0, set[str]()) if profile.on_cpu else self._compiled()
        self._sizes = {key: (facts.dims, facts.levels, facts.train) for key, facts in self.facts.items()}
        self._steps: dict[Kind, Cell] = {}  #: kinds whose steps go by programs, the first wanted first
        if not profile.on_cpu:
            whole: list[Piece] = [*plan_tuning(cells, profile.kind, workers), *plan(cells, profile.kind, workers)]
            self._steps = worth_awaiting(whole, Cell.settled, self._sizes)

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
            self.programs,
            len(STEPS) * len(self._steps),
            (low.longest, high.longest),
        )

    def tunings(self) -> Sequence[Tuning]:
        """The pieces of work that choose."""
        return plan_tuning(self.cells, self.profile.kind, self.workers)

    def bundles(self, course: Course) -> Sequence[Bundle]:
        """The others."""
        return plan(self.cells, self.profile.kind, self.workers, course.settled)

    def _of(self, course: Course) -> Sum:
        found = Sum()
        took: list[tuple[Piece, float]] = []
        for tuning in self.tunings():
            self._tuning(found, tuning, course)
            took.append((tuning, found.ends()))
        for bundle in self.bundles(course):
            self._bundle(found, bundle, course)
            took.append((bundle, found.ends()))
        self.besides(found, course, self._waited(took))
        return found

    def _waited(self, took: Sequence[tuple[Piece, float]]) -> float:
        """Seconds in which pieces wait for programs of their steps, none of which is kept from before, and no other
        piece can go first."""
        if not self._steps:
            return 0.0
        makers = max(1, min(MOST_HELPERS, int(self.profile.cores) - 1))
        order = {kind: place for place, kind in enumerate(self._steps)}

        def ready(piece: Piece) -> float:
            kinds = (step_kind(cell, self._sizes[cell.data.key]) for cell in trained(piece, Cell.settled))
            last = max((order[kind] for kind in kinds if kind in order), default=-1)
            return math.ceil(len(STEPS) * (last + 1) / makers) * self.profile.compile

        left, now, idle = [(ready(piece), seconds) for piece, seconds in took], 0.0, 0.0
        while left:
            place = next((n for n, (at, _) in enumerate(left) if at <= now), None)
            if place is None:
                soonest = min(at for at, _ in left)
                now, idle = soonest, idle + soonest - now
            else:
                now += left.pop(place)[1]
        return idle

    # -- training --------------------------------------------------------------------------------------------------

    def _training(
        self, found: Sum, cells: Sequence[Cell], ends: Sequence[int], terms: tuple[str, str], *, tuned: bool
    ) -> None:
        """Of models of these settled cells, one a model, that end at these epochs."""
        first = cells[0]
        facts = self.facts[first.data.key]
        batch = min(first.batch_size, facts.train)
        steps, every = max(1, facts.train // batch), validated_every(first)
        for places, epochs in segments(ends, 0.0 if self.profile.on_cpu else LEAVING_SHARE):
            counts = self._stack([cells[place] for place in places], tuned=tuned)
            step = counts.of_step(batch)
            once = self._time(step, replayed=not self.profile.on_cpu, precision=first.precision)
            found.add(terms[0], once * (steps * epochs))
            made = counts.of_setup()
            found.add(terms[0], self._time(made if self.profile.on_cpu else made + CAPTURED * step))
            seen = counts.of_validation(facts.valid)
            if not self.profile.on_cpu:
                seen += Tally({WAITS: WAITS_OF_VALIDATION, MOVED: 4.0 * len(places) * facts.valid})
            found.add(terms[1], self._time(seen) * max(1.0, epochs / every))

    def _stack(self, cells: Sequence[Cell], *, tuned: bool) -> StackCounts:
        """Of models of these settled cells side by side."""
        kinds: dict[str, list[Cell]] = {}
        for cell in cells:
            kinds.setdefault(stack_key([cell], tuned=tuned), []).append(cell)
        two = first_two(cells)
        both = self.stacks.get(stack_key(two, tuned=tuned)) if len(two) > 1 else None
        if len(two) > 1 and both is None:  # who is left of a stack are another two
            two, both = self._two(cells[0], tuned=tuned)
        alone = [self.stacks[stack_key([cell], tuned=tuned)] for cell in two]
        return StackCounts(
            [(self._as_trained(key, alike[0]), len(alike)) for key, alike in kinds.items()],
            alone,
            both,
            seeds=1 if tuned else len({cell.seed for cell in cells}),
            rates=len({cell.learning_rate for cell in cells}),
        )

    def _as_trained(self, key: str, cell: Cell) -> TrainingCounts:
        """A kind's counts: by programs, where the grid trains enough of it."""
        counts = self.stacks[key]
        return counts.compiled if step_kind(cell, self._sizes[cell.data.key]) in self._steps else counts

    def _two(self, like: Cell, *, tuned: bool) -> tuple[tuple[Cell, ...], TrainingCounts | None]:
        """Two kinds that were counted side by side, of the network and the data of another."""
        for cells, as_tuned in self.asked.values():
            same = cells[0].data == like.data and cells[0].network == like.network and as_tuned == tuned
            if len(cells) > 1 and same:
                return cells, self.stacks[stack_key(cells, tuned=tuned)]
        return (), None

    def _tuning(self, found: Sum, tuning: Tuning, course: Course) -> None:
        for together in alike(tuning):
            ends = [course.epochs_of_candidate(cell, search, values) for cell, search, values in together]
            self._training(found, [cell for cell, _, _ in together], ends, ("tuning: training",) * 2, tuned=True)
        searches = {cell.search: cell for cell in tuning.cells}
        for cell in searches.values():
            self._judging(found, cell, course)

    def _judging(self, found: Sum, cell: Cell, course: Course) -> None:
        facts, term = self.facts[cell.data.key], "tuning: judging"
        always = any(key != "learning_rate" for key in cell.tune)
        keys = [model_key(reading) for reading in readings(cell)]
        judged = [self._scored(key) for key in keys]
        for counts in judged:
            image, images = counts.scale
            found.add(term, self._time(cell.tried * images * image))
            found.add(term, self._time(cell.tried * self._pass(counts, facts.valid, ELBO_SAMPLES)))
        counts = judged[0]
        refined = course.refined_of(cell, always)
        if refined:
            plain = self._pass(counts, facts.valid, REFINED_SAMPLES)
            found.add(term, self._time(2 * refined * plain))
            found.add(term, self._time(refined * self._fit(counts, facts.valid), precision=FITTED_IN))

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _bundle(self, found: Sum, bundle: Bundle, course: Course) -> None:
        models: dict[str, list[Cell]] = {}
        for cell in bundle.cells:
            models.setdefault(cell.training_key, []).append(cell)
        firsts = list({cell.training_key: cell for cell in reversed(bundle.stack)}.values())[::-1]
        settled = [course.settled(cell) for cell in firsts]
        ends = [course.epochs_of(cell) for cell in firsts]
        self._training(found, settled, ends, ("training", "validation"), tuned=False)
        for cells in models.values():
            for cell in cells:
                self._evaluation(found, cell, course)

    def _evaluation(self, found: Sum, cell: Cell, course: Course) -> None:
        key, facts = model_key(course.settled(cell)), self.facts[cell.data.key]
        counts, used = self.models[key], self._scored(key)
        images = min(cell.test_images or facts.test, facts.test)
        way = course.scoring_of(cell)
        masses = _has_pilot(cell) and cell.objective != "dequantised"
        self._passes(found, used, images, way, cell.eval_samples, masses=masses)
        if way.refined:
            found.add("refinement", self._time(self._fit(used, images), precision=FITTED_IN))
            found.add("gaps", self._time(min(1.0, images / GAPPED) * counts.gaps))
        found.add("calibration", self._time(min(1.0, images / CALIBRATED) * counts.calibration))
        scored = way.first + sum(way.passes)
        found.add("checks", self._time(counts.of_checks(images, self._to_come(cell), scored, self.cut)))
        compared = 2 * self._pass(used, min(images, facts.valid), FIT_SAMPLES)
        if len(registry().get(cell.family).scorings) > 1:
            some = min(READING_IMAGES, facts.valid)
            compared += self._pass(used, some, READING_SAMPLES)
            if way.refined:
                found.add("fits and readings", self._time(self._fit(used, some), precision=FITTED_IN))
                compared += self._pass(used, some, READING_SAMPLES)
        image, fitted = counts.scale
        compared += fitted * image
        found.add("fits and readings", self._time(compared))
        shown = counts.pictures
        if not self.profile.on_cpu:
            shown += Tally({WAITS: WAITS_OF_CELL, MOVED: 64.0 * images})
        found.add("pictures", self._time(shown))

    def _passes(
        self, found: Sum, used: EvaluationCounts, images: int, way: Evaluated, grid: Sequence[int], *, masses: bool
    ) -> None:
        """`masses`: the first pass scores them alone, as a pilot does; not where densities were trained on."""
        first = self._pass(used, images, way.first, grid)
        if not masses:
            first += self._besides_of(used, images, way.first, grid)
        found.add("encoder's pass", self._time(first))
        for place, size in enumerate(way.passes):
            counts = used.fitted if way.refined else used.encoder
            pilot = way.refined and place == 0 and len(way.passes) > 1
            whole = counts.of(images, size, self.cut, used.width, () if pilot else grid) + self._waits(1)
            if not pilot:
                whole += self._besides_of(used, images, size, grid)
            found.add("score's passes", self._time(whole))

    def _pass(self, used: EvaluationCounts, images: int, samples: int, grid: Sequence[int] = ()) -> Tally:
        return used.encoder.of(images, samples, self.cut, used.width, grid) + self._waits(1)

    def _besides_of(self, used: EvaluationCounts, images: int, samples: int, grid: Sequence[int]) -> Tally:
        """What the other scorers of a pass add; in one program they read no raw output again."""
        if used.scorers == 1:
            return Tally()
        besides = used.besides.of(images, samples, self.cut, used.width, grid)
        if used.fused is not None or self.profile.on_cpu:
            return besides
        again = 4.0 * used.width * images * samples * (used.scorers - 1)
        return Tally({**besides.amounts, BYTES: max(0.0, besides[BYTES] - again)})

    def _fit(self, used: EvaluationCounts, images: int) -> Tally:
        cut = self.cut if used.is_fused else self.cut.without_programs()
        return used.fit.of(images, LOOKS["full"], cut, used.width) + self._waits(1)

    def _scored(self, key: str) -> EvaluationCounts:
        """As it is scored: by programs, where the grid is worth them, which are taken to be there in time."""
        counts = self.models[key]
        return counts.fused if key in self._by_program and counts.fused else counts

    def _waits(self, passes: int) -> Tally:
        return Tally() if self.profile.on_cpu else Tally({WAITS: float(WAITS_OF_PASS * passes)})

    def _to_come(self, cell: Cell) -> int:
        """z of an image that an assessment expects."""
        return 4 * PILOT if _has_pilot(cell) else max(cell.eval_samples)

    # -- what else -------------------------------------------------------------------------------------------------

    def besides(self, found: Sum, course: Course, waited: float = 0.0) -> None:
        """What is done once, whatever the pieces; `waited`: seconds for programs."""
        if programs := self.programs + len(STEPS) * len(self._steps):
            found.add("compiling", self._time(Tally({HOST: A_LOADER + A_PROGRAM * programs + waited})))
        if self.profile.on_cpu:  # else beside the run, by the host
            host = sum(self.reference(spec.reference, spec.cell) for spec in of_grid(self.cells) if spec.cell)
            found.add("references", self._time(Tally({HOST: host})))
        kinds = {course.settled(cell).kind for cell in self.cells}
        found.add("timing of kinds", self._time(Tally({HOST: A_SPEED[self.profile.kind] * len(kinds)})))
        found.add("start and data", self._time(Tally({HOST: self.profile.start * self.workers})))

    def _compiled(self) -> tuple[int, set[str]]:
        """How many programs of scores are made beside the run, and whose (`model_key`) they are."""
        sizes = {key: (facts.dims, facts.levels, facts.test) for key, facts in self.facts.items()}
        whole = [cell.settled() for cell in self.cells]
        worth = {
            kind: of
            for kind, of in worthwhile(whole, sizes).items()
            if not make(of[0].family, of[0].options, of[2]).looks_at_numbers
        }
        keys = {model_key(cell) for cell in whole if kind_of(cell, *sizes[cell.data.key][:2]) in worth}
        return len(worth) * len(PROGRAMS), keys

    def reference(self, name: str, cell: Cell) -> float:
        """Seconds, about, as a reference tells of itself."""
        facts = self.facts[cell.data.key]
        images = min(cell.test_images or facts.test, facts.test)
        sizes = references().Sizes(facts.dims, facts.levels, facts.train, images)
        return float(references().get(name).seconds(sizes))

    def _memory(self, course: Course) -> Iterator[tuple[float, str]]:
        """Bytes at their most of each bundle in training, and of each model in evaluation."""
        cuda = not self.profile.on_cpu
        for bundle in self.bundles(course):
            models = {cell.training_key: course.settled(cell) for cell in bundle.stack}
            settled = list(models.values())
            yield self._training_bytes(settled, tuned=False), f"{len(settled)} models in training"
        for tuning in self.tunings():
            for together in alike(tuning):
                candidates = [cell for cell, _, _ in together]
                used = self._training_bytes(candidates, tuned=True)
                yield used, f"{len(candidates)} candidates in training"
        for cell in self.cells:
            counts, facts = self._scored(model_key(course.settled(cell))), self.facts[cell.data.key]
            images = min(cell.test_images or facts.test, facts.test)
            piece = min(self.cut.floats, images * self.cut.samples * counts.width) * counts.bytes
            cut = self.cut if counts.is_fused else self.cut.without_programs()
            at_once = min(images, cut.fitted_at_once(counts.width, counts.fit.draws))
            fits = at_once * counts.fit.bytes if course.scoring_of(cell).refined else 0.0
            calibrated = CAST * 6 * self.cut.calibrated if cuda else 0.0
            raw = 4.0 * images * counts.width
            yield raw + max(piece, fits, calibrated), "the evaluation of a model"

    def _training_bytes(self, cells: Sequence[Cell], *, tuned: bool) -> float:
        facts = self.facts[cells[0].data.key]
        data = facts.dims * (facts.train + facts.valid + facts.test)
        return data + self._stack(cells, tuned=tuned).bytes(min(cells[0].batch_size, facts.train))

    def _time(self, tally: Tally, *, replayed: bool = False, precision: str = "float32") -> Seconds:
        return seconds(tally, self.profile, replayed=replayed, precision=precision)


def _has_pilot(cell: Cell) -> bool:
    """Whether a pilot decides how far its bounds go (vae_core.evaluate.effort)."""
    return bool(cell.eval_tolerance) and max(cell.eval_samples) > PILOT
