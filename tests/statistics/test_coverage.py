"""Intervals contain the truth as often as their level says; `benchmarks/coverage.py` measures more cases."""

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


def test_95_in_100_intervals_contain_the_truth():
    rng = np.random.default_rng(3)
    samples = [draw_values(rng) for _ in range(2 * REPEATS)]
    truth = np.mean(samples, axis=(0, 1))  # of 32,000 problems: its error is a twentieth of that of 80
    hits = []
    for repeat in range(REPEATS):
        one, two = samples[2 * repeat], samples[2 * repeat + 1]
        results = intervals(one, seed=repeat, resamples=600)
        results += average_intervals([one, two], "macro", seed=repeat, resamples=600)
        pairs = list(zip(results, [*truth, *truth], strict=True))
        hits.append([result.low <= true <= result.high for result, true in pairs])
        hits.append([abs(result.mean - true) <= 1.96 * result.standard_error for result, true in pairs])
    assert 0.93 <= np.mean(hits) <= 0.97
