"""GenSelect as a scorer: how often a model that reads windows of candidates selects this one's answer.

Rules
    In each of `repeats` rounds the candidates of a pool are dealt into windows (`windows.py`), and each window is
    judged once. A candidate appears in every window that holds it and was judged; it wins where the candidate named
    has the same answer (for code: is the same text). Its score is (wins + 1) / (appearances + 2) (Laplace).
    A window that holds one answer only is not asked: its members appear and win. So do all where the whole pool agrees.
    Equal texts have one score. NaN: failed attempts, attempts without an answer, those that could not be shown (nothing
    to show, beyond the token budget), and those of which no window was judged; `unscored` counts them by reason.

This module does not know models or runs, and never sees a target.
"""

import math
from collections import Counter
from collections.abc import Callable

from nbest.judging.candidates import GenerativeSetting, Slate, read_slate, settle_window
from nbest.judging.conversation import JudgementCounts, Sitting
from nbest.judging.windows import deal
from nbest.loop_thread import gather_all
from nbest.records import Pool, Score


class GenSelectScorer:
    """Scores between 0 and 1. `counts` is what was asked, `unscored` why attempts have no score."""

    name = "genselect"

    def __init__(self, setting: GenerativeSetting, on_close: Callable[[], None] | None = None):
        self._setting = setting
        self._on_close = on_close
        self.unscored: Counter[str] = Counter()

    @property
    def counts(self) -> JudgementCounts:
        return self._setting.judge.counts

    def close(self) -> None:
        """Ends what was started for this scorer alone."""
        if self._on_close is not None:
            self._on_close()

    async def score(self, pool: Pool) -> list[Score]:
        sitting = self._setting.judge.open(pool.problem_id)
        slate = await read_slate(pool, self._setting, sitting)
        wins, appearances = Counter[int](), Counter[int]()
        if slate.is_agreed:
            for place in next(iter(slate.members.values())):
                wins[place] = appearances[place] = self._setting.repeats
        else:
            await self._judge_all(pool, slate, sitting, wins, appearances)
        values = [
            Score(each.id, (wins[place] + 1) / (appearances[place] + 2) if appearances[place] else math.nan)
            for place, each in enumerate(pool.trajectories)
        ]
        for place, score in enumerate(values):
            if math.isnan(score.value):
                self.unscored[slate.reasons.get(place, "no judgement")] += 1
        return values

    async def _judge_all(
        self, pool: Pool, slate: Slate, sitting: Sitting, wins: Counter[int], appearances: Counter[int]
    ) -> None:
        room = self._setting.room_tokens(pool)
        windows = [
            shown
            for number in range(self._setting.repeats)
            for shown in deal(
                slate.candidates, self._setting.window.size, room, self._setting.draw(pool, "score", number)
            )
            if len(shown) > 1
        ]
        asked = [settle_window(pool, shown, self._setting, sitting, f"score {at}") for at, shown in enumerate(windows)]
        for shown, found in zip(windows, await gather_all(asked), strict=True):
            for each in shown if found is not None else ():
                for place in each.places:
                    appearances[place] += 1
                    wins[place] += found is not None and each.cluster == found.cluster
