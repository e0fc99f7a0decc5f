import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.statistics.intervals import Within, clustered_standard_error
from nbest.statistics.strata import average_intervals, set_weights, weigh_problems

SMALL, LARGE = np.array([[1.0], [0.0]]), np.array([[0.0], [0.0], [0.0], [1.0], [0.0], [0.5]])


def test_macro_weighs_sets_alike_and_pooled_weighs_problems_alike():
    # Means 1/2 of two problems and 1/4 of six: macro 3/8, pooled (1 + 1.5) / 8.
    (macro,) = average_intervals([SMALL, LARGE], "macro", seed=0, resamples=200)
    (pooled,) = average_intervals([SMALL, LARGE], "pooled", seed=0, resamples=200)
    assert (macro.mean, pooled.mean) == pytest.approx((3 / 8, 2.5 / 8))
    assert macro.problems == pooled.problems == 8
    errors = [clustered_standard_error(table[:, 0]) for table in (SMALL, LARGE)]
    assert macro.standard_error == pytest.approx(np.hypot(*errors) / 2)
    assert pooled.standard_error == pytest.approx(np.hypot(errors[0] * 2, errors[1] * 6) / 8)


def test_problems_are_resampled_within_their_own_set():
    # Two sets without any spread inside them: the average is known, however far apart they lie.
    sets = [np.full((3, 1), 0.9), np.full((30, 1), 0.1)]
    for weighing, mean in (("macro", 0.5), ("pooled", (0.9 * 3 + 0.1 * 30) / 33)):
        (average,) = average_intervals(sets, weighing, seed=0, resamples=50)
        assert (average.mean, average.low, average.high) == pytest.approx((mean,) * 3)
        assert average.standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_bootstrap_agrees_with_the_analytic_error():
    rng = np.random.default_rng(1)
    sets = [rng.random((200, 1)), rng.random((300, 1)) / 2]
    (average,) = average_intervals(sets, "macro", seed=0)
    half = 1.96 * average.standard_error
    assert (average.low, average.high) == pytest.approx((average.mean - half, average.mean + half), abs=0.1 * half)


def test_an_average_needs_every_set():
    partial = np.array([[0.5, np.nan], [1.0, np.nan]])
    first, second = average_intervals([np.ones((2, 2)), partial], "macro", seed=0, resamples=50)
    assert first.mean == pytest.approx(0.875)
    assert (second.mean, second.low, second.standard_error, second.problems) == (None, None, None, 2)
    weights = set_weights([np.ones((2, 2)), partial], "pooled")
    assert weights[:, 0].tolist() == [0.5, 0.5]
    assert np.isnan(weights[:, 1]).all()
    with pytest.raises(ConfigError, match="at least one set"):
        set_weights([], "macro")


def test_a_set_of_one_problem_has_no_interval():
    (average,) = average_intervals([SMALL, np.array([[0.25]])], "macro", seed=0, resamples=50)
    assert (average.mean, average.low, average.standard_error) == (0.375, None, None)


def test_shares_of_the_problems_sum_to_the_average():
    for weighing, mean in (("macro", 3 / 8), ("pooled", 2.5 / 8)):
        assert weigh_problems([SMALL, LARGE], weighing).sum() == pytest.approx(mean)


def test_samples_move_the_average_of_fixed_problems():
    # Each value moves by +-0.1 in half of its pools: variance 0.01 (n - 1 in the denominator: * 4/3 of four pools).
    deviations = np.array([0.1, -0.1, 0.1, -0.1])[:, None, None] * np.ones((4, 2, 1))
    sets = [np.full((2, 1), 0.5)] * 2
    (average,) = average_intervals(sets, "macro", seed=0, resamples=500, withins=[Within(deviations, True)] * 2)
    # Of a set: sqrt(2 * 0.04 / 3) / 2; of the mean of two independent sets: that divided by sqrt(2).
    assert average.standard_error == pytest.approx(np.sqrt(2 * 0.04 / 3) / 2 / np.sqrt(2))
    assert 0.4 <= average.low < 0.5 < average.high <= 0.6
