"""What `vae-bench explain FAMILY` says: the card of a likelihood, what it needs, and a loss to copy."""

from __future__ import annotations

import inspect
import re
from typing import Any

from bench.cli.text.table import table
from bench.grid.families import (
    ends_said,
    make,
    measure_said,
    needed_options,
    registry,
    scales,
    trainable_on,
    view_said,
    views,
    widths,
)

DIMS, LEVELS = 784, 256  # of MNIST, whose numbers people have in mind


def explain(name: str, width: int) -> str:
    """All that is known of a family or an alias, the text wrapped to `width`. Raises ValueError for an unknown name."""
    catalogue = registry()
    alias = catalogue.ALIASES.get(name)
    family = catalogue.get(name)
    card, plugin = family.card, catalogue.plugins().get(family.name)
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
        *_under("last layer", _last_layer(family.name)),
        *_under("options", _options(family)),
        *_under("trained on", _objectives(name)),
        *_under("scored as", _scored(family)),
        *([("end bins", ends)] if (ends := ends_said(family)) else []),
        ("source", card.source),
        ("used by", card.users),
    ]
    if plugin:
        rows.append(("plug-in", f"{plugin.file.name}, checksum {plugin.sha256[:8]}"))
    heading = f"{title}\n{'=' * len(title)}\n" if len(title) <= width else f"{title}\n\n"
    return f"{heading}{table(rows, width)}\nA loss for your own code:\n\n{snippet(name)}"


def snippet(name: str) -> str:
    """A few lines of torch that run as they are: outputs, ln p(x|z), the ELBO, bits/dim."""
    catalogue = registry()
    family = catalogue.get(name)
    levels = 2 if family.view == "binary" else LEVELS
    given = needed_options(name) | ({"levels": levels} if family.takes_levels else {})
    arguments = "".join(f", {key}={value!r}" for key, value in given.items()).replace("'", '"')
    lik = make(name, needed_options(name), levels)
    view = views()[family.view]
    alias, plugin = catalogue.ALIASES.get(name), catalogue.plugins().get(name)
    own_file = plugin.file.name if plugin and not plugin.installed else None
    unit = "unnormalised: no likelihood" if family.recipe else "nats"
    binned = alias is not None and alias.objective == "binned"
    lines = [
        "import math",
        "",
        "import torch",
        "",
        f"from vae_core import likelihoods{', plugins' if own_file else ''}",
        "",
        f"B, D, Z, K = 100, {DIMS}, 20, {levels}  # batch, values an image, latent, levels",
        f'plugins.register("{own_file}")' if own_file else None,
        f'lik = likelihoods.make("{name}"{arguments})',
        "lik.initialise(0.3)  # where the learned scale starts" if family.takes_sigma else None,
        "encoder = torch.nn.Linear(D, 2 * Z)  # your network",
        f"decoder = torch.nn.Linear(Z, lik.outputs(D))  # yours, with {lik.outputs(DIMS)} outputs",
        "networks = [*encoder.parameters(), *decoder.parameters()]",
        "optimiser = torch.optim.Adam([*networks, *lik.parameters()], lr=1e-3)",
        "",
        "k = torch.randint(K, (B, D))  # your images: integers 0..K-1",
        None if binned else f"x = {view.code}  # {view.code_said}",
        "mean, log_variance = encoder(k / (K - 1)).chunk(2, dim=-1)",
        "z = mean + torch.exp(0.5 * log_variance) * torch.randn(B, Z)",
        "raw = decoder(z)",
        f"log_p = {'lik.log_mass(k, raw, K)' if binned else 'lik.train_log_prob(x, raw)'}  # [B], {unit}",
        "kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)",
        "elbo = log_p - kl  # [B]",
        "loss = -elbo.mean()",
        "optimiser.zero_grad()",
        "loss.backward()",
        "optimiser.step()",
        "",
        f"mass = lik.log_mass(k, raw, K)  # [B], ln P(k|z){' as it is scored' if family.recipe else ', exact'}",
        "bits_per_dim = (kl - mass).mean() / (D * math.log(2))  # an upper bound",
    ]
    return "\n".join(line for line in lines if line is not None) + "\n"


def _under(label: str, texts: list[str]) -> list[tuple[str, str]]:
    """The label beside the first text, nothing beside the others."""
    return [("" if index else label, text) for index, text in enumerate(texts)]


def _last_layer(name: str) -> list[str]:
    """R for each scale: "2 D outputs (1568 for D = 784), sigma = pixel"."""
    lines = []
    for modes, formula in widths(name).items():
        lik = make(name, scales(name)[modes.split(", ")[-1]], LEVELS)
        with_levels = f", K = {LEVELS}" if "K" in formula else ""
        where = f": sigma {modes}" if modes else ""
        lines.append(f"{formula} outputs ({lik.outputs(DIMS)} for D = {DIMS}{with_levels}){where}")
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
