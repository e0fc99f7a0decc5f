"""What a set of selection tasks looks like: counts, token lengths, where right candidates stand, what is easy in it.

Filled task by task; memory holds histograms. Random-choice accuracy is the expected accuracy of an even pick. Majority
accuracy is that of the most frequent answer among a task's candidates; where several are equally frequent, the mean
over them, and where no candidate has an answer, an even pick.

Position balance: in a task of c candidates with r right ones an even order puts a right one at each position with
probability r/c. For each position: tasks that reach it, right ones found and expected there, and their difference in
standard deviations (tasks are independent, variance sum of r/c (1 - r/c)).

This module does not know files, tokenizers or how tasks are chosen. Shapes: c candidates of a task.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def _counter() -> Counter[str]:
    return Counter()


def _numbers() -> Counter[int]:
    return Counter()


@dataclass(eq=False)
class TaskStatistics:
    """`unused` counts problems by why they gave no task, `left_out` attempts, `dropped` tasks, all by reason."""

    seen: int = 0
    used: int = 0
    unused: Counter[str] = field(default_factory=_counter)
    left_out: Counter[str] = field(default_factory=_counter)
    dropped: Counter[str] = field(default_factory=_counter)
    tasks: Counter[str] = field(default_factory=_counter)
    sizes: Counter[int] = field(default_factory=_numbers)
    tokens: Counter[int] = field(default_factory=_numbers)
    right: int = 0
    by_chance: float = 0.0
    by_majority: float = 0.0
    with_answers: int = 0
    reach: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def add_task(
        self, split: str, correct: Sequence[bool], prompt_tokens: int, clusters: Sequence[int | None] | None
    ) -> None:
        """`clusters` [c] are the numbers of equal answers (None = no answer), or None where answers are no measure."""
        share = sum(correct) / len(correct)
        self.tasks[split] += 1
        self.sizes[len(correct)] += 1
        self.tokens[prompt_tokens] += 1
        self.right += sum(correct)
        self.by_chance += share
        if clusters is not None:
            self.with_answers += 1
            self.by_majority += majority_accuracy(correct, clusters)
        for position, is_right in enumerate(correct):
            sums = self.reach.setdefault(position, [0, 0, 0.0, 0.0])
            for place, value in enumerate((1, is_right, share, share * (1 - share))):
                sums[place] += value

    def tell(self) -> dict[str, Any]:
        """The report, as JSON has it; shares and accuracies are None where there are no tasks."""
        tasks = self.tasks.total()
        candidates = sum(size * count for size, count in self.sizes.items())
        positions = [_tell_position(position, *self.reach[position]) for position in sorted(self.reach)]
        deviations = [abs(row["deviation_sd"]) for row in positions]
        return {
            "problems": {"seen": self.seen, "used": self.used, "unused": dict(self.unused)},
            "attempts_left_out": dict(self.left_out),
            "tasks": {"total": tasks, **self.tasks},
            "tasks_dropped": dict(self.dropped),
            "candidates_per_task": {str(size): self.sizes[size] for size in sorted(self.sizes)},
            "mean_candidates": _divide(candidates, tasks),
            "right_share": _divide(self.right, candidates),
            "prompt_tokens": _tell_tokens(self.tokens),
            "random_accuracy": _divide(self.by_chance, tasks),
            "majority_accuracy": _divide(self.by_majority, self.with_answers),
            "positions": positions,
            "largest_position_deviation_sd": max(deviations, default=None),
            "largest_position_deviation": max((abs(row["share"] - row["expected"]) for row in positions), default=None),
        }


def majority_accuracy(correct: Sequence[bool], clusters: Sequence[int | None]) -> float:
    """How likely the majority answer is right: the mean over the most frequent answers of their share of right ones."""
    votes = Counter(number for number in clusters if number is not None)
    if not votes:
        return sum(correct) / len(correct)
    most = max(votes.values())
    leaders = {number for number, count in votes.items() if count == most}
    return sum(ok for ok, number in zip(correct, clusters, strict=True) if number in leaders) / (most * len(leaders))


def _tell_position(position: int, tasks: float, right: float, expected: float, variance: float) -> dict[str, Any]:
    deviation = (right - expected) / math.sqrt(variance) if variance > 0 else 0.0
    return {
        "position": position,
        "tasks": int(tasks),
        "right": int(right),
        "share": right / tasks,
        "expected": expected / tasks,
        "deviation_sd": deviation,
    }


def _tell_tokens(tokens: Counter[int]) -> dict[str, Any]:
    """The 95th percentile is the smallest length that 95 % of the prompts do not pass."""
    if not tokens:
        return {"mean": None, "p95": None, "max": None}
    lengths = np.array(sorted(tokens))
    reached = np.cumsum([tokens[int(length)] for length in lengths])
    total = int(reached[-1])
    mean = sum(length * count for length, count in tokens.items()) / total
    p95 = int(lengths[np.searchsorted(reached, 0.95 * total)])
    return {"mean": mean, "p95": p95, "max": int(lengths[-1])}


def _divide(value: float, count: int) -> float | None:
    return value / count if count else None
