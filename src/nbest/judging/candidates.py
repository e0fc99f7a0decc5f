"""The candidates of a pool: the part of each trajectory that a model reads, and one judgement of a window of them.

Rules
    Failed trajectories (`finish="error"`) are no candidates. Where the kind of problem has answers, trajectories
    without one are none either: they cannot be right. Equal answers (a `Clusterer` says which) share a cluster; code
    has no answers to compare, so equal texts share one.
    Where all answers agree, no judgement is needed: such a set has no candidates and no cost.
    The prompt holds a text as `judging/prompts.py` prepares it, or a summary that the model writes first. Where a
    summary fails, the prompt holds the text itself, and the notes say so.
    The same text occurs once, for the trajectory with the lowest index. An empty text, or one that exceeds the token
    budget by itself, is excluded: the notes say how many there are.
    Candidates are ordered by `Trajectory.index`, whatever the order of the pool.

This module does not know selectors or scorers, and never sees a target.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from nbest.answers.extraction import answer_of
from nbest.judging.conversation import Conversation, Judge
from nbest.judging.prompts import (
    Judgement,
    PromptFormat,
    number_candidate,
    parse_genselect,
    render_genselect,
    render_summary,
    show_candidate,
)
from nbest.judging.windows import Candidate, Window
from nbest.loop_thread import gather_all
from nbest.plurals import agree, show_part
from nbest.protocols import Clusterer
from nbest.records import Completion, Finish, Pool, Trajectory, derive_seed

OnFailure: TypeAlias = Literal["abstain", "majority"]
"""What to select if there is no judgement: nothing, or the majority answer. Counts and notes record either."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """The settings of a generative selector or scorer.

    `repeats` is the number of judgements R of methods that repeat them. With `summary_tokens` the model first
    summarises every candidate in at most this many tokens. `token_text` returns the text of a token id; None if the
    sampler's vocabulary is unknown.
    """

    judge: Judge
    equivalence: Clusterer
    format: PromptFormat = field(default_factory=PromptFormat)
    window: Window = field(default_factory=Window)
    repeats: int = 8
    on_failure: OnFailure = "abstain"
    summary_tokens: int | None = None
    token_text: Callable[[int], str] | None = None

    def make_rng(self, pool: Pool, purpose: str, number: int = 0) -> random.Random:
        """Return a random generator that depends on the seed, the problem, `purpose` and `number` alone."""
        return random.Random(derive_seed(self.judge.retry.seed, f"{pool.problem_id}\x1f{purpose}", number))

    def room_tokens(self, pool: Pool) -> int | None:
        """Return the tokens that candidates may take in one prompt; None without a budget."""
        return self.window.room_tokens(render_genselect(pool.prompt, (), pool.kind, self.format.style))


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """The candidates of a pool.

    `members` [cluster] holds the positions in the pool of all trajectories with this answer, by index. `reasons`
    [position] says why a trajectory is not among the `candidates`; `notes` count what was excluded.
    """

    candidates: tuple[Candidate, ...] = ()
    members: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    reasons: Mapping[int, str] = field(default_factory=dict[int, str])
    notes: tuple[str, ...] = ()

    @property
    def is_agreed(self) -> bool:
        """Whether all trajectories with an answer give the same one."""
        return len(self.members) == 1


async def read_candidates(pool: Pool, settings: JudgeSettings, conversation: Conversation) -> CandidateSet:
    """Return the candidates of a pool; the model is called only for summaries, if the settings ask for them."""
    order = sorted(range(len(pool.trajectories)), key=lambda position: pool.trajectories[position].index)
    reasons = {position: "failed" for position in order if pool.trajectories[position].completion.finish == "error"}
    positions = [position for position in order if position not in reasons]
    if pool.kind == "code":
        texts = {
            position: show_candidate(pool.trajectories[position].completion.text, kind="code", code=pool.code)
            for position in positions
        }
        numbers: dict[str, int] = {}
        clusters = {position: numbers.setdefault(text, len(numbers)) for position, text in texts.items() if text}
        notes: list[str] = []
    else:
        answers = [answer_of(pool.trajectories[position], pool) for position in positions]
        pairs = zip(positions, await asyncio.to_thread(settings.equivalence.cluster, answers, pool.kind), strict=True)
        clusters = {position: cluster for position, cluster in pairs if cluster is not None}
        reasons |= {position: "no answer" for position in positions if position not in clusters}
        if len(set(clusters.values())) < 2:
            return CandidateSet((), _group_positions(clusters), reasons)
        texts, notes = await _read_texts(pool, list(clusters), settings, conversation)
    return _add_candidates(pool, texts, clusters, settings, CandidateSet(reasons=reasons, notes=tuple(notes)))


def _group_positions(clusters: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    members: dict[int, tuple[int, ...]] = {}
    for position, cluster in clusters.items():
        members[cluster] = (*members.get(cluster, ()), position)
    return members


async def _read_texts(
    pool: Pool, positions: list[int], settings: JudgeSettings, conversation: Conversation
) -> tuple[dict[int, str], list[str]]:
    """Return the text of each trajectory as the prompt holds it, and notes."""
    texts = {position: _show_trajectory(pool.trajectories[position], pool, settings.format) for position in positions}
    if settings.summary_tokens is None:
        return texts, []
    calls = [_summarise(pool, pool.trajectories[position], settings, conversation) for position in positions]
    summaries = await gather_all(calls)
    missing = summaries.count(None)
    texts |= {position: summary for position, summary in zip(positions, summaries, strict=True) if summary}
    without = f"{show_part(missing, len(positions), 'trajectory')} {agree(missing, 'has')} no summary"
    note = f"{without} and {agree(missing, 'is')} shown without"
    return texts, [note] if missing else []


def _show_trajectory(trajectory: Trajectory, pool: Pool, format: PromptFormat) -> str:
    answer = answer_of(trajectory, pool) if format.thinking == "answer" else None
    return show_candidate(trajectory.completion.text, format.thinking, pool.kind, answer, pool.code)


async def _summarise(
    pool: Pool, trajectory: Trajectory, settings: JudgeSettings, conversation: Conversation
) -> str | None:
    assert settings.summary_tokens is not None
    params = replace(settings.judge.retry.params, max_tokens=settings.summary_tokens)

    def read(completion: Completion) -> tuple[str | None, str]:
        text = show_candidate(completion.text)
        return (None, "truncated") if completion.finish == "length" else (text or None, "" if text else "unparsed")

    prompt = render_summary(pool.prompt, trajectory.completion.text)
    return await conversation.ask(prompt, f"summary {trajectory.id}", read, params)


def _add_candidates(
    pool: Pool, texts: Mapping[int, str], clusters: Mapping[int, int], settings: JudgeSettings, base_set: CandidateSet
) -> CandidateSet:
    """Return the set with its candidates: without empty texts and those beyond the budget, and equal texts as one."""
    room_tokens = settings.room_tokens(pool)
    reasons, candidates = dict(base_set.reasons), dict[tuple[str, int], Candidate]()
    for position, text in texts.items():
        if not text:
            reasons[position] = "nothing to show"
            continue
        key = (text, clusters[position])
        if key in candidates:
            candidates[key] = replace(candidates[key], positions=(*candidates[key].positions, position))
            continue
        tokens = settings.window.count(number_candidate(0, text, pool.kind, settings.format.style))
        if room_tokens is not None and tokens > room_tokens:
            reasons[position] = "beyond the token budget"
            continue
        answer = answer_of(pool.trajectories[position], pool)
        candidates[key] = Candidate(position, text, clusters[position], answer, tokens, (position,))
    notes = list(base_set.notes)
    for reason in ("nothing to show", "beyond the token budget"):
        if count := list(reasons.values()).count(reason):
            notes.append(f"{show_part(count, len(texts), 'trajectory')} {agree(count, 'was')} not shown: {reason}")
            settings.judge.counts.unread += count
    return CandidateSet(tuple(candidates.values()), _group_positions(clusters), reasons, tuple(notes))


async def judge_window(
    pool: Pool, window: list[Candidate], settings: JudgeSettings, conversation: Conversation, question: str
) -> Candidate | None:
    """Return the candidate that one GenSelect judgement names; None if it finally failed."""
    prompt = render_genselect(pool.prompt, [candidate.text for candidate in window], pool.kind, settings.format.style)
    return await name_candidate(window, prompt, parse_genselect, settings, conversation, question)


async def settle_window(
    pool: Pool, window: list[Candidate], settings: JudgeSettings, conversation: Conversation, question: str
) -> Candidate | None:
    """Return the candidate that one judgement names; where all candidates have one answer the first by index, without
    a call. None if the judgement finally failed."""
    if len({candidate.cluster for candidate in window}) == 1:
        return min(window, key=lambda candidate: pool.trajectories[candidate.position].index)
    return await judge_window(pool, window, settings, conversation, question)


async def name_candidate(
    window: list[Candidate],
    prompt: str,
    parse: Callable[[str, int, Finish], Judgement],
    settings: JudgeSettings,
    conversation: Conversation,
    question: str,
) -> Candidate | None:
    """Return the candidate of `window` that the judgement names, as `parse` reads it; count its position."""

    def read(completion: Completion) -> tuple[int | None, str]:
        judgement = parse(completion.text, len(window), completion.finish)
        return judgement.index, judgement.fault

    index = await conversation.ask(prompt, question, read)
    if index is None:
        return None
    settings.judge.counts.add_choice(len(window), index)
    return window[index]
