"""What `genselect.py` asks with: models that judge, and selections that keep their own counts.

A run holds selections, not what was asked for them. Here every selection gets a judge with counts of its own, and its
note carries these counts as JSON behind the text: a benchmark that was killed goes on and no call is lost.

`scripted` in place of a folder is a judge that names a candidate by the hash of prompt and seed, one time in fifty
nobody: it tests the plumbing, not a model.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nbest.config import GenerativeConfig, PolicyConfig
from nbest.errors import UnavailableError
from nbest.judging.candidates import GenerativeSetting, Slate, read_slate
from nbest.judging.conversation import NUMBERS, JudgementCounts
from nbest.judging.prompts import number_candidate
from nbest.judging.settings import make_setting
from nbest.loop_thread import gather_all
from nbest.protocols import Sampler
from nbest.records import Completion, Pool, SamplingParams, Selection, Usage, derive_seed
from nbest.registry import GENERATIVE, JudgeModel, Policy, find, load_judge
from nbest.sampling.scripted import ScriptedSampler
from nbest.stages import select_run
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

SCRIPTED = "scripted"
TOURNAMENT, VOTE, WINDOW = "genselect-tournament", "genselect-vote", "genselect"
ONE_WINDOW = (WINDOW, "usc")
"""Strategies that put the whole pool into one window."""
DOUBTFUL = ("knockout", "genrm", "usc")
"""Strategies that a model which learned to select may never have been shown: probed before they are used."""
SHOWN = re.compile(r"^Candidate \d+\b", re.MULTILINE)
PROBED = 4
"""Pools of the probe."""
MARK = "\x1e"


def load_model(folder: str) -> JudgeModel:
    """The judge in a folder (`bundled:NAME`, hub id), asked as its `selection.json` says; or the scripted one."""
    if folder == SCRIPTED:
        config = GenerativeConfig(policy=PolicyConfig(type="scripted", script=("-",)), style="compact", thinking="keep")
        return JudgeModel(config, Policy(ScriptedSampler(_draw_reply), {"content_hash": SCRIPTED}, {}))
    return load_judge(GenerativeConfig(policy=PolicyConfig(model=folder)))


def _draw_reply(prompt: str, seed: int) -> Completion:
    count = len(SHOWN.findall(prompt))
    draw = random.Random(derive_seed(0, prompt, seed))
    text = "nonsense" if draw.random() < 0.02 else f"Judgment: {draw.randrange(max(count, 1))}"
    return Completion(text, finish="stop", usage=Usage(len(prompt) // 3, len(text) // 3))


class Recorder:
    """A sampler that keeps the prompts it was asked."""

    def __init__(self, sampler: Sampler):
        self.prompts: list[str] = []
        self._sampler = sampler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    async def sample(self, prompt: str, seeds: Sequence[int], params: SamplingParams) -> list[Completion]:
        self.prompts.append(prompt)
        return await self._sampler.sample(prompt, seeds, params)


@dataclass(frozen=True)
class CountedSelector:
    """A strategy whose selections carry what they cost. `repeats` is R of each problem (all others have the config's).
    `has_proof`: tell too how many candidates could be shown, and how many stood in a prompt."""

    strategy: str
    judge: JudgeModel
    equivalence: Equivalence
    repeats: Mapping[str, int] | None = None
    has_proof: bool = False

    @property
    def name(self) -> str:
        return self.strategy

    async def select(self, pool: Pool) -> Selection:
        recorder = Recorder(self.judge.policy.sampler)
        setting: GenerativeSetting = make_setting(self.judge.config, recorder, self.equivalence)
        if self.repeats is not None:
            setting = replace(setting, repeats=self.repeats.get(pool.problem_id, setting.repeats))
        selection = await find(GENERATIVE[self.strategy])(setting).select(pool)
        told = _describe(setting.judge.counts)
        if self.has_proof:
            told |= count_read(pool, await open_slate(pool, setting), setting, recorder.prompts)
        return replace(selection, note=selection.note + MARK + json.dumps(told))


async def open_slate(pool: Pool, setting: GenerativeSetting) -> Slate:
    """What a judge could be shown of the pool; its answers were compared before."""
    return await read_slate(pool, setting, setting.judge.open(pool.problem_id))


def count_read(pool: Pool, slate: Slate, setting: GenerativeSetting, prompts: Sequence[str]) -> dict[str, int]:
    """How many candidates can be shown, and how many of them stand in one of the prompts."""
    style, read = setting.format.style, set[int]()
    for place in range(setting.window.size):
        texts = {each.place: number_candidate(place, each.text, pool.kind, style) for each in slate.candidates}
        for prompt in prompts:
            # "12" stands in every prompt that "312" stands in: the longest of those at one place is the one shown.
            found = [candidate for candidate, text in texts.items() if text in prompt]
            if found:
                read.add(max(found, key=lambda candidate: len(texts[candidate])))
    return {"showable": len(slate.candidates), "read": len(read)}


def _describe(counts: JudgementCounts) -> dict[str, Any]:
    numbers = {name: getattr(counts, name) for name in NUMBERS if getattr(counts, name)}
    faults = {"retried": dict(counts.retried), "failed": dict(counts.failed), "chosen": counts.chosen}
    first = {fault: text[:100] for fault, text in counts.told.items()}
    return numbers | {name: value for name, value in {**faults, "told": first}.items() if value}


def add_up(notes: Sequence[str]) -> JudgementCounts:
    """The counts that the notes of selections carry, together."""
    total = JudgementCounts()
    for note in notes:
        told = json.loads(note.partition(MARK)[2])
        for name in NUMBERS:
            setattr(total, name, getattr(total, name) + told.get(name, 0))
        total.retried.update(told.get("retried", {}))
        total.failed.update(told.get("failed", {}))
        for fault, text in told.get("told", {}).items():
            total.told.setdefault(fault, text)
        for size, row in told.get("chosen", {}).items():
            held = total.chosen.setdefault(int(size), [0] * int(size))
            total.chosen[int(size)] = [a + b for a, b in zip(held, row, strict=True)]
    return total


def read_proofs(run: Run, name: str) -> dict[str, tuple[int, int, bool]]:
    """Of each selection: candidates that could be shown, those that were read, and whether it abstained."""
    proofs: dict[str, tuple[int, int, bool]] = {}
    for each in run.selections(name):
        told = json.loads(each.note.partition(MARK)[2])
        proofs[each.problem_id] = (told["showable"], told["read"], each.index is None)
    return proofs


def select_all(run: Run, selector: CountedSelector, name: str) -> JudgementCounts:
    """Selects where the run holds nothing yet under `name`; the counts of all its selections."""
    asyncio.run(select_run(run, selector, name, lambda *_: None))
    return add_up([selection.note for selection in run.selections(name)])


async def select_pools(selector: CountedSelector, pools: Sequence[Pool]) -> list[Selection]:
    """Selections that are not kept, all at once."""
    return await gather_all([selector.select(pool) for pool in pools])


def find_obstacle(strategy: str, judge: JudgeModel, pools: Sequence[Pool], equivalence: Equivalence) -> str:
    """Why a model cannot be asked in this way on these pools; empty where it can."""
    if strategy in ONE_WINDOW:
        setting = make_setting(judge.config, judge.policy.sampler, equivalence)

        async def count_shown() -> list[int]:
            return [len((await open_slate(pool, setting)).candidates) for pool in pools]

        beyond = sum(shown > setting.window.size for shown in asyncio.run(count_shown()))
        if beyond:
            return f"{beyond} of {len(pools)} pools have more than {setting.window.size} distinct candidates"
    if strategy not in DOUBTFUL:
        return ""
    once = replace(judge, config=judge.config.model_copy(update={"retries": 0}))
    try:
        made = asyncio.run(select_pools(CountedSelector(strategy, once, equivalence), pools[:PROBED]))
    except UnavailableError as error:
        return str(error)
    counts = add_up([selection.note for selection in made])
    if 2 * counts.judged >= counts.calls:
        return ""
    faults = ", ".join(f"{count} {fault}" for fault, count in sorted(counts.failed.items()))
    return f"{counts.judged} of {counts.calls} judgements could be read ({faults})"


def describe_counts(counts: JudgementCounts) -> dict[str, Any]:
    """As JSON, with what stands per selection."""
    made = max(counts.selections, 1)
    each = {name: getattr(counts, name) / made for name in ("calls", "prompt_tokens", "sampled_tokens")}
    return counts.describe() | {"per_selection": each, "position": measure_position(counts)}


def measure_position(counts: JudgementCounts) -> dict[str, float | None]:
    """How often the first and the last position of a window were chosen, over how often by a judge that does not care;
    and the largest deviation of any position of any window size, in standard deviations."""
    rows = [(np.array(row), sum(row) / size) for size, row in counts.chosen.items() if sum(row)]
    if not rows:
        return {"first": None, "last": None, "largest_sd": None}
    expected = sum(even for _, even in rows)
    spread = [np.abs(row - even).max() / np.sqrt(even * (1 - 1 / len(row))) for row, even in rows]
    ends = {"first": sum(int(row[0]) for row, _ in rows), "last": sum(int(row[-1]) for row, _ in rows)}
    found: dict[str, float | None] = {name: count / expected for name, count in ends.items()}
    return found | {"largest_sd": float(max(spread))}


def tell_faults(faults: Counter[str]) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.items())) or "0"
