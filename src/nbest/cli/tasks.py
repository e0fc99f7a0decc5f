"""`nbest tasks build`: make selection tasks, which generative selectors are trained on, from verified runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, Screen, check_file, console, table, write_json

if TYPE_CHECKING:
    from nbest.training.settings import TasksConfig

tasks = typer.Typer(help="Build selection tasks for training generative selectors.", no_args_is_help=True)


@tasks.callback()
def _group() -> None: ...


@tasks.command("build")
def build(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Verified runs: FOLDER or NAME=FOLDER.")],
    out: Annotated[Path, typer.Option(metavar="FILE", callback=check_file, help="The Parquet file to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="A TOML file with the settings below; flags override it."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="The tokenizer that counts and limits tokens: bundled:NAME, a folder or a hub id."),
    ] = None,
    style: Annotated[str | None, typer.Option(help="Style of the prompt: published (default) or compact.")] = None,
    thinking: Annotated[
        str | None,
        typer.Option(
            help="What a prompt shows of a candidate: remove its thinking (default), keep it, or show its answer alone."
        ),
    ] = None,
    max_pass_rate: Annotated[
        float | None, typer.Option(help="Use only problems with a pass rate below this one (default 0.5).")
    ] = None,
    solutions: Annotated[
        int | None, typer.Option(help="Use only problems with at least this many distinct candidates (default 4).")
    ] = None,
    per_problem: Annotated[int | None, typer.Option(help="Maximum number of tasks per problem (default 4).")] = None,
    most: Annotated[int | None, typer.Option(help="Maximum number of candidates per task (default 16).")] = None,
    mean: Annotated[
        float | None, typer.Option(help="Mean of the number of candidates before truncation (default 8).")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="Standard deviation of that number before truncation (default 4).")
    ] = None,
    truncated: Annotated[
        bool | None,
        typer.Option("--truncated/--no-truncated", help="Also use trajectories that were cut at the token limit."),
    ] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(help="Drop tasks whose prompts have more tokens (default 16384 with a tokenizer).")
    ] = None,
    max_candidate_tokens: Annotated[
        int | None,
        typer.Option(help="Exclude candidates of more tokens (default with a tokenizer: 12288 for code)."),
    ] = None,
    validation_share: Annotated[
        float | None,
        typer.Option(help="Share of the problems whose tasks are written to a second file, for validation."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of all draws (default 0).")] = None,
    format: Annotated[
        str, typer.Option(help="Format of the file: nbest, or verl, which also writes the reward function for verl.")
    ] = "nbest",
    json_out: JsonOut = None,
) -> None:
    """Turn verified pools into selection tasks: prompts with candidates, some of which are right."""
    from nbest.progress import OnDone, count_progress, report_activity
    from nbest.training.task_building import build_task_files

    options = {
        "tokenizer": tokenizer,
        "style": style,
        "thinking": thinking,
        "max_pass_rate": max_pass_rate,
        "solutions": solutions,
        "per_problem": per_problem,
        "most": most,
        "mean_candidates": mean,
        "sd_candidates": sd,
        "truncated": truncated,
        "max_prompt_tokens": max_prompt_tokens,
        "max_candidate_tokens": max_candidate_tokens,
        "validation_share": validation_share,
        "seed": seed,
    }
    settings = _read_settings(config, options)
    with show_progress() as on_progress:
        report_activity("read the runs", on_progress)
        on_done: OnDone = lambda _, __: None  # noqa: E731

        def begin(pools: int) -> None:
            nonlocal on_done
            on_done = count_progress("tasks", pools, on_progress)

        report = build_task_files(runs, out, settings, format, lambda pools: on_done(pools, 0), begin).to_json()
    _show(report, console(json_out))
    write_json(report, json_out)


def _read_settings(config: Path | None, options: dict[str, Any]) -> "TasksConfig":
    from nbest.config import load_config, parse_config
    from nbest.training.settings import TasksConfig

    base = load_config(TasksConfig, config).model_dump() if config is not None else {}
    overrides = {name: value for name, value in options.items() if value is not None}
    return parse_config(TasksConfig, base | overrides, "command line")


def _show_lengths(tokens: dict[str, Any]) -> str:
    if tokens["mean"] is None:
        return "not counted without --tokenizer"
    return f"{tokens['mean']:,.1f} / {tokens['p95']:,} / {tokens['max']:,}"


def _show(report: dict[str, Any], screen: Screen) -> None:
    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    problems = report["problems"]
    rows = [
        ["problems seen", f"{problems['seen']:,}"],
        ["problems used", f"{problems['used']:,}"],
        *([f"  not used: {reason}", f"{count:,}"] for reason, count in problems["unused"].items()),
        *(
            [f"trajectories excluded: {reason}", f"{count:,}"]
            for reason, count in report["trajectories_excluded"].items()
        ),
        *([f"tasks: {split}", f"{count:,}"] for split, count in report["tasks"].items()),
        *([f"  dropped: {reason}", f"{count:,}"] for reason, count in report["tasks_dropped"].items() if count),
        ["candidates per task, mean", number(report["mean_candidates"], 2)],
        ["share of right candidates", number(report["right_share"])],
        ["prompt tokens, mean / p95 / max", _show_lengths(report["prompt_tokens"])],
        ["accuracy of a random choice", number(report["random_accuracy"])],
        ["accuracy of the majority answer", number(report["majority_accuracy"])],
        ["largest deviation of a position", f"{report['largest_position_deviation_sd']:.2f} sd"],
    ]
    screen.print(table("", ["selection tasks", ""], rows))
    sizes = report["candidates_per_task"]
    screen.print(table("", ["candidates", *sizes], [["tasks", *(f"{count:,}" for count in sizes.values())]]))
    cells = [
        [
            str(row["position"]),
            f"{row['tasks']:,}",
            *map(number, (row["share"], row["expected"])),
            f"{row['deviation_sd']:+.2f}",
        ]
        for row in report["positions"]
    ]
    screen.print(table("", ["position", "tasks", "right", "expected", "deviation (sd)"], cells))
    for name, path in report["files"].items():
        screen.print(f"{name}: {path}", soft_wrap=True)
