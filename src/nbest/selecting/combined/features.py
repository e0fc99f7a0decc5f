"""What the combined selector looks at: numbers that describe each cluster of equal answers in a pool of any size.

Every single rule is one column's limit: `log_votes` is the majority, `NAME:best` the argmax of a score, `NAME:log_sum`
and `NAME:log_trust` score-weighted votes, `NAME:borda` the Borda vote, `NAME:top_share` the vote of the best tenth
(DeepConf, arXiv 2508.15260). A second copy of every column, times log2(n) / 6, lets their weights change with the
number of voters n.

Scores come in as normal scores (`NormalScores`), one scale for all scorers. A voter without a score of one scorer
counts there as `ABSENT`, below all others. Pure numpy; this module does not know pools, runs or verdicts.

Shapes: D draws (pools of one size, evaluated together), n candidates, C clusters, S scorers, F columns.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]

ABSENT = -5.0
"""The normal score of a voter that has no score; scored ones lie within +-`_LIMIT`."""
_LIMIT = 4.0
_GRID = np.linspace(-3.5, 3.5, 57)
_SHARE = np.array([0.5 * (1 + math.erf(float(z) / math.sqrt(2))) for z in _GRID])
_TOP_SHARE = 0.1
_LARGEST = 6.0  # log2 of the usual largest pool, 64

VOTE_COLUMNS = ("log_votes", "share", "lead", "votes_per_root")
SCORE_COLUMNS = ("best", "mean", "log_sum", "log_sharp_sum", "log_trust", "borda", "top_share", "holds_best", "best_z")


@dataclass(frozen=True, slots=True)
class NormalScores:
    """A monotone map from one scorer's scores to standard normal quantiles, as measured on validation trajectories.

    Linear between the knots; beyond them it goes on with the slope of the last two and stops at +-4.
    """

    x: tuple[float, ...]
    z: tuple[float, ...]

    @classmethod
    def fit(cls, values: Values) -> "NormalScores":
        """Return the map of the scores [M] of many trajectories; infinite and missing ones are left out."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls((0.0,), (0.0,))
        x, knots = np.unique(np.quantile(finite, _SHARE), return_inverse=True)
        z = np.bincount(knots, weights=_GRID) / np.bincount(knots)
        return cls(tuple(x.tolist()), tuple(z.tolist()))

    def __call__(self, values: Values) -> Values:
        """Return normal scores of the same shape; NaN stays NaN."""
        z = np.interp(values, self.x, self.z)
        if len(self.x) > 1:
            low = (self.z[1] - self.z[0]) / (self.x[1] - self.x[0])
            high = (self.z[-1] - self.z[-2]) / (self.x[-1] - self.x[-2])
            z = z + np.minimum(values - self.x[0], 0) * low + np.maximum(values - self.x[-1], 0) * high
        return np.clip(z, -_LIMIT, _LIMIT)


def column_names(scorers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the F columns of `describe_clusters`, in order."""
    plain = VOTE_COLUMNS + tuple(f"{name}:{column}" for name in scorers for column in SCORE_COLUMNS)
    return plain + tuple(f"{name}*log_n" for name in plain)


def describe_clusters(labels: NDArray[np.int64], scores: Values, clusters: int) -> tuple[Values, NDArray[np.int64]]:
    """Return the columns [D C F] and the votes [D C] of each cluster in each of D pools.

    `labels` [D n] numbers clusters from 0 below `clusters`, negative = no vote; `scores` [S D n] are normal scores,
    NaN = none. A cluster without votes has zeros throughout. Sums are over voters only.
    """
    votes_for = labels[:, :, None] == np.arange(clusters)  # [D n C]
    votes = votes_for.sum(axis=1)
    present = votes > 0
    count = np.maximum(votes, 1).astype(np.float64)
    voters = np.maximum(votes.sum(axis=1), 1).astype(np.float64)[:, None]
    columns = [np.log(count / voters), votes / voters, _lead(votes) / voters, votes / np.sqrt(voters)]
    is_voter = labels >= 0
    for row in scores:
        columns += _describe_scores(votes_for, is_voter, np.where(np.isnan(row), ABSENT, row), count, voters)
    plain = np.where(present[:, :, None], np.stack(columns, axis=-1), 0.0)
    scale = (np.log2(voters) / _LARGEST)[:, :, None]
    return np.concatenate([plain, plain * scale], axis=-1), votes


def _describe_scores(
    votes_for: NDArray[np.bool_], is_voter: NDArray[np.bool_], scores: Values, count: Values, voters: Values
) -> list[Values]:
    """Return the [D C] columns of one scorer, in the order of SCORE_COLUMNS."""
    best = np.where(votes_for, scores[:, :, None], -np.inf).max(axis=1)
    best = np.where(np.isfinite(best), best, ABSENT)
    below, top = _rank_scores(scores, is_voter)
    grown = np.exp(scores)
    trust = 1.0 / (1.0 + np.exp(-2.0 * scores))
    weights = votes_for.astype(np.float64)
    sums = np.stack([scores, grown, grown**3, trust, below, top], axis=1) @ weights  # [D 6 C]
    highest = best.max(axis=1, keepdims=True)
    mean, spread = _measure_moments(scores, is_voter)
    floor = 1e-12
    return [
        best,
        sums[:, 0] / count,
        np.log(sums[:, 1] / voters + floor),
        np.log(sums[:, 2] / voters + floor) / 3,
        np.log(sums[:, 3] / voters + floor),
        sums[:, 4] / voters,
        sums[:, 5],
        (best == highest).astype(np.float64),
        (best - mean) / spread,
    ]


def _lead(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the votes of each cluster minus the votes of the largest other one [D C]."""
    if votes.shape[1] < 2:
        return votes
    ordered = np.sort(votes, axis=1)
    first, second = ordered[:, -1:], ordered[:, -2:-1]
    return votes - np.where(votes == first, second, first)


def _rank_scores(scores: Values, is_voter: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Return two columns [D n]: Borda points (share of the voters below, ties half), and shares of the top tenth."""
    n = scores.shape[1]
    ranking = np.where(is_voter, scores, -np.inf)
    order = np.argsort(ranking, axis=1, kind="stable")
    ascending = np.take_along_axis(ranking, order, axis=1)
    starts = np.ones(scores.shape, dtype=np.bool_)
    starts[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    positions = np.cumsum(np.full(scores.shape, 1, dtype=np.int64), axis=1) - 1
    first = np.maximum.accumulate(np.where(starts, positions, 0), axis=1)
    ends = np.ones(scores.shape, dtype=np.bool_)
    ends[:, :-1] = starts[:, 1:]
    last = np.minimum.accumulate(np.where(ends, positions, n)[:, ::-1], axis=1)[:, ::-1]
    voters = is_voter.sum(axis=1, keepdims=True)
    silent = n - voters
    size = np.maximum(np.ceil(_TOP_SHARE * voters), 1)
    middle = (first + last) / 2 - silent
    # Where a tie crosses the lower end of the top tenth, its members share what is left of the tenth.
    inside = np.clip((last + 1 - np.maximum(n - size, first)) / (last - first + 1), 0, 1) / size
    below, top = np.empty(scores.shape), np.empty(scores.shape)
    np.put_along_axis(below, order, middle / np.maximum(voters - 1, 1), axis=1)
    np.put_along_axis(top, order, inside, axis=1)
    return np.where(is_voter, below, 0.0), np.where(is_voter, top, 0.0)


def _measure_moments(scores: Values, is_voter: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Return the mean and the standard deviation over the voters, both [D 1].

    The standard deviation is at least 0.25, because that of two voters says little.
    """
    voters = np.maximum(is_voter.sum(axis=1, keepdims=True), 1)
    mean = np.where(is_voter, scores, 0.0).sum(axis=1, keepdims=True) / voters
    variance = np.where(is_voter, (scores - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / voters
    return mean, np.maximum(np.sqrt(variance), 0.25)
