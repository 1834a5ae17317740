"""An estimate as plain text for a terminal, in lines of at most 80 columns, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.cli.text.lines import cut, several, wrapped
from bench.engine.progress import duration
from bench.grid.errors import printable
from bench.speed.estimate.devices.profile import Profile
from bench.speed.estimate.estimate import Estimate
from bench.speed.estimate.prediction import RECORDED, Prediction
from bench.speed.estimate.tally import Seconds

WIDTH = 80
TERM, NUMBER, SHARE, BOUND = 24, 12, 7, 14
GIGA = 1e9
ROOM = 0.9  # of a device's memory that a run may take
BOUNDS = {"bytes": "bytes moved", "matrices": "eigenvalues", "host": "the host", "functions": "exp, log, …"}


def estimate_text(told: Estimate, given: str | None = None) -> str:
    """The table of terms, the total or its range, memory, what it rests on; beside a run what that recorded."""
    blocks = [
        wrapped(_title(told), WIDTH),
        _table(told),
        wrapped(_total(told), WIDTH),
        _recorded(told, given),
        wrapped(_memory(told.prediction), WIDTH),
        wrapped(_basis(told), WIDTH),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def as_json(told: Estimate) -> str:
    """All of it as one JSON object; seconds, bytes."""
    prediction, profile = told.prediction, told.prediction.profile
    low, high = prediction.range
    parts = {
        "prediction": True,
        "grid": told.grid.name,
        "cells": len(told.cells),
        "device": {
            "name": profile.name,
            "title": profile.title,
            "measured": profile.measured,
            "source": profile.source,
        },
        "workers": prediction.workers,
        "seconds": {"low": low, "high": high},
        "worker_seconds": {"low": prediction.total(prediction.low), "high": prediction.total(prediction.high)},
        "terms": {
            term: {
                "low": prediction.low[term].total if term in prediction.low else 0.0,
                "high": most.total,
                "bound": most.bound,
                "parts": dict(zip(Seconds._fields[:-1], most[:-1], strict=True)),
            }
            for term, most in prediction.high.items()
        },
        "programs": prediction.programs,
        "memory_bytes": {"largest": prediction.memory, "of": prediction.memory_of, "device": profile.memory},
        "recorded_worker_seconds": told.recorded,
        "predicted_worker_seconds": None if told.recorded is None else _predicted(prediction),
    }
    return json.dumps(parts, indent=1) + "\n"


def _title(told: Estimate) -> str:
    profile, workers = told.prediction.profile, told.prediction.workers
    hands = f", {several(workers, 'worker')}" if profile.on_cpu else ""
    return (
        f"A prediction of {printable(told.grid.name)}, {several(len(told.cells), 'cell')}, on {profile.title}{hands}; "
        f"rates {profile.said}."
    )


def _table(told: Estimate) -> list[str]:
    """One line a term: its seconds in all workers together, its share, and what bounds it."""
    prediction = told.prediction
    one = told.recorded is not None
    whole = prediction.total(prediction.high) or 1.0
    heads = ["term", *(["seconds"] if one else ["at least, s", "at most, s"]), "share", "bound by"]
    lines = [_line(heads)]
    for term, most in prediction.high.items():
        least = prediction.low.get(term)
        numbers = [_seconds(most.total)] if one else [_seconds(least.total if least else 0.0), _seconds(most.total)]
        lines.append(_line([term, *numbers, _percent(most.total / whole), BOUNDS.get(most.bound, most.bound)]))
    totals = [prediction.high] if one else [prediction.low, prediction.high]
    return [*lines, _line(["all workers together", *(_seconds(prediction.total(part)) for part in totals), "", ""])]


def _line(cells: Sequence[str]) -> str:
    first, *numbers, share, bound = cells
    return f"{cut(first, TERM):<{TERM}}{''.join(f'{n:>{NUMBER}}' for n in numbers)}{share:>{SHARE}}  {bound}".rstrip()


def _total(told: Estimate) -> str:
    low, high = told.prediction.range
    if told.recorded is not None:
        return f"Predicted by the clock: {duration(high)}, with the epochs and passes that the run recorded."
    return (
        f"Predicted by the clock: {duration(low)} to {duration(high)}. At least: every model ends as soon as its "
        "patience can see it, no proposal is fitted that need not be, every bound is done at the smallest L. At most: "
        "every model trains to the limit, every proposal is fitted, every L is tried. --given RUN takes what a run did."
    )


def _predicted(prediction: Prediction) -> dict[str, float]:
    """By what a run records."""
    return {
        name: sum(prediction.high[term].total for term in terms if term in prediction.high)
        for name, terms in RECORDED.items()
    }


def _recorded(told: Estimate, given: str | None) -> list[str]:
    if told.recorded is None:
        return []
    lines = [f"{'beside ' + printable(given or 'the run'):<{TERM}}{'predicted, s':>14}{'recorded, s':>14}{'ratio':>8}"]
    for name, seconds in _predicted(told.prediction).items():
        was = told.recorded[name]
        ratio = f"{seconds / was:.2f}" if was > 0 else "–"
        lines.append(f"{name:<{TERM}}{_seconds(seconds):>14}{_seconds(was):>14}{ratio:>8}")
    return lines


def _memory(prediction: Prediction) -> str:
    need, there, profile = prediction.memory, prediction.profile.memory, prediction.profile
    each = prediction.workers if profile.on_cpu else 1
    said = f"Memory: {_bytes(need)} at most predicted, {prediction.memory_of}"
    said += f", {each} workers at once, of {_bytes(there)}." if each > 1 else f", of {_bytes(there)}."
    if need * each <= ROOM * there:
        return said
    return f"{said} {_remedy(prediction)}"


def _remedy(prediction: Prediction) -> str:
    if "training" in prediction.memory_of:
        return (
            "It does not fit: a bundle that runs out of memory is tried again in halves, down to one model; where one "
            "does not fit either, set batch_size or hidden smaller."
        )
    return "It does not fit: set test_images, or fewer levels with quantise."


def _basis(told: Estimate) -> str:
    """What it rests on that nobody has measured."""
    profile = told.prediction.profile
    said = "A roofline over what is counted: operations, bytes, functions, launches, of models as they are untrained."
    return f"{said} {_assumed(profile)}{_made(told.prediction)}"


def _assumed(profile: Profile) -> str:
    if profile.on_cpu:
        return "References, timing and start are rough figures of time by the host."
    shares = profile.shares
    reached = (
        f"Assumed besides: {_percent(shares['products'])} of the peak of products is reached, "
        f"{_percent(shares['bytes_share'])} of that of memory, "
        if shares
        else "Assumed besides: "
    )
    return (
        f"{reached}{1e6 * profile.launch:.3g} µs a launch; timing and start are rough figures of time by the host. "
        "Nothing here was run on the device."
    )


def _made(prediction: Prediction) -> str:
    """What the host's other cores do beside the run on a GPU."""
    if prediction.profile.on_cpu:
        return ""
    fits = " Proposals are fitted with TF32 products." if "tf32" in prediction.profile.products else ""
    said = " References are fitted beside the run by the host's other cores"
    if not (prediction.programs or prediction.step_programs):
        return f"{said}, and are not in the table.{fits}"
    steps = f" and {prediction.step_programs} of training steps" if prediction.step_programs else ""
    waited = " Models wait for theirs, which is in the table as compiling." if steps else ""
    return (
        f"{said}, and {prediction.programs} programs of scores{steps} are compiled, each in some "
        f"{prediction.profile.compile:.3g} s (assumed): neither is in the table, "
        f"and the programs of scores are taken to be there when they are needed.{waited}{fits}"
    )


def _seconds(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.05 else "<0.1" if value > 0 else "0"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 or share == 0 else "<1 %"


def _bytes(count: float) -> str:
    return f"{count / GIGA:.3g} GB" if count >= 0.1 * GIGA else f"{count / 1e6:.3g} MB"
