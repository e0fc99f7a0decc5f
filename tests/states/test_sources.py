"""States in memory: a source of captured states, which scorers read as they read a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import DataError, UnavailableError
from nbest.protocols import StateSource
from nbest.records import Completion, HiddenStates, Pool, StatesEntry, Step, Trajectory
from nbest.scoring.hidden import HiddenScorer
from nbest.states.sources import NO_STATES, CapturedSource
from nbest.storage.run import Run
from tests.scoring.test_hidden import make_model
from tests.training.scorer_runs import ABOUT, make_run

ORIGIN = {"model": "tiny"}


def make_states(value: float, count: int = 2) -> HiddenStates:
    steps = tuple(Step(2 * number, 2 * number + 2) for number in range(count))
    return HiddenStates((1, 3), steps, np.full((count, 2, 4), value, dtype=np.float32))


def make_trajectory(index: int, states: HiddenStates | None) -> Trajectory:
    return Trajectory(f"p#{index}", "p", index, index, Completion("text", finish="stop", states=states))


def carry_states(run: Run) -> list[Pool]:
    """The pools of a run, whose trajectories carry their states, as a sampler returns them."""
    pools: list[Pool] = []
    for pool in run.pools():
        states = run.states([trajectory.id for trajectory in pool.trajectories])
        trajectories = [
            replace(trajectory, completion=replace(trajectory.completion, states=value))
            for trajectory, value in zip(pool.trajectories, states, strict=True)
        ]
        pools.append(replace(pool, trajectories=tuple(trajectories)))
    return pools


def test_what_is_known_without_reading() -> None:
    source = CapturedSource([make_trajectory(0, make_states(1.0)), make_trajectory(1, None)], ORIGIN)
    assert isinstance(source, StateSource)
    assert not source.is_empty
    assert source.find("p#0") == StatesEntry(2, (1, 3), ORIGIN, "the policy")
    assert source.find("p#1") is None


def test_states_come_in_the_order_of_the_ids_and_a_missing_one_is_named() -> None:
    source = CapturedSource([make_trajectory(index, make_states(float(index))) for index in range(3)], ORIGIN)
    assert [states.values[0, 0, 0] for states in source.read(["p#2", "p#0", "p#2"])] == [2.0, 0.0, 2.0]
    with pytest.raises(UnavailableError, match="no hidden states of 'p#9'"):
        list(source.read(["p#9"]))


def test_values_have_the_precision_of_a_run() -> None:
    # 1 + 1/512 lies between two bf16 numbers, 1 and 1 + 1/128, nearer to 1.
    source = CapturedSource([make_trajectory(0, make_states(1 + 1 / 512))], ORIGIN)
    assert next(source.read(["p#0"])).values.tolist() == np.ones((2, 2, 4)).tolist()


def test_no_states_are_empty() -> None:
    assert NO_STATES.is_empty
    assert NO_STATES.find("p#0") is None
    assert CapturedSource([make_trajectory(0, None)], ORIGIN).is_empty


async def test_a_scorer_returns_the_same_scores_for_captured_and_stored_states(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=2, n=5)
    for pool, captured in zip(run.pools(), carry_states(run), strict=True):
        stored = await HiddenScorer(make_model()).score(pool, run.states_folder)
        in_memory = await HiddenScorer(make_model()).score(captured, CapturedSource(captured.trajectories, ABOUT))
        assert in_memory == stored


async def test_the_origin_of_every_source_is_checked(tmp_path: Path) -> None:
    pool = carry_states(make_run(tmp_path / "run", problems=1))[0]
    scorer = HiddenScorer(make_model())
    assert len(await scorer.score(pool, CapturedSource(pool.trajectories, ABOUT))) == len(pool.trajectories)
    foreign = CapturedSource(pool.trajectories, {**ABOUT, "content_hash": "zzz"})
    with pytest.raises(DataError, match=r"the policy: these states are not .* content_hash is 'zzz'"):
        await scorer.score(pool, foreign)
