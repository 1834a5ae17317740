"""With which network the configurations of a board were trained, in words.

What a network is called, and which settings it looks at, is its own file's to say (`Network` in
vae_core/networks/_base.py), and recorded by the run: nothing here knows one by name. A setting is said of those
networks alone that look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.grid.families.architectures import spoken
from bench.grid.settings import KEYS, keys_of
from bench.report.text.tuning import words
from bench.statistics.rows import Row

NETWORK = ("network", "hidden", "activation", "latent")  # what is said first, and in words of its own
SIZES = ("widths", "kernel")  # of the others, what is said even where it is as it is unless it is asked for


def network(rows: Sequence[Row], dims: int, recorded: Mapping[str, Any]) -> str:
    """'a 64–200–10 tanh MLP'; of several, what varies: 'a tanh MLP, latent 3, with hidden layers 64–32 or 32'. What was
    tuned is named where all that was tuned is.

    recorded: what the run recorded of its networks, by their names."""
    known = {name: spoken(name, recorded) for row in rows for name in row.networks}
    read = {name: one.looks_at(_told(name, rows)) for name, one in known.items()}
    readers = {key: [name for name in known if key in read[name]] for key in keys_of("network")}
    asked = {key: _values(rows, key, readers[key]) for key in keys_of("network")}
    if not any(asked[key] for key in NETWORK):
        return "a tuned network"

    def of(key: str) -> str:
        """Of which networks a setting is, where some do not look at it."""
        some = len(readers[key]) < len(known)
        return f" ({either(distinct(known[name].said for name in readers[key]))})" if some else ""

    besides = [
        f"{words(key)} {either([_joined(value) for value in asked[key]])}{of(key)}"
        for key in keys_of("network")
        if key not in NETWORK and asked[key] and (key in SIZES or not all(_usual(key, value) for value in asked[key]))
    ]
    names = asked["network"]
    single = all(len(asked[key]) == 1 for key in NETWORK) and not any(key in tuned_keys(rows) for key in NETWORK)
    if single and known[names[0]].dense and not besides:
        widths = [str(dims), *filter(None, asked["hidden"][0].split(",")), asked["latent"][0]]
        return f"a {'–'.join(widths)} {asked['activation'][0]} {known[names[0]].said}"
    kind = either(distinct(known[name].said for name in names)) or "network"
    alike = len(asked["activation"]) == 1 and not of("activation")
    head = f"{asked['activation'][0]} {kind}" if alike else kind
    said = [f"{_article(head)} {head}"]
    if asked["activation"] and not alike:
        said.append(f"activation {either(asked['activation'])}{of('activation')}")
    if asked["latent"]:
        said.append(f"latent {either(asked['latent'])}")
    if asked["hidden"]:
        layers = either([_joined(hidden) or "none" for hidden in asked["hidden"]])
        one = all(hidden.isdigit() for hidden in asked["hidden"])
        said.append(f"with {'a hidden layer of' if one else 'hidden layers'} {layers}{of('hidden')}")
    return ", ".join([*said, *besides])


def tuned_keys(rows: Iterable[Row]) -> list[str]:
    """The keys that were tuned for any of the rows."""
    return list(dict.fromkeys(key for row in rows for key in row.tuned.candidates))


def distinct(values: Iterable[object]) -> list[str]:
    """Values as texts, each once."""
    return list(dict.fromkeys(map(str, values)))


def either(values: Sequence[str]) -> str:
    """'', 'a', 'a or b', 'a, b or c'."""
    return " or ".join(filter(None, (", ".join(values[:-1]), *values[-1:])))


def _told(name: str, rows: Iterable[Row]) -> Iterator[str]:
    """The keys that are told of a network: tuned for it, or other than they are unless they are asked for."""
    for row in rows:
        if name in row.networks:
            yield from (
                key
                for key in keys_of("network")
                if key in row.tuned.candidates or not _usual(key, str(row.settings.get(key)))
            )


def _values(rows: Iterable[Row], key: str, readers: Sequence[str]) -> list[str]:
    """What a key was for those of the rows whose networks look at it, and for which it was not tuned."""
    return distinct(
        row.settings[key]
        for row in rows
        if key not in row.tuned.candidates
        and row.settings.get(key) is not None
        and any(name in readers for name in row.networks)
    )


def _usual(key: str, value: str) -> bool:
    """Whether a value in a table is what it is unless it is asked for, which `Cell.tells` says of a cell's; or one of a
    run that did not know the key."""
    absent = KEYS[key].absent
    usual = ",".join(map(str, absent)) if isinstance(absent, tuple) else str(absent)
    return value in (usual, f"{usual}.0", "nan", "None")


def _joined(value: str) -> str:
    """A list of numbers as people write widths."""
    return value.replace(",", "–")


def _article(head: str) -> str:
    """'a' or 'an'; what is written in capitals without a vowel is spelt: an MLP."""
    word = head.split()[0]
    spelt = word.isupper() and not set(word) & set("AEIOU")
    return "an" if word[0] in ("FHLMNRSX" if spelt else "AEIOaeio") else "a"
