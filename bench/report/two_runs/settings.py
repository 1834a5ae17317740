"""What is said of two runs whose settings differ on purpose: which settings, and what they changed."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.numbers import measured, several
from bench.statistics.rows import Estimate
from bench.statistics.two_runs.pairing import IGNORABLE, Varied
from bench.statistics.two_runs.retrained import MOVED, End, Retrained, Turned

SHOWN = 4  # values of a key that are shown before the rest is only counted


def ignored(changed: Retrained) -> str:
    """What was ignored, and what of it differs."""
    differing = "; ".join(_varied(varied) for varied in changed.ignored if varied.differs)
    equal = ", ".join(varied.key for varied in changed.ignored if not varied.differs)
    said = f"Ignored: {differing}" if differing else "Ignored"
    if equal:
        said += f"{';' if differing else ':'} {equal} (no difference)"
    return f"{said}."


def remedy(varied: Iterable[Varied]) -> str:
    """What sets all cells of two runs apart, and how they are compared in spite of it; '' where nothing does."""
    varied = list(varied)
    if not varied:
        return ""
    said = f"The cells differ in {'; '.join(map(_varied, varied))}"
    if not all(item.key in IGNORABLE for item in varied):
        return f"{said}."
    return f"{said}: with {' '.join(f'--ignore {item.key}' for item in varied)} they are paired by the rest."


def sentences(changed: Retrained) -> list[str]:
    """What the other settings changed; nothing where no configuration could be compared."""
    return [] if changed.configurations.empty else [_moved(changed), _improving(changed), _verdicts(changed)]


def turned(pair: Turned) -> str:
    """A verdict that turns round, in a sentence without its full stop."""
    a, b = (_lead(lead, pair.unit) for lead in (pair.before, pair.after))
    unended = "".join(f"; {label} was still improving in A" for label in pair.unended)
    return f"{pair.better} is better than {pair.worse} by {a} in A, worse by {b} in B{unended}"


def _varied(varied: Varied) -> str:
    a, b = map(_few, (varied.before, varied.after))
    return f"{varied.key} ({f'{a} in A, {b} in B' if a != b else f'{a} in both, of other cells'})"


def _few(values: tuple[str, ...]) -> str:
    rest = len(values) - SHOWN
    return ", ".join(values[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _moved(changed: Retrained) -> str:
    whole = len(changed.configurations)
    moved, beyond = changed.moved(), changed.moved(changed.configurations["beyond"])
    said = f"{moved or 'None'} of {several(whole, 'configuration')} moved by more than {MOVED:g} bits/dim"
    if not moved:
        return f"{said}."
    improving, unknown = (changed.ended("before", end) for end in (End.IMPROVING, End.UNKNOWN))
    groups = {
        "still improving in A": improving,
        "that were not" if improving.any() else "not still improving in A": ~(improving | unknown),
        "of which A does not tell": unknown,
    }
    parts = [f"{changed.moved(some)} of the {some.sum()} {who}" for who, some in groups.items() if some.any()]
    noise = "" if beyond == moved else f" ({beyond or 'none'} of them beyond noise)"
    return f"{said}{noise}: {', '.join(parts)}."


def _improving(changed: Retrained) -> str:
    return f"Still improving when training ended: {_share(changed, 'before')} in A, {_share(changed, 'after')} in B."


def _share(changed: Retrained, run: str) -> str:
    whole, improving = len(changed.configurations), int(changed.ended(run, End.IMPROVING).sum())
    unknown = int(changed.ended(run, End.UNKNOWN).sum())
    if unknown == whole:
        return "not recorded"
    said = f"{improving} of {whole} ({100 * improving / whole:.0f} %)"
    return f"{said} and {unknown} not recorded" if unknown else said


def _verdicts(changed: Retrained) -> str:
    """Of how many verdicts the other run says the same, nothing or the opposite."""
    left_out = (
        f" {several(changed.untrusted, 'configuration')} whose bound cannot be trusted in one of the runs "
        f"{'has' if changed.untrusted == 1 else 'have'} none."
        if changed.untrusted
        else ""
    )
    if not changed.pairs:
        return f"No two configurations can be ranked in both runs.{left_out}"
    pairs, turned = several(changed.pairs, "pair"), len(changed.turned)
    if not changed.judged:
        return f"A has no verdict beyond noise on {pairs}; B has {changed.new or 'none'}.{left_out}"
    said = (
        f'{turned or "None"} of {several(changed.judged, "verdict")} of A "x is better than y" beyond noise '
        f"{'turn' if turned > 1 else 'turns'} round in B; {_counted(changed.stand, 'stand')}, "
        f"{_counted(changed.faded, 'fade')} into noise, and B alone has {changed.new or 'none'} more "
        f"({pairs}; each interval is of its pair alone)."
    )
    return said + left_out


def _counted(amount: int, verb: str) -> str:
    return f"{amount or 'none'} {verb}{'s' if amount < 2 else ''}"


def _lead(lead: Estimate, unit: str) -> str:
    """The size of a lead with its interval."""
    lead = lead if lead.mean >= 0 else lead.times(-1)
    mean, low, high = (measured(value, unit) for value in (lead.mean, lead.low, lead.high))
    return f"{mean} [{low}, {high}] {unit}"
