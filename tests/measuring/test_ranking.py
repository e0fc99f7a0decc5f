import pytest

from nbest.measuring.comparison import AccuracyRow, Comparison
from tests.graded_runs import ROLES


def row(selector, n, accuracy, tokens=None, error=None):
    return AccuracyRow(selector, n, accuracy, None, None, True, 0.1, tokens, error, 0.0, 9)


def compared(*rows):
    return Comparison(9, 4, rows, roles=ROLES)


def test_the_gap_is_what_a_perfect_selector_would_add():
    rows = (row("majority", 1, 0.4), row("oracle", 1, 0.4), row("majority", 4, 0.5), row("oracle", 4, 0.9))
    assert compared(*rows).gaps() == {
        ("majority", 1): 0.0,
        ("oracle", 1): 0.0,
        ("majority", 4): pytest.approx(0.4),
        ("oracle", 4): 0.0,
    }


def test_without_a_bound_or_an_accuracy_there_is_no_gap():
    assert list(compared(row("majority", 4, 0.5)).gaps().values()) == [None]
    assert list(compared(row("majority", 8, None), row("oracle", 8, None)).gaps().values()) == [None, None]


def test_the_front_holds_what_nothing_beats():
    rows = (
        row("a", 1, 0.4, 10.0),
        row("b", 1, 0.4, 10.0),  # as good for as much: both are on the front
        row("a", 2, 0.4, 20.0),  # no better for more
        row("b", 2, 0.6, 20.0),
        row("a", 4, 0.5, 40.0),  # worse than b at 2
        row("b", 4, 0.7, 40.0),
        row("oracle", 4, 1.0, 40.0),  # a bound
        row("c", 4, 0.9, None),  # cost unknown
        row("c", 8, None, 80.0),  # undefined
    )
    comparison = compared(*rows)
    assert comparison.pareto_front("sampled_tokens") == {("a", 1), ("b", 1), ("b", 2), ("b", 4)}
    assert comparison.pareto_front("flops") == set()


def test_ranked_by_the_largest_known_n_after_the_bounds():
    rows = (
        *(row("random", n, 0.9) for n in (1, 4)),
        *(row("x", n, value) for n, value in ((1, 0.9), (4, 0.5))),
        *(row("y", n, value) for n, value in ((1, 0.1), (4, 0.6))),
        *(row("z", n, value) for n, value in ((1, 0.55), (4, None))),
        *(row("oracle", n, 1.0) for n in (1, 4)),
    )
    assert compared(*rows).rank() == ["oracle", "random", "y", "z", "x"]


def test_of_picks_by_chance_the_more_exact_one_comes_first():
    rows = (row("first", 4, 0.4, error=0.06), row("random", 4, 0.41, error=0.03), row("oracle", 4, 0.9))
    assert compared(*rows).rank() == ["oracle", "random", "first"]
