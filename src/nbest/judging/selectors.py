"""Selectors in which a model reads candidates and names the best: in one window, in a tournament, by repeated vote.

GenSelect (arXiv 2504.16891, 2507.17797) and universal self-consistency (arXiv 2311.17311), over any Sampler.

Rules that hold for all of them (what a candidate is: `candidates.py`; how windows are dealt: `windows.py`; retries,
deadlines and counts: `conversation.py`)
    Where all answers agree nothing is asked: the trajectory with the lowest index is selected, at no cost.
    A judgement that finally fails is never replaced by a pick. What is selected then is said by `on_failure` of the
    settings: "abstain", or "majority" (the largest cluster of equal answers, of clusters of one size the one with the
    lowest index; code has no answers and abstains). The note says so and why, and `counts` counts it.
    Candidates are ordered by `Trajectory.index`, then shuffled by a seed from (seed, problem, round): the order of the
    pool does not matter. `Selection.index` is a position in `pool.trajectories`.
    `Selection.usage` holds the tokens of every call, failed tries included.

This module does not know models or runs, and never sees a target.
"""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from itertools import count

from nbest.errors import UnavailableError
from nbest.judging.candidates import (
    CandidateSet,
    JudgeSettings,
    judge_window,
    name_candidate,
    read_candidates,
    settle_window,
)
from nbest.judging.conversation import Conversation, JudgementCounts
from nbest.judging.prompts import parse_usc, render_usc
from nbest.judging.windows import Candidate, deal
from nbest.loop_thread import gather_all
from nbest.protocols import Selector
from nbest.records import Pool, Selection, WorkReport
from nbest.selecting.scored import abstention
from nbest.text.answers import answer_of


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy chose: a candidate, or None and in `note` why there is none."""

    candidate: Candidate | None
    note: str = ""
    confidence: float | None = None


class GenerativeSelector(Selector, ABC):
    """What the strategies share; each of them implements `_choose`.

    The judge of `settings` may be shared, so closing a selector leaves it open.
    """

    name: str

    def __init__(self, settings: JudgeSettings):
        self._settings = settings

    @property
    def counts(self) -> JudgementCounts:
        """What was asked until now and what became of it."""
        return self._settings.judge.counts

    def report(self) -> WorkReport:
        return self._settings.judge.report()

    async def select(self, pool: Pool) -> Selection:
        self.counts.selections += 1
        if all(trajectory.has_failed for trajectory in pool.trajectories):
            return abstention(pool)
        conversation = self._settings.judge.open(pool.problem_id)
        candidate_set = await read_candidates(pool, self._settings, conversation)
        if not candidate_set.members:
            lacking = "code" if pool.kind == "code" else "an answer"
            return abstention(pool, f"none of {len(pool.trajectories)} trajectories has {lacking}")
        if candidate_set.is_agreed:
            self.counts.agreed += 1
            (positions,) = candidate_set.members.values()
            note = f"all {len(positions)} answers agree: nothing was asked"
            return _selection(pool, positions[0], conversation, (note, *candidate_set.notes))
        if len(candidate_set.candidates) < 2:
            choice = Choice(None, f"{len(candidate_set.candidates)} candidates can be shown, 2 are needed")
        else:
            choice = await self._choose(pool, candidate_set, conversation)
        if choice.candidate is None:
            return self._go_without(pool, candidate_set, conversation, choice.note)
        notes = (choice.note, *candidate_set.notes)
        return _selection(pool, choice.candidate.position, conversation, notes, choice.confidence)

    @abstractmethod
    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        """Choose one of at least two candidates."""

    def _go_without(
        self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation, reason: str
    ) -> Selection:
        """Return the selection where there is no judgement, by `on_failure` of the settings."""
        if conversation.failed:
            reason += f" ({', '.join(f'{times} {fault}' for fault, times in sorted(conversation.failed.items()))})"
        if self._settings.on_failure == "majority" and pool.kind != "code":
            self.counts.fell_back += 1
            clusters = candidate_set.members.values()
            positions = max(clusters, key=lambda members: (len(members), -_index(pool, members[0])))
            return _selection(
                pool, positions[0], conversation, (f"no judgement: {reason}; the majority stands", *candidate_set.notes)
            )
        self.counts.abstained += 1
        note = _join((f"no judgement: {reason}", *candidate_set.notes))
        return Selection(pool.problem_id, None, usage=conversation.usage, note=note)


class GenSelectSelector(GenerativeSelector):
    """One window with every candidate, one judgement.

    A pool of more distinct candidates than the window takes is an UnavailableError: use the tournament for it. A pool
    whose prompt exceeds the token budget has no judgement (`on_failure`), and the note says so.
    """

    name = "genselect"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        size = self._settings.window.size
        if len(candidate_set.candidates) > size:
            raise UnavailableError(
                f"{self.name}: problem {pool.problem_id!r} has {len(candidate_set.candidates)} distinct candidates and "
                f"one window takes {size}. Select by genselect-tournament or genselect-vote, or set a larger "
                "window."
            )
        tokens, room = sum(candidate.tokens for candidate in candidate_set.candidates), self._settings.room_tokens(pool)
        if room is not None and tokens > room:
            return Choice(None, f"the candidates take {tokens} tokens, the budget leaves {room}")
        window = list(candidate_set.candidates)
        self._settings.draw(pool, "window").shuffle(window)
        winner = await self._judge(pool, window, conversation)
        return Choice(winner, "" if winner else "the window was not judged")

    async def _judge(self, pool: Pool, window: list[Candidate], conversation: Conversation) -> Candidate | None:
        return await judge_window(pool, window, self._settings, conversation, "window")


class ConsistencySelector(GenSelectSelector):
    """Universal self-consistency: the model names the response that agrees most with the others, in one window."""

    name = "usc"

    async def _judge(self, pool: Pool, window: list[Candidate], conversation: Conversation) -> Candidate | None:
        prompt = render_usc(pool.prompt, [candidate.text for candidate in window], pool.kind)
        return await name_candidate(window, prompt, parse_usc, self._settings, conversation, "window")


class TournamentSelector(GenerativeSelector):
    """Rounds of windows: the candidate that a window's judgement names goes on to the next round.

    Every candidate is read at least once. A candidate alone in its window goes on unread and is read in a later round.
    The tournament ends with one candidate, or once all remaining ones were read and give the same answer (the first of
    them is selected). If one window has no judgement, the selection has none.
    """

    name = "genselect-tournament"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        size, room = self._settings.window.size, self._settings.room_tokens(pool)
        remaining, read_positions = list(candidate_set.candidates), set[int]()
        for number in count():
            are_read = {candidate.position for candidate in remaining} <= read_positions
            is_agreed = are_read and len({candidate.cluster for candidate in remaining}) == 1
            if len(remaining) == 1 or is_agreed:
                break
            windows = deal(remaining, size, room, self._settings.draw(pool, "round", number))
            if all(len(window) == 1 for window in windows):
                return Choice(None, f"no two of the {len(remaining)} candidates left fit into {room} tokens")
            winners = await gather_all(
                [
                    self._judge(pool, window, conversation, f"round {number} window {at}")
                    for at, window in enumerate(windows)
                ]
            )
            if missing := winners.count(None):
                return Choice(None, f"{missing} of {len(windows)} windows of round {number} were not judged")
            read_positions |= {candidate.position for window in windows if len(window) > 1 for candidate in window}
            names = {winner.position for winner in winners if winner is not None}
            remaining = [candidate for candidate in remaining if candidate.position in names]
        return Choice(remaining[0])

    async def _judge(
        self, pool: Pool, window: list[Candidate], conversation: Conversation, question: str
    ) -> Candidate | None:
        if len(window) == 1:
            return window[0]
        return await judge_window(pool, window, self._settings, conversation, question)


class VoteSelector(GenerativeSelector):
    """`repeats` judgements over shuffled windows; the answer that most of them selected wins (AIMO-2, 2504.16891).

    A pool beyond one window is dealt into windows again and again, so that candidates are read equally often. Equal
    counts go to the answer of more trajectories, then to the one with the lowest index. The pick is the member selected
    most often, of equal ones the first; `confidence` is the answer's share of the votes. Code votes for texts. A window
    of one answer votes for it without being judged. Judgements that finally failed cast no vote; the note counts them,
    and the candidates that were in no window. Without any vote there is no judgement.
    """

    name = "genselect-vote"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        windows = self._deal(pool, candidate_set)
        if not windows:
            return Choice(None, f"no two of {len(candidate_set.candidates)} candidates fit into the token budget")
        calls = [
            settle_window(pool, window, self._settings, conversation, f"vote {at}") for at, window in enumerate(windows)
        ]
        selected = [candidate for candidate in await gather_all(calls) if candidate is not None]
        if not selected:
            return Choice(None, f"none of {len(windows)} judgements could be read")
        votes = Counter(candidate.cluster for candidate in selected)
        best = max(votes, key=lambda cluster: self._rank(pool, candidate_set, votes, cluster))
        times = Counter(candidate.position for candidate in selected)
        members = [candidate for candidate in candidate_set.candidates if candidate.cluster == best]
        candidate = max(members, key=lambda candidate: times[candidate.position])
        notes: list[str] = []
        if failed := len(windows) - len(selected):
            notes.append(f"{failed} of {len(windows)} judgements failed and cast no vote")
        dealt = {candidate.position for window in windows for candidate in window}
        if unread := sum(1 for candidate in candidate_set.candidates if candidate.position not in dealt):
            notes.append(
                f"{unread} of {len(candidate_set.candidates)} candidates were in none of {len(windows)} windows"
            )
        return Choice(candidate, "; ".join(notes), votes[best] / votes.total())

    def _deal(self, pool: Pool, candidate_set: CandidateSet) -> list[list[Candidate]]:
        """Return `repeats` windows of at least two candidates."""
        windows: list[list[Candidate]] = []
        room = self._settings.room_tokens(pool)
        for number in count():
            round_ = deal(
                candidate_set.candidates, self._settings.window.size, room, self._settings.draw(pool, "vote", number)
            )
            several = [window for window in round_ if len(window) > 1]
            windows += several
            if len(windows) >= self._settings.repeats or not several:
                break
        return windows[: self._settings.repeats]

    def _rank(self, pool: Pool, candidate_set: CandidateSet, votes: Counter[int], cluster: int) -> tuple[int, int, int]:
        positions = candidate_set.members[cluster]
        return (votes[cluster], len(positions), -_index(pool, positions[0]))


def _index(pool: Pool, position: int) -> int:
    return pool.trajectories[position].index


def _selection(
    pool: Pool, position: int, conversation: Conversation, notes: tuple[str, ...], confidence: float | None = None
) -> Selection:
    answer = answer_of(pool.trajectories[position], pool.kind)
    return Selection(pool.problem_id, position, answer, confidence, conversation.usage, _join(notes))


def _join(notes: tuple[str, ...]) -> str:
    return "; ".join(note for note in notes if note)
