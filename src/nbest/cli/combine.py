"""`nbest train combined`: fit the combined selector on a verified and scored validation run."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.completion import complete_scorers
from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, RunPath, check_file, console, table, write_json


def train_combined(
    run: RunPath,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE.json", callback=check_file, help="The file to write the fitted selector to."),
    ],
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            "-s",
            autocompletion=complete_scorers,
            help="A scorer whose scores are in the run. May be repeated. Default: all of them.",
        ),
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="How confidence is calibrated: auto, platt, isotonic or none.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the subsets and of the folds.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Fit the combined selector, which picks an answer by votes and scores together and states its confidence.

    Use a run of validation problems. The numbers that are printed come from held-out problems.
    """
    from nbest.measuring.combining import fit_combined
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    with show_progress(has_last_lines=False) as on_progress, Equivalence() as equivalence:
        validation_run = Run.open(run)
        names = list(dict.fromkeys(scorer)) if scorer else validation_run.scorers()
        model, report = fit_combined(
            validation_run, names, equivalence, seed=seed, calibration=calibration, on_progress=on_progress
        )
    model.save(out)
    screen = console(json_out)
    sizes = list(report.problems)
    rows = [[rule, *(f"{100 * by_size[size]:.1f}" for size in sizes)] for rule, by_size in report.accuracy.items()]
    screen.print(table("Held-out accuracy in %, by pool size", ["rule", *map(str, sizes)], rows))
    screen.print(
        f"calibration: {report.calibration}, expected calibration error {report.ece['before']:.3f} before, "
        f"{report.ece['after']:.3f} after"
    )
    largest = sizes[-1]
    cells = [
        [f"{share:.0%}", f"{100 * accuracy:.1f}", f"{threshold:.3f}"]
        for share, accuracy, threshold in report.coverage[largest]
    ]
    screen.print(table(f"Abstaining at N = {largest}", ["coverage", "accuracy in %", "threshold"], cells))
    screen.print(f"selector: {out}")
    write_json(report.to_json(), json_out)
