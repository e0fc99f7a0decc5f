"""Majority vote over equal answers (self-consistency, Wang et al. 2022, arXiv 2203.11171).

Rules
    Every trajectory that has an answer casts one vote for its cluster of equal answers. A `Clusterer`, the same one
    that grades, says which answers are equal. Trajectories without an answer and failed ones do not vote.
    The cluster with most votes wins; of equal ones, the cluster whose first member has the lowest index. (Evaluation
    lets tied clusters share the credit.) The pick is the winner's member with the lowest index.
    Without any vote the pool abstains; the note says what to do where the trajectories are programs.

This module does not know how answers are read or compared, and never sees a target.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbest.answers.extraction import answer_of
from nbest.config import Section
from nbest.plurals import show_count
from nbest.protocols import Clusterer, Selector
from nbest.records import Pool, Selection
from nbest.selecting.estimators import Comparison, Estimator, EstimatorContext, cluster_answers
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.selecting.scored import abstention
from nbest.specs import Spec
from nbest.statistics.estimators import MAJORITY_LIMIT, Curve, majority_at_k

CODE_ADVICE = "programs have no answers to compare: the selector behaviour runs them, and is the majority vote of code"
"""What to do instead where the trajectories are programs."""


class MajoritySelector(Selector):
    """Picks a member of the largest cluster of equal answers; `confidence` is that cluster's share of the votes.

    `equivalence` is asked in a thread of its own, so that pools can be selected concurrently.
    """

    name = "majority"

    def __init__(self, equivalence: Clusterer):
        self._equivalence = equivalence

    async def select(self, pool: Pool) -> Selection:
        order = sorted(range(len(pool.trajectories)), key=lambda position: pool.trajectories[position].index)
        voters = [position for position in order if not pool.trajectories[position].has_failed]
        if not voters:
            return abstention(pool)
        answers = [answer_of(pool.trajectories[position], pool) for position in voters]
        clusters = await asyncio.to_thread(self._equivalence.cluster, answers, pool.kind)
        votes = Counter(cluster for cluster in clusters if cluster is not None)
        if not votes:
            advice = f"; {CODE_ADVICE}" if pool.kind == "code" else ""
            return abstention(pool, f"none of {show_count(len(voters), 'trajectory')} has an answer{advice}")
        most = max(votes.values())
        pick = next(voter for voter, cluster in enumerate(clusters) if cluster is not None and votes[cluster] == most)
        winners = sum(1 for count in votes.values() if count == most)
        note = ""
        if winners > 1:
            tie = f"{show_count(winners, 'answer')} tie with {show_count(most, 'vote')} each"
            note = f"{tie}; the first one stated wins"
        return Selection(pool.problem_id, voters[pick], answers[pick], most / votes.total(), note=note)


def _build(context: Any, *_: object) -> MajoritySelector:
    return MajoritySelector(context.equivalence)


def _make_estimator(context: EstimatorContext, _: Section) -> Estimator:
    def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
        return majority_at_k(outcomes.correct, cluster_answers(outcomes, context.equivalence), ks)

    return estimate


def _make_comparison(context: EstimatorContext, _: Section) -> Comparison:
    def compare(outcomes: Outcomes) -> NDArray[np.float64]:
        votes = cluster_answers(outcomes, context.equivalence)
        return np.bincount(votes[votes >= 0]).astype(np.float64)

    return compare


def _find_obstacle(survey: Survey, run: str, *_: object) -> str:
    if survey.answered == 0:
        return f"no trajectory of run {run} (programs have none: select by behaviour) has an answer to vote with"
    if survey.n_max > MAJORITY_LIMIT:
        return f"exact for pools of at most {MAJORITY_LIMIT}, run {run} has one of {survey.n_max}"
    return ""


SPECS = (
    Spec(
        "majority",
        "selector",
        _build,
        "The answer that most trajectories give (self-consistency).",
        "arXiv 2203.11171",
        needs=frozenset({"answers"}),
        role="baseline",
        estimator=_make_estimator,
        compared=_make_comparison,
        obstacle=_find_obstacle,
        position=3,
    ),
)
