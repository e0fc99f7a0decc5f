"""Votes over equal answers, weighted by stored scores: vote:, vote-max:, borda:, softmax: and filtered:NAME.

Rules
    What a vote weighs, which cluster wins and who is picked is said in `statistics/votes.py`, the same code that
    evaluation takes its expectations with. Of picks with equal scores, the one with the lowest index.
    Failed attempts, attempts without an answer and attempts without a score (or one of NaN) cast no vote; the note
    counts those that have an answer and no score.
    `confidence` is the winner's share of the weight of all clusters; None where it is undefined (all weights are 0, or
    some are negative, as `vote-max` allows). Where clusters tie, it is the share of the one picked.
    A pool where nobody can vote abstains; one without any score was not scored: UnavailableError (as `ScoreSelector`).

This module does not know how answers are read or compared, and never sees a target.
"""

import asyncio
import math
from collections.abc import Mapping

import numpy as np

from nbest.errors import UnavailableError
from nbest.records import Pool, Score, Selection, Trajectory
from nbest.selecting.scored import abstention, has_failed
from nbest.statistics.votes import Ballot, Outcome, SumVote, VoteRule, hold_vote, make_ballot
from nbest.text.answers import answer_of
from nbest.verifying.equivalence import Clusterer


class WeightedVoteSelector:
    """Picks the best-scored member of the cluster of equal answers that weighs most under `rule`.

    `scores` maps trajectory ids to the scores of `scorer`. `equivalence` says which answers are equal; it is asked in
    a thread of its own. `run` is named in messages. Raises UnavailableError for a pool that was not scored, or whose
    scores cannot be weights of this rule (negative ones in a sum).
    """

    def __init__(
        self,
        scorer: str,
        scores: Mapping[str, Score],
        equivalence: Clusterer,
        rule: VoteRule | None = None,
        run: str = "",
    ):
        self.scorer = scorer
        self.rule = rule or SumVote()
        self.name = f"{self.rule.name}:{scorer}"
        self._scores = scores
        self._equivalence = equivalence
        self._where = f"run {run}" if run else "the mapping given"

    async def select(self, pool: Pool) -> Selection:
        able = [place for place, each in enumerate(pool.trajectories) if not has_failed(each)]
        able.sort(key=lambda place: pool.trajectories[place].index)
        if not able:
            return abstention(pool)
        attempts = [pool.trajectories[place] for place in able]
        values = self._values(attempts, pool.problem_id)
        answers = [answer_of(each, pool.kind) for each in attempts]
        numbers = await asyncio.to_thread(self._equivalence.cluster, answers)
        unscored = sum(number is not None and math.isnan(value) for number, value in zip(numbers, values, strict=True))
        note = f"{unscored} of {len(able)} attempts have an answer and no score of {self.scorer!r}" if unscored else ""
        ballot = make_ballot([-1 if number is None else number for number in numbers], values)
        if not len(ballot):
            return abstention(pool, note or f"none of {len(able)} attempts has an answer")
        self._require_weights(ballot, attempts, pool.problem_id)
        outcome = hold_vote(ballot, self.rule, np.ones((1, len(ballot)), dtype=np.bool_))
        voter = min(np.flatnonzero(outcome.picked[0]), key=lambda at: int(ballot.places[at]))
        place = int(ballot.places[voter])
        confidence = _share_of(outcome, int(ballot.clusters[voter]))
        return Selection(pool.problem_id, able[place], answers[place], confidence, note=note)

    def _values(self, attempts: list[Trajectory], problem_id: str) -> list[float]:
        found = [self._scores.get(each.id) for each in attempts]
        values = [math.nan if score is None else score.value for score in found]
        if all(map(math.isnan, values)):
            raise UnavailableError(
                f"{self._where} has no score of {self.scorer!r} for any of the {len(attempts)} trajectories of problem "
                f"{problem_id!r}. Score this run first, or select by another scorer."
            )
        return values

    def _require_weights(self, ballot: Ballot, attempts: list[Trajectory], problem_id: str) -> None:
        fault = self.rule.fault(ballot.scores)
        if fault:
            lowest = attempts[int(ballot.places[0])].id
            raise UnavailableError(
                f"{self.name}: problem {problem_id!r} of {self._where}: {fault} (lowest: {ballot.scores[0]:g} of "
                f"trajectory {lowest!r})"
            )


def _share_of(outcome: Outcome, cluster: int) -> float | None:
    weights = outcome.weights[0]
    total = float(weights.sum()) if np.isfinite(weights).all() and (weights >= 0).all() else 0.0
    return float(weights[cluster]) / total if total > 0 else None
