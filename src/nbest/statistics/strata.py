"""The average over several sets of problems (benchmarks): macro or pooled, with intervals. Pure numpy.

    macro   every set has the same weight: the mean of the sets' means, as papers report it
    pooled  every problem has the same weight: the mean over the problems of all sets

The sets are chosen, not sampled: problems are resampled within their own set (a stratified bootstrap), so the interval
covers other problems of these benchmarks, not other benchmarks. Standard errors add up like the standard errors of
independent means: the square root of the sum of (weight * standard error of the set)^2.

An average is undefined in a column where any of the sets has no value: an average over fewer sets is another number.
This module does not know what the values mean. Shapes: M sets, P problems of a set, R columns.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError
from nbest.statistics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Within,
    check_table,
    clustered_standard_error,
    column_blocks,
    percentiles,
    resample_means,
)

Array: TypeAlias = NDArray[np.float64]
Weighing: TypeAlias = Literal["macro", "pooled"]


def set_weights(tables: Sequence[Array], weighing: Weighing) -> Array:
    """Return the weight [M, R] of the mean of each set in the average, for M `tables` of [P, R].

    A column sums to 1, and is NaN if a set has no value.
    """
    if not tables:
        raise ConfigError("an average needs at least one set of problems")
    counts = np.array([np.count_nonzero(~np.isnan(table), axis=0) for table in tables], dtype=np.float64)
    shares = np.ones_like(counts) if weighing == "macro" else counts
    is_defined = (counts > 0).all(axis=0)
    return np.where(is_defined, shares / np.maximum(shares.sum(axis=0), 1), np.nan)


def count_fewest(tables: Sequence[Array]) -> NDArray[np.int64]:
    """Return [R] how many values the set with the fewest has, for M `tables` of [P, R]."""
    return np.stack([np.count_nonzero(~np.isnan(table), axis=0) for table in tables]).min(axis=0)


def average_intervals(
    tables: Sequence[Array],
    weighing: Weighing,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    withins: Sequence[Within | None] = (),
) -> list[Interval]:
    """Return one Interval per column of the average over sets whose values are `tables`, M of [P, R].

    The interval is undefined if a set has fewer than two problems in that column; `problems` counts those of all
    sets. `withins` [M] as in `intervals`. Raises ConfigError for shapes that do not fit.
    """
    resamplings = list(withins) or [None] * len(tables)
    for table, within in zip(tables, resamplings, strict=True):
        check_table(table, within)
    weights = set_weights(tables, weighing)
    columns = weights.shape[1]
    bounds = np.full((2, columns), np.nan)
    if resamples > 0 and all(len(table) > 1 for table in tables):
        for part in column_blocks(columns, resamples):
            means = np.zeros((resamples, part.stop - part.start))
            for number, (table, within) in enumerate(zip(tables, resamplings, strict=True)):
                means += weights[number, part] * resample_means(table, part, (seed, number), resamples, within)
            bounds[:, part] = percentiles(means, level)
    return [_summarise_column(tables, resamplings, weights, bounds, column) for column in range(columns)]


def weigh_problems(tables: Sequence[Array], weighing: Weighing) -> Array:
    """Return the share [P of all sets, R] of each value in the average, which is the sum of a column. NaN stays NaN."""
    weights = set_weights(tables, weighing)
    shares = [
        table * (weights[number] / np.maximum(np.count_nonzero(~np.isnan(table), axis=0), 1))
        for number, table in enumerate(tables)
    ]
    return np.concatenate(shares)


def _summarise_column(
    tables: Sequence[Array], withins: Sequence[Within | None], weights: Array, bounds: Array, column: int
) -> Interval:
    present = [table[~np.isnan(table[:, column]), column] for table in tables]
    problems = sum(len(values) for values in present)
    if np.isnan(weights[:, column]).any():
        return Interval(None, None, None, None, problems)
    shares = weights[:, column].tolist()
    mean = math.fsum(share * float(values.mean()) for share, values in zip(shares, present, strict=True))
    if any(len(values) < 2 for values in present):
        return Interval(mean, None, None, None, problems)
    errors = [_estimate_error(values, within, column) for values, within in zip(present, withins, strict=True)]
    error = math.sqrt(math.fsum((share * error) ** 2 for share, error in zip(shares, errors, strict=True)))
    return Interval(mean, float(bounds[0, column]), float(bounds[1, column]), error, problems)


def _estimate_error(values: Array, within: Within | None, column: int) -> float:
    if within is not None and within.keeps_problems:
        return float(within.standard_error()[column])
    return clustered_standard_error(values) or 0.0
