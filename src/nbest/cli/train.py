"""Training commands. Each goes on from its last checkpoint when it is run again."""

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbest.cli.combine import train_combined
from nbest.cli.terminal import JsonOut, console, show_progress, table, write_json

if TYPE_CHECKING:
    from nbest.training.callbacks import Progress

train = typer.Typer(help="Train the models of this package.", no_args_is_help=True)

_HELP = "A TOML file, or the name of a config of the package (see `nbest configs`)."
ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help=_HELP)]


@train.callback()
def _group() -> None: ...


@contextmanager
def quiet_trainer() -> Generator[None]:
    """Keep the bars and expected warnings of transformers and TRL off the screen."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        # TRL and we say `gradient_checkpointing`, as releases of transformers that we support know no other name.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
        yield


@contextmanager
def training_progress() -> "Generator[Progress]":
    """Show the progress of a training; yields the callback that reports it."""
    from nbest.stages import StageProgress
    from nbest.training.callbacks import Progress

    with quiet_trainer(), show_progress() as on_progress:
        yield Progress(lambda updates, total: on_progress(StageProgress("train", updates, total)))


def set_threads(threads: int) -> None:
    """Let torch compute with so many threads in this process."""
    import torch

    torch.set_num_threads(threads)


train.command("combined")(train_combined)


@train.command("policy")
def train_policy(config: ConfigFile) -> None:
    """Train the bundled policy: a small reasoning model of multi-step arithmetic."""
    from nbest.config import load_config
    from nbest.named_configs import find_config
    from nbest.training.settings import PolicyTrainingConfig

    settings = load_config(PolicyTrainingConfig, find_config(config, "policy"))
    from nbest.training.policy import train_policy as train_model

    set_threads(settings.threads)
    with training_progress() as progress:
        folder = train_model(settings, [progress])
    _print_model(folder, settings.out)


@train.command("scorer")
def train_scorer(config: ConfigFile, json_out: JsonOut = None) -> None:
    """Train a step scorer on verified runs that hold states: TrajSelector, STEP, SPRM, SWIFT or CLUE."""
    from nbest.config import load_config
    from nbest.named_configs import find_config
    from nbest.training.settings import ScorerTrainingConfig

    settings = load_config(ScorerTrainingConfig, find_config(config, "scorer"))
    from nbest.training.scorer import train_scorer as train_model

    set_threads(settings.threads)
    with training_progress() as progress:
        trained = train_model(settings, [progress])
    screen = console(json_out)
    for reason, count in trained.exclusions.items():
        screen.print(f"left out: {count:,} trajectories ({reason})")
    cells = [[name.removeprefix("eval_"), f"{value:.3f}"] for name, value in trained.metrics.items()]
    screen.print(table("held-out problems", ["measure", "value"], cells))
    _print_model(trained.folder, settings.out, json_out)
    write_json({"model": str(trained.folder), "metrics": dict(trained.metrics)}, json_out)


@train.command("genselect")
def train_genselect(config: ConfigFile, json_out: JsonOut = None) -> None:
    """Train a generative selector on selection tasks: a cold start if the config has one, then DAPO."""
    from nbest.config import load_config
    from nbest.errors import MissingExtraError
    from nbest.named_configs import find_config
    from nbest.training.settings import SelectionTrainingConfig

    settings = load_config(SelectionTrainingConfig, find_config(config, "genselect"))
    # Read by TRL when it is imported: what it calls experimental is pinned by our tests.
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        from nbest.training.genselect import train_genselect as train_model
    except ImportError as error:
        raise MissingExtraError((error.name or "trl").partition(".")[0], "train") from error

    set_threads(settings.threads)
    with training_progress() as progress:
        trained = train_model(settings, [progress])
    screen = console(json_out)
    cells = [[name.removeprefix("validation_"), f"{value:.3f}"] for name, value in trained.metrics.items()]
    screen.print(table("held-out tasks", ["measure", "value"], cells))
    _print_model(trained.folder, settings.out, json_out)
    write_json({"model": str(trained.folder), "metrics": dict(trained.metrics)}, json_out)


def _print_model(folder: Path, out: Path, json_out: str | None = None) -> None:
    console(json_out).print(f"model: {folder}   log: {out / 'log.jsonl'}", markup=False, soft_wrap=True)
