"""`nbest train combined`: fit the combined selector on a verified and scored validation run."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.completion import complete_scorers
from nbest.cli.terminal import JsonOut, RunPath, console, table, write_json


def train_combined(
    run: RunPath,
    out: Annotated[Path, typer.Option(metavar="FILE.json", help="The file to write the fitted selector to.")],
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            "-s",
            autocompletion=complete_scorers,
            help="A scorer whose scores the run holds; may be repeated. Default: all of them.",
        ),
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="How confidence is calibrated: auto, platt, isotonic or none.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Random seed of subsets and folds.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Fit the combined selector: which answer to trust by votes and scores together, and how sure that is.

    Use a run of validation problems. The numbers shown are held out by problem.
    """
    from nbest.measuring.combining import fit_combined
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    opened = Run.open(run)
    names = list(dict.fromkeys(scorer)) if scorer else opened.scorers()
    with Equivalence() as equivalence:
        model, report = fit_combined(opened, names, equivalence, seed=seed, calibration=calibration)
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
    screen.print(f"selector: {out}", markup=False)
    write_json(report.to_json(), json_out)
