import numpy as np
import pytest

from nbest.measuring.pairing import pair_with_baseline
from nbest.statistics.intervals import paired_difference
from nbest.statistics.permutation import holm

NAN = float("nan")


def make_values(problems=60):
    rng = np.random.default_rng(0)
    base = rng.random((problems, 2))
    return {
        "majority": base,
        "better": base + rng.normal(0.1, 0.1, base.shape),
        "same": base + 1e-15,
        "noise": base + rng.normal(0, 0.2, base.shape),
    }


def test_rows_are_those_of_paired_difference_corrected_over_selectors_at_each_n():
    values = make_values()
    rows = pair_with_baseline(values, [4, 8], "majority", seed=3, resamples=500)
    assert [(row.selector, row.n) for row in rows] == [(s, n) for s in ("better", "same", "noise") for n in (4, 8)]
    for row in rows:
        column = [4, 8].index(row.n)
        expected = paired_difference(
            values[row.selector][:, column], values["majority"][:, column], seed=3, resamples=500
        )
        interval = (row.difference, row.low, row.high)
        assert interval == pytest.approx((expected.interval.mean, expected.interval.low, expected.interval.high))
        assert (row.problems, row.problems_differing) == (60, expected.differing)
    for n in (4, 8):
        at_n = [row for row in rows if row.n == n]
        assert [row.p_holm for row in at_n] == pytest.approx(holm([row.p_value for row in at_n]).tolist())
    better, same = rows[0], rows[2]
    assert better.p_holm < 0.01
    assert (same.difference, same.p_value, same.problems_differing) == (0.0, 1.0, 0)


def test_problems_without_a_value_are_left_out():
    values = {"majority": np.array([[0.5, NAN], [0.0, NAN]]), "score:a": np.array([[1.0, NAN], [NAN, NAN]])}
    first, second = pair_with_baseline(values, [1, 2], "majority", seed=0, resamples=100)
    assert (first.difference, first.problems, first.problems_differing, first.p_value) == (0.5, 1, 1, 1.0)
    assert (first.low, first.high) == (None, None)
    assert (second.difference, second.p_value, second.p_holm, second.problems) == (None, None, None, 0)


@pytest.mark.parametrize("names", [("score:a",), ("majority",)])
def test_nothing_to_pair(names):
    assert pair_with_baseline({name: np.zeros((3, 1)) for name in names}, [1], "majority", 0, 100) == []
