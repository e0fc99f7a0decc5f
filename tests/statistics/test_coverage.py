"""Intervals hold the truth about as often as they say; `benchmarks/coverage.py` asks more of them."""

import numpy as np

from nbest.statistics.estimators import best_of_k
from nbest.statistics.intervals import intervals
from nbest.statistics.strata import average_intervals

REPEATS, PROBLEMS, SAMPLES, KS = 200, 80, 8, [1, 4]


def draw_values(rng):
    """[P, 2] best-of-1 and best-of-4 by a score that knows a little, on fresh problems and samples."""
    chances = rng.beta(1, 1, PROBLEMS)
    correct = rng.random((PROBLEMS, SAMPLES)) < chances[:, None]
    scores = rng.normal(size=correct.shape) + correct
    return np.array([best_of_k(right, score, KS).accuracy for right, score in zip(correct, scores, strict=True)])


def test_95_in_100_intervals_hold_the_truth():
    rng = np.random.default_rng(3)
    drawn = [draw_values(rng) for _ in range(2 * REPEATS)]
    truth = np.mean(drawn, axis=(0, 1))  # of 32,000 problems: its error is a twentieth of that of 80
    held = []
    for repeat in range(REPEATS):
        one, two = drawn[2 * repeat], drawn[2 * repeat + 1]
        found = intervals(one, seed=repeat, resamples=600)
        found += average_intervals([one, two], "macro", seed=repeat, resamples=600)
        held.append([each.low <= true <= each.high for each, true in zip(found, [*truth, *truth], strict=True)])
        held.append([abs(e.mean - t) <= 1.96 * e.standard_error for e, t in zip(found, [*truth, *truth], strict=True)])
    assert 0.93 <= np.mean(held) <= 0.97
