"""The records of nbest: small frozen records joined by id. Standard library and numpy only.

Glossary
    A *problem* is a question with a reference answer, the *target*. A *trajectory* is one attempt at it;
    the N trajectories of one problem are its *pool*. A *step* is a span of a trajectory that ends at a boundary.
    A *score* is an estimate made without the target; a *verdict* is a check made with it. A *selection* names one
    trajectory of a pool. A failed attempt is data (`finish="error"`), never an exception that stops a run.

Shapes: T tokens of a completion, P tokens of its prompt, S steps, L layers, D hidden size. Indices are 0-based.
This module does not know files, models, tokenizers or answers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["math", "choice", "code"]
"""How the answer of a problem is read and checked."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Finish: TypeAlias = Literal["stop", "length", "error", "unknown"]
"""Why a completion ended: an end token or stop string, the token limit, a failure, or not recorded by its source."""

Ids: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]


def _no_ids() -> Ids:
    return np.empty(0, dtype=np.int32)


def _no_meta() -> Mapping[str, Any]:
    return {}


Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is text: control tokens written in it are read as text by every policy."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A question. Only a Verifier reads `target` and `tests`; `meta` keeps what its source said besides."""

    id: str
    prompt: str
    target: str | None = None
    kind: Kind = "math"
    tests: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=_no_meta)


@dataclass(frozen=True, slots=True)
class Step:
    """Half-open span `[start, end)` of a completion's tokens; `end - 1` is the step's final token."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStates:
    """The policy's hidden states at the step ends of one trajectory, however they were computed.

    `values` float32 [S L D], `steps` [S], `layers` [L] as transformers numbers them (`hidden_states[k]`; the last one
    is after the final norm). Which trajectory they belong to is said where they are kept: they carry no id.
    """

    layers: tuple[int, ...]
    steps: tuple[Step, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class StatesEntry:
    """What is known of stored hidden states without reading them.

    `step_count` is S, `layers` [L] the layers kept. `origin` names the policy, its content hash, the norm and the step
    rule behind the states; what is not known is absent. `place` is the file or sampler, for messages.
    """

    step_count: int
    layers: tuple[int, ...]
    origin: Mapping[str, str]
    place: str


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What a sampler returns for one seed.

    `prompt_tokens` [P] and `tokens` [T] are the ids as sampled (never re-tokenized; the end token is included where
    it was sampled). `logprobs` [T] are the log-probabilities of the sampled tokens under the policy at temperature 1;
    `confidences` [T] the mean log-probability of the top-k tokens (DeepConf, arXiv 2508.15260, without its minus
    sign); `certainties` [T] the self-certainty of each draw in nats, KL(uniform || policy) at temperature 1, unfiltered
    (arXiv 2502.18581: minus the mean over the vocabulary of log(V p), 0 where all V tokens are as probable). An array
    is empty (or None for these three) where the source did not record it. `usage` is what a source that counts tokens
    without giving their ids told (a server, say); tables keep its count of sampled tokens.
    """

    text: str
    prompt_tokens: Ids = field(default_factory=_no_ids)
    tokens: Ids = field(default_factory=_no_ids)
    logprobs: Floats | None = None
    confidences: Floats | None = None
    finish: Finish = "unknown"
    states: HiddenStates | None = None
    note: str = ""
    certainties: Floats | None = None
    usage: "Usage | None" = None

    def count_usage(self) -> "Usage":
        """What the source told, else the tokens that are held: 0 where neither is known."""
        return self.usage or Usage(len(self.prompt_tokens), len(self.tokens))


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One attempt. `answer` is what its source stated as final answer; None means: read it from the text."""

    id: str
    problem_id: str
    index: int
    seed: int
    completion: Completion
    answer: str | None = None
    meta: Mapping[str, Any] = field(default_factory=_no_meta)

    @property
    def has_failed(self) -> bool:
        """Whether sampling it failed: such a trajectory is data, but it never wins, votes or has a score."""
        return self.completion.finish == "error"


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The N candidates of one problem, ordered by index. Holds no target: a selector cannot cheat."""

    problem_id: str
    prompt: str
    trajectories: tuple[Trajectory, ...]
    kind: Kind = "math"


@dataclass(frozen=True, slots=True)
class Score:
    """Higher is better. `value` is already aggregated; `steps` are the scores of the single steps, where there are."""

    trajectory_id: str
    value: float
    steps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost. Counts of tokens, floating-point operations, wall-clock seconds."""

    prompt_tokens: int = 0
    sampled_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.sampled_tokens + other.sampled_tokens,
            self.flops + other.flops,
            self.seconds + other.seconds,
        )


def _no_counts() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What a sampler, scorer or selector has done since it was made: the answer of `report()`.

    `calls` counts requests sent to a server or judge, `usage` what they cost. `retried` and `failed` count attempts by
    the fault that ended them; a failed one was not tried again. `unscored` counts trajectories without a score, by
    reason. `judgements` is a judge's account as JSON (see `nbest.judging.conversation`), None where no model judged.
    """

    calls: int = 0
    usage: Usage = Usage()
    retried: Mapping[str, int] = field(default_factory=_no_counts)
    failed: Mapping[str, int] = field(default_factory=_no_counts)
    unscored: Mapping[str, int] = field(default_factory=_no_counts)
    judgements: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The index a selector picked in a pool. None = it abstained; what happens then is the caller's stated policy."""

    problem_id: str
    index: int | None
    answer: str | None = None
    confidence: float | None = None
    usage: Usage = Usage()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check with the target. `correct=None` = could not be judged: it is counted and shown, never silently wrong."""

    trajectory_id: str
    correct: bool | None
    answer: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn.

    `top_p=1`, `top_k=0` and `min_p=0` switch these filters off; `temperature=0` is greedy. `capture` names the layers
    whose hidden states are kept at step ends (transformers' numbering, negative counts from the end; None = no
    capture). `top_logprobs` is the k of `Completion.confidences` (0 = not kept), `self_certainty` whether
    `Completion.certainties` is kept.
    """

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    min_p: float = 0.0
    max_tokens: int = 10_000
    stop: tuple[str, ...] = ()
    capture: tuple[int, ...] | None = None
    top_logprobs: int = 0
    self_certainty: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": False}


def user_message(text: str) -> tuple[Message, ...]:
    """Return the conversation that consists of one user message."""
    return (Message("user", text),)


def trajectory_id(problem_id: str, index: int) -> str:
    """The id of the trajectory with this index in the pool of this problem."""
    return f"{problem_id}#{index}"


def derive_seed(run_seed: int, problem_id: str, index: int) -> int:
    """A 63-bit seed for one draw: the same on every machine and in every order of work (BLAKE2b)."""
    text = f"{run_seed}\x1f{problem_id}\x1f{index}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
