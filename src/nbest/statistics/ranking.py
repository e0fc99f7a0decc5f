"""Measures how well scores rank the candidates within a pool, whatever the difficulty of the problem.

An AUC over all trajectories also rewards a score that only tells easy *problems* from hard ones; a selector needs the
ranking within a pool. Pure numpy; this module does not know runs or scorers.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def auc(correct: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Return the share of pairs (right, wrong) in which the right one has the higher score; equal scores count half.

    `correct` [N], `scores` [N]. None if there is no such pair. Raises ValueError if a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("scores: NaN has no rank; leave out trajectories without a score")
    right, wrong = scores[correct], np.sort(scores[~correct])
    if not len(right) or not len(wrong):
        return None
    below = np.searchsorted(wrong, right, side="left") + np.searchsorted(wrong, right, side="right")
    return float(below.mean() / 2 / len(wrong))


def within_pool_auc(pools: Iterable[tuple[NDArray[np.bool_], NDArray[np.floating]]]) -> tuple[float | None, int]:
    """Return the mean of `auc` over the pools with right and wrong candidates (None without any), and their number."""
    areas = [value for correct, scores in pools if (value := auc(correct, scores)) is not None]
    return (float(np.mean(areas)), len(areas)) if areas else (None, 0)
