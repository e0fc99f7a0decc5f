"""The first stage: draw the trajectories that a run is missing, and write each as it finishes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from nbest.config import SampleConfig
from nbest.errors import ConfigError
from nbest.protocols import Sampler
from nbest.records import Problem, SamplingParams, Trajectory, derive_seed, trajectory_id, user_message
from nbest.stages.flow import OnDone, OnProgress, count_progress, ignore_progress, run_to_end, work_through
from nbest.storage.run import Run


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`: every `count`-th problem."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `INDEX/COUNT`: `2/8` is the third of eight. Raises ConfigError."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
            raise ConfigError(f"shard: {text!r} is not INDEX/COUNT with 0 <= INDEX < COUNT, such as 0/4")
        return cls(int(index), int(count))

    def take(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Yield the problems of this part."""
        return islice(problems, self.index, None, self.count)


WHOLE = Shard()


@dataclass(frozen=True, slots=True)
class Draw:
    """How many trajectories to draw per problem, and how."""

    n: int
    params: SamplingParams
    seed: int = 0
    shard: Shard = WHOLE


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What `sample` has done: trajectories and tokens drawn in `seconds`, and how many trajectories the run now holds
    of the `planned` ones."""

    run: Path
    drawn: int
    tokens: int
    seconds: float
    trajectories: int
    planned: int

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "drawn": self.drawn,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "trajectories": self.trajectories,
        }


def sample(
    run_path: str | Path, config: SampleConfig, *, shard: Shard = WHOLE, on_progress: OnProgress = ignore_progress
) -> SampleReport:
    """Draw what the run at `run_path` is missing of `config.n` trajectories per problem; the run is made where there
    is none.

    Raises ConfigError where the folder holds a run of other settings, UnavailableError for what the policy cannot do,
    DataError, EngineError.
    """
    return run_to_end(_sample(Path(run_path), config, shard, on_progress))


async def _sample(path: Path, config: SampleConfig, shard: Shard, on_progress: OnProgress) -> SampleReport:
    from nbest.run_settings import describe_sampling, load_problems, pin_revision
    from nbest.sampling.policies import load_policy, origin_of

    config = pin_revision(config)
    problems = load_problems(config.problems)
    async with load_policy(config.policy) as sampler:
        description = sampler.describe()
        run = Run.create(path, describe_sampling(config, description, problems))
        run.write_problems(problems)
        draw = Draw(config.n, config.sampling, config.seed, shard)
        missing = sum(len(indices) for _, indices in missing_draws(run, draw))
        drawn, tokens, start = 0, 0, time.perf_counter()
        report = count_progress("sample", missing, on_progress)

        def on_done(new_items: int, new_tokens: int) -> None:
            nonlocal drawn, tokens
            drawn, tokens = drawn + new_items, tokens + new_tokens
            report(new_items, new_tokens)

        await sample_run(run, sampler, draw, on_done, origin_of(description))
    seconds = time.perf_counter() - start
    return SampleReport(path, drawn, tokens, seconds, len(run.done_trajectories()), len(problems) * config.n)


def missing_draws(run: Run, draw: Draw) -> Iterator[tuple[Problem, list[int]]]:
    """Yield the problems of this shard with the indices that the run does not hold yet."""
    done = run.done_trajectories()
    for problem in draw.shard.take(run.problems()):
        missing = [index for index in range(draw.n) if trajectory_id(problem.id, index) not in done]
        if missing:
            yield problem, missing


async def sample_run(
    run: Run, sampler: Sampler, draw: Draw, on_done: OnDone, origin: Mapping[str, str] | None = None
) -> None:
    """Draw the trajectories that are missing; a trajectory is written as it finishes, whether or not its pool is whole.

    `origin` goes into the header of captured states: the policy and step rule behind them.
    """

    async def draw_pool(item: tuple[Problem, list[int]]) -> AsyncGenerator[list[Trajectory], None]:
        problem, indices = item
        index_of = {derive_seed(draw.seed, problem.id, index): index for index in indices}
        messages = user_message(problem.prompt)
        async with aclosing(sampler.sample(messages, list(index_of), draw.params)) as completions:
            async for seed, completion in completions:
                index = index_of[seed]
                yield [Trajectory(trajectory_id(problem.id, index), problem.id, index, seed, completion)]

    async def write(trajectories: list[Trajectory]) -> None:
        await asyncio.to_thread(run.append_trajectories, trajectories, origin)
        # A server may count tokens without giving their ids.
        on_done(len(trajectories), sum(t.completion.count_usage().sampled_tokens for t in trajectories))

    await work_through(missing_draws(run, draw), draw_pool, write)
