import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbest.errors import ConfigError
from nbest.statistics.calibration import (
    IsotonicMap,
    PlattMap,
    brier_score,
    calibration_error,
    coverage_curve,
    fit_isotonic,
    fit_platt,
    sigmoid,
)

CASES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(1, 3)), min_size=1, max_size=6)


def test_isotonic_pools_what_falls():
    # 1, 0 at 2 and 3 fall: their mean 0.5 stands for both. Between 1 and 2 the map is linear: (0 + 0.5) / 2.
    fit = fit_isotonic([1, 2, 3, 4], [0, 1, 0, 1])
    assert fit(np.array([1, 2, 3, 4])).tolist() == [0.0, 0.5, 0.5, 1.0]
    assert fit([1.5]).tolist() == [0.25]


def test_isotonic_is_constant_outside():
    assert fit_isotonic([1, 2], [0, 1])([-9, 9]).tolist() == [0.0, 1.0]


def test_isotonic_takes_equal_values_as_one_case_and_weights_them():
    # At 1: (3 * 1 + 1 * 0) / 4 = 0.75; at 2: 0. They fall: (4 * 0.75 + 2 * 0) / 6 = 0.5.
    assert fit_isotonic([1, 1, 2], [1, 0, 0], [3, 1, 2]) == IsotonicMap((1.0, 2.0), (0.5, 0.5))


def test_isotonic_keeps_only_the_ends_of_a_block():
    assert fit_isotonic([1, 2, 3, 4], [1, 1, 1, 1]) == IsotonicMap((1.0, 4.0), (1.0, 1.0))


@given(CASES)
def test_isotonic_never_falls_and_keeps_the_mean(cases):
    x, y, w = (np.array(column, dtype=np.float64) for column in zip(*cases, strict=True))
    fitted = fit_isotonic(x, y, w)(np.sort(x))
    assert (np.diff(fitted) >= -1e-12).all()
    assert np.average(fit_isotonic(x, y, w)(x), weights=w) == pytest.approx(np.average(y, weights=w))


@settings(max_examples=60)
@given(CASES)
def test_isotonic_is_the_best_of_all_ways_to_cut_into_blocks(cases):
    x, y, w = (np.array(column, dtype=np.float64) for column in zip(*cases, strict=True))
    levels = np.unique(x)
    level_of = np.searchsorted(levels, x)
    best = np.inf
    for cuts in itertools.product([0, 1], repeat=len(levels) - 1):
        block = np.cumsum([0, *cuts])[level_of]
        means = np.bincount(block, weights=w * y) / np.bincount(block, weights=w)
        if (np.diff(means) >= 0).all():
            best = min(best, float(np.sum(w * (y - means[block]) ** 2)))
    assert np.sum(w * (y - fit_isotonic(x, y, w)(x)) ** 2) == pytest.approx(best, abs=1e-9)


def test_platt_of_two_points_hits_the_smoothed_targets():
    # One right at 1, one wrong at -1: targets (1 + 1) / (1 + 2) = 2/3 and 1 / (1 + 2) = 1/3. Two points, two numbers:
    # slope = logit(2/3) = ln 2, intercept = 0.
    fit = fit_platt([1, -1], [True, False])
    assert fit.slope == pytest.approx(np.log(2), abs=1e-6)
    assert fit.intercept == pytest.approx(0, abs=1e-6)


def test_platt_of_one_class_stays_finite():
    # All right, n+ = 3: every target is 4/5.
    assert fit_platt([0, 0, 0], [1, 1, 1])([0.0]) == pytest.approx([0.8], abs=1e-6)


def test_platt_finds_the_sigmoid_that_made_the_cases():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, 20_000)
    fit = fit_platt(values, rng.random(20_000) < sigmoid(0.7 * values - 0.4))
    assert (fit.slope, fit.intercept) == (pytest.approx(0.7, abs=0.05), pytest.approx(-0.4, abs=0.05))


def test_platt_weights_are_repetitions():
    # The third case twice is the same as weight 2.
    repeated = fit_platt([0, 1, 2, 2], [0, 1, 0, 0])
    weighted = fit_platt([0, 1, 2], [0, 1, 0], [1, 1, 2])
    assert (weighted.slope, weighted.intercept) == pytest.approx((repeated.slope, repeated.intercept), abs=1e-6)


def test_sigmoid_does_not_overflow():
    assert sigmoid([-1e4, 0, 1e4]).tolist() == [0.0, 0.5, 1.0]
    assert PlattMap(2.0, 0.0)([0.0]).tolist() == [0.5]


def test_calibration_error_by_equal_width():
    # Bins 0..0.5 and 0.5..1: (0.2, 0.4; right 0, 1) -> |0.5 - 0.3| = 0.2; (0.9, 0.9; 1, 1) -> 0.1. Half each: 0.15.
    error = calibration_error([0.2, 0.4, 0.9, 0.9], [0, 1, 1, 1], bins=2, binning="width")
    assert error == pytest.approx(0.15)


def test_calibration_error_by_equal_mass_keeps_equal_confidences_together():
    # Rank bins of 2: 0.1 and 0.6, 0.6, 0.6 start at ranks 0 and 1, both in the first bin: |(0+1+1+0)/4 - 1.9/4|.
    assert calibration_error([0.1, 0.6, 0.6, 0.6], [0, 1, 1, 0], bins=2) == pytest.approx(0.025)


@given(st.permutations(list(range(8))))
def test_calibration_error_does_not_depend_on_the_order(order):
    confidence = np.array([0.1, 0.3, 0.3, 0.3, 0.5, 0.8, 0.8, 1.0])
    right = np.array([0, 1, 0, 0, 1, 1, 0, 1])
    expected = calibration_error(confidence, right, bins=3)
    assert calibration_error(confidence[list(order)], right[list(order)], bins=3) == pytest.approx(expected)


def test_brier_score():
    # (0.8 - 1)^2 = 0.04 and (0.4 - 0)^2 = 0.16, mean 0.1.
    assert brier_score([0.8, 0.4], [1, 0]) == pytest.approx(0.1)


def test_coverage_curve_shares_ties():
    # First 0.9: 1/1. Then the two of 0.5 count 0.5 each: 1.5/2, 2/3. Then a wrong one: 2/4.
    curve = coverage_curve([0.5, 0.9, 0.1, 0.5], [1, 1, 0, 0])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.accuracy == pytest.approx([1, 0.75, 2 / 3, 0.5])
    assert curve.threshold.tolist() == [0.9, 0.5, 0.5, 0.1]
    assert curve.area == pytest.approx((1 + 0.75 + 2 / 3 + 0.5) / 4)
    assert curve.at(0.5) == (pytest.approx(0.75), 0.5)
    assert curve.at(0.6) == (pytest.approx(2 / 3), 0.5)
    assert curve.at(0.0) == (1.0, 0.9)


@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt])
@pytest.mark.parametrize(
    ("values", "right"), [([], []), ([1.0], [1, 0]), ([float("nan")], [1]), ([float("inf")], [1]), ([[1.0]], [[1]])]
)
def test_what_cannot_be_fitted_is_refused(fit, values, right):
    with pytest.raises(ConfigError):
        fit(values, right)


def test_weights_and_bins_are_checked():
    with pytest.raises(ConfigError, match="weights"):
        fit_isotonic([1, 2], [0, 1], [1, 0])
    with pytest.raises(ConfigError, match="bins"):
        calibration_error([0.5], [1], bins=0)
    with pytest.raises(ConfigError, match="within 0 and 1"):
        calibration_error([1.5], [1])
