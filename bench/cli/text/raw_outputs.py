"""What `vae-bench explain` says of raw outputs: how they are read, how one's own parameters become them, and how
pictures are laid flat."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from bench.grid.families import AS_BY_DEFAULT, Scalar, make, registry, scales, widths

_WIDEST = 76  # of a line of code, which stands 4 columns in


def raw_outputs(name: str, width: int, dims: int, levels: int, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> str:
    """Of a family, its options as told, for D = dims and K = levels, wrapped to `width`."""
    made = {mode: make(name, options, levels) for mode, options in scales(name, told).items()}
    alike: dict[tuple[Any, ...], list[str]] = {}
    for mode, lik in made.items():
        layout = lik.layout()
        alike.setdefault((layout.lines, layout.names) if layout else (_formula(name, mode, told),), []).append(mode)
    blocks: list[str] = []
    for modes in alike.values():
        first = made[modes[0]]
        of_sigma = f"sigma {', '.join(modes)}: " if modes[0] else ""
        blocks.append(f"{of_sigma}raw [..., R], R = {_formula(name, modes[0], told)}")
        if layout := first.layout():
            blocks.append(_lines(layout))
        else:
            blocks.append(f"{first.card.parameters}. {_making(first)}")
        for mode in modes:
            beside = layout.beside if (layout := made[mode].layout()) else ()
            blocks += [f"{f'{mode}: ' if len(modes) > 1 else ''}{one}." for one in beside]
        blocks.append(_pictures(first, dims))
    return "\n\n".join(block if block.startswith(" ") else _wrapped(block, width) for block in blocks) + "\n"


def _formula(name: str, mode: str, told: Mapping[str, Scalar]) -> str:
    """R of one mode of σ."""
    return next(formula for modes, formula in widths(name, told).items() if mode in modes.split(", "))


def _lines(layout: Any) -> str:
    """What reads raw outputs, and what makes them."""
    given = ", ".join(f"{ways[0]}={ways[0]}" for ways in layout.names)
    others = [f"# or, for {ways[0]}: {', '.join(ways[1:])}" for ways in layout.names if len(ways) > 1]
    back = f"raw = lik.raw({given})  # and back"
    if len(back) > _WIDEST:
        back = f"raw = lik.raw(\n    {given}\n)  # and back"
    return textwrap.indent("\n".join([*layout.lines, back, *others]), "    ")


def _making(lik: Any) -> str:
    """Of a family without a layout: what its own `raw` says of itself."""
    if type(lik).raw is registry().Likelihood.raw:
        return f"No lik.raw(...) makes them: {lik.name} offers none."
    first = " ".join((inspect.getdoc(type(lik).raw) or "").partition("\n\n")[0].split())
    return f"lik.raw(...) makes them: {first or 'it does not say from what.'}"


def _pictures(lik: Any, dims: int) -> str:
    """How outputs of a convolution are read."""
    planes = lik.outputs(1)
    if lik.outputs(dims) != planes * dims:
        return (
            "Of pictures, with shape=(C, H, W): x [..., C, H, W] and raw [..., lik.outputs(C), H, W], as a last Conv2d "
            "of so many channels gives it; of what an image has once, the last, the mean over its plane is taken."
        )
    shown, order = ("", "") if planes == 1 else (f"{planes} ", "; plane p C + c is output p of channel c")
    return (
        f"Of pictures, with shape=(C, H, W): x [..., C, H, W] and raw [..., {shown}C, H, W], as a last Conv2d of "
        f"lik.outputs(C) channels gives it{order}."
    )


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
