"""Intervals for the mean over problems, and for the difference of two selectors on the same problems. Pure numpy.

The problem is the unit that was drawn: all samples of one problem share its difficulty, so every interval here is
clustered by problem. The value of a problem is an expectation over its own samples (`estimators`); the macro mean
weighs each problem alike. All columns of one call are resampled together, so differences between them are paired.

What is resampled
    Problems (the default) answers: what if other problems of this kind had been asked, each with other samples? The
    values of problems differ by their difficulty and by the luck of their samples, so both are in their spread.
    Samples within the same problems (`Within`) answers: what if this very set of problems were sampled again?
    Both levels draw problems, and samples within each. That counts the luck of samples twice, once in the spread of
    values and once more on its own, so the interval is too wide rather than too narrow (Davison & Hinkley 1997,
    section 3.8); the two lie together where a pool is large.

NaN = this problem has no value in this column (its pool is smaller than k, say); it is left out of that column.
This module does not know what the values mean. Shapes: P problems, R columns (a selector at one k, say), B resampled
pools per problem.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError

Array: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | tuple[int, ...]

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK_DRAWS = 1 << 20
"""Problems drawn at once: bounds the working memory to some 30 MB whatever P and the number of resamples."""
_CHUNK_CELLS = 1 << 23
"""Resampled means held at once (64 MB); wider tables are done in blocks of columns with the same draws."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over problems.

    `mean` is None without any problem; the interval (`low`, `high`: percentile bootstrap) and the analytic
    `standard_error` are None with fewer than two, where they are undefined. `problems` = how many have a value.
    """

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


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """How the value of each problem moves when its samples are drawn again.

    `deviations` [B, P, R]: the value in each of B pools resampled with replacement, minus the mean of these. Centred,
    because a pool with repeats is a poorer one (its pass@N is lower): only the spread is used, never the level.
    Where k comes near N, best-of-k sees few distinct candidates in such a pool and its spread is understated
    (`benchmarks/coverage.py` measures it); maj@k and small k are not affected.
    `keeps_problems`: the problems stay and only samples are drawn again; otherwise both levels are drawn.
    """

    deviations: Array
    keeps_problems: bool

    def standard_error(self) -> Array:
        """Return [R] the standard error of the mean over the problems with a value, from the samples alone."""
        spread = np.nansum(self.deviations.var(axis=0, ddof=1), axis=0)
        counts = np.maximum(np.count_nonzero(~np.isnan(self.deviations[0]), axis=0), 1)
        return np.sqrt(spread) / counts


def interval(values: ArrayLike, *, seed: Seed, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """Return the mean of per-problem `values` [P] with its interval."""
    column = np.asarray(values, dtype=np.float64)
    return intervals(column[:, None], seed=seed, resamples=resamples, level=level)[0]


def intervals(
    values: ArrayLike, *, seed: Seed, resamples: int = RESAMPLES, level: float = LEVEL, within: Within | None = None
) -> list[Interval]:
    """Return one Interval per column of `values` [P, R], all from the same resamples of problems.

    Percentile bootstrap: `resamples` times P problems are drawn with replacement and the mean taken over those that
    have a value. Beside it the standard error clustered by problem, s / sqrt(n), s with n - 1 in the denominator
    (Miller 2024, arXiv 2411.00640). `within` resamples samples as well, or instead (then the standard error is that
    of the samples alone).
    """
    table = np.asarray(values, dtype=np.float64)
    check_table(table, within)
    bounds = np.full((2, table.shape[1]), np.nan)
    if len(table) > 1 and resamples > 0:
        for part in column_blocks(table.shape[1], resamples):
            bounds[:, part] = percentiles(resample_means(table, part, seed, resamples, within), level)
    results = [_summary(table[:, column], bounds[:, column]) for column in range(table.shape[1])]
    if within is None or not within.keeps_problems:
        return results
    errors = within.standard_error()
    return [
        Interval(each.mean, each.low, each.high, float(error) if each.problems > 1 else None, each.problems)
        for each, error in zip(results, errors, strict=True)
    ]


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, seed: Seed, resamples: int = RESAMPLES, level: float = LEVEL
) -> Difference:
    """Return the interval of the mean difference of `first` [P] and `second` [P], problem by problem."""
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    differing = int(np.count_nonzero(np.abs(gap[~np.isnan(gap)]) > 1e-12))  # both are sums of floats
    return Difference(interval(gap, seed=seed, resamples=resamples, level=level), differing)


def clustered_standard_error(values: ArrayLike) -> float | None:
    """Return the standard error of the mean of per-problem `values` [P]; None with fewer than two problems."""
    column = np.asarray(values, dtype=np.float64)
    present = column[~np.isnan(column)]
    return float(present.std(ddof=1) / np.sqrt(len(present))) if len(present) > 1 else None


def check_table(table: Array, within: Within | None) -> None:
    """Raise ConfigError for shapes that do not fit."""
    if table.ndim != 2:
        raise ConfigError(f"values must be [P, R], got shape {table.shape}")
    if within is not None and (within.deviations.shape[1:] != table.shape or len(within.deviations) < 2):
        raise ConfigError(f"deviations have shape {within.deviations.shape}; values [P, R] of {table.shape} need "
                          "[B, P, R] with B at least 2")  # fmt: skip


def column_blocks(columns: int, resamples: int) -> list[slice]:
    """Return the columns in blocks whose resampled means fit into memory."""
    block = max(1, _CHUNK_CELLS // resamples)
    return [slice(start, min(start + block, columns)) for start in range(0, columns, block)]


def resample_means(table: Array, part: slice, seed: Seed, resamples: int, within: Within | None = None) -> Array:
    """Return [resamples, R] the means of the columns in `part` of `table` [P, R].

    The draws of one seed are the same for all columns.

    NaN where a resample drew no problem with a value in a column.
    """
    problems = len(table)
    rng = np.random.default_rng(seed)
    present = ~np.isnan(table[:, part])
    filled = np.where(present, table[:, part], 0.0)
    is_complete = bool(present.all())
    means = np.empty((resamples, filled.shape[1]))
    chunk = max(1, _CHUNK_DRAWS // problems)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        if within is not None and within.keeps_problems:
            draws = np.broadcast_to(np.arange(problems), (rows, problems))
        else:
            draws = rng.integers(0, problems, size=(rows, problems))
        weights = _count_draws(draws)
        totals = np.matmul(weights, filled, out=means[start : start + rows])
        if within is not None:
            totals += _sum_deviations(within.deviations[:, :, part], draws, rng)
        counts = float(problems) if is_complete else weights @ present.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            totals /= counts
    return means


def percentiles(means: Array, level: float) -> Array:
    """Return [2, R] the lower and upper percentile of `means` [resamples, R], linear between order statistics.

    A mean that is NaN does not count; a column of nothing else stays NaN.
    """
    quantiles = ((1 - level) / 2, (1 + level) / 2)
    columns = means.T.copy()
    columns.sort(axis=1)  # NaN last; faster than a partition at four positions
    bounds = np.full((2, len(columns)), np.nan)
    is_whole = ~np.isnan(columns[:, -1])
    for column in np.flatnonzero(~is_whole):
        present = columns[column][~np.isnan(columns[column])]
        if len(present):
            bounds[:, column] = np.quantile(present, quantiles)
    last = columns.shape[1] - 1
    for side, quantile in enumerate(quantiles):
        rank = quantile * last
        below, above = columns[:, int(rank)], columns[:, min(int(rank) + 1, last)]
        bounds[side, is_whole] = (below + (rank - int(rank)) * (above - below))[is_whole]
    return bounds


def _summary(column: Array, bounds: Array) -> Interval:
    present = column[~np.isnan(column)]
    if len(present) == 0:
        return Interval(None, None, None, None, 0)
    mean = float(present.mean())
    if len(present) == 1:
        return Interval(mean, None, None, None, 1)
    return Interval(mean, float(bounds[0]), float(bounds[1]), clustered_standard_error(present), len(present))


def _count_draws(draws: NDArray[np.int64]) -> Array:
    """Return [rows, P] how often each problem was drawn: multinomial weights."""
    rows, problems = draws.shape
    starts: NDArray[np.int64] = np.arange(rows, dtype=np.int64)[:, None] * problems
    return np.bincount((draws + starts).ravel(), minlength=rows * problems).reshape(rows, problems).astype(np.float64)


def _sum_deviations(deviations: Array, draws: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return [rows, R] for each row the sum, over its problems, of the deviation in one of their resampled pools."""
    pools, problems, columns = deviations.shape
    flat = np.nan_to_num(deviations).reshape(pools * problems, columns)
    indices = rng.integers(0, pools, size=draws.shape) * problems + draws
    sums = np.empty((len(draws), columns))
    chunk = max(1, _CHUNK_CELLS // max(1, problems * columns))
    for start in range(0, len(draws), chunk):
        part = slice(start, start + chunk)
        sums[part] = flat[indices[part]].sum(axis=1)
    return sums
