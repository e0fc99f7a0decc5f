"""The stages of a run: sample, encode, verify, score, select, compact. Each can be killed and run again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nbest.cli.completion import complete_configs, complete_scorers, complete_selectors
from nbest.cli.judgements import show_judgements
from nbest.cli.terminal import JsonOut, RunPath, console, show_progress, table, write_json

if TYPE_CHECKING:
    from nbest.stages import SampleReport, ScoreReport, SelectReport, VerifyReport

Config = Annotated[
    str,
    typer.Option(
        "--config",
        "-c",
        autocompletion=complete_configs,
        help="A TOML file, or the name of a config of the package (see `nbest configs`); flags override it.",
    ),
]
Judge = Annotated[
    str | None, typer.Option("--judge", metavar="MODEL", help="The model that judges: bundled:NAME, folder or hub id.")
]
JudgeConfig = Annotated[
    Path | None,
    typer.Option("--judge-config", metavar="FILE", help="A TOML file with the judge and how it is asked."),
]


def sample(
    run: RunPath,
    config: Config = "arithmetic",
    n: Annotated[int | None, typer.Option("--n", min=1, help="Number of trajectories per problem.")] = None,
    problems: Annotated[
        str | None, typer.Option(help="'arithmetic', the name of a benchmark, or a benchmark's .toml.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Sample only the first COUNT problems.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Which problems of 'arithmetic': train, validation or test.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that samples: bundled:NAME, folder or hub id.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of one trajectory.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the run.")] = None,
    capture: Annotated[
        bool | None, typer.Option("--capture/--no-capture", help="Keep hidden states at step ends.")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/K", help="Sample part I of K, to share a run between processes.")
    ] = "0/1",
    json_out: JsonOut = None,
) -> None:
    """Sample N trajectories per problem, with hidden states at step ends."""
    from nbest.run_settings import load_sample_config
    from nbest.stages import Shard, override_config
    from nbest.stages import sample as run_sample

    changes = {
        "problems.source": problems,
        "problems.file": file,
        "problems.count": count,
        "problems.split": split,
        "policy.model": policy,
        "sampling.temperature": temperature,
        "sampling.max_tokens": max_tokens,
        "sampling.capture": capture,
        "n": n,
        "seed": seed,
    }
    settings = override_config(load_sample_config(config), changes)
    part = Shard.parse(shard)
    with show_progress() as on_progress:
        report = run_sample(run, settings, shard=part, on_progress=on_progress)
    print_sample(console(json_out), report)
    write_json(report.to_json(), json_out)


def print_sample(screen: Console, report: "SampleReport") -> None:
    """Print what was sampled."""
    screen.print(
        f"{report.run}: {report.drawn:,} trajectories drawn in {report.seconds:.1f} s ({report.tokens:,} tokens); "
        f"the run holds {report.trajectories:,} of {report.planned:,}"
    )


def encode(
    run: RunPath,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model that sampled the text: bundled:NAME, folder or hub id. Default: the policy of the run.",
        ),
    ] = None,
    layers: Annotated[
        list[int] | None,
        typer.Option("--layer", help="Layer whose states are kept; -1 is the last one (default). May be repeated."),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Compute the hidden states of trajectories that have none, such as imported ones."""
    from nbest.stages import encode as run_encode

    with show_progress() as on_progress:
        report = run_encode(run, policy, tuple(layers or (-1,)), on_progress=on_progress)
    console(json_out).print(f"{run}: hidden states of {report.with_states:,} of {report.trajectories:,} trajectories")
    write_json(report.to_json(), json_out)


def verify(run: RunPath, json_out: JsonOut = None) -> None:
    """Grade every answer against its target."""
    from nbest.stages import verify as run_verify

    with show_progress() as on_progress:
        report = run_verify(run, on_progress=on_progress)
    print_verdicts(console(json_out), report)
    write_json(report.to_json(), json_out)


def print_verdicts(screen: Console, report: "VerifyReport") -> None:
    """Print how many trajectories are right, wrong and ungraded."""
    counts = {"right": report.right, "wrong": report.wrong, "ungraded": report.ungraded}
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    screen.print(f"{report.run}: {parts}, of {report.trajectories:,} trajectories")


def score(
    run: RunPath,
    scorer: Annotated[
        list[str],
        typer.Option(
            "--scorer", "-s", autocompletion=complete_scorers, help="A scorer (see `nbest methods`). May be repeated."
        ),
    ],
    scorer_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The trained step scorer or reward model: folder or hub id."),
    ] = None,
    family: Annotated[str | None, typer.Option(help="The family of the reward model, such as skywork-reward.")] = None,
    judge: Judge = None,
    judge_config: JudgeConfig = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The name under which the scores are kept.")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Score every trajectory of a run, and keep the scores: `score:NAME` and `vote:NAME` select by them."""
    from nbest.stages import read_judge_config
    from nbest.stages import score as run_score

    settings = read_judge_config(judge, judge_config)
    with show_progress() as on_progress:
        reports = run_score(
            run,
            scorer,
            scorer_model=scorer_model,
            family=family,
            judge=settings,
            as_name=name,
            on_progress=on_progress,
        )
    print_scores(console(json_out), reports)
    write_json({"run": str(run), "scores": [report.to_json() for report in reports]}, json_out)


def print_scores(screen: Console, reports: "Sequence[ScoreReport]") -> None:
    """Print how many trajectories each scorer has scored, and why others have no score."""
    cells: list[list[str]] = []
    for report in reports:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.reasons.items())
        cells.append([report.scorer, f"{report.scored:,}", f"{report.without:,}", reasons])
    screen.print(table("", ["scorer", "scored", "without", "why"], cells))
    show_judgements([(report.scorer, report.judgements) for report in reports], screen)


def select(
    run: RunPath,
    selector: Annotated[
        list[str],
        typer.Option(
            "--selector",
            "-s",
            autocompletion=complete_selectors,
            help="A selector (see `nbest methods`), or the .json file of a combined one. May be repeated.",
        ),
    ],
    seed: Annotated[
        int | None, typer.Option(help="Random seed of selectors that draw or ask a model.", show_default="0")
    ] = None,
    judge: Judge = None,
    judge_config: JudgeConfig = None,
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="Select among the first N trajectories of every pool; kept as NAME@N."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The name under which the selections are kept.")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Select one trajectory of every pool, and keep the selections."""
    from nbest.stages import read_judge_config
    from nbest.stages import select as run_select

    settings = read_judge_config(judge, judge_config)
    with show_progress() as on_progress:
        reports = run_select(run, selector, seed=seed, judge=settings, n=n, as_name=name, on_progress=on_progress)
    print_selections(console(json_out), reports)
    write_json({"run": str(run), "selections": [report.to_json() for report in reports]}, json_out)


def print_selections(screen: Console, reports: "Sequence[SelectReport]") -> None:
    """Print in how many pools each selector picked a trajectory, and in how many it abstained."""
    cells = [[report.selector, str(report.selected), str(report.abstained)] for report in reports]
    screen.print(table("", ["selector", "selected", "abstained"], cells))
    show_judgements([(report.selector, report.judgements) for report in reports], screen)


def compact(run: RunPath, json_out: JsonOut = None) -> None:
    """Merge small parts, drop duplicates and what killed processes left behind."""
    from dataclasses import asdict

    from nbest.storage.compaction import compact as compact_run
    from nbest.storage.run import Run

    folders = compact_run(Run.open(run))
    cells = [
        [
            folder.folder,
            f"{folder.parts_before} -> {folder.parts_after}",
            f"{folder.bytes_before:,} -> {folder.bytes_after:,}",
            str(folder.duplicates),
        ]
        for folder in folders
    ]
    console(json_out).print(table("", ["folder", "parts", "bytes", "duplicates dropped"], cells))
    write_json({"run": str(run), "folders": [asdict(folder) for folder in folders]}, json_out)
