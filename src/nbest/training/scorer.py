"""Train a step scorer with outcome labels only, by the `Trainer` of transformers, so that accelerate's settings apply.

    nbest train scorer CONFIG.toml            (one process)
    accelerate launch --config_file ZERO2.yaml -m nbest train scorer CONFIG.toml

The saved model is the checkpoint that ranks best *within the pools* of held-out problems. Training stops with an error
if the buffer class takes all probability, and warns if it has none. A training that was killed resumes from its last
checkpoint. `clue` has no gradients: the same command computes its centroids. This module does not know how batches are
read (`training/step_batches.py`), nor the formulas of losses (`training/step_losses.py`).

Shapes: B trajectories, S steps, L layers, D hidden size, F features, I = L * D + F inputs of a step.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from nbest.errors import ConfigError, EngineError, MissingExtraError
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.scoring.hidden import score_rows
from nbest.scoring.step_heads import MODELS, ClueModel, weigh
from nbest.scoring.step_scorer import BUFFER, StepScorer, StepScorerConfig, TrajSelectorConfig, create_trajselector
from nbest.statistics.ranking import auc, within_pool_auc
from nbest.storage.outputs import replace_folder, write_file
from nbest.storage.run import Run
from nbest.training.callbacks import LogFile, find_checkpoint, silence
from nbest.training.settings import ScorerModelConfig, ScorerTrainingConfig
from nbest.training.step_batches import (
    FEATURES,
    StepBatches,
    StepSet,
    draw_members,
    is_held_out,
    load_batch,
    read_step_set,
)
from nbest.training.step_losses import BUFFER_LOSSES, LOSSES, mean_buffer, trajectory_loss, weigh_classes

STATISTICS_TRAJECTORIES = 4096
EVALUATION_BATCH = 256
DEFAULT_LOSS = {"trajselector": "guarded-half", "step-mlp": "outcome", "sprm": "agreeing", "swift": "outcome"}
DEFAULT_AGGREGATION = {"sprm": "geometric_mean", "clue": "last"}


@dataclass(frozen=True, slots=True)
class TrainedScorer:
    """The folder of the model, its `metrics` on held-out problems, and the trajectories not used, by reason.

    `warnings` say what a reader of the metrics should know, such as a buffer class that is not used.
    """

    folder: Path
    metrics: Mapping[str, float]
    exclusions: Mapping[str, int]
    warnings: Sequence[str] = ()


def train_scorer(config: ScorerTrainingConfig, callbacks: Sequence[TrainerCallback] = ()) -> TrainedScorer:
    """Train, or resume from the last checkpoint under `config.out`.

    Raises ConfigError for settings that do not fit, UnavailableError or DataError for runs that lack data or do not fit
    together, EngineError if training collapses.
    """
    set_seed(config.seed)
    training, validation = read_sets(config)
    model = build_model(config.model, training)
    if config.model.standardise:
        model.fit_inputs(*measure_inputs(training, model.config))
    folder = config.out / "model"
    if isinstance(model, ClueModel):
        model.fit_centroids(*measure_centroids(training, model, config))
        metrics = evaluate(model, validation)
        if _get_process_state().is_main_process:
            with replace_folder(folder) as temporary:
                model.save_pretrained(temporary)
    else:
        metrics = _fit(config, model, training, validation, callbacks)
    if _get_process_state().is_main_process:
        write_file(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    exclusions = dict(training.exclusions + validation.exclusions)
    warning = warn_of_buffer(config, metrics["eval_p_buffer"])
    return TrainedScorer(folder, metrics, exclusions, [f"held-out problems: {warning}"] if warning else [])


def warn_of_buffer(config: ScorerTrainingConfig, p_buffer: float) -> str:
    """Return a warning if a model that is trained with a buffer class hardly uses it, else ""."""
    loss = config.loss.name or DEFAULT_LOSS.get(config.model.type)
    has_buffer = config.model.type == "trajselector" and config.model.classes > BUFFER and loss in BUFFER_LOSSES
    if not has_buffer or p_buffer >= config.loss.least_buffer:
        return ""
    return (
        f"mean p_buffer is {p_buffer:.4f}, below loss.least_buffer = {config.loss.least_buffer}: the buffer class is "
        f"not used, so this is a model of two classes (loss.name = {loss!r}; 'guarded-half' is the guard that uses it)"
    )


def read_sets(config: ScorerTrainingConfig) -> tuple[StepSet, StepSet]:
    """Return the trajectories of training and of validation; no problem is in both."""
    data, model = config.data, config.model
    runs = [Run.open(path) for path in data.runs]
    if data.validation_runs:
        validation_runs = [Run.open(path) for path in data.validation_runs]
        validation_ids = {problem.id for run in validation_runs for problem in run.problems()}
        training = read_step_set(
            runs, model.layers, model.logprobs, lambda key: key not in validation_ids, data.trajectories
        )
        validation = _read_first_problems(validation_runs, model, data.validation_problems, lambda key: True)  # noqa: ARG005
    else:
        share = data.validation_share
        training = read_step_set(
            runs, model.layers, model.logprobs, lambda key: not is_held_out(key, share), data.trajectories
        )
        validation = _read_first_problems(runs, model, data.validation_problems, lambda key: is_held_out(key, share))
    return training, validation


def _read_first_problems(runs: list[Run], model: ScorerModelConfig, count: int, is_included: Any) -> StepSet:
    ids: set[str] = set()

    def include(key: str) -> bool:
        if is_included(key) and (len(ids) < count or key in ids):
            ids.add(key)
            return True
        return False

    return read_step_set(runs, model.layers, model.logprobs, include)


def build_model(settings: ScorerModelConfig, steps: StepSet) -> StepScorer:
    """Return a new model for these states. Raises ConfigError if it would have no inputs."""
    if not (settings.states or settings.logprobs):
        raise ConfigError("model: states and logprobs are both false; a scorer needs at least one of them")
    options: dict[str, Any] = {
        "policy_hidden_size": steps.hidden_size,
        "layers": list(steps.layers),
        "features": FEATURES if settings.logprobs else 0,
        "has_states": settings.states,
        "aggregation": settings.aggregation or DEFAULT_AGGREGATION.get(settings.type, "mean"),
        "states_source": dict(steps.origin),
    }
    if settings.type == "trajselector":
        return create_trajselector(
            TrajSelectorConfig(classes=settings.classes, **options),
            locate_checkpoint(settings.body),
            settings.body_layers,
            settings.body_random,
        )
    model_class = MODELS[settings.type]
    model_options: dict[str, Any] = {"hidden_size": settings.hidden_size} if settings.type == "step-mlp" else {}
    return model_class(model_class.config_class(**options, **model_options))


def measure_inputs(steps: StepSet, config: StepScorerConfig) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation [I] of the inputs of a step, over a fixed draw of trajectories."""
    rng = np.random.default_rng(0)
    members = rng.permutation(len(steps.ids))[:STATISTICS_TRAJECTORIES]
    total, square, count = torch.zeros(config.input_size).double(), torch.zeros(config.input_size).double(), 0
    for start in range(0, len(members), EVALUATION_BATCH):
        batch = load_batch(steps, members[start : start + EVALUATION_BATCH])
        rows = [batch["states"].flatten(2)] if config.has_states else []
        inputs = torch.cat(rows + ([batch["features"]] if config.features else []), dim=-1)[batch["mask"]].double()
        total, square, count = total + inputs.sum(0), square + inputs.square().sum(0), count + len(inputs)
    mean = total / count
    return mean.float(), (square / count - mean.square()).clamp_min(0).sqrt().float()


def measure_centroids(steps: StepSet, model: ClueModel, config: ScorerTrainingConfig) -> tuple[Tensor, Tensor]:
    """Return the mean deltas [I] of right and of wrong trajectories, balanced as the config demands."""
    data, rng = config.data, np.random.default_rng(config.seed)
    members = draw_members(steps, data.balance, data.per_problem, config.seed, rng)
    sums, counts = torch.zeros(2, model.config.input_size), torch.zeros(2)
    for start in range(0, len(members), EVALUATION_BATCH):
        batch = load_batch(steps, members[start : start + EVALUATION_BATCH])
        deltas = model.measure_deltas(batch["states"], batch.get("features"))
        last = deltas[torch.arange(len(deltas)), batch["mask"].sum(-1) - 1].detach()
        for side, rows in enumerate((batch["labels"] > 0.5, batch["labels"] < 0.5)):
            sums[side] += last[rows].sum(0)
            counts[side] += rows.sum()
    return sums[0] / counts[0].clamp_min(1), sums[1] / counts[1].clamp_min(1)


@torch.no_grad()
def evaluate(model: StepScorer, steps: StepSet) -> dict[str, float]:
    """Return how well the scores of a model rank the trajectories of held-out problems.

    `eval_within_pool_auc` is the AUC within pools, and `eval_mixed_pools` the number of pools that it can be computed
    on: those with right and wrong trajectories. `eval_auc` is the AUC over all trajectories, `eval_best_of_n` the share
    of pools in which a right trajectory has the highest score, and `eval_p_buffer` the mean probability of the buffer
    class. An AUC that is undefined is 0.5.
    """
    was_training = model.training
    model.eval()
    values = np.empty(len(steps.ids))
    buffers: list[float] = []
    order = np.argsort(steps.steps, kind="stable")
    for start in range(0, len(order), EVALUATION_BATCH):
        members = order[start : start + EVALUATION_BATCH]
        batch = {name: value.to(model.device) for name, value in load_batch(steps, members).items()}
        output = model(batch["states"], batch["mask"], batch.get("features"))
        values[members] = score_rows(output, batch["mask"].cpu().numpy(), model.config.aggregation)
        buffers.append(float(mean_buffer(output.logits, batch["mask"])))
    model.train(was_training)
    in_pools = [steps.problem == problem for problem in np.unique(steps.problem)]
    pools = [(steps.right[in_pool], values[in_pool]) for in_pool in in_pools]
    within_auc, mixed_pools = within_pool_auc(pools)
    overall_auc = auc(steps.right, values)
    best_of_n = float(np.mean([right[int(np.argmax(pool_values))] for right, pool_values in pools]))
    return {
        "eval_within_pool_auc": 0.5 if within_auc is None else within_auc,
        "eval_auc": 0.5 if overall_auc is None else overall_auc,
        "eval_best_of_n": best_of_n,
        "eval_mixed_pools": float(mixed_pools),
        "eval_p_buffer": float(np.mean(buffers)),
    }


class ScorerTrainer(Trainer):
    """A `Trainer` with the losses of step scorers, whose evaluation ranks pools."""

    def __init__(self, config: ScorerTrainingConfig, validation: StepSet, **settings: Any):
        super().__init__(**settings)
        self.config, self.validation = config, validation
        self.loss = LOSSES[config.loss.name or DEFAULT_LOSS[config.model.type]]
        self._buffers: list[float] = []
        self._draw_update, self._draw_number = -1, 0

    def _make_generator(self) -> torch.Generator:
        """Return the generator of the guard's draws for the next micro-batch.

        It depends on the seed, the update, the process and the number of the micro-batch in the update, so that no two
        of them share draws and a training that resumes from a checkpoint repeats them.
        """
        update = int(self.state.global_step)
        self._draw_number = self._draw_number + 1 if update == self._draw_update else 0
        self._draw_update = update
        key = (self.config.seed, update, self.accelerator.process_index, self._draw_number)
        return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0]))

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)  # pyright: ignore[reportArgumentType]

    def compute_loss(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> Any:
        output = model(inputs["states"], inputs["mask"], inputs.get("features"))
        labels, mask = inputs["labels"], inputs["mask"]
        if output.gates is not None:
            losses = trajectory_loss(weigh(output.logits, output.gates), labels)
        else:
            losses = self.loss(output.logits, labels, mask, self._make_generator())
        self._buffers.append(float(mean_buffer(output.logits.detach(), mask)))
        loss = weigh_classes(losses, labels, self.config.loss.right_weight, self.config.loss.wrong_weight)
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._buffers:
            logs["p_buffer"] = sum(self._buffers) / len(self._buffers)
            self._buffers = []
            if logs["p_buffer"] > self.config.loss.most_buffer:
                raise EngineError(
                    f"training collapsed at update {self.state.global_step}: mean p_buffer is {logs['p_buffer']:.3f} "
                    f"(loss.most_buffer = {self.config.loss.most_buffer}). The printed loss is zero where the "
                    "buffer class takes all probability; use loss.name = 'guarded-half'."
                )
            if warning := warn_of_buffer(self.config, logs["p_buffer"]):
                logs["warning"] = warning  # pyright: ignore[reportArgumentType]
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        model = self.accelerator.unwrap_model(self.model)
        metrics = evaluate(model, self.validation)  # pyright: ignore[reportArgumentType]
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _fit(
    config: ScorerTrainingConfig,
    model: StepScorer,
    training: StepSet,
    validation: StepSet,
    callbacks: Sequence[TrainerCallback],
) -> dict[str, float]:
    data = config.data
    batches = StepBatches(
        training, config.batch_trajectories, data.balance, config.epochs, config.seed, data.per_problem
    )
    arguments = _make_arguments(config, len(batches))
    trainer = ScorerTrainer(
        config,
        validation,
        model=model,
        args=arguments,
        train_dataset=batches,
        eval_dataset=validation,
        data_collator=lambda items: items[0],
        callbacks=[LogFile(config.out / "log.jsonl"), *callbacks],
    )
    silence(trainer)
    checkpoints = Path(str(arguments.output_dir))
    trainer.train(resume_from_checkpoint=find_checkpoint(checkpoints))
    folder = config.out / "model"
    # This gathers the weights that FSDP and ZeRO shard over processes, and writes them once.
    if trainer.is_world_process_zero():
        with replace_folder(folder) as temporary:
            trainer.save_model(str(temporary))
    else:
        trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        (folder / "training_args.bin").unlink(missing_ok=True)
    return trainer.evaluate()


def _name_checkpointing(is_on: bool) -> dict[str, Any]:
    """Return the setting under its name in this version of transformers; newer ones say activation checkpointing."""
    names = {field.name for field in fields(TrainingArguments)}
    name = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return {name: True} if is_on else {}


def _get_process_state() -> Any:
    """Return accelerate's view of the training processes: how many there are, and whether this is the main one.

    Raises MissingExtraError if accelerate is not installed.
    """
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingExtraError("accelerate", "train") from error
    return PartialState(cpu=not torch.cuda.is_available())


def _make_arguments(config: ScorerTrainingConfig, batches: int) -> TrainingArguments:
    updates = max(1, batches // (config.accumulation * _get_process_state().num_processes))
    interval = max(1, math.ceil(updates / config.evaluations))
    return TrainingArguments(
        output_dir=str(config.out / "checkpoints"),
        per_device_train_batch_size=1,  # an item of the dataset is a whole batch
        gradient_accumulation_steps=config.accumulation,
        max_steps=updates,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(updates * config.warmup_share),
        weight_decay=config.weight_decay,
        max_grad_norm=1.0,
        bf16=config.bf16,
        **_name_checkpointing(config.gradient_checkpointing),
        logging_steps=config.log_every,
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_within_pool_auc",
        greater_is_better=True,
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to=list(config.trackers),
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )
