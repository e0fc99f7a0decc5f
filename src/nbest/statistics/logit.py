"""Two logistic models fitted by Newton's method with an L2 penalty: a choice among several, and yes or no. Pure numpy.

This module does not know what the columns mean; callers scale them, because one penalty holds for all.
Shapes: R rows, F columns, G groups (a group is one choice among the rows of one segment), M cases.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.statistics.calibration import sigmoid

Array: TypeAlias = NDArray[np.float64]
Derivatives: TypeAlias = Callable[[Array], tuple[float, Array, Array]]

_STEPS = 50
_TOLERANCE = 1e-6
_BLOCK_ROWS = 1 << 15


def choice_probabilities(utilities: Array, starts: NDArray[np.int64]) -> Array:
    """Return [R] the softmax of `utilities` [R] within each group: the rows from `starts[g]` up to the next start."""
    counts = np.diff(np.append(starts, len(utilities)))
    highest = np.maximum.reduceat(utilities, starts)
    grown = np.exp(utilities - np.repeat(highest, counts))
    return grown / np.repeat(np.add.reduceat(grown, starts), counts)


def choice_loss(columns: Array, starts: NDArray[np.int64], targets: Array, weights: Array, beta: Array) -> float:
    """Return the sum over groups of weight times log-loss at coefficients `beta` [F]; shapes as in `fit_choice`."""
    chances = choice_probabilities(columns @ beta, starts)
    counts = np.diff(np.append(starts, len(columns)))
    return -float(np.sum(np.repeat(weights, counts) * targets * np.log(np.maximum(chances, 1e-300))))


def fit_choice(
    columns: Array,
    starts: NDArray[np.int64],
    targets: Array,
    weights: Array,
    penalty: float,
    start: Array | None = None,
) -> Array:
    """Return [F] the coefficients of the conditional logit P(row r | group) = softmax(columns @ beta) (McFadden 1974).

    `columns` [R F], `starts` [G] (see `choice_probabilities`), `targets` [R] sum to 1 in each group, `weights` [G].
    Minimises the mean weighted log-loss plus penalty / 2 * |beta|^2.
    """
    counts = np.diff(np.append(starts, len(columns)))
    mass = np.repeat(weights / weights.sum(), counts)

    def derivatives(beta: Array) -> tuple[float, Array, Array]:
        chances = choice_probabilities(columns @ beta, starts)
        loss = -float(np.sum(mass * targets * np.log(np.maximum(chances, 1e-300))))
        gradient = columns.T @ (mass * (chances - targets))
        curvature = np.zeros((len(beta), len(beta)))
        for low in range(0, len(columns), _BLOCK_ROWS):
            part = slice(low, low + _BLOCK_ROWS)
            curvature += columns[part].T @ (columns[part] * (mass[part] * chances[part])[:, None])
        means = np.add.reduceat(columns * chances[:, None], starts, axis=0)
        curvature -= means.T @ (means * (weights / weights.sum())[:, None])
        return loss, gradient, curvature

    begin = np.zeros_like(columns[0]) if start is None else start
    return _minimise(derivatives, begin, np.full(len(begin), penalty))


def fit_yes_no(columns: Array, right: Array, weights: Array, penalty: float) -> tuple[Array, float]:
    """Return coefficients [F] and intercept of P(right) = sigmoid(columns @ beta + intercept).

    `columns` [M F], `right` [M] within 0..1, `weights` [M]. The same objective as `fit_choice`; the intercept has no
    penalty.
    """
    wide = np.hstack([columns, np.ones((len(columns), 1))])
    mass = weights / weights.sum()

    def derivatives(beta: Array) -> tuple[float, Array, Array]:
        logits = wide @ beta
        fitted = sigmoid(logits)
        loss = float(np.sum(mass * (np.logaddexp(0.0, logits) - right * logits)))
        curvature = wide.T @ (wide * (mass * fitted * (1 - fitted))[:, None])
        return loss, wide.T @ (mass * (fitted - right)), curvature

    # Nearly free, yet finite where all cases are alike.
    ridge = np.append(np.full(columns.shape[1], penalty), 1e-6)
    beta = _minimise(derivatives, np.zeros_like(ridge), ridge)
    return beta[:-1], float(beta[-1])


def _minimise(derivatives: Derivatives, start: Array, ridge: Array) -> Array:
    """Return the minimum of a convex loss plus the penalty: Newton with backtracking, until a step no longer pays."""
    beta = start
    loss, gradient, curvature = derivatives(beta)
    loss += float(np.sum(ridge * beta**2)) / 2
    for _ in range(_STEPS):
        slope = gradient + ridge * beta
        bend = curvature + np.diag(np.broadcast_to(ridge + 1e-12, beta.shape))
        direction = -np.linalg.solve(bend, slope)
        gain = -float(slope @ direction)
        if gain < _TOLERANCE:  # so near the minimum that a whole step lands on it
            return beta + direction
        step = 1.0
        while True:
            ahead = beta + step * direction
            next_loss, next_gradient, next_curvature = derivatives(ahead)
            total = next_loss + float(np.sum(ridge * ahead**2)) / 2
            if total <= loss - 1e-4 * step * gain:
                break
            step /= 2
            if step < 1e-8:
                return beta
        beta, loss, gradient, curvature = ahead, total, next_gradient, next_curvature
    return beta
