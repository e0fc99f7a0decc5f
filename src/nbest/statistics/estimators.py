"""Exact expectations over all k-subsets of a pool: pass@k, best-of-k for any score, maj@k. Pure numpy.

Every estimator here is the expectation of a metric over the C(N, k) subsets of size k of the N trajectories of one
problem. It is a closed form or a finite sum, not a simulation, so its only error is that of a finite number of
trajectories and problems. Where k is larger than the pool, the value is undefined: NaN, never 1.0.

Rules that hold everywhere
    Ties share the credit: where several candidates (or clusters) of a subset are equally good, the value of the subset
    is the mean over them. The samples of one prompt are exchangeable, so this is the expectation of any rule that
    breaks ties by position.
    A subset on which the selector abstains counts as wrong, and the probability of abstaining is returned beside it.

This module does not know records, runs, answers or selectors. Shapes: N trajectories, K entries of `ks`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError, UnavailableError

Array: TypeAlias = NDArray[np.float64]

MAJORITY_LIMIT = 1000
"""The largest pool of `majority_at_k`: above it C(N, N/2) exceeds the range of float64. (The cost grows as N^3.)"""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One metric of one pool at every k of `ks`: `accuracy` [K] and `abstained` [K], both NaN if k > N."""

    accuracy: Array
    abstained: Array


def pass_at_k(correct: ArrayLike, ks: Sequence[int]) -> Array:
    """Return the probability [K] that a k-subset has a right one: 1 - C(N - c, k) / C(N, k) for c right ones.

    `correct` [N] is True or False; NaN if k > N. Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.
    """
    return best_of_k(correct, correct, ks).accuracy


def random_pick(correct: ArrayLike, ks: Sequence[int]) -> Array:
    """Return the accuracy [K] of a random pick from a k-subset: the mean of `correct` [N], NaN if k > N."""
    values = np.asarray(correct, dtype=np.float64)
    return best_of_k(values, np.zeros_like(values), ks).accuracy


def best_of_k(correct: ArrayLike, scores: ArrayLike, ks: Sequence[int]) -> Curve:
    """Return the expected `correct` [N] of the candidate with the highest of `scores` [N] in a k-subset.

    Candidates with equal scores share the credit. NaN = no score: such a candidate never wins, and a subset of only
    such candidates abstains. In ascending order of score, the candidate with i others below it is the best of C(i, k -
    1) of the C(N, k) subsets; each member of a tie has the mean value of the tie.
    """
    values = np.asarray(correct, dtype=np.float64)
    ranking = np.asarray(scores, dtype=np.float64)
    if values.shape != ranking.shape or values.ndim != 1:
        raise ConfigError(f"correct has shape {values.shape}, scores {ranking.shape}; both must be [N]")
    weights = _compute_best_weights(len(values), tuple(ks))
    has_score = ~np.isnan(ranking)
    unscored = len(values) - int(has_score.sum())
    levels, level_of = np.unique(ranking[has_score], return_inverse=True)
    sizes = np.bincount(level_of, minlength=len(levels))
    means = np.bincount(level_of, weights=values[has_score], minlength=len(levels)) / np.maximum(sizes, 1)
    ascending = np.concatenate([np.zeros(unscored), np.repeat(means, sizes)])
    is_undefined = np.array(ks, dtype=np.int64) > len(values)
    accuracy, abstained = weights @ ascending, weights[:, :unscored].sum(axis=1)
    return Curve(np.where(is_undefined, np.nan, accuracy), np.where(is_undefined, np.nan, abstained))


def majority_at_k(correct: ArrayLike, clusters: ArrayLike, ks: Sequence[int]) -> Curve:
    """Return the expected correctness of the largest answer cluster in a k-subset (maj@k, self-consistency).

    `clusters` [N] numbers the answer of each candidate; a negative number = no answer: it does not vote, and a subset
    without any vote abstains. Clusters that tie share the credit. The worth of a cluster is the mean of `correct` [N]
    over its members, because its representative is the member that comes first, which is random.

    The expectation is a sum over the number j of the winner's members in the subset. Given j, each other cluster has
    fewer than j members of the subset, or exactly j and ties. The number of subsets is the coefficient of x^k in a
    product of truncated binomials with a mark u for each tie, and a winner that ties with t others gets 1 / (1 + t) of
    the credit. There are at most N factors over all j, so a pool of 64 takes about a millisecond for all k. (Our own
    derivation, checked against enumeration.)

    Raises UnavailableError if the pool is larger than `MAJORITY_LIMIT`.
    """
    values = np.asarray(correct, dtype=np.float64)
    labels = np.asarray(clusters, dtype=np.int64)
    if values.shape != labels.shape or values.ndim != 1:
        raise ConfigError(f"correct has shape {values.shape}, clusters {labels.shape}; both must be [N]")
    total = len(values)
    if total > MAJORITY_LIMIT:
        raise UnavailableError(
            f"maj@k is exact for pools of at most {MAJORITY_LIMIT} trajectories; this one has {total}"
        )
    _check_ks(ks)
    has_answer = labels >= 0
    _, cluster_of = np.unique(labels[has_answer], return_inverse=True)
    sizes = np.bincount(cluster_of)
    worth = np.bincount(cluster_of, weights=values[has_answer]) / np.maximum(sizes, 1)
    silent = total - int(has_answer.sum())
    abstained = _compute_subset_share(silent, total, ks)
    if len(worth) == 0 or np.ptp(worth) == 0:  # the credit is the same whichever cluster wins
        return Curve((worth[0] if len(worth) else 0.0) * (1.0 - abstained), abstained)
    depth = max((k for k in ks if k <= total), default=0)
    credit = _winning_credit(sizes, worth, silent, depth)
    pascal = _compute_binomials(total)
    accuracy = [credit[k] / pascal[total, k] if k <= total else np.nan for k in ks]
    return Curve(np.array(accuracy, dtype=np.float64), abstained)


def _winning_credit(sizes: NDArray[np.int64], worth: Array, silent: int, depth: int) -> Array:
    """Return [depth + 1] the sum, over the subsets of each size, of the credit of their largest cluster."""
    pascal = _compute_binomials(int(sizes.sum()) + silent)
    width = depth + 1
    credit = np.zeros(width)
    runner_up, largest = (int(size) for size in np.sort(np.append(sizes, 0))[-2:])
    for count in range(1, min(runner_up, depth) + 1):
        active = np.flatnonzero(sizes >= count)
        free = silent + int(sizes[sizes < count].sum())  # these can neither win nor tie: any subset of them is possible
        credit += _credit_at_count(count, sizes[active], worth[active], pascal[free, :width], pascal)
    # Above the size of every other cluster nothing can tie with the largest: any subset of the rest is possible.
    counts = np.arange(runner_up + 1, min(largest, depth) + 1)
    if len(counts):
        rest = silent + int(sizes.sum()) - largest
        rest_counts = np.arange(width)[None, :] - counts[:, None]
        ways = np.where(rest_counts >= 0, pascal[rest, np.maximum(rest_counts, 0)], 0.0)
        credit += worth[sizes.argmax()] * (pascal[largest, counts] @ ways)
    return credit


def _credit_at_count(count: int, sizes: NDArray[np.int64], worth: Array, free: Array, pascal: Array) -> Array:
    """Return [width] the credit of subsets whose winner has `count` members.

    `free` [width] is the number of subsets, by size, of the candidates that can neither win nor tie.
    """
    width = len(free)
    ties = min(len(sizes), max(1, (width - 1) // count))  # no more clusters of `count` fit into a subset
    # ways[0]: no cluster so far is the winner; ways[1]: one of them is (weighted by its worth). Second axis: how many
    # others tie; third axis: members of the subset so far.
    ways = np.zeros((2, ties + 1, width))
    ways[0, 0] = free
    offsets = _make_toeplitz_index(width)
    for size, credit in zip(sizes, worth, strict=True):
        shifted = pascal[size, count] * ways[:, :, : width - count]
        if count > 1:
            fewer = np.zeros(2 * width - 1)
            fewer[width - 1 : width - 1 + count] = pascal[size, :count]
            ways = (ways.reshape(-1, width) @ fewer.take(offsets)).reshape(ways.shape)
        ways[:, 1:, count:] += shifted[:, :-1]
        ways[1, :, count:] += credit * shifted[0]
    return (1.0 / np.arange(1, ties + 2)) @ ways[1]


def _check_ks(ks: Sequence[int]) -> None:
    faults = [k for k in ks if k < 1]
    if faults:
        raise ConfigError(f"k must be at least 1, got {faults[0]}")


@lru_cache(maxsize=64)
def _compute_best_weights(total: int, ks: tuple[int, ...]) -> Array:
    """Return the probability [K, N] that the candidate with i others below it is the best of a k-subset, 0 if k > N."""
    _check_ks(ks)
    weights = np.zeros((len(ks), total))
    below = np.arange(total, dtype=np.float64)
    row = np.full(total, 1.0 / max(total, 1))
    for k in range(1, min(max(ks, default=0), total) + 1):
        if k > 1:  # C(i, k-1) / C(N, k) from C(i, k-2) / C(N, k-1), so that nothing overflows
            row = row * np.maximum(below - k + 2, 0) / (k - 1) * k / (total - k + 1)
        weights[[index for index, size in enumerate(ks) if size == k]] = row
    weights.setflags(write=False)
    return weights


def _compute_subset_share(part: int, total: int, ks: Sequence[int]) -> Array:
    """Return C(part, k) / C(total, k) [K]: the share of k-subsets inside a part of the pool; NaN if k > total."""
    shares = [math.comb(part, k) / math.comb(total, k) if k <= total else np.nan for k in ks]
    return np.array(shares, dtype=np.float64)


def _compute_binomials(total: int) -> Array:
    """Return the binomial coefficients C(n, k) as floats, at least for n and k up to `total`; 0 if k > n."""
    return _make_pascal_table(1 << total.bit_length())


@lru_cache(maxsize=4)
def _make_pascal_table(size: int) -> Array:
    table = np.zeros((size + 1, size + 1))
    table[:, 0] = 1.0
    for n in range(1, size + 1):
        table[n, 1:] = table[n - 1, 1:] + table[n - 1, :-1]
    table.setflags(write=False)
    return table


@lru_cache(maxsize=4)
def _make_toeplitz_index(width: int) -> NDArray[np.int64]:
    """Return an index [width, width]: `padded[index]` is the matrix that convolves with the second half of `padded`."""
    positions = np.arange(width)
    return width - 1 + positions[None, :] - positions[:, None]
