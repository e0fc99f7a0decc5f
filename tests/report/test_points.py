import pytest

from nbest.measuring.comparison import Comparison, Row
from nbest.report.points import pareto_front, points_of
from nbest.report.result import choose_drawn, rank


def row(selector, n, accuracy, tokens=None):
    return Row(selector, n, accuracy, None, None, True, 0.1, tokens, None, 0.0, 9)


def test_the_gap_is_what_a_perfect_selector_would_add():
    rows = (row("majority", 1, 0.4), row("oracle", 1, 0.4), row("majority", 4, 0.5), row("oracle", 4, 0.9))
    gaps = {(p.selector, p.n): p.gap for p in points_of(Comparison(9, 4, rows))}
    assert gaps == {
        ("majority", 1): 0.0,
        ("oracle", 1): 0.0,
        ("majority", 4): pytest.approx(0.4),
        ("oracle", 4): 0.0,
    }


def test_without_a_bound_or_an_accuracy_there_is_no_gap():
    assert [p.gap for p in points_of(Comparison(9, 4, (row("majority", 4, 0.5),)))] == [None]
    found = points_of(Comparison(9, 4, (row("majority", 8, None), row("oracle", 8, None))))
    assert [p.gap for p in found] == [None, None]


def test_the_front_holds_what_nothing_beats():
    rows = (
        row("a", 1, 0.4, 10.0),
        row("b", 1, 0.4, 10.0),  # as good for as much: shares the place
        row("a", 2, 0.4, 20.0),  # no better for more
        row("b", 2, 0.6, 20.0),
        row("a", 4, 0.5, 40.0),  # worse than b at 2
        row("b", 4, 0.7, 40.0),
        row("oracle", 4, 1.0, 40.0),  # a bound
        row("c", 4, 0.9, None),  # cost unknown
        row("c", 8, None, 80.0),  # undefined
    )
    points = points_of(Comparison(9, 4, rows))
    wanted = {("a", 1), ("b", 1), ("b", 2), ("b", 4)}
    assert pareto_front(points, "sampled_tokens") == wanted
    assert {(p.selector, p.n) for p in points if "sampled_tokens" in p.front} == wanted
    assert pareto_front(points, "flops") == set()


def test_ranked_by_the_largest_known_n_after_the_bounds():
    rows = (
        *(row("random", n, 0.9) for n in (1, 4)),
        *(row("x", n, value) for n, value in ((1, 0.9), (4, 0.5))),
        *(row("y", n, value) for n, value in ((1, 0.1), (4, 0.6))),
        *(row("z", n, value) for n, value in ((1, 0.55), (4, None))),
        *(row("oracle", n, 1.0) for n in (1, 4)),
    )
    assert rank(points_of(Comparison(9, 4, rows))) == ["oracle", "random", "y", "z", "x"]


def test_charts_draw_the_best_and_one_of_those_that_are_alike():
    names = [f"s{place}" for place in range(9)]
    rows = [row(name, 4, 0.9 - place / 20) for place, name in enumerate(names)]
    rows += [row("twin", 4, 0.9), row("majority", 4, 0.1), row("first", 4, 0.2), row("random", 4, 0.2)]
    drawn = choose_drawn(points_of(Comparison(9, 4, tuple(rows))), "majority")
    assert drawn == ["random", "s0", "s1", "s2", "s3", "s4", "s5", "majority"]
