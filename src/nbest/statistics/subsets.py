"""Expected accuracy of score-weighted votes over the k-subsets of a pool: by enumeration or by stratified draws.

A weighted vote has no closed form over subsets (`estimators` holds the rules that have one), so subsets are drawn.
For every k of one call the same draws are used: a permutation of the pool gives a subset of each size, its first k.
One seed therefore gives the same subsets to every rule, and differences between rules hold less noise.

Stratified: a permutation is read from several evenly spaced starts, as a ring. Each start alone gives a uniform
k-subset, so the mean is unbiased, and together they visit the candidates more evenly than independent draws. The
Monte Carlo standard error comes from the spread between permutations, which are independent. It says how far this
number is from the expectation over all subsets of this pool; that the pool and the problems are themselves a sample
is another error (`intervals`).

Where a k has no more subsets than draws, each is evaluated once: exact, error 0 (always so for k = 1 and k = N).
Rules of the vote, of ties and of abstention: `votes`; ties share the credit. This module does not know records, runs
or selectors. Shapes: N candidates, V voters, K entries of `ks`, R subsets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError, UnavailableError
from nbest.statistics.estimators import Curve
from nbest.statistics.votes import VoteRule, hold_vote, make_ballot

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

DRAWS = 128
_STARTS = 8
"""Starts read from one permutation; 128 draws are 16 independent permutations."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledCurve(Curve):
    """A `Curve` that may come from drawn subsets.

    `error` [K] is the Monte Carlo standard error of `accuracy` (0 where exact, NaN where k > N), `exact` [K] whether
    every subset was evaluated.
    """

    error: Array
    exact: Mask


def weighted_vote_at_k(
    correct: ArrayLike,
    clusters: ArrayLike,
    scores: ArrayLike,
    ks: Sequence[int],
    rule: VoteRule,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> SampledCurve:
    """Return the expected `correct` [N] of the pick of `rule` in a k-subset, for every k of `ks`; NaN where k > N.

    `clusters` [N] numbers the answers, negative = none; `scores` [N], NaN = none: neither casts a vote, and a subset
    without a voter abstains and counts as wrong. `draws` is the least number of subsets per k, `seed` fixes them.
    Raises ConfigError for shapes, `ks` and `draws`; UnavailableError for scores that cannot be weights of this rule.
    """
    values = np.asarray(correct, dtype=np.float64)
    ballot = make_ballot(clusters, scores)
    total = len(values)
    if values.shape != np.shape(scores):
        raise ConfigError(f"correct has shape {values.shape}, scores {np.shape(scores)}; both must be [N]")
    if draws < 2 or any(k < 1 for k in ks):
        raise ConfigError(f"draws must be at least 2 and k at least 1, got {draws} and {list(ks)}")
    if fault := rule.fault(ballot.scores):
        raise UnavailableError(f"{rule.name}: {fault}")
    accuracy, abstained, error = np.full((3, len(ks)), np.nan)
    exact = np.array([_is_enumerated(total, k, draws) for k in ks], dtype=np.bool_)
    for column, k in enumerate(ks):
        if k > total:
            continue
        subsets = _all_subsets(total, k) if exact[column] else _positions(total, draws, seed) < k
        picks = hold_vote(ballot, rule, subsets[:, ballot.positions]).picks
        counts = picks.sum(axis=1)
        credit = (picks @ values[ballot.positions]) / np.maximum(counts, 1)
        accuracy[column], abstained[column] = credit.mean(), np.count_nonzero(counts == 0) / len(counts)
        error[column] = 0.0 if exact[column] else _error_between(credit, total)
    return SampledCurve(accuracy, abstained, error, exact)


def _is_enumerated(total: int, k: int, draws: int) -> bool:
    return k == 1 or math.comb(total, k) <= draws  # 0 where k > total: nothing to draw


def _error_between(credit: Array, total: int) -> float:
    """Return the standard error from the means of the permutations, which follow one another in `credit` [R]."""
    means = credit.reshape(-1, min(_STARTS, total)).mean(axis=1)
    return float(means.std(ddof=1) / math.sqrt(len(means)))


@lru_cache(maxsize=16)
def _positions(total: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return [R, N] the position of each candidate in each reading of a permutation.

    Those below k are uniform k-subsets.
    """
    starts = min(_STARTS, total)
    permutations = max(2, math.ceil(draws / starts))
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(total), (permutations, 1)), axis=1)
    offsets = np.arange(starts) * total // starts
    positions = ((orders[:, None, :] - offsets[None, :, None]) % total).reshape(-1, total)
    positions.setflags(write=False)
    return positions


@lru_cache(maxsize=64)
def _all_subsets(total: int, k: int) -> Mask:
    """Return [C(N, k), N] every k-subset."""
    members = np.array(list(combinations(range(total), k)), dtype=np.int64)
    subsets = np.zeros((len(members), total), dtype=np.bool_)
    subsets[np.arange(len(members))[:, None], members] = True
    subsets.setflags(write=False)
    return subsets
