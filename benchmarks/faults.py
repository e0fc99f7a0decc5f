"""Check that every selection finishes if one request in twenty fails, on the same pools with and without faults.

A generative selector calls a real server on 127.0.0.1 with the model (any Sampler behind `serving/endpoint.py`). In the
second round a layer in front of the server injects faults into a share of the requests, by a seeded draw: status 500,
status 429 with Retry-After, a connection that hangs, a truncated body, a nonsense judgement. The benchmark fails (exit
1) unless every fault appears in the counts of the sampler or the judge, every selection finished, and only those
selections changed that had a nonsense judgement (repeated with another seed) or a request that failed for good.

    python benchmarks/selection.py --out runs/selection        # makes the run
    python benchmarks/faults.py --run runs/selection/test --json results/faults.json
    python benchmarks/faults.py --run runs/selection/test --model scripted --quick

`--model scripted` draws its judgements from prompt and seed: it tests the code, not a model.
Baseline: the round without faults.
"""

import argparse
import asyncio
import platform
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from fault_layer import FAULTS, NONSENSE, FaultLayer
from json_result import JsonResult, add_json_option

from nbest.config import GenerativeConfig, PolicyConfig, PromptStyle
from nbest.judging.conversation import JudgementCounts
from nbest.judging.models import JudgeModel, load_judge
from nbest.judging.prompts import number_candidate, parse_genselect
from nbest.judging.selectors import GenerativeSelector
from nbest.protocols import PolicyDescription, Sampler, Vocabulary
from nbest.records import Completion, Message, Pool, SamplingParams, Selection, derive_seed
from nbest.registry import BuildContext, load_selector, specs
from nbest.sampling.openai_compatible import Endpoint, OpenAISampler
from nbest.sampling.openai_payloads import Form
from nbest.sampling.scripted import ScriptedSampler
from nbest.sampling.tokenizing import join_contents
from nbest.serving.background import serve
from nbest.serving.endpoint import create_app
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

READABLE = ("unparsed", "out-of-range", "truncated")
"""The faults of a judgement that arrived but names no candidate."""

_PROBLEM: ContextVar[str] = ContextVar("problem", default="")


def count_shown(prompt: str, style: PromptStyle) -> int:
    """Return how many candidates a prompt numbers, from 0 without a gap."""
    marks = (number_candidate(number, "", "math", style).strip() for number in count())
    return next(number for number, mark in enumerate(marks) if mark not in prompt)


class Witness(Sampler):
    """A sampler that observes another one, whose tokens `vocabulary` counts.

    It counts `nonsense` judgements and the model's `own` unparsable ones, and records the problems affected.
    """

    def __init__(self, sampler: Sampler, style: PromptStyle, vocabulary: Vocabulary | None):
        self._sampler = sampler
        self._style: PromptStyle = style
        self._vocabulary = vocabulary
        self.nonsense = self.own = 0
        self.touched: set[str] = set()

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        shown = count_shown(join_contents(messages), self._style)
        async with aclosing(self._sampler.sample(messages, seeds, params)) as finished:
            async for seed, completion in finished:
                is_nonsense = completion.text in NONSENSE
                self.nonsense += is_nonsense
                if is_nonsense or completion.finish == "error":
                    self.touched.add(_PROBLEM.get())
                elif parse_genselect(completion.text, shown, completion.finish).index is None:
                    self.own += 1
                yield seed, completion

    def describe(self) -> PolicyDescription:
        return self._sampler.describe()

    @property
    def vocabulary(self) -> Vocabulary | None:
        return self._vocabulary

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        return self._sampler.count_flops(prompt_tokens, sampled_tokens)

    async def aclose(self) -> None:
        await self._sampler.aclose()


@dataclass(slots=True)
class Round:
    """The result of one round over the pools."""

    selections: dict[str, Selection]
    seconds: float
    layer: FaultLayer
    sampler: OpenAISampler
    witness: Witness
    judged: JudgementCounts

    def accuracy(self, correct: dict[str, bool], pools: Sequence[Pool]) -> tuple[int, int, int]:
        """Return how many selections are right, wrong, and abstained."""
        outcomes: Counter[str] = Counter()
        for pool in pools:
            index = self.selections[pool.problem_id].index
            outcomes["abstained" if index is None else str(correct[pool.trajectories[index].id])] += 1
        return outcomes["True"], outcomes["False"], outcomes["abstained"]


def judge_at_random(prompt: str, seed: int) -> str:
    """Return the reply of `--model scripted`."""
    return f"Judgment: {derive_seed(seed, prompt, 0) % count_shown(prompt, 'compact')}"


def load_model(options: argparse.Namespace) -> JudgeModel:
    """Return the model behind the server, with the settings of its selector; close it when done."""
    if options.model == "scripted":
        config = GenerativeConfig(policy=PolicyConfig(type="scripted", script=("",)), style="compact")
        return JudgeModel(config, ScriptedSampler(judge_at_random))
    return load_judge(GenerativeConfig(policy=PolicyConfig(model=options.model), concurrency=options.concurrency))


async def select_all(selector: Any, pools: Sequence[Pool], open_pools: int) -> dict[str, Selection]:
    slots = asyncio.Semaphore(open_pools)

    async def select(pool: Pool) -> Selection:
        async with slots:
            _PROBLEM.set(pool.problem_id)
            return await selector.select(pool)

    return {
        selection.problem_id: selection
        for selection in await asyncio.gather(*(asyncio.create_task(select(p)) for p in pools))
    }


def play(
    options: argparse.Namespace, model: JudgeModel, equivalence: Equivalence, pools: Sequence[Pool], share: float
) -> Round:
    layer = FaultLayer(create_app(model.sampler, "judge"), share, options.seed)
    with serve(layer) as url:
        endpoint = Endpoint(
            url, None, options.timeout_seconds, options.retries, options.concurrency, backoff_seconds=0.02
        )
        sampler = OpenAISampler(endpoint, Form("judge"))
        witness = Witness(sampler, model.config.style, model.sampler.vocabulary)
        judge = replace(model, sampler=witness)
        selector = load_selector(options.selector, BuildContext(equivalence, judge=lambda: judge))
        assert isinstance(selector, GenerativeSelector)
        start = time.perf_counter()
        try:
            selections = asyncio.run(select_all(selector, pools, options.open_pools))
        finally:
            asyncio.run(judge.aclose())
    return Round(selections, time.perf_counter() - start, layer, sampler, witness, selector.counts)


def balance(played: Round) -> tuple[list[tuple[str, int, int, int, int]], list[str]]:
    """Return rows (fault, injected, own, retried, failed), and the discrepancies. `own` faults were not injected."""
    counts, judged, layer, witness = played.sampler.counts, played.judged, played.layer, played.witness
    # Requests that were passed on without a reply in time: the answer took longer than the client waits.
    slow = layer.passed - (counts.completions - witness.nonsense)
    rows: list[tuple[str, int, int, int, int]] = []
    for fault in FAULTS[:-1]:
        own = slow if fault == "timeout" else 0
        rows.append((fault, layer.injected[fault], own, counts.retried[fault], counts.failed[fault]))
    retried, failed = (sum(kind[name] for name in READABLE) for kind in (judged.retried, judged.failed))
    rows.append(("nonsense", layer.injected["nonsense"], witness.own, retried, failed))
    wrong = [
        f"{name}: {injected} + {own} is not {again} + {given_up}"
        for name, injected, own, again, given_up in rows
        if injected + own != again + given_up
    ]
    if layer.injected["nonsense"] != witness.nonsense:
        wrong.append(f"nonsense: {layer.injected['nonsense']} sent, {witness.nonsense} arrived")
    if counts.attempts != layer.received:
        wrong.append(f"requests: {counts.attempts} sent, {layer.received} arrived")
    other = {name: n for kind in (counts.retried, counts.failed) for name, n in kind.items() if name not in FAULTS}
    lost = sum(counts.failed.values())
    if lost != judged.retried["error"] + judged.failed["error"]:
        wrong.append(f"completions given up: {lost} by the sampler, other in the judge: {judged.describe()}")
    return rows, wrong + [f"{name}: {n} faults that were not injected" for name, n in other.items()]


def compare_rounds(clean: Round, faulty: Round, pools: Sequence[Pool]) -> tuple[dict[str, int], list[str]]:
    """Return how many selections changed and why, and the changes without an explanation."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for pool in pools:
        before, after = clean.selections[pool.problem_id], faulty.selections[pool.problem_id]
        is_touched = pool.problem_id in faulty.witness.touched
        counts["touched"] += is_touched
        if before.index == after.index:
            counts["same"] += 1
        elif after.index is None:
            counts["abstained"] += 1
            if "no judgement" not in after.note:
                wrong.append(f"{pool.problem_id}: abstained without a reason: {after.note!r}")
        else:
            counts["changed"] += 1
        if before.index != after.index and not is_touched:
            wrong.append(f"{pool.problem_id}: {before.index} became {after.index} without any fault")
    return dict(counts), wrong


def report(
    clean: Round, faulty: Round, changes: dict[str, int], correct: dict[str, bool], pools: Sequence[Pool]
) -> None:
    print("\n| fault | injected | own | retried | given up |\n|---|---|---|---|---|")
    for row in balance(faulty)[0]:
        print("| " + " | ".join(map(str, row)) + " |")
    print("\n| round | requests | selections | right | wrong | abstained | seconds |\n|---|---|---|---|---|---|---|")
    for name, played in (("without faults", clean), ("with faults", faulty)):
        right, wrong, none = played.accuracy(correct, pools)
        cells = (name, played.layer.received, len(played.selections), right, wrong, none, f"{played.seconds:.1f}")
        print("| " + " | ".join(map(str, cells)) + " |")
    print(f"\nOf {len(pools)} selections {changes.get('touched', 0)} had a nonsense judgement or a request given up; "
          f"{changes.get('changed', 0)} picked another candidate, {changes.get('abstained', 0)} abstained, "
          f"{changes.get('same', 0)} are the same.")  # fmt: skip


def read_pools(options: argparse.Namespace) -> tuple[list[Pool], dict[str, bool]]:
    run = Run.open(options.run)
    pools = [
        replace(p, trajectories=p.trajectories[: options.n])
        for p in islice(run.pools(tokens=False), options.selections)
    ]
    if len(pools) < options.selections:
        print(f"{options.run} has {len(pools)} problems; each is used once", file=sys.stderr)
    ids = {trajectory.id for pool in pools for trajectory in pool.trajectories}
    return pools, {v.trajectory_id: bool(v.correct) for v in run.verdicts() if v.trajectory_id in ids}


def list_strategies() -> list[str]:
    """Return the names of the selectors that ask a model."""
    return sorted(spec.name for spec in specs("selector") if "judge" in spec.needs)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/selection/test"), help="a verified run")
    parser.add_argument("--model", default="bundled:genselect", help="or `scripted`")
    parser.add_argument("--selector", default="genselect-tournament", choices=list_strategies())
    parser.add_argument("--selections", type=int, default=1000)
    parser.add_argument("--n", type=int, default=16, help="candidates per pool")
    parser.add_argument("--share", type=float, default=0.05, help="share of the requests that fail")
    parser.add_argument("--retries", type=int, default=5)
    parser.add_argument("--timeout-seconds", type=float, default=20.0)
    parser.add_argument("--concurrency", type=int, default=64, help="requests at once")
    parser.add_argument("--open-pools", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="40 selections of 8, timeouts of 5 s")
    add_json_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.selections, options.n, options.timeout_seconds = 40, 8, 5.0
    return options


@dataclass(frozen=True, slots=True)
class Result:
    """The result of both rounds over the same pools, how selections changed, and unexplained discrepancies."""

    clean: Round
    faulty: Round
    paired: dict[str, int]
    unaccounted: list[str]

    def to_json(self, options: argparse.Namespace, correct: dict[str, bool], pools: Sequence[Pool]) -> dict[str, Any]:
        clean, faulty = self.clean, self.faulty
        rounds = (("without faults", clean), ("with faults", faulty))
        sizes = {name: getattr(options, name) for name in ("model", "selector", "selections", "n", "share", "seed")}
        sizes |= {"run": str(options.run), "retries": options.retries, "timeout_seconds": options.timeout_seconds}
        heads, names = ("fault", "injected", "own", "retried", "given_up"), ("right", "wrong", "abstained")
        return {
            "name": "faults",
            "machine": platform.platform(),
            "sizes": sizes,
            "baseline": "without faults",
            "ratios": {"seconds": faulty.seconds / clean.seconds},
            "seconds": {name: played.seconds for name, played in rounds},
            "faults": [dict(zip(heads, row, strict=True)) for row in balance(faulty)[0]],
            "requests": {name: played.layer.received for name, played in rounds},
            "selections": {
                name: dict(zip(names, played.accuracy(correct, pools), strict=True)) for name, played in rounds
            },
            "paired": self.paired,
            "judgements": {name: played.judged.describe() for name, played in rounds},
            "unaccounted": self.unaccounted,
        }


def main() -> None:
    options = parse_options()
    output = JsonResult(options.json_out)
    assert all(parse_genselect(text, 1000).index is None for text in NONSENSE)
    pools, correct = read_pools(options)
    model = load_model(options)
    try:
        with Equivalence() as equivalence:
            clean = play(options, model, equivalence, pools, 0.0)
            faulty = play(options, model, equivalence, pools, options.share)
    finally:
        asyncio.run(model.aclose())
    changes, wrong = compare_rounds(clean, faulty, pools)
    report(clean, faulty, changes, correct, pools)
    wrong += [f"without faults: {line}" for line in balance(clean)[1]] + balance(faulty)[1]
    result = Result(clean, faulty, changes, wrong).to_json(options, correct, pools)
    output.write(result)
    if wrong:
        print("\nNot accounted for:", *wrong[:20], sep="\n", file=sys.stderr)
        sys.exit(1)
    print("\nEvery fault is accounted for.")


if __name__ == "__main__":
    main()
