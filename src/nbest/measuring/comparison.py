"""The result of a comparison: rows of selector and n, differences to a baseline, as plain values and as table cells.

This module does not know runs, estimators or charts.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from nbest.measuring.cells import (
    UNDEFINED,
    Bounds,
    TextTable,
    claim_interval,
    show_amount,
    show_decimal,
    show_decimal_interval,
    show_difference_interval,
    show_interval,
    show_percent,
    show_points,
    show_seconds,
)
from nbest.measuring.ranking import ScoreRanking
from nbest.measuring.trajectory_counts import TrajectoryCounts
from nbest.specs import Role

Key: TypeAlias = tuple[str, int]
"""A selector and an n."""
Cost: TypeAlias = Literal["sampled_tokens", "flops"]


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """One selector at one n. Accuracies and `abstained` are fractions; None = undefined.

    `low` and `high` bound the accuracy (None with fewer than two problems), `standard_error` is the analytic one
    clustered by problem. `abstained` is the expected share of subsets on which the selector picks nothing, which
    counts as wrong. `exact` = an expectation over all subsets of every problem, without draws. `seconds` is the time
    that evaluating this selector at all n took. `sampled_tokens` are the tokens sampled for n candidates of a problem
    on average, None where the run does not hold tokens. `problems` counts the problems that it is the mean over, and
    `fewest_problems` those of the run with the fewest of them, None for a single run.
    `monte_carlo_error` is the standard error of `accuracy` that comes from drawing subsets: 0 where exact, None where
    the estimator does not state it. `standard_error` and the interval also cover the choice of problems; both are
    measured on the drawn values and so include the Monte Carlo error.

    `accuracy_if_wrong` and `accuracy_if_right` are the accuracies of the whole pools with the ungraded trajectories
    counted as all wrong, or as all right; where all are graded both are `accuracy`. `flops` are the floating-point
    operations of sampling n candidates of a problem on average, None where the manifest does not state the size of the
    policy; `sampling_seconds` the seconds it took to sample them one after the other, None where the source did not
    record them.
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
    fewest_problems: int | None = None

    @property
    def key(self) -> Key:
        return self.selector, self.n

    def cost(self, kind: Cost) -> float | None:
        """Return one of the two costs that accuracy is weighed against."""
        return self.sampled_tokens if kind == "sampled_tokens" else self.flops


@dataclass(frozen=True, slots=True)
class Paired:
    """A selector minus the baseline at one n, on the problems where both are defined. None = undefined.

    `low` and `high` bound the mean `difference` (paired bootstrap over problems); `p_value` is that of a two-sided
    sign-flip permutation test, `p_holm` the same after Holm's correction over the selectors at this n.
    `problems_differing` counts those of `problems` on which the two are not equal, `fewest_problems` as in AccuracyRow.
    `standard_error` is that of the
    difference, clustered by problem; `smallest_detectable` is the smallest effect this many problems can detect with
    80 % power (`statistics.power`), None where the differences do not vary.
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
    fewest_problems: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of one run (or of an average over several), by selector and n, and what was left out.

    `ungraded` trajectories have a verdict of None and are left out of their pools; `skipped` names the selectors that
    this run does not allow, with the reason. `paired` is empty where the `baseline` was not evaluated. `duplicates`
    trajectories are stored under an id that an earlier part holds, and do not count. `groups` are the comparisons of
    the problems with each value of the field `by`; `resample` is what the intervals resample. `roles` says of each
    selector what it is here (see `specs.Role`); one without a role is a competitor. `counts` are those of all
    trajectories, `scores` how well each stored score ranks the trajectories of a pool.
    """

    problems: int
    n_max: int
    rows: tuple[AccuracyRow, ...]
    ungraded: int = 0
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
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role])
    baseline: str | None = None
    counts: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    scores: tuple[ScoreRanking, ...] = ()

    @property
    def selectors(self) -> list[str]:
        return list(dict.fromkeys(row.selector for row in self.rows))

    @property
    def ns(self) -> list[int]:
        return sorted({row.n for row in self.rows})

    @property
    def has_tokens(self) -> bool:
        """Whether any row counts sampled tokens; without them the table has no column of them."""
        return any(row.sampled_tokens is not None for row in self.rows)

    def role(self, selector: str) -> Role:
        return self.roles.get(selector, "competitor")

    def competes(self, selector: str) -> bool:
        """Return whether a selector can be the best one: a bound and a pick by chance cannot."""
        return self.role(selector) not in ("bound", "chance")

    def rank(self) -> list[str]:
        """Return the selectors in the order of tables: bounds, picks by chance, then the others by accuracy.

        The accuracy is that at the largest n where it is known. Of picks by chance, which all have the same expected
        accuracy, the one with the smallest standard error comes first.
        """
        rows = sorted((row for row in self.rows if row.accuracy is not None), key=lambda row: row.n)
        heights = {row.selector: row.accuracy or 0.0 for row in rows}
        errors = {row.selector: math.inf if row.standard_error is None else row.standard_error for row in rows}

        def sort_key(name: str) -> tuple[int, float]:
            if self.role(name) == "bound":
                return 0, 0.0
            if self.role(name) == "chance":
                return 1, errors.get(name, math.inf)
            return 2, -heights.get(name, 0.0)

        return sorted(self.selectors, key=sort_key)

    def gaps(self) -> dict[Key, float | None]:
        """Return for each row the accuracy of the bound at its n minus its own: what a perfect selector would add.

        None where one of them is undefined.
        """
        bounds = {row.n: row.accuracy for row in self.rows if self.role(row.selector) == "bound"}
        return {
            row.key: None if row.accuracy is None or (bound := bounds.get(row.n)) is None else bound - row.accuracy
            for row in self.rows
        }

    def pareto_front(self, cost: Cost) -> set[Key]:
        """Return the rows that no other beats: none is as cheap and more accurate, or cheaper and as accurate.

        Equal rows are all on the front. The bound is no competitor; a row of unknown cost or accuracy is left out.
        """
        points = [
            (price, row.accuracy, row.key)
            for row in self.rows
            if self.role(row.selector) != "bound" and (price := row.cost(cost)) is not None and row.accuracy is not None
        ]
        front: set[Key] = set()
        best, cheapest = -math.inf, math.inf
        for price, accuracy, key in sorted(points, key=lambda point: (point[0], -point[1])):
            if accuracy > best or (accuracy == best and price == cheapest):
                best, cheapest = accuracy, price
                front.add(key)
        return front

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`; `abstained` is each selector's share at its largest defined n."""
        rows = [row for row in self.rows if row.abstained is not None]
        return {
            "problems": self.problems,
            "n_max": self.n_max,
            "rows": [asdict(row) for row in self.rows],
            "paired": [asdict(row) for row in self.paired],
            "abstained": {row.selector: row.abstained for row in sorted(rows, key=lambda row: row.n)},
            "ungraded": self.ungraded,
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
            "roles": {name: self.role(name) for name in self.selectors},
            "baseline": self.baseline,
            "counts": self.counts.to_json(),
            "scores": [asdict(ranking) for ranking in self.scores],
        }

    def interval_table(self) -> TextTable:
        """Return one row per selector: the interval of the accuracy in percent at every n."""
        rows = {row.key: self._show_bounds(row) for row in self.rows}
        cells = [[selector, *(rows[selector, n] for n in self.ns)] for selector in self.selectors]
        return TextTable(["selector", *(f"N={n}" for n in self.ns)], cells)

    def paired_interval_table(self) -> TextTable:
        """Return one row per selector: the interval of the difference to the baseline in points at every n."""
        pairs = {(row.selector, row.n): self._show_bounds(row) for row in self.paired}
        names = dict.fromkeys(row.selector for row in self.paired)
        cells = [[selector, *(pairs[selector, n] for n in self.ns)] for selector in names]
        return TextTable(["selector", *(f"N={n}" for n in self.ns)], cells)

    def accuracy_table(self) -> TextTable:
        """Return one row per selector: accuracy in percent at every n, and at the largest n its interval and costs.

        The costs are those of sampling so many candidates: tokens, FLOPs and seconds, as far as they are known. A dash
        is what is undefined.
        """
        heads, rows = ["selector", *(f"N={n}" for n in self.ns)], {row.key: row for row in self.rows}
        costs = [head for head, is_known in self._costs_known() if is_known]
        table = TextTable([*heads, f"{self.level:.0%} interval at N={self._last_n()}", *costs], [])
        for selector in self.selectors:
            last = rows[selector, self.ns[-1]]
            amounts = [show_amount(last.sampled_tokens), show_amount(last.flops), show_seconds(last.sampling_seconds)]
            if last.accuracy is None:  # a stored selection is known at one n alone
                amounts = [UNDEFINED] * len(amounts)
            cells = [cell for cell, (_, is_known) in zip(amounts, self._costs_known(), strict=True) if is_known]
            accuracies = (show_percent(rows[selector, n].accuracy) for n in self.ns)
            table.rows.append([selector, *accuracies, self._show_bounds(last), *cells])
        return table

    def bounds_table(self) -> TextTable:
        """Return one row per selector: accuracy in percent at every n, from all ungraded trajectories wrong to right.

        It has no rows where all trajectories are graded.
        """
        table = TextTable(["selector", *(f"N={n}" for n in self.ns)], [])
        if self.ungraded:
            rows = {row.key: row for row in self.rows}
            ranges = {key: show_interval(row.accuracy_if_wrong, row.accuracy_if_right) for key, row in rows.items()}
            table.rows.extend([selector, *(ranges[selector, n] for n in self.ns)] for selector in self.selectors)
        return table

    def group_table(self, n: int) -> TextTable:
        """Return one row per selector: accuracy in percent at `n` in each group, in the order of `groups`."""
        heads = ["selector", *(f"{label} ({group.problems})" for label, group in self.groups.items())]
        columns = [{row.selector: row.accuracy for row in group.rows if row.n == n} for group in self.groups.values()]
        rows = [[name, *(show_percent(column.get(name)) for column in columns)] for name in self.selectors]
        return TextTable(heads, rows)

    def paired_table(self) -> TextTable:
        """Return one row per selector: the difference to the baseline in points at every n, and its significance.

        At the largest n these are the interval and the p-value, on how many problems the two differ, and the smallest
        effect this many problems can detect. It has no rows where nothing is paired.
        """
        pairs = {(row.selector, row.n): row for row in self.paired}
        last_n = self._last_n()
        heads = [f"{self.level:.0%} interval at N={last_n}", f"p at N={last_n} (Holm)", "problems that differ"]
        table = TextTable(["selector", *(f"N={n}" for n in self.ns), *heads, "detectable"], [])
        for selector in dict.fromkeys(row.selector for row in self.paired):
            last = pairs[selector, last_n]
            table.rows.append(
                [
                    selector,
                    *(show_points(pairs[selector, n].difference) for n in self.ns),
                    self._show_bounds(last),
                    show_decimal(last.p_holm, 4),
                    f"{last.problems_differing} of {last.problems}",
                    show_percent(last.smallest_detectable),
                ]
            )
        return table

    def scores_table(self) -> TextTable:
        """Return one row per scorer: the within-pool AUC, its interval, and over how many pools it is the mean.

        Three more columns are the same over labelled steps, if any pool has right and wrong ones.
        """
        interval = f"{self.level:.0%} interval"
        table = TextTable(["scorer", "AUC within pools", interval, "pools with right and wrong"], [])
        has_steps = any(ranking.step_pools for ranking in self.scores)
        if has_steps:
            table.heads.extend(["step AUC", interval, "pools with right and wrong steps"])
        for ranking in self.scores:
            bounds, step_bounds = (show_decimal_interval(*bounds) for bounds in (ranking.bounds, ranking.step_bounds))
            cells = [ranking.scorer, show_decimal(ranking.auc), bounds, f"{ranking.pools:,}"]
            steps = [show_decimal(ranking.step_auc), step_bounds, f"{ranking.step_pools:,}"]
            table.rows.append([*cells, *steps] if has_steps else cells)
        return table

    def bounds(self, row: AccuracyRow | Paired) -> Bounds:
        """Return the interval of a row that tables and charts show; None for both ends where none is claimed."""
        problems = row.problems if row.fewest_problems is None else row.fewest_problems
        return claim_interval(row.low, row.high, problems, self.resample)

    def _show_bounds(self, row: AccuracyRow | Paired) -> str:
        """Return the interval of a row; a dash where none is claimed."""
        show = show_interval if isinstance(row, AccuracyRow) else show_difference_interval
        return show(*self.bounds(row))

    def _last_n(self) -> int:
        return self.ns[-1] if self.rows else 0

    def _costs_known(self) -> list[tuple[str, bool]]:
        """Return the heads of the costs, and whether any row knows them."""
        return [
            ("tokens per problem", self.has_tokens),
            ("FLOPs per problem", any(row.flops is not None for row in self.rows)),
            ("seconds per problem", any(row.sampling_seconds is not None for row in self.rows)),
        ]
