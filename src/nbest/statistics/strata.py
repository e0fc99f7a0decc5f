"""The average over several sets of problems (benchmarks): macro or pooled, with intervals. Pure numpy.

    macro   every set weighs alike: the mean of the sets' means, as papers print it
    pooled  every problem weighs alike: the mean over the problems of all sets

The sets are a choice, not a sample: problems are resampled within their own set (a stratified bootstrap), so the
interval speaks about other problems of these benchmarks, never about other benchmarks. Standard errors add up as those
of independent means: the square root of the sum of (weight * standard error of the set)^2.

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

Values: TypeAlias = NDArray[np.float64]
Weighing: TypeAlias = Literal["macro", "pooled"]


def set_weights(tables: Sequence[Values], weighing: Weighing) -> Values:
    """[M, R] what the mean of each set weighs, a column sums to 1; NaN where a set has no value. Tables [P, R]."""
    if not tables:
        raise ConfigError("an average needs at least one set of problems")
    counts = np.array([np.count_nonzero(~np.isnan(table), axis=0) for table in tables], dtype=np.float64)
    raw = np.ones_like(counts) if weighing == "macro" else counts
    is_defined = (counts > 0).all(axis=0)
    return np.where(is_defined, raw / np.maximum(raw.sum(axis=0), 1), np.nan)


def average_intervals(
    tables: Sequence[Values],
    weighing: Weighing,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    withins: Sequence[Within | None] = (),
) -> list[Interval]:
    """One Interval a column of the average over sets whose values are `tables`, M of [P, R].

    The interval is undefined where a set has fewer than two problems in that column; `problems` counts those of all
    sets. `withins` [M] as in `intervals`. Raises ConfigError for shapes that do not fit.
    """
    kept = list(withins) or [None] * len(tables)
    for table, within in zip(tables, kept, strict=True):
        check_table(table, within)
    weights = set_weights(tables, weighing)
    columns = weights.shape[1]
    bounds = np.full((2, columns), np.nan)
    if resamples > 0 and all(len(table) > 1 for table in tables):
        for part in column_blocks(columns, resamples):
            means = np.zeros((resamples, part.stop - part.start))
            for place, (table, within) in enumerate(zip(tables, kept, strict=True)):
                means += weights[place, part] * resample_means(table, part, (seed, place), resamples, within)
            bounds[:, part] = percentiles(means, level)
    return [_summary(tables, kept, weights, bounds, column) for column in range(columns)]


def weigh_problems(tables: Sequence[Values], weighing: Weighing) -> Values:
    """[P of all sets, R] the share of each value in the average: a column sums to it. NaN stays NaN."""
    weights = set_weights(tables, weighing)
    shares = [
        table * (weights[place] / np.maximum(np.count_nonzero(~np.isnan(table), axis=0), 1))
        for place, table in enumerate(tables)
    ]
    return np.concatenate(shares)


def _summary(
    tables: Sequence[Values], withins: Sequence[Within | None], weights: Values, bounds: Values, column: int
) -> Interval:
    present = [table[~np.isnan(table[:, column]), column] for table in tables]
    problems = sum(len(values) for values in present)
    if np.isnan(weights[:, column]).any():
        return Interval(None, None, None, None, problems)
    shares = weights[:, column].tolist()
    mean = math.fsum(share * float(values.mean()) for share, values in zip(shares, present, strict=True))
    if any(len(values) < 2 for values in present):
        return Interval(mean, None, None, None, problems)
    errors = [_error(values, within, column) for values, within in zip(present, withins, strict=True)]
    error = math.sqrt(math.fsum((share * each) ** 2 for share, each in zip(shares, errors, strict=True)))
    return Interval(mean, float(bounds[0, column]), float(bounds[1, column]), error, problems)


def _error(values: Values, within: Within | None, column: int) -> float:
    if within is not None and within.keeps_problems:
        return float(within.standard_error()[column])
    return clustered_standard_error(values) or 0.0
