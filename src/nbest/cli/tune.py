"""`nbest train vote`: tune read-out, aggregation and exponent of score-weighted votes on a validation run."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.completion import complete_scorers
from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, RunPath, check_file, console, table, write_json


def train_vote(
    run: RunPath,
    out: Annotated[
        Path, typer.Option(metavar="FILE.json", callback=check_file, help="The file to write the tuned votes to.")
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
    seed: Annotated[int, typer.Option(help="Random seed of the subsets.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Tune the score-weighted votes: how step scores become one value, and the exponent of this value.

    Use a run of validation problems. `vote(file=FILE.json):SCORER` then votes with the tuned exponent.
    """
    from nbest.measuring.vote_tuning import tune_votes
    from nbest.storage.run import Run
    from nbest.verifying.equivalence import Equivalence

    with show_progress(has_last_lines=False) as on_progress, Equivalence() as equivalence:
        validation_run = Run.open(run)
        names = list(dict.fromkeys(scorer)) if scorer else validation_run.scorers()
        report = tune_votes(validation_run, names, equivalence, seed=seed, on_progress=on_progress)
    report.to_file(validation_run.path.name).save(out)
    screen = console(json_out)
    sizes = ", ".join(map(str, report.sizes))
    rows = [
        [
            ", ".join(tuned.scores),
            tuned.best.name,
            tuned.best.aggregation or "as stored",
            f"{tuned.best.rule}(power={tuned.best.power:g})",
            *(f"{100 * value:.1f}" for value in (tuned.untuned, tuned.accuracy, tuned.held_out)),
        ]
        for tuned in report.tuned
    ]
    heads = ["scores", "best", "aggregation", "vote", "untuned", "tuned", "held-out"]
    screen.print(table(f"Accuracy of the vote in %, mean over N = {sizes}", heads, rows))
    screen.print(f"majority: {100 * report.majority:.1f}")
    for tuned in report.tuned:
        if tuned.best.aggregation is not None and tuned.method:
            vote = f"{tuned.best.rule}(power={tuned.best.power:g}):NAME"
            screen.print(f"best: nbest score RUN -s '{tuned.scorer}' --as NAME, then -s '{vote}'", soft_wrap=True)
    for name, (rule, power) in report.votes.items():
        vote = f"vote(file={out}):{name}" if rule == "vote" else f"{rule}(power={power:g}):{name}"
        screen.print(f"use the stored scores: -s '{vote}'", soft_wrap=True)
    screen.print(f"votes: {out}", soft_wrap=True)
    write_json(report.to_json(), json_out)
