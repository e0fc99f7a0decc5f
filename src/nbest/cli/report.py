"""`nbest report`: one or several runs as HTML, Markdown, JSON and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.results import Baseline, By, Seed, Selectors, Sizes, parse_sizes
from nbest.cli.terminal import JsonOut, console, write_json

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more verified run folders.")]


def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="The folder to write (one run: RUN/report)."),
    ] = None,
    selectors: Selectors = None,
    n: Sizes = None,
    by: By = None,
    seed: Seed = 0,
    baseline: Baseline = None,
    title: Annotated[str, typer.Option(help="The title of the page.")] = "",
    json_out: JsonOut = None,
) -> None:
    """Write all that runs say about selectors: one self-contained page, Markdown, JSON, and each chart as PNG.

    Several runs stand side by side, with their macro average.
    """
    from nbest.errors import ConfigError
    from nbest.measuring.question import Question
    from nbest.report.building import build_report
    from nbest.report.writing import write_report
    from nbest.stages.comparing import check_stored
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    if out is None and len(runs) > 1:
        raise ConfigError("--out: name the folder for a report of several runs")
    question = Question(selectors, parse_sizes(n), seed, baseline=baseline, by=by)
    opened = [Run.open(run) for run in runs]
    check_stored(selectors, opened)
    with Equivalence() as equivalence:
        result = build_report(opened, question, equivalence, title)
    paths = write_report(result, out or runs[0] / "report")
    screen = console(json_out)
    for name, path in paths.items():
        screen.print(f"{name:<18} {path.absolute()}", markup=False, soft_wrap=True)
    write_json({"files": {name: str(path) for name, path in paths.items()}, "report": result.to_json()}, json_out)
