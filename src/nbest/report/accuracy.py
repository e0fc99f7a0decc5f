# pyright: reportUnknownMemberType=false
"""The sections on accuracy: against N, run by run, minus the baseline, and by a field of the problems.

Undefined values are a dash. This module does not know formats, or how anything was computed.
"""

from collections.abc import Mapping, Sequence

import altair as alt

from nbest.measuring.cells import TextTable, show_narrow_interval, show_percent
from nbest.measuring.comparison import AccuracyRow, Comparison
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
    extent = f"{report.problems:,} problems"
    if has_runs:
        extent += f", macro average over {len(report.runs)} runs"
    blocks: list[Block] = [Figure("accuracy", draw_accuracy(comparison, subtitle=extent, styles=look.styles))]
    if has_runs:
        blocks += [_tabulate_runs(report, n, look.colours) for n in report.ns[-_TABLE_NS:]]
        blocks.append(Figure("accuracy_by_run", _draw_runs(report, look.styles)))
    scores = comparison.scores_table()
    names, rows = comparison.rank(), {row.key: row for row in comparison.rows}
    best = {n: find_best(comparison, {name: rows[name, n].accuracy for name in names}) for n in report.ns if n > 1}
    lines: list[list[Cell]] = []
    for name in names:
        line = [Cell(name, colour=look.colours.get(name, ""))]
        for n in report.ns:
            row = rows[name, n]
            interval = show_narrow_interval(row.low, row.high)
            line.append(Cell(show_percent(row.accuracy), interval, is_best=name in best.get(n, ())))
        lines.append(line)
    heads = ["selector", *(f"N={n}" for n in report.ns)]
    caption = "Macro average by number of candidates" if has_runs else ""
    foot = comparison.counts.describe()
    blocks.append(Table(heads, lines, caption, rules=rule_below_bounds(comparison, names), foot=foot))
    if comparison.scores:
        caption = "Scores: the probability that a right trajectory of a pool scores above a wrong one"
        lines = [[Cell(row[0], colour=look.colours.get(row[0], "")), *map(Cell, row[1:])] for row in scores.rows]
        blocks.append(Table(scores.heads, lines, caption, foot=foot))
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
    rows = sorted(table.rows, key=lambda row: order[row[0]])
    lines = [[Cell(row[0], colour=colours.get(row[0], "")), *map(Cell, row[1:])] for row in rows]
    rules = rule_below_bounds(comparison, [row[0] for row in rows])
    return Table(table.heads, lines, caption, rules=rules, foot=comparison.counts.describe())


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
    sentences = [
        "Percentage of problems that a selector solves with N candidates, averaged over all subsets of N candidates "
        f"and then over problems; the small print is the {comparison.level:.0%} interval over problems.",
        *(f"{name} sees the verdicts: it is pass@N, and no selector can do better." for name in bounds),
        *(f"{name} picks without looking at the candidates." for name in blind),
        "The best of the other selectors is bold.",
    ]
    total = len(comparison.selectors)
    if len(report.chart_selectors) < total:
        sentences.append(
            f"{total - len(report.chart_selectors)} of {total} selectors are in the table but not in the charts."
        )
    if len(report.runs) > 1:
        sentences.append("In the macro average every run has the same weight, in the pooled average every problem.")
    return " ".join(sentences)


def _tabulate_runs(report: Report, n: int, colours: Mapping[str, str]) -> Table:
    """Return the table that papers print: selectors by run at one n, then the macro and the pooled average."""
    columns = [_rows_at(run.comparison, n) for run in report.runs] + [_rows_at(report.overall, n)]
    pooled = {} if report.pooled is None else _rows_at(report.pooled, n)
    columns.append(pooled)
    names = [name for name in report.overall.rank() if name in pooled]
    best = [find_best(report.overall, {name: column[name].accuracy for name in names}) for column in columns]
    lines: list[list[Cell]] = []
    for name in names:
        line = [Cell(name, colour=colours.get(name, ""))]
        for column, winners in zip(columns, best, strict=True):
            row = column[name]
            interval = "" if column is pooled else show_narrow_interval(row.low, row.high)
            line.append(Cell(show_percent(row.accuracy), interval, is_best=name in winners))
        lines.append(line)
    heads = ["selector", *(run.name for run in report.runs), "macro average", "pooled"]
    foot = report.overall.counts.describe()
    return Table(heads, lines, f"N = {n}", rules=rule_below_bounds(report.overall, names), foot=foot)


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
