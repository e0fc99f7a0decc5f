import numpy as np
import pytest

from nbest.report.reliability import Bin, Confidences, count_bins, join, measure_reliability, reliability_bins


def cases(confidence, right, name="a", aucs=()):
    return Confidences(name, "trajectory", np.array(confidence, dtype=float), np.array(right, dtype=float), aucs)


def test_bins_hold_equal_numbers_and_equal_confidences_together():
    result = reliability_bins(np.array([0.1, 0.9, 0.2, 0.8]), np.array([0.0, 1.0, 1.0, 1.0]), 2)
    assert result == [Bin(pytest.approx(0.15), 0.5, 2), Bin(pytest.approx(0.85), 1.0, 2)]
    assert reliability_bins(np.full(6, 0.5), np.array([1.0, 1, 1, 0, 0, 0]), 3) == [Bin(0.5, 0.5, 6)]


@pytest.mark.parametrize(("number", "bins"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (5000, 10)])
def test_a_bin_needs_cases(number, bins):
    assert count_bins(number) == bins


def test_a_probability_is_measured():
    result = measure_reliability(cases([0.1, 0.9, 0.2, 0.8], [0, 1, 1, 1], aucs=[0.5, 1.0]))
    # One bin of four: mean confidence 0.5, accuracy 0.75. Brier: (0.01 + 0.01 + 0.64 + 0.04) / 4.
    assert (result.ece, result.brier) == (pytest.approx(0.25), pytest.approx(0.175))
    assert (result.auc, result.within_pool_auc, result.cases) == (1.0, 0.75, 4)
    assert result.bins == (Bin(0.5, 0.75, 4),)


@pytest.mark.parametrize("confidence", [[-1.0, 0.5], [0.5, 1.5], [0.5, np.inf]])
def test_of_other_numbers_only_the_ranking_is(confidence):
    result = measure_reliability(cases(confidence, [0, 1]))
    assert (result.ece, result.brier, result.bins) == (None, None, ())
    assert result.within_pool_auc is None


def test_shared_credit_counts_in_part_and_has_no_rank():
    result = measure_reliability(cases([0.4, 0.6, 0.8], [0.5, 0, 1]))
    assert result.ece == pytest.approx(0.1)  # mean confidence 0.6, mean credit 0.5
    assert result.auc == 1.0


def test_runs_are_put_together():
    joined = join([cases([0.1], [0], aucs=[1.0]), cases([0.2, 0.3], [1, 0], aucs=[0.0])])
    assert joined.confidence.tolist() == [0.1, 0.2, 0.3]
    assert joined.right.tolist() == [0.0, 1.0, 0.0]
    assert list(joined.pool_aucs) == [1.0, 0.0]
