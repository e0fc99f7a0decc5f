"""`nbest train genselect`: a small model learns to name the best candidate, by DAPO on selection tasks.

The recipe from top to bottom: load tasks and model, run the cold start if the config has one, run DAPO, save an
ordinary Hugging Face folder with `selection.json` beside the weights. A training that was killed resumes from its last
checkpoint and gives the same result. The recipe is that of arXiv 2602.02143, without KL, as in DAPO. This module does
not know how tasks are built.
"""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from packaging.version import Version
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl.trainer.grpo_config import GRPOConfig

from nbest.errors import ConfigError, MissingExtraError
from nbest.hub import describe_error, needs_cache
from nbest.judging.settings import SELECTION_FILE
from nbest.plurals import agree, show_count
from nbest.records import SamplingParams
from nbest.sampling.checkpoint import choose_device, locate_checkpoint, without_progress_bar
from nbest.storage.outputs import replace_folder, write_file
from nbest.training.callbacks import LogFile, MemoryTrimmer, find_checkpoint, silence
from nbest.training.cold_start import add_words, teach_judging, write_demonstrations
from nbest.training.dapo import DapoTrainer
from nbest.training.rollouts import SamplerRollouts
from nbest.training.settings import SelectionTrainingConfig
from nbest.training.task_files import SelectionTask, load_tasks, read_build_info
from nbest.training.task_stream import TaskStream
from nbest.training.validation import Validation

VLLM_VERSIONS = ("0.22.0", "0.31.0")
"""The lowest and highest version of vLLM that TRL 1.16 supports; a test compares them with TRL's own warning."""


@dataclass(frozen=True, slots=True)
class TrainedSelector:
    """The folder of the finished model, and the `metrics` of the last validation."""

    folder: Path
    metrics: Mapping[str, float]


def train_genselect(config: SelectionTrainingConfig, callbacks: Sequence[TrainerCallback] = ()) -> TrainedSelector:
    """Train, or resume from the last checkpoint under `config.out`.

    Raises ConfigError, DataError or MissingExtraError before a model is loaded: also if rollouts are drawn by vLLM and
    it is not installed in a version that TRL supports.
    """
    plan_batches(config)
    if config.rollouts.engine != "in-process":
        check_vllm()
    set_seed(config.seed)
    tasks = [task for path in config.data.tasks for task in load_tasks(path)]
    held_out = [task for path in config.data.validation_tasks for task in load_tasks(path)]
    prompt_settings = _read_prompt_settings([*config.data.tasks, *config.data.validation_tasks])
    model, tokenizer = _load_starting_model(config, tasks, prompt_settings, callbacks)
    validation = Validation(
        held_out[: config.data.validation_count], config.data, config.out / "log.jsonl", config.out / "judgements.jsonl"
    )
    trainer = build_trainer(config, model, tokenizer, tasks, [validation, *callbacks])
    validation.judge = trainer
    trainer.resume(find_checkpoint(config.out / "checkpoints"))
    if isinstance(trainer.rollout_func, SamplerRollouts):
        trainer.rollout_func.close()
    folder = config.out / "model"
    if trainer.accelerator.is_main_process:
        save_selector(trainer.accelerator.unwrap_model(trainer.model), tokenizer, config, prompt_settings, folder)
    return TrainedSelector(folder, validation.metrics)


def check_vllm() -> None:
    """Raise MissingExtraError if vLLM is not installed, ConfigError if TRL does not support the installed version."""
    try:
        installed = version("vllm")
    except PackageNotFoundError as error:
        raise MissingExtraError("vllm", "train-vllm") from error
    lowest, highest = VLLM_VERSIONS
    # Without the local part: "0.31.0+cu129" is 0.31.0 on another CUDA, and would otherwise compare as newer.
    if not Version(lowest) <= Version(Version(installed).base_version) <= Version(highest):
        raise ConfigError(
            f"rollouts.engine: vLLM {installed} is installed, and this version of TRL draws rollouts with vLLM "
            f"{lowest} to {highest}. Install one of them: pip install 'vllm>={lowest},<={highest}', or set engine = "
            "'in-process'"
        )


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How one process splits a generation batch: into `parts` micro-batches, `accumulation` of them per update."""

    parts: int
    accumulation: int


def plan_batches(config: SelectionTrainingConfig, processes: int | None = None) -> BatchPlan:
    """Return how a generation batch is split.

    Raises ConfigError, with all faults at once, if the sizes do not divide evenly or settings exclude each other.
    """
    rollouts, optimiser = config.rollouts, config.optimiser
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    rows = rollouts.prompts * rollouts.group
    step = optimiser.micro_rows * optimiser.updates_per_batch * processes
    faults = list[str]()
    if rollouts.prompts % processes:
        faults.append(
            f"rollouts.prompts: {rollouts.prompts} must be a multiple of the number of processes ({processes})"
        )
    if rows % step:
        faults.append(
            f"optimiser.micro_rows: {show_count(rollouts.prompts, 'prompt')} x "
            f"{show_count(rollouts.group, 'rollout')} = {show_count(rows, 'row')} {agree(rows, 'does')} not split "
            f"into {show_count(processes, 'process')} x {show_count(optimiser.updates_per_batch, 'update')} "
            f"of micro-batches of {optimiser.micro_rows}; choose numbers whose product divides {rows}"
        )
    if config.save_every % optimiser.updates_per_batch or optimiser.updates % optimiser.updates_per_batch:
        faults.append(
            f"save_every and optimiser.updates: {config.save_every} and {optimiser.updates} must be multiples of "
            f"updates_per_batch ({optimiser.updates_per_batch}), so that checkpoints are written between batches"
        )
    if config.dapo.clip_high < config.dapo.clip_low:
        faults.append(f"dapo.clip_high: {config.dapo.clip_high} must be at least clip_low ({config.dapo.clip_low})")
    if config.dapo.overlong_tokens >= rollouts.max_tokens:
        faults.append(
            f"dapo.overlong_tokens: {config.dapo.overlong_tokens} must be below rollouts.max_tokens "
            f"({rollouts.max_tokens}); 0 switches the punishment off"
        )
    if config.dapo.overlong_tokens and config.dapo.filter_overlong:
        faults.append(
            f"dapo.filter_overlong: it leaves truncated judgements out of the loss, and overlong_tokens = "
            f"{config.dapo.overlong_tokens} punishes them; set filter_overlong = false (as DAPO does), or "
            "overlong_tokens = 0"
        )
    if optimiser.share_prompts and optimiser.gradient_checkpointing:
        faults.append(
            "optimiser.share_prompts: it needs a cache, which gradient_checkpointing switches off; enable only one of "
            "them"
        )
    if rollouts.engine == "vllm-server" and not rollouts.server_url:
        faults.append("rollouts.server_url: engine 'vllm-server' needs the address of a `vllm serve`")
    if rollouts.sleep_mode and rollouts.engine != "vllm-colocate":
        faults.append(
            f"rollouts.sleep_mode: only a vLLM beside the trainer can sleep, and engine is {rollouts.engine!r}; set "
            "engine = 'vllm-colocate' or sleep_mode = false"
        )
    if faults:
        raise ConfigError(faults)
    return BatchPlan(rows // (optimiser.micro_rows * processes), rows // step)


def _read_prompt_settings(files: Sequence[Path]) -> dict[str, Any]:
    """Return the style and thinking mode of the prompts. Raises ConfigError if the files differ in them."""
    settings = {path: {name: read_build_info(path).get(name) for name in ("style", "thinking")} for path in files}
    first = next(iter(settings.values()))
    if differences := [f"{path} has {values}" for path, values in settings.items() if values != first]:
        raise ConfigError(
            f"data.tasks: {files[0]} has {first}, but {'; '.join(differences)}; build all files with the same settings"
        )
    return first


def _load_starting_model(
    config: SelectionTrainingConfig,
    tasks: Sequence[SelectionTask],
    prompt_settings: Mapping[str, Any],
    callbacks: Sequence[TrainerCallback],
) -> tuple[Any, Any]:
    """Return the model and tokenizer that DAPO starts from: `config.model`, or the result of its cold start."""
    folder = config.out / "cold_start" / "model"
    if config.cold_start is None or (folder / SELECTION_FILE).is_file():
        return load_trainable(str(folder) if config.cold_start else config.model, config)
    model, tokenizer = load_trainable(config.model, config)
    demonstrations, solutions = write_demonstrations(tasks, config.cold_start, prompt_settings["thinking"], config.seed)
    add_words(model, tokenizer, config.cold_start.answers)
    out = config.out / "cold_start"
    teach_judging(model, tokenizer, demonstrations, solutions, config.cold_start, out, config.seed, callbacks)
    save_selector(model, tokenizer, config, prompt_settings, folder)
    return model, tokenizer


def load_trainable(name: str, config: SelectionTrainingConfig) -> tuple[Any, Any]:
    """Return a model in float32 and its tokenizer.

    Raises ConfigError if the model cannot be loaded, or if its tokenizer has no chat template.
    """
    folder = locate_checkpoint(name)
    kwargs: dict[str, Any] = {
        "revision": config.revision,
        "local_files_only": needs_cache(folder, "model", config.revision),
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **kwargs)
        with without_progress_bar():
            # Weights stay in float32 even if `bf16` computes in bfloat16, which would round an update of 1e-6 away.
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **kwargs)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model: {name!r} could not be loaded as a causal language model: it is neither a local folder with "
            f"weights and tokenizer, nor a hub id that can be reached. {describe_error(error)}"
        ) from error
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            f"model: the tokenizer of {name!r} has no chat template, but selection tasks are user messages"
        )
    return model.to(choose_device("auto")), tokenizer


def build_trainer(
    config: SelectionTrainingConfig,
    model: Any,
    tokenizer: Any,
    tasks: Sequence[SelectionTask],
    callbacks: Sequence[TrainerCallback] = (),
) -> DapoTrainer:
    """Return the trainer for `config`; rollouts are drawn in this process or by TRL's vLLM modes."""
    rollouts, dapo = config.rollouts, config.dapo
    rollout_function = None
    if rollouts.engine == "in-process":
        params = SamplingParams(rollouts.temperature, rollouts.top_p, 0, 0.0, rollouts.max_tokens)
        rollout_function = SamplerRollouts(model, tokenizer, params, config.seed, rollouts.batch_rows)
    with warnings.catch_warnings():
        # `rollout_func` is experimental in TRL; the tests cover the behaviour that is used here.
        warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
        trainer = DapoTrainer(
            model,
            make_training_arguments(config),
            TaskStream(tasks, config.seed, int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))),
            most_rounds=dapo.most_rounds,
            oversampling=dapo.oversampling,
            share_prompts=config.optimiser.share_prompts,
            overlong_tokens=dapo.overlong_tokens,
            train_dataset=Dataset.from_dict({"prompt": ["drawn from the stream of tasks"] * rollouts.prompts}),
            processing_class=tokenizer,
            rollout_func=rollout_function,
            callbacks=[LogFile(config.out / "log.jsonl"), MemoryTrimmer(), *callbacks],
        )
    silence(trainer)
    return trainer


def make_training_arguments(config: SelectionTrainingConfig) -> GRPOConfig:
    """Return the settings of TRL: `beta` 0 means no KL, `scale_rewards` "group" the advantages of GRPO and DAPO."""
    rollouts, dapo, optimiser, plan = config.rollouts, config.dapo, config.optimiser, plan_batches(config)
    vllm: dict[str, Any] = {
        "use_vllm": rollouts.engine != "in-process",
        "vllm_mode": "server" if rollouts.engine == "vllm-server" else "colocate",
        "vllm_server_base_url": rollouts.server_url,
        "vllm_gpu_memory_utilization": rollouts.memory_share,
        "vllm_enable_sleep_mode": rollouts.sleep_mode,
        "vllm_importance_sampling_correction": rollouts.importance_correction != "off",
        "vllm_importance_sampling_clip_max": rollouts.importance_cap,
    }
    if rollouts.importance_correction != "off":
        vllm["vllm_importance_sampling_mode"] = rollouts.importance_correction.replace("-", "_")
    return GRPOConfig(
        output_dir=str(config.out / "checkpoints"),
        max_steps=optimiser.updates,
        per_device_train_batch_size=optimiser.micro_rows,
        gradient_accumulation_steps=plan.accumulation,
        steps_per_generation=plan.parts,
        num_generations=rollouts.group,
        num_generations_eval=1,
        max_completion_length=rollouts.max_tokens,
        temperature=rollouts.temperature,
        top_p=rollouts.top_p,
        beta=0.0,
        epsilon=dapo.clip_low,
        epsilon_high=dapo.clip_high,
        loss_type="dapo" if dapo.token_loss else "grpo",
        mask_truncated_completions=dapo.filter_overlong,
        scale_rewards="group",
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=optimiser.warmup_updates,
        weight_decay=optimiser.weight_decay,
        max_grad_norm=1.0,
        bf16=optimiser.bf16,
        gradient_checkpointing=optimiser.gradient_checkpointing,
        logging_steps=config.log_every,
        save_steps=config.save_every,
        save_total_limit=2,
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to=list(config.trackers),
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **vllm,
    )


def save_selector(
    model: Any, tokenizer: Any, config: SelectionTrainingConfig, prompt_settings: Mapping[str, Any], folder: Path
) -> None:
    """Save an ordinary Hugging Face folder, whole or not at all. `selection.json` has the prompt settings."""
    model.config.use_cache = True  # the Trainer turned it off
    settings = {
        **prompt_settings,
        "window": config.window,
        "max_tokens": config.rollouts.max_tokens,
        "temperature": config.data.validation_temperature,
    }
    with replace_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_file(temporary / SELECTION_FILE, json.dumps(settings, indent=2) + "\n")
