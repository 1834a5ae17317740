"""What `vae-bench explain FAMILY` says: the card of a likelihood, what it needs, its raw outputs, a loss to copy."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from bench.cli.text.raw_outputs import raw_outputs
from bench.cli.text.table import table
from bench.grid.families import (
    AS_BY_DEFAULT,
    Scalar,
    couplings,
    ends_said,
    make,
    measure_said,
    needed_options,
    registry,
    scales,
    trainable_on,
    view_said,
    widths,
)
from bench.grid.families.code import CODES, LEVELS, code, dims_of

COUPLED = "coupled: each channel of a pixel is scored given the earlier ones; it is told shape=(C, H, W)"
#: what `kl_weight` does, to every family alike
WEIGHED = (
    "kl_weight = w raises E ln p − w KL in training, kl_warmup lets w rise from 0 over the first epochs, free_bits "
    "leaves so many nats of each latent dimension free; every score has the KL as it is. Of a Gaussian's density "
    "with a number for σ, w is that σ over again: σ√w at w = 1 is the same training (of a Laplace σw; of its "
    "bins it is not); beta of beta_mse is w beside Σ (x−μ)²"
)
LOSS = "A loss for your own code:"  #: stands above it


def explain(name: str, width: int, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> str:
    """All that is known of a family or an alias, the text wrapped to `width`; the loss with the options that are told,
    the raw outputs with those but for σ, of which they show every way.

    Raises ValueError for an unknown name, and for options that the family does not take or cannot be trained with.
    """
    catalogue = registry()
    alias = catalogue.ALIASES.get(name)
    family = catalogue.get(name)
    card, plugin = family.card, catalogue.plugins().get(family.name)
    loss = code("loss", name, told)  # which refuses what cannot be
    dims = dims_of(name, told)
    title = f"{name}: {card.title}"
    if alias:
        title = f"{name}: {alias.family} trained on its bins (objective = {alias.objective!r})"
    rows = [
        ("assumes", card.summary),
        ("formula", card.formula),
        ("support", card.support),
        ("data", f"view {view_said(family)}"),
        ("measure", measure_said(family)),
        ("parameters", card.parameters),
        *_under("last layer", _last_layer(family.name, told, dims)),
        *_under("options", _options(family)),
        *_under("trained on", _objectives(name)),
        ("KL weight", WEIGHED),
        *_under("scored as", _scored(family)),
        *([("end bins", ends)] if (ends := ends_said(family)) else []),
        *_under("channels", _channels(family, told)),
        ("source", card.source),
        ("used by", card.users),
    ]
    if plugin:
        rows.append(("plug-in", f"{plugin.file.name}, checksum {plugin.sha256[:8]}"))
    heading = f"{title}\n{'=' * len(title)}\n" if len(title) <= width else f"{title}\n\n"
    raw = raw_outputs(family.name, width, dims, LEVELS, told)
    return (
        f"{heading}{table(rows, width)}"
        f"\nRaw outputs, what the decoder's last layer gives:\n\n{raw}"
        f"\n{LOSS}\n\n{loss}"
        f"\nMore to copy:\n\n{codes(name, told)}"
    )


def codes(name: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> str:
    """What `--code` prints, one line each, and how the loss is got with another σ or with other channels."""
    asked = f"vae-bench explain {name}" + "".join(f" --{option} {value}" for option, value in told.items())
    family, alias = registry().get(name), registry().ALIASES.get(name)
    plugin = registry().plugins().get(name)
    from_file = f" --plugin {plugin.file.name}" if plugin and not plugin.installed else ""
    rows = [(f"{asked} --code {kind}{from_file}", said) for kind, said in CODES.items() if kind != "loss"]
    if family.takes_sigma:
        used = _in_use(family, told).get("sigma")
        modes = scales(name, told)
        others = [mode for mode in family.sigma_modes if mode != used and mode in modes]
        if alias:
            others = [mode for mode in others if not make(name, modes[mode]).refusal(alias.objective)]
        rows.append((f"--sigma {', '.join([*others, '0.1'])}", "each of these with another σ"))
    if words := [word for word in couplings(family.name) if word != told.get("channels")]:
        rows.append((f"--channels {', '.join(words)}", "each of these, and the raw outputs, with coupled channels"))
    return "".join(f"  {call}\n      {said}\n" for call, said in rows)


def _under(label: str, texts: list[str]) -> list[tuple[str, str]]:
    """The label beside the first text, nothing beside the others."""
    return [("" if index else label, text) for index, text in enumerate(texts)]


def _in_use(family: Any, told: Mapping[str, Scalar]) -> dict[str, Any]:
    """Every option of a family, as told or by default."""
    return {**family.option_defaults(), **told}


def _channels(family: Any, told: Mapping[str, Scalar]) -> list[str]:
    """Whether the channels of a pixel are coupled in what is shown, and how that is changed."""
    if family.couples_channels:
        return [COUPLED]
    if not (words := couplings(family.name)):
        return []
    shown = _in_use(family, told)["channels"]
    others = ", ".join(f"--channels {word}" for word in words if word != shown)
    lines = [
        f"last layer, raw outputs and loss here are of channels = {shown!r}" + (f"; or {others}" if others else "")
    ]
    return [*lines, COUPLED] if shown in words else lines


def _last_layer(name: str, told: Mapping[str, Scalar], dims: int) -> list[str]:
    """R for each scale: "2 D outputs (1568 for D = 784), sigma = pixel"."""
    lines = []
    for modes, formula in widths(name, told).items():
        lik = make(name, scales(name, told)[modes.split(", ")[-1]], LEVELS)
        with_levels = f", K = {LEVELS}" if "K" in formula else ""
        where = f": sigma {modes}" if modes else ""
        lines.append(f"{formula} outputs ({lik.outputs(dims)} for D = {dims}{with_levels}){where}")
    return lines


def _options(family: Any) -> list[str]:
    """Each option with its default, and what its docstring says it takes."""
    about = _arguments(inspect.getdoc(family) or "")
    signature = inspect.signature(family.__init__).parameters if family.option_names() else {}
    lines = []
    for name in family.option_names():
        default = signature[name].default
        start = f"{name}, needed" if default is inspect.Parameter.empty else f"{name} = {default!r} by default"
        lines.append(f"{start}: {about[name]}" if name in about else start)
    return lines or ["none"]


def _arguments(documentation: str) -> dict[str, str]:
    """The entries of a docstring's Args section."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", documentation, re.MULTILINE)
    if not section:
        return {}
    entries = re.split(r"^ {4}(\w+): ", section.group(1), flags=re.MULTILINE)
    return {
        name: " ".join(text.partition("Raises")[0].split())
        for name, text in zip(entries[1::2], entries[2::2], strict=True)
    }


def _objectives(name: str) -> list[str]:
    """What it can be trained on, and why not on the others."""
    reasons = trainable_on(make(name, needed_options(name)))
    if alias := registry().ALIASES.get(name):
        reasons = {alias.objective: ""}
    able = [objective for objective, why in reasons.items() if not why]
    return [", ".join(able), *(f"not {objective}: {why}" for objective, why in reasons.items() if why)]


def _scored(family: Any) -> list[str]:
    """What its numbers are probabilities of; of a recipe, every reading in words."""
    if family.recipe:
        readings = [f"{scoring}: {family.scoring_said(scoring)}" for scoring in family.scorings]
        own = "its own number is shown, never ranked"
        if len(readings) == 1:
            return [f"the exact bin masses of what its decoder implies, as {readings[0]}; {own}"]
        said = "each of these by its exact masses, and ranked as the one that is best on validation images"
        return [f"{said}; {own}", *readings]
    if family.view == "binary":
        return ["itself: nats of the binarised image (pmf-2)"]
    if family.measure == "pmf":
        return ["itself: bits/dim of the integers (pmf-K)"]
    return ["the exact masses of its bins: bits/dim of the integers (pmf-K), beside its dequantised bound"]
