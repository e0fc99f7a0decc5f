# pyright: reportUnknownMemberType=false
"""The sections on what accuracy costs and what is missing to a perfect selector: Pareto front and selection gap.

Undefined values are a dash. This module does not know formats, or how anything was computed.
"""

from collections.abc import Mapping

import altair as alt

from nbest.measuring.cells import show_amount, show_narrow_interval, show_percent
from nbest.measuring.comparison import AccuracyRow, Comparison, Cost, Key
from nbest.report.accuracy import find_best, rule_below_bounds, write_foot
from nbest.report.blocks import Block, Cell, Figure, PageSection, Table
from nbest.report.building import COSTS, Report
from nbest.report.charts import (
    Chart,
    ChartData,
    Look,
    Style,
    apply_style,
    embed_rows,
    encode_selectors,
    list_tooltips,
    make_n_axis,
    order_by_height,
)
from nbest.report.colours import INK

MOST_TICKS = 10
_TITLES: Mapping[Cost, tuple[str, str, str]] = {
    "sampled_tokens": ("accuracy_by_tokens", "Accuracy against sampled tokens", "sampled tokens per problem"),
    "flops": ("accuracy_by_flops", "Accuracy against compute", "FLOPs per problem"),
}
"""By cost: the name of the picture, the title of the chart and of its axis."""


def cost_section(report: Report, look: Look) -> PageSection:
    """Return accuracy against each cost that is known of any row, and the Pareto front."""
    comparison = report.overall
    # A pick by chance needs no more than one candidate: at larger N it costs more and gains nothing.
    names = [name for name in report.chart_selectors if comparison.role(name) != "chance"]
    blocks: list[Block] = []
    for cost, (picture, title, axis) in _TITLES.items():
        front = comparison.pareto_front(cost)
        data = [
            {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, cost: row.cost(cost)}
            | {"is_front": row.key in front}
            for row in comparison.rows
            if row.selector in names
        ]
        if any(value[cost] is not None for value in data):
            blocks.append(Figure(picture, _draw_cost(data, cost, look.styles, title, axis)))
    if blocks:
        blocks.append(_tabulate_front(comparison, look.colours))
    lead = (
        "The average cost of sampling N candidates for a problem; the cost of the selector itself is not included. "
        "FLOPs are computed from the size of the policy in the manifest (Kaplan et al. 2020). Bounds are not part of "
        "the Pareto front."
    )
    return PageSection("Accuracy against cost", lead, blocks)


def gap_section(report: Report, look: Look) -> PageSection:
    """Return the accuracy of the bound minus that of each selector, against N; no blocks where it is unknown."""
    comparison, gaps = report.overall, report.overall.gaps()
    others = [name for name in comparison.rank() if comparison.role(name) != "bound"]
    names = [name for name in others if any(gaps[name, n] is not None for n in report.ns)]
    data = [
        {"selector": row.selector, "n": row.n, "gap": gaps[row.key]}
        for row in comparison.rows
        if row.selector in names and row.selector in report.chart_selectors
    ]
    if not any(value["gap"] is not None for value in data):
        return PageSection("Selection gap", "", [])
    lines = [[Cell(name, colour=look.colours.get(name, ""))] for name in names]
    for n in report.ns:
        heights = {name: None if (gap := gaps[name, n]) is None else -gap for name in names}
        best = find_best(comparison, heights) if n > 1 else ()
        for line, name in zip(lines, names, strict=True):
            line.append(Cell(show_percent(gaps[name, n]), is_best=name in best))
    heads = ["selector", *(f"N={n}" for n in report.ns)]
    foot = write_foot([name for name in others if name not in names], comparison.counts.describe())
    table = Table(heads, lines, rules=rule_below_bounds(comparison, names), foot=foot)
    lead = (
        "Percentage points between a selector and pass@N: how often a right candidate was in the pool and another one "
        "was picked."
    )
    return PageSection("Selection gap", lead, [Figure("selection_gap", _draw_gap(data, look.styles)), table])


def _tabulate_front(comparison: Comparison, colours: Mapping[str, str]) -> Table:
    """Return the rows on a Pareto front, by cost; all of one cost and accuracy share a line."""
    names = sorted(comparison.rank(), key=lambda name: not comparison.competes(name))
    order = {name: number for number, name in enumerate(names)}
    front = set[Key]().union(*(comparison.pareto_front(cost) for cost in COSTS))
    groups: dict[tuple[float, float], list[AccuracyRow]] = {}
    for row in comparison.rows:
        if row.key in front and row.accuracy is not None:
            cost = row.sampled_tokens if row.sampled_tokens is not None else row.flops
            groups.setdefault((cost or 0.0, row.accuracy), []).append(row)
    lines: list[list[Cell]] = []
    for _, rows in sorted(groups.items()):
        rows.sort(key=lambda row: order[row.selector])
        first = rows[0]
        others = f"and {len(rows) - 1} more with the same accuracy" if len(rows) > 1 else ""
        name = Cell(first.selector, others, colour=colours.get(first.selector, ""))
        lines.append(
            [
                Cell("any") if first.n == 1 else name,
                Cell(str(first.n)),
                Cell(show_percent(first.accuracy), show_narrow_interval(*comparison.bounds(first))),
                Cell(show_amount(first.sampled_tokens)),
                Cell(show_amount(first.flops)),
            ]
        )
    heads = ["selector", "N", "accuracy", "tokens per problem", "FLOPs per problem"]
    return Table(heads, lines, "Pareto front of all selectors", foot=comparison.counts.describe())


def _draw_cost(data: ChartData, cost: str, styles: Mapping[str, Style], title: str, axis_title: str) -> Chart:
    """Draw accuracy against `cost`; `data` holds selector, n, accuracy, the cost and is_front (on the Pareto front)."""
    points = [value for value in data if value["accuracy"] is not None and value[cost] is not None]
    look = encode_selectors(order_by_height(points, "accuracy"), styles)
    # Selectors share the cost of N candidates: where these are few, they are the ticks.
    ticks = sorted({float(f"{value[cost]:.4g}") for value in points})
    axis = alt.Axis(format=".2~s", grid=False, labelOverlap=True, tickCount=6)
    if len(ticks) <= MOST_TICKS:
        axis = alt.Axis(format=".2~s", grid=False, labelOverlap=True, values=ticks)
    x = alt.X(f"{cost}:Q", title=axis_title, axis=axis).scale(type="log", nice=False, padding=14)
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    marks = alt.Chart(embed_rows(points)).encode(x=x, y=y)
    on_front = [value for value in points if value["is_front"]]
    front = (
        alt.Chart(embed_rows(sorted(on_front, key=lambda value: value[cost])))
        .mark_line(interpolate="step-after", stroke=INK, strokeWidth=7, opacity=0.12)
        .encode(x=x, y=y)
    )
    rings = (
        marks.transform_filter("datum.is_front")
        .mark_point(size=170, strokeWidth=1.6, stroke=INK, filled=False, opacity=1)
        .encode()
    )
    lines = marks.mark_line(strokeWidth=2).encode(color=look["color"], strokeDash=look["strokeDash"])
    tips = [*list_tooltips("accuracy"), alt.Tooltip(f"{cost}:Q", format=",.3~s")]
    dots = marks.mark_point(filled=True, size=48, opacity=1).encode(
        color=look["color"], shape=look["shape"], tooltip=tips
    )
    subtitle = "Rings and grey line: the Pareto front of these selectors (no other one is as accurate at a lower cost)"
    return apply_style(alt.layer(front, lines, rings, dots), title, subtitle)


def _draw_gap(data: ChartData, styles: Mapping[str, Style]) -> Chart:
    """Draw pass@N minus accuracy against N; `data` holds selector, n and gap."""
    rows = [value for value in data if value["gap"] is not None]
    look = encode_selectors(order_by_height(rows, "gap"), styles)
    ns = sorted({int(value["n"]) for value in rows})
    y = alt.Y("gap:Q", title="selection gap", axis=alt.Axis(format=".0%", tickCount=6)).scale(nice=True)
    marks = alt.Chart(embed_rows(rows)).encode(x=make_n_axis(ns), y=y, color=look["color"])
    lines = marks.mark_line(strokeWidth=2.2).encode(strokeDash=look["strokeDash"])
    points = marks.mark_point(filled=True, size=48, opacity=1).encode(shape=look["shape"], tooltip=list_tooltips("gap"))
    return apply_style(
        alt.layer(lines, points), "Selection gap", "pass@N minus accuracy: what a perfect selector would add"
    )
