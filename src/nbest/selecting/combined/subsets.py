"""Random subsets of graded pools: what the combined selector is fitted on, and its accuracy at each pool size.

A subset is the first k of a random order, drawn without replacement, so the subsets of one order at several k are
nested. This module does not know how scores were made.
Shapes: N trajectories of a problem, D draws, k of a subset, C clusters, S scorers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import Clusterer
from nbest.records import derive_seed
from nbest.selecting.combined.model import CombinedModel
from nbest.selecting.combined.selector import CombinedOptions, check_policy, pick_member
from nbest.selecting.estimators import Estimator, EstimatorContext, cluster_answers
from nbest.selecting.outcomes import Outcomes
from nbest.statistics.estimators import Curve
from nbest.statistics.subsets import SampledCurve

Values: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

DRAWS = 32


@dataclass(frozen=True, slots=True, eq=False)
class GradedPool:
    """One problem: `correct` [N], `labels` [N] cluster numbers (-1 = no answer or failed), `scores` [S N] raw."""

    problem_id: str
    correct: NDArray[np.bool_]
    labels: Labels
    scores: Values


@dataclass(frozen=True, slots=True, eq=False)
class Subsets:
    """D subsets of one pool: `correct` [D k], `labels` [D k] numbered by first appearance, `scores` [S D k]."""

    correct: NDArray[np.bool_]
    labels: Labels
    scores: Values
    clusters: int

    def grade_picks(self, chosen: Labels, main: int | None) -> NDArray[np.bool_]:
        """Return whether the pick inside the chosen cluster is right [D]; False if nothing was chosen.

        `main` is the row of the scorer that picks, None = the first member.
        """
        scores = np.zeros(self.correct.shape) if main is None else self.scores[main]
        picks = pick_member(self.labels == chosen[:, None], scores)
        return np.take_along_axis(self.correct, picks[:, None], axis=1)[:, 0] & (chosen >= 0)

    def share_right(self) -> Values:
        """Return the share of right members of each cluster [D C]."""
        votes_for = (self.labels[:, :, None] == np.arange(self.clusters)).astype(np.float64)
        right = np.einsum("dk,dkc->dc", self.correct.astype(np.float64), votes_for)
        return right / np.maximum(votes_for.sum(axis=1), 1)


def draw_orders(total: int, draws: int, seed: int) -> Labels:
    """Return random orders [D N]."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(total), (draws, 1)), axis=1)


def draw_subsets(pool: GradedPool, orders: Labels, k: int) -> Subsets:
    """Return the first k of each order. Clusters are numbered anew, so that a number says nothing of the whole pool."""
    positions = orders[:, :k]
    labels = pool.labels[positions]
    first = np.argmax(labels[:, :, None] == labels[:, None, :], axis=2)
    is_new = (first == np.arange(k)) & (labels >= 0)
    numbers = np.take_along_axis(np.cumsum(is_new, axis=1) - 1, first, axis=1)
    renumbered = np.where(labels >= 0, numbers, -1)
    clusters = max(int(renumbered.max()) + 1, 1)
    return Subsets(pool.correct[positions], renumbered, pool.scores[:, positions], clusters)


def make_graded_pool(outcomes: Outcomes, scorers: Sequence[str], equivalence: Clusterer) -> GradedPool:
    """Return what the combined selector needs of one problem's outcomes; these must hold the scores of `scorers`."""
    labels = np.where(outcomes.failed, -1, cluster_answers(outcomes, equivalence))
    scores = np.array([outcomes.scores[name] for name in scorers]).reshape(len(scorers), len(labels))
    return GradedPool(outcomes.problem_id, outcomes.correct, labels, scores)


def combined_at_k(
    correct: NDArray[np.bool_],
    labels: Labels,
    scores: Mapping[str, Values],
    ks: Sequence[int],
    model: CombinedModel,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    threshold: float | None = None,
) -> SampledCurve:
    """Return the accuracy of the combined selector on k-subsets: the mean over `draws` random ones (one where k is N).

    `correct` [N], `labels` [N] (negative = no answer), `scores` by scorer [N], NaN = none. With a `threshold`, or
    without any answer, a subset abstains: it counts as wrong, and `abstained` says how often. NaN if k > N. The
    subsets at each k are prefixes of the same independent orders: `error` is the spread of their credit over the root
    of their number, 0 if k is N. Raises UnavailableError naming a scorer of the model that `scores` lacks,
    ConfigError for a k below 1.
    """
    absent = [name for name in model.scorers if name not in scores]
    if absent:
        raise UnavailableError(f"the combined selector needs scores of {', '.join(absent)}, which are not there")
    total = len(correct)
    rows = np.array([scores[name] for name in model.scorers]).reshape(len(model.scorers), total)
    pool = GradedPool("", correct, labels, rows)
    orders = draw_orders(total, draws, seed)
    accuracy, abstained, error = (np.full(len(ks), np.nan) for _ in range(3))
    exact = np.zeros(len(ks), dtype=np.bool_)
    for column, k in enumerate(ks):
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        if k > total:
            continue
        exact[column] = k == total
        subsets = draw_subsets(pool, orders[:1] if exact[column] else orders, k)
        decision = model.decide(subsets.labels, subsets.scores, subsets.clusters)
        is_abstained = decision.chosen < 0
        if threshold is not None:
            is_abstained |= decision.confidence < threshold
        is_right = subsets.grade_picks(decision.chosen, model.main_row)
        credit = (is_right & ~is_abstained).astype(np.float64)
        accuracy[column], abstained[column] = float(credit.mean()), float(is_abstained.mean())
        if exact[column]:
            error[column] = 0.0
        elif draws > 1:
            error[column] = float(credit.std(ddof=1) / np.sqrt(len(credit)))
    return SampledCurve(accuracy, abstained, error, exact)


def combined_estimator(
    model: CombinedModel, equivalence: Clusterer, draws: int = DRAWS, seed: int = 0, threshold: float | None = None
) -> Estimator:
    """Return `combined_at_k` as an estimator: its outcomes must hold the scores of the model's scorers."""

    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
        pool = make_graded_pool(outcomes, model.scorers, equivalence)
        scores = dict(zip(model.scorers, pool.scores, strict=True))
        pool_seed = derive_seed(seed, outcomes.problem_id, 0)
        return combined_at_k(
            pool.correct, pool.labels, scores, ks, model, draws=draws, seed=pool_seed, threshold=threshold
        )

    return estimate


def make_estimator(context: EstimatorContext, options: CombinedOptions) -> Estimator:
    """Return the estimator of a comparison.

    Raises ConfigError if the fitted file is missing, or was fitted on another policy than the run's.
    """
    model = options.load_model()
    check_policy(model, context.policy_hash, context.where)
    return combined_estimator(model, context.equivalence, seed=context.seed, threshold=options.threshold)
