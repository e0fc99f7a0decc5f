"""Votes over equal answers, weighted by stored scores: vote:, vote-max:, borda:, softmax: and filtered:NAME.

Rules
    What a vote weighs, which cluster wins and which member is picked is defined in `statistics/votes.py`, which the
    estimators use as well. Of picks with equal scores, the one with the lowest index.
    Failed trajectories and those without an answer or a score (or with a score of NaN) cast no vote; the note counts
    those that have an answer and no score.
    `confidence` is the winner's share of the weight of all clusters; None if it is undefined (all weights are 0, or
    some are negative, as `vote-max` allows). Where clusters tie, it is the share of the one picked.
    A pool without a vote abstains; one without any score was not scored: UnavailableError (as `ScoreSelector`).

This module does not know how answers are read or compared, and never sees a target.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nbest.answers.extraction import answer_of
from nbest.config import Section
from nbest.errors import UnavailableError
from nbest.plurals import agree, show_any, show_count, show_part
from nbest.protocols import Clusterer, Selector
from nbest.records import Pool, Score, Selection, Trajectory, derive_seed
from nbest.selecting.estimators import Comparison, Estimator, EstimatorContext, cluster_answers
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.selecting.scored import abstention
from nbest.selecting.tuned_votes import load_power
from nbest.specs import NoOptions, Spec
from nbest.statistics.estimators import Curve
from nbest.statistics.subsets import weighted_vote_at_k
from nbest.statistics.votes import (
    Ballot,
    BordaVote,
    FilteredVote,
    MaximumVote,
    Outcome,
    SoftmaxVote,
    SumVote,
    VoteRule,
    hold_vote,
    make_ballot,
)


class WeightedVoteSelector(Selector):
    """Picks the best-scored member of the cluster of equal answers that weighs most under `rule`.

    `scores` maps trajectory ids to the scores of `scorer`. `equivalence` says which answers are equal; it is asked in
    a thread of its own. `run` is named in messages. Raises UnavailableError for a pool that was not scored, or whose
    scores cannot be weights of this rule (negative ones in a sum). `scores` may be filled after the selector is made.
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
        self._where = run or "the mapping of scores"

    async def select(self, pool: Pool) -> Selection:
        order = [position for position, trajectory in enumerate(pool.trajectories) if not trajectory.has_failed]
        order.sort(key=lambda position: pool.trajectories[position].index)
        if not order:
            return abstention(pool)
        trajectories = [pool.trajectories[position] for position in order]
        values = self._read_values(trajectories, pool.problem_id)
        answers = [answer_of(trajectory, pool) for trajectory in trajectories]
        numbers = await asyncio.to_thread(self._equivalence.cluster, answers, pool.kind)
        unscored = sum(number is not None and math.isnan(value) for number, value in zip(numbers, values, strict=True))
        note = ""
        if unscored:
            trajectories_unscored = f"{show_part(unscored, len(order), 'trajectory')} {agree(unscored, 'has')}"
            note = f"{trajectories_unscored} an answer and no score of {self.scorer!r}"
        ballot = make_ballot([-1 if number is None else number for number in numbers], values)
        if not len(ballot):
            return abstention(pool, note or f"none of {show_count(len(order), 'trajectory')} has an answer")
        self._require_weights(ballot, trajectories, pool.problem_id)
        outcome = hold_vote(ballot, self.rule, np.ones((1, len(ballot)), dtype=np.bool_))
        voter = min(np.flatnonzero(outcome.picks[0]), key=lambda voter: int(ballot.positions[voter]))
        pick = int(ballot.positions[voter])
        confidence = _share_of(outcome, int(ballot.clusters[voter]))
        return Selection(pool.problem_id, order[pick], answers[pick], confidence, note=note)

    def _read_values(self, trajectories: list[Trajectory], problem_id: str) -> list[float]:
        scores = [self._scores.get(trajectory.id) for trajectory in trajectories]
        values = [math.nan if score is None else score.value for score in scores]
        if all(map(math.isnan, values)):
            raise UnavailableError(
                f"{self._where} has no score of {self.scorer!r} for {show_any(len(trajectories), 'trajectory')} of "
                f"problem {problem_id!r}. Score this run first, or select by another scorer."
            )
        return values

    def _require_weights(self, ballot: Ballot, trajectories: list[Trajectory], problem_id: str) -> None:
        fault = self.rule.fault(ballot.scores)
        if fault:
            lowest = trajectories[int(ballot.positions[0])].id
            raise UnavailableError(
                f"{self.name}: problem {problem_id!r} of {self._where}: {fault} (lowest: {ballot.scores[0]:g} of "
                f"trajectory {lowest!r})"
            )


def _share_of(outcome: Outcome, cluster: int) -> float | None:
    weights = outcome.weights[0]
    total = float(weights.sum()) if np.isfinite(weights).all() and (weights >= 0).all() else 0.0
    return float(weights[cluster]) / total if total > 0 else None


class VoteOptions(Section):
    """`power` is the exponent of the score: 0 is the plain majority, 1 the score itself. `file` is what
    `nbest train vote` wrote: it sets the power that was tuned for this scorer.
    """

    power: float = Field(default=SumVote().power, ge=0, allow_inf_nan=False)
    file: Path | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _check(self) -> "VoteOptions":
        if self.file is not None and "power" in self.model_fields_set:
            raise ValueError(f"file {str(self.file)!r} sets the power; leave power out, or leave file out")
        return self

    def make_rule(self, scorer: str) -> SumVote:
        """Return the vote. Raises ConfigError if the file has no vote of this scorer."""
        return SumVote(self.power if self.file is None else load_power(self.file, scorer))


class BordaOptions(Section):
    """`power` of the number of voters ranked at or below; 0 is the plain majority."""

    power: float = Field(default=BordaVote().power, ge=0, allow_inf_nan=False)


class SoftmaxOptions(Section):
    """`temperature` in units of the score."""

    temperature: float = Field(default=SoftmaxVote().temperature, gt=0, allow_inf_nan=False)


class FilteredOptions(Section):
    """`share` of the voters, the best-scored ones, that may vote."""

    share: float = Field(default=FilteredVote().share, gt=0, le=1)


def _make_spec(
    rule: type[VoteRule], summary: str, source: str, position: int, options: type[Section] = NoOptions
) -> Spec:
    def make(values: Section, scorer: str) -> VoteRule:
        return values.make_rule(scorer) if isinstance(values, VoteOptions) else rule(**values.model_dump())

    def build(context: Any, values: Section, scorer: str) -> WeightedVoteSelector:
        return WeightedVoteSelector(
            scorer, context.scores(scorer), context.equivalence, make(values, scorer), context.where
        )

    def estimator(context: EstimatorContext, values: Section) -> Estimator:
        vote = make(values, context.scorer)

        def estimate(outcomes: Outcomes, ks: Sequence[int]) -> Curve:
            return weighted_vote_at_k(
                outcomes.correct,
                cluster_answers(outcomes, context.equivalence),
                outcomes.scores[context.scorer],
                ks,
                vote,
                # The subsets differ from problem to problem and are the same for every rule and scorer.
                seed=derive_seed(context.seed, outcomes.problem_id, 0),
            )

        return estimate

    def compared(context: EstimatorContext, values: Section) -> Comparison:
        vote = make(values, context.scorer)

        def compare(outcomes: Outcomes) -> NDArray[np.float64]:
            ballot = make_ballot(cluster_answers(outcomes, context.equivalence), outcomes.scores[context.scorer])
            weights = hold_vote(ballot, vote, np.ones((1, len(ballot)), dtype=np.bool_)).weights
            return weights[0] if len(ballot) else np.zeros(0)

        return compare

    def obstacle(survey: Survey, run: str, values: Section, scorer: str) -> str:
        if survey.answered == 0:
            return f"no trajectory of run {run} has an answer to vote with"
        counts = (by_scorer.get(scorer, 0) for by_scorer in (survey.negative, survey.infinite, survey.voting))
        fault = make(values, scorer).explain(*counts)
        return f"run {run}: {fault}" if fault else ""

    return Spec(
        rule.name,
        "selector",
        build,
        summary,
        source,
        options,
        frozenset({"scores", "answers"}),
        reads_scores=True,
        estimator=estimator,
        obstacle=obstacle,
        compared=compared,
        position=position,
    )


SPECS = (
    _make_spec(SumVote, "The answer with the highest sum of scores.", "arXiv 2206.02336", 11, VoteOptions),
    _make_spec(MaximumVote, "The answer of the highest-scored trajectory that has one.", "", 12),
    _make_spec(BordaVote, "A vote weighted by rank; takes scores of any sign.", "arXiv 2502.18581", 13, BordaOptions),
    _make_spec(SoftmaxVote, "A vote weighted by the exponential of the score.", "", 14, SoftmaxOptions),
    _make_spec(
        FilteredVote, "A score-weighted vote of the best-scored trajectories.", "arXiv 2508.15260", 15, FilteredOptions
    ),
)
