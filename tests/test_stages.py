"""The flow on a run: what is missing is done, once; what was finished survives a failure."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from nbest.config import SampleConfig, parse_config
from nbest.errors import ConfigError, EngineError, UnavailableError
from nbest.measuring.inspection import inspect_pool
from nbest.protocols import Sampler, Selector, Verifier
from nbest.records import (
    Completion,
    Message,
    Pool,
    Problem,
    SamplingParams,
    Selection,
    Trajectory,
    Usage,
    Verdict,
    derive_seed,
)
from nbest.selecting.scored import FirstSelector
from nbest.stages import (
    Draw,
    Shard,
    StageProgress,
    flow,
    missing_draws,
    require_trajectories,
    sample,
    sample_run,
    select,
    select_run,
    verify,
    verify_run,
)
from nbest.storage.run import Run

PARAMS = SamplingParams()
PROBLEMS = [Problem(f"p{i}", f"question {i}", str(i)) for i in range(7)]


def ignore(count: int, tokens: int) -> None:
    del count, tokens


def make_run(path: Path) -> Run:
    run = Run.create(path, {"identity": {}, "info": {}})
    run.write_problems(PROBLEMS)
    return run


def echo(prompt: str, seed: int) -> str:
    return f"{prompt}: \\boxed{{{seed % 3}}}"


class EchoSampler(Sampler):
    """Replies with the prompt; the last seed finishes first."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        del params
        for seed in reversed(seeds):
            self.calls.append(seed)
            yield seed, Completion(echo(messages[0].content, seed), finish="stop")


class Echo(Verifier):
    """Right where the last word of the text is the target."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        self.seen += [trajectory.id for trajectory in trajectories]
        return [Verdict(t.id, f"{{{problem.target}}}" in t.completion.text) for t in trajectories]


def contents(run: Run) -> dict[str, tuple[int, str]]:
    return {t.id: (t.seed, t.completion.text) for pool in run.pools() for t in pool.trajectories}


async def test_each_trajectory_is_drawn_once_with_its_own_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    sampler = EchoSampler()
    await sample_run(run, sampler, Draw(4, PARAMS, seed=9), ignore)
    before = contents(run)
    assert len(before) == 28
    seed = derive_seed(9, "p3", 2)
    assert before["p3#2"] == (seed, echo("question 3", seed))
    await sample_run(run, sampler, Draw(4, PARAMS, seed=9), ignore)
    assert len(sampler.calls) == 28


async def test_a_larger_n_adds_only_the_new_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    await sample_run(run, EchoSampler(), Draw(2, PARAMS), ignore)
    grown = EchoSampler()
    await sample_run(run, grown, Draw(5, PARAMS), ignore)
    assert len(grown.calls) == 7 * 3
    whole = make_run(tmp_path / "whole")
    await sample_run(whole, EchoSampler(), Draw(5, PARAMS), ignore)
    assert contents(run) == contents(whole)


async def test_shards_share_the_work_without_overlap(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    calls = 0
    for index in range(3):
        sampler = EchoSampler()
        await sample_run(run, sampler, Draw(2, PARAMS, shard=Shard(index, 3)), ignore)
        calls += len(sampler.calls)
    assert calls == 14
    assert len(contents(run)) == 14


@pytest.mark.parametrize("text", ["3/3", "1", "a/b", "-1/2", "0/0", ""])
def test_a_faulty_shard_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="INDEX/COUNT"):
        Shard.parse(text)


def test_a_shard_is_parsed() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)


class Counting(Sampler):
    """A server that counts tokens without telling their ids."""

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        del messages, params
        for seed in seeds:
            yield seed, Completion("x", finish="stop", usage=Usage(prompt_tokens=3, sampled_tokens=5))


async def test_tokens_that_a_server_counts_are_told(tmp_path: Path) -> None:
    run, item_counts = make_run(tmp_path / "run"), list[int]()
    await sample_run(run, Counting(), Draw(2, PARAMS), lambda _, tokens: item_counts.append(tokens))
    assert sum(item_counts) == 7 * 2 * 5
    # The run keeps the count of what was sampled, and shows it, whether token ids are read or not.
    for pools in (run.pools(), run.pools(tokens=False)):
        assert {t.completion.count_usage() for pool in pools for t in pool.trajectories} == {Usage(0, 5)}
    page = inspect_pool(run, "p3", Equal())
    assert [candidate.sampled_tokens for candidate in page.candidates] == [5, 5]


class Equal:
    def cluster(self, answers: Sequence[str | None], _kind: str = "math") -> list[int | None]:
        return [None for _ in answers]

    def same(self, a: str, b: str, _kind: str = "math") -> bool:
        return a == b


class Breaking(Sampler):
    """Fails at the last trajectory of one pool after the others had time to finish."""

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        del params
        for number, seed in enumerate(seeds):
            if messages[0].content == "question 5" and number == 2:
                await asyncio.sleep(0.05)
                raise EngineError("the engine is gone")
            yield seed, Completion(text=f"{messages[0].content} {seed}", finish="stop")


async def test_what_was_finished_before_a_failure_is_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(EngineError, match="the engine is gone"):
        await sample_run(run, Breaking(), Draw(3, PARAMS), ignore)
    # Also the trajectories of the pool that failed: a trajectory does not wait for its pool.
    assert set(contents(run)) == {f"p{i}#{j}" for i in range(7) for j in range(3)} - {"p5#2"}
    assert [(p.id, missing) for p, missing in missing_draws(run, Draw(3, PARAMS))] == [("p5", [2])]


async def test_parts_are_written_along_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "FLUSH_TRAJECTORIES", 4)
    item_counts: list[int] = []
    run = make_run(tmp_path / "run")
    await sample_run(run, EchoSampler(), Draw(2, PARAMS), lambda count, _: item_counts.append(count))
    assert sum(item_counts) == 14
    assert len(item_counts) >= 3
    assert len(list((run.path / "trajectories").glob("part-*.parquet"))) == len(item_counts)


async def test_only_what_has_no_verdict_is_verified(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    await sample_run(run, EchoSampler(), Draw(2, PARAMS), ignore)
    first, second = Echo(), Echo()
    await verify_run(run, first, ignore)
    await sample_run(run, EchoSampler(), Draw(3, PARAMS), ignore)
    await verify_run(run, second, ignore)
    assert len(first.seen) == 14
    assert sorted(second.seen) == [f"p{i}#2" for i in range(7)]
    assert len(run.done_verdicts()) == 21


async def test_selections_are_kept_once_a_problem(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    await sample_run(run, EchoSampler(), Draw(2, PARAMS, shard=Shard(0, 2)), ignore)
    await select_run(run, FirstSelector(), "first", ignore)
    assert {s.problem_id for s in run.selections("first")} == {"p0", "p2", "p4", "p6"}
    await sample_run(run, EchoSampler(), Draw(2, PARAMS), ignore)

    class Counting(Selector):
        call_count = 0

        async def select(self, pool: Pool) -> Selection:
            Counting.call_count += 1
            return Selection(pool.problem_id, 0)

    await select_run(run, Counting(), "first", ignore)
    assert Counting.call_count == 3


def test_a_run_without_trajectories_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nbest sample"):
        require_trajectories(make_run(tmp_path / "run"))


SCRIPT = {
    "n": 3,
    "seed": 1,
    "problems": {"count": 4},
    "policy": {"type": "scripted", "script": ["\\boxed{1}", "\\boxed{2}"]},
}


def test_the_stages_as_functions(tmp_path: Path) -> None:
    states: list[StageProgress] = []
    config = parse_config(SampleConfig, SCRIPT, "test")
    sampled = sample(tmp_path / "run", config, on_progress=states.append)
    assert (sampled.new_trajectories, sampled.trajectories, sampled.planned_trajectories) == (12, 12, 12)
    assert set(sampled.to_json()) == {"run", "drawn", "failed", "first_failure", "tokens", "seconds", "trajectories"}
    counted = [state for state in states if not state.is_activity]
    assert counted[0] == StageProgress("sample", 0, 12)
    assert (states[-1].done, states[-1].total) == (12, 12)
    verdicts = verify(tmp_path / "run", on_progress=states.append)
    assert verdicts.right + verdicts.wrong == verdicts.to_json()["trajectories"] == 12
    assert verdicts.to_json()["ungraded"] == verdicts.ungraded == 0
    (selected,) = select(Run.open(tmp_path / "run"), ["majority"], n=2, on_progress=states.append)
    assert selected.to_json() == {"selector": "majority@2", "selected": 4, "abstained": 0}
    assert {state.stage for state in states if not state.is_activity} == {"sample", "verify", "majority@2"}


async def test_the_stages_as_functions_inside_an_event_loop(tmp_path: Path) -> None:
    config = parse_config(SampleConfig, SCRIPT, "test")
    assert sample(tmp_path / "run", config, shard=Shard(1, 2)).new_trajectories == 6
    assert verify(tmp_path / "run").trajectories == 6
