"""Selectors in which a model reads candidates and names the best: in one window, in a tournament, by repeated vote.

GenSelect (arXiv 2504.16891, 2507.17797) and universal self-consistency (arXiv 2311.17311), over any Sampler.

Rules that hold for all of them (what a candidate is: `candidates.py`; how windows are dealt: `windows.py`; retries,
deadlines and counts: `conversation.py`)
    Where all answers agree nothing is asked: the attempt with the lowest index is selected, at no cost.
    A judgement that finally fails is never replaced by a pick. What then stands for the selection is the setting's
    `on_failure`: "abstain", or "majority" (the largest cluster of equal answers, of equal ones the one stated first;
    code has no answers and abstains). The note says it and why, and `counts` counts it.
    Candidates are ordered by `Trajectory.index`, then shuffled by a seed from (seed, problem, round): the order of the
    pool does not matter. `Selection.index` is a position in `pool.trajectories`.
    `Selection.usage` holds the tokens of every call, failed tries included.

This module does not know models, runs, and never sees a target.
"""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from itertools import count

from nbest.errors import UnavailableError
from nbest.judging.candidates import GenerativeSetting, Slate, judge_window, name_candidate, read_slate, settle_window
from nbest.judging.conversation import JudgementCounts, Sitting
from nbest.judging.prompts import parse_usc, render_usc
from nbest.judging.windows import Candidate, deal
from nbest.loop_thread import gather_all
from nbest.records import Pool, Selection
from nbest.selecting.scored import abstention, has_failed
from nbest.text.answers import answer_of


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy came to: a candidate, or None and in `note` why there is none."""

    candidate: Candidate | None
    note: str = ""
    confidence: float | None = None


class GenerativeSelector(ABC):
    """What the strategies share; each of them fills in `_choose`."""

    name: str

    def __init__(self, setting: GenerativeSetting):
        self._setting = setting

    @property
    def counts(self) -> JudgementCounts:
        """What was asked so far and what became of it."""
        return self._setting.judge.counts

    async def select(self, pool: Pool) -> Selection:
        self.counts.selections += 1
        if all(has_failed(each) for each in pool.trajectories):
            return abstention(pool)
        sitting = self._setting.judge.open(pool.problem_id)
        slate = await read_slate(pool, self._setting, sitting)
        if not slate.members:
            lacking = "code" if pool.kind == "code" else "an answer"
            return abstention(pool, f"none of {len(pool.trajectories)} attempts has {lacking}")
        if slate.is_agreed:
            self.counts.agreed += 1
            (places,) = slate.members.values()
            note = f"all {len(places)} answers agree: nothing was asked"
            return _selection(pool, places[0], sitting, (note, *slate.notes))
        if len(slate.candidates) < 2:
            choice = Choice(None, f"{len(slate.candidates)} candidates can be shown, 2 are needed")
        else:
            choice = await self._choose(pool, slate, sitting)
        if choice.candidate is None:
            return self._go_without(pool, slate, sitting, choice.note)
        notes = (choice.note, *slate.notes)
        return _selection(pool, choice.candidate.place, sitting, notes, choice.confidence)

    @abstractmethod
    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        """The choice among at least two candidates."""

    def _go_without(self, pool: Pool, slate: Slate, sitting: Sitting, reason: str) -> Selection:
        """The selection where there is no judgement, by the setting's `on_failure`."""
        if sitting.failed:
            reason += f" ({', '.join(f'{times} {fault}' for fault, times in sorted(sitting.failed.items()))})"
        if self._setting.on_failure == "majority" and pool.kind != "code":
            self.counts.fell_back += 1
            places = max(slate.members.values(), key=lambda places: (len(places), -_index(pool, places[0])))
            return _selection(pool, places[0], sitting, (f"no judgement: {reason}; the majority stands", *slate.notes))
        self.counts.abstained += 1
        note = _join((f"no judgement: {reason}", *slate.notes))
        return Selection(pool.problem_id, None, usage=sitting.usage, note=note)


class GenSelectSelector(GenerativeSelector):
    """One window with every candidate, one judgement.

    A pool of more distinct candidates than the window takes is an UnavailableError: the tournament is made for it. One
    whose prompt exceeds the token budget has no judgement (`on_failure`), and says so.
    """

    name = "genselect"

    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        window = self._setting.window
        if len(slate.candidates) > window.size:
            raise UnavailableError(
                f"{self.name}: problem {pool.problem_id!r} has {len(slate.candidates)} distinct candidates and one "
                f"window takes {window.size}. Select by genselect-tournament or genselect-vote, or set a larger window."
            )
        tokens, room = sum(each.tokens for each in slate.candidates), self._setting.room_tokens(pool)
        if room is not None and tokens > room:
            return Choice(None, f"the candidates take {tokens} tokens, the budget leaves {room}")
        shown = list(slate.candidates)
        self._setting.draw(pool, "window").shuffle(shown)
        found = await self._judge(pool, shown, sitting)
        return Choice(found, "" if found else "the window was not judged")

    async def _judge(self, pool: Pool, shown: list[Candidate], sitting: Sitting) -> Candidate | None:
        return await judge_window(pool, shown, self._setting, sitting, "window")


class ConsistencySelector(GenSelectSelector):
    """Universal self-consistency: the model names the response that agrees most with the others, in one window."""

    name = "usc"

    async def _judge(self, pool: Pool, shown: list[Candidate], sitting: Sitting) -> Candidate | None:
        prompt = render_usc(pool.prompt, [each.text for each in shown], pool.kind)
        return await name_candidate(shown, prompt, parse_usc, self._setting, sitting, "window")


class TournamentSelector(GenerativeSelector):
    """Rounds of windows: the candidate that a window's judgement names goes on to the next round.

    Every candidate that can be shown is read at least once. A candidate alone in its window goes on unread and is read
    in a later round. It ends with one candidate, or once all that are left were read and give the same answer (the
    first of them is selected). One window without a judgement leaves the selection without one.
    """

    name = "genselect-tournament"

    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        window, room = self._setting.window, self._setting.room_tokens(pool)
        left, was_read = list(slate.candidates), set[int]()
        for number in count():
            is_agreed = len({each.cluster for each in left}) == 1 and all(each.place in was_read for each in left)
            if len(left) == 1 or is_agreed:
                break
            windows = deal(left, window.size, room, self._setting.draw(pool, "round", number))
            if all(len(each) == 1 for each in windows):
                return Choice(None, f"no two of the {len(left)} candidates left fit into {room} tokens")
            winners = await gather_all(
                [self._judge(pool, each, sitting, f"round {number} window {at}") for at, each in enumerate(windows)]
            )
            if missing := winners.count(None):
                return Choice(None, f"{missing} of {len(windows)} windows of round {number} were not judged")
            was_read |= {each.place for shown in windows if len(shown) > 1 for each in shown}
            names = {winner.place for winner in winners if winner is not None}
            left = [each for each in left if each.place in names]
        return Choice(left[0])

    async def _judge(self, pool: Pool, shown: list[Candidate], sitting: Sitting, question: str) -> Candidate | None:
        if len(shown) == 1:
            return shown[0]
        return await judge_window(pool, shown, self._setting, sitting, question)


class VoteSelector(GenerativeSelector):
    """`repeats` judgements over shuffled windows; the answer that most of them selected wins (AIMO-2, 2504.16891).

    A pool beyond one window is dealt into windows again and again, so that candidates are read equally often. Equal
    counts go to the answer of more attempts, then to the one stated first. The pick is the member selected most often,
    of equal ones the first; `confidence` is the answer's share of the votes. Code votes for texts. A window that holds
    one answer only is not asked and votes for it. Judgements that finally failed cast no vote and are told in the note,
    as are candidates that no window held; without any vote there is no judgement.
    """

    name = "genselect-vote"

    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        windows = self._deal(pool, slate)
        if not windows:
            return Choice(None, f"no two of {len(slate.candidates)} candidates fit into the token budget")
        asked = [settle_window(pool, shown, self._setting, sitting, f"vote {at}") for at, shown in enumerate(windows)]
        selected = [each for each in await gather_all(asked) if each is not None]
        if not selected:
            return Choice(None, f"none of {len(windows)} judgements could be read")
        votes = Counter(each.cluster for each in selected)
        best = max(votes, key=lambda cluster: self._rank(pool, slate, votes, cluster))
        times = Counter(each.place for each in selected)
        members = [each for each in slate.candidates if each.cluster == best]
        candidate = max(members, key=lambda each: times[each.place])
        notes: list[str] = []
        if failed := len(windows) - len(selected):
            notes.append(f"{failed} of {len(windows)} judgements failed and cast no vote")
        held = {each.place for shown in windows for each in shown}
        if unread := sum(1 for each in slate.candidates if each.place not in held):
            notes.append(f"{unread} of {len(slate.candidates)} candidates were in none of {len(windows)} windows")
        return Choice(candidate, "; ".join(notes), votes[best] / votes.total())

    def _deal(self, pool: Pool, slate: Slate) -> list[list[Candidate]]:
        """`repeats` windows of at least two candidates each."""
        windows: list[list[Candidate]] = []
        room = self._setting.room_tokens(pool)
        for number in count():
            dealt = deal(slate.candidates, self._setting.window.size, room, self._setting.draw(pool, "vote", number))
            several = [shown for shown in dealt if len(shown) > 1]
            windows += several
            if len(windows) >= self._setting.repeats or not several:
                break
        return windows[: self._setting.repeats]

    def _rank(self, pool: Pool, slate: Slate, votes: Counter[int], cluster: int) -> tuple[int, int, int]:
        places = slate.members[cluster]
        return (votes[cluster], len(places), -_index(pool, places[0]))


def _index(pool: Pool, place: int) -> int:
    return pool.trajectories[place].index


def _selection(
    pool: Pool, place: int, sitting: Sitting, notes: tuple[str, ...], confidence: float | None = None
) -> Selection:
    answer = answer_of(pool.trajectories[place], pool.kind)
    return Selection(pool.problem_id, place, answer, confidence, sitting.usage, _join(notes))


def _join(notes: tuple[str, ...]) -> str:
    return "; ".join(note for note in notes if note)
