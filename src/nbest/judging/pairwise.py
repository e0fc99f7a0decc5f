"""A knockout of pairs: a model says which of two candidates is better, asked in both orders (PairJudge 2501.13007).

Rules beyond those of `judging/selectors.py`
    Each round pairs the candidates that are left, different answers against each other where it can; a candidate
    without a partner goes on. Two of the same answer are not asked about and gain nothing.
    Points of a pair (S*, arXiv 2502.14382): one point where both orders name the same candidate, half a point each
    where both say tie or one says tie, none where the two orders contradict each other (counted as `inconsistent`).
    The candidate with more points of this pair goes on; of equal ones the one with more points so far, then the one
    whose answer more attempts gave, then the one with the lower index.
    A pair of which one order has no judgement leaves the selection without one.

This module does not know models or runs, and never sees a target.
"""

from collections import Counter
from itertools import count

from nbest.judging.candidates import Slate
from nbest.judging.conversation import Sitting
from nbest.judging.prompts import parse_pairwise, render_pairwise
from nbest.judging.selectors import Choice, GenerativeSelector
from nbest.judging.windows import Candidate, deal
from nbest.loop_thread import gather_all
from nbest.records import Completion, Pool


class KnockoutSelector(GenerativeSelector):
    """Picks the winner of the last pair; ends early where all that are left give one answer (the first of them)."""

    name = "knockout"

    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        left, points = list(slate.candidates), Counter[int]()
        room = self._setting.room_tokens(pool)
        contradictions = 0
        for number in count():
            if len({each.cluster for each in left}) == 1:
                break
            pairs = deal(left, 2, room, self._setting.draw(pool, "pairs", number))
            if all(len(pair) == 1 for pair in pairs):
                return Choice(None, f"no two of the {len(left)} candidates left fit into {room} tokens")
            pairs = [sorted(pair, key=lambda each: pool.trajectories[each.place].index) for pair in pairs]
            asked = [self._compare(pool, pair, sitting, f"pairs {number} {at}") for at, pair in enumerate(pairs)]
            results = await gather_all(asked)
            if missing := results.count(None):
                return Choice(None, f"{missing} of {len(pairs)} pairs of round {number} were not judged")
            winners = set[int]()
            for pair, result in zip(pairs, results, strict=True):
                assert result is not None
                contradictions += _is_contradiction(pair, result)
                for each, gained in zip(pair, result, strict=True):
                    points[each.place] += gained
                winners.add(self._winner(pair, result, points, slate).place)
            left = [each for each in left if each.place in winners]
        return Choice(left[0], f"{contradictions} pairs were inconsistent" if contradictions else "")

    async def _compare(
        self, pool: Pool, pair: list[Candidate], sitting: Sitting, question: str
    ) -> tuple[int, ...] | None:
        """Half points of each candidate of the pair (2 = both orders name it); None where an order has no judgement."""
        if len(pair) == 1 or pair[0].cluster == pair[1].cluster:
            return (0,) * len(pair)
        first, second = pair
        forward, backward = await gather_all(
            [
                self._ask(pool, first, second, sitting, f"{question} forward"),
                self._ask(pool, second, first, sitting, f"{question} backward"),
            ]
        )
        if forward is None or backward is None:
            return None
        total = forward + 1 - backward  # points of `first` in both orders: 0, 0.5, 1, 1.5 or 2
        if {forward, backward} <= {0.0, 1.0}:
            self.counts.inconsistent += total == 1
            return {2.0: (2, 0), 0.0: (0, 2)}.get(total, (0, 0))
        return (1, 1)

    async def _ask(
        self, pool: Pool, first: Candidate, second: Candidate, sitting: Sitting, question: str
    ) -> float | None:
        """Points of the first one shown."""

        def read(completion: Completion) -> tuple[float | None, str]:
            found = parse_pairwise(completion.text, completion.finish)
            return found.points, found.fault

        prompt = render_pairwise(pool.prompt, first.text, second.text, pool.kind, self._setting.format.style)
        points = await sitting.ask(prompt, question, read)
        if points is not None and points != 0.5:
            self.counts.add_choice(2, 0 if points == 1 else 1)
        return points

    def _winner(self, pair: list[Candidate], result: tuple[int, ...], points: Counter[int], slate: Slate) -> Candidate:
        """`pair` stands by index, and `max` keeps the first of equal ones."""
        places = range(len(pair))
        best = max(places, key=lambda at: (result[at], points[pair[at].place], len(slate.members[pair[at].cluster])))
        return pair[best]


def _is_contradiction(pair: list[Candidate], result: tuple[int, ...]) -> bool:
    return sum(result) == 0 and len({each.cluster for each in pair}) == 2
