"""The tables of a report: accuracy, gap, front, disagreements, calibration, lengths, counts.

Undefined values are a dash. `colours` are those of selectors in the charts. This module does not know formats.
"""

from collections.abc import Mapping, Sequence

from nbest.measuring.cells import (
    UNDEFINED,
    show_amount,
    show_decimal,
    show_narrow_interval,
    show_percent,
    show_share,
)
from nbest.measuring.comparison import AccuracyRow, Comparison, Key
from nbest.report.blocks import Cell, Table
from nbest.report.building import COSTS, Contested, Report, RunFindings, summarise_lengths
from nbest.report.reliability import Reliability

_ROUNDING = 5e-4
"""Accuracies that print alike in percent with one digit are equally good."""


def accuracy_by_n(comparison: Comparison, ns: Sequence[int], colours: Mapping[str, str], caption: str = "") -> Table:
    """Return selectors by N, intervals aside; the best competitor at each N is emphasized."""
    names, rows = comparison.rank(), {row.key: row for row in comparison.rows}
    best = {n: _find_best(comparison, names, [rows[name, n].accuracy for name in names]) for n in ns if n > 1}
    lines: list[list[Cell]] = []
    for number, name in enumerate(names):
        line = [Cell(name, colour=colours.get(name, ""))]
        for n in ns:
            row = rows[name, n]
            interval = show_narrow_interval(row.low, row.high)
            line.append(Cell(show_percent(row.accuracy), interval, is_best=number in best.get(n, ())))
        lines.append(line)
    heads = ["selector", *(f"N={n}" for n in ns)]
    return Table(heads, lines, caption, rules=_rule_below_bounds(comparison, names))


def gap_by_n(comparison: Comparison, ns: Sequence[int], colours: Mapping[str, str]) -> Table:
    """Return pass@N minus accuracy in points, selectors by N; the smallest is emphasized."""
    gaps = comparison.gaps()
    names = [name for name in comparison.rank() if comparison.role(name) != "bound"]
    lines = [[Cell(name, colour=colours.get(name, ""))] for name in names]
    for n in ns:
        column = [gaps[name, n] for name in names]
        best = _find_best(comparison, names, [None if gap is None else -gap for gap in column]) if n > 1 else ()
        for number, gap in enumerate(column):
            lines[number].append(Cell(show_percent(gap), is_best=number in best))
    heads = ["selector", *(f"N={n}" for n in ns)]
    return Table(heads, lines, rules=_rule_below_bounds(comparison, names))


def accuracy_by_run(report: Report, n: int, colours: Mapping[str, str]) -> Table:
    """Return the table that papers print: selectors by run at one n, then the macro and the pooled average."""
    columns = [_rows_at(run.comparison, n) for run in report.runs] + [_rows_at(report.overall, n)]
    if report.pooled is not None:
        columns.append(_rows_at(report.pooled, n))
    names = [name for name in report.overall.rank() if name in columns[-1]]
    best = [_find_best(report.overall, names, [column[name].accuracy for name in names]) for column in columns]
    lines: list[list[Cell]] = []
    for number, name in enumerate(names):
        cells = [Cell(name, colour=colours.get(name, ""))]
        for column, bests in zip(columns, best, strict=True):
            row = column[name]
            is_pooled = column is columns[-1] and report.pooled is not None
            aside = "" if is_pooled else show_narrow_interval(row.low, row.high)
            cells.append(Cell(show_percent(row.accuracy), aside, is_best=number in bests))
        lines.append(cells)
    heads = ["selector", *(run.name for run in report.runs), "macro average", "pooled"]
    return Table(heads, lines, f"N = {n}", rules=_rule_below_bounds(report.overall, names))


def paired(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Table:
    """Return the differences to the baseline as `Comparison` writes them."""
    return _reorder(comparison, comparison.paired_columns(), comparison.paired_table(), colours, caption)


def by_field(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Table:
    """Return accuracy by the field that the comparison was asked for, at the largest n."""
    n = comparison.ns[-1]
    title = f"{caption} at N = {n} by {comparison.by} (problems)"
    return _reorder(comparison, comparison.group_columns(), comparison.group_rows(n), colours, title)


def bounds(comparison: Comparison, colours: Mapping[str, str], caption: str) -> Table:
    """Return how far the ungraded trajectories could move each accuracy."""
    return _reorder(comparison, comparison.bounds_columns(), comparison.bounds_table(), colours, caption)


def front(comparison: Comparison, colours: Mapping[str, str]) -> Table:
    """Return the rows on a Pareto front, by cost; all of one cost and accuracy share a line."""
    names = sorted(comparison.rank(), key=lambda name: not comparison.competes(name))
    order = {name: number for number, name in enumerate(names)}
    on_front = set[Key]().union(*(comparison.pareto_front(cost) for cost in COSTS))
    shared: dict[tuple[float, float], list[AccuracyRow]] = {}
    for row in comparison.rows:
        if row.key in on_front and row.accuracy is not None:
            cost = row.sampled_tokens if row.sampled_tokens is not None else row.flops
            shared.setdefault((cost or 0.0, row.accuracy), []).append(row)
    lines: list[list[Cell]] = []
    for _, rows in sorted(shared.items()):
        rows.sort(key=lambda row: order[row.selector])
        first = rows[0]
        others = f"and {len(rows) - 1} more that are equal" if len(rows) > 1 else ""
        name = Cell(first.selector, others, colour=colours.get(first.selector, ""))
        lines.append(
            [
                Cell("any") if first.n == 1 else name,
                Cell(str(first.n)),
                Cell(show_percent(first.accuracy), show_narrow_interval(first.low, first.high)),
                Cell(show_amount(first.sampled_tokens)),
                Cell(show_amount(first.flops)),
            ]
        )
    heads = ["selector", "N", "accuracy", "tokens per problem", "FLOPs per problem"]
    return Table(heads, lines, "On the Pareto front of all selectors")


def contested(
    problems: Sequence[Contested], anchors: Sequence[str], names: Sequence[str], has_runs: bool, caption: str
) -> Table:
    """Return one line per problem: a tick, a dot or a share for each selector of `names`."""
    lines: list[list[Cell]] = []
    for problem, anchor in zip(problems, anchors, strict=True):
        cells = [Cell(problem.run)] if has_runs else []
        cells += [Cell(problem.problem_id, anchor=anchor), Cell(f"{problem.right} of {problem.candidates}")]
        lines.append(cells + [_mark(problem.values.get(name)) for name in names])
    heads = [*(["run"] if has_runs else []), "problem", "right", *names]
    return Table(heads, lines, caption, words=2 if has_runs else 1)


def answers(problem: Contested) -> Table:
    """Return the answers of one problem with their votes."""
    lines = [
        [Cell("(none)" if answer is None else answer), Cell(str(votes)), Cell(f"{right} of {votes}")]
        for answer, votes, right in problem.answers
    ]
    return Table(["answer", "votes", "right"], lines)


def calibration(sources: Sequence[Reliability], colours: Mapping[str, str]) -> Table:
    """Return how far each confidence is off, and how well it ranks."""
    lines = [
        [
            Cell(source.title, colour=colours.get(source.name, "")),
            Cell(f"{source.cases:,} {'problems' if source.kind == 'problem' else 'trajectories'}"),
            *(Cell(show_decimal(value)) for value in (source.ece, source.brier, source.auc, source.within_pool_auc)),
        ]
        for source in sources
    ]
    return Table(["source", "cases", "ECE", "Brier score", "AUC", "AUC within pools"], lines)


def lengths(runs: Sequence[RunFindings]) -> Table:
    """Return mean, quantiles and the largest length, of right and wrong trajectories."""
    heads = ["run", "trajectories", "count", "mean", "5 %", "25 %", "median", "75 %", "95 %", "largest", "unit"]
    lines: list[list[Cell]] = []
    for run in runs:
        findings = run.findings
        for verdict, values in (("right", findings.right_lengths), ("wrong", findings.wrong_lengths)):
            summary = summarise_lengths(values) or {}
            numbers = [f"{value:,.0f}" for value in summary.values()] or [UNDEFINED] * 7
            words = [run.name, verdict, f"{len(values):,}", *numbers, findings.length_unit]
            lines.append([Cell(word) for word in words])
    return Table(heads, lines, words=2, rules=list(range(2, len(lines), 2)))


def trajectory_counts(runs: Sequence[RunFindings]) -> Table:
    """Return what became of the trajectories of each run."""
    heads = ["run", "right", "wrong", "no answer read", "cut off at the limit", "failed", "ungraded"]
    lines: list[list[Cell]] = []
    for run in runs:
        counts = run.findings.trajectories
        cut_off = run.findings.finishes.get("length", 0)
        numbers = (counts.right, counts.wrong, counts.without_answer, cut_off, counts.failed, counts.ungraded)
        lines.append([Cell(run.name), *(Cell(f"{number:,}", show_share(number, counts.total)) for number in numbers)])
    return Table(heads, lines, "Trajectories")


def ties(run: RunFindings, colours: Mapping[str, str], caption: str) -> Table:
    """Return ties and abstentions on the whole pools of one run."""
    lines: list[list[Cell]] = []
    counts, total = run.findings.counts, len(run.findings.problems)
    for name in run.comparison.rank():
        if name not in counts or not run.comparison.competes(name):
            continue
        ties = counts[name].ties
        numbers = (counts[name].deciding_ties, counts[name].abstained)
        cells = [Cell(UNDEFINED) if ties is None else Cell(str(ties), show_share(ties, total))]
        cells += [Cell(str(number), show_share(number, total)) for number in numbers]
        lines.append([Cell(name, colour=colours.get(name, "")), *cells])
    return Table(["selector", "ties", "between right and wrong", "abstained"], lines, caption)


def stored_picks(runs: Sequence[RunFindings]) -> Table:
    """Return what `nbest select` wrote for each selector of each run."""
    heads = ["run", "selector", "problems", "right", "wrong", "abstained", "with a note"]
    lines: list[list[Cell]] = []
    for run in runs:
        for name, picks in run.findings.picks.items():
            numbers = (picks.problems, picks.right, picks.wrong, picks.abstained, sum(picks.notes.values()))
            lines.append([Cell(run.name), Cell(name), *(Cell(f"{number:,}") for number in numbers)])
    return Table(heads, lines, "Stored selections (`nbest select`)", words=2)


def _rows_at(comparison: Comparison, n: int) -> dict[str, AccuracyRow]:
    return {row.selector: row for row in comparison.rows if row.n == n}


def _reorder(
    comparison: Comparison,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Mapping[str, str],
    caption: str,
) -> Table:
    """Return a table of selectors that `Comparison` has written, in the order of this report."""
    order = {name: number for number, name in enumerate(comparison.rank())}
    ordered = sorted(rows, key=lambda row: order[row[0]])
    lines = [[Cell(row[0], colour=colours.get(row[0], "")), *map(Cell, row[1:])] for row in ordered]
    return Table(heads, lines, caption, rules=_rule_below_bounds(comparison, [row[0] for row in ordered]))


def _find_best(comparison: Comparison, names: Sequence[str], values: Sequence[float | None]) -> set[int]:
    """Return the positions of the best competitors; none where all are alike, as they are at N=1."""
    known = {
        number: value
        for number, (name, value) in enumerate(zip(names, values, strict=True))
        if value is not None and comparison.competes(name)
    }
    if not known or max(known.values()) - min(known.values()) < _ROUNDING:
        return set()
    top = max(known.values())
    return {number for number, value in known.items() if top - value < _ROUNDING}


def _rule_below_bounds(comparison: Comparison, names: Sequence[str]) -> list[int]:
    """Return where a rule divides bounds and picks by chance from the competitors."""
    count = sum(1 for name in names if not comparison.competes(name))
    return [count] if 0 < count < len(names) else []


def _mark(value: float | None) -> Cell:
    """Return the mark of a selector on a problem; None = it has no value there."""
    if value is None:
        return Cell("")
    if value > 1 - _ROUNDING:
        return Cell("✓", tint=0.16)
    return Cell("·" if value < _ROUNDING else f"{value:.2f}", tint=0.16 * value)
