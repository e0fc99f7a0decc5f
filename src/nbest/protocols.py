"""The seams: a new method is a new class that fits one of these.

Sampler, Encoder, Scorer and Selector are async and always take many; there is no sync twin. Batching is the
backend's own affair (a sampler may join the prompts of concurrent calls), concurrency belongs to the pipeline.
Every implementation passes the contract suite of its protocol in `tests/contracts`.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from nbest.records import (
    Completion,
    HiddenStates,
    Pool,
    Problem,
    SamplingParams,
    Score,
    Selection,
    Step,
    Trajectory,
    Verdict,
)


@runtime_checkable
class Sampler(Protocol):
    """Draws completions from a model that is not changed by it."""

    async def sample(self, prompt: str, seeds: Sequence[int], params: SamplingParams) -> list[Completion]:
        """One completion a seed, in the order of `seeds`. `prompt` is the user's message, before any chat template.

        A completion depends on its own seed only, not on which others are drawn beside it. An attempt that fails
        comes back with `finish="error"` and a note. Raises UnavailableError, before anything is loaded, where
        `params` asks for what this sampler cannot do (capture, say).
        """
        ...


@runtime_checkable
class StepSplitter(Protocol):
    def __call__(self, completion: Completion) -> list[Step]:
        """The steps of a completion, in order, not overlapping; empty where it has none."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Fills hidden states in one teacher-forced pass, for text sampled elsewhere."""

    async def encode(self, trajectories: Sequence[Trajectory], steps: Sequence[Sequence[Step]]) -> list[HiddenStates]:
        """One HiddenStates a trajectory, in order; `steps` holds one list a trajectory."""
        ...


@runtime_checkable
class Scorer(Protocol):
    async def score(self, pool: Pool) -> list[Score]:
        """One Score a trajectory, in pool order."""
        ...


@runtime_checkable
class Selector(Protocol):
    async def select(self, pool: Pool) -> Selection:
        """The selection of this pool; `index` is a position in `pool.trajectories`.

        An empty pool abstains (`index=None`).
        """
        ...


@runtime_checkable
class Verifier(Protocol):
    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """One Verdict a trajectory of this problem, in order."""
        ...
