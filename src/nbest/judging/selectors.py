"""Selectors in which a model reads candidates and names the best: in one window, in a tournament, by repeated vote.

GenSelect (arXiv 2504.16891, 2507.17797) and universal self-consistency (arXiv 2311.17311), over any Sampler.

Rules that hold for all of them (what a candidate is: `candidates.py`; how windows are dealt: `windows.py`; retries,
deadlines and counts: `conversation.py`)
    Where all answers agree, the trajectory with the lowest index is selected without a call.
    A judgement that finally fails is never replaced by a pick. `on_failure` of the settings decides what happens then:
    "abstain", or "majority" (select from the largest cluster of equal answers, among clusters of one size from that
    with the lowest index; code has no answers and abstains). The note gives the reason, and `counts` counts it.
    Candidates are ordered by `Trajectory.index`, then shuffled by a seed from (seed, problem, round): the order of the
    pool does not matter. `Selection.index` is a position in `pool.trajectories`.
    `Selection.usage` holds the tokens of every call, failed tries included.

This module does not know models or runs, and never sees a target.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from itertools import count

from nbest.answers.extraction import answer_of
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
from nbest.plurals import agree, show_count, show_part
from nbest.protocols import Selector
from nbest.records import Pool, Selection, WorkReport
from nbest.selecting.scored import abstention

NO_JUDGEMENT = "no judgement"
"""The beginning of the note of a selection that was made without a judgement, or was not made for want of one."""
LOST_JUDGEMENTS = re.compile(
    r"\bjudgements? failed and (?:cast|was|were)\b|\bpairs? (?:was|were) not judged\b|\bthe policy wrote no test\b"
)
"""What the note of a selection or score says where some of its judgements failed and the others decided."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy chose: a candidate, or None with the reason in `note`."""

    candidate: Candidate | None
    note: str = ""
    confidence: float | None = None


class GenerativeSelector(Selector, ABC):
    """The part that all strategies share; a subclass implements `_choose`.

    The judge of `settings` may be shared, so closing a selector leaves it open.
    """

    name: str

    def __init__(self, settings: JudgeSettings):
        self._settings = settings

    @property
    def counts(self) -> JudgementCounts:
        """The counts of all calls so far and of their outcomes."""
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
            content = "code" if pool.kind == "code" else "an answer"
            return abstention(pool, f"none of {show_count(len(pool.trajectories), 'trajectory')} has {content}")
        if candidate_set.is_agreed:
            self.counts.agreed += 1
            (positions,) = candidate_set.members.values()
            is_alone = len(positions) == 1
            agreement = "there is only one answer" if is_alone else f"all {show_count(len(positions), 'answer')} agree"
            note = f"{agreement}: nothing was asked"
            return _make_selection(pool, positions[0], conversation, (note, *candidate_set.notes))
        if len(candidate_set.candidates) < 2:
            shown = show_count(len(candidate_set.candidates), "candidate")
            choice = Choice(None, f"{shown} can be shown, 2 are needed")
        else:
            choice = await self._choose(pool, candidate_set, conversation)
        if choice.candidate is None:
            return self._select_without_judgement(pool, candidate_set, conversation, choice.note)
        notes = (choice.note, *candidate_set.notes)
        return _make_selection(pool, choice.candidate.position, conversation, notes, choice.confidence)

    @abstractmethod
    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        """Choose one of at least two candidates."""

    def _select_without_judgement(
        self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation, reason: str
    ) -> Selection:
        """Return what `on_failure` of the settings says if there is no judgement."""
        if conversation.failed:
            reason += f" ({', '.join(f'{count} {fault}' for fault, count in sorted(conversation.failed.items()))})"
        if self._settings.on_failure == "majority" and pool.kind != "code":
            self.counts.fell_back += 1
            clusters = candidate_set.members.values()
            positions = max(clusters, key=lambda members: (len(members), -_index_of(pool, members[0])))
            return _make_selection(
                pool,
                positions[0],
                conversation,
                (f"{NO_JUDGEMENT}: {reason}; the majority stands", *candidate_set.notes),
            )
        self.counts.abstained += 1
        note = _join_notes((f"{NO_JUDGEMENT}: {reason}", *candidate_set.notes))
        return Selection(pool.problem_id, None, usage=conversation.usage, note=note)


class GenSelectSelector(GenerativeSelector):
    """One window with every candidate, one judgement.

    A pool with more distinct candidates than the window takes is an UnavailableError: use the tournament for it. Where
    the prompt exceeds the token budget there is no judgement (see `on_failure`), and the note says so.
    """

    name = "genselect"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        size = self._settings.window.size
        if len(candidate_set.candidates) > size:
            raise UnavailableError(
                f"{self.name}: problem {pool.problem_id!r} has "
                f"{show_count(len(candidate_set.candidates), 'distinct candidate')} and one window takes {size}. "
                "Select by genselect-tournament or genselect-vote, or set a larger window."
            )
        tokens, room = sum(candidate.tokens for candidate in candidate_set.candidates), self._settings.room_tokens(pool)
        if room is not None and tokens > room:
            return Choice(None, f"the candidates take {show_count(tokens, 'token')}, the budget leaves {room}")
        window = list(candidate_set.candidates)
        self._settings.make_rng(pool, "window").shuffle(window)
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

    Every candidate is read at least once: one that is alone in its window goes on unread and is read in a later round.
    The tournament ends with one candidate, or once all remaining ones have been read and give the same answer (then the
    first of them is selected). If one window has no judgement, the selection has none.
    """

    name = "genselect-tournament"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        size, room = self._settings.window.size, self._settings.room_tokens(pool)
        candidates, read_positions = list(candidate_set.candidates), set[int]()
        for number in count():
            is_each_read = {candidate.position for candidate in candidates} <= read_positions
            is_agreed = is_each_read and len({candidate.cluster for candidate in candidates}) == 1
            if len(candidates) == 1 or is_agreed:
                break
            windows = deal(candidates, size, room, self._settings.make_rng(pool, "round", number))
            if all(len(window) == 1 for window in windows):
                return Choice(None, f"no two of the {len(candidates)} candidates left fit into {room} tokens")
            winners = await gather_all(
                [
                    self._judge(pool, window, conversation, f"round {number} window {index}")
                    for index, window in enumerate(windows)
                ]
            )
            if missing := winners.count(None):
                unjudged = f"{show_part(missing, len(windows), 'window')} of round {number} {agree(missing, 'was')}"
                return Choice(None, f"{unjudged} not judged")
            read_positions |= {candidate.position for window in windows if len(window) > 1 for candidate in window}
            winner_positions = {winner.position for winner in winners if winner is not None}
            candidates = [candidate for candidate in candidates if candidate.position in winner_positions]
        return Choice(candidates[0])

    async def _judge(
        self, pool: Pool, window: list[Candidate], conversation: Conversation, question: str
    ) -> Candidate | None:
        if len(window) == 1:
            return window[0]
        return await judge_window(pool, window, self._settings, conversation, question)


class VoteSelector(GenerativeSelector):
    """`repeats` judgements over shuffled windows; the answer that most of them selected wins (AIMO-2, 2504.16891).

    A pool that does not fit into one window is dealt into windows again and again, so that all candidates are read
    about equally often. A tie goes to the answer of more trajectories, then to the one with the lowest index. The pick
    is the candidate with this answer that was selected most often, in a tie the first; `confidence` is the answer's
    share of the votes. For code, votes are for texts. A window of one answer votes for it without being judged.
    Judgements that finally failed cast no vote; the note counts them, and the candidates that were in no window. If no
    vote was cast, the selection has no judgement.
    """

    name = "genselect-vote"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        windows = self._deal(pool, candidate_set)
        if not windows:
            candidates = show_count(len(candidate_set.candidates), "candidate")
            return Choice(None, f"no two of {candidates} fit into the token budget")
        calls = [
            settle_window(pool, window, self._settings, conversation, f"vote {number}")
            for number, window in enumerate(windows)
        ]
        selected = [candidate for candidate in await gather_all(calls) if candidate is not None]
        if not selected:
            return Choice(None, f"none of {show_count(len(windows), 'judgement')} could be read")
        votes = Counter(candidate.cluster for candidate in selected)
        best = max(votes, key=lambda cluster: self._rank(pool, candidate_set, votes, cluster))
        choice_counts = Counter(candidate.position for candidate in selected)
        members = [candidate for candidate in candidate_set.candidates if candidate.cluster == best]
        candidate = max(members, key=lambda candidate: choice_counts[candidate.position])
        notes: list[str] = []
        if failed := len(windows) - len(selected):
            notes.append(f"{show_part(failed, len(windows), 'judgement')} failed and cast no vote")
        read_positions = {candidate.position for window in windows for candidate in window}
        if unread := sum(1 for candidate in candidate_set.candidates if candidate.position not in read_positions):
            notes.append(
                f"{show_part(unread, len(candidate_set.candidates), 'candidate')} "
                f"{agree(unread, 'was')} in none of {show_count(len(windows), 'window')}"
            )
        return Choice(candidate, "; ".join(notes), votes[best] / votes.total())

    def _deal(self, pool: Pool, candidate_set: CandidateSet) -> list[list[Candidate]]:
        """Return `repeats` windows of at least two candidates."""
        windows: list[list[Candidate]] = []
        room_tokens = self._settings.room_tokens(pool)
        for number in count():
            round_windows = deal(
                candidate_set.candidates,
                self._settings.window.size,
                room_tokens,
                self._settings.make_rng(pool, "vote", number),
            )
            usable_windows = [window for window in round_windows if len(window) > 1]
            windows += usable_windows
            if len(windows) >= self._settings.repeats or not usable_windows:
                break
        return windows[: self._settings.repeats]

    def _rank(self, pool: Pool, candidate_set: CandidateSet, votes: Counter[int], cluster: int) -> tuple[int, int, int]:
        positions = candidate_set.members[cluster]
        return (votes[cluster], len(positions), -_index_of(pool, positions[0]))


def _index_of(pool: Pool, position: int) -> int:
    return pool.trajectories[position].index


def _make_selection(
    pool: Pool, position: int, conversation: Conversation, notes: tuple[str, ...], confidence: float | None = None
) -> Selection:
    answer = answer_of(pool.trajectories[position], pool)
    return Selection(pool.problem_id, position, answer, confidence, conversation.usage, _join_notes(notes))


def _join_notes(notes: tuple[str, ...]) -> str:
    return "; ".join(note for note in notes if note)
