"""What a judge is shown of a pool: its candidates, made ready to be read, and a judgement over some of them.

Rules
    Failed attempts (`finish="error"`) are no candidates. Where the kind of problem has answers, attempts without one
    are none either: they cannot be right. Equal answers (a `Clusterer` says which) share a cluster; for code, that has
    no answer to compare, equal texts do.
    Where all answers agree there is nothing to ask: such a slate has no candidates and no cost.
    A text is shown as `judging/prompts.py` shows it, or as a summary that the judge writes first. A summary that fails
    leaves the candidate as it would have been shown without, and is told in the notes.
    The same text twice is shown once, for the attempt with the lowest index. An attempt with nothing to show, or one
    that exceeds the token budget alone, is not shown: the notes tell how many there are.
    Candidates stand in the order of `Trajectory.index`, whatever the order of the pool.

This module does not know who selects or scores, and never sees a target.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from nbest.judging.conversation import Judge, Sitting
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
from nbest.records import Completion, Finish, Pool, Trajectory, derive_seed
from nbest.text.answers import answer_of
from nbest.verifying.equivalence import Clusterer

OnFailure: TypeAlias = Literal["abstain", "majority"]
"""What stands for a selection without a judgement: nobody, or the majority answer; told and counted either way."""


@dataclass(frozen=True, slots=True)
class GenerativeSetting:
    """How a generative selector works. `repeats` is R of the strategies that ask more than once. `summary_tokens`: let
    the judge summarise every candidate in at most so many tokens first. `token_text` gives the text of a token id
    where the sampler's vocabulary is known."""

    judge: Judge
    equivalence: Clusterer
    format: PromptFormat = field(default_factory=PromptFormat)
    window: Window = field(default_factory=Window)
    repeats: int = 8
    on_failure: OnFailure = "abstain"
    summary_tokens: int | None = None
    token_text: Callable[[int], str] | None = None

    def draw(self, pool: Pool, purpose: str, number: int = 0) -> random.Random:
        """The random numbers of one deal: the same for the same seed, problem, purpose and number."""
        return random.Random(derive_seed(self.judge.policy.seed, f"{pool.problem_id}\x1f{purpose}", number))

    def room_tokens(self, pool: Pool) -> int | None:
        """The tokens that candidates may take in one prompt; None without a budget."""
        return self.window.room_tokens(render_genselect(pool.prompt, (), pool.kind, self.format.style))


@dataclass(frozen=True, slots=True)
class Slate:
    """`members` [cluster]: positions in the pool of every attempt that gave this answer, by index. `reasons`
    [position]: why an attempt is not among the `candidates`. `notes` tell what was left out."""

    candidates: tuple[Candidate, ...] = ()
    members: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    reasons: Mapping[int, str] = field(default_factory=dict[int, str])
    notes: tuple[str, ...] = ()

    @property
    def is_agreed(self) -> bool:
        return len(self.members) == 1


async def read_slate(pool: Pool, setting: GenerativeSetting, sitting: Sitting) -> Slate:
    """The slate of a pool; nothing is asked unless summaries are wanted."""
    order = sorted(range(len(pool.trajectories)), key=lambda place: pool.trajectories[place].index)
    reasons = {place: "failed" for place in order if pool.trajectories[place].completion.finish == "error"}
    able = [place for place in order if place not in reasons]
    if pool.kind == "code":
        texts = {place: show_candidate(pool.trajectories[place].completion.text, kind="code") for place in able}
        numbers: dict[str, int] = {}
        clusters = {place: numbers.setdefault(text, len(numbers)) for place, text in texts.items() if text}
        notes: list[str] = []
    else:
        answers = [answer_of(pool.trajectories[place], pool.kind) for place in able]
        found = await asyncio.to_thread(setting.equivalence.cluster, answers)
        clusters = {place: cluster for place, cluster in zip(able, found, strict=True) if cluster is not None}
        reasons |= {place: "no answer" for place in able if place not in clusters}
        if len(set(clusters.values())) < 2:
            return Slate((), _group(clusters), reasons)
        texts, notes = await _show(pool, list(clusters), setting, sitting)
    return _fill(pool, texts, clusters, setting, Slate(reasons=reasons, notes=tuple(notes)))


def _group(clusters: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    members: dict[int, tuple[int, ...]] = {}
    for place, cluster in clusters.items():
        members[cluster] = (*members.get(cluster, ()), place)
    return members


async def _show(
    pool: Pool, places: list[int], setting: GenerativeSetting, sitting: Sitting
) -> tuple[dict[int, str], list[str]]:
    """The text of each attempt as it is shown, and what is to be told of it."""
    shown = {
        place: show_candidate(pool.trajectories[place].completion.text, setting.format.thinking, pool.kind)
        for place in places
    }
    if setting.summary_tokens is None:
        return shown, []
    asked = [_summarise(pool, pool.trajectories[place], setting, sitting) for place in places]
    summaries = await gather_all(asked)
    missing = summaries.count(None)
    texts = {place: summary or shown[place] for place, summary in zip(places, summaries, strict=True)}
    return texts, [f"{missing} of {len(places)} attempts have no summary and are shown without"] if missing else []


async def _summarise(pool: Pool, trajectory: Trajectory, setting: GenerativeSetting, sitting: Sitting) -> str | None:
    assert setting.summary_tokens is not None
    params = replace(setting.judge.policy.params, max_tokens=setting.summary_tokens)

    def read(completion: Completion) -> tuple[str | None, str]:
        text = show_candidate(completion.text)
        return (None, "truncated") if completion.finish == "length" else (text or None, "" if text else "unparsed")

    prompt = render_summary(pool.prompt, trajectory.completion.text)
    return await sitting.ask(prompt, f"summary {trajectory.id}", read, params)


def _fill(
    pool: Pool, texts: Mapping[int, str], clusters: Mapping[int, int], setting: GenerativeSetting, begun: Slate
) -> Slate:
    """The slate with its candidates: empty texts and those beyond the budget sorted out, equal ones joined."""
    room = setting.room_tokens(pool)
    reasons, held = dict(begun.reasons), dict[tuple[str, int], Candidate]()
    for place, text in texts.items():
        if not text:
            reasons[place] = "nothing to show"
            continue
        key = (text, clusters[place])
        if key in held:
            held[key] = replace(held[key], places=(*held[key].places, place))
            continue
        tokens = setting.window.count(number_candidate(0, text, pool.kind, setting.format.style))
        if room is not None and tokens > room:
            reasons[place] = "beyond the token budget"
            continue
        answer = answer_of(pool.trajectories[place], pool.kind)
        held[key] = Candidate(place, text, clusters[place], answer, tokens, (place,))
    notes = list(begun.notes)
    for reason in ("nothing to show", "beyond the token budget"):
        if count := list(reasons.values()).count(reason):
            notes.append(f"{count} of {len(texts)} attempts were not shown: {reason}")
            setting.judge.counts.unread += count
    return Slate(tuple(held.values()), _group(clusters), reasons, tuple(notes))


async def judge_window(
    pool: Pool, window: list[Candidate], setting: GenerativeSetting, sitting: Sitting, question: str
) -> Candidate | None:
    """The candidate that one GenSelect judgement names; None where it finally failed."""
    prompt = render_genselect(pool.prompt, [each.text for each in window], pool.kind, setting.format.style)
    return await name_candidate(window, prompt, parse_genselect, setting, sitting, question)


async def settle_window(
    pool: Pool, window: list[Candidate], setting: GenerativeSetting, sitting: Sitting, question: str
) -> Candidate | None:
    """As `judge_window`, but a window that holds one answer only is not asked: its first candidate by index stands."""
    if len({each.cluster for each in window}) == 1:
        return min(window, key=lambda each: pool.trajectories[each.place].index)
    return await judge_window(pool, window, setting, sitting, question)


async def name_candidate(
    window: list[Candidate],
    prompt: str,
    parse: Callable[[str, int, Finish], Judgement],
    setting: GenerativeSetting,
    sitting: Sitting,
    question: str,
) -> Candidate | None:
    """That of `window`, shown in `prompt`, which the judgement names as `parse` reads it; its position is counted."""

    def read(completion: Completion) -> tuple[int | None, str]:
        found = parse(completion.text, len(window), completion.finish)
        return found.index, found.fault

    index = await sitting.ask(prompt, question, read)
    if index is None:
        return None
    setting.judge.counts.add_choice(len(window), index)
    return window[index]
