# pyright: reportUnknownMemberType=false
"""How every chart looks, and the accuracy curve, as Altair definitions.

A selector looks the same in every chart of a report. Each scorer has one colour; its argmax is dashed with triangles,
its votes are solid with circles. Bounds and picks by chance are grey, which leaves the colours to the competitors.
This module does not know runs or estimators; it draws the rows of its arguments.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt

from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.cells import FEWEST_PROBLEMS
from nbest.measuring.comparison import Comparison
from nbest.measuring.question import STORED_PREFIX
from nbest.plurals import show_count
from nbest.registry import find_spec
from nbest.report.colours import COLOURS, INK, MUTED, ROLE_COLOURS, RULE
from nbest.report.rendering import FONT, Chart, write_chart_files
from nbest.specs import Role

WIDTH, HEIGHT = 640, 360
FACET = (300, 220)
"""Width and height of one panel of several."""
MOST_BANDS = 4
_EMBEDDING = {"embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}}
"""The menu of a chart in HTML: saving it as a picture, nothing that would leave the page."""
_SOLID, _DASHED, _LONG_DASHED = (1, 0), (5, 3), (7, 4)

ChartData: TypeAlias = Sequence[Mapping[str, Any]]
"""The rows of a chart: one mapping per mark."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a selector looks in every chart."""

    colour: str
    dash: tuple[int, int] = _SOLID
    shape: str = "circle"


@dataclass(frozen=True, slots=True)
class Look:
    """How the selectors of one report look in all of its charts and tables.

    `colours` are by selector and by scorer; a scorer has the colour of the selectors that read it.
    """

    styles: Mapping[str, Style]
    colours: Mapping[str, str]


def choose_look(selectors: Iterable[str], roles: Mapping[str, Role]) -> Look:
    """Return how selectors look in the charts and tables of one report."""
    styles = choose_styles(selectors, roles)
    scorers = {name.partition(":")[2]: style.colour for name, style in styles.items() if ":" in name}
    return Look(styles, scorers | {name: style.colour for name, style in styles.items()})


def draw_accuracy(
    comparison: Comparison,
    title: str = "Accuracy by number of candidates",
    subtitle: str = "",
    styles: Mapping[str, Style] | None = None,
) -> Chart:
    """Draw accuracy against N, one line per selector, with its interval as a band where it is defined.

    `styles` names the selectors to draw; None draws all. `subtitle` defaults to the number of problems.
    """
    data = list_accuracies(comparison, styles)
    names = order_by_height(data, "accuracy")
    band_owners = choose_band_owners(data, comparison.roles)
    lines = draw_curve(data, band_owners, styles or choose_styles(names, comparison.roles))
    head = subtitle or f"{show_count(comparison.problems, 'problem')}, macro mean"
    return apply_style(lines, title, f"{head}; {explain_bands(band_owners, comparison.level)}")


def list_accuracies(comparison: Comparison, selectors: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a comparison whose accuracy is known, of all selectors or those named.

    `low` and `high` are None where no interval is claimed.
    """
    names = comparison.selectors if selectors is None else set(selectors)
    rows = [row for row in comparison.rows if row.accuracy is not None and row.selector in names]
    return [
        {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, "low": low, "high": high}
        for row, (low, high) in ((row, comparison.bounds(row)) for row in rows)
    ]


def choose_band_owners(data: ChartData, roles: Mapping[str, Role]) -> list[str]:
    """Choose which selectors of `data` (selector, n, accuracy, low, high) get an interval band, the highest first.

    All that have an interval get one where the selectors are few, else the best competitor and the baseline: many
    overlapping bands cannot be read.
    """
    names = order_by_height(data, "accuracy")
    if len(names) > MOST_BANDS:
        best = [name for name in names if roles.get(name, "competitor") == "competitor"][:1]
        names = [*best, *(name for name in names if roles.get(name) == "baseline")]
    bounded = {row["selector"] for row in data if row["low"] is not None}
    return [name for name in names if name in bounded]


def explain_bands(band_owners: Sequence[str], level: float) -> str:
    """Return the words of a subtitle on the interval bands of `band_owners`, or on their absence."""
    if not band_owners:
        return f"no bands: intervals need at least {FEWEST_PROBLEMS} problems"
    owners = f" of {' and '.join(band_owners)}" if len(band_owners) < MOST_BANDS else ""
    return f"bands{owners}: {level:.0%} intervals over problems"


def draw_curve(data: ChartData, band_owners: Sequence[str], styles: Mapping[str, Style]) -> Any:
    """Draw a line for each selector of `data` (selector, n, accuracy, low, high), and bands for `band_owners`."""
    look = encode_selectors(order_by_height(data, "accuracy"), styles)
    x = make_n_axis(sorted({int(value["n"]) for value in data}))
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=6)).scale(zero=False, nice=True)
    marks = alt.Chart(embed_rows(data)).encode(x=x, color=look["color"])
    bands = (
        marks.transform_filter(f"isValid(datum.low) && indexof({json.dumps(list(band_owners))}, datum.selector) >= 0")
        .mark_area(opacity=0.12)
        .encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    lines = marks.mark_line(strokeWidth=2.2).encode(y=y, strokeDash=look["strokeDash"])
    tips = [*list_tooltips("accuracy"), alt.Tooltip("low:Q", format=".1%", title="from")]
    tips.append(alt.Tooltip("high:Q", format=".1%", title="to"))
    points = marks.mark_point(filled=True, size=48, opacity=1).encode(y=y, shape=look["shape"], tooltip=tips)
    return alt.layer(bands, lines, points)


def write_chart(comparison: Comparison, png_path: Path, html_path: Path) -> None:
    """Write the curve as PNG and as an HTML page that holds its own JavaScript. Raises StorageError."""
    write_chart_files(draw_accuracy(comparison), png_path, html_path)


def embed_rows(data: ChartData) -> Any:
    """Return rows as the data of a chart (typed as Any, because the stubs of Altair accept data frames alone)."""
    return alt.Data(values=[dict(value) for value in data])


def make_n_axis(ns: Sequence[int]) -> alt.X:
    """Return the number of candidates as a logarithmic axis with a tick at each of `ns`."""
    axis = alt.Axis(values=list(ns), grid=False, format="d", labelOverlap=True)
    # A log axis needs two different ends.
    span = [min(ns), max(ns)] if len(ns) > 1 else [ns[0], ns[0] + 1]
    return alt.X("n:Q", title="candidates per problem (N)", axis=axis).scale(
        type="log", base=2, nice=False, domain=span
    )


def list_tooltips(measure: str) -> list[alt.Tooltip]:
    """Return what the tooltip of a point shows: selector, N and the measure in percent."""
    return [alt.Tooltip("selector:N"), alt.Tooltip("n:Q", title="N"), alt.Tooltip(f"{measure}:Q", format=".1%")]


def order_by_height(data: ChartData, measure: str) -> list[str]:
    """Return the selectors in the order of `measure` at their largest n, highest first."""
    rows = sorted(data, key=lambda row: row["n"])
    heights = {str(row["selector"]): float(row[measure] or 0.0) for row in rows}
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
            is_argmax = _reads_scores_alone(name)
            dash, shape = (_DASHED, "triangle-up") if is_argmax else (_SOLID, "circle")
            styles[name] = Style(families[_family(name)], dash, shape)
            continue
        number = counts[role] = counts.get(role, -1) + 1
        colours = ROLE_COLOURS[role]
        styles[name] = Style(colours[number % len(colours)], _LONG_DASHED if role == "bound" else _SOLID)
    return styles


def encode_selectors(selectors: Sequence[str], styles: Mapping[str, Style]) -> dict[str, Any]:
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


def apply_style(
    chart: Any, title: str, subtitle: str | Sequence[str], size: tuple[int, int] | None = (WIDTH, HEIGHT)
) -> Any:
    """Return a chart with a title and the common fonts and lines. `size` None: its parts have sizes of their own."""
    if size is not None:
        chart = chart.properties(width=size[0], height=size[1])
    heading = alt.TitleParams(title, subtitle=subtitle if isinstance(subtitle, str) else list(subtitle))
    return (
        chart.properties(title=heading, usermeta=_EMBEDDING)
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


def _reads_scores_alone(selector: str) -> bool:
    """Return whether a selector picks by the scores of one scorer without comparing answers: the argmax."""
    if selector.startswith(STORED_PREFIX):
        return False
    try:
        spec = find_spec("selector", selector)
    except (ConfigError, UnavailableError):  # a published selector, or one that only this comparison has
        return False
    return spec.reads_scores and "answers" not in spec.needs


def _family(selector: str) -> str:
    """Return the scorer that a selector reads; a selector without one is a family of its own."""
    return selector.partition(":")[2] or selector
