"""Aggregation by hand; a batch has the values of its single trajectories."""

import math

import numpy as np
import pytest

from nbest.errors import ConfigError, DataError
from nbest.scoring.aggregation import AGGREGATIONS, aggregate, aggregate_rows

BY_HAND = {
    "mean": 0.6,  # (0.9 + 0.4 + 0.5) / 3 = 1.8 / 3
    "min": 0.4,
    "last": 0.5,
    "product": 0.18,  # 0.9 * 0.4 = 0.36, times 0.5
    "geometric_mean": 0.18 ** (1 / 3),  # 0.5646
}


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_by_hand(how):
    assert aggregate([0.9, 0.4, 0.5], how) == pytest.approx(BY_HAND[how], rel=1e-12)


def test_a_constant_is_its_own_geometric_mean():
    assert aggregate([0.25, 0.25], "geometric_mean") == pytest.approx(0.25)


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_one_step_is_its_own_value(how):
    assert aggregate(np.array([0.5], dtype=np.float32), how) == pytest.approx(0.5)


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_no_steps_have_no_value(how):
    assert math.isnan(aggregate([], how))


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_step_without_score_leaves_the_trajectory_without_one(how, position):
    values = [0.9, 0.4, 0.5]
    values[position] = math.nan
    assert math.isnan(aggregate(values, how))


def test_one_zero_makes_the_geometric_mean_zero():
    assert aggregate([0.9, 0.0, 0.5], "geometric_mean") == 0.0


def test_a_negative_score_has_no_geometric_mean():
    with pytest.raises(DataError, match=r"at least 0.*-0\.5"):
        aggregate([0.9, -0.5], "geometric_mean")


def test_other_aggregations_take_negative_scores():
    assert aggregate([-2.0, 1.0], "mean") == -0.5
    assert aggregate([-2.0, 1.0], "min") == -2.0
    assert aggregate([-2.0, 1.0], "product") == -2.0


def test_a_long_product_underflows_where_the_geometric_mean_does_not():
    # 0.1 ** 400 = 1e-400 is below the smallest float64; its 400th root is 0.1.
    assert aggregate([0.1] * 400, "product") == 0.0
    assert aggregate([0.1] * 400, "geometric_mean") == pytest.approx(0.1)


def test_infinite_scores_follow_the_arithmetic_without_a_warning():
    assert aggregate([math.inf, 1.0], "mean") == math.inf
    assert math.isnan(aggregate([math.inf, 0.0], "product"))


def test_rows_by_hand():
    values = np.array([[0.9, 0.4, 0.5], [0.2, 0.6, math.nan], [math.nan, -7.0, 3.0]])
    mask = np.array([[True, True, True], [True, True, False], [False, False, False]])
    assert np.array_equal(aggregate_rows(values, mask, "min"), [0.4, 0.2, math.nan], equal_nan=True)
    assert np.array_equal(aggregate_rows(values, mask, "last"), [0.5, 0.6, math.nan], equal_nan=True)
    np.testing.assert_allclose(aggregate_rows(values, mask, "mean"), [0.6, 0.4, math.nan])


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_rows_equal_single_trajectories_to_the_last_bit(how):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 300, 40)
    mask = np.arange(400) < counts[:, None]
    values = np.where(mask, rng.random((40, 400)), -np.inf)
    rows = aggregate_rows(values, mask, how)
    single = [aggregate(values[row, : counts[row]], how) for row in range(40)]
    assert np.array_equal(rows, single, equal_nan=True)


def test_a_mask_with_holes():
    values, mask = [[0.1, 0.2, 0.3, 0.4]], [[False, True, True, False]]
    assert aggregate_rows(values, mask, "last")[0] == 0.3
    assert aggregate_rows(values, mask, "mean")[0] == pytest.approx(0.25)


def test_no_rows():
    assert aggregate_rows(np.empty((0, 3)), np.empty((0, 3)), "mean").shape == (0,)


def test_faults_are_named():
    with pytest.raises(ConfigError, match="'median' is none of mean, min, last, product, geometric_mean"):
        aggregate([0.5], "median")
    with pytest.raises(DataError, match=r"\(2, 3\) and \(2, 2\)"):
        aggregate_rows(np.zeros((2, 3)), np.zeros((2, 2)), "mean")
    with pytest.raises(DataError, match=r"\(1, 2\)"):
        aggregate(np.zeros((1, 2)), "mean")
