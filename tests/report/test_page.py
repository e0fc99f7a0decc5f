import re

from nbest.measuring.comparison import Comparison, Row
from nbest.report.page import write_page

ROWS = tuple(Row("majority", n, 0.5, 0.4, 0.6, True, 0.1, 100.0, 0.05, 0.0, 9) for n in (1, 4))


def test_the_page_holds_table_curve_facts_and_loads_nothing(tmp_path):
    comparison = Comparison(9, 4, ROWS, skipped={"score:a": "score:a: no scores"}, warnings=("n=4: one is left out",))
    path = tmp_path / "report" / "report.html"
    write_page(path, "A <title>", comparison, {"policy": "bundled:arithmetic", "seed": "0 & 1"})
    page = path.read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<td class='word'>majority</td><td>50.0</td><td>50.0</td><td>40.0 to 60.0</td>" in page
    assert "<dt>policy</dt><dd>bundled:arithmetic</dd>" in page
    assert "A &lt;title&gt;" in page
    assert "0 &amp; 1" in page
    assert "n=4: one is left out" in page
    assert "left out: score:a: no scores" in page
    assert re.findall(r"<script|<link|\bsrc=|url\(|@import", page) == []


def test_empty_sections_are_left_out(tmp_path):
    write_page(tmp_path / "page.html", "Demo", Comparison(9, 4, ROWS), {})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The run" not in page
    assert "Left out" not in page
