"""The command table, and how an error becomes a message and an exit code."""

import errno
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from nbest.cli import (
    ask,
    audit,
    catalogue,
    checking,
    contents,
    demonstration,
    doctor,
    drop,
    formats,
    report,
    results,
    stages,
    tasks,
    train,
)
from nbest.cli.former_options import renew_options
from nbest.cli.terminal import Screen, console
from nbest.cli.usage import CommandGroup
from nbest.errors import ConfigError, NbestError, StorageError
from nbest.interruption import INTERRUPTION
from nbest.storage.newer import NewerVersionWarning
from nbest.version import VERSION

app = typer.Typer(
    name="nbest",
    cls=CommandGroup,
    help="Sample many trajectories from a reasoning model and select the one to trust.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

MOST_SHOWN = 200
"""How many characters of a path are shown that the system refuses."""

START, STAGES, RESULTS, FORMATS = "Start here", "Stages of a run", "Results", "Other formats"
UPKEEP, TRAINING = "Upkeep", "Training"

app.command("ask", rich_help_panel=START)(ask.ask)
app.command("demo", rich_help_panel=START)(demonstration.demo)
app.command("methods", rich_help_panel=START)(catalogue.methods)
app.command("configs", rich_help_panel=START)(catalogue.configs)
app.command("sample", rich_help_panel=STAGES)(stages.sample)
app.command("encode", rich_help_panel=STAGES)(stages.encode)
app.command("verify", rich_help_panel=STAGES)(stages.verify)
app.command("score", rich_help_panel=STAGES)(stages.score)
app.command("select", rich_help_panel=STAGES)(stages.select)
app.command("info", rich_help_panel=RESULTS)(contents.info)
app.command("compare", rich_help_panel=RESULTS)(results.compare)
app.command("report", rich_help_panel=RESULTS)(report.report)
app.command("show", rich_help_panel=RESULTS)(results.show)
app.add_typer(formats.imports, name="import", rich_help_panel=FORMATS)
app.command("export", rich_help_panel=FORMATS)(formats.export)
app.command("benchmarks", rich_help_panel=FORMATS)(formats.benchmarks)
app.command("check", rich_help_panel=UPKEEP)(checking.check)
app.command("doctor", rich_help_panel=UPKEEP)(doctor.doctor)
app.command("compact", rich_help_panel=UPKEEP)(stages.compact)
app.command("audit", rich_help_panel=RESULTS)(audit.audit)
app.command("drop", rich_help_panel=UPKEEP)(drop.drop)
app.add_typer(tasks.tasks, name="tasks", rich_help_panel=TRAINING)
app.add_typer(train.train, name="train", rich_help_panel=TRAINING)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"nbest {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def run_command(arguments: Sequence[str]) -> None:
    """Run a command; a known error is printed without a traceback and sets the exit code."""
    _add_current_folder()
    errors = console(is_stderr=True)
    try:
        words, notes = renew_options(list(arguments))
        for note in notes:
            errors.print(f"note: {note}")
        _show_notes(errors)
        app(args=words, prog_name="nbest")
    except NbestError as error:
        if INTERRUPTION.is_requested:
            raise  # A consequence of the signal, which `nbest.cli.signals` turns into a message.
        _end(errors, error)
    except OSError as error:
        if INTERRUPTION.is_requested or isinstance(error, BrokenPipeError):
            raise
        _end(errors, _name_refusal(error))


def _end(errors: Screen, error: NbestError) -> NoReturn:
    errors.print("error:", style="bold red", end=" ")
    errors.print(str(error))
    sys.exit(error.exit_code)


_BAD_NAMES = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL})


def _name_refusal(error: OSError) -> NbestError:
    """Return the error for what the system refused, such as a name that is too long, with the path as far as known."""
    path = "" if error.filename is None else f"{str(error.filename)[:MOST_SHOWN]}: "
    reason = f"{path}the system refuses it ({error.strerror or error})"
    if error.errno in _BAD_NAMES:
        return ConfigError(f"{reason}. Check the path.")
    return StorageError(f"{reason}. Everything written before is intact.")


def _show_notes(errors: Screen) -> None:
    """Print the warning about a newer run as a note from now on, and every other warning as Python does."""
    show_warning = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, NewerVersionWarning):
            errors.print(f"note: {message}")
        else:
            show_warning(message, category, *place, **options)

    warnings.showwarning = show


def _add_current_folder() -> None:
    """Put the current folder first on the import path, so that `module:Class` finds a module there.

    `python -m nbest` does so by itself, the installed script does not. Python's safe-path mode (`-P`) forbids both.
    """
    if sys.flags.safe_path:
        return
    with suppress(FileNotFoundError):  # the current folder may have been deleted
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
