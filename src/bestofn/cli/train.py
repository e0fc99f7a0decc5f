"""Training commands. Each goes on from its last checkpoint when it is run again."""

from pathlib import Path
from typing import Annotated

import typer

from bestofn.cli.terminal import JsonOut, console, table, write_json

train = typer.Typer(help="Train the models of this package.", no_args_is_help=True)


@train.callback()
def _group() -> None: ...


@train.command("policy")
def train_policy(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="See configs/policy_arithmetic.toml.")],
) -> None:
    """Train the bundled policy: a small reasoning model of multi-step arithmetic."""
    from bestofn.config import PolicyTrainingConfig, load_config

    settings = load_config(PolicyTrainingConfig, config)
    from bestofn.training.policy import train_policy as train_model

    folder = train_model(settings)
    console().print(f"model: {folder}   log: {settings.out / 'log.jsonl'}", markup=False, soft_wrap=True)


@train.command("scorer")
def train_scorer(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="See configs/trajselector_arithmetic.toml.")],
    json_out: JsonOut = None,
) -> None:
    """Train a scorer of steps on verified runs that hold states: TrajSelector, STEP, SPRM, SWIFT or CLUE."""
    from bestofn.config import ScorerTrainingConfig, load_config

    settings = load_config(ScorerTrainingConfig, config)
    from bestofn.training.scorer import train_scorer as train_model

    screen = console(json_out)
    trained = train_model(settings)
    for reason, count in trained.left_out.items():
        screen.print(f"left out: {count:,} trajectories ({reason})")
    cells = [[name.removeprefix("eval_"), f"{value:.3f}"] for name, value in trained.metrics.items()]
    screen.print(table("held-out problems", ["measure", "value"], cells))
    screen.print(f"model: {trained.folder}   log: {settings.out / 'log.jsonl'}", markup=False, soft_wrap=True)
    write_json({"model": str(trained.folder), "metrics": dict(trained.metrics)}, json_out)
