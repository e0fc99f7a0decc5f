# pyright: reportUnknownMemberType=false
"""Draws Altair definitions as PNG, SVG or HTML without any network, and writes the files of a report.

A page contains every chart twice as SVG: as it was defined, and for narrow screens with a smaller plot, the legend
below it and wrapped titles. What the page says once is left out of both. All text of a chart is shown as text
(`text.visible`). This module does not know what charts show.
"""

import re
import textwrap
from pathlib import Path
from typing import Any, TypeAlias, cast

import altair as alt
import vl_convert

from nbest.report.page_style import CHART_STYLE
from nbest.storage.outputs import check_output
from nbest.storage.outputs import write_file as write_output
from nbest.text.visible import show_line

Chart: TypeAlias = alt.LayerChart | alt.FacetChart | alt.Chart | alt.VConcatChart | alt.HConcatChart
ChartSpec: TypeAlias = dict[str, Any]
"""The definition of a chart in Vega-Lite."""

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
"""The font of charts and of the page around them."""
NARROW_WIDTH = 272
"""The width in pixels of a plot on a narrow screen: with its axis it fills a screen of 390."""
NARROW_SCREEN = 358
"""The width in pixels of a chart that need not be scaled down there."""
NARROWEST_SHARE = 0.6
"""The least width of a plot, as a share of that on a wide screen."""
_TITLE_CHARACTERS, _SUBTITLE_CHARACTERS = 40, 54
_PNG_SCALE = 2.0
_LONG_DECIMAL = re.compile(r"-?\d*\.\d{3,}(?:e-?\d+)?")
_NUMBERS = re.compile(r' (?:d|transform|[xy][12]?|width|height)="[^"]*"')
_REPEATED = re.compile(
    r' xmlns:xlink="[^"]*"'
    rf'| font-family="{re.escape(FONT)}"'
    r'| opacity="1"| pointer-events="none"'
    r'|<path class="(?:foreground|background)"[^>]* d="(?:M0,0h0v0h0Z)?"[^>]*/>'
)
"""What SVG or the page says already, and frames without extent."""


def write_chart_files(chart: Chart, png_path: Path, html_path: Path) -> None:
    """Write any chart as PNG and as an HTML page that holds its own JavaScript, light or dark. Raises StorageError."""
    write_png(chart, png_path)
    page = vl_convert.vegalite_to_html(_make_spec(chart), bundle=True, renderer="svg")
    head = f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<style>{CHART_STYLE}</style>\n"
    before, end, after = page.rpartition("</head>")
    write_file(html_path, f"{before}{head}{end}{after}".encode())


def write_png(chart: Chart, path: Path) -> None:
    """Write a chart as PNG. Raises StorageError."""
    write_file(path, vl_convert.vegalite_to_png(_make_spec(chart), scale=_PNG_SCALE))


def render_svg(chart: Chart) -> str:
    """Return the chart as SVG markup."""
    return vl_convert.vegalite_to_svg(_make_spec(chart))


def render_page_svgs(chart: Chart) -> tuple[str, str]:
    """Return the chart as SVG markup for wide and for narrow screens, without a background of its own."""
    spec = _make_spec(chart)
    spec["config"] = {**spec.get("config", {}), "background": None}
    narrow = _render_narrow(_narrow_spec(spec), spec.get("width", 0))
    return _shorten(vl_convert.vegalite_to_svg(spec)), _shorten(narrow)


def _shorten(svg: str) -> str:
    """Return SVG markup that looks the same within a page in `FONT`, rounded to a hundredth of a pixel."""

    def round_all(match: re.Match[str]) -> str:
        return _LONG_DECIMAL.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), match[0])

    return _NUMBERS.sub(round_all, _REPEATED.sub("", svg))


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a report whole or not at all, and create its folder.

    Raises ConfigError for a path inside a run, except in its folder `report`; StorageError.
    """
    check_output(path)
    write_output(path, content)


def _make_spec(chart: Chart) -> ChartSpec:
    return cast(ChartSpec, _show_texts(chart.to_dict()))


def _show_texts(value: Any) -> Any:
    """Return plain values with the hidden characters of all strings as escapes."""
    if isinstance(value, str):
        return show_line(value)
    if isinstance(value, dict):
        return {_show_texts(key): _show_texts(entry) for key, entry in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_show_texts(entry) for entry in cast("list[Any]", value)]
    return value


def _render_narrow(spec: ChartSpec, full_width: float) -> str:
    """Return the chart for narrow screens as SVG; a plot with long labels beside it is made narrower, within reason."""
    svg = vl_convert.vegalite_to_svg(spec)
    match = re.search(r'width="(\d+)"', svg)
    excess = int(match[1]) - NARROW_SCREEN if match else 0
    if excess <= 0 or "width" not in spec:
        return svg
    width = max(spec["width"] - excess, min(spec["width"], NARROWEST_SHARE * full_width))
    return vl_convert.vegalite_to_svg(spec | {"width": width})


def _narrow_spec(spec: ChartSpec) -> ChartSpec:
    """Return the definition of a chart for narrow screens."""
    config = dict(spec["config"])
    config["padding"] = 4
    config["legend"] = {**config.get("legend", {}), "orient": "bottom", "columns": 1, "offset": 8}
    title = dict(spec.get("title", {}))
    title["text"] = textwrap.wrap(title.get("text", ""), _TITLE_CHARACTERS)
    subtitle = title.get("subtitle", [])
    lines = [subtitle] if isinstance(subtitle, str) else subtitle
    title["subtitle"] = [part for line in lines for part in textwrap.wrap(line, _SUBTITLE_CHARACTERS)]
    narrow = spec | {"config": config, "title": title}
    if "facet" in spec:
        panel = spec["spec"]
        narrow |= {"columns": 1, "spec": panel | {"width": min(panel["width"], NARROW_WIDTH)}}
    elif "width" in spec:
        narrow["width"] = min(spec["width"], NARROW_WIDTH)
    return narrow
