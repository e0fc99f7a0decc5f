"""Training commands. Each goes on from its last checkpoint when it is run again."""

from pathlib import Path
from typing import Annotated

import typer

from bestofn.cli.terminal import console

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
