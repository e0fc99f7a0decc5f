"""Describe a set of selection tasks: counts, token lengths, positions of right candidates, accuracy of simple rules.

Tasks are added one by one; only histograms are in memory. Random accuracy is the expected accuracy of a uniform choice.
Majority accuracy is the accuracy of the most frequent answer among the candidates of a task: the mean over the leading
answers if several are tied, and the accuracy of a uniform choice if no candidate has an answer.

Position balance: in a task of c candidates with r right ones, a uniform order puts a right one at each position with
probability r/c. The report has, per position, the tasks that reach it, the share of right candidates there, its
expectation, and the difference in standard deviations (tasks are independent; the variance is the sum of
r/c (1 - r/c)).

This module does not know files, tokenizers or how tasks are chosen. Shapes: c candidates of a task.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class TaskStatistics:
    """Counts over a build.

    By reason: problems that gave no task (`unused_problems`), trajectories that were not usable (`exclusions`), tasks
    that were not written (`dropped_tasks`). Of the written tasks: their number by split (`tasks`), by number of
    candidates (`sizes`) and by prompt length (`tokens`). `position_sums` [position] holds four sums over the tasks that
    have this position: tasks, right candidates, their expected number, and its variance.
    """

    problems: int = 0
    used_problems: int = 0
    unused_problems: Counter[str] = field(default_factory=Counter[str])
    exclusions: Counter[str] = field(default_factory=Counter[str])
    dropped_tasks: Counter[str] = field(default_factory=Counter[str])
    tasks: Counter[str] = field(default_factory=Counter[str])
    sizes: Counter[int] = field(default_factory=Counter[int])
    tokens: Counter[int] = field(default_factory=Counter[int])
    right: int = 0
    random_accuracy_sum: float = 0.0
    majority_accuracy_sum: float = 0.0
    tasks_with_answers: int = 0
    position_sums: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def add_task(
        self, split: str, correct: Sequence[bool], prompt_tokens: int | None, clusters: Sequence[int | None] | None
    ) -> None:
        """Count one task. `prompt_tokens` is None where they were not counted.

        `clusters` [c] numbers the distinct answers (None = no answer); None for code, which has none.
        """
        share = sum(correct) / len(correct)
        self.tasks[split] += 1
        self.sizes[len(correct)] += 1
        if prompt_tokens is not None:
            self.tokens[prompt_tokens] += 1
        self.right += sum(correct)
        self.random_accuracy_sum += share
        if clusters is not None:
            self.tasks_with_answers += 1
            self.majority_accuracy_sum += measure_majority_accuracy(correct, clusters)
        for position, is_right in enumerate(correct):
            sums = self.position_sums.setdefault(position, [0, 0, 0.0, 0.0])
            for column, value in enumerate((1, is_right, share, share * (1 - share))):
                sums[column] += value

    def describe(self) -> dict[str, Any]:
        """Return the report as JSON values; shares and accuracies are None if there are no tasks."""
        tasks = self.tasks.total()
        candidates = sum(size * count for size, count in self.sizes.items())
        positions = [
            _describe_position(position, *self.position_sums[position]) for position in sorted(self.position_sums)
        ]
        deviations = [abs(row["deviation_sd"]) for row in positions]
        return {
            "problems": {"seen": self.problems, "used": self.used_problems, "unused": dict(self.unused_problems)},
            "trajectories_excluded": dict(self.exclusions),
            "tasks": {"total": tasks, **self.tasks},
            "tasks_dropped": dict(self.dropped_tasks),
            "candidates_per_task": {str(size): self.sizes[size] for size in sorted(self.sizes)},
            "mean_candidates": _divide(candidates, tasks),
            "right_share": _divide(self.right, candidates),
            "prompt_tokens": _describe_tokens(self.tokens),
            "random_accuracy": _divide(self.random_accuracy_sum, tasks),
            "majority_accuracy": _divide(self.majority_accuracy_sum, self.tasks_with_answers),
            "positions": positions,
            "largest_position_deviation_sd": max(deviations, default=None),
            "largest_position_deviation": max((abs(row["share"] - row["expected"]) for row in positions), default=None),
        }


def measure_majority_accuracy(correct: Sequence[bool], clusters: Sequence[int | None]) -> float:
    """Return the expected accuracy of the majority answer: the mean over the answers that are tied for most frequent.

    If no candidate has an answer, this is the accuracy of a uniform choice.
    """
    votes = Counter(number for number in clusters if number is not None)
    if not votes:
        return sum(correct) / len(correct)
    largest = max(votes.values())
    leaders = {number for number, count in votes.items() if count == largest}
    return sum(is_right for is_right, number in zip(correct, clusters, strict=True) if number in leaders) / (
        largest * len(leaders)
    )


def _describe_position(position: int, tasks: float, right: float, expected: float, variance: float) -> dict[str, Any]:
    deviation = (right - expected) / math.sqrt(variance) if variance > 0 else 0.0
    return {
        "position": position,
        "tasks": int(tasks),
        "right": int(right),
        "share": right / tasks,
        "expected": expected / tasks,
        "deviation_sd": deviation,
    }


def _describe_tokens(tokens: Counter[int]) -> dict[str, Any]:
    """Return mean, 95th percentile and maximum; the percentile is the smallest length that 95 % of prompts do not
    exceed.
    """
    if not tokens:
        return {"mean": None, "p95": None, "max": None}
    lengths = np.array(sorted(tokens))
    cumulative = np.cumsum([tokens[int(length)] for length in lengths])
    total = int(cumulative[-1])
    mean = sum(length * count for length, count in tokens.items()) / total
    p95 = int(lengths[np.searchsorted(cumulative, 0.95 * total)])
    return {"mean": mean, "p95": p95, "max": int(lengths[-1])}


def _divide(value: float, count: int) -> float | None:
    return value / count if count else None
