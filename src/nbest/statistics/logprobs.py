"""Token log-probabilities, summed up: by step, and the DeepConf family over windows. Pure numpy.

Training and scoring share the summary of a step. This module does not know runs, pools or what the numbers mean, and
it turns no sign. All arithmetic is float64, whatever comes in. Shapes: T tokens, S steps.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import DataError
from nbest.records import Step

Array: TypeAlias = NDArray[np.float64]

STEP_FEATURES = ("mean", "minimum", "sum", "length")
"""The columns of `step_features`: three in nats, the last in tokens."""


def step_features(logprobs: ArrayLike, steps: Sequence[Step]) -> NDArray[np.float32]:
    """Return float32 [S 4] the `STEP_FEATURES` of the tokens of each step, from their log-probabilities [T].

    Raises DataError where a step lies outside the tokens or holds none.
    """
    spans = np.fromiter((edge for step in steps for edge in (step.start, step.end)), np.int64, 2 * len(steps))
    return span_features(logprobs, spans.reshape(-1, 2))


def span_features(logprobs: ArrayLike, spans: ArrayLike) -> NDArray[np.float32]:
    """Return the `step_features` of half-open `spans` [S 2]; they may leave gaps, overlap and come in any order.

    One call does for many trajectories: their log-probabilities one after another, the spans moved by where each
    begins. A number that is not finite shows in the features of the spans that hold it and nowhere else; an absent
    step gives no row. Raises DataError (a ValueError) unless 0 <= start < end <= T.
    """
    values, edges = np.asarray(logprobs, dtype=np.float64), np.asarray(spans, dtype=np.int64)
    if values.ndim != 1 or edges.ndim != 2 or edges.shape[1] != 2:
        raise DataError(f"logprobs must be [T] and spans [S 2], got shapes {values.shape} and {edges.shape}")
    starts, ends = edges[:, 0], edges[:, 1]
    wrong = np.flatnonzero((starts < 0) | (ends <= starts) | (ends > len(values)))
    if len(wrong):
        start, end = edges[wrong[0]]
        raise DataError(
            f"step {wrong[0]} is the span [{start}, {end}) of {len(values)} log-probabilities; a step needs "
            "0 <= start < end <= tokens. Are these the steps and the log-probabilities of the same completion?"
        )
    features = np.empty((len(edges), len(STEP_FEATURES)), dtype=np.float32)
    if not len(edges):
        return features
    # reduceat reduces from each index to the next: the even ones are the spans, the odd ones what lies between.
    # An end may be T, which is no index, so one more number stands behind the last.
    padded, cuts = np.append(values, 0.0), edges.ravel()
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, as stated
        totals = np.add.reduceat(padded, cuts)[::2]
        features[:, 0] = totals / (ends - starts)
        features[:, 1] = np.minimum.reduceat(padded, cuts)[::2]
    features[:, 2] = totals
    features[:, 3] = ends - starts
    return features


def window_means(values: ArrayLike, window: int) -> Array:
    """Return [T - window + 1] the mean of every `window` consecutive numbers of `values` [T], one apart.

    Fewer numbers than the window make one window of what there is; no number makes none. (The groups of DeepConf,
    arXiv 2508.15260, section 3, and of its code, where only whole windows count.) `values` must be finite.
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
