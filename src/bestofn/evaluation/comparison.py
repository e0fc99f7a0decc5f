"""The result of a comparison: rows of selector and n, as plain values, and as the cells of a table.

This module does not know runs, estimators or charts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

UNDEFINED = "-"
"""What a table shows where a number is undefined."""


@dataclass(frozen=True, slots=True)
class Row:
    """One selector at one n. Accuracies and `abstained` are fractions; None = undefined.

    `low` and `high` bound the accuracy (None with fewer than two problems), `standard_error` is the analytic one
    clustered by problem. `abstained` is the expected share of subsets on which the selector picks nothing, which
    counts as wrong. `exact` = an expectation over all subsets, no draw. `seconds` = evaluating this selector at all n
    together. `sampled_tokens` = tokens sampled for n candidates of a problem on average, None where the run does
    not hold tokens. `problems` = how many the row stands on.
    """

    selector: str
    n: int
    accuracy: float | None
    low: float | None
    high: float | None
    exact: bool
    seconds: float
    sampled_tokens: float | None
    standard_error: float | None
    abstained: float | None
    problems: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of one run, by selector and n, and what was left out.

    `unjudged` trajectories had a verdict of None and were left out of their pools; `skipped` names the selectors that
    this run does not allow, with the reason.
    """

    problems: int
    n_max: int
    rows: tuple[Row, ...]
    unjudged: int = 0
    failed: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()
    seed: int = 0
    resamples: int = 0
    level: float = 0.95

    @property
    def selectors(self) -> list[str]:
        return list(dict.fromkeys(row.selector for row in self.rows))

    @property
    def ns(self) -> list[int]:
        return sorted({row.n for row in self.rows})

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; `abstained` is each selector's share at its largest defined n."""
        known = [row for row in self.rows if row.abstained is not None]
        return {
            "problems": self.problems,
            "n_max": self.n_max,
            "rows": [asdict(row) for row in self.rows],
            "abstained": {row.selector: row.abstained for row in sorted(known, key=lambda row: row.n)},
            "unjudged": self.unjudged,
            "failed": self.failed,
            "skipped": dict(self.skipped),
            "warnings": list(self.warnings),
            "seed": self.seed,
            "resamples": self.resamples,
            "level": self.level,
        }

    @property
    def has_tokens(self) -> bool:
        """Whether any row counts sampled tokens; without them the table has no column of them."""
        return any(row.sampled_tokens is not None for row in self.rows)

    def table_columns(self) -> list[str]:
        """The heads of `table_rows`: accuracy in percent at every n, the interval at the largest, and its tokens."""
        last = self.ns[-1] if self.rows else 0
        tokens = ["tokens a problem"] if self.has_tokens else []
        return ["selector", *(f"N={n}" for n in self.ns), f"{self.level:.0%} interval at N={last}", *tokens]

    def table_rows(self) -> list[list[str]]:
        """One list of cells a selector, in the order of `table_columns`; a dash where something is undefined."""
        cells = {(row.selector, row.n): row for row in self.rows}
        table: list[list[str]] = []
        for selector in self.selectors:
            rows = [cells[selector, n] for n in self.ns]
            last = rows[-1]
            bounds = f"{_percent(last.low)} to {_percent(last.high)}" if last.low is not None else UNDEFINED
            tokens = UNDEFINED if last.sampled_tokens is None else f"{last.sampled_tokens:,.0f}"
            cost = [tokens] if self.has_tokens else []
            table.append([selector, *(_percent(row.accuracy) for row in rows), bounds, *cost])
        return table


def _percent(fraction: float | None) -> str:
    return UNDEFINED if fraction is None else f"{100 * fraction:.1f}"
