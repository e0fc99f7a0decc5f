"""Aggregates the scores of a trajectory's steps into its value, for one trajectory or for a batch.

Rules that hold for all of them
    A trajectory without steps has the value NaN: it cannot be scored. A NaN in one step makes the value NaN, whatever
    `how`: a trajectory is scored by all of its steps or not at all.
    Sums and products run over a trajectory's own steps only, so its value does not depend, in any bit, on its
    neighbours in a batch or on the padding.

Pure numpy; this module does not know which model made the scores. Shapes: B trajectories, S steps of the longest.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.config import Aggregation
from nbest.errors import ConfigError, DataError

AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def aggregate(values: Sequence[float] | NDArray[np.floating], how: Aggregation) -> float:
    """Return the value of one trajectory from the scores [S] of its steps; NaN without steps or where one is NaN.

    Raises ConfigError for an unknown `how`, DataError for a negative score under `geometric_mean`.
    """
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1:
        raise DataError(f"values: the scores of one trajectory are [S], got shape {row.shape}")
    return float(aggregate_rows(row[None, :], np.ones((1, len(row)), dtype=np.bool_), how)[0])


def aggregate_rows(values: ArrayLike, mask: ArrayLike, how: Aggregation) -> NDArray[np.float64]:
    """Return values [B] from step scores [B S]; `mask` [B S] is True for steps. Values in the padding are not read.

    The rules and errors are those of `aggregate`; `last` is the last step of a row where `mask` is True.
    """
    table, is_step = np.asarray(values, dtype=np.float64), np.asarray(mask, dtype=np.bool_)
    if table.ndim != 2 or table.shape != is_step.shape:
        raise DataError(f"values and mask must both be [B S], got shapes {table.shape} and {is_step.shape}")
    if how not in AGGREGATIONS:
        raise ConfigError(f"aggregation: {how!r} is none of {', '.join(AGGREGATIONS)}")
    counts = is_step.sum(axis=1)
    has_steps = counts > 0
    result = np.full(len(table), np.nan)
    if has_steps.any():
        result[has_steps] = _aggregate_segments(table[is_step], counts[has_steps], how)
    return result


def _aggregate_segments(flat: NDArray[np.float64], counts: NDArray[np.int64], how: Aggregation) -> NDArray[np.float64]:
    """Return one value per segment; `flat` holds the segments one after another, `counts` (above 0) their lengths."""
    ends = np.cumsum(counts)
    starts = ends - counts
    with np.errstate(all="ignore"):  # infinite scores and underflow follow IEEE arithmetic
        if how == "mean":
            return np.add.reduceat(flat, starts) / counts
        if how == "min":
            return np.minimum.reduceat(flat, starts)
        if how == "product":
            return np.multiply.reduceat(flat, starts)
        if how == "geometric_mean":
            if (flat < 0).any():
                raise DataError(
                    f"geometric_mean needs step scores of at least 0 (probabilities), got {flat.min():g}; "
                    "aggregate these by mean, min, last or product"
                )
            return np.exp(np.add.reduceat(np.log(flat), starts) / counts)
        last = flat[ends - 1]
        last[np.logical_or.reduceat(np.isnan(flat), starts)] = np.nan
        return last
