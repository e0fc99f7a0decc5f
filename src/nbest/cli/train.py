"""Training commands. A command that is run again resumes from its last checkpoint."""

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbest.cli.combine import train_combined
from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, console, table, write_json
from nbest.cli.tune import train_vote
from nbest.plurals import show_count

if TYPE_CHECKING:
    from nbest.training.callbacks import Progress

train = typer.Typer(help="Train a policy, a scorer or a selector.", no_args_is_help=True)

_HELP = "A TOML file, or the name of a config that comes with the package (see `nbest configs`)."
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
        # TRL and nbest pass `gradient_checkpointing`, because older supported releases of transformers know no other
        # name.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
        yield


@contextmanager
def training_progress() -> "Generator[Progress]":
    """Show the progress of a training; yield the callback that reports it."""
    from nbest.progress import StageProgress, report_activity
    from nbest.training.callbacks import Progress

    with show_progress() as on_progress:
        report_activity("load the model and the data", on_progress)
        with quiet_trainer():
            yield Progress(lambda updates, total: on_progress(StageProgress("train", updates, total)))


def set_threads(threads: int) -> None:
    """Limit torch to this many threads in this process."""
    import torch

    torch.set_num_threads(threads)


train.command("combined")(train_combined)
train.command("vote")(train_vote)


@train.command("policy")
def train_policy(config: ConfigFile) -> None:
    """Train the bundled policy, a small model that reasons about multi-step arithmetic."""
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
    """Train a step scorer on verified runs with hidden states: TrajSelector, STEP, or one after SPRM, SWIFT or CLUE."""
    from nbest.config import load_config
    from nbest.named_configs import find_config
    from nbest.training.settings import ScorerTrainingConfig

    settings = load_config(ScorerTrainingConfig, find_config(config, "scorer"))
    from nbest.training.scorer import train_scorer as train_model

    set_threads(settings.threads)
    with training_progress() as progress:
        result = train_model(settings, [progress])
    screen = console(json_out)
    for reason, count in result.exclusions.items():
        screen.print(f"excluded: {show_count(count, 'trajectory')} ({reason})")
    cells = [[name.removeprefix("eval_"), f"{value:.3f}"] for name, value in result.metrics.items()]
    screen.print(table("held-out problems", ["measure", "value"], cells))
    for warning in result.warnings:
        screen.print(f"warning: {warning}", style="bold yellow")
    _print_model(result.folder, settings.out, json_out)
    content = {"model": str(result.folder), "metrics": dict(result.metrics), "warnings": list(result.warnings)}
    write_json(content, json_out)


@train.command("genselect")
def train_genselect(config: ConfigFile, json_out: JsonOut = None) -> None:
    """Train a generative selector on selection tasks: a cold start if the config has one, then DAPO."""
    from nbest.config import load_config
    from nbest.errors import MissingExtraError
    from nbest.named_configs import find_config
    from nbest.training.settings import SelectionTrainingConfig

    settings = load_config(SelectionTrainingConfig, find_config(config, "genselect"))
    # TRL reads this on import and then does not warn of experimental features; the tests pin those that are used.
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        from nbest.training.genselect import train_genselect as train_model
    except ImportError as error:
        raise MissingExtraError((error.name or "trl").partition(".")[0], "train") from error

    set_threads(settings.threads)
    with training_progress() as progress:
        result = train_model(settings, [progress])
    screen = console(json_out)
    cells = [[name.removeprefix("validation_"), f"{value:.3f}"] for name, value in result.metrics.items()]
    screen.print(table("held-out tasks", ["measure", "value"], cells))
    _print_model(result.folder, settings.out, json_out)
    write_json({"model": str(result.folder), "metrics": dict(result.metrics)}, json_out)


def _print_model(folder: Path, out: Path, json_out: str | None = None) -> None:
    console(json_out).print(f"model: {folder}   log: {out / 'log.jsonl'}", soft_wrap=True)
