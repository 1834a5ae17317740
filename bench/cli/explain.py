"""`vae-bench explain`: all about a likelihood."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bench.cli.options import PluginFiles, Refused, columns
from bench.grid.errors import MOST, brief, on_stderr


class Code(StrEnum):
    loss = "loss"
    torch = "torch"
    lightning = "lightning"
    change = "change"


def verb(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="The name of a family (vae-bench list likelihoods).")],
    code: Annotated[
        Code | None,
        typer.Option(
            help="Print code alone: a loss, a training loop in plain torch or in Lightning, or the change from "
            "MSE + KL, as a diff."
        ),
    ] = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|MODE", help="The scale in the code: 0.1, shared, pixel, …  [default: the family's]."
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="WORD", help="How the channels of a pixel are treated: coupled, …  [default: the family's]."
        ),
    ] = None,
    plugin: PluginFiles = None,
) -> int:
    """Say all about a likelihood.

    What it assumes, what the decoder must give and how that is read, its
    options, how it is trained and scored, a loss for your own code, and
    where it comes from. A plug-in is first held to the laws of
    likelihoods.

    Example:  vae-bench explain gaussian

    Example:  vae-bench explain gaussian --sigma pixel --code torch

    Example:  vae-bench explain logistic_mixture --channels coupled
    """
    from bench.cli.text import explanation
    from bench.engine import plugins
    from bench.grid.families import code as snippets

    plugins.add(plugin or [], on_stderr)
    plugins.named(family, on_stderr)
    try:
        asked = {"sigma": _scale(sigma), "channels": channels}
        told = {name: value for name, value in asked.items() if value is not None}
        said = snippets.code(code, family, told) if code else explanation.explain(family, columns(), told)
        about = snippets.notes(family, columns()) if code is Code.change else ""
    except ValueError as error:
        raise Refused(brief(error, MOST)) from None
    if plugins.origins([family]):
        plugins.obey(family)
    if about:
        typer.echo(about, err=True)
    typer.echo(said, nl=False)
    return 0


def _scale(sigma: str | None) -> float | str | None:
    """A number where it reads as one."""
    try:
        return None if sigma is None else float(sigma)
    except ValueError:
        return sigma
