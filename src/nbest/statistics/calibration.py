"""Calibration: maps from a number to a probability, and measures of how well probabilities match the outcomes.

Pure numpy. `fit_isotonic` and `fit_platt` fit a map from numbers (higher = more likely right) to probabilities; the
measures compare confidences with the outcomes. This module does not know pools, selectors or where numbers come from.
Shapes: M cases, B bins.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError

Array: TypeAlias = NDArray[np.float64]
Binning: TypeAlias = Literal["mass", "width"]

BINS = 15
_PLATT_STEPS = 100
_PLATT_RIDGE = 1e-12
_PLATT_SMALLEST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class IsotonicMap:
    """A monotone map: linear between the knots (`x` ascending, `y` never falling), constant outside them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, values: ArrayLike) -> Array:
        return np.interp(np.asarray(values, dtype=np.float64), self.x, self.y)


@dataclass(frozen=True, slots=True)
class PlattMap:
    """The sigmoid 1 / (1 + exp(-(slope * value + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, values: ArrayLike) -> Array:
        return sigmoid(self.slope * np.asarray(values, dtype=np.float64) + self.intercept)


@dataclass(frozen=True, slots=True, eq=False)
class CoverageCurve:
    """The accuracy if only the most confident share of cases is answered; arrays are [M], by rising coverage.

    `coverage[i]` is (i + 1) / M, `accuracy[i]` the expected share of right ones among the i + 1 most confident, and
    `threshold[i]` the least confidence among them. Cases of equal confidence share the credit, as in random order.
    """

    coverage: Array
    accuracy: Array
    threshold: Array

    @property
    def area(self) -> float:
        """The mean accuracy over all coverages: 1 if every case is right."""
        return float(self.accuracy.mean())

    def at(self, coverage: float) -> tuple[float, float]:
        """Return accuracy and threshold of the smallest number of cases that covers at least this share of them."""
        position = min(len(self.coverage) - 1, max(0, math.ceil(coverage * len(self.coverage) - 1e-9) - 1))
        return float(self.accuracy[position]), float(self.threshold[position])


def sigmoid(values: ArrayLike) -> Array:
    """Return 1 / (1 + exp(-value)) without overflow, for values of any shape."""
    numbers = np.asarray(values, dtype=np.float64)
    small = np.exp(-np.abs(numbers))
    return np.where(numbers >= 0, 1.0, small) / (1.0 + small)


def fit_isotonic(values: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> IsotonicMap:
    """Return the least-squares monotone fit of `right` [M] on `values` [M] (pool-adjacent-violators, Ayer et al. 1955).

    Cases with equal values are one case of their mean. `weights` [M] are positive (default 1). The knots are the two
    ends of every block of one fitted value, so that the map equals the fit at every value of the data.
    Raises ConfigError for no cases, differing lengths, or numbers that are not finite.
    """
    numbers, targets = _check(values, right)
    mass = _check_weights(weights, numbers)
    x, inverse = np.unique(numbers, return_inverse=True)
    sums = np.bincount(inverse, weights=mass)
    means = np.bincount(inverse, weights=mass * targets) / sums
    blocks: list[tuple[float, float, int]] = []  # mean, weight, distinct values
    for mean, weight in zip(means.tolist(), sums.tolist(), strict=True):
        block = (mean, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            previous = blocks.pop()
            total = previous[1] + block[1]
            block = ((previous[0] * previous[1] + block[0] * block[1]) / total, total, previous[2] + block[2])
        blocks.append(block)
    ends = np.cumsum([count for *_, count in blocks])
    knots: list[tuple[float, float]] = []
    for (mean, _, count), end in zip(blocks, ends.tolist(), strict=True):
        knots += [(float(x[index]), mean) for index in sorted({end - count, end - 1})]
    return IsotonicMap(tuple(number for number, _ in knots), tuple(mean for _, mean in knots))


def fit_platt(values: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> PlattMap:
    """Return the sigmoid with the lowest log-loss on `values` [M] against `right` [M] of True and False.

    Targets are smoothed to (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that a perfect separation stays finite (Platt
    1999); Newton steps with backtracking as in Lin, Lin & Weng 2007, algorithm 1. `weights` [M] are positive (default
    1) and count in n+ and n-. Raises ConfigError as `fit_isotonic`.
    """
    numbers, targets = _check(values, right)
    mass = _check_weights(weights, numbers)
    positive = float(mass[targets > 0.5].sum())
    negative = float(mass.sum()) - positive
    smooth = np.where(targets > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))
    slope, intercept = 0.0, math.log((positive + 1) / (negative + 1))

    def loss(a: float, b: float) -> float:
        logits = a * numbers + b
        return float((mass * (np.logaddexp(0.0, logits) - smooth * logits)).sum())

    current_loss = loss(slope, intercept)
    for _ in range(_PLATT_STEPS):
        probabilities = sigmoid(slope * numbers + intercept)
        residuals, variances = mass * (probabilities - smooth), mass * probabilities * (1 - probabilities)
        gradient = np.array([(residuals * numbers).sum(), residuals.sum()])
        if np.abs(gradient).max() < 1e-9 * mass.sum():
            break
        cross = (variances * numbers).sum()
        curvature = np.array(
            [[(variances * numbers**2).sum(), cross], [cross, variances.sum()]]
        ) + _PLATT_RIDGE * np.eye(2)
        direction = -np.linalg.solve(curvature, gradient)
        step = 1.0
        while step > _PLATT_SMALLEST_STEP:
            a, b = slope + step * float(direction[0]), intercept + step * float(direction[1])
            next_loss = loss(a, b)
            if next_loss <= current_loss + 1e-4 * step * float(gradient @ direction):
                break
            step /= 2
        else:
            break
        slope, intercept, current_loss = a, b, next_loss
    return PlattMap(slope, intercept)


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = BINS, binning: Binning = "mass") -> float:
    """Return the expected calibration error: the sum over bins of their share of cases times |accuracy - confidence|.

    `confidence` [M] within 0..1, of which a bin has the mean; `right` [M]. `binning` "mass" has bins of equal mass (by
    rank; equal confidences are always in one bin), "width" bins of equal width. Source: Naeini et al. 2015; Guo et al.
    2017 (arXiv 1706.04599, equation 3).
    """
    numbers, targets = _check(confidence, right)
    if bins < 1:
        raise ConfigError(f"bins must be at least 1, got {bins}")
    if numbers.min() < 0 or numbers.max() > 1:
        raise ConfigError(f"confidence must lie within 0 and 1, got {numbers.min():g} to {numbers.max():g}")
    if binning == "mass":
        bin_of = np.searchsorted(np.sort(numbers), numbers, side="left") * bins // len(numbers)
    else:
        bin_of = np.minimum((numbers * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=targets - numbers, minlength=bins)
    return float(np.abs(gaps).sum() / len(numbers))


def brier_score(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the mean of (confidence - right)^2 over `confidence` [M] and `right` [M] (Brier 1950); lower is better."""
    numbers, targets = _check(confidence, right)
    return float(np.square(numbers - targets).mean())


def coverage_curve(confidence: ArrayLike, right: ArrayLike) -> CoverageCurve:
    """Return accuracy against coverage for `confidence` [M] (any numbers, higher first) and `right` [M] within 0..1."""
    numbers, targets = _check(confidence, right)
    levels, inverse = np.unique(-numbers, return_inverse=True)
    sizes = np.bincount(inverse)
    means = np.bincount(inverse, weights=targets) / sizes
    counts = np.arange(1, len(numbers) + 1)
    accuracy = np.cumsum(np.repeat(means, sizes)) / counts
    return CoverageCurve(counts / len(numbers), accuracy, np.repeat(-levels, sizes))


def _check(values: ArrayLike, right: ArrayLike) -> tuple[Array, Array]:
    numbers, targets = np.asarray(values, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if numbers.ndim != 1 or numbers.shape != targets.shape or not len(numbers):
        raise ConfigError(
            f"values has shape {numbers.shape}, right {targets.shape}; both must be [M] with M at least 1"
        )
    if not np.isfinite(numbers).all() or not np.isfinite(targets).all():
        raise ConfigError("values and right must be finite numbers; leave out the cases without one")
    return numbers, targets


def _check_weights(weights: ArrayLike | None, numbers: Array) -> Array:
    mass = np.ones_like(numbers) if weights is None else np.asarray(weights, dtype=np.float64)
    if mass.shape != numbers.shape or not (np.isfinite(mass) & (mass > 0)).all():
        raise ConfigError("weights: there must be one positive number per case")
    return mass
