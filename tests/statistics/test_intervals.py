import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.statistics import intervals as module
from nbest.statistics.intervals import (
    Within,
    clustered_standard_error,
    interval,
    intervals,
    paired_difference,
    percentiles,
)


def test_standard_error_by_hand():
    # Values 0, 1, 1, 0: mean 1/2, s^2 = 4 * (1/2)^2 / 3 = 1/3, standard error = sqrt(1/3 / 4).
    assert clustered_standard_error([0.0, 1.0, 1.0, 0.0]) == pytest.approx(np.sqrt(1 / 12))


def test_interval_holds_the_mean_and_agrees_with_the_analytic_error():
    values = np.random.default_rng(3).random(400)
    result = interval(values, seed=1)
    assert result.mean == pytest.approx(values.mean())
    # The percentile bootstrap of a mean of 400 is close to normal: mean +- 1.96 standard errors.
    assert result.low == pytest.approx(result.mean - 1.96 * result.standard_error, abs=0.1 * result.standard_error)
    assert result.high == pytest.approx(result.mean + 1.96 * result.standard_error, abs=0.1 * result.standard_error)
    assert result.problems == 400


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).random(30)
    assert interval(values, seed=5) == interval(values, seed=5)
    assert interval(values, seed=5) != interval(values, seed=6)


def test_one_problem_has_a_mean_but_no_interval():
    result = interval([0.25], seed=0)
    assert (result.mean, result.low, result.high, result.standard_error, result.problems) == (0.25, None, None, None, 1)


def test_no_problem_has_nothing():
    result = interval([np.nan, np.nan], seed=0, resamples=10)
    assert (result.mean, result.low, result.problems) == (None, None, 0)
    assert intervals(np.empty((0, 1)), seed=0)[0].mean is None


def test_problems_without_a_value_are_left_out():
    result = interval([1.0, 0.0, np.nan, np.nan, np.nan], seed=0)
    assert (result.mean, result.problems) == (0.5, 2)
    assert (result.low, result.high) == (0.0, 1.0)


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
    result = paired_difference(base + 0.1, base, seed=0)
    assert result.interval.mean == pytest.approx(0.1)
    assert (result.interval.low, result.interval.high) == pytest.approx((0.1, 0.1))
    assert result.differing == 50


def test_paired_difference_counts_only_problems_that_differ():
    result = paired_difference([1.0, 0.5, np.nan, 1.0], [0.0, 0.5, 1.0, 1.0], seed=0)
    assert (result.differing, result.interval.problems) == (1, 3)


def test_the_interval_covers_about_as_often_as_it_says():
    # Truth 0.6, 60 problems of Bernoulli trials, 200 repeats: 95 % +- 3 standard deviations of a count (9).
    rng = np.random.default_rng(11)
    table = (rng.random((60, 200)) < 0.6).astype(float)
    results = intervals(table, seed=0, resamples=2000)
    covered = sum(result.low <= 0.6 <= result.high for result in results)
    assert 180 <= covered <= 200


def test_a_table_is_needed():
    with pytest.raises(ConfigError, match=r"\[P, R\]"):
        intervals(np.zeros(3), seed=0)


def test_samples_of_the_same_problems_have_their_own_spread():
    # The values never vary between problems, only their samples do: by +-0.2 in each of four resampled pools.
    deviations = np.array([0.2, -0.2, 0.2, -0.2])[:, None, None] * np.ones((4, 9, 1))
    values = np.full((9, 1), 0.5)
    (result,) = intervals(values, seed=0, resamples=2000, within=Within(deviations, keeps_problems=True))
    assert result.standard_error == pytest.approx(np.sqrt(9 * 0.16 / 3) / 9)  # of four: 4 * 0.04 / 3
    # Each of nine is +0.2 or -0.2 with 1/2: the mean of nine has the spread 0.2 / 3.
    assert (result.low, result.high) == pytest.approx((0.5 - 0.133, 0.5 + 0.133), abs=0.05)
    (problems,) = intervals(values, seed=0, resamples=2000)
    assert (problems.low, problems.high) == (0.5, 0.5)


def test_both_levels_are_wider_than_either():
    rng = np.random.default_rng(0)
    values = rng.random((40, 1))
    deviations = rng.normal(0, 0.2, (50, 40, 1))
    deviations -= deviations.mean(axis=0)
    kinds = (None, Within(deviations, keeps_problems=True), Within(deviations, keeps_problems=False))
    problems, samples, both = (intervals(values, seed=0, within=within)[0] for within in kinds)
    widths = [result.high - result.low for result in (problems, samples, both)]
    assert widths[2] == pytest.approx(np.hypot(widths[0], widths[1]), rel=0.05)  # independent: squares add
    assert both.standard_error == problems.standard_error  # the values' own spread holds both already


def test_undefined_values_stay_undefined_when_samples_move():
    values, deviations = np.array([[0.5, np.nan], [0.7, np.nan]]), np.zeros((3, 2, 2))
    first, second = intervals(values, seed=0, resamples=20, within=Within(deviations, keeps_problems=True))
    assert (first.low, first.high) == pytest.approx((0.6, 0.6))
    assert (second.mean, second.low, second.standard_error) == (None, None, None)


def test_deviations_must_fit():
    with pytest.raises(ConfigError, match=r"\[B, P, R\] with B at least 2"):
        intervals(np.zeros((3, 1)), seed=0, within=Within(np.zeros((1, 3, 1)), keeps_problems=True))


def test_percentiles_are_those_of_numpy():
    means = np.random.default_rng(0).random((501, 4))
    means[::7, 1] = np.nan
    means[:, 3] = np.nan
    expected = np.nanquantile(means[:, :3], [0.025, 0.975], axis=0)
    result = percentiles(means, 0.95)
    assert result[:, :3] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(result[:, 3]).all()
