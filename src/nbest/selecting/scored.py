"""Selectors that give each trajectory one number and pick the highest: first, random, longest, shortest, score:NAME.

Rules that hold for all of them
    The trajectory with the highest number wins; of equal ones, the one with the lowest index. (Evaluation lets ties
    share the credit: its expectation is over the order of the samples as well.)
    A failed trajectory (`finish="error"`) never wins. An empty pool, or one where every trajectory failed, abstains.

A pool is never changed and its order does not matter: rules look at `Trajectory.index`, while `Selection.index` is a
position in `pool.trajectories`. This module does not know targets, runs or models; only the estimator of the bound
(`oracle`), which is no selector, reads verdicts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nbest.answers.extraction import answer_of
from nbest.config import Section
from nbest.errors import ConfigError, UnavailableError
from nbest.plurals import agree, show_all, show_any, show_part
from nbest.protocols import Selector
from nbest.records import Pool, Score, Selection, derive_seed
from nbest.selecting.estimators import (
    Comparison,
    Estimator,
    EstimatorContext,
    is_measured_in_tokens,
    measure_lengths,
    rank_by,
)
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.specs import Spec


class FirstSelector(Selector):
    """Picks the trajectory with the lowest index that did not fail: what one sample alone would have given."""

    name = "first"

    async def select(self, pool: Pool) -> Selection:
        return pick_highest(pool, [0.0] * len(pool.trajectories))


class RandomSelector(Selector):
    """Picks uniformly at random: a draw fixed by `seed`, the pool's id and the trajectories' own ids and indices.

    The same pool gives the same pick on every machine and in any order of its trajectories. Evaluation does not use
    this draw but its expectation.
    """

    name = "random"

    def __init__(self, seed: int = 0):
        self.seed = seed

    async def select(self, pool: Pool) -> Selection:
        pool_seed = derive_seed(self.seed, pool.problem_id, 0)
        numbers = [derive_seed(pool_seed, trajectory.id, trajectory.index) for trajectory in pool.trajectories]
        return pick_highest(pool, numbers)


class LengthSelector(Selector):
    """Picks the longest trajectory, or the shortest: by sampled tokens.

    Where a trajectory that could win has no tokens (text sampled elsewhere), the whole pool is measured in characters
    of text, and the note says so: a pool has one unit. If texts are absent, too (a trajectory has an answer and no
    text, or all texts are empty), lengths are unknown: UnavailableError.
    """

    def __init__(self, is_longest: bool):
        self.is_longest = is_longest
        self.name = "longest" if is_longest else "shortest"

    async def select(self, pool: Pool) -> Selection:
        tokens = [trajectory.completion.count_usage().sampled_tokens for trajectory in pool.trajectories]
        failed = [trajectory.has_failed for trajectory in pool.trajectories]
        note = ""
        if is_measured_in_tokens(tokens, failed):
            lengths = tokens
        else:
            _require_texts(pool, self.name)
            lengths = [len(trajectory.completion.text) for trajectory in pool.trajectories]
            note = "measured in characters: not every trajectory has tokens"
        return pick_highest(pool, lengths if self.is_longest else [-length for length in lengths], note)


def _require_texts(pool: Pool, name: str) -> None:
    """Raise UnavailableError if texts of the pool are absent, so that their lengths are unknown."""
    candidates = [trajectory for trajectory in pool.trajectories if not trajectory.has_failed]
    without_text = [trajectory for trajectory in candidates if not trajectory.completion.text]
    is_absent = len(without_text) == len(candidates) or any(t.answer is not None for t in without_text)
    if without_text and is_absent:
        raise UnavailableError(
            f"selector {name!r}: {show_part(len(without_text), len(candidates), 'trajectory')} of problem "
            f"{pool.problem_id!r} {agree(len(without_text), 'has')} neither text nor tokens, so "
            "lengths cannot be computed. Select by another selector."
        )


class ScoreSelector(Selector):
    """Picks the trajectory with the highest stored score of one scorer.

    `scores` maps trajectory ids to scores, and may be filled after the selector is made. Trajectories without a score
    cannot win while another has one, and the note counts them. Where no trajectory that could win has a score, the pool
    was not scored: UnavailableError names the run, the scorer and how many are missing. A score that is NaN counts as
    missing.
    """

    def __init__(self, scorer: str, scores: Mapping[str, Score], run: str = ""):
        self.scorer = scorer
        self.name = f"score:{scorer}"
        self._scores = scores
        self._run = run

    async def select(self, pool: Pool) -> Selection:
        scores = [self._scores.get(trajectory.id) for trajectory in pool.trajectories]
        values = [None if score is None or score.value != score.value else score.value for score in scores]
        eligible = [
            value for value, trajectory in zip(values, pool.trajectories, strict=True) if not trajectory.has_failed
        ]
        missing_count = eligible.count(None)
        if eligible and missing_count == len(eligible):
            where = self._run or "the mapping of scores"
            raise UnavailableError(
                f"{where} has no score of {self.scorer!r} for {show_any(missing_count, 'trajectory')} of problem "
                f"{pool.problem_id!r}. Score this run first, or select by another scorer."
            )
        note = ""
        if missing_count:
            unscored = show_part(missing_count, len(eligible), "trajectory")
            note = f"{unscored} {agree(missing_count, 'has')} no score of {self.scorer!r}"
        return pick_highest(pool, values, note)


def pick_highest(pool: Pool, values: Sequence[float | None], note: str = "") -> Selection:
    """Return the selection of the trajectory with the highest of `values`, which has one number per trajectory.

    A trajectory whose value is None cannot win, and neither can a failed one; if no trajectory can win, the selection
    abstains. Of equal values the one with the lowest `Trajectory.index` wins. `note` is the note of a selection that
    does not abstain.
    """
    eligible = {
        position: value
        for position, (trajectory, value) in enumerate(zip(pool.trajectories, values, strict=True))
        if value is not None and not trajectory.has_failed
    }
    if not eligible:
        return abstention(pool)
    best = max(eligible, key=lambda position: (eligible[position], -pool.trajectories[position].index))
    return Selection(pool.problem_id, best, answer_of(pool.trajectories[best], pool), note=note)


def abstention(pool: Pool, note: str = "") -> Selection:
    """Return the selection that picks nothing, with the reason."""
    total = len(pool.trajectories)
    reason = note or (f"{show_all(total, 'trajectory')} failed" if total else "the pool is empty")
    return Selection(pool.problem_id, None, note=reason)


class RandomOptions(Section):
    """`seed` fixes the draw; None takes the seed of the command or call."""

    seed: int | None = None


def _build_oracle(*_: object) -> Any:
    raise ConfigError("selector 'oracle' sees the verdicts: it is a bound in `nbest compare`, never a selection")


def _build_random(context: Any, options: RandomOptions, _: str) -> RandomSelector:
    return RandomSelector(context.seed if options.seed is None else options.seed)


def _build_score(context: Any, _: Section, scorer: str) -> ScoreSelector:
    return ScoreSelector(scorer, context.scores(scorer), context.where)


Ranking: TypeAlias = Callable[[Outcomes, str], NDArray[Any]]
"""From outcomes and a scorer's name to the numbers [N] of which a selector picks the highest."""


def _make_estimator(ranking: Ranking) -> Callable[..., Estimator]:
    """Return the estimator of a selector that picks the highest of `ranking` [N]; ties share the credit."""

    def estimator(context: EstimatorContext, _: Section) -> Estimator:
        return rank_by(lambda outcomes: ranking(outcomes, context.scorer))

    return estimator


def _make_comparison(ranking: Ranking) -> Callable[..., Comparison]:
    def compared(context: EstimatorContext, _: Section) -> Comparison:
        def compare(outcomes: Outcomes) -> NDArray[np.float64]:
            values = ranking(outcomes, context.scorer).astype(np.float64)
            return values[~np.isnan(values) & ~outcomes.failed]

        return compare

    return compared


def _rank_longest(outcomes: Outcomes, _: str) -> NDArray[np.int64]:
    return measure_lengths(outcomes)


def _rank_shortest(outcomes: Outcomes, _: str) -> NDArray[np.int64]:
    return -measure_lengths(outcomes)


def _find_lengthless(survey: Survey, run: str, *_: object) -> str:
    """Return why lengths cannot be compared on a run; "" if they can."""
    if not survey.lengthless:
        return ""
    return (
        f"{show_part(survey.lengthless, survey.problems, 'problem')} of run {run} "
        f"{agree(survey.lengthless, 'has')} trajectories with neither text nor tokens, so lengths cannot be computed"
    )


SPECS = (
    Spec(
        "first",
        "selector",
        lambda *_: FirstSelector(),
        "The first trajectory that did not fail: what one sample alone would give.",
        role="chance",
        estimator=_make_estimator(lambda outcomes, _: -outcomes.indices),
        position=1,
    ),
    Spec(
        "random",
        "selector",
        _build_random,
        "A trajectory at random.",
        options=RandomOptions,
        role="chance",
        estimator=_make_estimator(lambda outcomes, _: np.zeros(len(outcomes.correct))),
        position=2,
    ),
    Spec(
        "longest",
        "selector",
        lambda *_: LengthSelector(True),
        "The trajectory with most sampled tokens.",
        is_blind=True,
        estimator=_make_estimator(_rank_longest),
        obstacle=_find_lengthless,
        compared=_make_comparison(_rank_longest),
        position=4,
    ),
    Spec(
        "shortest",
        "selector",
        lambda *_: LengthSelector(False),
        "The trajectory with fewest sampled tokens.",
        is_blind=True,
        estimator=_make_estimator(_rank_shortest),
        obstacle=_find_lengthless,
        compared=_make_comparison(_rank_shortest),
        position=5,
    ),
    Spec(
        "score",
        "selector",
        _build_score,
        "The trajectory with the highest score of a scorer (best-of-N).",
        needs=frozenset({"scores"}),
        reads_scores=True,
        estimator=_make_estimator(lambda outcomes, scorer: outcomes.scores[scorer]),
        compared=_make_comparison(lambda outcomes, scorer: outcomes.scores[scorer]),
        position=10,
    ),
    Spec(
        "oracle",
        "selector",
        _build_oracle,
        "A right trajectory where there is one: pass@N, the bound of every selector.",
        role="bound",
        estimator=_make_estimator(lambda outcomes, _: outcomes.correct),
        position=90,
    ),
)
