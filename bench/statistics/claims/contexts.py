"""The contexts of a run, data sets with networks, and what a configuration is the same in in all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.grid.cell import number_text
from bench.grid.families.architectures import spoken
from bench.grid.settings import KEYS, keys_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family, grouped

NETWORK = keys_of("network")
OWN = keys_of("training", "schedule")  # settings that are a configuration's own


@dataclass(frozen=True, eq=False)
class Context:
    """A data set with a network, and its ranked configurations."""

    data: str  # in words
    network: str  # in words: what tells it from the others of its kind on the same data
    kind: str  # of the network, by its name in a grid
    settings: str  # of the network, all of them
    currency: str
    unit: str
    board: Board
    rows: Mapping[str, Row]  # by what configurations are the same in

    @property
    def name(self) -> str:
        return f"{self.data}, {self.network}"

    def has_data_of(self, other: Context) -> bool:
        """Whether both are of one data set, whatever the words."""
        return (self.board.dataset, self.board.name) == (other.board.dataset, other.board.name)


def contexts(boards: Sequence[Board]) -> Iterator[Context]:
    """Every data set with every network that something is ranked with; of one data set whose cells were scored on
    several numbers of images the most."""
    best: dict[Any, tuple[Board, list[Row]]] = {}
    for board in sorted(boards, key=lambda board: -board.images):
        for network, rows in grouped(board.ranked, lambda row: _text(_network(row))).items():
            best.setdefault((board.currency, board.name, board.dataset, network), (board, rows))
    firsts = [(board, rows[0]) for board, rows in best.values()]
    names, told = _names(firsts), _told_apart(firsts)
    for board, rows in best.values():
        alone = len({own.name for own in boards if own.currency == board.currency and own.data == board.data}) == 1
        data = board.data if alone else board.name
        twins = sorted({own.dataset for own in boards if own.currency == board.currency and own.name == board.name})
        if len(twins) > 1:  # files of one name in several folders
            data += f" ({twins.index(board.dataset) + 1})"
        kind = _kind(rows[0])
        yield Context(
            data=data,
            network=_words(rows[0], names, told[board.currency, kind]),
            kind=kind,
            settings=_text(_network(rows[0])),
            currency=board.currency,
            unit=board.unit,
            board=board,
            rows={key: min(some, key=_surest) for key, some in grouped(rows, same).items()},
        )


def same(row: Row) -> str:
    """What a configuration is the same in everywhere, as text."""
    settings = {key: KEYS[key].absent if row.settings[key] in KEYS[key].implied else row.settings[key] for key in OWN}
    chosen = row.recipe and row.reading_of
    return _text([row.family, row.sigma, row.own_options, "" if chosen else row.scored_as, row.view, settings])


def _surest(row: Row) -> tuple[int, str]:
    """Of rows that differ in their evaluation alone the one with most samples first."""
    return -int(row.results.iw_samples or 0), row.config


def _network(row: Row) -> dict[str, Any]:
    """The settings of a row's network; of one that was tuned its candidates."""
    return {key: row.tuned.candidates.get(key, row.settings[key]) for key in NETWORK}


def _kind(row: Row) -> str:
    """Networks of one kind differ in settings alone; where the network is tuned, those of the same candidates."""
    return _text(_network(row)["network"])


def _names(firsts: Sequence[tuple[Board, Row]]) -> dict[str, str]:
    """What each network of a run is called, which no other is: of what would be called the same, such as files of one
    name in several folders, each has its number."""
    said = {name: spoken(name, board.scope.networks).said for board, row in firsts for name in row.networks}
    twins = grouped(sorted(said), lambda name: said[name])
    return {
        name: f"{word} ({twins[word].index(name) + 1})" if len(twins[word]) > 1 else word for name, word in said.items()
    }


def _told_apart(firsts: Sequence[tuple[Board, Row]]) -> dict[tuple[str, str], list[str]]:
    """By currency and kind of network: the settings in which those of the kind differ on one data set. They are said of
    all of the kind, so that a network has the same words on all data."""
    told: dict[tuple[str, str], set[str]] = {}
    on_same = grouped(firsts, lambda one: (one[0].currency, _kind(one[1]), one[0].dataset, one[0].name))
    for (currency, kind, *_), some in on_same.items():
        differ = {key for key in NETWORK if len({_text(_network(row)[key]) for _, row in some}) > 1}
        told.setdefault((currency, kind), set()).update(differ)
    return {of: [key for key in NETWORK if key in differ] for of, differ in told.items()}


def _words(row: Row, names: Mapping[str, str], told: Sequence[str]) -> str:
    """A network's name, and what tells it from others of its kind."""
    name = " or ".join(names[one] for one in row.networks) + " (tuned)" * ("network" in row.tuned.candidates)
    return " ".join([name, *(f"{key}={_value(row.settings[key])}" for key in told)])


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else number_text(value)


def labels(keys: Iterable[str], found: Sequence[Context]) -> dict[str, str]:
    """What configurations are called where data and network are not meant: as rows are labelled, without those."""
    rows = {key: next(context.rows[key] for context in found if key in context.rows) for key in keys}
    told = [
        key
        for key in OWN
        if key not in ("objective", "bound") and len({_text(row.settings[key]) for row in rows.values()}) > 1
    ]
    views = {family: len({row.view for row in some}) > 1 for family, some in by_family(rows.values()).items()}
    names = {}
    for key, row in rows.items():
        parts = [row.family] + ([f"σ={row.sigma}"] if row.sigma else [])
        parts += [f"{name}={number_text(value)}" for name, value in sorted(row.own_options.items())]
        if row.scored_as != "itself" and not (row.recipe and row.reading_of):
            parts.append(f"({row.scored_as.replace('_', ' ')})")
        parts += [str(row.settings[name]) for name in ("objective", "bound") if _told(name, row.settings[name])]
        parts += [f"{name}={_value(row.settings[name])}" for name in told]
        names[key] = " ".join(parts + [row.view] * views[row.family])
    return names


def _told(key: str, value: Any) -> bool:
    return value != KEYS[key].absent and value not in KEYS[key].implied


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
