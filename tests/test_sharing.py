"""Two calls of a stage on one run, at the same time: no problem is worked on twice, and none is left out."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import EngineError
from nbest.protocols import Sampler, Scorer, Selector, StateSource, Verifier
from nbest.records import (
    Completion,
    HiddenStates,
    Message,
    Pool,
    Problem,
    SamplingParams,
    Score,
    Selection,
    Step,
    Trajectory,
    Verdict,
    trajectory_id,
)
from nbest.sampling.scripted import ScriptedSampler
from nbest.stages import Draw, encode_run, flow, sample_run, score_run, select_run, sharing, verify_run
from nbest.storage.run import Run

COUNT, N = 12, 3


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "OPEN_PROBLEMS", 3)
    monkeypatch.setattr(flow, "FLUSH_TRAJECTORIES", 4)
    monkeypatch.setattr(sharing, "POLL_SECONDS", 0.01)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    problems = [Problem(f"p{number}", "?", "1") for number in range(COUNT)]
    run.write_problems(problems)
    completion = Completion("\\boxed{1}", tokens=np.arange(4, dtype=np.int32), finish="stop")
    run.append_trajectories(
        [
            Trajectory(trajectory_id(problem.id, index), problem.id, index, index, completion)
            for problem in problems
            for index in range(N)
        ]
    )
    return run


class Worker(Scorer, Selector, Verifier):
    """Counts the problems that it works on, each for a moment; may fail at its third."""

    def __init__(self, calls: Counter[str], fails: bool = False):
        self.calls, self.fails = calls, fails
        self.own = 0

    async def work(self, problem_id: str) -> None:
        self.own += 1
        await asyncio.sleep(0.005)
        if self.fails and self.own >= 3:
            raise EngineError("it broke")
        self.calls[problem_id] += 1

    async def score(self, pool: Pool, states: StateSource) -> list[Score]:
        del states
        await self.work(pool.problem_id)
        return [Score(trajectory.id, 1.0) for trajectory in pool.trajectories]

    async def select(self, pool: Pool) -> Selection:
        await self.work(pool.problem_id)
        return Selection(pool.problem_id, 0)

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        await self.work(problem.id)
        return [Verdict(trajectory.id, True) for trajectory in trajectories]

    def prepare(self, prompt: str, trajectory: Trajectory) -> tuple[Trajectory, list[Step]]:
        del prompt
        return trajectory, [Step(0, 4)]

    async def encode(self, trajectories: Sequence[Trajectory], steps: Sequence[Sequence[Step]]) -> list[HiddenStates]:
        await self.work(trajectories[0].problem_id)
        values = np.zeros((1, 1, 2), dtype=np.float32)
        return [HiddenStates((1,), tuple(spans), values) for spans in steps]


async def start(stage: str, run: Run, worker: Worker, waits: list[int]) -> None:
    own = Run.open(run.path)  # as another process would
    match stage:
        case "score":
            await score_run(own, worker, "s", lambda *_: None, on_wait=waits.append)
        case "select":
            await select_run(own, worker, "s", lambda *_: None, on_wait=waits.append)
        case "verify":
            await verify_run(own, worker, lambda *_: None, on_wait=waits.append)
        case _:
            await encode_run(own, worker, lambda *_: None, {}, on_wait=waits.append)


def read_done(stage: str, run: Run) -> int:
    run = Run.open(run.path)
    match stage:
        case "score":
            return len(run.done_scores("s"))
        case "select":
            return len(run.done_selections("s")) * N
        case "verify":
            return len(run.done_verdicts())
        case _:
            return len(run.done_states())


STAGES = ("score", "select", "verify", "encode")


@pytest.mark.parametrize("stage", STAGES)
async def test_two_calls_at_once_share_the_work(run: Run, stage: str) -> None:
    calls, waits = Counter[str](), list[int]()
    workers = [Worker(calls), Worker(calls)]
    await asyncio.gather(*(start(stage, run, worker, waits) for worker in workers))
    assert calls == {f"p{number}": 1 for number in range(COUNT)}
    assert all(worker.own for worker in workers)
    assert read_done(stage, run) == COUNT * N
    assert not list(run.path.glob(".*"))


@pytest.mark.parametrize("stage", STAGES)
async def test_one_call_does_what_another_one_that_failed_leaves(run: Run, stage: str) -> None:
    calls, waits = Counter[str](), list[int]()
    failing, whole = Worker(calls, fails=True), Worker(calls)
    outcomes = await asyncio.gather(
        start(stage, run, failing, waits), start(stage, run, whole, waits), return_exceptions=True
    )
    assert isinstance(outcomes[0], EngineError)
    assert outcomes[1] is None
    assert read_done(stage, run) == COUNT * N


class SlowSampler(ScriptedSampler):
    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        async for item in super().sample(messages, seeds, params):
            await asyncio.sleep(0.002)
            yield item


async def test_two_calls_at_once_draw_nothing_twice(run: Run) -> None:
    samplers: list[Sampler] = [SlowSampler(["a"]), SlowSampler(["b"])]
    draw = Draw(2 * N, SamplingParams())
    waits: list[int] = []
    await asyncio.gather(
        *(sample_run(Run.open(run.path), sampler, draw, lambda *_: None, on_wait=waits.append) for sampler in samplers)
    )
    assert sum(sampler.report().calls for sampler in samplers) == COUNT * N
    assert len(run.done_trajectories()) == 2 * COUNT * N
    assert waits
