import numpy as np
import pytest

from bestofn.errors import ConfigError
from bestofn.metrics import intervals as module
from bestofn.metrics.intervals import clustered_standard_error, interval, intervals, paired_difference


def test_standard_error_by_hand():
    # Values 0, 1, 1, 0: mean 1/2, s^2 = 4 * (1/2)^2 / 3 = 1/3, standard error = sqrt(1/3 / 4).
    assert clustered_standard_error([0.0, 1.0, 1.0, 0.0]) == pytest.approx(np.sqrt(1 / 12))


def test_interval_holds_the_mean_and_agrees_with_the_analytic_error():
    values = np.random.default_rng(3).random(400)
    found = interval(values, seed=1)
    assert found.mean == pytest.approx(values.mean())
    # The percentile bootstrap of a mean of 400 is close to normal: mean +- 1.96 standard errors.
    assert found.low == pytest.approx(found.mean - 1.96 * found.standard_error, abs=0.1 * found.standard_error)
    assert found.high == pytest.approx(found.mean + 1.96 * found.standard_error, abs=0.1 * found.standard_error)
    assert found.problems == 400


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).random(30)
    assert interval(values, seed=5) == interval(values, seed=5)
    assert interval(values, seed=5) != interval(values, seed=6)


def test_one_problem_has_a_mean_but_no_interval():
    found = interval([0.25], seed=0)
    assert (found.mean, found.low, found.high, found.standard_error, found.problems) == (0.25, None, None, None, 1)


def test_no_problem_has_nothing():
    found = interval([np.nan, np.nan], seed=0, resamples=10)
    assert (found.mean, found.low, found.problems) == (None, None, 0)
    assert intervals(np.empty((0, 1)), seed=0)[0].mean is None


def test_problems_without_a_value_are_left_out():
    found = interval([1.0, 0.0, np.nan, np.nan, np.nan], seed=0)
    assert (found.mean, found.problems) == (0.5, 2)
    assert (found.low, found.high) == (0.0, 1.0)


def test_chunks_do_not_change_the_result(monkeypatch):
    table = np.random.default_rng(1).random((20, 5))
    whole = intervals(table, seed=4, resamples=500)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 1000)  # two columns at once
    for split, joined in zip(intervals(table, seed=4, resamples=500), whole, strict=True):
        assert (split.low, split.high) == pytest.approx((joined.low, joined.high), rel=1e-12)  # sums in another order


def test_columns_are_resampled_together():
    values = np.random.default_rng(2).random(50)
    first, second = intervals(np.stack([values, values + 0.25], axis=1), seed=0, resamples=200)
    assert second.low == pytest.approx(first.low + 0.25)


def test_paired_difference_is_of_the_same_problems():
    # A constant gap has no spread, although both selectors vary widely over problems.
    base = np.random.default_rng(2).random(50)
    found = paired_difference(base + 0.1, base, seed=0)
    assert found.interval.mean == pytest.approx(0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.1))
    assert found.differing == 50


def test_paired_difference_counts_only_problems_that_differ():
    found = paired_difference([1.0, 0.5, np.nan, 1.0], [0.0, 0.5, 1.0, 1.0], seed=0)
    assert (found.differing, found.interval.problems) == (1, 3)


def test_the_interval_covers_about_as_often_as_it_says():
    # Truth 0.6, 60 problems of Bernoulli trials, 200 repeats: 95 % +- 3 standard deviations of a count (9).
    rng = np.random.default_rng(11)
    table = (rng.random((60, 200)) < 0.6).astype(float)
    found = intervals(table, seed=0, resamples=2000)
    covered = sum(each.low <= 0.6 <= each.high for each in found)
    assert 180 <= covered <= 200


def test_a_table_is_needed():
    with pytest.raises(ConfigError, match=r"\[P, R\]"):
        intervals(np.zeros(3), seed=0)
