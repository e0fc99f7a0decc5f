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
    `accuracy` that comes from drawing subsets, 0 where exact, None where its estimator does not tell; that of having
    these problems is `standard_error` (which, like the interval, is measured on the drawn values and so holds both).

    `accuracy_if_wrong` and `accuracy_if_right` are the accuracies of the whole pools, the trajectories that could not
    be judged taken as all wrong or all right; where all were judged both are `accuracy`. `flops` = floating-point
    operations of sampling n candidates of a problem on average, None where the manifest does not tell the size of the
    policy; `sampling_seconds` = the seconds their source says it took, one after the other, None where it does not.
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
    accuracy_if_wrong: float | None = None
    accuracy_if_right: float | None = None
    flops: float | None = None
    sampling_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """A selector minus the baseline at one n, on the problems where both are defined. None = undefined.

    `low` and `high` bound the mean `difference` (paired bootstrap over problems); `p_value` is that of a two-sided
    sign-flip permutation test, `p_holm` the same after Holm's correction over the selectors at this n.
    `problems_differing` = on how many of `problems` the two are not equal. `standard_error` is that of the difference,
    clustered by problem; `smallest_detectable` the true difference that so many problems would show with 80 % power
    (`metrics.power`), None where the differences do not vary.
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
    standard_error: float | None = None
    smallest_detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of one run, by selector and n, and what was left out.

    `unjudged` trajectories had a verdict of None and were left out of their pools; `skipped` names the selectors that
    this run does not allow, with the reason. `paired` is empty where the baseline was not evaluated. `duplicates`
    trajectories were stored under an id that an earlier part holds and do not count. `groups` are the comparisons of
    the problems with each value of the field `by`; `resample` is what the intervals draw again.
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
    duplicates: int = 0
    resample: str = "problems"
    by: str | None = None
    groups: Mapping[str, "Comparison"] = field(default_factory=dict[str, "Comparison"])

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
            "duplicates": self.duplicates,
            "resample": self.resample,
            "by": self.by,
            "groups": {label: group.to_json() for label, group in self.groups.items()},
        }

    @property
    def has_tokens(self) -> bool:
        """Whether any row counts sampled tokens; without them the table has no column of them."""
        return any(row.sampled_tokens is not None for row in self.rows)

    def _costs(self) -> dict[str, str]:
        """The heads of the costs that any row knows, and the field of each."""
        heads = {
            "tokens a problem": "sampled_tokens",
            "FLOPs a problem": "flops",
            "seconds a problem": "sampling_seconds",
        }
        return {head: name for head, name in heads.items() if any(getattr(row, name) is not None for row in self.rows)}

    def table_columns(self) -> list[str]:
        """The heads of `table_rows`: accuracy in percent at every n; the interval at the largest, and what is known of
        the costs of so many candidates: sampled tokens, FLOPs, seconds."""
        last = self.ns[-1] if self.rows else 0
        return ["selector", *(f"N={n}" for n in self.ns), f"{self.level:.0%} interval at N={last}", *self._costs()]

    def table_rows(self) -> list[list[str]]:
        """One list of cells a selector, in the order of `table_columns`; a dash where something is undefined."""
        cells = {(row.selector, row.n): row for row in self.rows}
        costs = self._costs()
        table: list[list[str]] = []
        for selector in self.selectors:
            rows = [cells[selector, n] for n in self.ns]
            last = rows[-1]
            bounds = f"{show_percent(last.low)} to {show_percent(last.high)}" if last.low is not None else UNDEFINED
            is_known = last.accuracy is not None  # a stored selection is known at one N alone
            spent = (show_cost(name, getattr(last, name)) if is_known else UNDEFINED for name in costs.values())
            table.append([selector, *(show_percent(row.accuracy) for row in rows), bounds, *spent])
        return table

    def bounds_columns(self) -> list[str]:
        """The heads of `bounds_table`."""
        return ["selector", *(f"N={n}" for n in self.ns)]

    def bounds_table(self) -> list[list[str]]:
        """Accuracy in percent if all trajectories that could not be judged were wrong, to if they were right; empty
        where all were judged."""
        if not self.unjudged:
            return []
        cells = {(row.selector, row.n): row for row in self.rows}
        return [[selector, *(_span(cells[selector, n]) for n in self.ns)] for selector in self.selectors]

    def group_columns(self) -> list[str]:
        """The heads of `group_rows`: the values of the field, in the order of `groups`."""
        return ["selector", *(f"{label} ({group.problems})" for label, group in self.groups.items())]

    def group_rows(self, n: int) -> list[list[str]]:
        """One list of cells a selector: accuracy in percent at `n` in each group."""
        columns = [{row.selector: row.accuracy for row in each.rows if row.n == n} for each in self.groups.values()]
        return [[name, *(show_percent(column.get(name)) for column in columns)] for name in self.selectors]

    def paired_columns(self) -> list[str]:
        """The heads of `paired_table`: the difference in points at every n; at the largest its interval and p-value, on
        how many problems the two differ, and the smallest difference that so many problems would probably show."""
        last = self.ns[-1] if self.rows else 0
        heads = [
            f"{self.level:.0%} interval at N={last}",
            f"p at N={last} (Holm)",
            "problems that differ",
            "detectable",
        ]
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
            least = UNDEFINED if last.smallest_detectable is None else f"{100 * last.smallest_detectable:.1f}"
            table.append([selector, *differences, bounds, _probability(last.p_holm), differing, least])
        return table


def _points(fraction: float | None) -> str:
    return UNDEFINED if fraction is None else f"{100 * fraction:+.1f}"


def _probability(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.4f}"


def show_percent(fraction: float | None) -> str:
    """A fraction in percent; a dash where it is undefined."""
    return UNDEFINED if fraction is None else f"{100 * fraction:.1f}"


def show_cost(name: str, value: float | None) -> str:
    """A cost as a cell: whole tokens, FLOPs with their power of ten, seconds to a tenth."""
    if value is None:
        return UNDEFINED
    return f"{value:.2e}" if name == "flops" else f"{value:,.1f}" if name == "sampling_seconds" else f"{value:,.0f}"


def _span(row: Row) -> str:
    if row.accuracy_if_wrong is None or row.accuracy_if_right is None:
        return UNDEFINED
    return f"{show_percent(row.accuracy_if_wrong)} to {show_percent(row.accuracy_if_right)}"
