"""The records of nbest: small frozen records joined by id. Standard library and numpy only.

Glossary
    A *problem* is a question with a reference answer, the *target*. A *trajectory* is one sampled solution; the N
    trajectories of one problem are its *pool*. A *step* is a span of a trajectory that ends at a boundary. A *score* is
    an estimate made without the target; a *verdict* grades a trajectory against it. A *selection* names one trajectory
    of a pool. A trajectory whose sampling failed is data (`finish="error"`), never an exception that stops a run.

Shapes: T tokens of a completion, P tokens of its prompt, S steps, L layers, D hidden size. Indices are 0-based.
This module does not know files, models, tokenizers or answers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["math", "choice", "exact", "number", "python", "date", "code"]
"""How the answer of a problem is read and checked.

`exact` is a string, `number` a plain number, `python` a literal of Python, `date` a day; `math` reads all of these and
formulas as a mathematician would. `choice` is one letter or several, `code` a program.
"""

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
    """A question. Only a Verifier reads `target` and `tests`; `meta` keeps the other fields of its source.

    `answer_rule` says how an answer is read from a text; `nbest.answers.rules` lists the rules.
    """

    id: str
    prompt: str
    target: str | None = None
    kind: Kind = "math"
    tests: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=_no_meta)
    answer_rule: str = "default"


@dataclass(frozen=True, slots=True)
class Step:
    """Half-open span `[start, end)` of a completion's tokens; `end - 1` is the step's final token."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStates:
    """The policy's hidden states at the step ends of one trajectory, however they were computed.

    `values` float32 [S L D], `steps` [S], `layers` [L] as transformers numbers them (`hidden_states[k]`; the last one
    is after the final norm). They carry no id: whatever holds them knows their trajectory.
    """

    layers: tuple[int, ...]
    steps: tuple[Step, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class EncodingFault:
    """Why the hidden states of a trajectory cannot be computed.

    `reason` is the same for all trajectories of the same fault, for counts; `message` has the figures of this one.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A trajectory whose hidden states were not computed, and why (see `EncodingFault`).

    `policy` is the content hash of the model that could not encode it, or its name where the hash is not known.
    """

    trajectory_id: str
    reason: str
    message: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class StatesEntry:
    """What is known of stored hidden states without reading them.

    `step_count` is S, `layers` [L] the layers kept. `origin` names the policy, its content hash, the norm and the step
    rule behind the states; what is not known is absent. `location` is the file or sampler that holds them, for
    messages.
    """

    step_count: int
    layers: tuple[int, ...]
    origin: Mapping[str, str]
    location: str


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What a sampler returns for one seed.

    `prompt_tokens` [P] and `tokens` [T] are the ids as sampled (never re-tokenized; the end token is included where it
    was sampled). `logprobs` [T] are the log-probabilities of the sampled tokens under the policy at temperature 1;
    `confidences` [T] the mean log-probability of the top-k tokens (DeepConf, arXiv 2508.15260, without its minus sign);
    `certainties` [T] the self-certainty of each draw in nats, KL(uniform || policy) at temperature 1, unfiltered (arXiv
    2502.18581: minus the mean over the vocabulary of log(V p), 0 if all V tokens are equally probable). An array is
    empty (or None for these three) where the source did not record it. `usage` holds the token counts of a source that
    reports them without the ids, such as a server; tables keep its count of sampled tokens.
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
        """Return the counts that the source reported, else the number of token ids: 0 if neither is known."""
        return self.usage or Usage(len(self.prompt_tokens), len(self.tokens))


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One sampled solution of a problem.

    `answer` is the final answer that its source recorded; None = it has to be read from the text.
    """

    id: str
    problem_id: str
    index: int
    seed: int
    completion: Completion
    answer: str | None = None
    meta: Mapping[str, Any] = field(default_factory=_no_meta)

    @property
    def has_failed(self) -> bool:
        """Whether its sampling failed. Such a trajectory is kept as data, but it never wins, votes or has a score."""
        return self.completion.finish == "error"


@dataclass(frozen=True, slots=True)
class CodeTask:
    """What is public of a problem of kind `code`; a selector may read all of it. Hidden tests stand in `Problem.tests`.

    `entry_point` is the function that tests call, or `Class.method`; "" = the program reads stdin and prints. `prefix`
    is code that a completion may continue (HumanEval's prompt), "" if there is none. `starter` is the code that the
    prompt asks to complete. `public_tests` are tests that the problem statement shows, `generated_tests` those that a
    policy wrote; both as `nbest.programs.tests` reads them.
    """

    entry_point: str = ""
    prefix: str = ""
    starter: str = ""
    public_tests: tuple[str, ...] = ()
    generated_tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The N candidates of one problem, ordered by index. Holds no target: a selector cannot cheat.

    `code` is what is public of a problem of kind `code`, None for other kinds.
    """

    problem_id: str
    prompt: str
    trajectories: tuple[Trajectory, ...]
    kind: Kind = "math"
    answer_rule: str = "default"
    code: CodeTask | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a trajectory; higher is better.

    `value` is already aggregated; `steps` holds the scores of the single steps, empty if there are none. `note` says
    what the score lacks, such as judgements that failed.
    """

    trajectory_id: str
    value: float
    steps: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of a piece of work: tokens, floating-point operations and wall-clock seconds."""

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

    `calls` counts requests sent to a server or judge, `usage` what they cost. `retried` and `failed` count requests
    that failed, by their fault: `retried` those that were sent again, `failed` those that were not. `unscored` counts
    trajectories without a score, by reason. `judgements` is a judge's account as JSON (see
    `nbest.judging.conversation`), None if no model judged.
    """

    calls: int = 0
    usage: Usage = Usage()
    retried: Mapping[str, int] = field(default_factory=_no_counts)
    failed: Mapping[str, int] = field(default_factory=_no_counts)
    unscored: Mapping[str, int] = field(default_factory=_no_counts)
    judgements: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The index of the trajectory that a selector picked; None = it abstained, and the caller decides what follows."""

    problem_id: str
    index: int | None
    answer: str | None = None
    confidence: float | None = None
    usage: Usage = Usage()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of grading one trajectory against the target.

    `correct=None` = ungraded: it could not be checked. It is counted and shown as such, never as a wrong answer.
    """

    trajectory_id: str
    correct: bool | None
    answer: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """The settings of sampling.

    `top_p=1`, `top_k=0` and `min_p=0` switch these filters off; `temperature=0` is greedy. `capture` names the layers
    whose hidden states are kept at step ends (transformers' numbering, negative numbers count from the end; None = no
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


def make_conversation(text: str, system: str | None = None) -> tuple[Message, ...]:
    """Return the conversation of one user message, with a system prompt before it unless it is None."""
    return user_message(text) if system is None else (Message("system", system), *user_message(text))


def trajectory_id(problem_id: str, index: int) -> str:
    """Return the id of the trajectory with this index in the pool of this problem."""
    return f"{problem_id}#{index}"


def derive_seed(run_seed: int, problem_id: str, index: int) -> int:
    """Return a 63-bit seed for one draw: the same on every machine and in every order of work (BLAKE2b)."""
    text = f"{run_seed}\x1f{problem_id}\x1f{index}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
