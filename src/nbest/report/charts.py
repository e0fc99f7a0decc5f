# pyright: reportUnknownMemberType=false
"""How every chart looks, and the accuracy curve: Altair definitions drawn as PNG, SVG or HTML without any network.

One colour per scorer (its argmax is dashed with triangles, its votes are solid with circles), so that a selector looks
the same in every chart of a report; bounds and picks by chance are grey, which leaves the colours to what competes.
This module does not know runs or estimators; it draws the rows it is given.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from nbest.errors import StorageError
from nbest.measuring.comparison import Comparison
from nbest.specs import Role

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
INK, MUTED, RULE = "#1f2937", "#6b7280", "#e8eaee"
COLOURS = ("#d9480f", "#0f8a5f", "#9333ea", "#b8860b", "#db2777", "#0e7490", "#65740b", "#7c3f1d", "#475fb3", "#c2255c")
"""The colours of competitors."""
ROLE_COLOURS: Mapping[Role, tuple[str, ...]] = {
    "bound": ("#4b5563",),
    "chance": ("#9aa1ab", "#c3c8cf"),
    "baseline": ("#2563eb",),
}
WIDTH, HEIGHT = 640, 360
MOST_BANDS = 4
_PNG_SCALE = 2.0
_EMBEDDING = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
"""The menu of a chart in HTML: saving it as a picture, nothing that would leave the page."""
_SOLID, _DASHED, _LONG_DASHED = (1, 0), (5, 3), (7, 4)

Chart: TypeAlias = alt.LayerChart | alt.FacetChart | alt.Chart | alt.VConcatChart | alt.HConcatChart
ChartData: TypeAlias = Sequence[Mapping[str, Any]]
"""What a chart draws: one mapping per mark."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a selector looks in every chart."""

    colour: str
    dash: tuple[int, int] = _SOLID
    shape: str = "circle"


def accuracy_chart(
    comparison: Comparison,
    title: str = "Accuracy by number of candidates",
    subtitle: str = "",
    styles: Mapping[str, Style] | None = None,
) -> Chart:
    """Draw accuracy against N, one line per selector, with its interval as a band where it is defined.

    `styles` names the selectors to draw; None draws all. `subtitle` defaults to the number of problems.
    """
    data = accuracy_data(comparison, styles)
    names = by_height(data, "accuracy")
    banded = choose_banded(names, comparison.roles)
    lines = accuracy_curve(data, banded, styles or choose_styles(names, comparison.roles))
    head = subtitle or f"{comparison.problems} problems, macro mean"
    return styled(lines, title, f"{head}; {explain_bands(banded, comparison.level)}")


def accuracy_data(comparison: Comparison, selectors: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a comparison whose accuracy is known, of all selectors or those named."""
    names = comparison.selectors if selectors is None else set(selectors)
    return [
        {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, "low": row.low, "high": row.high}
        for row in comparison.rows
        if row.accuracy is not None and row.selector in names
    ]


def choose_banded(names: Sequence[str], roles: Mapping[str, Role]) -> list[str]:
    """Choose which selectors get an interval band; `names` are ordered by height.

    All of a few; else the best competitor and the baseline, because many bands over one another cannot be read.
    """
    if len(names) <= MOST_BANDS:
        return list(names)
    best = [name for name in names if roles.get(name, "competitor") == "competitor"][:1]
    return [*best, *(name for name in names if roles.get(name) == "baseline")]


def explain_bands(banded: Sequence[str], level: float) -> str:
    owners = f" of {' and '.join(banded)}" if len(banded) < MOST_BANDS else ""
    return f"bands{owners}: {level:.0%} intervals over problems"


def accuracy_curve(data: ChartData, banded: Sequence[str], styles: Mapping[str, Style]) -> Any:
    """Draw a line for each selector of `data` (selector, n, accuracy, low, high), and a band for those in `banded`."""
    look = selector_look(by_height(data, "accuracy"), styles)
    x = n_axis(sorted({int(value["n"]) for value in data}))
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    marks = alt.Chart(source(data)).encode(x=x, color=look["color"])
    bands = (
        marks.transform_filter(f"isValid(datum.low) && indexof({json.dumps(list(banded))}, datum.selector) >= 0")
        .mark_area(opacity=0.12)
        .encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    lines = marks.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=look["strokeDash"])
    tips = [*tooltips("accuracy"), alt.Tooltip("low:Q", format=".1%", title="from")]
    tips.append(alt.Tooltip("high:Q", format=".1%", title="to"))
    points = marks.mark_point(filled=True, size=48, opacity=1).encode(y=y, shape=look["shape"], tooltip=tips)
    return alt.layer(bands, lines, points)


def write_chart(comparison: Comparison, png_path: Path, html_path: Path) -> None:
    """Write the curve as PNG and as an HTML page that holds its own JavaScript. Raises StorageError."""
    write_chart_files(accuracy_chart(comparison), png_path, html_path)


def write_chart_files(chart: Chart, png_path: Path, html_path: Path) -> None:
    """Write any chart as PNG and as an HTML page that holds its own JavaScript. Raises StorageError."""
    write_png(chart, png_path)
    write_file(html_path, vl_convert.vegalite_to_html(chart.to_dict(), bundle=True).encode())


def write_png(chart: Chart, path: Path) -> None:
    """Write a chart as PNG. Raises StorageError."""
    write_file(path, vl_convert.vegalite_to_png(chart.to_dict(), scale=_PNG_SCALE))


def chart_svg(chart: Chart) -> str:
    """Return the chart as SVG markup to stand inside a page."""
    return vl_convert.vegalite_to_svg(chart.to_dict())


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a report, and make the folder it stands in. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error


def source(data: ChartData) -> Any:
    """Return rows as the data of a chart (typed as Any, since the stubs know data frames only)."""
    return alt.Data(values=[dict(value) for value in data])


def n_axis(ns: Sequence[int]) -> alt.X:
    """Return the number of candidates as a logarithmic axis with a tick at each of `ns`."""
    axis = alt.Axis(values=list(ns), grid=False, format="d", labelOverlap=True)
    # A log axis needs two different ends.
    span = [min(ns), max(ns)] if len(ns) > 1 else [ns[0], ns[0] + 1]
    return alt.X("n:Q", title="candidates per problem (N)", axis=axis).scale(
        type="log", base=2, nice=False, domain=span
    )


def tooltips(measure: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("selector:N"), alt.Tooltip("n:Q", title="N"), alt.Tooltip(f"{measure}:Q", format=".1%")]


def by_height(data: ChartData, measure: str) -> list[str]:
    """Return the selectors as the eye meets them at the right edge of a curve: highest first."""
    ordered = sorted(data, key=lambda value: value["n"])
    heights = {str(value["selector"]): float(value[measure] or 0.0) for value in ordered}
    return sorted(heights, key=lambda name: -heights[name])


def choose_styles(selectors: Iterable[str], roles: Mapping[str, Role]) -> dict[str, Style]:
    """Return the style of each selector: fixed for each role but competitors, which get one colour per scorer.

    Colours are given in the order of names, so that the same selectors always look the same.
    """
    names = list(dict.fromkeys(selectors))
    competitors = [name for name in names if roles.get(name, "competitor") == "competitor"]
    families = {
        family: COLOURS[number % len(COLOURS)] for number, family in enumerate(sorted(set(map(_family, competitors))))
    }
    styles: dict[str, Style] = {}
    counts: dict[Role, int] = {}
    for name in names:
        role = roles.get(name, "competitor")
        if role == "competitor":
            is_argmax = name.startswith("score:")
            look = (_DASHED, "triangle-up") if is_argmax else (_SOLID, "circle")
            styles[name] = Style(families[_family(name)], *look)
            continue
        number = counts[role] = counts.get(role, -1) + 1
        colours = ROLE_COLOURS[role]
        styles[name] = Style(colours[number % len(colours)], _LONG_DASHED if role == "bound" else _SOLID)
    return styles


def selector_look(selectors: Sequence[str], styles: Mapping[str, Style]) -> dict[str, Any]:
    """Return colour, dash and shape by selector, in one legend in this order."""
    legend = alt.Legend(title=None, symbolOpacity=1, symbolDash=[1, 0], symbolStrokeWidth=0, symbolSize=75)
    names = list(selectors)
    return {
        "color": alt.Color("selector:N", sort=names, legend=legend).scale(
            domain=names, range=[styles[name].colour for name in names]
        ),
        "strokeDash": alt.StrokeDash("selector:N", sort=names, legend=None).scale(
            domain=names, range=[list(styles[name].dash) for name in names]
        ),
        "shape": alt.Shape("selector:N", sort=names, legend=legend).scale(
            domain=names, range=[styles[name].shape for name in names]
        ),
    }


def styled(
    chart: Any, title: str, subtitle: str | Sequence[str], size: tuple[int, int] | None = (WIDTH, HEIGHT)
) -> Any:
    """Return a chart with title, fonts and lines as all have them. `size` None: its parts have their own sizes."""
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
    """Return the scorer that a selector reads; a selector without one is a family of its own."""
    return selector.partition(":")[2] or selector
