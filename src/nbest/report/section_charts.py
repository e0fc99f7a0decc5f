# pyright: reportUnknownMemberType=false
"""The charts of a report beside the accuracy curve: cost, selection gap, disagreement, reliability, lengths.

One Altair definition per chart, over plain rows; `charts.py` holds how they look. This module does not know runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from nbest.report.charts import (
    HEIGHT,
    INK,
    WIDTH,
    Chart,
    ChartData,
    Style,
    accuracy_curve,
    by_height,
    n_axis,
    selector_look,
    source,
    styled,
    tooltips,
)

_FACET = (300, 220)
_SQUARE = 340
_CELL = 46
MOST_TICKS = 10
RIGHT_WRONG = {"right": "#0f8a5f", "wrong": "#d9480f"}


def runs_chart(data: ChartData, styles: Mapping[str, Style], runs: Sequence[str]) -> Chart:
    """Draw the accuracy curve of each of `runs`, side by side; `data` holds run, selector, n, accuracy, low, high."""
    lines = accuracy_curve(data, [], styles).properties(width=_FACET[0], height=_FACET[1])
    lines.data = alt.Undefined
    for layer in lines.layer:
        layer.data = alt.Undefined
    facet = alt.Facet("run:N", title=None, sort=list(runs))
    grid = lines.facet(facet, columns=2, data=source(data))
    return styled(grid, "Accuracy by number of candidates, run by run", "One accuracy axis for all panels", None)


def cost_chart(data: ChartData, cost: str, styles: Mapping[str, Style], title: str, axis_title: str) -> Chart:
    """Draw accuracy against `cost`; `data` holds selector, n, accuracy, the cost and is_front (on the Pareto front)."""
    known = [value for value in data if value["accuracy"] is not None and value[cost] is not None]
    look = selector_look(by_height(known, "accuracy"), styles)
    # Selectors share the cost of N candidates: where these are few, they are the ticks.
    ticks = sorted({float(f"{value[cost]:.4g}") for value in known})
    axis = alt.Axis(format=".2~s", grid=False, labelOverlap=True, tickCount=6)
    if len(ticks) <= MOST_TICKS:
        axis = alt.Axis(format=".2~s", grid=False, labelOverlap=True, values=ticks)
    x = alt.X(f"{cost}:Q", title=axis_title, axis=axis).scale(type="log", nice=False, padding=14)
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    marks = alt.Chart(source(known)).encode(x=x, y=y)
    on_front = [value for value in known if value["is_front"]]
    front = (
        alt.Chart(source(sorted(on_front, key=lambda value: value[cost])))
        .mark_line(interpolate="step-after", stroke=INK, strokeWidth=7, opacity=0.12)
        .encode(x=x, y=y)
    )
    rings = (
        marks.transform_filter("datum.is_front")
        .mark_point(size=170, strokeWidth=1.6, stroke=INK, filled=False, opacity=1)
        .encode()
    )
    lines = marks.mark_line(strokeWidth=2).encode(color=look["color"], strokeDash=look["strokeDash"])
    tips = [*tooltips("accuracy"), alt.Tooltip(f"{cost}:Q", format=",.3~s")]
    points = marks.mark_point(filled=True, size=48, opacity=1).encode(
        color=look["color"], shape=look["shape"], tooltip=tips
    )
    subtitle = "Ringed, on the grey line: the Pareto front of these (none other is as accurate for less)"
    return styled(alt.layer(front, lines, rings, points), title, subtitle)


def gap_chart(data: ChartData, styles: Mapping[str, Style]) -> Chart:
    """Draw pass@N minus accuracy against N; `data` holds selector, n and gap."""
    known = [value for value in data if value["gap"] is not None]
    look = selector_look(by_height(known, "gap"), styles)
    ns = sorted({int(value["n"]) for value in known})
    y = alt.Y("gap:Q", title="selection gap", axis=alt.Axis(format=".0%", tickCount=6)).scale(nice=True)
    marks = alt.Chart(source(known)).encode(x=n_axis(ns), y=y, color=look["color"])
    lines = marks.mark_line(strokeWidth=2.2).encode(strokeDash=look["strokeDash"])
    points = marks.mark_point(filled=True, size=48, opacity=1).encode(shape=look["shape"], tooltip=tooltips("gap"))
    return styled(alt.layer(lines, points), "Selection gap", "pass@N minus accuracy: what a perfect selector would add")


def disagreement_chart(data: ChartData, names: Sequence[str], problems: int) -> Chart:
    """Draw a matrix; `data` holds row, column, wins: the expected problems on which row is right and column wrong."""
    order = list(names)
    axis: dict[str, Any] = {"labelLimit": 220, "ticks": False, "domain": False, "grid": False}
    x = alt.X("column:N", sort=order, title="wrong", axis=alt.Axis(orient="top", labelAngle=-40, **axis))
    y = alt.Y("row:N", sort=order, title="right", axis=alt.Axis(**axis))
    marks = alt.Chart(source(data)).encode(x=x, y=y)
    most = max((float(value["wins"]) for value in data), default=1.0) or 1.0
    cells = marks.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.Color("wins:Q", legend=None).scale(domain=[0, most], range=["#f6f8fb", "#2563eb"])
    )
    whole = all(float(value["wins"]).is_integer() for value in data)
    numbers = marks.mark_text(fontSize=12).encode(
        text=alt.Text("wins:Q", format=".0f" if whole else ".1f"),
        color=alt.condition(f"datum.wins > {0.55 * most}", alt.value("white"), alt.value(INK)),
    )
    size = (_CELL * len(order), max(30, round(_CELL * 0.72)) * len(order))
    subtitle = f"Of {problems} problems, whole pools: the row is right and the column wrong (ties count in part)"
    return styled(alt.layer(cells, numbers), "Who is right where another is wrong", subtitle, size)


def reliability_chart(data: ChartData, styles: Mapping[str, Style]) -> Chart:
    """Draw accuracy against confidence; `data` holds selector (the source), confidence, accuracy, cases."""
    look = selector_look(list(dict.fromkeys(str(value["selector"]) for value in data)), styles)
    axis = alt.Axis(format=".0%", tickCount=6)
    x = alt.X("confidence:Q", title="confidence", axis=axis).scale(domain=[0, 1])
    y = alt.Y("accuracy:Q", title="share of right ones", axis=axis).scale(domain=[0, 1])
    ideal = (
        alt.Chart(source([{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
        .mark_line(stroke="#9aa1ab", strokeDash=[4, 4], strokeWidth=1.4)
        .encode(x=x, y=y)
    )
    marks = alt.Chart(source(data)).encode(x=x, y=y, color=look["color"])
    lines = marks.mark_line(strokeWidth=1.8)
    tips = [alt.Tooltip("selector:N"), alt.Tooltip("cases:Q"), alt.Tooltip("accuracy:Q", format=".1%")]
    points = marks.mark_point(filled=True, size=56, opacity=1).encode(tooltip=[*tips])
    subtitle = "Bins of equal numbers of cases; on the dashed line a confidence is the probability of being right"
    return styled(alt.layer(ideal, lines, points), "Reliability", subtitle, (_SQUARE, _SQUARE))


def lengths_chart(data: ChartData, unit: str, runs: Sequence[str]) -> Chart:
    """Draw histograms of right and wrong trajectories; `data` holds run, verdict, start, end, share."""
    kinds, shades = list(RIGHT_WRONG), list(RIGHT_WRONG.values())
    colour = alt.Color("verdict:N", legend=alt.Legend(title=None, symbolType="square")).scale(
        domain=kinds, range=shades
    )
    x = alt.X("start:Q", title=f"length in {unit}", axis=alt.Axis(grid=False, format="~s")).scale(nice=False)
    y = alt.Y("share:Q", title="share of trajectories", axis=alt.Axis(format=".0%", tickCount=5), stack=None)
    bars = (
        alt.Chart().mark_bar(opacity=0.5, binSpacing=0).encode(x=x.bin("binned"), x2=alt.X2("end:Q"), y=y, color=colour)
    )
    title, subtitle = "Lengths of right and wrong trajectories", "Share among the right, and among the wrong ones"
    if len(runs) == 1:
        return styled(bars.properties(data=source(data)), title, subtitle, (WIDTH, HEIGHT * 2 // 3))
    facet = alt.Facet("run:N", title=None, sort=list(runs))
    grid = bars.properties(width=_FACET[0], height=_FACET[1] * 2 // 3).facet(facet, columns=2, data=source(data))
    return styled(grid.resolve_scale(x="independent"), title, subtitle, None)
