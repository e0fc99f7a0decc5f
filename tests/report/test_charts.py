import re

import pytest

from nbest.errors import StorageError
from nbest.measuring.comparison import AccuracyRow, Comparison
from nbest.report.charts import choose_styles, draw_accuracy, write_chart
from nbest.report.rendering import render_svg
from tests.graded_runs import ROLES


def comparison_of(*ns, selectors=("random", "majority", "oracle"), low=0.3, problems=9):
    rows = tuple(
        AccuracyRow(name, n, 0.4 + position / 10, low, low and 0.8, True, 0.1, None, 0.1, 0.0, problems)
        for position, name in enumerate(selectors)
        for n in ns
    )
    return Comparison(problems, max(ns), rows, roles=ROLES)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new"
    write_chart(comparison_of(1, 2, 4), folder / "curve.png", folder / "curve.html")
    return folder


def test_png_is_a_picture(written):
    assert (written / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_html_loads_nothing_from_the_network(written):
    page = (written / "curve.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*\bsrc", page) == []
    assert re.findall(r"<link\b", page) == []
    assert re.findall(r"@import|url\(\s*[\"']?https?:", page) == []
    assert re.findall(r"\bimport\s*\(?\s*[\"']https?:|\bfrom\s*[\"']https?:", page) == []
    assert '"selector":"majority"' in page.replace(" ", "").replace("\n", "")


def test_undefined_rows_are_not_drawn_and_a_missing_interval_has_no_band():
    rows = (
        *comparison_of(1, 2, low=None).rows,
        AccuracyRow("late", 4, None, None, None, True, 0.1, None, None, None, 0),
    )
    spec = draw_accuracy(Comparison(9, 2, rows)).to_dict()
    values = spec["layer"][0]["data"]["values"] if "data" in spec["layer"][0] else spec["data"]["values"]
    assert {value["selector"] for value in values} == {"random", "majority", "oracle"}
    assert all(value["low"] is None for value in values)


@pytest.mark.parametrize(("problems", "words"), [(5, "95% intervals over problems"), (4, "no bands")])
def test_a_band_needs_five_problems(problems, words):
    spec = draw_accuracy(comparison_of(1, 2, problems=problems)).to_dict()
    assert words in spec["title"]["subtitle"]
    values = spec["layer"][0]["data"]["values"] if "data" in spec["layer"][0] else spec["data"]["values"]
    assert {value["low"] for value in values} == {0.3 if problems == 5 else None}


def test_bounds_are_grey_and_the_others_differ():
    spec = draw_accuracy(comparison_of(1, 2, selectors=("random", "majority", "score:a", "score:b"))).to_dict()
    scale = spec["layer"][1]["encoding"]["color"]["scale"]
    colours = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colours["random"] == "#9aa1ab"
    assert len(set(colours.values())) == 4


def test_the_argmax_of_a_scorer_is_dashed_and_votes_are_not():
    names = ["score:a", "vote:a", "stored:score:a", "score-like", "score:a (published)", "majority"]
    styles = choose_styles(names, ROLES)
    assert [name for name, style in styles.items() if style.shape == "triangle-up"] == ["score:a"]
    assert styles["score:a"].dash != styles["vote:a"].dash
    assert styles["score:a"].colour == styles["vote:a"].colour


def test_a_single_n_can_be_drawn():
    assert render_svg(draw_accuracy(comparison_of(4))).startswith("<svg")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"curve\.png: cannot be written"):
        write_chart(comparison_of(1), tmp_path / "file" / "curve.png", tmp_path / "curve.html")
