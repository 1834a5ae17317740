"""How far a run is: a bar in a terminal, and plain lines, few of them, where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from bench.engine.local import Silent
from bench.engine.process.printed import surely
from bench.grid.plan import Tuning

LINE_SECONDS = 5.0  # at least this long between two lines
CELL = "(a cell: one configuration and seed)"
WORDS = "(a cell: one configuration and seed; a bundle: cells that are trained together)"
SILENCE_SECONDS = 60.0  # at most this long without one
COLUMNS, BAR = 80, 20
TELLS = 0.1  # of the most that a prediction says: a least that is worth a word


def asked(total: int, wanted: int, references: int, tunings: Sequence[Tuning], bundles: int) -> list[str]:
    """What a run begins with: so many cells and references, and what is chosen for them first."""
    what = f"{total} cells" if wanted == total else f"{wanted} of {total} cells are missing"
    if references:
        what = f"{what if wanted else 'no cells'} and {references} reference{'' if references == 1 else 's'}"
    if not tunings:
        return [f"{what}, in {bundles} bundle{'' if bundles == 1 else 's'}", *([WORDS] if wanted else [])]
    searches = {cell.search: cell for tuning in tunings for cell in tuning.cells}
    candidates = sum(len(cell.candidates) for cell in searches.values())
    keys = " and ".join(dict.fromkeys(key for cell in searches.values() for key in cell.tune))
    return [
        what,
        *([CELL] if wanted else []),
        f"first {keys} for {len(searches)} configurations ({candidates} candidates)",
    ]


@dataclass(frozen=True)
class Summary:
    """How the present grid stands after a run. `lost`: of the failed, those that running again tries again. `log`: a
    sentence that says where is what was printed; "" where nothing was."""

    done: int
    failed: int
    seconds: float
    computed: int
    lost: int = 0
    log: str = ""


class Clock(Protocol):
    def __call__(self) -> float: ...


class Reporter:
    """Tells of a run on a stream, in lines of at most 80 columns."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._console = Console(file=surely(stream), highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._last = (0.0, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line, at once."""
        self._console.print(Text(text))

    def start(self, total: int, ended: int) -> None:
        """Training begins: `total` cells in all, `ended` of them before."""
        self._total, self._before, self._begun = total, ended, self._clock()
        self._programs = 0
        self._last = (self._begun, f"{ended} 0 0 False")
        self._suspected = (self._begun - SILENCE_SECONDS, "")
        self._untuned = 0
        self._started, self._predicted = self._begun, (0.0, 0.0)
        self.knows = False  #: how long it takes, by what has been done
        if self._console.is_terminal:
            columns = (BarColumn(bar_width=BAR), TextColumn("{task.description}", markup=False))
            self._bar = Progress(
                *columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._task = self._bar.add_task(self._text(ended, 0, 0, None), total=total, completed=ended)
            self._bar.start()

    def update(
        self,
        ended: int,
        failed: int,
        untuned: int = 0,
        references: int = 0,
        suspect: tuple[str, str] = ("", ""),
        programs: int = 0,
        left: float | None = None,
    ) -> None:
        """`ended` cells have ended by now, `failed` of them without a result, and `untuned` configurations are still to
        be tuned before their cells can begin; so many `references` are to come, which is said when no cell is. Call it
        often. `suspect`: who is silent for long, a word on it. `programs`: for how many all that is to be done waits,
        as long as it does. `left`: seconds until all cells have ended, where that is known; told from the last choice
        on."""
        if (self._untuned and not untuned) or (self._programs and not programs):
            self._begun, self._before = self._clock(), ended
        self._untuned, self._programs = untuned, programs
        text = self._text(ended, failed, untuned, left)
        if references and ended == self._total:
            text += f", {references} reference{'' if references == 1 else 's'} to come"
        if programs:
            text += f", waiting for {programs} program{'' if programs == 1 else 's'} of steps"
        if self._bar:
            description = (
                text if not suspect[0] else f"{text}; {_of_suspect(suspect, self._console.width - 30 - len(text))}"
            )
            self._bar.update(self._task, completed=ended, description=description)
            return
        self._tell_suspect(suspect)
        now, (then, said) = self._clock(), self._last
        counts = f"{ended} {failed} {untuned} {programs > 0}"
        if now - then >= (LINE_SECONDS if counts != said else SILENCE_SECONDS) or (
            ended == self._total and counts != said
        ):
            self._last = (now, counts)
            self.say(text)

    def _tell_suspect(self, suspect: tuple[str, str]) -> None:
        """Once as it is suspected, and again once a minute."""
        now, (then, said) = self._clock(), self._suspected
        if suspect[0] and (suspect[0] != said or now - then >= SILENCE_SECONDS):
            self._suspected = (now, suspect[0])
            self.say(_of_suspect(suspect, COLUMNS))

    def predict(self, low: float, high: float) -> None:
        """How many seconds all of it is predicted to take from its start on, at least and at most: told at once, and
        until something has ended by which that is known."""
        self._predicted = (low, high)
        if not self.knows:
            self.say(f"predicted, not measured: {self._left()}")

    def _left(self) -> str:
        """What is left of the prediction, in words that are true when it was wrong; without a least that is next to
        nothing beside the most."""
        passed = self._clock() - self._started
        low, high = (seconds - passed for seconds in self._predicted)
        if high < 1:
            return f"{span(*self._predicted)}, which is over"
        return f"{span(low, high)} left" if low >= max(1, TELLS * high) else f"at most {span(high, high)} left"

    def finish(self) -> None:
        """Training has ended; the bar goes away."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _text(self, ended: int, failed: int, untuned: int, left: float | None) -> str:
        minutes = (self._clock() - self._begun) / 60
        here = ended - self._before
        parts = [f"{ended}/{self._total} cells"]
        if failed:
            parts.append(f"{failed} failed")
        if untuned:
            parts.append(f"{untuned} configuration{'' if untuned == 1 else 's'} to be tuned")
        self.knows = left is not None and not untuned
        if self._predicted[1] and not self.knows and ended < self._total:
            return self._with_prediction(parts, untuned)
        if here and minutes > 0 and not untuned:
            rate = here / minutes
            parts.append(f"{rate:.0f} cells/min" if rate >= 10 else f"{rate:.1f} cells/min")
        if left is not None and not untuned and ended < self._total:
            number, unit = _rough(max(left, 1))
            parts.append(f"about {number} {unit} left")
        return ", ".join(parts)

    def _with_prediction(self, parts: Sequence[str], untuned: int) -> str:
        """In fewer words where a bar leaves no room for all of them, and without it where those have none: what is cut
        there would say something else."""
        width = self._console.width - BAR - 1 if self._console.is_terminal else COLUMNS
        said = f"predicted {self._left()}"
        short = [*parts[:-1], f"{untuned} to tune"] if untuned else parts
        texts = (", ".join([*some, said]) for some in (parts, short))
        return next((text for text in texts if len(text) <= width), ", ".join(parts))


def _of_suspect(suspect: tuple[str, str], columns: int) -> str:
    """`no word from NAME for 40 s, asleep`; a name that is too long loses its middle."""
    name, word = suspect
    if len(word) > columns - 40:  # a file's name may be long too
        word = f"{word[: columns - 41]}…"
    room = max(24, columns - len(f"no word from  {word}"))
    if len(name) > room:
        name = f"{name[: room // 2 - 1]}…{name[len(name) - (room - room // 2) :]}"
    return f"no word from {name} {word}"


def suspected(silent: Iterable[Silent]) -> tuple[str, str]:
    """The one that has been silent for longest, and a word about that; "", "" where none is."""
    for one in silent:
        more = f", {one.manner}" if one.manner else ""
        more += f" ({one.place})" if one.place else ""
        return one.task.name or one.task.function, f"for {one.seconds:.0f} s{more}"
    return "", ""


def span(low: float, high: float) -> str:
    """`16 to 20 s`, `4 to 9 min`, `45 s to 3 min`, `2.2 h`: as rough as a prediction is."""
    (first, unit), (last, unit_of_last) = _rough(low), _rough(high)
    if (first, unit) == (last, unit_of_last):
        return f"{last} {unit_of_last}"
    return f"{first} to {last} {unit}" if unit == unit_of_last else f"{first} {unit} to {last} {unit_of_last}"


def _rough(seconds: float) -> tuple[str, str]:
    """A number and its unit."""
    if round(seconds) < 60:
        return f"{seconds:.0f}", "s"
    if round(seconds / 60) < 60:
        return f"{seconds / 60:.0f}", "min"
    hours = seconds / 3600
    return f"{hours:.1f}" if hours < 9.95 else f"{hours:,.0f}", "h"


def duration(seconds: float) -> str:
    """`41 s`, `2 min 05 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
