import numpy as np
import pytest

from nbest.statistics.calibration import sigmoid
from nbest.statistics.logit import choice_loss, choice_probabilities, fit_choice, fit_yes_no


def test_probabilities_are_a_softmax_within_each_group():
    # Group 1: utilities 0 and ln 3 -> 1/4, 3/4. Group 2: one row -> 1. Large utilities do not overflow.
    result = choice_probabilities(np.array([0.0, np.log(3), 900.0]), np.array([0, 2]))
    assert result == pytest.approx([0.25, 0.75, 1.0])


def test_loss_weighs_groups():
    # Both groups choose among two alike: ln 2 each, weights 1 and 3.
    columns, targets = np.zeros((4, 1)), np.array([1.0, 0, 0, 1])
    result = choice_loss(columns, np.array([0, 2]), targets, np.array([1.0, 3.0]), np.zeros(1))
    assert result == pytest.approx(4 * np.log(2))


def test_choice_matches_the_observed_shares():
    # The row with column 1 is right in 3 of 4 groups: softmax(beta, 0) = 3/4, beta = ln 3.
    columns = np.tile([[1.0], [0.0]], (4, 1))
    targets = np.array([1.0, 0, 1, 0, 1, 0, 0, 1])
    beta = fit_choice(columns, np.arange(0, 8, 2), targets, np.ones(4), penalty=0.0)
    assert beta == pytest.approx([np.log(3)], abs=1e-3)


def test_choice_with_penalty_is_where_the_gradient_vanishes():
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 6, 40)
    starts = np.append(0, np.cumsum(counts)[:-1])
    columns = rng.normal(size=(counts.sum(), 3))
    targets = np.zeros(counts.sum())
    targets[starts + rng.integers(0, 2, 40)] = 1.0
    weights, penalty = rng.uniform(0.5, 2, 40), 0.05
    beta = fit_choice(columns, starts, targets, weights, penalty)

    def objective(at):
        return choice_loss(columns, starts, targets, weights, at) / weights.sum() + penalty / 2 * at @ at

    for axis in np.eye(3):
        assert (objective(beta + 1e-4 * axis) - objective(beta - 1e-4 * axis)) / 2e-4 == pytest.approx(0, abs=1e-3)


def test_a_perfect_separation_stays_finite_under_a_penalty():
    columns = np.tile([[1.0], [0.0]], (4, 1))
    beta = fit_choice(columns, np.arange(0, 8, 2), np.tile([1.0, 0.0], 4), np.ones(4), penalty=1e-3)
    assert 1 < beta[0] < 20


def test_yes_no_finds_what_made_the_cases():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(20_000, 2))
    right = (rng.random(20_000) < sigmoid(columns @ np.array([1.0, -0.5]) + 0.3)).astype(float)
    beta, intercept = fit_yes_no(columns, right, np.ones(20_000), penalty=1e-6)
    assert beta == pytest.approx([1.0, -0.5], abs=0.06)
    assert intercept == pytest.approx(0.3, abs=0.06)


def test_yes_no_of_one_class_stays_finite():
    beta, intercept = fit_yes_no(np.zeros((5, 1)), np.ones(5), np.ones(5), penalty=1e-3)
    assert beta.tolist() == [0.0]
    assert 2 < intercept < 20
