"""Fits two logistic models by Newton's method with an L2 penalty: a choice among several, and yes or no. Pure numpy.

This module does not know what the columns mean. Callers scale them, because all have the same penalty.
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
    """Return the softmax [R] of `utilities` [R] within each group: the rows from `starts[g]` up to the next start."""
    counts = np.diff(np.append(starts, len(utilities)))
    highest = np.maximum.reduceat(utilities, starts)
    exponentials = np.exp(utilities - np.repeat(highest, counts))
    return exponentials / np.repeat(np.add.reduceat(exponentials, starts), counts)


def choice_loss(columns: Array, starts: NDArray[np.int64], targets: Array, weights: Array, beta: Array) -> float:
    """Return the sum over groups of weight times log-loss at coefficients `beta` [F]; shapes as in `fit_choice`."""
    probabilities = choice_probabilities(columns @ beta, starts)
    counts = np.diff(np.append(starts, len(columns)))
    return -float(np.sum(np.repeat(weights, counts) * targets * np.log(np.maximum(probabilities, 1e-300))))


def fit_choice(
    columns: Array,
    starts: NDArray[np.int64],
    targets: Array,
    weights: Array,
    penalty: float,
    initial_beta: Array | None = None,
) -> Array:
    """Return the coefficients [F] of the conditional logit P(row r | group) = softmax(columns @ beta) (McFadden 1974).

    `columns` is [R F], `starts` [G] holds the first row of each group (see `choice_probabilities`), `targets` [R] sums
    to 1 in each group, and `weights` [G] weighs the groups. The coefficients minimise the weighted mean of the groups'
    log-losses plus penalty / 2 * |beta|^2; the search begins at `initial_beta` [F] (None: at zeros).
    """
    row_counts = np.diff(np.append(starts, len(columns)))
    group_mass = weights / weights.sum()
    row_mass = np.repeat(group_mass, row_counts)

    def derivatives(beta: Array) -> tuple[float, Array, Array]:
        probabilities = choice_probabilities(columns @ beta, starts)
        loss = -float(np.sum(row_mass * targets * np.log(np.maximum(probabilities, 1e-300))))
        gradient = columns.T @ (row_mass * (probabilities - targets))
        # The curvature is the weighted mean of the groups' covariances of the columns: E[x x'] - E[x] E[x]'. Blocks of
        # rows bound the memory of the first term.
        curvature = np.zeros((len(beta), len(beta)))
        for first in range(0, len(columns), _BLOCK_ROWS):
            block = slice(first, first + _BLOCK_ROWS)
            curvature += columns[block].T @ (columns[block] * (row_mass[block] * probabilities[block])[:, None])
        means = np.add.reduceat(columns * probabilities[:, None], starts, axis=0)
        curvature -= means.T @ (means * group_mass[:, None])
        return loss, gradient, curvature

    beta = np.zeros_like(columns[0]) if initial_beta is None else initial_beta
    return _minimise(derivatives, beta, np.full(len(beta), penalty))


def fit_yes_no(columns: Array, right: Array, weights: Array, penalty: float) -> tuple[Array, float]:
    """Return coefficients [F] and intercept of P(right) = sigmoid(columns @ beta + intercept).

    `columns` is [M F], `right` [M] within 0..1, `weights` [M]. The coefficients minimise the weighted mean of the
    log-loss plus penalty / 2 * |beta|^2, as in `fit_choice`; the intercept has almost no penalty.
    """
    inputs = np.hstack([columns, np.ones((len(columns), 1))])
    mass = weights / weights.sum()

    def derivatives(beta: Array) -> tuple[float, Array, Array]:
        logits = inputs @ beta
        probabilities = sigmoid(logits)
        loss = float(np.sum(mass * (np.logaddexp(0.0, logits) - right * logits)))
        curvature = inputs.T @ (inputs * (mass * probabilities * (1 - probabilities))[:, None])
        return loss, inputs.T @ (mass * (probabilities - right)), curvature

    # The penalty of the intercept is almost 0, yet keeps it finite where all cases have the same outcome.
    ridge = np.append(np.full(columns.shape[1], penalty), 1e-6)
    beta = _minimise(derivatives, np.zeros_like(ridge), ridge)
    return beta[:-1], float(beta[-1])


def _minimise(derivatives: Derivatives, start: Array, ridge: Array) -> Array:
    """Return the minimum of a convex loss plus the penalty, by Newton steps with backtracking until none helps."""
    beta = start
    loss, gradient, curvature = derivatives(beta)
    loss += float(np.sum(ridge * beta**2)) / 2
    for _ in range(_STEPS):
        slope = gradient + ridge * beta
        hessian = curvature + np.diag(np.broadcast_to(ridge + 1e-12, beta.shape))
        direction = -np.linalg.solve(hessian, slope)
        gain = -float(slope @ direction)
        if gain < _TOLERANCE:  # close enough to the minimum for one whole step
            return beta + direction
        step = 1.0
        while True:
            next_beta = beta + step * direction
            next_loss, next_gradient, next_curvature = derivatives(next_beta)
            total = next_loss + float(np.sum(ridge * next_beta**2)) / 2
            if total <= loss - 1e-4 * step * gain:
                break
            step /= 2
            if step < 1e-8:
                return beta
        beta, loss, gradient, curvature = next_beta, total, next_gradient, next_curvature
    return beta
