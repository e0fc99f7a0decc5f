"""Selection tasks out of verified runs: what a generative selector is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nbest.cli.terminal import JsonOut, console, show_progress, table, write_json
from nbest.errors import ConfigError
from nbest.specs import did_you_mean

if TYPE_CHECKING:
    from nbest.training.settings import TasksConfig

tasks = typer.Typer(help="Selection tasks for training generative selectors.", no_args_is_help=True)

FORMATS = ("nbest", "verl")


@tasks.callback()
def _group() -> None: ...


@tasks.command("build")
def build(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Verified runs: FOLDER or NAME=FOLDER.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The Parquet file to write.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="A TOML file; flags override it.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="The tokenizer that counts prompts: folder, hub id or bundled:NAME.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="Style of the prompt: published (default) or compact.")] = None,
    thinking: Annotated[
        str | None, typer.Option(help="What of a candidate is in the prompt: remove (default), keep or answer.")
    ] = None,
    max_pass_rate: Annotated[
        float | None, typer.Option(help="Use only problems whose pass rate is below this one (default 0.5).")
    ] = None,
    solutions: Annotated[
        int | None, typer.Option(help="Fewest distinct candidates a problem must have (default 4).")
    ] = None,
    per_problem: Annotated[int | None, typer.Option(help="Most tasks per problem (default 4).")] = None,
    most: Annotated[int | None, typer.Option(help="Most candidates per task (default 16).")] = None,
    mean: Annotated[
        float | None, typer.Option(help="Mean of the number of candidates before truncation (default 8).")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="Standard deviation of the number of candidates (default 4).")
    ] = None,
    truncated: Annotated[
        bool | None,
        typer.Option("--truncated/--no-truncated", help="Use trajectories that were cut at the token limit."),
    ] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(help="Drop tasks with longer prompts (default 16384).")
    ] = None,
    max_candidate_tokens: Annotated[
        int | None, typer.Option(help="Leave longer candidates out (default for code 12288, else no limit).")
    ] = None,
    validation_share: Annotated[
        float | None, typer.Option(help="Share of the problems that goes into a second file, for validation.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of all draws (default 0).")] = None,
    format: Annotated[
        str, typer.Option(help="Format of the file: nbest, or verl with its reward function beside it.")
    ] = "nbest",
    json_out: JsonOut = None,
) -> None:
    """Turn verified pools into selection tasks: a prompt with candidates, and which of them are right."""
    shown = {"tokenizer": tokenizer, "style": style, "thinking": thinking, "truncated": truncated}
    drawn = {"most": most, "mean_candidates": mean, "sd_candidates": sd, "validation_share": validation_share}
    limits = {"max_pass_rate": max_pass_rate, "solutions": solutions, "per_problem": per_problem, "seed": seed}
    lengths = {"max_prompt_tokens": max_prompt_tokens, "max_candidate_tokens": max_candidate_tokens}
    settings = _read_settings(config, shown | drawn | limits | lengths)
    if format not in FORMATS:
        raise ConfigError(f"--format: {format!r} came; allowed: {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    report = _build(runs, out, settings, format, console(json_out))
    write_json(report, json_out)


def _read_settings(config: Path | None, given: dict[str, Any]) -> "TasksConfig":
    from nbest.config import load_config, parse_config
    from nbest.training.settings import TasksConfig

    base = load_config(TasksConfig, config).model_dump() if config is not None else {}
    flags = {name: value for name, value in given.items() if value is not None}
    return parse_config(TasksConfig, base | flags, "command line")


def _build(runs: list[str], out: Path, settings: "TasksConfig", format: str, screen: Console) -> dict[str, Any]:
    from nbest.stages.flow import count_progress
    from nbest.training.source_pools import open_sources
    from nbest.training.task_building import build_tasks
    from nbest.training.task_files import NbestFormat
    from nbest.training.verl_export import VerlFormat, write_reward

    if out.suffix != ".parquet":
        raise ConfigError(f"--out: {str(out)!r} came; allowed: a name that ends in .parquet")
    sources = open_sources(runs)
    with show_progress() as on_progress:
        on_pools = count_progress("tasks", None, on_progress)
        chosen = VerlFormat() if format == "verl" else NbestFormat()
        files, statistics = build_tasks(sources, out, settings, chosen, lambda pools: on_pools(pools, 0))
    report: dict[str, Any] = {"files": {split: str(path) for split, path in files.items()}, **statistics.describe()}
    if format == "verl":
        report["files"]["reward"] = str(write_reward(out.parent))
    _show(report, screen)
    return report


def _show(report: dict[str, Any], screen: Console) -> None:
    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    tokens, problems = report["prompt_tokens"], report["problems"]
    rows = [
        ["problems seen", f"{problems['seen']:,}"],
        ["problems used", f"{problems['used']:,}"],
        *([f"  not used: {reason}", f"{count:,}"] for reason, count in problems["unused"].items()),
        *([f"trajectories left out: {reason}", f"{count:,}"] for reason, count in report["attempts_left_out"].items()),
        *([f"tasks: {split}", f"{count:,}"] for split, count in report["tasks"].items()),
        *([f"  dropped: {reason}", f"{count:,}"] for reason, count in report["tasks_dropped"].items() if count),
        ["candidates per task, mean", number(report["mean_candidates"], 2)],
        ["share of right candidates", number(report["right_share"])],
        ["prompt tokens, mean / p95 / max", f"{number(tokens['mean'], 1)} / {tokens['p95']:,} / {tokens['max']:,}"],
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
        screen.print(f"{name}: {path}", markup=False, soft_wrap=True)
