"""Validate a selector during training on held-out tasks: its accuracy, its faults by kind, and samples to read.

Validation runs before the first update, then every `validate_every` updates, and at the end. This module knows only the
`TaskJudge` part of the trainer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback

from nbest.training.callbacks import append_lines, read_lines, truncate_log
from nbest.training.selection_rewards import JudgementText, measure_accuracy
from nbest.training.settings import SelectionDataConfig
from nbest.training.task_files import SelectionTask

MEASURES = ("validation_accuracy", "validation_failed_share", "validation_characters")
SAMPLES = 3


class TaskJudge(Protocol):
    """The part of the trainer that this callback uses."""

    accelerator: Any

    def judge_tasks(self, tasks: Sequence[SelectionTask], temperature: float) -> list[JudgementText]: ...


class Validation(TrainerCallback):
    """Append one line per validation to `log` and `SAMPLES` judgements to `samples`; `metrics` are the latest ones.

    `judge` must be set when the trainer exists, before training starts.
    """

    judge: TaskJudge

    def __init__(self, tasks: Sequence[SelectionTask], config: SelectionDataConfig, log: Path, samples: Path):
        self.metrics: dict[str, float] = {}
        self._tasks, self._config = tasks, config
        self._log, self._samples = log, samples

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self.judge.accelerator.is_main_process:
            truncate_log(self._samples, state.global_step)
        if state.global_step == 0:
            self._validate(0)
            return
        rows = [row for row in read_lines(self._log) if MEASURES[0] in row and row["update"] <= state.global_step]
        self.metrics = {name: rows[-1][name] for name in MEASURES} if rows else {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step % self._config.validate_every == 0 or state.global_step == state.max_steps:
            self._validate(state.global_step)

    def _validate(self, update: int) -> None:
        if not self._tasks:
            return
        outputs = self.judge.judge_tasks(self._tasks, self._config.validation_temperature)
        accuracy = measure_accuracy(outputs)
        values = (
            accuracy.accuracy,
            sum(accuracy.faults.values()) / accuracy.count,
            sum(len(output.text) for output in outputs) / accuracy.count,
        )
        self.metrics = dict(zip(MEASURES, values, strict=True))
        if self.judge.accelerator.is_main_process:
            counts = {"validation_tasks": accuracy.count, "faults": dict(accuracy.faults)}
            samples = [{"update": update, "judgement": o.text, "correct": list(o.correct)} for o in outputs]
            self._log.parent.mkdir(parents=True, exist_ok=True)
            append_lines(self._log, [{"update": update, **self.metrics, **counts}])
            append_lines(self._samples, samples[:SAMPLES])
