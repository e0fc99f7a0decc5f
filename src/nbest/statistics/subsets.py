"""Expected accuracy of score-weighted votes over the k-subsets of a pool: by enumeration or by stratified draws.

A weighted vote has no closed form over subsets (`estimators` has the rules with one), so subsets are drawn. All k of
one call share their draws: the first k candidates of a permutation of the pool are the subset of size k. One seed
therefore gives every rule the same subsets, and differences between rules have less noise.

The draws are stratified: a permutation is read as a ring, from several evenly spaced starts. Each start alone gives a
uniform k-subset, so the mean is unbiased, and together they visit the candidates more evenly than independent draws.
The Monte Carlo standard error comes from the spread between permutations, which are independent. It measures the
distance from the expectation over all subsets of this pool; the error from sampling the pool and the problems is
another one (`intervals`).

Where a k has at most as many subsets as draws, each is evaluated once: the result is exact and its error 0 (as always
for k = 1 and k = N). `votes` has the rules of the vote, of ties and of abstention; ties share the credit. This module
does not know records, runs or selectors. Shapes: N candidates, V voters, K entries of `ks`, R subsets.
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
"""The starts from which one permutation is read; 128 draws are 16 independent permutations."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledCurve(Curve):
    """A `Curve` that may come from drawn subsets.

    `error` [K] is the Monte Carlo standard error of `accuracy` (0 if exact, NaN if k > N), `exact` [K] whether
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
    """Return the expected `correct` [N] of the pick of `rule` in a k-subset, for every k of `ks`; NaN if k > N.

    `clusters` [N] numbers the answers, negative = no answer; `scores` [N], NaN = no score. A candidate without an
    answer or a score does not vote; a subset without a voter abstains and counts as wrong. `draws` is the least number
    of subsets per k, `seed` fixes them.
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
        subsets = _list_subsets(total, k) if exact[column] else _draw_positions(total, draws, seed) < k
        picks = hold_vote(ballot, rule, subsets[:, ballot.positions]).picks
        counts = picks.sum(axis=1)
        credit = (picks @ values[ballot.positions]) / np.maximum(counts, 1)
        accuracy[column], abstained[column] = credit.mean(), np.count_nonzero(counts == 0) / len(counts)
        error[column] = 0.0 if exact[column] else _estimate_error(credit, total)
    return SampledCurve(accuracy, abstained, error, exact)


def _is_enumerated(total: int, k: int, draws: int) -> bool:
    return k == 1 or math.comb(total, k) <= draws  # comb is 0 where k > total, with nothing to draw


def _estimate_error(credit: Array, total: int) -> float:
    """Return the standard error of `credit` [R], from the means of the permutations, one after another in it."""
    means = credit.reshape(-1, min(_STARTS, total)).mean(axis=1)
    return float(means.std(ddof=1) / math.sqrt(len(means)))


@lru_cache(maxsize=16)
def _draw_positions(total: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return the position [R, N] of each candidate in each reading of a permutation.

    The candidates at positions below k are a uniform k-subset.
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
def _list_subsets(total: int, k: int) -> Mask:
    """Return every k-subset [C(N, k), N]."""
    members = np.array(list(combinations(range(total), k)), dtype=np.int64)
    subsets = np.zeros((len(members), total), dtype=np.bool_)
    subsets[np.arange(len(members))[:, None], members] = True
    subsets.setflags(write=False)
    return subsets
