"""The command line: run, report, export, compare, throughput, list, explain, doctor.

Expected errors are one sentence on stderr and exit code 2. Each verb imports what it needs when it is called, so that
`--help` is instant and only `doctor`'s, `run`'s and `throughput`'s workers load torch.
"""

from __future__ import annotations

import difflib
import errno
import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

if TYPE_CHECKING:
    from bench.store import RunTables

# Typer raises click's exceptions, but has its own copy of click from 0.22 on: this is the base of them in both.
UsageProblem = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])
INTERRUPTED = 130

app = typer.Typer(
    help="What is ln p(x|z) in a VAE, and what does choosing it change? A benchmark of decoder likelihoods.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Shelf(StrEnum):
    likelihoods = "likelihoods"
    datasets = "datasets"
    grids = "grids"


PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Take in a likelihood from a Python file; may be repeated."),
]


class Refused(Exception):
    """Bad input that the command line itself finds; the message is one sentence."""


def main() -> NoReturn:
    """The entry point of `vae-bench`."""
    sys.exit(carry_out(sys.argv[1:]))


def carry_out(arguments: list[str]) -> int:
    """Carry out one command line; gives the exit code: 0 all well, 1 something failed, 2 bad input, 130 Ctrl-C."""
    try:
        code = app(arguments, prog_name="vae-bench", standalone_mode=False)
    except UsageProblem as problem:
        return _refuse(f"{problem.format_message()} (vae-bench --help)")
    except typer.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return _refuse("interrupted.", INTERRUPTED)
    except BrokenPipeError:  # as in `vae-bench list grids | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, _expected()):
            return _refuse(_os_sentence(error) if isinstance(error, OSError) else str(error))
        raise
    return int(code or 0)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    if version:
        from bench.engine.provenance import package_version

        typer.echo(f"vae-bench {package_version('vae-likelihood-bench')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    context: typer.Context,
    grid: Annotated[str, typer.Argument(help="A shipped grid (vae-bench list grids), or a path to a .toml file.")],
    device: Annotated[Device, typer.Option(help="Where to compute; auto takes CUDA where there is any.")] = Device.auto,
    out: Annotated[Path | None, typer.Option(help="The run file  [default: results/NAME.sqlite].")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the grid everywhere; may be repeated."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed cells again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run file in place of the old one.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time limit for a cell (a bundle has the sum of its cells')."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Worker processes  [default: one a core, or one for a GPU].")
    ] = None,
    plugin: PluginFiles = None,
) -> int:
    """Run a grid; run it again to resume.

    Computes what the run file lacks of the grid, and stores it as it ends.
    A plug-in of the grid is first held to the laws of likelihoods.

    Example:  vae-bench run digits --set epochs=20 --set seed=[0,1]
    """
    from bench.engine import plugins
    from bench.engine.progress import Reporter, duration
    from bench.engine.run import Interrupted, Options, run_grid
    from bench.grid.read import find_grid, load_grid

    if timeout is not None and not timeout > 0:
        raise Refused(f"--timeout {timeout:g}: give a number of seconds > 0, or leave it out for no limit.")
    given = plugins.add(plugin or [])
    loaded = load_grid(find_grid(grid), set_ or [])
    if unused := sorted(set(given) - {cell.family for cell in loaded.cells}):
        raise Refused(f"--plugin: no cell of the grid is of the family {unused[0]}; name it under family in the grid.")
    path = out or Path("results") / f"{loaded.name}.sqlite"
    options = Options(device.value, retry_failed, fresh, timeout, workers, sys.argv[1:])
    with Reporter(sys.stderr) as reporter:
        try:
            summary = run_grid(loaded, path, options, reporter)
        except Interrupted as stop:
            reporter.finish()
            reporter.say(f"interrupted: {stop}; the same command resumes.")
            return INTERRUPTED
    typer.echo(f"{summary.done} done, {summary.failed} failed, {duration(summary.seconds)}, {path}")
    if summary.failed and not retry_failed:
        typer.echo("the report says why cells failed; --retry-failed tries them again", err=True)
    return 1 if summary.failed else 0


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name (results/NAME.sqlite) or its file.")],
) -> int:
    """Write a run's report and print its ranking.

    The run may be unfinished; the report says so.

    Example:  vae-bench report digits        writes reports/digits/index.html
    """
    from bench import report as pages
    from bench.store import read_run

    path = _run_file(run)
    tables = read_run(path)
    if tables.cells.empty:
        raise Refused(f"{path} has no cells yet; vae-bench run {path.stem} computes them.")
    out = Path("reports") / path.stem / "index.html"
    part = out.with_name(".index.html.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        pages.build(tables, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    typer.echo(pages.ranking_text(tables, min(shutil.get_terminal_size((80, 24)).columns, 120)))
    missing = int(tables.meta.get("cells", 0)) - len(tables.cells)
    if missing > 0:
        typer.echo(f"unfinished: {missing} cells are missing; vae-bench run {tables.meta['grid_name']} goes on.")
    typer.echo(str(out))
    return 0


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name (results/NAME.sqlite) or its file.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write to; it is made.")],
) -> int:
    """Write a run's tables as CSV and Parquet.

    The files: cells.csv, and as .parquet cells, bounds, per_image, latents
    and calibration.

    Example:  vae-bench export digits --to tables
    """
    from bench.store import read_run
    from bench.store.export import export as write

    for path in write(read_run(_run_file(run)), to):
        typer.echo(str(path))
    return 0


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="The run before: a name, a file, or a folder of exported tables.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The run after, likewise.")],
    threshold: Annotated[
        float, typer.Option(metavar="BITS", help="Loss in bits/dim that fails; half of a last digit quoted.")
    ] = 0.005,
    threshold_nats: Annotated[
        float, typer.Option(metavar="NATS", help="Loss in nats that fails, for binary data; one last digit.")
    ] = 0.1,
) -> int:
    """Compare run B with run A, cell by cell.

    Differences with intervals, paired by seed and test image, corrected for
    how many there are; new, missing and failed cells; ratios of speed.
    Exit code 1 if a configuration is worse, significantly and by more than
    the threshold, or a cell that was done in A failed in B. Speed never
    decides: shared machines differ by more than most changes do.

    Example:  vae-bench compare results/reference/digits digits
    """
    from bench.cli.text.differences import differences_text, origin
    from bench.statistics.differences import differences

    if not (threshold >= 0 and threshold_nats >= 0):
        raise Refused("--threshold and --threshold-nats: give numbers >= 0; 0 lets every significant loss fail.")
    before, after = (_tables(run) for run in (a, b))
    thresholds = {"bits/dim": threshold, "nats": threshold_nats}
    found = differences(before, after, thresholds)
    width = min(shutil.get_terminal_size((80, 24)).columns, 120)
    typer.echo(differences_text(found, origin(a, before), origin(b, after), width, thresholds), nl=False)
    return 1 if found.regressed else 0


@app.command()
def throughput(
    grid: Annotated[str, typer.Argument(help="A shipped grid, or a path to a .toml file.")] = "digits",
    device: Annotated[Device, typer.Option(help="Where to compute; auto takes CUDA where there is any.")] = Device.auto,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of torch; 1 is steadier on a busy machine  [default: all].")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the grid everywhere; may be repeated."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Whose curves to measure, a part of its name [default: first].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run file  [default: results/NAME.sqlite].")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter and at fewer sizes: about a minute.")] = False,
    plugin: PluginFiles = None,
) -> int:
    """Measure the speed of a grid's kinds of cell.

    Each kind in training, alone and in a bundle, and in evaluation; memory;
    and how much that is of what the machine can do. Then curves of one kind:
    over the size of bundles, batches, the latent and L.
    The speeds go into the grid's run file, results stay; the report shows
    them. Have nothing else running.

    Example:  vae-bench throughput digits --quick --threads 1
    """
    from bench.cli.text.survey import survey_text
    from bench.engine import plugins
    from bench.engine.progress import Reporter
    from bench.grid.read import find_grid, load_grid
    from bench.speed.survey import Options, survey_grid

    plugins.add(plugin or [])
    loaded = load_grid(find_grid(grid), set_ or [])
    path = out or Path("results") / f"{loaded.name}.sqlite"
    options = Options(device.value, threads, kind, quick, sys.argv[1:])
    with Reporter(sys.stderr) as reporter:
        survey = survey_grid(loaded, path, options, reporter)
    typer.echo(survey_text(survey, path, grid), nl=False)
    return 1 if survey.failed else 0


@app.command(name="list")
def list_(
    shelf: Annotated[Shelf, typer.Argument(metavar="likelihoods|datasets|grids", help="What to list.")],
    plugin: PluginFiles = None,
) -> int:
    """List the likelihoods, data sets or grids.

    Plug-ins are listed as they are: only run and explain try their laws.

    Example:  vae-bench list likelihoods
    """
    from bench.cli.text import listing as shelves
    from bench.engine import plugins

    plugins.add(plugin or [])
    typer.echo(getattr(shelves, shelf.value)(shutil.get_terminal_size((80, 24)).columns), nl=False)
    return 0


@app.command()
def explain(
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
        said = text(family, shutil.get_terminal_size((80, 24)).columns)
    except ValueError as error:
        raise Refused(str(error)) from None
    if plugins.origins([family]):
        plugins.obey(family)
    typer.echo(said, nl=False)
    return 0


@app.command()
def doctor() -> int:
    """Say whether this machine can run the suite.

    Looks at Python, torch, CUDA, the data sets and the disk, and names a remedy for what is missing.

    Example:  vae-bench doctor
    """
    from bench.cli.doctor import checks
    from bench.cli.text.listing import table

    found = checks()
    rows = [(check.what, f"{check.found}. {check.remedy}." if check.remedy else check.found) for check in found]
    typer.echo(table(rows, shutil.get_terminal_size((80, 24)).columns), nl=False)
    return 1 if any(check.needed and check.remedy for check in found) else 0


def _tables(run: str) -> RunTables:
    """The tables of a run given by name, by file, or by the folder that it was exported to."""
    from bench.store import read_run
    from bench.store.read_export import read_exported

    is_folder = Path(run).is_dir() and not (Path("results") / f"{run}.sqlite").is_file()
    path = Path(run) if is_folder else _run_file(run)
    tables = read_exported(path) if is_folder else read_run(path)
    if tables.cells.empty:
        raise Refused(f"{path} has no cells yet, so there is nothing to compare.")
    return tables


def _run_file(run: str) -> Path:
    """The file of a run given by name or by path."""
    if run.endswith(".sqlite") or os.sep in run:
        path = Path(run)
        if not path.is_file():
            raise Refused(f"there is no run file {run}; vae-bench run makes one.")
        return path
    path = Path("results") / f"{run}.sqlite"
    if not path.is_file():
        near = difflib.get_close_matches(run, [found.stem for found in Path("results").glob("*.sqlite")], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"vae-bench run {run} makes it"
        raise Refused(f"there is no run {path} ({hint}).")
    return path


def _expected() -> tuple[type[Exception], ...]:
    """Errors whose message is for people. Looked up when one is met, so that --help imports nothing."""
    from bench.engine.plugins import PluginError
    from bench.engine.run import RunError
    from bench.grid.read import GridError
    from bench.speed.survey import SurveyError
    from bench.statistics.differences import DifferencesError
    from bench.store import StoreError

    return (Refused, DifferencesError, GridError, PluginError, RunError, StoreError, SurveyError, OSError)


def _os_sentence(error: OSError) -> str:
    """What the system refused, with the file where it names one."""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{f': {error.filename}' if error.filename else ''}; free some space and run again."
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."


def _refuse(sentence: str, code: int = 2) -> int:
    print(f"vae-bench: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
