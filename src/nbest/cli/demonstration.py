"""`nbest demo`: the whole flow on the bundled models, from problems to selected answers and a report."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbest.cli.progress import show_progress
from nbest.cli.results import print_table
from nbest.cli.terminal import JsonOut, Screen, console, print_warning, write_json
from nbest.plurals import show_count

if TYPE_CHECKING:
    from nbest.demonstration import Demonstration, Message


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder for the run and its report.")] = Path(
        "demo"
    ),
    count: Annotated[int, typer.Option(min=2, help="Number of problems.")] = 200,
    n: Annotated[int, typer.Option("--n", min=2, help="Number of trajectories per problem.")] = 32,
    training: Annotated[
        int, typer.Option(min=0, help="Number of problems to train a scorer on; with 0 none is trained.")
    ] = 400,
    no_judge: Annotated[
        bool, typer.Option("--no-judge", help="Leave out the generative selector and its bundled judge.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the run.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Run the whole flow on the bundled models, from sampling to a report. Takes minutes and downloads nothing."""
    from nbest.cli.train import quiet_trainer, set_threads
    from nbest.demonstration import DemonstrationConfig, demonstrate

    screen = console(json_out)
    config = DemonstrationConfig(count, n, training, not no_judge, seed)
    with quiet_trainer(), show_progress() as on_progress:
        result = demonstrate(
            out,
            config,
            on_progress=on_progress,
            on_message=lambda message: _print_message(screen, message),
            set_threads=set_threads,
        )
    _print_result(screen, result)
    write_json(result.to_json(), json_out)


def _print_message(screen: Screen, message: "Message") -> None:
    from nbest.cli.stages import print_sample, print_verdicts
    from nbest.stages import SampleReport

    if isinstance(message, str):
        screen.print(message)
    elif isinstance(message, SampleReport):
        print_sample(screen, message)
    else:
        print_verdicts(screen, message)


def _print_result(screen: Screen, result: "Demonstration") -> None:
    comparison = result.comparison
    screen.print()
    print_warning(screen, comparison.counts)
    title = f"Accuracy in %, {show_count(comparison.problems, 'problem')}"
    print_table(screen, title, comparison.accuracy_table(), comparison)
    screen.print()
    for name, path in (("report", result.page), ("curve", result.chart), ("run", result.run)):
        screen.print(f"{name:<7} {path.absolute()}", soft_wrap=True)
    command = shlex.join([_find_command(), "show", str(result.run.absolute()), "0"])
    screen.print(f"look at one pool:  {command}", soft_wrap=True)


def _find_command() -> str:
    """Return how this command was called, so that it works outside the environment of `make demo` too."""
    script = Path(sys.argv[0])
    on_path = shutil.which("nbest")
    is_this = on_path is None or (script.exists() and not Path(on_path).samefile(script))
    return str(script.absolute()) if is_this and script.name == "nbest" and script.exists() else "nbest"
