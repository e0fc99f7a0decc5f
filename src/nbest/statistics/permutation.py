"""Paired significance without an assumed distribution: the sign-flip permutation test and Holm's correction.

Under the null hypothesis that two selectors are exchangeable on every problem, the difference on each problem is as
likely to have the other sign. The two-sided p-value is the share of sign patterns whose sum is at least as far from 0
as the one observed (Fisher 1935; Good 2005). A difference of 0 is the same under both signs and is left out; so is NaN.

With m differences that are not 0, all 2^m patterns are evaluated if there are at most `flips`: the p-value is then
exact. Otherwise `flips` random patterns are drawn and p = (1 + the number as extreme) / (1 + flips). This counts the
observed pattern as one of them, so that p is never 0 and the test never too liberal (Phipson & Smyth 2010).

Pure numpy. This module does not know what was compared. Shapes: P problems, R columns (such as a selector at one n).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError

Array: TypeAlias = NDArray[np.float64]

FLIPS = 10_000
_CHUNK_SIGNS = 1 << 22
"""Signs drawn at once. It bounds the working memory to about 40 MB for any P and any number of patterns."""
_ROUNDING = 1e-9


def sign_flip_p_values(differences: ArrayLike, *, seed: int, flips: int = FLIPS) -> Array:
    """Return the two-sided p-values [R] of `differences` [P, R]; NaN if a column has no value, 1 if all are 0.

    Random patterns are the same for all columns of one call. Raises ConfigError for `flips` below 1 or another shape.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2:
        raise ConfigError(f"differences must be [P, R], got shape {table.shape}")
    if flips < 1:
        raise ConfigError(f"flips must be at least 1, got {flips}")
    is_empty = np.isnan(table).all(axis=0)
    values = np.where(np.isnan(table), 0.0, table)
    observed = np.abs(values.sum(axis=0))
    bounds = observed - _ROUNDING * np.abs(values).sum(axis=0)  # sums of floats: equal up to rounding is as extreme
    counts = np.count_nonzero(values, axis=0)
    is_small = counts < flips.bit_length()  # 2^m <= flips
    p_values = np.ones(table.shape[1])
    for column in np.flatnonzero(is_small):
        nonzero = values[values[:, column] != 0, column]
        p_values[column] = np.mean(np.abs(_list_sign_patterns(len(nonzero)) @ nonzero) >= bounds[column])
    if not is_small.all():
        extreme = _count_extreme(values[:, ~is_small], bounds[~is_small], seed, flips)
        p_values[~is_small] = (1 + extreme) / (1 + flips)
    p_values[is_empty] = np.nan
    return p_values


def holm(p_values: ArrayLike) -> Array:
    """Return the p-values [M] corrected for M hypotheses tested together (Holm 1979).

    The i-th smallest is multiplied by M - i (i from 0); the result is at least that of the one before it and at most 1.
    NaN stays NaN and is not a hypothesis.
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(values.shape, np.nan)
    hypotheses = np.flatnonzero(~np.isnan(values))
    order = hypotheses[np.argsort(values[hypotheses], kind="stable")]
    scaled = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def _list_sign_patterns(count: int) -> Array:
    """Return every pattern of signs [2^count, count]."""
    bits = np.arange(1 << count)[:, None] >> np.arange(count) & 1
    return np.where(bits == 1, -1.0, 1.0)


def _count_extreme(values: Array, bounds: Array, seed: int, flips: int) -> Array:
    """Return how many of the random patterns have a sum at least as far from 0 as `bounds` [R]."""
    rng = np.random.default_rng(seed)
    problems, columns = values.shape
    extreme = np.zeros(columns)
    chunk = max(1, _CHUNK_SIGNS // max(problems, 1))
    for start in range(0, flips, chunk):
        rows = min(chunk, flips - start)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, problems), dtype=np.int8)
        extreme += (np.abs(signs @ values) >= bounds).sum(axis=0)
    return extreme
