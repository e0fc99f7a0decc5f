"""Summaries of token log-probabilities: by step, and over windows as DeepConf has them. Pure numpy.

Training and scoring share the summary of a step. This module does not know runs, pools or what the numbers mean, and it
keeps their sign. All arithmetic is in float64. Shapes: T tokens, S steps.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import DataError
from nbest.plurals import show_count
from nbest.records import Step

Array: TypeAlias = NDArray[np.float64]

STEP_FEATURES = ("mean", "minimum", "sum", "length")
"""The columns of `step_features`: three in nats, the last in tokens."""


def step_features(logprobs: ArrayLike, steps: Sequence[Step]) -> NDArray[np.float32]:
    """Return float32 [S 4] the `STEP_FEATURES` of the tokens of each step, from their log-probabilities [T].

    Raises DataError if a step lies outside the tokens or holds none.
    """
    spans = np.fromiter((edge for step in steps for edge in (step.start, step.end)), np.int64, 2 * len(steps))
    return span_features(logprobs, spans.reshape(-1, 2))


def span_features(logprobs: ArrayLike, spans: ArrayLike) -> NDArray[np.float32]:
    """Return the `step_features` of half-open `spans` [S 2]; they may leave gaps, overlap and come in any order.

    One call can serve many trajectories: concatenate their log-probabilities and add to each span the position at which
    its trajectory begins. A number that is not finite affects the features of the spans that contain it and no others.
    Raises DataError unless 0 <= start < end <= T.
    """
    values, edges = np.asarray(logprobs, dtype=np.float64), np.asarray(spans, dtype=np.int64)
    if values.ndim != 1 or edges.ndim != 2 or edges.shape[1] != 2:
        raise DataError(f"logprobs must be [T] and spans [S 2], got shapes {values.shape} and {edges.shape}")
    starts, ends = edges[:, 0], edges[:, 1]
    faults = np.flatnonzero((starts < 0) | (ends <= starts) | (ends > len(values)))
    if len(faults):
        start, end = edges[faults[0]]
        raise DataError(
            f"step {faults[0]} is the span [{start}, {end}) of {show_count(len(values), 'log-probability')}; a step "
            "needs 0 <= start < end <= tokens. Are these the steps and the log-probabilities of the same completion?"
        )
    features = np.empty((len(edges), len(STEP_FEATURES)), dtype=np.float32)
    if not len(edges):
        return features
    # reduceat reduces from each index to the next: the even results are the spans, the odd ones what is between them.
    # An end may be T, which is not an index, so one more number is appended.
    padded, cuts = np.append(values, 0.0), edges.ravel()
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN
        totals = np.add.reduceat(padded, cuts)[::2]
        features[:, 0] = totals / (ends - starts)
        features[:, 1] = np.minimum.reduceat(padded, cuts)[::2]
    features[:, 2] = totals
    features[:, 3] = ends - starts
    return features


def window_means(values: ArrayLike, window: int) -> Array:
    """Return the means [T - window + 1] of every `window` consecutive numbers of `values` [T], one apart.

    Fewer numbers than `window` are one window; no numbers have none. These are the groups of DeepConf (arXiv
    2508.15260, section 3, and its code, which uses whole windows only). `values` must be finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) <= window:
        return numbers.mean(keepdims=True) if len(numbers) else numbers
    totals = np.concatenate(([0.0], np.cumsum(numbers)))
    return (totals[window:] - totals[:-window]) / window


def lowest_share_mean(values: ArrayLike, share: float) -> float:
    """Return the mean of the lowest `share` of `values` [T]; NaN for none.

    The share is rounded down to a whole number of values, and at least one.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return float("nan")
    count = max(1, int(len(numbers) * share))
    return float(np.partition(numbers, count - 1)[:count].mean())
