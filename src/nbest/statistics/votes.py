"""Score-weighted votes: how scores become weights, which cluster wins and which candidate is picked. Pure numpy.

Selectors, which hold one vote per pool, and estimators, which hold votes in many subsets at once, share these rules.

Rules of every vote
    Only candidates with an answer and a score vote. The cluster of equal answers with the most weight wins; the pick is
    its member with the highest score. Clusters whose weights differ by no more than rounding (a relative 1e-12) win
    together, and the pick is the highest score among all their members. The order of the candidates has no effect:
    all picks of equal score are returned, and the caller breaks the tie or shares the credit.
    A weight may be 0: where all weights are 0, all clusters win together and the highest score is picked.

The weight of a vote, by rule

    vote      score^power, 1 unless set; finite and at least 0. The weighted vote of Li et al. 2022 (arXiv 2206.02336).
    vote-max  The score, of any sign; the weight of a cluster is the score of its best member: best-of-N with an answer.
    borda     (V - r + 1)^power for rank r = 1 (best) of V voters; equal scores share the mean of their ranks' weights.
              The score may have any sign. Self-certainty (arXiv 2502.18581).
    softmax   exp((score - highest score) / temperature); finite.
    filtered  The score, of the top `share` of the voters only; finite and at least 0. DeepConf (arXiv 2508.15260).

A sum of negative weights would favour small clusters, so log-probabilities (all negative) need `borda` or `softmax`.
The other rules refuse them (`fault`) instead of shifting them, because the winner would depend on the shift.

This module does not know records, runs or how answers are compared. Shapes: V voters in ascending order of score,
C clusters, R subsets of the voters.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbest.errors import ConfigError
from nbest.plurals import agree, show_part

Array: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Ballot:
    """The voters of one pool in ascending order of score; all arrays are [V].

    `positions` are their positions in the pool, `clusters` their answers' numbers from 0, `levels` number the distinct
    scores from 0: equal scores are one level.
    """

    positions: Numbers
    scores: Array
    levels: Numbers
    clusters: Numbers

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def is_without_ties(self) -> bool:
        return int(self.levels[-1]) + 1 == len(self.levels)

    def lasts(self) -> Numbers:
        """Return the last column of each level [levels]."""
        return np.cumsum(np.bincount(self.levels), dtype=np.int64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The outcome of a vote in R subsets.

    `picks` [R V] marks the voters that are picked, all equally good (none where nobody votes). `weights` [R C]
    holds the weights of the clusters; a cluster without votes has 0, or minus infinity under a rule that takes maxima.
    """

    picks: Mask
    weights: Array


@dataclass(frozen=True, slots=True)
class VoteRule:
    """The weight of a vote; the base class of the rules above. `name` is the prefix of a selector `name:SCORER`."""

    name: ClassVar[str]
    is_additive: ClassVar[bool] = True
    """Whether the weight of a cluster is the sum of its votes; otherwise it is their maximum."""
    allows_negative: ClassVar[bool] = True
    allows_infinite: ClassVar[bool] = True

    def keep(self, ballot: Ballot, subsets: Mask) -> Mask:  # noqa: ARG002
        """Return which voters of each subset may vote [R V]; `subsets` [R V] says which are in it."""
        return subsets

    def weigh(self, ballot: Ballot, voting: Mask) -> Array:
        """Return the weight [R V] of each vote; the weights of those that do not vote have no effect."""
        return np.broadcast_to(ballot.scores, voting.shape)

    def fault(self, scores: ArrayLike) -> str:
        """Return why these scores [V] cannot be weights of this rule; "" if they can."""
        values = np.asarray(scores, dtype=np.float64)
        negative = int(np.count_nonzero(values < 0)) if not self.allows_negative else 0
        infinite = int(np.count_nonzero(np.isinf(values))) if not self.allows_infinite else 0
        return self.explain(negative, infinite, len(values))

    def explain(self, negative: int, infinite: int, total: int) -> str:
        """Return the fault of this many negative and infinite scores of `total`; "" if the rule allows them."""
        if negative and not self.allows_negative:
            return (
                f"{show_part(negative, total, 'score')} {agree(negative, 'is')} negative, and a sum of negative "
                "weights favours small clusters; "
                "use borda:NAME or softmax:NAME, which take any sign"
            )
        if infinite and not self.allows_infinite:
            scores = f"{show_part(infinite, total, 'score')} {agree(infinite, 'is')} infinite"
            return f"{scores} and cannot be weights; use borda:NAME, which ranks them"
        return ""


@dataclass(frozen=True, slots=True)
class SumVote(VoteRule):
    """Weighs by the score to the power of `power`: 0 is the plain majority of those with a score, 1 the score itself;
    with a large power the best candidate alone decides.
    """

    name = "vote"
    allows_negative = False
    allows_infinite = False
    power: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.power < math.inf:
            raise ConfigError(f"power of a vote must be at least 0 and finite, got {self.power}")

    def weigh(self, ballot: Ballot, voting: Mask) -> Array:
        weights = ballot.scores if self.power == 1 else _raise_to(ballot.scores, self.power)
        return np.broadcast_to(weights, voting.shape)


@dataclass(frozen=True, slots=True)
class MaximumVote(VoteRule):
    name = "vote-max"
    is_additive = False


@dataclass(frozen=True, slots=True)
class BordaVote(VoteRule):
    """Weighs by rank. `power` 0 is the plain majority; with a large power the best candidate alone decides.

    The default is that of the authors' example (github.com/backprop07/Self-Certainty, README). V counts the voters, not
    the whole pool.
    """

    name = "borda"
    power: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.power < math.inf:
            raise ConfigError(f"power of a Borda vote must be at least 0 and finite, got {self.power}")

    def weigh(self, ballot: Ballot, voting: Mask) -> Array:
        below = np.cumsum(voting, axis=1, dtype=np.int32)  # V - r + 1: the voters up to and including this one
        points = np.arange(len(ballot) + 1, dtype=np.float64) ** self.power
        points[0] = 0.0  # 0 ** 0 is 1, but no voter has this rank
        if ballot.is_without_ties:
            return points[below]
        high = below[:, ballot.lasts()]  # [R levels]
        low = np.concatenate([np.zeros((len(high), 1), dtype=high.dtype), high[:, :-1]], axis=1)
        summed = np.cumsum(points)
        shared = (summed[high] - summed[low]) / np.maximum(high - low, 1)
        return shared[:, ballot.levels]


@dataclass(frozen=True, slots=True)
class SoftmaxVote(VoteRule):
    """Weighs by the exponential of the score. `temperature` is in units of the score.

    At temperature 1 (the default, our own choice) the weight of a mean log-probability is its exponential.
    """

    name = "softmax"
    allows_infinite = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature of a softmax vote must be above 0 and finite, got {self.temperature}")

    def weigh(self, ballot: Ballot, voting: Mask) -> Array:
        highest = ballot.scores[_find_last(voting)]
        above = ballot.scores - highest[:, None]
        return np.exp(np.minimum(above, 0.0) / self.temperature)  # those above the highest voter do not vote


@dataclass(frozen=True, slots=True)
class FilteredVote(VoteRule):
    """Weighs by the score, of the ceil(share * V) best of V voters only.

    Voters that equal the last of these vote too, as under the authors' percentile threshold.
    """

    name = "filtered"
    allows_negative = False
    allows_infinite = False
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share of a filtered vote must be above 0 and at most 1, got {self.share}")

    def keep(self, ballot: Ballot, subsets: Mask) -> Mask:
        counts = np.cumsum(subsets, axis=1, dtype=np.int32)
        voters = counts[:, -1:]
        limit = np.ceil(self.share * voters - 1e-9)  # 0.1 * 30 must not be rounded up to 4
        lasts = ballot.lasts()[ballot.levels]
        return subsets & (voters - counts[:, lasts] < limit)  # fewer than `limit` are strictly better


def _raise_to(scores: Array, power: float) -> Array:
    """Return scores^power [V] in units of that of the highest score, so that no power overflows."""
    highest = float(scores.max(initial=0.0))
    return (scores / highest if highest > 0 else scores) ** power


RULES: dict[str, VoteRule] = {
    rule.name: rule for rule in (SumVote(), MaximumVote(), BordaVote(), SoftmaxVote(), FilteredVote())
}
"""Every rule by the prefix of its selectors, with its default settings."""


def make_ballot(clusters: ArrayLike, scores: ArrayLike) -> Ballot:
    """Return the ballot of a pool from `clusters` [N], negative = no answer, and `scores` [N], NaN = no score.

    Candidates without an answer or a score do not vote. Raises ConfigError for shapes that do not fit.
    """
    labels, values = np.asarray(clusters, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if labels.shape != values.shape or labels.ndim != 1:
        raise ConfigError(f"clusters has shape {labels.shape}, scores {values.shape}; both must be [N]")
    voters = np.flatnonzero((labels >= 0) & ~np.isnan(values))
    voters = voters[np.argsort(values[voters], kind="stable")]
    _, levels = np.unique(values[voters], return_inverse=True)
    _, cluster_of = np.unique(labels[voters], return_inverse=True)
    return Ballot(voters, values[voters], levels.astype(np.int64), cluster_of.astype(np.int64))


def hold_vote(ballot: Ballot, rule: VoteRule, subsets: Mask) -> Outcome:
    """Return the outcome in each of R subsets; `subsets` [R V] says which voters are in them."""
    if not len(ballot):
        return Outcome(subsets, np.zeros((len(subsets), 0)))
    voting = rule.keep(ballot, subsets)
    weights = rule.weigh(ballot, voting)
    clusters = int(ballot.clusters.max()) + 1
    if rule.is_additive:
        totals = np.where(voting, weights, 0.0) @ np.eye(clusters)[ballot.clusters]
    else:
        order = np.argsort(ballot.clusters, kind="stable")
        starts = np.searchsorted(ballot.clusters[order], np.arange(clusters))
        totals = np.maximum.reduceat(np.where(voting, weights, -np.inf)[:, order], starts, axis=1)
    top = totals.max(axis=1, keepdims=True)
    slack = _ROUNDING * np.where(np.isinf(top), 0.0, np.abs(top))
    members = voting & (totals >= top - slack)[:, ballot.clusters]
    best = ballot.levels[_find_last(members)]
    return Outcome(members & (ballot.levels == best[:, None]), totals)


def _find_last(mask: Mask) -> Numbers:
    """Return the last column [R] that is True in each row, the highest score; the last column where none is."""
    return mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
