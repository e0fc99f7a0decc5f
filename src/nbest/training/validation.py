"""How well a selector in training judges tasks it never trains on: accuracy, failures by kind, samples to read.

Before the first update, then every so many, and at the end. Knows no trainer beyond what judges tasks for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback

from nbest.training.callbacks import append_lines, keep_until, read_lines
from nbest.training.selection_rewards import JudgedText, measure_accuracy
from nbest.training.settings import SelectionDataConfig
from nbest.training.task_files import SelectionTask

MEASURES = ("validation_accuracy", "validation_failed_share", "validation_characters")
SAMPLES = 3


class Judging(Protocol):
    """What the trainer does for this callback."""

    accelerator: Any

    def judge_tasks(self, tasks: Sequence[SelectionTask], temperature: float) -> list[JudgedText]: ...


class Validation(TrainerCallback):
    """Appends a line to `log` for each validation and `SAMPLES` judgements to `samples`; `metrics` are the last ones.

    `judge` is set once the trainer is there."""

    judge: Judging

    def __init__(self, tasks: Sequence[SelectionTask], config: SelectionDataConfig, log: Path, samples: Path):
        self.metrics: dict[str, float] = {}
        self._tasks, self._config = tasks, config
        self._log, self._samples = log, samples

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self.judge.accelerator.is_main_process:
            keep_until(self._samples, state.global_step)
        if state.global_step == 0:
            self._validate(0)
            return
        told = [row for row in read_lines(self._log) if MEASURES[0] in row and row["update"] <= state.global_step]
        self.metrics = {name: told[-1][name] for name in MEASURES} if told else {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step % self._config.validate_every == 0 or state.global_step == state.max_steps:
            self._validate(state.global_step)

    def _validate(self, update: int) -> None:
        if not self._tasks:
            return
        judged = self.judge.judge_tasks(self._tasks, self._config.validation_temperature)
        found = measure_accuracy(judged)
        measured = (
            found.accuracy,
            sum(found.faults.values()) / found.count,
            sum(len(each.text) for each in judged) / found.count,
        )
        self.metrics = dict(zip(MEASURES, measured, strict=True))
        if self.judge.accelerator.is_main_process:
            told = {"update": update, **self.metrics, "validation_tasks": found.count, "faults": dict(found.faults)}
            samples = [{"update": update, "judgement": each.text, "correct": list(each.correct)} for each in judged]
            self._log.parent.mkdir(parents=True, exist_ok=True)
            append_lines(self._log, [told])
            append_lines(self._samples, samples[:SAMPLES])
