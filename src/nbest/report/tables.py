"""The tables of a report: accuracy, gap, front, disagreements, calibration, lengths, counts.

Undefined values are a dash. This module does not know formats; it fills `Sheet`s.
"""

from collections.abc import Callable, Mapping, Sequence

from nbest.measuring.comparison import UNDEFINED, Comparison
from nbest.report.blocks import Cell, Sheet
from nbest.report.charts import BOUNDS
from nbest.report.points import Point, points_of
from nbest.report.reliability import Reliability
from nbest.report.result import Contested, Report, RunFindings, rank, summarize_lengths

_ROUNDING = 5e-4
"""Accuracies that print alike in percent with one digit are equally good."""


def accuracy_by_n(report: Report, colours: Mapping[str, str], caption: str = "") -> Sheet:
    """Selectors by N, intervals aside; the best that competes at each N is emphasized."""

    def cell(point: Point) -> Cell:
        return Cell(percent(point.accuracy), between(point.low, point.high))

    return _by_n(report, colours, caption, cell, lambda point: point.accuracy)


def gap_by_n(report: Report, colours: Mapping[str, str]) -> Sheet:
    """pass@N minus accuracy in points, selectors by N; the smallest is emphasized."""

    def worth(point: Point) -> float | None:
        return None if point.gap is None else -point.gap

    return _by_n(report, colours, "", lambda point: Cell(percent(point.gap)), worth, left_out=("oracle",))


def accuracy_by_run(report: Report, n: int, colours: Mapping[str, str]) -> Sheet:
    """The table of papers: selectors by run at one n, the macro average with its interval, and the pooled accuracy."""
    rows_of = [{(row.selector, row.n): row for row in run.comparison.rows} for run in report.runs]
    averages = {point.selector: point for point in report.points if point.n == n}
    names = [name for name in report.ranked() if name in averages]
    columns: list[list[float | None]] = [[rows[name, n].accuracy for name in names] for rows in rows_of]
    columns.append([averages[name].accuracy for name in names])
    pooled = {row.selector: row.accuracy for row in report.pooled.rows if row.n == n} if report.pooled else {}
    columns.append([pooled.get(name) for name in names])
    best = [_best(names, column) for column in columns]
    table: list[list[Cell]] = []
    for at, name in enumerate(names):
        cells = [Cell(name, colour=colours.get(name, ""))]
        for place, rows in enumerate(rows_of):
            row = rows[name, n]
            cells.append(Cell(percent(row.accuracy), between(row.low, row.high), is_best=at in best[place]))
        point = averages[name]
        cells.append(Cell(percent(point.accuracy), between(point.low, point.high), is_best=at in best[-2]))
        cells.append(Cell(percent(pooled.get(name)), is_best=at in best[-1]))
        table.append(cells)
    heads = ["selector", *(run.name for run in report.runs), "macro average", "pooled"]
    return Sheet(heads, table, f"N = {n}", rules=_rule_after_bounds(names))


def paired(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Sheet:
    """Differences to the baseline as `Comparison` shows them."""
    return _as_shown(comparison, comparison.paired_columns(), comparison.paired_table(), colours, caption)


def by_field(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Sheet:
    """Accuracy by the field that the comparison was asked for, at the largest n."""
    n = comparison.ns[-1]
    told = f"{caption} at N = {n} by {comparison.by} (problems)"
    return _as_shown(comparison, comparison.group_columns(), comparison.group_rows(n), colours, told)


def bounds(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Sheet:
    """What the trajectories that could not be judged could change."""
    return _as_shown(comparison, comparison.bounds_columns(), comparison.bounds_table(), colours, caption)


def front(report: Report, colours: Mapping[str, str]) -> Sheet:
    """The points on a Pareto front, by cost; all of one cost and accuracy share a row."""
    names = report.ranked()
    order = {name: place if name not in BOUNDS else len(names) for place, name in enumerate(names)}
    shared: dict[tuple[float, float], list[Point]] = {}
    for point in report.points:
        if point.front and point.accuracy is not None:
            cost = point.sampled_tokens if point.sampled_tokens is not None else point.flops
            shared.setdefault((cost or 0.0, point.accuracy), []).append(point)
    table: list[list[Cell]] = []
    for _, points in sorted(shared.items()):
        points.sort(key=lambda point: order[point.selector])
        first = points[0]
        others = f"and {len(points) - 1} more that are equal" if len(points) > 1 else ""
        name = Cell(first.selector, others, colour=colours.get(first.selector, ""))
        table.append(
            [
                Cell("any") if first.n == 1 else name,
                Cell(str(first.n)),
                Cell(percent(first.accuracy), between(first.low, first.high)),
                Cell(amount(first.sampled_tokens)),
                Cell(amount(first.flops)),
            ]
        )
    return Sheet(
        ["selector", "N", "accuracy", "tokens a problem", "FLOPs a problem"],
        table,
        "On the Pareto front of all selectors",
    )


def contested(
    problems: Sequence[Contested], anchors: Sequence[str], names: Sequence[str], has_runs: bool, caption: str
) -> Sheet:
    """A row a problem: a tick, a cross or a share for each selector of `names`."""
    table: list[list[Cell]] = []
    for problem, anchor in zip(problems, anchors, strict=True):
        cells = [Cell(problem.run)] if has_runs else []
        cells += [Cell(problem.problem_id, anchor=anchor), Cell(f"{problem.right} of {problem.candidates}")]
        table.append(cells + [_mark(problem.values.get(name)) for name in names])
    heads = [*(["run"] if has_runs else []), "problem", "right", *names]
    return Sheet(heads, table, caption, left=2 if has_runs else 1)


def answers(problem: Contested) -> Sheet:
    rows = [
        [Cell("(none)" if answer is None else answer), Cell(str(votes)), Cell(f"{right} of {votes}")]
        for answer, votes, right in problem.answers
    ]
    return Sheet(["answer", "votes", "right"], rows)


def calibration(sources: Sequence[Reliability], colours: Mapping[str, str]) -> Sheet:
    """How far each confidence is off, and how well it ranks."""
    table = [
        [
            Cell(source_name(source), colour=colours.get(source.name, "")),
            Cell(f"{source.cases:,} {'problems' if source.kind == 'problem' else 'trajectories'}"),
            *(Cell(decimal(value)) for value in (source.ece, source.brier, source.auc, source.within_pool_auc)),
        ]
        for source in sources
    ]
    return Sheet(["source", "cases", "ECE", "Brier score", "AUC", "AUC within pools"], table)


def source_name(source: Reliability) -> str:
    return "majority: share of votes" if source.name == "majority" else source.name


def lengths(runs: Sequence[RunFindings]) -> Sheet:
    """Mean, quantiles and the largest, of right and wrong trajectories."""
    heads = ["run", "trajectories", "count", "mean", "5 %", "25 %", "median", "75 %", "95 %", "largest", "unit"]
    table: list[list[Cell]] = []
    for run in runs:
        found = run.findings
        for verdict, values in (("right", found.right_lengths), ("wrong", found.wrong_lengths)):
            summary = summarize_lengths(values) or {}
            numbers = [f"{value:,.0f}" for value in summary.values()] or [UNDEFINED] * 7
            words = [run.name, verdict, f"{len(values):,}", *numbers, found.length_unit]
            table.append([Cell(word) for word in words])
    return Sheet(heads, table, left=2, rules=list(range(2, len(table), 2)))


def trajectory_counts(runs: Sequence[RunFindings]) -> Sheet:
    heads = ["run", "right", "wrong", "no answer read", "cut off at the limit", "failed", "not judged"]
    table: list[list[Cell]] = []
    for run in runs:
        counted = run.findings.trajectories
        total = counted["judged"] + counted["failed"] + counted["unjudged"]
        cut = run.findings.finishes.get("length", 0)
        numbers = [counted["right"], counted["wrong"], counted["without_answer"], cut]
        numbers += [counted["failed"], counted["unjudged"]]
        table.append([Cell(run.name), *(Cell(f"{number:,}", share(number, total)) for number in numbers)])
    return Sheet(heads, table, "Trajectories")


def ties(run: RunFindings, colours: Mapping[str, str], caption: str) -> Sheet:
    """Ties and abstentions on the whole pools of one run."""
    table: list[list[Cell]] = []
    names = [name for name in rank(points_of(run.comparison)) if name in run.findings.counts and name not in BOUNDS]
    total = len(run.findings.problems)
    for name in names:
        counted = run.findings.counts[name]
        tied = Cell(UNDEFINED) if counted.ties is None else Cell(str(counted.ties), share(counted.ties, total))
        others = (counted.deciding_ties, counted.abstained)
        table.append(
            [Cell(name, colour=colours.get(name, "")), tied, *(Cell(str(each), share(each, total)) for each in others)]
        )
    return Sheet(["selector", "ties", "between right and wrong", "abstained"], table, caption)


def stored_picks(runs: Sequence[RunFindings]) -> Sheet:
    heads = ["run", "selector", "problems", "right", "wrong", "abstained", "with a note"]
    table: list[list[Cell]] = []
    for run in runs:
        for name, picks in run.findings.picks.items():
            numbers = (picks.problems, picks.right, picks.wrong, picks.abstained, sum(picks.notes.values()))
            table.append([Cell(run.name), Cell(name), *(Cell(f"{number:,}") for number in numbers)])
    return Sheet(heads, table, "Stored selections (`nbest select`)", left=2)


def percent(fraction: float | None) -> str:
    return UNDEFINED if fraction is None else f"{100 * fraction:.1f}"


def between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{100 * low:.1f}\N{EN DASH}{100 * high:.1f}"


def share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total and count else ""


def decimal(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def amount(value: float | None) -> str:
    """Four digits and an exponent where the number is large."""
    if value is None:
        return UNDEFINED
    return f"{value:,.0f}" if value < 1e7 else f"{value:.2e}"


def _by_n(
    report: Report,
    colours: Mapping[str, str],
    caption: str,
    cell: Callable[[Point], Cell],
    worth: Callable[[Point], float | None],
    left_out: Sequence[str] = (),
) -> Sheet:
    points = {(point.selector, point.n): point for point in report.points}
    names = [name for name in report.ranked() if name not in left_out]
    best = {n: _best(names, [worth(points[name, n]) for name in names]) if n > 1 else set[int]() for n in report.ns}
    table: list[list[Cell]] = []
    for at, name in enumerate(names):
        cells = [Cell(name, colour=colours.get(name, ""))]
        for n in report.ns:
            made = cell(points[name, n])
            cells.append(Cell(made.text, made.aside, is_best=at in best[n]))
        table.append(cells)
    return Sheet(["selector", *(f"N={n}" for n in report.ns)], table, caption, rules=_rule_after_bounds(names))


def _as_shown(
    comparison: Comparison,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Mapping[str, str],
    caption: str,
) -> Sheet:
    """A table of selectors that `Comparison` has made, in the order of this report."""
    order = {name: place for place, name in enumerate(rank(points_of(comparison)))}
    ordered = sorted(rows, key=lambda row: order[row[0]])
    table = [[Cell(row[0], colour=colours.get(row[0], "")), *map(Cell, row[1:])] for row in ordered]
    return Sheet(heads, table, caption, rules=_rule_after_bounds([row[0] for row in ordered]))


def _best(names: Sequence[str], values: Sequence[float | None]) -> set[int]:
    """The places of the best that compete; none where all are alike, as they are at N=1."""
    known = {
        at: value
        for at, (name, value) in enumerate(zip(names, values, strict=True))
        if name not in BOUNDS and value is not None
    }
    if not known or max(known.values()) - min(known.values()) < _ROUNDING:
        return set()
    top = max(known.values())
    return {at for at, value in known.items() if top - value < _ROUNDING}


def _rule_after_bounds(names: Sequence[str]) -> list[int]:
    bounds = sum(1 for name in names if name in BOUNDS)
    return [bounds] if 0 < bounds < len(names) else []


def _mark(value: float | None) -> Cell:
    """Of a selector on a problem; None = nothing is known of it."""
    if value is None:
        return Cell("")
    if value > 1 - _ROUNDING:
        return Cell("✓", tint=0.16)
    return Cell("·" if value < _ROUNDING else f"{value:.2f}", tint=0.16 * value)
