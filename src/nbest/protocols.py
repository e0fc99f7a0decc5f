"""The protocols of methods: a new method is a class that fits one of these protocols, and one `Spec` (see `specs.py`).

Sampler, Encoder, Scorer and Selector are async and always take many; there is no sync twin. Batching is the backend's
own affair (a sampler may join the messages of concurrent calls), concurrency belongs to the caller. Whatever a caller
needs beside the work itself (closing, a report of what happened, cost, a tokenizer) is part of the protocol: nothing is
probed. Every implementation passes the contract suite of its protocol in `tests/contracts`.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from nbest.records import (
    Completion,
    HiddenStates,
    Kind,
    Message,
    Pool,
    Problem,
    SamplingParams,
    Score,
    Selection,
    StatesEntry,
    Step,
    Trajectory,
    Verdict,
    WorkReport,
)


@runtime_checkable
class Managed(Protocol):
    """An async context manager that reports what it has done.

    Inherit from it: the defaults hold nothing to close and report nothing.
    """

    async def aclose(self) -> None:
        """Release what is held: threads, connections, processes. May be called from any event loop, and twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def report(self) -> WorkReport:
        """Return what was done since this object was made."""
        return WorkReport()


class Vocabulary(Protocol):
    """The tokenizer of a policy, where it is on this machine."""

    @property
    def context_tokens(self) -> int | None:
        """The largest number of tokens of prompt and completion together; None if the model has no limit."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of `text` alone, without special tokens around it."""
        ...

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens that a conversation takes as a prompt, chat template included."""
        ...

    def token_text(self, token: int) -> str:
        """Return the text of one token id."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """What a run's manifest keeps of a policy: `identity` fixes the trajectories, `info` is kept for the reader."""

    identity: Mapping[str, Any]
    info: Mapping[str, Any]


@runtime_checkable
class Sampler(Managed, Protocol):
    """Draws completions from a policy that is not changed by it."""

    def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield one completion per seed as each finishes, in any order, together with its seed.

        A completion depends on its own seed only, not on which others are drawn beside it. All share one prefill of
        the messages. Closing the generator cancels what is unfinished, in the engine too. A draw that fails comes as a
        completion with `finish="error"` and a note. Raises UnavailableError with the first item, before any work, if
        `params` asks for what this sampler cannot do (capture, say), ConfigError, EngineError.
        """
        ...

    def check(self, params: SamplingParams) -> None:
        """Raise ConfigError or UnavailableError, with all faults, for parameters that `sample` would refuse.

        Called before anything is drawn or written. The default refuses nothing.
        """
        del params

    def describe(self) -> PolicyDescription:
        """Return what a run's manifest keeps of this policy."""
        ...

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The policy's tokenizer; None if it is a server's own."""
        ...

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        """Return the floating-point operations of one prompt and one completion; 0 if the model's size is unknown."""
        ...


@runtime_checkable
class StepSplitter(Protocol):
    def __call__(self, completion: Completion) -> list[Step]:
        """Return the steps of a completion, in order and not overlapping; empty if it has none."""
        ...


@runtime_checkable
class Encoder(Managed, Protocol):
    """Computes hidden states of text that was sampled elsewhere, in one teacher-forced pass."""

    async def encode(self, trajectories: Sequence[Trajectory], steps: Sequence[Sequence[Step]]) -> list[HiddenStates]:
        """Return the states of each trajectory, in order; `steps` holds one list per trajectory."""
        ...


@runtime_checkable
class StateSource(Protocol):
    """Hidden states of trajectories by id: the parts of a run, or what a sampler has just captured."""

    @property
    def is_empty(self) -> bool:
        """Whether the source holds no states at all."""
        ...

    def find(self, trajectory_id: str) -> StatesEntry | None:
        """Return what is known of a trajectory's states without reading them; None if there are none."""
        ...

    def read(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        """Yield the states of these trajectories, in this order, each read when it is asked for.

        Raises UnavailableError naming a trajectory that has none.
        """
        ...


@runtime_checkable
class Scorer(Managed, Protocol):
    async def score(self, pool: Pool, states: StateSource) -> list[Score]:
        """Return one Score per trajectory, in pool order; NaN if there is nothing to score.

        Only scorers that read hidden states look at `states`; it knows no storage.
        """
        ...


@runtime_checkable
class Selector(Managed, Protocol):
    async def select(self, pool: Pool) -> Selection:
        """Select a trajectory; `index` is a position in `pool.trajectories`. An empty pool abstains (`index=None`)."""
        ...


@runtime_checkable
class Verifier(Managed, Protocol):
    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        """Return one Verdict per trajectory of this problem, in order."""
        ...


@runtime_checkable
class Clusterer(Protocol):
    """Says which answers are equal; see `nbest.verifying.equivalence`. Plain calls: ask it in a thread.

    `kind` is the kind of the problem that is answered.
    """

    def cluster(self, answers: Sequence[str | None], kind: Kind = "math") -> list[int | None]:
        """Return the number of each answer's cluster of equal answers, from 0; None if there is no answer."""
        ...

    def same(self, a: str, b: str, kind: Kind = "math") -> bool:
        """Return whether two answers are equal."""
        ...
