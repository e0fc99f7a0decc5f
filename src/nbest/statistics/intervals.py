"""Intervals for the mean over problems, and for the difference of two selectors on the same problems. Pure numpy.

The problem is the unit of sampling: all samples of one problem share its difficulty, so every interval here is
clustered by problem. The value of a problem is an expectation over its own samples (`estimators`); every problem has
the same weight in the mean. All columns of one call are resampled together, so differences between them are paired.

What is resampled
    Problems (the default): the interval covers other problems of this kind, each with other samples. The values of
    problems differ by their difficulty and by the chance of their samples, so their spread contains both.
    Samples within the same problems (`Within`): the interval covers other samples of the same problems.
    Both levels: problems are drawn, and samples within each. That counts the chance of the samples twice, once in the
    spread of the values and once by itself, so the interval is too wide rather than too narrow (Davison & Hinkley 1997,
    section 3.8); for large pools it is close to the interval of problems alone.

NaN = the problem has no value in this column, for example because its pool is smaller than k; the column leaves it out.
This module does not know what the values mean. Shapes: P problems, R columns (such as a selector at one k), B resampled
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
"""Problems drawn at once. It bounds the working memory to about 30 MB for any P and any number of resamples."""
_CHUNK_CELLS = 1 << 23
"""Resampled means in memory at once (64 MB); wider tables are computed in blocks of columns with the same draws."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over problems.

    `mean` is None without any problem; the interval (`low`, `high`: percentile bootstrap) and the analytic
    `standard_error` are None with fewer than two, where they are undefined. `problems` counts those with a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    problems: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of first minus second, over problems where both have a value; `differing` counts unequal ones."""

    interval: Interval
    differing: int


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """How the value of each problem varies when its samples are drawn again.

    `deviations` [B, P, R] is the value in each of B pools resampled with replacement, minus their mean. The mean is
    subtracted because a pool with repeats has lower values (its pass@N, for example), so that only the spread can be
    used. For k close to N, best-of-k finds few distinct candidates in such a pool and its spread is understated
    (`benchmarks/coverage.py` measures it); maj@k and small k are not affected. With `keeps_problems` only samples are
    drawn again; otherwise problems are, too.
    """

    deviations: Array
    keeps_problems: bool

    def standard_error(self) -> Array:
        """Return the standard error [R] of the mean over the problems with a value, from the samples alone."""
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

    The interval is a percentile bootstrap: `resamples` times, P problems are drawn with replacement, and the mean is
    taken over those with a value. The standard error is clustered by problem: s / sqrt(n), s with n - 1 in the
    denominator (Miller 2024, arXiv 2411.00640). `within` resamples samples as well, or instead; in the latter case the
    standard error is that of the samples alone. Raises ConfigError for shapes that do not fit.
    """
    table = np.asarray(values, dtype=np.float64)
    check_table(table, within)
    bounds = np.full((2, table.shape[1]), np.nan)
    if len(table) > 1 and resamples > 0:
        for part in column_blocks(table.shape[1], resamples):
            bounds[:, part] = percentiles(resample_means(table, part, seed, resamples, within), level)
    errors = within.standard_error() if within is not None and within.keeps_problems else None
    results: list[Interval] = []
    for column, (low, high) in enumerate(bounds.T.tolist()):
        present = table[:, column][~np.isnan(table[:, column])]
        mean = float(present.mean()) if len(present) else None
        if len(present) < 2:
            results.append(Interval(mean, None, None, None, len(present)))
        else:
            error = clustered_standard_error(present) if errors is None else float(errors[column])
            results.append(Interval(mean, low, high, error, len(present)))
    return results


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, seed: Seed, resamples: int = RESAMPLES, level: float = LEVEL
) -> Difference:
    """Return the interval of the mean difference of `first` [P] and `second` [P], problem by problem."""
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    # Both are sums of floats, whose rounding is no difference.
    differing = int(np.count_nonzero(np.abs(differences[~np.isnan(differences)]) > 1e-12))
    return Difference(interval(differences, seed=seed, resamples=resamples, level=level), differing)


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
        raise ConfigError(
            f"deviations has shape {within.deviations.shape}; for values [P, R] of shape {table.shape} it must be "
            "[B, P, R] with B at least 2"
        )


def column_blocks(columns: int, resamples: int) -> list[slice]:
    """Return the columns in blocks whose resampled means fit into memory."""
    block = max(1, _CHUNK_CELLS // resamples)
    return [slice(start, min(start + block, columns)) for start in range(0, columns, block)]


def resample_means(table: Array, part: slice, seed: Seed, resamples: int, within: Within | None = None) -> Array:
    """Return [resamples, R] the means of the columns in `part` of `table` [P, R].

    The draws of one seed are the same for all columns. A mean is NaN if no problem that was drawn has a value.
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

    Means that are NaN are left out; a column of nothing else stays NaN.
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
