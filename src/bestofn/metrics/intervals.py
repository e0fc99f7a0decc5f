"""Intervals for the mean over problems, and for the difference of two selectors on the same problems. Pure numpy.

The problem is the unit that was drawn: all samples of one problem share its difficulty, so every interval here is
clustered by problem. The value of a problem is an expectation over its own samples (`estimators`); the macro mean
weighs each problem alike. All columns of one call are resampled together, so differences between them are paired.

NaN = this problem has no value in this column (its pool is smaller than k, say); it is left out of that column.
This module does not know what the values mean. Shapes: P problems, R columns (a selector at one k, say).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bestofn.errors import ConfigError

Values: TypeAlias = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK_DRAWS = 1 << 20
"""Problems drawn at once: bounds the working memory to some 30 MB whatever P and the number of resamples."""
_CHUNK_CELLS = 1 << 23
"""Resampled means held at once (64 MB); wider tables are done in blocks of columns with the same draws."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over problems. `mean` is None without any problem; the interval (`low`, `high`: percentile bootstrap)
    and the analytic `standard_error` are None with fewer than two, where they are undefined. `problems` = how many
    problems have a value."""

    mean: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    problems: int


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second on the problems where both have a value; `differing` = on how many they are not equal."""

    interval: Interval
    differing: int


def interval(values: ArrayLike, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """The mean of per-problem `values` [P] with its interval."""
    column = np.asarray(values, dtype=np.float64)
    return intervals(column[:, None], seed=seed, resamples=resamples, level=level)[0]


def intervals(values: ArrayLike, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> list[Interval]:
    """One Interval a column of `values` [P, R], all from the same resamples of problems.

    Percentile bootstrap: `resamples` times P problems are drawn with replacement and the mean taken over those that
    have a value. Beside it the standard error clustered by problem, s / sqrt(n), s with n - 1 in the denominator
    (Miller 2024, arXiv 2411.00640).
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ConfigError(f"values must be [P, R], got shape {table.shape}")
    bounds = _percentiles(table, seed, resamples, level)
    return [_summary(table[:, column], bounds[:, column]) for column in range(table.shape[1])]


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Difference:
    """`first` [P] minus `second` [P], problem by problem: the interval of the mean difference."""
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    differing = int(np.count_nonzero(np.abs(gap[~np.isnan(gap)]) > 1e-12))  # both are sums of floats
    return Difference(interval(gap, seed=seed, resamples=resamples, level=level), differing)


def clustered_standard_error(values: ArrayLike) -> float | None:
    """Standard error of the mean of per-problem `values` [P]; None with fewer than two problems."""
    column = np.asarray(values, dtype=np.float64)
    present = column[~np.isnan(column)]
    return float(present.std(ddof=1) / np.sqrt(len(present))) if len(present) > 1 else None


def _summary(column: Values, bounds: Values) -> Interval:
    present = column[~np.isnan(column)]
    if len(present) == 0:
        return Interval(None, None, None, None, 0)
    mean = float(present.mean())
    if len(present) == 1:
        return Interval(mean, None, None, None, 1)
    return Interval(mean, float(bounds[0]), float(bounds[1]), clustered_standard_error(present), len(present))


def _percentiles(table: Values, seed: int, resamples: int, level: float) -> Values:
    """[2, R] lower and upper percentile of the resampled means."""
    problems, columns = table.shape
    bounds = np.full((2, columns), np.nan)
    if problems < 2 or resamples < 1:
        return bounds
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    block = max(1, _CHUNK_CELLS // resamples)
    for start in range(0, columns, block):
        part = slice(start, start + block)
        means = _resampled_means(table[:, part], seed, resamples)
        # A resample that drew no problem with a value has no mean; a column without any stays undefined.
        defined = ~np.isnan(means)
        for offset in range(means.shape[1]):
            drawn = means[defined[:, offset], offset]
            if len(drawn):
                bounds[:, start + offset] = np.quantile(drawn, quantiles)
    return bounds


def _resampled_means(table: Values, seed: int, resamples: int) -> Values:
    """[resamples, R] means; how often each problem was drawn is one row of multinomial weights."""
    problems = len(table)
    rng = np.random.default_rng(seed)
    present = ~np.isnan(table)
    filled = np.where(present, table, 0.0)
    is_complete = bool(present.all())
    means = np.empty((resamples, table.shape[1]))
    chunk = max(1, _CHUNK_DRAWS // problems)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draws = rng.integers(0, problems, size=(rows, problems)) + problems * np.arange(rows)[:, None]
        weights = np.bincount(draws.ravel(), minlength=rows * problems).reshape(rows, problems).astype(np.float64)
        totals = weights @ filled
        counts = float(problems) if is_complete else weights @ present.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + rows] = totals / counts
    return means
