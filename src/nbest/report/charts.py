# pyright: reportUnknownMemberType=false
"""How every chart looks, and the accuracy curve: Altair definitions drawn as PNG, SVG or HTML without any network.

One colour a scorer (its argmax is dashed with triangles, its votes are solid with circles), so that a selector looks
the same in every chart of a report; bounds and plain picks are grey, so that the colours are left to what competes.
This module does not know runs or estimators; it draws the rows it is given.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from nbest.errors import StorageError
from nbest.measuring.comparison import Comparison

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
INK, MUTED, RULE = "#1f2937", "#6b7280", "#e8eaee"
FIXED = {"random": "#9aa1ab", "first": "#c3c8cf", "oracle": "#4b5563", "majority": "#2563eb"}
"""Selectors that have one colour everywhere."""
BOUNDS = ("oracle", "random", "first")
COLOURS = ("#d9480f", "#0f8a5f", "#9333ea", "#b8860b", "#db2777", "#0e7490", "#65740b", "#7c3f1d", "#475fb3", "#c2255c")
WIDTH, HEIGHT = 640, 360
MOST_BANDS = 4
_PNG_SCALE = 2.0
_EMBEDDING = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
"""The menu of a chart in HTML: saving it as a picture, nothing that would leave the page."""
_SOLID, _DASHED, _BOUND = [1, 0], [5, 3], [7, 4]

Chart: TypeAlias = alt.LayerChart | alt.FacetChart | alt.Chart | alt.VConcatChart | alt.HConcatChart
Values: TypeAlias = Sequence[Mapping[str, Any]]
Colours: TypeAlias = Mapping[str, str] | None


def accuracy_chart(comparison: Comparison, title: str = "Accuracy by number of candidates") -> Chart:
    """Accuracy against N, a line a selector, with its interval as a band where it is defined; the bound is dashed."""
    values = [
        {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, "low": row.low, "high": row.high}
        for row in comparison.rows
        if row.accuracy is not None
    ]
    banded = banded_of(by_height(values, "accuracy"))
    subtitle = f"{comparison.problems} problems, macro mean; {explain_bands(banded, comparison.level)}"
    return styled(accuracy_curve(values, comparison.ns, banded), title, subtitle)


def banded_of(names: Sequence[str]) -> list[str]:
    """Of selectors by height, those whose band is drawn: all of a few, else the best that competes and majority, since
    many bands over one another cannot be read."""
    if len(names) <= MOST_BANDS:
        return list(names)
    best = [name for name in names if name not in (*BOUNDS, "majority")][:1]
    return [*best, *(name for name in names if name == "majority")]


def explain_bands(banded: Sequence[str], level: float) -> str:
    whose = f" of {' and '.join(banded)}" if len(banded) < MOST_BANDS else ""
    return f"bands{whose}: {level:.0%} intervals over problems"


def accuracy_curve(values: Values, ns: Sequence[int], banded: Sequence[str], colours: Colours = None) -> Any:
    """Lines of `values` with selector, n, accuracy, low and high, and bands of the selectors `banded`; `ns` are the
    ticks of the x axis. `colours` as in `selector_look`."""
    look = selector_look(by_height(values, "accuracy"), colours)
    x = n_axis(ns)
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    drawn = alt.Chart(source(values)).encode(x=x, color=look["color"])
    bands = (
        drawn.transform_filter(f"isValid(datum.low) && indexof({json.dumps(list(banded))}, datum.selector) >= 0")
        .mark_area(opacity=0.12)
        .encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    lines = drawn.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=look["strokeDash"])
    tips = [*tooltips("accuracy"), alt.Tooltip("low:Q", format=".1%", title="from")]
    tips.append(alt.Tooltip("high:Q", format=".1%", title="to"))
    points = drawn.mark_point(filled=True, size=48, opacity=1).encode(y=y, shape=look["shape"], tooltip=tips)
    return alt.layer(bands, lines, points)


def write_chart(comparison: Comparison, png_path: Path, html_path: Path) -> None:
    """Writes the curve as PNG and as an HTML page that holds its own JavaScript. Raises StorageError."""
    chart = accuracy_chart(comparison)
    write_png(chart, png_path)
    write_file(html_path, vl_convert.vegalite_to_html(chart.to_dict(), bundle=True).encode())


def write_png(chart: Chart, path: Path) -> None:
    """Raises StorageError."""
    write_file(path, vl_convert.vegalite_to_png(chart.to_dict(), scale=_PNG_SCALE))


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


def source(values: Values) -> Any:
    """Rows as the data of a chart (typed as a stub that knows data frames only)."""
    return alt.Data(values=[dict(value) for value in values])


def n_axis(ns: Sequence[int]) -> alt.X:
    """The number of candidates on a logarithmic axis with a tick at each of `ns`."""
    axis = alt.Axis(values=list(ns), grid=False, format="d", labelOverlap=True)
    # A log axis needs two different ends.
    span = [min(ns), max(ns)] if len(ns) > 1 else [ns[0], ns[0] + 1]
    return alt.X("n:Q", title="candidates a problem (N)", axis=axis).scale(type="log", base=2, nice=False, domain=span)


def tooltips(measure: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("selector:N"), alt.Tooltip("n:Q", title="N"), alt.Tooltip(f"{measure}:Q", format=".1%")]


def by_height(values: Values, measure: str) -> list[str]:
    """The selectors as the eye meets them at the right edge of a curve: highest first."""
    heights = {str(value["selector"]): float(value[measure] or 0.0) for value in sorted(values, key=lambda v: v["n"])}
    return sorted(heights, key=lambda name: -heights[name])


def colours_of(selectors: Iterable[str]) -> dict[str, str]:
    """The colour of each selector: fixed for the known ones, else one a scorer, whatever the rule; given in the order
    of names, so that the same selectors always get the same colours."""
    names = list(dict.fromkeys(selectors))
    families = sorted({_family(name) for name in names if name not in FIXED})
    colours = {family: COLOURS[place % len(COLOURS)] for place, family in enumerate(families)}
    return {name: FIXED.get(name) or colours[_family(name)] for name in names}


def selector_look(selectors: Sequence[str], colours: Colours = None) -> dict[str, Any]:
    """Colour, dash and shape by selector, in one legend in this order. `colours` where a report has fixed them."""
    known = {**colours_of(selectors), **(colours or {})}
    legend = alt.Legend(title=None, symbolOpacity=1, symbolDash=[1, 0], symbolStrokeWidth=0, symbolSize=75)
    names = list(selectors)
    shapes = ["triangle-up" if name.startswith("score:") else "circle" for name in names]
    return {
        "color": alt.Color("selector:N", sort=names, legend=legend).scale(
            domain=names, range=[known[name] for name in names]
        ),
        "strokeDash": alt.StrokeDash("selector:N", sort=names, legend=None).scale(
            domain=names, range=[_dash(name) for name in names]
        ),
        "shape": alt.Shape("selector:N", sort=names, legend=legend).scale(domain=names, range=shapes),
    }


def styled(
    chart: Any, title: str, subtitle: str | Sequence[str], size: tuple[int, int] | None = (WIDTH, HEIGHT)
) -> Any:
    """Title, fonts and lines as all charts have them. `size` None where the parts of the chart have their own."""
    sized = chart.properties(width=size[0], height=size[1]) if size else chart
    heading = alt.TitleParams(title, subtitle=subtitle if isinstance(subtitle, str) else list(subtitle))
    return (
        sized.properties(title=heading, usermeta=_EMBEDDING)
        .configure(background="white", font=FONT, padding=12)
        .configure_title(
            anchor="start",
            fontSize=15,
            fontWeight=600,
            color=INK,
            subtitleColor=MUTED,
            subtitleFontSize=12,
            subtitlePadding=6,
            offset=14,
        )
        .configure_axis(
            labelColor="#4b5563",
            labelFontSize=12,
            titleColor="#374151",
            titleFontSize=12,
            titleFontWeight=500,
            titlePadding=10,
            gridColor=RULE,
            domainColor="#c3c8cf",
            tickColor="#c3c8cf",
        )
        .configure_legend(labelFontSize=12, labelColor=INK, labelLimit=260, rowPadding=5, offset=18)
        .configure_header(labelFontSize=13, labelFontWeight=600, labelColor=INK, labelAnchor="start", title=None)
        .configure_view(stroke=None)
    )


def _family(selector: str) -> str:
    return selector.partition(":")[2] or selector


def _dash(selector: str) -> list[int]:
    if selector == "oracle":
        return _BOUND
    return _DASHED if selector.startswith("score:") else _SOLID
