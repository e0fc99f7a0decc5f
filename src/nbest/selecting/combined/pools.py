"""Judged pools of a run as arrays, and random subsets of them: what a fit or a simulation over pool sizes works on.

A subset is the first k of a random order, drawn without replacement, so the subsets of one order at several k are
nested. This module does not know any selector or how scores were made.
Shapes: N trajectories of a problem, D draws, k of a subset, C clusters, S scorers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.selecting.combined.selector import pick_member
from nbest.selecting.estimators import clusters_of
from nbest.selecting.outcomes import Outcomes
from nbest.verifying.equivalence import Clusterer

Values: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPool:
    """One problem: `correct` [N], `labels` [N] cluster numbers (-1 = no answer or failed), `scores` [S N] raw."""

    problem_id: str
    correct: NDArray[np.bool_]
    labels: Labels
    scores: Values


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """D subsets of one pool: `correct` [D k], `labels` [D k] numbered by first appearance, `scores` [S D k]."""

    correct: NDArray[np.bool_]
    labels: Labels
    scores: Values
    clusters: int

    def right_picks(self, chosen: Labels, main: int | None) -> NDArray[np.bool_]:
        """[D] whether the pick inside the chosen cluster is right; False where nothing was chosen."""
        scores = np.zeros(self.correct.shape) if main is None else self.scores[main]
        places = pick_member(self.labels == chosen[:, None], scores)
        return np.take_along_axis(self.correct, places[:, None], axis=1)[:, 0] & (chosen >= 0)

    def worth(self) -> Values:
        """[D C] the share of right members of each cluster."""
        votes_for = (self.labels[:, :, None] == np.arange(self.clusters)).astype(np.float64)
        right = np.einsum("dk,dkc->dc", self.correct.astype(np.float64), votes_for)
        return right / np.maximum(votes_for.sum(axis=1), 1)


def draw_orders(total: int, draws: int, seed: int) -> Labels:
    """[D N] random orders."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(total), (draws, 1)), axis=1)


def draw_subsets(pool: JudgedPool, orders: Labels, k: int) -> Drawn:
    """The first k of each order. Clusters are numbered anew, so that their numbers tell nothing of the whole pool."""
    places = orders[:, :k]
    labels = pool.labels[places]
    first = np.argmax(labels[:, :, None] == labels[:, None, :], axis=2)
    is_new = (first == np.arange(k)) & (labels >= 0)
    numbers = np.take_along_axis(np.cumsum(is_new, axis=1) - 1, first, axis=1)
    fresh = np.where(labels >= 0, numbers, -1)
    return Drawn(pool.correct[places], fresh, pool.scores[:, places], max(int(fresh.max()) + 1, 1))


def judge_pool(outcomes: Outcomes, scorers: Sequence[str], equivalence: Clusterer) -> JudgedPool:
    """What the combined selector needs of one problem's outcomes."""
    labels = np.where(outcomes.failed, -1, clusters_of(outcomes, equivalence))
    scores = np.array([outcomes.scores[name] for name in scorers]).reshape(len(scorers), len(labels))
    return JudgedPool(outcomes.problem_id, outcomes.correct, labels, scores)
