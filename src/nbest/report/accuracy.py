# pyright: reportUnknownMemberType=false
"""The sections on accuracy: against N, run by run, minus the baseline, and by a field of the problems.

Undefined values are a dash. This module does not know formats, or how anything was computed.
"""

from collections.abc import Mapping, Sequence

import altair as alt

from nbest.measuring.cells import TextTable, drop_empty, explain_empty, show_narrow_interval, show_percent
from nbest.measuring.comparison import AccuracyRow, Comparison
from nbest.plurals import agree, show_count, show_part
from nbest.report.blocks import Block, Cell, Figure, PageSection, Table
from nbest.report.building import Report
from nbest.report.charts import (
    FACET,
    Chart,
    Look,
    Style,
    apply_style,
    draw_accuracy,
    draw_curve,
    embed_rows,
    list_accuracies,
)

_TABLE_NS = 3
"""For how many N, the largest ones, several runs get a table; report.json holds all."""
_ROUNDING = 5e-4
"""Accuracies that print alike in percent with one digit are equally good."""


def accuracy_section(report: Report, look: Look) -> PageSection:
    """Return the accuracy of every selector against N, as a curve and as a table; for several runs also run by run."""
    comparison, has_runs = report.overall, len(report.runs) > 1
    extent = show_count(report.problems, "problem")
    if has_runs:
        extent += f", macro average over {show_count(len(report.runs), 'run')}"
    blocks: list[Block] = [Figure("accuracy", draw_accuracy(comparison, subtitle=extent, styles=look.styles))]
    if has_runs:
        blocks += [_tabulate_runs(report, n, look.colours) for n in report.ns[-_TABLE_NS:]]
        blocks.append(Figure("accuracy_by_run", _draw_runs(report, look.styles)))
    names, empty = _split_empty(comparison.rank(), [comparison], report.ns)
    rows = {row.key: row for row in comparison.rows}
    best = {n: find_best(comparison, {name: rows[name, n].accuracy for name in names}) for n in report.ns if n > 1}
    lines: list[list[Cell]] = []
    for name in names:
        line = [Cell(name, colour=look.colours.get(name, ""))]
        for n in report.ns:
            row = rows[name, n]
            interval = show_narrow_interval(*comparison.bounds(row))
            line.append(Cell(show_percent(row.accuracy), interval, is_best=name in best.get(n, ())))
        lines.append(line)
    heads = ["selector", *(f"N={n}" for n in report.ns)]
    caption = "Macro average by number of candidates" if has_runs else ""
    rules, counts = rule_below_bounds(comparison, names), comparison.counts.describe()
    blocks.append(Table(heads, lines, caption, rules=rules, foot=write_foot(empty, counts)))
    scores, empty = drop_empty(comparison.scores_table())
    if comparison.scores:
        caption = "Scores: the probability that a right trajectory of a pool scores above a wrong one"
        lines = [[Cell(row[0], colour=look.colours.get(row[0], "")), *map(Cell, row[1:])] for row in scores.rows]
        blocks.append(Table(scores.heads, lines, caption, foot=write_foot(empty, counts)))
    return PageSection("Accuracy", _explain_accuracy(report), blocks)


def differences_section(report: Report, look: Look) -> PageSection:
    """Return the differences to the baseline, over all runs and in each run."""
    comparisons = {"": report.overall}
    if len(report.runs) > 1:
        comparisons = {"macro average over the runs": report.overall}
        comparisons |= {run.name: run.comparison for run in report.runs}
    lead = (
        f"Accuracy of each selector minus that of {report.baseline}, in percentage points, on the same problems. p is "
        "the p-value of a sign-flip permutation test with Holm's correction over the selectors; detectable is the "
        "smallest difference that this many problems can detect with 80 % power."
    )
    blocks = [
        rank_table(comparison, comparison.paired_table(), look.colours, caption)
        for caption, comparison in comparisons.items()
        if comparison.paired
    ]
    return PageSection(f"Differences to {report.baseline}", lead, blocks)


def groups_section(report: Report, look: Look) -> PageSection:
    """Return the accuracy by a field of the problems, at the largest N of each run."""
    blocks: list[Block] = []
    title = ""
    for run in report.runs:
        comparison = run.comparison
        if comparison.groups:
            title = title or f"Accuracy by {comparison.by}"
            n = comparison.ns[-1]
            caption = f"{run.name} at N = {n} by {comparison.by} (problems)"
            blocks.append(rank_table(comparison, comparison.group_table(n), look.colours, caption))
    return PageSection(title, "", blocks)


def rank_table(comparison: Comparison, table: TextTable, colours: Mapping[str, str], caption: str) -> Table:
    """Return a table of selectors that `comparison` has written, in the order of the report."""
    order = {name: number for number, name in enumerate(comparison.rank())}
    full, empty = drop_empty(table)
    rows = sorted(full.rows, key=lambda row: order[row[0]])
    lines = [[Cell(row[0], colour=colours.get(row[0], "")), *map(Cell, row[1:])] for row in rows]
    rules = rule_below_bounds(comparison, [row[0] for row in rows])
    return Table(table.heads, lines, caption, rules=rules, foot=write_foot(empty, comparison.counts.describe()))


def write_foot(empty: Sequence[str], counts: str) -> str:
    """Return the line under a table: the rows that are left out, and the counts of the trajectories it is about."""
    return "; ".join(filter(None, (explain_empty(empty), counts)))


def find_best(comparison: Comparison, values: Mapping[str, float | None]) -> set[str]:
    """Return the competitors with the highest of `values`; none where all are alike, as they are at N=1."""
    heights = {name: value for name, value in values.items() if value is not None and comparison.competes(name)}
    if not heights or max(heights.values()) - min(heights.values()) < _ROUNDING:
        return set()
    top = max(heights.values())
    return {name for name, value in heights.items() if top - value < _ROUNDING}


def rule_below_bounds(comparison: Comparison, names: Sequence[str]) -> list[int]:
    """Return the line above which a rule divides the competitors from the bounds and the picks by chance."""
    count = sum(1 for name in names if not comparison.competes(name))
    return [count] if 0 < count < len(names) else []


def _explain_accuracy(report: Report) -> str:
    comparison = report.overall
    bounds = [name for name in comparison.rank() if comparison.role(name) == "bound"]
    blind = [name for name in comparison.rank() if comparison.role(name) == "chance"]
    is_claimed = any(comparison.bounds(row) != (None, None) for row in comparison.rows)
    small_print = f"; the small print is the {comparison.level:.0%} interval over problems" if is_claimed else ""
    sentences = [
        "Percentage of problems that a selector solves with N candidates, averaged over all subsets of N candidates "
        f"and then over problems{small_print}.",
        *(f"{name} sees the verdicts: it is pass@N, and no selector can do better." for name in bounds),
        *(f"{name} picks without looking at the candidates." for name in blind),
        "The best of the other selectors is bold.",
    ]
    total = len(comparison.selectors)
    if len(report.chart_selectors) < total:
        rest = total - len(report.chart_selectors)
        selectors = f"{show_part(rest, total, 'selector')} {agree(rest, 'is')}"
        sentences.append(f"{selectors} in the table but not in the charts.")
    if len(report.runs) > 1:
        sentences.append("In the macro average every run has the same weight, in the pooled average every problem.")
    return " ".join(sentences)


def _tabulate_runs(report: Report, n: int, colours: Mapping[str, str]) -> Table:
    """Return the table that papers print: selectors by run at one n, then the macro and the pooled average."""
    comparisons = [*(run.comparison for run in report.runs), report.overall]
    columns = [_rows_at(comparison, n) for comparison in comparisons]
    pooled = {} if report.pooled is None else _rows_at(report.pooled, n)
    shared = [name for name in report.overall.rank() if name in pooled]
    names, empty = _split_empty(shared, comparisons, [n])
    best = [find_best(report.overall, {name: column[name].accuracy for name in names}) for column in (*columns, pooled)]
    lines: list[list[Cell]] = []
    for name in names:
        line = [Cell(name, colour=colours.get(name, ""))]
        for comparison, column, winners in zip(comparisons, columns, best[:-1], strict=True):
            interval = show_narrow_interval(*comparison.bounds(column[name]))
            line.append(Cell(show_percent(column[name].accuracy), interval, is_best=name in winners))
        line.append(Cell(show_percent(pooled[name].accuracy), is_best=name in best[-1]))
        lines.append(line)
    heads = ["selector", *(run.name for run in report.runs), "macro average", "pooled"]
    foot = write_foot(empty, report.overall.counts.describe())
    return Table(heads, lines, f"N = {n}", rules=rule_below_bounds(report.overall, names), foot=foot)


def _split_empty(
    names: Sequence[str], comparisons: Sequence[Comparison], ns: Sequence[int]
) -> tuple[list[str], list[str]]:
    """Return the selectors with an accuracy in any of the comparisons at any of `ns`, and those without."""
    rows = [row for comparison in comparisons for row in comparison.rows if row.n in ns]
    known = {row.selector for row in rows if row.accuracy is not None}
    return [name for name in names if name in known], [name for name in names if name not in known]


def _rows_at(comparison: Comparison, n: int) -> dict[str, AccuracyRow]:
    return {row.selector: row for row in comparison.rows if row.n == n}


def _draw_runs(report: Report, styles: Mapping[str, Style]) -> Chart:
    """Draw the accuracy curves of each run in a panel of its own."""
    names = report.chart_selectors
    data = [{"run": run.name} | row for run in report.runs for row in list_accuracies(run.comparison, names)]
    lines = draw_curve(data, [], styles).properties(width=FACET[0], height=FACET[1])
    lines.data = alt.Undefined
    for layer in lines.layer:
        layer.data = alt.Undefined
    facet = alt.Facet("run:N", title=None, sort=[run.name for run in report.runs])
    grid = lines.facet(facet, columns=2, data=embed_rows(data))
    return apply_style(grid, "Accuracy by number of candidates, run by run", "One accuracy axis for all panels", None)
