"""Count the trajectories that a figure does not rest on: without a readable answer, ungraded, failed, cut.

Every table of a comparison ends with these counts, and a count that is more than `LARGE_SHARE` of the trajectories is a
warning. This module does not know selectors, or how counts are shown in colour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import duckdb

from nbest.measuring.cells import show_percent
from nbest.plurals import show_count

LARGE_SHARE = 0.05
"""From above this share of the trajectories on, a count is a warning."""

_FAILED = "t.finish = 'error'"
_COUNTS = f"""
    SELECT t.problem_id,
           count(*) FILTER (NOT {_FAILED} AND v.correct),
           count(*) FILTER (NOT {_FAILED} AND NOT v.correct),
           count(*) FILTER (NOT {_FAILED} AND v.correct IS NULL),
           count(*) FILTER ({_FAILED}),
           count(*) FILTER (NOT {_FAILED} AND v.answer IS NULL AND p.kind <> 'code'),
           count(*) FILTER (t.finish = 'length'),
           count(*) FILTER (NOT {_FAILED} AND v.correct AND v.answer IS NULL)
    FROM trajectories t
    JOIN problems p ON p.id = t.problem_id
    LEFT JOIN verdicts v ON v.trajectory_id = t.id
    GROUP BY t.problem_id
"""


@dataclass(frozen=True, slots=True)
class TrajectoryCounts:
    """The trajectories of a problem, a run or several, by what became of them.

    Each one is in exactly one of `right`, `wrong`, `ungraded` (its verdict is None) and `failed` (its sampling failed).
    `without_answer` did not fail and have no answer that could be read; problems of kind `code` have none to read, and
    do not count. `cut` ended at the token limit. `right_without_answer` are right, but cannot vote.
    """

    right: int = 0
    wrong: int = 0
    ungraded: int = 0
    failed: int = 0
    without_answer: int = 0
    cut: int = 0
    right_without_answer: int = 0

    @property
    def graded(self) -> int:
        return self.right + self.wrong

    @property
    def total(self) -> int:
        return self.right + self.wrong + self.ungraded + self.failed

    def __add__(self, other: "TrajectoryCounts") -> "TrajectoryCounts":
        return TrajectoryCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def describe(self) -> str:
        """Return the counts in one line, with the share of each that is not 0; "" without trajectories."""
        if not self.total:
            return ""
        parts = [f"{count:,} {_WORDS[name]}{self._show_share(count)}" for name, count in self._shortfalls().items()]
        return f"of {show_count(self.total, 'trajectory')}: {', '.join(parts)}"

    def warn(self) -> str:
        """Return a sentence with the counts above `LARGE_SHARE`; "" where there is none."""
        counts = self._shortfalls()
        parts = [
            f"{show_percent(share)} % {_SENTENCES[name]} ({counts[name]:,})"
            for name, share in self.list_large_shares().items()
        ]
        return f"of {show_count(self.total, 'trajectory')}, {', '.join(parts)}" if parts else ""

    def list_large_shares(self) -> dict[str, float]:
        """Return the counts above `LARGE_SHARE` as shares of all trajectories, by name."""
        shares = {name: count / self.total for name, count in self._shortfalls().items() if count}
        return {name: share for name, share in shares.items() if share > LARGE_SHARE}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`: the counts that tables end with, and the shares that are large."""
        return {"trajectories": self.total, **self._shortfalls(), "large_shares": self.list_large_shares()}

    def _shortfalls(self) -> dict[str, int]:
        return {
            "without_answer": self.without_answer,
            "ungraded": self.ungraded,
            "failed": self.failed,
            "cut": self.cut,
        }

    def _show_share(self, count: int) -> str:
        return f" ({show_percent(count / self.total)} %)" if count else ""


_WORDS: Mapping[str, str] = {
    "without_answer": "no answer read",
    "ungraded": "ungraded",
    "failed": "failed",
    "cut": "cut at the token limit",
}
_SENTENCES: Mapping[str, str] = {
    "without_answer": "have no answer that could be read",
    "ungraded": "could not be graded",
    "failed": "failed",
    "cut": "were cut at the token limit",
}


def count_trajectories(connection: duckdb.DuckDBPyConnection) -> dict[str, TrajectoryCounts]:
    """Return the counts of each problem that has trajectories, by its id; without a verdict they are ungraded."""
    rows = connection.execute(_COUNTS).fetchall()
    return {str(row[0]): TrajectoryCounts(*(int(count) for count in row[1:])) for row in rows}


def add_counts(counts: Iterable[TrajectoryCounts]) -> TrajectoryCounts:
    """Return the counts of several problems or runs together."""
    return sum(counts, TrajectoryCounts())
