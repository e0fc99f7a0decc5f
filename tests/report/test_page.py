"""The page of a report: dark where the reader wants it, readable on a phone, and plain text in all of it."""

import json
import re
from dataclasses import replace

import pytest

from nbest.measuring.comparison import AccuracyRow, Comparison
from nbest.measuring.question import Question
from nbest.report.blocks import Cell, PageSection, Table
from nbest.report.building import build_report
from nbest.report.charts import draw_accuracy, write_chart
from nbest.report.colours import COLOURS, DARK_COLOURS, INK, MUTED, ROLE_COLOURS, RULE
from nbest.report.html import render_html
from nbest.report.page_style import CHART_STYLE
from nbest.report.rendering import FONT, render_page_svgs, render_svg
from nbest.report.writing import write_report

RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}
POOLS = [[RIGHT, RIGHT, WRONG, WRONG], [WRONG, RIGHT, WRONG, WRONG], [RIGHT, RIGHT, WRONG, RIGHT]]
HOSTILE = "<b>[bold]\x1b[2J\u202e\x00\x9b"


@pytest.fixture
def page(make_run, strings, tmp_path):
    pools = [[row | {"scores": {"a": 0.1 * index}} for index, row in enumerate(pool)] for pool in POOLS]
    names = ["random", "majority", "score:a", "vote:a", "oracle"]
    report = build_report([make_run(*pools)], Question(names, [1, 2, 4], resamples=200), strings)
    return write_report(report, tmp_path)["html"].read_text(encoding="utf-8")


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_dark_page_is_asked_for_by_the_reader(page):
    style = page.split("<style>")[1].split("</style>")[0]
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert style.count("{") == style.count("}")
    # All colours of charts have one for a dark page, but for the shade of a matrix, which suits both.
    charts = "".join(re.findall(r"<figure>.*?</figure>", page, re.DOTALL))
    colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6}|white|black)"', charts))
    assert colours - {"#2460e6", "white"} <= DARK_COLOURS.keys()
    assert 'fill="white"/>' not in charts  # no chart has a background of its own
    for colour in colours & DARK_COLOURS.keys():
        assert f"[fill='{colour}'] {{ fill: {DARK_COLOURS[colour]}; }}" in style
    assert "style='background:var(--2563eb,#2563eb)'" in page
    assert f"--2563eb: {DARK_COLOURS['#2563eb']};" in style


def test_dark_colours_can_be_seen_and_told_apart():
    lines = [*COLOURS, *(colour for colours in ROLE_COLOURS.values() for colour in colours)]
    assert all(contrast(DARK_COLOURS[colour], "#16191f") >= 3 for colour in lines)
    assert all(contrast(DARK_COLOURS[colour], "#16191f") >= 4.5 for colour in (INK, MUTED))
    assert contrast(DARK_COLOURS[RULE], "#16191f") > 1.2
    assert len({DARK_COLOURS[colour] for colour in COLOURS}) == len(COLOURS)


def test_a_phone_gets_charts_of_its_width(page):
    narrow = re.findall(r"<div class='narrow'><svg[^>]*?width=\"(\d+)\"", page)
    wide = re.findall(r"<div class='wide'><svg[^>]*?width=\"(\d+)\"", page)
    assert len(narrow) == len(wide) == page.count("<figure>")
    # A screen of 390 pixels has 354 for the page: text of 12 pixels stays above 9.
    assert all(int(width) <= 354 * 12 / 9 for width in narrow)
    assert max(map(int, wide)) > 600


def test_the_page_of_one_chart_has_the_same_dark_colours(tmp_path):
    row = AccuracyRow("majority", 1, 0.4, 0.3, 0.5, True, 0.1, None, 0.1, 0.0, 9)
    comparison = Comparison(9, 2, (row, replace(row, n=2, accuracy=0.5, high=0.6)), roles={"majority": "baseline"})
    write_chart(comparison, tmp_path / "a.png", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    head, style = page.rpartition("</head>")[0], CHART_STYLE
    assert f"<style>{style}</style>" in head
    assert "name='viewport'" in head
    assert style.count("{") == style.count("}")
    dark = style.split("@media screen and (prefers-color-scheme: dark)")[1]
    for light, colour in DARK_COLOURS.items():
        for attribute in ("fill", "stroke"):
            assert f".vega-embed svg [{attribute}='{light}'] {{ {attribute}: {colour}; }}" in dark
    # Rules on attributes need a chart that is drawn as SVG, and its colours are among those that have a dark one.
    assert re.search(r'"renderer": ?"svg"', page)
    colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', render_svg(draw_accuracy(comparison))))
    assert colours
    assert colours <= DARK_COLOURS.keys()


def test_charts_of_a_page_repeat_nothing_that_it_says_and_look_the_same(page):
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert charts
    for chart in charts:
        assert "font-family" not in chart  # that of the page
        numbers = re.findall(r' (?:d|transform|[xy][12]?)="([^"]*)"', chart)
        assert numbers
        assert not [text for text in numbers if re.search(r"\.\d{3}|e-?\d", text)]
    assert f"font: 15px/1.55 {FONT}" in page


def test_a_short_chart_has_the_marks_of_the_long_one():
    rows = [
        AccuracyRow(name, n, 0.4 + 0.01234567 * n * place, 0.3, 0.5, True, 0.1, None, 0.1, 0.0, 9)
        for place, name in enumerate(("random", "majority", "oracle"))
        for n in (1, 2, 3)
    ]
    chart = draw_accuracy(Comparison(9, 3, tuple(rows)))
    long, (short, _) = render_svg(chart), render_page_svgs(chart)
    assert len(short) < 0.75 * len(long)
    for mark in ("<text", "<line", "aria-label=", "mark-line", "mark-symbol"):
        assert short.count(mark) == long.count(mark), mark
    whole = [float(number) for number in re.findall(r"translate\(([-\d.e]+),", long)]
    rounded = [float(number) for number in re.findall(r"translate\(([-\d.e]+),", short)]
    assert rounded == pytest.approx(whole, abs=0.006)


def test_a_table_says_where_it_scrolls():
    def estimate(columns):
        table = Table(
            ["selector", *(f"N={n}" for n in range(columns))], [[Cell("majority"), *[Cell("39.7")] * columns]]
        )
        text = render_html("t", "", [PageSection("s", "", [table])])
        assert "<p class='hint'>" in text
        return [int(width) for width in re.findall(r"--(?:wide|narrow):(\d+)px", text)]

    assert max(estimate(2)) < 354
    assert min(estimate(12)) > 354
    assert estimate(4) < estimate(5)


def test_hidden_characters_are_shown_in_every_file(make_run, strings, tmp_path):
    name = HOSTILE.replace("\x00", "")
    pools = [[row | {"answer": f"{HOSTILE}{row['answer']}", "text": HOSTILE} for row in pool] for pool in POOLS]
    run = make_run(*pools, name=name, metas=[{"by": HOSTILE}] * 3, info={"nbest": HOSTILE})
    run.append_selections("majority", [])
    other = make_run(*pools, name="other\u2066", metas=[{"by": HOSTILE}] * 3)
    question = Question(["random", "majority", "oracle"], [1, 4], resamples=200, by="by")
    paths = write_report(build_report([run, other], question, strings, HOSTILE), tmp_path / "out")
    for kind in ("html", "md", "json"):
        text = paths[kind].read_text(encoding="utf-8")
        assert not re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), kind
    assert "[bold]\\x1b[2J\\u202e" in paths["html"].read_text(encoding="utf-8")
    assert "<b>" not in paths["html"].read_text(encoding="utf-8")
    assert json.loads(paths["json"].read_text(encoding="utf-8"))["title"] == HOSTILE
    for picture, path in paths.items():
        if picture not in ("html", "md", "json"):
            assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
