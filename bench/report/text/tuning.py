"""What is said of tuning: what was chosen, how candidates ended, and which choices lie at the edge of their range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bench.grid.cell import number_text
from bench.report.numbers import listed, several
from bench.report.text.findings import Finding, first_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from bench.statistics.tuning import BEHIND, DIVERGED, SHAPING, Candidate
from vae_core.statistics.intervals import Verdict


def words(key: str) -> str:
    """A key of the grid as people say it."""
    return key.replace("_", " ")


def value_text(value: Any) -> str:
    """A value as a grid file writes it, but for the quotes of a word."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return number_text(value)


def values_text(values: Mapping[str, Any]) -> str:
    """'learning rate 0.01, latent 10'."""
    return ", ".join(f"{words(key)} {value_text(value)}" for key, value in values.items())


def edges_text(edges: Mapping[str, Any], keys: Sequence[str]) -> str:
    """'edge: also try 0.09', 'edge' where there is no value to name; '' away from edges. Of several keys each as a grid
    file writes it, where it is to be added."""
    if not edges:
        return ""
    named = {key: f"{key} " if len(keys) > 1 else "" for key in edges}
    tries = [f"{named[key]}{value_text(value)}" for key, value in edges.items() if value is not None]
    nameless = [named[key].strip() for key, value in edges.items() if value is None and named[key]]
    whose = f"edge of {listed(nameless)}" if nameless else "edge"
    return f"{whose}: also try {listed(tries)}" if tries else whose


def how_candidate_ended(candidate: Candidate) -> str:
    match candidate.ended_by:
        case "patience":
            text = f"ended at epoch {candidate.epochs}"
        case "limit":
            text = f"at its limit, epoch {candidate.epochs}"
        case _ if candidate.ended_by == BEHIND:
            text = f"left at epoch {candidate.epochs}: beyond reach of the best"
        case _ if candidate.ended_by == DIVERGED:
            return f"diverged at epoch {candidate.epochs}"
        case other:
            text = f"{other or 'ended'} at epoch {candidate.epochs}"
    return f"{text}; {candidate.reason}" if candidate.reason else text


def procedure(keys: Sequence[str]) -> str:
    """How values were chosen, in a few sentences; `keys` are what was tuned."""
    text = (
        f"The {listed([words(key) for key in keys])} {'is' if len(keys) == 1 else 'are'} not compared but chosen "
        "for every configuration in the same way: all get the same candidates, trained from a seed of their own that "
        "no number of the rankings comes from; who is beyond reach of a rival that has ended leaves (but for recipes, "
        "whose own number is not what they are judged by). The best on the validation images is chosen, by the bound "
        "of training taken of exact masses, in bits/dim. Where the two best are near, or what is tuned changes how "
        "tight "
        "the bound is, those two are judged by refined importance weighting. Then the seeds of the grid are trained "
        "with what was chosen."
    )
    shaping = [words(key) for key in keys if key in SHAPING]
    if shaping:
        text += (
            f" Configurations for which another {listed(shaping).replace(' and ', ' or ')} was chosen share no random "
            "numbers any more: the seed pairs them in name only, and differences between them are noisier."
        )
    return text


def at_edge(board: Board) -> Markup:
    """What the headline must say of choices at the edge of their range: of the winner's, and of those of rivals that
    cannot be told apart from it or are within reach; nothing where there are none."""
    near = at_stake(board)
    if not near:
        return Markup("")
    names = first_of([Markup("<b>{}</b>").format(row.label) for row in near])
    return Markup("What was tuned for {} lies at the edge of its range: a value beyond may fit better; {}.").format(
        names, remedy(near)
    )


def at_stake(board: Board) -> list[Row]:
    """The ranked configurations at an edge that may be the best, or may become it."""
    return [
        row
        for row in board.ranked
        if row.tuned.edges and (row.rank == 1 or row.verdict == Verdict.INDISTINGUISHABLE or row in board.within_reach)
    ]


def remedy(rows: Iterable[Row]) -> Markup:
    """What to add to the grid: 'add 0.09 to learning_rate under [tune]'."""
    wanted: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.tuned.edges.items():
            added = wanted.setdefault(key, [])
            if value is not None and value_text(value) not in added:
                added.append(value_text(value))
    parts = [Markup("{} to <code>{}</code>").format(listed(values) or "a value", key) for key, values in wanted.items()]
    return Markup("add {} under <code>[tune]</code>").format(Markup(listed([str(part) for part in parts])))


def tuning(board: Board) -> Iterator[Finding]:
    """What was tuned and chosen, and which choices lie at an edge."""
    rows = [row for row in board.everything if row.tuned]
    if not rows:
        return
    given = rows[0].tuned.candidates
    texts = [
        Markup("The {} {} chosen on validation images, {}.").format(
            listed([words(key) for key in given]), "was" if len(given) == 1 else "were", _choices(rows)
        )
    ]
    edged = [row for row in rows if row.tuned.edges]
    if len(edged) > len(at_stake(board)):  # the headline has these
        texts.append(
            Markup("{} of {} {} at the edge of {} range: {}. A value beyond may fit better: {}.").format(
                len(edged),
                several(len(rows), "choice"),
                "lies" if len(edged) == 1 else "lie",
                "its" if len(edged) == 1 else "their",
                first_of([Markup("<b>{}</b> ({})").format(row.label, _edged(row)) for row in edged]),
                remedy(edged),
            )
        )
    yield Finding("Tuning", tuple(texts))


def _edged(row: Row) -> str:
    """What was chosen of the keys whose choice lies at an edge; by name, where several were tuned."""
    values = {key: row.tuned.values[key] for key in row.tuned.edges}
    return values_text(values) if len(row.tuned.candidates) > 1 else listed([value_text(v) for v in values.values()])


def _choices(rows: Sequence[Row]) -> str:
    """From which candidates; of a single key, how often each of them was chosen."""
    given = rows[0].tuned.candidates
    if len(rows) == 1:
        among = "; ".join(
            f"{value_text(rows[0].tuned.values[key])} of {listed(list(map(value_text, values)))}"
            for key, values in given.items()
        )
        return f"from the candidates of the grid: {among}"
    same = "for every configuration from the same candidates"
    if len(given) != 1:
        every = " with ".join(f"{words(key)} {listed(list(map(value_text, v)))}" for key, v in given.items())
        return f"{same}, every combination of {every}"
    ((key, values),) = given.items()
    chosen = Counter(value_text(row.tuned.values[key]) for row in rows)
    counts = [f"{text} for {chosen[text] or 'none'}" for text in map(value_text, values)]
    return f"{same}: {listed(counts)}"
