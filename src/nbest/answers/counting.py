"""Count how many answers were read, by which rule, and how many were not.

This module does not know runs, verdicts or terminals.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nbest.answers.extraction import AnswerSource, Extraction, read_trajectory
from nbest.records import Trajectory


@dataclass(slots=True)
class AnswerCounts:
    """The answers read by each rule, and the trajectories without one.

    Failed trajectories and those of kind `code`, which has no answers to read, are not counted.
    """

    by_rule: Counter[str] = field(default_factory=Counter[str])
    unread: int = 0

    @property
    def read(self) -> int:
        return self.by_rule.total()

    def add(self, trajectory: Trajectory, source: AnswerSource) -> Extraction | None:
        """Count the answer of one trajectory, and return it. `source` is its problem or pool."""
        extraction = read_trajectory(trajectory, source)
        if source.kind == "code" or trajectory.has_failed:
            return extraction
        if extraction is None:
            self.unread += 1
        else:
            self.by_rule[extraction.rule] += 1
        return extraction

    def to_json(self) -> dict[str, Any]:
        return {"read": self.read, "unread": self.unread, "by_rule": dict(self.by_rule.most_common())}
