"""The catalogue of likelihoods as the harness reads it: without loading torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from bench.grid import lazy_torch

Scalar = str | int | float | bool

AS_BY_DEFAULT: Mapping[str, Scalar] = MappingProxyType({})  # options of a family: none is told
NOMINAL_LEVELS = 251  # stands for the data's number of levels while no data is at hand

MEASURES = {
    "pmf": "a probability of the integers",
    "density": "per unit length of the data as it is seen",
    "unnormalised": "no probability at all, nothing that sums to 1",
}


def registry() -> ModuleType:
    """vae_core.likelihoods, without loading torch."""
    lazy_torch.install()
    from vae_core import likelihoods

    return likelihoods


def views() -> Mapping[str, Any]:
    """vae_core.data.VIEWS, without loading torch."""
    lazy_torch.install()
    from vae_core.data import VIEWS

    return VIEWS


def objectives() -> tuple[str, ...]:
    """What can be trained on, without loading torch."""
    lazy_torch.install()
    from vae_core.objectives import OBJECTIVES

    return OBJECTIVES


def bounds() -> tuple[str, ...]:
    """The names of the bounds that can be trained, without loading torch."""
    lazy_torch.install()
    from vae_core.objectives import BOUNDS

    return tuple(BOUNDS)


def weighted_bounds() -> frozenset[str]:
    """Those of them that are importance-weighted, without loading torch."""
    lazy_torch.install()
    from vae_core.objectives import BOUNDS

    return frozenset(name for name, bound in BOUNDS.items() if bound.weighted)


def networks() -> ModuleType:
    """vae_core.networks, without loading torch."""
    lazy_torch.install()
    from vae_core import networks

    return networks


def references() -> ModuleType:
    """vae_core.references, without loading torch."""
    lazy_torch.install()
    from vae_core import references

    return references


def require_network(asked: Mapping[str, Any]) -> None:
    """Raises ValueError where no network can be built from what is asked of it, the grid's keys for networks."""
    networks().Architecture(**asked)


def make(family: str, options: Mapping[str, Scalar], levels: int = NOMINAL_LEVELS) -> Any:
    """The likelihood of a cell while no data is at hand; `levels` reaches the families that need it."""
    catalogue = registry()
    needed = {"levels": levels} if catalogue.get(family).takes_levels else {}
    return catalogue.describe(family, **options, **needed)


def trainable_on(likelihood: Any) -> dict[str, str]:
    """Every objective, and why the likelihood cannot be trained on it; "" where it can."""
    return {objective: likelihood.refusal(objective) for objective in objectives()}


def option_names(families: Iterable[str] | None = None) -> list[str]:
    """Names of the options that any of the families takes (of all that are in the catalogue, if none are given): σ, but
    neither the data's levels nor a recipe's scoring, which the harness fills in."""
    catalogue = registry()
    taken = (name for family in families or catalogue.known() for name in catalogue.get(family).option_names())
    return [name for name in dict.fromkeys(taken) if name not in ("levels", "score")]


def view_said(family: Any) -> str:
    """How a family sees the data: `unit: dequantised, …`."""
    return f"{family.view}: {views()[family.view].said}"


def measure_said(family: Any) -> str:
    """What a family's own log_prob is a logarithm of: `density: per unit length …`."""
    return f"{family.measure}: {MEASURES[family.measure]}"


def ends_said(family: Any) -> str:
    """How far a family's end bins reach, "" where they end with the data's range."""
    if not family.opened():
        return ""
    closed = [name for name in family.scorings if name not in family.opened()]
    text = f"except when read as {' or '.join(closed)}, " if closed else ""
    text += "the first and the last have the whole tails, to −∞ and +∞"
    if "ends" in family.option_names():
        other = "they end where the data do, and all masses are divided by their sum"
        text += f' (ends = "open"); with ends = "renormalised" {other}'
    return f"{text}; a run shows its score with renormalised ends beside the score"


def needed_options(family: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> dict[str, Scalar]:
    """What a family cannot be made without, but for the data's levels, with the values of its first example; and the
    options that are told."""
    likelihood = registry().get(family)
    defaults = likelihood.option_defaults()
    needed = {
        name: value for name, value in likelihood.examples[0].items() if defaults.get(name) is inspect.Parameter.empty
    }
    return {**needed, **told}


def couplings(family: str) -> list[str]:
    """How a family can treat the channels of a pixel beside its default: the words of its examples; none if it has no
    such option."""
    return list(dict.fromkeys(str(each["channels"]) for each in registry().get(family).examples if "channels" in each))


def scales(family: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> dict[str, dict[str, Scalar]]:
    """Options for each way that σ can be given, "a number" among them; "" stands for a family without σ. With the
    others as told, without the scales that do not go with them."""
    likelihood = registry().get(family)
    others = {name: value for name, value in told.items() if name != "sigma"}
    needed = needed_options(family, others)
    if not likelihood.takes_sigma:
        return {"": needed}
    modes = [mode for mode in likelihood.sigma_modes if not others or _can_be(family, {**needed, "sigma": mode})]
    return {"a number": {**needed, "sigma": 0.1}} | {mode: {**needed, "sigma": mode} for mode in modes}


def _can_be(family: str, options: Mapping[str, Scalar]) -> bool:
    try:
        make(family, options)
    except ValueError:
        return False
    return True


def widths(family: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> dict[str, str]:
    """What the decoder's last layer must give, as a formula in D (and K, the levels), by σ: `{"pixel": "2 D", …}`.

    Settings of one width share an entry, "a number, shared"; "" stands for a family without σ. The other options are
    as told.
    """
    by_width: dict[str, list[str]] = {}
    for name, options in scales(family, told).items():
        by_width.setdefault(_width(family, options), []).append(name)
    return {", ".join(names): width for width, names in by_width.items()}


def _width(family: str, options: Mapping[str, Scalar]) -> str:
    """R(D, K), linear in each: from its values at a few."""

    def width(dims: int, levels: int) -> int:
        return int(make(family, options, levels).outputs(dims))

    slope = {levels: width(3, levels) - width(2, levels) for levels in (2, 3)}
    start = {levels: width(2, levels) - 2 * slope[levels] for levels in (2, 3)}
    per_level = {"K D": slope[3] - slope[2], "K": start[3] - start[2]}
    terms = {
        "K D": per_level["K D"],
        "D": slope[2] - 2 * per_level["K D"],
        "K": per_level["K"],
        "": start[2] - 2 * per_level["K"],
    }
    text = ""
    for unit, count in terms.items():
        if count:
            amount = unit if unit and abs(count) == 1 else f"{abs(count)} {unit}".strip()
            text += f" {'-' if count < 0 else '+'} {amount}" if text else f"{'-' if count < 0 else ''}{amount}"
    return text or "0"
