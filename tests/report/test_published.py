"""Published tables: averages recomputed from counts, and published rows beside a user's own."""

import json
from pathlib import Path

import pytest

from nbest.errors import ConfigError
from nbest.measuring.comparison import AccuracyRow, Comparison, Paired
from nbest.problems.benchmarks import find_benchmark
from nbest.report.published import (
    ROUNDING_POINTS,
    describe_published,
    draw_published,
    merge_published,
    published_json,
    published_names,
    published_rows,
    published_table,
    tabulate_published,
    write_published,
)
from nbest.report.rendering import render_svg


def own(*ns: int) -> Comparison:
    names = ("majority", "score:mine", "oracle")
    rows = tuple(
        AccuracyRow(name, n, 0.4 + position / 10, 0.3, 0.8, True, 0.1, 7.0, 0.1, 0.0, 9)
        for position, name in enumerate(names)
        for n in ns
    )
    paired = (Paired("score:mine", "majority", ns[-1], 0.1, 0.0, 0.2, 0.1, 0.1, 9, 3),)
    return Comparison(9, max(ns), rows, paired=paired, roles={"oracle": "bound", "majority": "baseline"})


def test_names():
    assert published_names() == ["trajselector", "genselect-rl"]
    with pytest.raises(ConfigError, match="trajselector, genselect-rl"):
        published_table("other")
    with pytest.raises(ConfigError, match="majority"):
        published_rows("trajselector", ["majority", "nonesuch"])


def test_averages_are_recomputed_from_the_counts():
    rows = {(row.selector, row.n): row for row in published_rows("trajselector")}
    # (37/40 + 20/30 + 16/30 + 29/100 + 10/30 + 18/30) / 6
    # = (.925 + .66667 + .53333 + .29 + .33333 + .6) / 6 = 3.34833 / 6 = .558056
    assert rows["TrajSelector", 16].accuracy == pytest.approx(0.558056, abs=1e-6)
    assert rows["TrajSelector", 16].values[0] == 0.925
    recomputed = {key: round(100 * row.accuracy, 2) for key, row in rows.items() if row.mark == "recomputed"}
    # The print says 62.67, 49.97, 71.83 and 46.67; that of EurusPRM is not known to us.
    assert recomputed == {
        ("pass@N", 16): 68.22,
        ("ReasonEval-7B", 16): 49.78,
        ("pass@N", 32): 70.17,
        ("Math-Shepherd", 32): 44.67,
        ("EurusPRM", 32): 54.67,
    }
    agreeing = [row for row in rows.values() if row.mark == "agrees"]
    assert len(agreeing) == 17
    assert all(abs(100 * row.accuracy - (row.printed or 0)) < ROUNDING_POINTS for row in agreeing)


def test_rows_without_counts_are_the_printed_average():
    rows = [row for row in published_rows("trajselector") if row.mark == "printed"]
    assert {row.n for row in rows} == {1, 5, 10, 48, 64}
    assert len(rows) == 13
    assert all(row.accuracy == pytest.approx((row.printed or 0) / 100) and not row.counts for row in rows)


def test_the_benchmarks_are_those_of_the_table_of_benchmarks():
    for name in published_names():
        table = published_table(name)
        counts = [find_benchmark(benchmark).problems for benchmark in table.benchmarks]
        assert list(table.problems) in ([], counts)
        assert set(table.averaged) <= set(table.benchmarks)
        assert set(table.default_selectors) <= set(table.selectors)


def test_137_against_124_of_260_problems():
    rows = {row.selector: row for row in published_rows("trajselector") if row.n == 32}
    assert sum(rows["TrajSelector"].counts) == 137
    assert sum(rows["majority"].counts) == 124
    assert sum(published_table("trajselector").problems) == 260


def test_a_benchmark_that_is_not_averaged_may_have_no_value():
    rows = {row.selector: row for row in published_rows("genselect-rl")}
    # (63.33 + 52.56 + 25.00) / 3 = 140.89 / 3 = 46.9633
    assert 100 * rows["majority"].accuracy == pytest.approx(46.96333, abs=1e-4)
    assert rows["majority"].values[-1] is None
    assert "second hand" in describe_published("genselect-rl")


def test_rows_are_by_selector_and_n():
    rows = published_rows("trajselector", ["EurusPRM", "majority"])
    assert [(row.selector, row.n) for row in rows] == [
        (name, n) for name in ("EurusPRM", "majority") for n in (5, 10, 16, 32, 48, 64)
    ]


def test_merged_table_has_both_and_dashes_where_nothing_is():
    merged = merge_published(own(1, 16), "trajselector", ["TrajSelector", "one sample"])
    assert merged.ns == [1, 5, 10, 16, 32, 48, 64]
    cells = {row[0]: row[1:8] for row in merged.accuracy_table().rows}
    assert cells["majority"] == ["40.0", "-", "-", "40.0", "-", "-", "-"]
    assert cells["TrajSelector (published)"] == ["-", "52.0", "53.2", "55.8", "58.8", "61.3", "63.5"]
    assert cells["one sample (published)"][0] == "46.6"
    assert merged.paired == ()
    assert merged.warnings[-1].startswith("published: arXiv 2510.16449v1, average of amc23")
    published = [row for row in merged.rows if row.selector.endswith("(published)") and row.accuracy is not None]
    assert all(row.low is None and row.problems == 260 for row in published)


def test_the_table_keeps_own_intervals():
    heads, rows = tabulate_published(own(1, 16), "trajselector", ["TrajSelector"])
    assert heads == ["selector", *(f"N={n}" for n in (1, 5, 10, 16, 32, 48, 64)), "95% interval at N=16"]
    assert rows[0] == ["majority", "40.0", "-", "-", "40.0", "-", "-", "-", "30.0 to 80.0"]
    assert rows[-1] == ["TrajSelector (published)", "-", "52.0", "53.2", "55.8", "58.8", "61.3", "63.5", "-"]


def test_json_is_plain():
    table = json.loads(json.dumps(published_json("trajselector")))
    assert table["rows"][0] == {
        "selector": "one sample",
        "n": 1,
        "accuracy": 0.4656,
        "mark": "printed",
        "printed": 46.56,
        "counts": [],
        "values": [],
    }


def test_files_are_written(tmp_path: Path):
    write_published(own(4), "trajselector", tmp_path / "new" / "a.png", tmp_path / "new" / "a.html")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "TrajSelector (published)" in (tmp_path / "new" / "a.html").read_text()


def test_the_chart_draws_both():
    chart = draw_published(own(1, 4, 16), "trajselector")
    spec = str(chart.to_dict())
    for name in ("score:mine", "TrajSelector (published)", "majority (published)", "EurusPRM (published)"):
        assert name in spec
    assert "ReasonEval" not in spec
    assert render_svg(chart).startswith("<svg")
