"""`vae-bench run`: carries out a grid."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    DeviceOption,
    NetworkNames,
    Overrides,
    PluginFiles,
    Refused,
    RunFileOption,
)
from bench.grid.errors import printable


def verb(
    grid: Annotated[str, typer.Argument(help="A shipped grid (vae-bench list grids), or a path to a .toml file.")],
    device: DeviceOption = "auto",
    out: RunFileOption = None,
    set_: Overrides = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed cells again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run file in place of the old one.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time limit for a cell (a bundle: the sum of its cells'), inf: none  [default: by its progress].",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", metavar="SECONDS", help="End after so long, keeping what is done  [default: none]."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Worker processes  [default: one a core, or one a GPU].")
    ] = None,
    weights: Annotated[
        float, typer.Option(metavar="MB", help="Trained weights kept beside the run file, at most; 0: none.")
    ] = 256,
    plugin: PluginFiles = None,
    network: NetworkNames = None,
) -> int:
    """Run a grid; run it again to resume.

    Computes what the run file lacks of the grid, and stores it as it ends.
    vae-bench model gives a cell's trained weights.
    A plug-in of the grid is first held to the laws of likelihoods, a network of your own to those of networks.
    A cell that hangs is ended: asleep for a minute without progress, or computing for ten without.
    How long it takes is predicted (see vae-bench estimate) until cells have ended by which that is known.

    Example:  vae-bench run digits --set epochs=20 --set seed=[0,1]
    """
    from bench.cli.text.cautions import cautions
    from bench.engine import plugins
    from bench.engine.interrupt import exit_code
    from bench.engine.process.printed import aside, surely
    from bench.engine.progress import Reporter, duration
    from bench.engine.run import Interrupted, Options, run_grid
    from bench.grid.document import text_of
    from bench.grid.read import find_grid, load_grid

    if timeout is not None and not timeout > 0:
        raise Refused(f"--timeout {timeout:g}: give a number of seconds > 0, inf for no limit, or leave it out.")
    if time_limit is not None and not time_limit > 0:
        raise Refused(f"--time-limit {time_limit:g}: give a number of seconds > 0, or leave it out.")
    if not 0 <= weights < math.inf:
        raise Refused(f"--weights {weights:g}: give a number of megabytes, 0 or more; 0 keeps none.")
    with aside() as printed:  # a plug-in's module, which this process imports too, may print
        given = plugins.add(plugin or [], printed.say)
        named = [f"network=[{', '.join(map(text_of, network))}]"] if network else []
        if network and any(text.partition("=")[0].strip() == "network" for text in set_ or ()):
            raise Refused("--network and --set network both name networks; give one of them.")
        loaded = load_grid(find_grid(grid), [*(set_ or []), *named], {"network": "--network"} if network else {})
        if unused := sorted(set(given) - {cell.family for cell in loaded.cells}):
            raise Refused(
                f"--plugin: no cell of the grid is of the family {unused[0]}; name it under family in the grid."
            )
        for line in (*loaded.notes, *cautions(loaded.cells)):
            printed.say(line)
        path = out or Path("results") / f"{loaded.name}.sqlite"
        options = Options(
            device,
            retry_failed,
            fresh,
            timeout,
            workers,
            weights,
            sys.argv[1:],
            overheard=printed.take,
            time_limit=time_limit or math.inf,
            foretell="bench.speed.estimate.beside:foretell",
        )
        with Reporter(printed.terminal) as reporter:
            try:
                summary = run_grid(loaded, path, options, reporter)
            except Interrupted as stop:
                reporter.finish()
                why = "interrupted" if stop.given is None else f"the time limit of {stop.given:g} s is over"
                reporter.say(f"{why}: {stop}; the same command resumes.")
                if stop.log:
                    reporter.say(stop.log)
                return exit_code()
    terminal = surely(sys.stderr)
    typer.echo(f"{summary.done} done, {summary.failed} failed, {duration(summary.seconds)}, {printable(path)}")
    if summary.lost:
        print(f"{summary.lost} of the failed were lost from outside; running again tries them again", file=terminal)
    if summary.failed > summary.lost and not retry_failed:
        print("the report says why cells failed; --retry-failed tries them again", file=terminal)
    run = path.stem if path == Path("results") / f"{path.stem}.sqlite" else path
    print(f"vae-bench report {printable(run)} ranks them, with a page to look at", file=terminal)
    if summary.log:
        print(summary.log, file=terminal)
    return 1 if summary.failed else 0
