"""Training commands. Each goes on from its last checkpoint when it is run again."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nbest.cli.combine import train_combined
from nbest.cli.terminal import JsonOut, console, progress, table, write_json

if TYPE_CHECKING:
    from nbest.training.callbacks import Progress

train = typer.Typer(help="Train the models of this package.", no_args_is_help=True)


@train.callback()
def _group() -> None: ...


@contextmanager
def training_bar(label: str, screen: Console) -> "Generator[Progress]":
    """A bar of updates; yields the callback that moves it."""
    from transformers.utils import logging

    from nbest.training.callbacks import Progress

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    done = 0
    with progress(label, None, screen) as on_done, warnings.catch_warnings():
        # TRL and we say `gradient_checkpointing`, as releases of transformers that we support know no other name.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing` is deprecated", FutureWarning)

        def on_update(updates: int, total: int) -> None:
            nonlocal done
            on_done(updates - done, 0, total)
            done = updates

        yield Progress(on_update)


train.command("combined")(train_combined)


@train.command("policy")
def train_policy(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="See configs/policy_arithmetic.toml.")],
) -> None:
    """Train the bundled policy: a small reasoning model of multi-step arithmetic."""
    from nbest.config import load_config
    from nbest.training.settings import PolicyTrainingConfig

    settings = load_config(PolicyTrainingConfig, config)
    from nbest.training.policy import train_policy as train_model

    screen = console()
    with training_bar("train", screen) as bar:
        folder = train_model(settings, [bar])
    screen.print(f"model: {folder}   log: {settings.out / 'log.jsonl'}", markup=False, soft_wrap=True)


@train.command("scorer")
def train_scorer(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="See configs/trajselector_arithmetic.toml.")],
    json_out: JsonOut = None,
) -> None:
    """Train a scorer of steps on verified runs that hold states: TrajSelector, STEP, SPRM, SWIFT or CLUE."""
    from nbest.config import load_config
    from nbest.training.settings import ScorerTrainingConfig

    settings = load_config(ScorerTrainingConfig, config)
    from nbest.training.scorer import train_scorer as train_model

    screen = console(json_out)
    with training_bar("train", screen) as bar:
        trained = train_model(settings, [bar])
    for reason, count in trained.left_out.items():
        screen.print(f"left out: {count:,} trajectories ({reason})")
    cells = [[name.removeprefix("eval_"), f"{value:.3f}"] for name, value in trained.metrics.items()]
    screen.print(table("held-out problems", ["measure", "value"], cells))
    screen.print(f"model: {trained.folder}   log: {settings.out / 'log.jsonl'}", markup=False, soft_wrap=True)
    write_json({"model": str(trained.folder), "metrics": dict(trained.metrics)}, json_out)


@train.command("genselect")
def train_genselect(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="See configs/genselect_arithmetic.toml.")],
    json_out: JsonOut = None,
) -> None:
    """Train a generative selector on selection tasks: a cold start where the config has one, then DAPO."""
    from nbest.config import load_config
    from nbest.errors import MissingExtraError
    from nbest.training.settings import SelectionTrainingConfig

    settings = load_config(SelectionTrainingConfig, config)
    try:
        from nbest.training.genselect import train_genselect as train_model
    except ImportError as error:
        raise MissingExtraError((error.name or "trl").partition(".")[0], "train") from error

    screen = console(json_out)
    with training_bar("train", screen) as bar:
        trained = train_model(settings, [bar])
    cells = [[name.removeprefix("validation_"), f"{value:.3f}"] for name, value in trained.metrics.items()]
    screen.print(table("held-out tasks", ["measure", "value"], cells))
    screen.print(f"model: {trained.folder}   log: {settings.out / 'log.jsonl'}", markup=False, soft_wrap=True)
    write_json({"model": str(trained.folder), "metrics": dict(trained.metrics)}, json_out)
