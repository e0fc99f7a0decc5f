"""The command table, and how an error becomes a message and an exit code."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from nbest.cli import (
    ask,
    catalogue,
    contents,
    demonstration,
    formats,
    report,
    results,
    stages,
    tasks,
    train,
)
from nbest.cli.former_options import renew_options
from nbest.errors import NbestError
from nbest.version import VERSION

app = typer.Typer(
    name="nbest",
    help="Sample many trajectories from a reasoning model and select the one to trust.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
INTERRUPTED = 130

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
app.command("compact", rich_help_panel=UPKEEP)(stages.compact)
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


def main() -> None:
    """Run a command; a known error is printed without a traceback and sets the exit code."""
    errors = Console(stderr=True, highlight=False)
    try:
        words, notes = renew_options(sys.argv[1:])
        for note in notes:
            errors.print(f"note: {note}", markup=False, soft_wrap=True)
        app(args=words, prog_name="nbest")
    except NbestError as error:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("stopped. What was finished is kept; the same command goes on from there.")
        sys.exit(INTERRUPTED)
