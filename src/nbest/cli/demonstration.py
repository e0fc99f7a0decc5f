"""`nbest demo`: the main job on the bundled model, from problems to a checked, selected answer and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nbest.cli.terminal import JsonOut, console, show_progress, table, write_json

if TYPE_CHECKING:
    from nbest.demonstration import Demonstration, Message


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder for the run and its report.")] = Path(
        "demo"
    ),
    count: Annotated[int, typer.Option(min=2, help="Number of problems.")] = 200,
    n: Annotated[int, typer.Option("--n", min=2, help="Number of trajectories per problem.")] = 32,
    training: Annotated[int, typer.Option(min=0, help="Number of problems to train a scorer on; 0 trains none.")] = 400,
    no_judge: Annotated[bool, typer.Option("--no-judge", help="Select without the bundled model that judges.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the run.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Sample, verify, score, train a scorer, judge, select and compare on the bundled models: minutes, no download."""
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


def _print_message(screen: Console, message: "Message") -> None:
    from nbest.cli.stages import print_sample, print_verdicts
    from nbest.stages import SampleReport

    if isinstance(message, str):
        screen.print(message, markup=False)
    elif isinstance(message, SampleReport):
        print_sample(screen, message)
    else:
        print_verdicts(screen, message)


def _print_result(screen: Console, result: "Demonstration") -> None:
    comparison = result.comparison
    screen.print()
    title = f"Accuracy in %, {comparison.problems} problems"
    screen.print(table(title, comparison.table_columns(), comparison.table_rows()))
    screen.print()
    for name, path in (("report", result.page), ("curve", result.chart), ("run", result.run)):
        screen.print(f"{name:<7} {path.absolute()}", markup=False, soft_wrap=True)
    screen.print(f"look at one pool:  nbest show {result.run} 0", markup=False)
