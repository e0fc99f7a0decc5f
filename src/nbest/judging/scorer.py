"""GenSelect as a scorer: how often a model that reads windows of candidates names the answer of this one.

Rules
    In each of `repeats` rounds the candidates of a pool are dealt into windows (`windows.py`), and each window is
    judged once. A candidate appears in every judged window that it is in; it wins where the named candidate has the
    same answer (for code: the same text). Its score is (wins + 1) / (appearances + 2) (Laplace).
    A window of one answer is not judged: its members appear and win. If the whole pool agrees, all of it does.
    Equal texts have one score. The score is NaN for failed trajectories, those without an answer, those that no prompt
    can hold (nothing to show, beyond the token budget) and those without a judged window; `report().unscored` counts
    them by reason. The note of a score says how many of its windows were not judged.

This module does not know models or runs, and never sees a target.
"""

import math
from collections import Counter
from dataclasses import replace

from nbest.judging.candidates import CandidateSet, JudgeSettings, read_candidates, settle_window
from nbest.judging.conversation import Conversation
from nbest.judging.windows import deal
from nbest.loop_thread import gather_all
from nbest.plurals import agree, show_part
from nbest.protocols import Scorer, StateSource
from nbest.records import Pool, Score, WorkReport
from nbest.states.sources import NO_STATES


class GenSelectScorer(Scorer):
    """Scores between 0 and 1. `report()` counts the calls, and the trajectories without a score by reason.

    The judge of `settings` may be shared, so closing a scorer leaves it open.
    """

    name = "genselect"

    def __init__(self, settings: JudgeSettings):
        self._settings = settings
        self._unscored: Counter[str] = Counter()

    def report(self) -> WorkReport:
        return replace(self._settings.judge.report(), unscored=dict(self._unscored))

    async def score(self, pool: Pool, states: StateSource = NO_STATES) -> list[Score]:
        """Return one Score per trajectory, in pool order."""
        del states
        conversation = self._settings.judge.open(pool.problem_id)
        candidate_set = await read_candidates(pool, self._settings, conversation)
        wins, appearances, lost = Counter[int](), Counter[int](), Counter[int]()
        if candidate_set.is_agreed:
            for position in next(iter(candidate_set.members.values())):
                wins[position] = appearances[position] = self._settings.repeats
        else:
            await self._judge_all(pool, candidate_set, conversation, wins, appearances, lost)
        scores = [
            Score(
                trajectory.id,
                (wins[position] + 1) / (appearances[position] + 2) if appearances[position] else math.nan,
                note=_describe_lost(lost[position], appearances[position]),
            )
            for position, trajectory in enumerate(pool.trajectories)
        ]
        for position, score in enumerate(scores):
            if math.isnan(score.value):
                self._unscored[candidate_set.reasons.get(position, "no judgement")] += 1
        return scores

    async def _judge_all(
        self,
        pool: Pool,
        candidate_set: CandidateSet,
        conversation: Conversation,
        wins: Counter[int],
        appearances: Counter[int],
        lost: Counter[int],
    ) -> None:
        room = self._settings.room_tokens(pool)
        windows = [
            window
            for number in range(self._settings.repeats)
            for window in deal(
                candidate_set.candidates,
                self._settings.window.size,
                room,
                self._settings.make_rng(pool, "score", number),
            )
            if len(window) > 1
        ]
        calls = [
            settle_window(pool, window, self._settings, conversation, f"score {number}")
            for number, window in enumerate(windows)
        ]
        for window, winner in zip(windows, await gather_all(calls), strict=True):
            if winner is None:
                lost.update(position for candidate in window for position in candidate.positions)
                continue
            for candidate in window:
                for position in candidate.positions:
                    appearances[position] += 1
                    wins[position] += candidate.cluster == winner.cluster


def _describe_lost(lost: int, judged: int) -> str:
    """Return the note of a score that lacks judgements; "" if it lacks none."""
    if not lost:
        return ""
    return f"{show_part(lost, lost + judged, 'judgement')} failed and {agree(lost, 'was')} left out"
