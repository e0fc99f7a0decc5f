"""A knockout of pairs: a model says which of two candidates is better, asked in both orders (PairJudge 2501.13007).

Rules beyond those of `judging/selectors.py`
    Each round pairs the remaining candidates, different answers against each other where possible; a candidate without
    a partner goes on to the next round. Two candidates of the same answer are not compared and gain no points.
    Points of a pair (S*, arXiv 2502.14382): one point where both orders name the same candidate, half a point each
    where both say tie or one says tie, none where the two orders contradict each other (counted as `inconsistent`).
    The candidate with more points in this pair goes on. Ties are broken by more points so far, then by the answer that
    more trajectories gave, then by the lower index.
    If one order of a pair has no judgement, the selection has none.

This module does not know models or runs, and never sees a target.
"""

from collections import Counter
from itertools import count

from nbest.judging.candidates import CandidateSet
from nbest.judging.conversation import Conversation
from nbest.judging.prompts import parse_pairwise, render_pairwise
from nbest.judging.selectors import Choice, GenerativeSelector
from nbest.judging.windows import Candidate, deal
from nbest.loop_thread import gather_all
from nbest.plurals import agree, show_count, show_part
from nbest.records import Completion, Pool


class KnockoutSelector(GenerativeSelector):
    """Picks the winner of the last pair, or the first of the remaining candidates once all of them give one answer."""

    name = "knockout"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        candidates, points = list(candidate_set.candidates), Counter[int]()
        room = self._settings.room_tokens(pool)
        contradictions = 0
        for number in count():
            if len({candidate.cluster for candidate in candidates}) == 1:
                break
            pairs = deal(candidates, 2, room, self._settings.make_rng(pool, "pairs", number))
            if all(len(pair) == 1 for pair in pairs):
                return Choice(None, f"no two of the {len(candidates)} candidates left fit into {room} tokens")
            pairs = [sorted(pair, key=lambda candidate: pool.trajectories[candidate.position].index) for pair in pairs]
            calls = [
                self._compare(pool, pair, conversation, f"pairs {number} {index}") for index, pair in enumerate(pairs)
            ]
            results = await gather_all(calls)
            if missing := results.count(None):
                unjudged = f"{show_part(missing, len(pairs), 'pair')} of round {number} {agree(missing, 'was')}"
                return Choice(None, f"{unjudged} not judged")
            winners = set[int]()
            for pair, result in zip(pairs, results, strict=True):
                assert result is not None
                contradictions += _is_contradiction(pair, result)
                for candidate, half_points in zip(pair, result, strict=True):
                    points[candidate.position] += half_points
                winners.add(self._pick_winner(pair, result, points, candidate_set).position)
            candidates = [candidate for candidate in candidates if candidate.position in winners]
        pairs = f"{show_count(contradictions, 'pair')} {agree(contradictions, 'was')}"
        return Choice(candidates[0], f"{pairs} inconsistent" if contradictions else "")

    async def _compare(
        self, pool: Pool, pair: list[Candidate], conversation: Conversation, question: str
    ) -> tuple[int, ...] | None:
        """Return the half points of each candidate of a pair: 2 where both orders name it. None without a judgement."""
        if len(pair) == 1 or pair[0].cluster == pair[1].cluster:
            return (0,) * len(pair)
        first, second = pair
        forward, backward = await gather_all(
            [
                self._ask(pool, first, second, conversation, f"{question} forward"),
                self._ask(pool, second, first, conversation, f"{question} backward"),
            ]
        )
        if forward is None or backward is None:
            return None
        total = forward + 1 - backward  # the points of `first` in both orders: 0, 0.5, 1, 1.5 or 2
        if {forward, backward} <= {0.0, 1.0}:
            self.counts.inconsistent += total == 1
            return {2.0: (2, 0), 0.0: (0, 2)}.get(total, (0, 0))
        return (1, 1)

    async def _ask(
        self, pool: Pool, first: Candidate, second: Candidate, conversation: Conversation, question: str
    ) -> float | None:
        """Return the points of the candidate that the prompt holds first; None if there is no judgement."""

        def read(completion: Completion) -> tuple[float | None, str]:
            preference = parse_pairwise(completion.text, completion.finish)
            return preference.points, preference.fault

        prompt = render_pairwise(pool.prompt, first.text, second.text, pool.kind, self._settings.format.style)
        points = await conversation.ask(prompt, question, read)
        if points is not None and points != 0.5:
            self.counts.add_choice(2, 0 if points == 1 else 1)
        return points

    def _pick_winner(
        self, pair: list[Candidate], result: tuple[int, ...], points: Counter[int], candidate_set: CandidateSet
    ) -> Candidate:
        """Return the candidate that goes on. `pair` is ordered by index, and `max` returns the first of equal ones."""

        def rank(index: int) -> tuple[int, int, int]:
            return result[index], points[pair[index].position], len(candidate_set.members[pair[index].cluster])

        return pair[max(range(len(pair)), key=rank)]


def _is_contradiction(pair: list[Candidate], result: tuple[int, ...]) -> bool:
    return sum(result) == 0 and len({candidate.cluster for candidate in pair}) == 2
