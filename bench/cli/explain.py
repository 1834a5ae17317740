"""`vae-bench explain`: all about a likelihood."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import PluginFiles, Refused, columns


def verb(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="The name of a family (vae-bench list likelihoods).")],
    plugin: PluginFiles = None,
) -> int:
    """Say all about a likelihood.

    What it assumes, what the decoder must give, its options, how it is
    trained and scored, a loss for your own code, and where it comes from.
    A plug-in is first held to the laws of likelihoods.

    Example:  vae-bench explain gaussian
    """
    from bench.cli.text.explanation import explain as text
    from bench.engine import plugins

    plugins.add(plugin or [])
    try:
        said = text(family, columns())
    except ValueError as error:
        raise Refused(str(error)) from None
    if plugins.origins([family]):
        plugins.obey(family)
    typer.echo(said, nl=False)
    return 0
