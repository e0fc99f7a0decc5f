"""`nbest report`: one or several runs as HTML, Markdown, JSON and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.progress import show_progress
from nbest.cli.results import Baseline, By, Seed, Selectors, Sizes, parse_sizes
from nbest.cli.terminal import JsonOut, check_folder, console, print_counts, print_warning, write_json

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more run folders with verdicts.")]


def report(
    run: Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            callback=check_folder,
            help="The folder to write to. The default for a single run is RUN/report.",
        ),
    ] = None,
    selectors: Selectors = None,
    n: Sizes = None,
    by: By = None,
    seed: Seed = 0,
    baseline: Baseline = None,
    title: Annotated[str, typer.Option(help="The title of the page.")] = "",
    json_out: JsonOut = None,
) -> None:
    """Write a report on the selectors of one or several runs: an HTML page, Markdown, JSON, and each chart as PNG.

    The page is one file that loads nothing. Several runs are shown side by side, with their macro average.
    """
    from nbest.errors import ConfigError
    from nbest.measuring.question import Question
    from nbest.progress import report_activity
    from nbest.report.building import build_report
    from nbest.report.writing import write_report
    from nbest.stages.comparing import check_stored
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    if out is None and len(run) > 1:
        raise ConfigError("--out: name the folder for a report of several runs")
    question = Question(selectors, parse_sizes(n), seed, baseline=baseline, by=by)
    with show_progress(has_last_lines=False) as on_progress:
        runs = [Run.open(path) for path in run]
        check_stored(selectors, runs)
        with Equivalence() as equivalence:
            report = build_report(runs, question, equivalence, title, on_progress=on_progress)
        report_activity("draw the charts", on_progress)
        paths = write_report(report, out or run[0] / "report")
    screen = console(json_out)
    for findings in report.runs:
        prefix = f"{findings.name}: " if len(runs) > 1 else ""
        print_warning(screen, findings.comparison.counts, prefix)
    for name, path in paths.items():
        screen.print(f"{name:<18} {path.absolute()}", soft_wrap=True)
    print_counts(screen, report.overall.counts)
    write_json({"files": {name: str(path) for name, path in paths.items()}, "report": report.to_json()}, json_out)
