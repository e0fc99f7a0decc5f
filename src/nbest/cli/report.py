"""`nbest report`: one or several runs as HTML, Markdown, JSON and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.results import Names, Sizes, parse_sizes
from nbest.cli.terminal import JsonOut, console, write_json

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more run folders, verified.")]


def report(
    runs: Runs,
    out: Annotated[Path | None, typer.Option("--out", help="The folder; by default RUN/report, for one run.")] = None,
    selectors: Names = None,
    n: Sizes = None,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Also by a field of the problems: kind, level, steps, ...")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of drawn subsets.")] = 0,
    baseline: Annotated[str, typer.Option(help="The selector that the others are paired with.")] = "majority",
    title: Annotated[str, typer.Option(help="Of the page.")] = "",
    json_out: JsonOut = None,
) -> None:
    """All that runs say about selectors: one self-contained page, Markdown, JSON, and each chart as PNG.

    Several runs stand side by side, with their macro average.
    """
    from nbest.errors import ConfigError
    from nbest.measuring.measurement import Question
    from nbest.report.building import build_report, write_report
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    if out is None and len(runs) > 1:
        raise ConfigError("--out: name the folder for a report of several runs")
    names = None if selectors is None else [name.strip() for name in selectors.split(",") if name.strip()]
    sizes = None if n is None else parse_sizes(n)
    question = Question(names, sizes, seed, baseline=baseline, by=by)
    opened = [Run.open(run) for run in runs]
    with Equivalence() as equivalence:
        found = build_report(opened, question, equivalence, title)
    paths = write_report(found, out or runs[0] / "report")
    screen = console(json_out)
    for name, path in paths.items():
        screen.print(f"{name:<18} {path.absolute()}", markup=False, soft_wrap=True)
    write_json({"files": {name: str(path) for name, path in paths.items()}, "report": found.to_json()}, json_out)
