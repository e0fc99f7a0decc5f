"""Ranking within pools, by hand and against all pairs."""

import numpy as np
import pytest

from nbest.statistics.ranking import auc, within_pool_auc


def test_auc_counts_pairs() -> None:
    # right 0.9 beats 0.1 and 0.5 (2); right 0.5 beats 0.1, ties with 0.5 (1.5): 3.5 of 4 pairs.
    assert auc(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.1, 0.5])) == pytest.approx(3.5 / 4)


def test_auc_equals_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        correct, scores = rng.random(12) < 0.4, rng.integers(0, 5, 12).astype(float)
        pairs = [(s > t) + (s == t) / 2 for s in scores[correct] for t in scores[~correct]]
        assert auc(correct, scores) == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_a_score_of_the_problem_alone_ranks_no_pool() -> None:
    easy = (np.array([True, True, False]), np.array([0.9, 0.9, 0.9]))
    hard = (np.array([False, False, True]), np.array([0.1, 0.1, 0.1]))
    assert within_pool_auc([easy, hard]) == (0.5, 2)


def test_pools_without_a_pair_do_not_count() -> None:
    assert within_pool_auc([(np.array([True]), np.array([1.0]))]) == (None, 0)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([True, False]), np.array([1.0, np.nan]))
