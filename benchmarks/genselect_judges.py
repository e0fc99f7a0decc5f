"""The judges of `genselect.py`, and selections that store the counts of their own calls.

A run stores selections, but not the calls that were made for them. Here every selection has a judge with its own
counts, and its note has these counts as JSON after the text, so that a benchmark that was killed resumes without losing
any.

`scripted` instead of a folder is a judge that names a candidate by the hash of prompt and seed, and no candidate one
time in fifty: it tests the code, not a model.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nbest.config import GenerativeConfig, PolicyConfig
from nbest.errors import UnavailableError
from nbest.judging.candidates import CandidateSet, JudgeSettings, read_candidates
from nbest.judging.conversation import JudgementCounts
from nbest.judging.models import JudgeModel, load_judge
from nbest.judging.prompts import number_candidate
from nbest.judging.selectors import GenerativeSelector
from nbest.loop_thread import gather_all
from nbest.protocols import PolicyDescription, Sampler, Selector, Vocabulary
from nbest.records import Completion, Message, Pool, SamplingParams, Selection, Usage, derive_seed
from nbest.registry import BuildContext, load_selector
from nbest.sampling.scripted import ScriptedSampler
from nbest.stages import select_run
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

SCRIPTED = "scripted"
TOURNAMENT, VOTE, WINDOW = "genselect-tournament", "genselect-vote", "genselect"
ONE_WINDOW = (WINDOW, "usc")
"""Strategies that need the whole pool in one window."""
DOUBTFUL = ("knockout", "genrm", "usc")
"""Strategies that a trained selector may never have seen: they are probed before they are used."""
CANDIDATE_LINE = re.compile(r"^Candidate \d+\b", re.MULTILINE)
PROBE_POOLS = 4
"""The number of pools in a probe."""
MARK = "\x1e"


def load_model(folder: str) -> JudgeModel:
    """Return the judge in a folder (or `bundled:NAME`, or a hub id) with the settings of its `selection.json`, or the
    scripted one."""
    if folder == SCRIPTED:
        config = GenerativeConfig(policy=PolicyConfig(type="scripted", script=("-",)), style="compact", thinking="keep")
        return JudgeModel(config, ScriptedSampler(_draw_reply))
    return load_judge(GenerativeConfig(policy=PolicyConfig(model=folder)))


def _draw_reply(prompt: str, seed: int) -> Completion:
    count = len(CANDIDATE_LINE.findall(prompt))
    draw = random.Random(derive_seed(0, prompt, seed))
    text = "nonsense" if draw.random() < 0.02 else f"Judgment: {draw.randrange(max(count, 1))}"
    return Completion(text, finish="stop", usage=Usage(len(prompt) // 3, len(text) // 3))


def identify(judge: JudgeModel) -> str:
    """Return the content hash of a judge's model."""
    return str(judge.sampler.describe().identity.get("content_hash", SCRIPTED))


class Recorder(Sampler):
    """A sampler that records the prompts it gets."""

    def __init__(self, sampler: Sampler):
        self.prompts: list[str] = []
        self._sampler = sampler

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        self.prompts.append("\n\n".join(message.content for message in messages))
        async with aclosing(self._sampler.sample(messages, seeds, params)) as finished:
            async for seed, completion in finished:
                yield seed, completion

    def describe(self) -> PolicyDescription:
        return self._sampler.describe()

    @property
    def vocabulary(self) -> Vocabulary | None:
        return self._sampler.vocabulary

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        return self._sampler.count_flops(prompt_tokens, sampled_tokens)


@dataclass(frozen=True)
class CountedSelector(Selector):
    """A strategy whose selections store their cost.

    `repeats` is R per problem; other problems use that of the config. With `has_proof`, selections also store how many
    candidates could be shown, and how many were in a prompt.
    """

    strategy: str
    judge: JudgeModel
    equivalence: Equivalence
    repeats: Mapping[str, int] | None = None
    has_proof: bool = False

    @property
    def name(self) -> str:
        return self.strategy

    async def select(self, pool: Pool) -> Selection:
        recorder, config = Recorder(self.judge.sampler), self.judge.config
        if self.repeats is not None:
            config = config.model_copy(update={"repeats": self.repeats.get(pool.problem_id, config.repeats)})
        judge = replace(self.judge, config=config, sampler=recorder)
        selector = load_selector(self.strategy, BuildContext(self.equivalence, judge=lambda: judge))
        assert isinstance(selector, GenerativeSelector)
        selection = await selector.select(pool)
        counts = _describe(selector.counts)
        if self.has_proof:
            settings = judge.settings(self.equivalence)
            counts |= count_read(pool, await find_candidates(pool, settings), settings, recorder.prompts)
        return replace(selection, note=selection.note + MARK + json.dumps(counts))


async def find_candidates(pool: Pool, settings: JudgeSettings) -> CandidateSet:
    """Return the candidates of a pool; its answers were compared before."""
    return await read_candidates(pool, settings, settings.judge.open(pool.problem_id))


def count_read(
    pool: Pool, candidate_set: CandidateSet, settings: JudgeSettings, prompts: Sequence[str]
) -> dict[str, int]:
    """Return how many candidates can be shown, and how many of them are in one of the prompts."""
    style, read = settings.format.style, set[int]()
    for number in range(settings.window.size):
        texts = {
            candidate.position: number_candidate(number, candidate.text, pool.kind, style)
            for candidate in candidate_set.candidates
        }
        for prompt in prompts:
            # "12" is in every prompt that has "312": of several matches at one number, the longest is the right one.
            matches = [candidate for candidate, text in texts.items() if text in prompt]
            if matches:
                read.add(max(matches, key=lambda candidate: len(texts[candidate])))
    return {"showable": len(candidate_set.candidates), "read": len(read)}


def _describe(counts: JudgementCounts) -> dict[str, Any]:
    numbers = {name: number for name, number in counts.list_numbers().items() if number}
    faults = {"retried": dict(counts.retried), "failed": dict(counts.failed), "chosen": counts.chosen}
    first_messages = {fault: text[:100] for fault, text in counts.first_messages.items()}
    return numbers | {name: value for name, value in {**faults, "first_messages": first_messages}.items() if value}


def add_up(notes: Sequence[str]) -> JudgementCounts:
    """Return the sum of the counts in the notes of selections."""
    numbers: dict[str, Any] = JudgementCounts().list_numbers()
    rows = [json.loads(note.partition(MARK)[2]) for note in notes]
    for counts in rows:
        for name in numbers:
            numbers[name] += counts.get(name, 0)
    total = JudgementCounts(**numbers)
    for counts in rows:
        total.retried.update(counts.get("retried", {}))
        total.failed.update(counts.get("failed", {}))
        for fault, text in counts.get("first_messages", {}).items():
            total.first_messages.setdefault(fault, text)
        for size, row in counts.get("chosen", {}).items():
            row_sum = total.chosen.setdefault(int(size), [0] * int(size))
            total.chosen[int(size)] = [a + b for a, b in zip(row_sum, row, strict=True)]
    return total


def read_proofs(run: Run, name: str) -> dict[str, tuple[int, int, bool]]:
    """Return per selection how many candidates could be shown, how many were read, and whether it abstained."""
    proofs: dict[str, tuple[int, int, bool]] = {}
    for selection in run.selections(name):
        counts = json.loads(selection.note.partition(MARK)[2])
        proofs[selection.problem_id] = (counts["showable"], counts["read"], selection.index is None)
    return proofs


def select_all(run: Run, selector: CountedSelector, name: str) -> JudgementCounts:
    """Select in pools that have no selection under `name` yet; return the counts of all selections."""
    asyncio.run(select_run(run, selector, name, lambda *_: None))
    return add_up([selection.note for selection in run.selections(name)])


async def select_pools(selector: CountedSelector, pools: Sequence[Pool]) -> list[Selection]:
    """Select in all pools at once, without storing the selections."""
    return await gather_all([selector.select(pool) for pool in pools])


def find_obstacle(strategy: str, judge: JudgeModel, pools: Sequence[Pool], equivalence: Equivalence) -> str:
    """Return why a model cannot use this strategy on these pools; an empty string if it can."""
    if strategy in ONE_WINDOW:
        settings = judge.settings(equivalence)

        async def count_candidates() -> list[int]:
            return [len((await find_candidates(pool, settings)).candidates) for pool in pools]

        excess = sum(count > settings.window.size for count in asyncio.run(count_candidates()))
        if excess:
            return f"{excess} of {len(pools)} pools have more than {settings.window.size} distinct candidates"
    if strategy not in DOUBTFUL:
        return ""
    judge_without_retries = replace(judge, config=judge.config.model_copy(update={"retries": 0}))
    try:
        selections = asyncio.run(
            select_pools(CountedSelector(strategy, judge_without_retries, equivalence), pools[:PROBE_POOLS])
        )
    except UnavailableError as error:
        return str(error)
    counts = add_up([selection.note for selection in selections])
    if 2 * counts.judged >= counts.calls:
        return ""
    faults = ", ".join(f"{count} {fault}" for fault, count in sorted(counts.failed.items()))
    return f"{counts.judged} of {counts.calls} judgements could be read ({faults})"


def describe_counts(counts: JudgementCounts) -> dict[str, Any]:
    """Return the counts as JSON, with means per selection."""
    selections = max(counts.selections, 1)
    numbers = counts.list_numbers()
    means = {name: numbers[name] / selections for name in ("calls", "prompt_tokens", "sampled_tokens")}
    return counts.describe() | {"per_selection": means, "position": measure_position(counts)}


def measure_position(counts: JudgementCounts) -> dict[str, float | None]:
    """Return the position bias of the judge.

    `first` and `last` are how often that position of a window was chosen, relative to uniform choices; `largest_sd` is
    the largest deviation of any position of any window size, in standard deviations.
    """
    rows = [(np.array(row), sum(row) / size) for size, row in counts.chosen.items() if sum(row)]
    if not rows:
        return {"first": None, "last": None, "largest_sd": None}
    expected = sum(even for _, even in rows)
    spread = [np.abs(row - even).max() / np.sqrt(even * (1 - 1 / len(row))) for row, even in rows]
    ends = {"first": sum(int(row[0]) for row, _ in rows), "last": sum(int(row[-1]) for row, _ in rows)}
    shares: dict[str, float | None] = {name: count / expected for name, count in ends.items()}
    return shares | {"largest_sd": float(max(spread))}


def format_faults(faults: Counter[str]) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.items())) or "0"
