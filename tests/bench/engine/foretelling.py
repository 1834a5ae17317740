"""What may be asked how long a run takes, whatever becomes of it; without what tests import, so that it starts soon."""

from __future__ import annotations

import os
import signal
import time

from bench.engine.process.beside.foretold import Left

HERE = "tests.bench.engine.foretelling"


def only_if_it_counts(work: Left, counting: bool) -> tuple[float, float] | None:
    return (3.0, 4.0) if counting else None


def at_once(work: Left, counting: bool) -> tuple[float, float]:
    return 60.0, 120.0


def raises(work: Left, counting: bool) -> None:
    raise RuntimeError("no idea")


def dies(work: Left, counting: bool) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(work: Left, counting: bool) -> None:
    time.sleep(1000)


def noted(work: Left, counting: bool) -> tuple[float, float]:
    from tests.bench.engine import fake_worker

    seeds_left = sorted(cell.seed for cell in work.cells if cell.id in work.wanted)
    stacks = sum(len(bundle.stack) for bundle in work.bundles)  # whoever is done of a bundle is trained along
    fake_worker._note(f"left {seeds_left} of {stacks} {work.device}")
    return 60.0, 120.0
