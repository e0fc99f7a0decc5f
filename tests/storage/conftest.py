"""Small records and runs. Every test of storage writes into its own `tmp_path`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbest.records import Completion, HiddenStates, Problem, Step, Trajectory, trajectory_id
from nbest.storage.run import Run

MANIFEST = {"identity": {"seed": 1}, "info": {"host": "here"}}


def make_trajectory(problem: str, index: int, note: str = "", captured: float | None = None) -> Trajectory:
    """A trajectory fixed by problem and index; `note` distinguishes two with the same id."""
    tokens = np.arange(index + 3, dtype=np.int32) + len(note)
    states = None
    if captured is not None:
        steps = (Step(0, 2), Step(2, len(tokens)))
        states = HiddenStates((1, 2), steps, np.full((2, 2, 4), captured, dtype=np.float32))
    completion = Completion(
        text=f"{problem}, trajectory {index}",
        prompt_tokens=np.array([7, 8], dtype=np.int32),
        tokens=tokens,
        logprobs=-np.ones(len(tokens), dtype=np.float32),
        finish="stop",
        states=states,
        note=note,
    )
    return Trajectory(trajectory_id(problem, index), problem, index, 17 * index, completion)


@pytest.fixture
def trajectory() -> Callable[..., Trajectory]:
    return make_trajectory


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with the problems a, b, c and d, and nothing else."""
    run = Run.create(tmp_path / "run", MANIFEST)
    run.write_problems([Problem(name, f"What is {name}?") for name in "abcd"])
    return run
