"""The contexts of a run, data sets with networks, and what a configuration is the same in in all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.grid.cell import number_text, short_name
from bench.grid.settings import KEYS, keys_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family, grouped

NETWORK = keys_of("network")
OWN = keys_of("training", "schedule")  # settings that are a configuration's own


@dataclass(frozen=True, eq=False)
class Context:
    """A data set with a network, and its ranked configurations."""

    data: str  # in words
    network: str  # in words: what tells it from the others on the same data
    settings: str  # of the network, all of them
    currency: str
    unit: str
    board: Board
    rows: Mapping[str, Row]  # by what configurations are the same in

    @property
    def name(self) -> str:
        return f"{self.data}, {self.network}"


def contexts(boards: Sequence[Board]) -> Iterator[Context]:
    """Every data set with every network that something is ranked with; of one data set whose cells were scored on
    several numbers of images the most."""
    best: dict[Any, tuple[Board, list[Row]]] = {}
    for board in sorted(boards, key=lambda board: -board.images):
        for network, rows in grouped(board.ranked, lambda row: _text(_network(row))).items():
            best.setdefault((board.currency, board.name, board.dataset, network), (board, rows))
    for board, rows in best.values():
        on_same = [_network(some[0]) for own, some in best.values() if own.name == board.name]
        alone = len({own.name for own in boards if own.currency == board.currency and own.data == board.data}) == 1
        data = board.data if alone else board.name
        twins = sorted({own.dataset for own in boards if own.currency == board.currency and own.name == board.name})
        if len(twins) > 1:  # files of one name in several folders
            data += f" ({twins.index(board.dataset) + 1})"
        yield Context(
            data=data,
            network=_words(_network(rows[0]), on_same),
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
    return {key: row.settings[key] for key in NETWORK}


def _words(network: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """A network's name, and what tells it from others of that name on the same data."""
    alike = [other for other in others if other["network"] == network["network"]]
    told = [key for key in NETWORK if key != "network" and len({_text(other[key]) for other in alike}) > 1]
    return " ".join([short_name(str(network["network"])), *(f"{key}={_value(network[key])}" for key in told)])


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
