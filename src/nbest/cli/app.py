"""The command table, and how an error becomes a message and an exit code."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from nbest import __version__
from nbest.cli import demonstration, formats, report, results, stages, tasks, train
from nbest.errors import NbestError

app = typer.Typer(
    name="nbest",
    help="Sample many trajectories from a reasoning model and select the one to trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
INTERRUPTED = 130

app.command("demo", rich_help_panel="Start here")(demonstration.demo)
app.command("sample", rich_help_panel="Stages of a run")(stages.sample)
app.command("encode", rich_help_panel="Stages of a run")(stages.encode)
app.command("verify", rich_help_panel="Stages of a run")(stages.verify)
app.command("score", rich_help_panel="Stages of a run")(stages.score)
app.command("select", rich_help_panel="Stages of a run")(stages.select)
app.command("compare", rich_help_panel="Results")(results.compare)
app.command("report", rich_help_panel="Results")(report.report)
app.command("show", rich_help_panel="Results")(results.show)
app.add_typer(formats.imports, name="import", rich_help_panel="Other formats")
app.command("export", rich_help_panel="Other formats")(formats.export)
app.command("benchmarks", rich_help_panel="Other formats")(formats.benchmarks)
app.command("compact", rich_help_panel="Upkeep")(stages.compact)
app.add_typer(tasks.tasks, name="tasks", rich_help_panel="Training")
app.add_typer(train.train, name="train", rich_help_panel="Training")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"nbest {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None: ...


def main() -> None:
    """Runs a command; a known error is printed without a traceback and sets the exit code."""
    errors = Console(stderr=True, highlight=False)
    try:
        app()
    except NbestError as error:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("stopped. What was finished is kept; the same command goes on from there.")
        sys.exit(INTERRUPTED)
