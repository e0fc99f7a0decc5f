"""The whole flow on one page: sample, encode, verify, score, select. Each stage adds what a run is missing.

A stage may be killed at any instant and started again; several processes may run it on one folder at once. To share
the work of sampling without overlap give each process a `Shard`; without one, work that was done twice is dropped when
the run is read, because a trajectory is a function of its own seed. This module does not know files, models or
terminals: it is handed a run and the objects that do the work.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import Encoder, Sampler, Scorer, Selector, StepSplitter, Verifier
from nbest.records import (
    Completion,
    Pool,
    Problem,
    SamplingParams,
    Score,
    Selection,
    Trajectory,
    Verdict,
    derive_seed,
    trajectory_id,
)
from nbest.storage.run import Run

FLUSH_TRAJECTORIES = 512
FLUSH_SECONDS = 20.0
OPEN_PROBLEMS = 64
READY_POOLS = 4

OnDone = Callable[[int, int], None]
"""Called with how many items were done since the last call, and how many tokens they had."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class TokenizingEncoder(Encoder, Protocol):
    """An encoder that can also split its own tokens into steps, and tokenize text sampled elsewhere."""

    splitter: StepSplitter

    def tokenize_trajectory(self, prompt: str, trajectory: Trajectory) -> Trajectory: ...


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`: every `count`-th problem."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """`2/8` is the third of eight. Raises ConfigError."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
            raise ConfigError(f"shard: {text!r} is not INDEX/COUNT with 0 <= INDEX < COUNT, such as 0/4")
        return cls(int(index), int(count))

    def take(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        return islice(problems, self.index, None, self.count)


@dataclass(frozen=True, slots=True)
class Draw:
    """How many trajectories of each problem to draw, and how."""

    n: int
    params: SamplingParams
    seed: int = 0
    shard: Shard = Shard(0, 1)


def missing_draws(run: Run, draw: Draw) -> Iterator[tuple[Problem, list[int]]]:
    """The problems of this shard with the indices that are not in the run yet."""
    done = run.done_trajectories()
    for problem in draw.shard.take(run.problems()):
        missing = [i for i in range(draw.n) if trajectory_id(problem.id, i) not in done]
        if missing:
            yield problem, missing


async def sample_run(
    run: Run, sampler: Sampler, draw: Draw, on_done: OnDone, about: Mapping[str, str] | None = None
) -> None:
    """Draws what is missing. `about` goes into the header of captured states: which policy and step rule made them."""

    async def sample_one(work: tuple[Problem, list[int]]) -> list[Trajectory]:
        problem, indices = work
        seeds = [derive_seed(draw.seed, problem.id, i) for i in indices]
        completions = await sampler.sample(problem.prompt, seeds, draw.params)
        return [_trajectory(problem, i, s, c) for i, s, c in zip(indices, seeds, completions, strict=True)]

    async def write(trajectories: list[Trajectory]) -> None:
        await asyncio.to_thread(run.append_trajectories, trajectories, about)
        # A server may count tokens without telling their ids.
        on_done(len(trajectories), sum(t.completion.count_usage().sampled_tokens for t in trajectories))

    await _work_through(missing_draws(run, draw), sample_one, write)


def _trajectory(problem: Problem, index: int, seed: int, completion: Completion) -> Trajectory:
    return Trajectory(trajectory_id(problem.id, index), problem.id, index, seed, completion)


async def encode_run(run: Run, encoder: TokenizingEncoder, on_done: OnDone, about: Mapping[str, str]) -> None:
    """Fills the hidden states of every trajectory that has none, in one teacher-forced pass."""
    done = await asyncio.to_thread(run.done_states)
    for pool in run.pools():
        missing = [t for t in pool.trajectories if t.id not in done and t.completion.finish != "error"]
        if not missing:
            continue
        filled = [encoder.tokenize_trajectory(pool.prompt, t) for t in missing]
        steps = [encoder.splitter(t.completion) for t in filled]
        await asyncio.to_thread(run.append_states, await encoder.encode(filled, steps), about)
        on_done(len(filled), sum(len(t.completion.tokens) for t in filled))


async def verify_run(run: Run, verifier: Verifier, on_done: OnDone) -> None:
    """Judges every trajectory that has no verdict yet."""
    done = run.done_verdicts()
    problems = {problem.id: problem for problem in run.problems()}

    def missing() -> Iterator[tuple[Problem, list[Trajectory]]]:
        for pool in run.pools(tokens=False):
            left = [t for t in pool.trajectories if t.id not in done]
            if left:
                yield problems[pool.problem_id], left

    async def verify_one(work: tuple[Problem, list[Trajectory]]) -> list[Verdict]:
        return await verifier.verify(*work)

    async def write(verdicts: list[Verdict]) -> None:
        await asyncio.to_thread(run.append_verdicts, verdicts)
        on_done(len(verdicts), 0)

    await _work_through(missing(), verify_one, write)


async def score_run(run: Run, scorer: Scorer, name: str, on_done: OnDone) -> None:
    """Scores every pool that has a trajectory without a score by this scorer; the scores of all its members are new."""
    done = await asyncio.to_thread(run.done_scores, name)
    pools = (p for p in run.pools() if any(t.id not in done for t in p.trajectories))

    async def score_one(pool: Pool) -> list[Score]:
        return [score for score in await scorer.score(pool) if score.trajectory_id not in done]

    async def write(scores: list[Score]) -> None:
        await asyncio.to_thread(run.append_scores, name, scores)
        on_done(len(scores), 0)

    # A scorer works on one pool at a time; a few stand ready so that it never waits, more would only fill memory.
    await _work_through(pools, score_one, write, READY_POOLS)


async def select_run(run: Run, selector: Selector, name: str, on_done: OnDone) -> None:
    """Selects in every pool that has no selection by this selector yet; a pool of nothing is left for later."""
    done = run.done_selections(name)
    pools = (p for p in run.pools() if p.trajectories and p.problem_id not in done)

    async def select_one(pool: Pool) -> list[Selection]:
        return [await selector.select(pool)]

    async def write(selections: list[Selection]) -> None:
        await asyncio.to_thread(run.append_selections, name, selections)
        on_done(len(selections), 0)

    await _work_through(pools, select_one, write)


async def _work_through(
    items: Iterator[ItemT],
    work: Callable[[ItemT], Awaitable[Sequence[ResultT]]],
    write: Callable[[list[ResultT]], Awaitable[None]],
    open_items: int = OPEN_PROBLEMS,
) -> None:
    """Keeps `open_items` items in work at once; writes results when enough or old enough, and at the end.

    What was finished before a failure or a cancellation is written before the error goes on.
    """
    held, last_write = list[ResultT](), time.monotonic()
    try:
        async for results in _as_finished(items, work, open_items):
            held.extend(results)
            if len(held) >= FLUSH_TRAJECTORIES or time.monotonic() - last_write > FLUSH_SECONDS:
                ready, held, last_write = held, [], time.monotonic()
                await write(ready)
    finally:
        if held:
            await write(held)


async def _as_finished(
    items: Iterator[ItemT], work: Callable[[ItemT], Awaitable[Sequence[ResultT]]], open_items: int
) -> AsyncIterator[Sequence[ResultT]]:
    """Results in the order they are finished. A failing item stops the others; none is left running."""
    tasks, finished = set[asyncio.Task[Sequence[ResultT]]](), set[asyncio.Task[Sequence[ResultT]]]()

    async def start(item: ItemT) -> Sequence[ResultT]:
        return await work(item)

    try:
        while True:
            for item in islice(items, open_items - len(tasks)):
                tasks.add(asyncio.create_task(start(item)))
            if not tasks:
                return
            finished, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                yield task.result()
    finally:
        for task in tasks:
            task.cancel()
        # Several may have failed at once: the first error goes on, the others are taken note of here.
        await asyncio.gather(*tasks, *finished, return_exceptions=True)


def require_trajectories(run: Run) -> int:
    """How many trajectories the run holds. Raises UnavailableError where there are none."""
    count = len(run.done_trajectories())
    if not count:
        raise UnavailableError(f"{run.path}: no trajectories yet. Run `nbest sample` or `nbest import` first.")
    return count
