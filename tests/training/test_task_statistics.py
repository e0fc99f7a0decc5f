"""The statistics of tasks, computed by hand."""

import math

import pytest

from nbest.training.task_statistics import TaskStatistics, measure_majority_accuracy


@pytest.mark.parametrize(
    ("correct", "clusters", "expected"),
    [
        ([True, False, False], [0, 1, 1], 0.0),
        ([True, True, False], [0, 0, 1], 1.0),
        # Two answers with two votes each, one of them right: half.
        ([True, True, False, False, False], [0, 0, 1, 1, 2], 0.5),
        # The most frequent answer holds one right and one wrong verdict.
        ([True, False, False], [0, 0, 1], 0.5),
        # Those without an answer cast no vote; where none has one, an even pick.
        ([True, False, False], [0, None, None], 1.0),
        ([True, False, False, False], [None] * 4, 0.25),
    ],
)
def test_measure_majority_accuracy(correct: list[bool], clusters: list[int | None], expected: float):
    assert measure_majority_accuracy(correct, clusters) == expected


def test_a_report_by_hand():
    statistics = TaskStatistics(problems=5, used_problems=2)
    statistics.add_task("train", [True, False], 10, [0, 1])
    statistics.add_task("train", [False, True, False, False], 30, [0, 1, 0, 2])
    statistics.add_task("validation", [False, True], 20, None)
    report = statistics.describe()
    assert report["tasks"] == {"total": 3, "train": 2, "validation": 1}
    assert report["candidates_per_task"] == {"2": 2, "4": 1}
    assert report["right_share"] == 3 / 8
    assert report["prompt_tokens"] == {"mean": 20, "p95": 30, "max": 30}
    # (1/2 + 1/4 + 1/2) / 3; majority: the tie of two answers is half, the pair of wrong ones 0.
    assert report["random_accuracy"] == pytest.approx(1.25 / 3)
    assert report["majority_accuracy"] == 0.25
    # Position 1: 3 tasks, 2 right, expected 1/2 + 1/4 + 1/2 = 1.25, variance 1/4 + 3/16 + 1/4 = 11/16.
    second = report["positions"][1]
    assert (second["tasks"], second["right"], second["expected"]) == (3, 2, pytest.approx(1.25 / 3))
    assert second["deviation_sd"] == pytest.approx(0.75 / math.sqrt(11 / 16))
    assert report["positions"][3]["deviation_sd"] == pytest.approx(-0.25 / math.sqrt(3 / 16))
    assert report["largest_position_deviation_sd"] == pytest.approx(0.75 / math.sqrt(11 / 16))


def test_without_tasks_there_are_no_figures():
    report = TaskStatistics(problems=1).describe()
    assert report["random_accuracy"] is None
    assert report["prompt_tokens"]["p95"] is None
    assert report["largest_position_deviation_sd"] is None
