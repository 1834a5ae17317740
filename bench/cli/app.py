"""The application that joins the verbs: arguments in, an exit code out.

Expected errors are one sentence on stderr and exit code 2. Each verb imports what it needs when it is called, so that
`--help` is instant and only workers load torch.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Annotated, NoReturn, cast

import typer

from bench.engine.interrupt import exit_code, heard, leave, unsaid
from bench.grid.errors import UserError, brief, printable

VERBS = (
    "run",
    "report",
    "export",
    "compare",
    "model",
    "throughput",
    "estimate",
    "list",
    "explain",
    "doctor",
)  # as --help lists them
INTERRUPTED = 130  # Typer's exit code of a verb that Ctrl-C ended

# Typer raises click's exceptions, but has its own copy of click from 0.22 on: this is the base of them in both.
UsageProblem = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    help="What is ln p(x|z) in a VAE, and what does choosing it change? A benchmark of decoder likelihoods.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name in VERBS:
    app.command(name)(importlib.import_module(f"bench.cli.{name}").verb)


def main() -> NoReturn:
    """The entry point of `vae-bench`."""
    leave(carry_out(sys.argv[1:]))


def carry_out(arguments: list[str]) -> int:
    """Carry out one command line; gives the exit code: 0 all well, 1 something failed, 2 bad input, 130 Ctrl-C, 143
    SIGTERM, 129 SIGHUP."""
    with heard(to_the_end=True):
        return _carried_out(arguments)


def _carried_out(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="vae-bench", standalone_mode=False)
    except UsageProblem as problem:
        return _refuse(f"{printable(problem.format_message())} (vae-bench --help)")
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("interrupted.", exit_code())
    except BrokenPipeError:  # as in `vae-bench list grids | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refuse(_os_sentence(error))
    except UserError as error:
        return _refuse(str(error))
    except Exception:
        if unsaid():  # an import that a signal broke off may raise anything
            return _refuse("interrupted.", exit_code())
        raise
    if code == INTERRUPTED and unsaid():  # what typer makes of a KeyboardInterrupt
        return _refuse("interrupted.", exit_code())
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


def _os_sentence(error: OSError) -> str:
    """What the system refused, with the file where it names one."""
    file = brief(os.fsdecode(error.filename), 200) if isinstance(error.filename, str | bytes) else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{f': {file}' if file else ''}; free some space and run again."
    return f"{file}: {error.strerror}." if file else f"{error.strerror or error}."


def _refuse(sentence: str, code: int = 2) -> int:
    print(f"vae-bench: {sentence}", file=sys.stderr)
    return code
