"""The result of a comparison: rows of selector and n, differences to a baseline, as plain values and as table cells.

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
    counts as wrong. `exact` = an expectation over all subsets of every problem, no draw. `seconds` = evaluating this
    selector at all n together. `sampled_tokens` = tokens sampled for n candidates of a problem on average, None where
    the run does not hold tokens. `problems` = how many the row stands on. `monte_carlo_error` = the standard error of
    `accuracy` that comes from drawing subsets, 0 where exact; that of having these problems is `standard_error` (which,
    like the interval, is measured on the drawn values and so holds both).
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
    monte_carlo_error: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Paired:
    """A selector minus the baseline at one n, on the problems where both are defined. None = undefined.

    `low` and `high` bound the mean `difference` (paired bootstrap over problems); `p_value` is that of a two-sided
    sign-flip permutation test, `p_holm` the same after Holm's correction over the selectors at this n.
    `problems_differing` = on how many of `problems` the two are not equal.
    """

    selector: str
    baseline: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    problems: int
    problems_differing: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of one run, by selector and n, and what was left out.

    `unjudged` trajectories had a verdict of None and were left out of their pools; `skipped` names the selectors that
    this run does not allow, with the reason. `paired` is empty where the baseline was not evaluated.
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
    paired: tuple[Paired, ...] = ()

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
            "paired": [asdict(row) for row in self.paired],
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

    def paired_columns(self) -> list[str]:
        """The heads of `paired_table`: the difference in points at every n; interval and p-value at the largest."""
        last = self.ns[-1] if self.rows else 0
        heads = [f"{self.level:.0%} interval at N={last}", f"p at N={last} (Holm)", "problems that differ"]
        return ["selector", *(f"N={n}" for n in self.ns), *heads]

    def paired_table(self) -> list[list[str]]:
        """One list of cells a selector, in the order of `paired_columns`; empty where nothing is paired."""
        cells = {(row.selector, row.n): row for row in self.paired}
        table: list[list[str]] = []
        for selector in dict.fromkeys(row.selector for row in self.paired):
            rows = [cells[selector, n] for n in self.ns]
            last = rows[-1]
            bounds = UNDEFINED if last.low is None else f"{_points(last.low)} to {_points(last.high)}"
            differing = f"{last.problems_differing} of {last.problems}"
            differences = (_points(row.difference) for row in rows)
            table.append([selector, *differences, bounds, _probability(last.p_holm), differing])
        return table


def _points(fraction: float | None) -> str:
    return UNDEFINED if fraction is None else f"{100 * fraction:+.1f}"


def _probability(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.4f}"


def _percent(fraction: float | None) -> str:
    return UNDEFINED if fraction is None else f"{100 * fraction:.1f}"
