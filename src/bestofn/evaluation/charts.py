# pyright: reportUnknownMemberType=false
"""Charts of a comparison: one Altair definition each, written as PNG, SVG or HTML without any network.

This module does not know runs or estimators; it draws the rows it is given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from bestofn.errors import StorageError
from bestofn.evaluation.comparison import Comparison

_FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"
_BASELINES = {"random": "#9aa1ab", "first": "#c3c8cf", "oracle": "#4b5563"}
"""Bounds and plain picks are grey, so that the colours are left to what competes."""
_COLOURS = ("#2563eb", "#d9480f", "#0f8a5f", "#9333ea", "#b8860b", "#db2777", "#0e7490", "#65740b")
_MUTED = "#6b7280"
_PNG_SCALE = 2.0
_EMBEDDING = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
"""The menu of a chart in HTML: saving it as a picture, nothing that would leave the page."""

Chart: TypeAlias = alt.LayerChart | alt.FacetChart


def accuracy_chart(comparison: Comparison, title: str = "Accuracy by number of candidates") -> Chart:
    """Accuracy against N, a line a selector, with its interval as a band where it is defined; the bound is dashed."""
    values = [
        {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, "low": row.low, "high": row.high}
        for row in comparison.rows
        if row.accuracy is not None
    ]
    selectors = _by_height(comparison)
    colour = alt.Color("selector:N", sort=selectors, legend=alt.Legend(title=None, symbolOpacity=1)).scale(
        domain=selectors, range=_palette(selectors)
    )
    x = alt.X("n:Q", title="candidates a problem (N)", axis=alt.Axis(values=comparison.ns, grid=False, format="d"))
    x = x.scale(type="log", base=2, nice=False, domain=_span(comparison.ns))
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    source: Any = alt.Data(values=values)  # typed as a stub that knows data frames only
    drawn = alt.Chart(source).encode(x=x, color=colour)
    bands = (
        drawn.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.1)
        .encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    dashes = alt.condition("datum.selector === 'oracle'", alt.value([6, 4]), alt.value([1, 0]))
    lines = drawn.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=dashes)
    tips = [
        alt.Tooltip("selector:N"),
        alt.Tooltip("n:Q", title="N"),
        alt.Tooltip("accuracy:Q", format=".1%"),
        alt.Tooltip("low:Q", format=".1%", title="from"),
        alt.Tooltip("high:Q", format=".1%", title="to"),
    ]
    points = drawn.mark_point(filled=True, size=45, opacity=1).encode(y=y, tooltip=tips)
    subtitle = f"{comparison.problems} problems, macro mean; bands: {comparison.level:.0%} bootstrap over problems"
    return _styled(alt.layer(bands, lines, points), title, subtitle)


def write_chart(comparison: Comparison, png_path: Path, html_path: Path) -> None:
    """Writes the curve as PNG and as an HTML page that holds its own JavaScript. Raises StorageError."""
    chart = accuracy_chart(comparison)
    spec = chart.to_dict()
    write_file(png_path, vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE))
    write_file(html_path, vl_convert.vegalite_to_html(spec, bundle=True).encode())


def chart_svg(chart: Chart) -> str:
    """The chart as SVG markup to stand inside a page."""
    return vl_convert.vegalite_to_svg(chart.to_dict())


def write_file(path: Path, content: bytes) -> None:
    """Writes a file of a report, with the folder it stands in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error


def _by_height(comparison: Comparison) -> list[str]:
    """The selectors as the eye meets them at the right edge: highest first."""
    heights = {row.selector: row.accuracy or 0.0 for row in sorted(comparison.rows, key=lambda row: row.n)}
    return sorted(heights, key=lambda name: -heights[name])


def _palette(selectors: Sequence[str]) -> list[str]:
    competing = [name for name in selectors if name not in _BASELINES]
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(sorted(competing))}
    return [_BASELINES.get(name) or colours[name] for name in selectors]


def _span(ns: Sequence[int]) -> list[int]:
    """A log axis needs two different ends."""
    return [min(ns), max(ns)] if len(ns) > 1 else [ns[0], ns[0] + 1]


def _styled(chart: Chart, title: str, subtitle: str) -> Chart:
    return (
        chart.properties(width=620, height=360, title=alt.TitleParams(title, subtitle=subtitle), usermeta=_EMBEDDING)
        .configure(background="white", font=_FONT, padding=16)
        .configure_title(
            anchor="start", fontSize=16, fontWeight=600, subtitleColor=_MUTED, subtitlePadding=6, offset=14
        )
        .configure_axis(
            labelColor="#4b5563",
            labelFontSize=12,
            titleColor="#374151",
            titleFontSize=12,
            titleFontWeight=500,
            titlePadding=10,
            gridColor="#eceef1",
            domainColor="#c3c8cf",
            tickColor="#c3c8cf",
        )
        .configure_legend(labelFontSize=12, labelColor="#1f2937", symbolType="circle", rowPadding=6, offset=20)
        .configure_view(stroke=None)
    )
