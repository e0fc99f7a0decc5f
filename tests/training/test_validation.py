"""Validation lines: when, what they say, samples."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbest.training.selection_rewards import JudgementText
from nbest.training.settings import SelectionDataConfig
from nbest.training.task_files import SelectionTask
from nbest.training.validation import SAMPLES, Validation
from tests.training.selector_runs import make_tasks

TASKS = make_tasks(5)


class ScriptedJudge:
    """Judges task t by `texts[t]`; one that ends in "..." was cut."""

    def __init__(self, texts: Sequence[str], is_main: bool = True):
        self.accelerator = SimpleNamespace(is_main_process=is_main)
        self.asked: list[tuple[int, float]] = []
        self._texts = texts

    def judge_tasks(self, tasks: Sequence[SelectionTask], temperature: float) -> list[JudgementText]:
        self.asked.append((len(tasks), temperature))
        pairs = zip(self._texts, tasks, strict=True)
        return [JudgementText(text, "length" if text.endswith("...") else "stop", t.correct) for text, t in pairs]


def make_validation(
    tmp_path: Path, tasks: Sequence[SelectionTask] = TASKS, is_main: bool = True, every: int = 3
) -> tuple[Validation, ScriptedJudge]:
    config = SelectionDataConfig(tasks=(Path("unused"),), validate_every=every, validation_temperature=0.25)
    validation = Validation(tasks, config, tmp_path / "out" / "log.jsonl", tmp_path / "out" / "judgements.jsonl")
    # Task t is right at place t % 4: tasks 0 and 4 are judged right, 1 wrong, 2 is cut, 3 names nobody.
    judge = ScriptedJudge(["Judgment: 0", "Judgment: 0", "Judgment: 2...", "?", "é Judgment: 0"], is_main)
    validation.judge = judge
    return validation, judge


def run(validation: Validation, updates: range, most: int) -> None:
    if updates.start == 0:
        validation.on_train_begin(None, SimpleNamespace(global_step=0, max_steps=most), None)
    for update in range(updates.start + 1, updates.stop):
        validation.on_step_end(None, SimpleNamespace(global_step=update, max_steps=most), None)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_judges_before_the_first_update_every_so_many_and_at_the_end(tmp_path: Path) -> None:
    validation, judge = make_validation(tmp_path)
    run(validation, range(8), most=7)
    assert [line["update"] for line in read(tmp_path / "out" / "log.jsonl")] == [0, 3, 6, 7]
    assert judge.asked == [(5, 0.25)] * 4


def test_an_end_that_is_a_multiple_is_judged_once(tmp_path: Path) -> None:
    validation, _ = make_validation(tmp_path)
    run(validation, range(7), most=6)
    assert [line["update"] for line in read(tmp_path / "out" / "log.jsonl")] == [0, 3, 6]


def test_a_run_that_goes_on_does_not_judge_its_start(tmp_path: Path) -> None:
    validation, judge = make_validation(tmp_path)
    validation.on_train_begin(None, SimpleNamespace(global_step=2, max_steps=7), None)
    assert judge.asked == []


def test_a_run_that_goes_on_knows_what_was_measured_last(tmp_path: Path) -> None:
    validation, _ = make_validation(tmp_path)
    run(validation, range(8), most=9)
    resumed, judge = make_validation(tmp_path)
    resumed.on_train_begin(None, SimpleNamespace(global_step=6, max_steps=9), None)
    assert resumed.metrics == validation.metrics
    assert judge.asked == []
    # Judgements of update 6 stay, as it will not be done again.
    assert [line["update"] for line in read(tmp_path / "out" / "judgements.jsonl")] == [0] * 3 + [3] * 3 + [6] * 3
    resumed.on_train_begin(None, SimpleNamespace(global_step=5, max_steps=9), None)
    assert [line["update"] for line in read(tmp_path / "out" / "judgements.jsonl")] == [0] * 3 + [3] * 3


def test_a_line_counts_right_judgements_and_faults(tmp_path: Path) -> None:
    validation, _ = make_validation(tmp_path)
    run(validation, range(1), most=7)
    # 2 of 5 right; 2 of 5 name nobody; characters 11 + 11 + 14 + 1 + 13 = 50 in 5 texts.
    metrics = {"validation_accuracy": 0.4, "validation_failed_share": 0.4, "validation_characters": 10.0}
    (line,) = read(tmp_path / "out" / "log.jsonl")
    assert line == {"update": 0, **metrics, "validation_tasks": 5, "faults": {"truncated": 1, "unparsed": 1}}
    assert validation.metrics == metrics


def test_samples_are_kept_to_be_read(tmp_path: Path) -> None:
    validation, _ = make_validation(tmp_path)
    run(validation, range(4), most=7)
    samples = read(tmp_path / "out" / "judgements.jsonl")
    assert [sample["update"] for sample in samples] == [0] * SAMPLES + [3] * SAMPLES
    assert samples[1] == {"update": 0, "judgement": "Judgment: 0", "correct": [False, True, False, False]}


def test_without_tasks_nothing_is_judged_or_written(tmp_path: Path) -> None:
    validation, judge = make_validation(tmp_path, tasks=())
    run(validation, range(8), most=7)
    assert judge.asked == []
    assert validation.metrics == {}
    assert not (tmp_path / "out").exists()


def test_only_the_main_process_writes_and_all_know_the_numbers(tmp_path: Path) -> None:
    validation, _ = make_validation(tmp_path, is_main=False)
    run(validation, range(1), most=7)
    assert validation.metrics["validation_accuracy"] == 0.4
    assert not (tmp_path / "out").exists()
