"""The first stage: draw the trajectories that a run is missing, and write every one as it finishes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from nbest.config import SampleConfig
from nbest.errors import ConfigError
from nbest.plurals import show_count
from nbest.protocols import Sampler
from nbest.records import Problem, SamplingParams, Trajectory, derive_seed, make_conversation, trajectory_id
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    report_activity,
    report_wait,
    run_stage,
)
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneIds
from nbest.storage.run import Run
from nbest.storage.tables import TRAJECTORIES

MOST_N = 1_000_000
"""The most trajectories per problem that are drawn without a confirmation: a larger number is most likely a slip."""


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
    """How many trajectories to draw per problem, and how. `system` is the system prompt before every question."""

    n: int
    params: SamplingParams
    seed: int = 0
    shard: Shard = WHOLE
    system: str | None = None


@dataclass(frozen=True, slots=True)
class SampleReport:
    """The result of `sample`: `new_trajectories` with `tokens` tokens in `seconds`, and how many `trajectories` the run
    now holds of the `planned_trajectories`. `failed` counts the new ones whose sampling failed, and `first_failure`
    names the first of them and says why."""

    run: Path
    new_trajectories: int
    tokens: int
    seconds: float
    trajectories: int
    planned_trajectories: int
    failed: int = 0
    first_failure: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "drawn": self.new_trajectories,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "trajectories": self.trajectories,
            "failed": self.failed,
            "first_failure": self.first_failure or None,
        }


def sample(
    run_path: str | Path,
    config: SampleConfig,
    *,
    shard: Shard = WHOLE,
    on_progress: OnProgress = ignore_progress,
    on_note: Callable[[str], object] = lambda _: None,
    allow_large_n: bool = False,
) -> SampleReport:
    """Draw what the run at `run_path` is missing of `config.n` trajectories per problem; the run is made if there
    is none.

    All settings are checked before a model is loaded, and the folder is created with the first trajectories: a call
    that fails before has changed nothing. `on_note` is called, before a model is loaded, with what is wrong with the
    targets of the problems, whatever their source is. `allow_large_n` confirms an `n` above `MOST_N`.
    Raises ConfigError, also if the folder holds a run of other settings, UnavailableError for what the policy cannot
    do, DataError, EngineError.
    """
    return run_stage(Path(run_path), _sample(Path(run_path), config, shard, on_progress, on_note, allow_large_n))


async def _sample(
    path: Path,
    config: SampleConfig,
    shard: Shard,
    on_progress: OnProgress,
    on_note: Callable[[str], object],
    allow_large_n: bool,
) -> SampleReport:
    from nbest.run_settings import describe_sampling
    from nbest.sampling.policies import load_policy, origin_of
    from nbest.storage.drafts import prepare_run, reserve_folder

    report_activity("read the problems", on_progress)
    config, problems = await asyncio.to_thread(check_settings, config, allow_large_n)
    if note := await asyncio.to_thread(_describe_targets, problems):
        on_note(note)
    is_here = config.policy.type in ("transformers", "vllm")
    report_activity(f"load {config.policy.model if is_here else config.policy.type}", on_progress)
    async with load_policy(config.policy) as sampler:
        sampler.check(config.sampling)
        description = sampler.describe()
        run = prepare_run(path, describe_sampling(config, description, problems, path))
        run.write_problems(problems)
        report_activity("read the run", on_progress)
        draw = Draw(config.n, config.sampling, config.seed, shard, config.system)
        missing = sum(len(indices) for _, indices in missing_draws(run, draw))
        trajectories, tokens, start = 0, 0, time.perf_counter()
        report = count_progress("sample", missing, on_progress)

        def on_done(new_items: int, new_tokens: int) -> None:
            nonlocal trajectories, tokens
            trajectories, tokens = trajectories + new_items, tokens + new_tokens
            report(new_items, new_tokens)

        failed, first_failure = 0, ""

        def on_failure(trajectory: Trajectory) -> None:
            nonlocal failed, first_failure
            failed += 1
            first_failure = first_failure or f"{trajectory.id}: {trajectory.completion.note}"

        on_wait = report_wait("sample", on_progress)
        with reserve_folder(run):
            await sample_run(
                run, sampler, draw, on_done, origin_of(description), on_wait=on_wait, on_failure=on_failure
            )
            run.materialize()
    seconds = time.perf_counter() - start
    present, planned = len(run.done_trajectories()), len(problems) * config.n
    return SampleReport(path, trajectories, tokens, seconds, present, planned, failed, first_failure)


def _describe_targets(problems: list[Problem]) -> str:
    """Return a note on the targets that cannot be read, "" if all can: `verify` would grade nothing of such a run."""
    from nbest.verifying.targets import describe_unreadable, find_unreadable_targets

    unreadable = find_unreadable_targets(problems)
    return (
        f"{describe_unreadable(unreadable)}\n`nbest verify` grades none of this run until then." if unreadable else ""
    )


def check_settings(config: SampleConfig, allow_large_n: bool) -> tuple[SampleConfig, list[Problem]]:
    """Return the settings with the commit of the benchmark, and the problems; nothing is loaded or written.

    Raises ConfigError with the faults of the number of trajectories, the problems and the policy together.
    """
    from nbest.run_settings import load_problems, pin_revision
    from nbest.sampling.policies import check_policy

    faults, problems = list[str](), list[Problem]()
    try:
        check_large_n(config.n, allow_large_n)
    except ConfigError as error:
        faults += error.faults
    try:
        config = pin_revision(config)
        problems = load_problems(config.problems)
    except ConfigError as error:
        faults += error.faults
    try:
        check_policy(config.policy, config.sampling)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return config, problems


def check_large_n(n: int, is_confirmed: bool) -> None:
    """Raise ConfigError for more than `MOST_N` trajectories per problem that are not confirmed."""
    if n > MOST_N and not is_confirmed:
        raise ConfigError(
            f"n: got {show_count(n, 'trajectory')} per problem; more than {MOST_N:,} must be confirmed with "
            "--allow-large-n"
        )


def missing_draws(run: Run, draw: Draw) -> Iterator[tuple[Problem, list[int]]]:
    """Yield the problems of this shard with the indices that the run does not hold yet."""
    done = run.done_trajectories()
    for problem in draw.shard.take(run.problems()):
        missing = _find_missing(problem, draw, done)
        if missing:
            yield problem, missing


def _find_missing(problem: Problem, draw: Draw, done: Collection[str]) -> list[int]:
    return [index for index in range(draw.n) if trajectory_id(problem.id, index) not in done]


async def sample_run(
    run: Run,
    sampler: Sampler,
    draw: Draw,
    on_done: OnDone,
    origin: Mapping[str, str] | None = None,
    *,
    on_wait: Callable[[int], None] = ignore_wait,
    on_failure: Callable[[Trajectory], object] = lambda _: None,
) -> None:
    """Draw the trajectories that are missing; a trajectory is written as it finishes, whether or not its pool is whole.

    `origin` goes into the header of captured states: the policy and step rule behind them. `on_wait` is as in
    `share_work`. `on_failure` is called with every trajectory whose sampling failed.
    """
    done = DoneIds(run.path / "trajectories", TRAJECTORIES)

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Problem]]:
        for problem in draw.shard.take(run.problems()):
            if problem_ids is None or problem.id in problem_ids:
                yield problem.id, problem

    def plan(problem: Problem, ids: Collection[str]) -> tuple[Problem, list[int]] | None:
        missing = _find_missing(problem, draw, ids)
        return (problem, missing) if missing else None

    async def draw_pool(item: tuple[Problem, list[int]]) -> AsyncGenerator[list[Trajectory], None]:
        problem, indices = item
        index_by_seed = {derive_seed(draw.seed, problem.id, index): index for index in indices}
        messages = make_conversation(problem.prompt, draw.system)
        async with aclosing(sampler.sample(messages, list(index_by_seed), draw.params)) as completions:
            async for seed, completion in completions:
                index = index_by_seed[seed]
                yield [Trajectory(trajectory_id(problem.id, index), problem.id, index, seed, completion)]

    async def write(trajectories: list[Trajectory]) -> None:
        await asyncio.to_thread(run.append_trajectories, trajectories, origin)
        for trajectory in trajectories:
            if trajectory.has_failed:
                on_failure(trajectory)
        # A server may count tokens without giving their ids.
        on_done(len(trajectories), sum(t.completion.count_usage().sampled_tokens for t in trajectories))

    work = SharedWork(run.path, "trajectories", done, read, plan, draw_pool, write)
    await share_work(work, on_wait=on_wait)
