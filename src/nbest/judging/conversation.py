"""One place that asks a model for a judgement: how many calls at once, how long, how often again, and what is counted.

Rules
    A call has one prompt and one seed, derived from (seed, problem, question, try): a retry draws anew, and the same
    selection asks the same again.
    A try fails by one of FAULTS: what the text lacks (`unparsed`, `out-of-range`, `truncated`), a completion with
    `finish="error"` (`error`), an EngineError (`engine`), or time (`deadline`). It is tried again up to `retries`
    times; each retry is counted under the fault that caused it, and a judgement that finally fails under its last one.
    Nothing is ever put in the place of a judgement that failed: `ask` returns None.
    The deadline of a call runs from the moment it is sent (waiting for a free slot is not counted), that of a selection
    from its first call; behind it nothing is asked any more.
    Tokens of tries that failed are counted with the others; what a call had sampled when its deadline came is not known
    and counts as none. `seconds` is the time spent in calls, added up: calls that run side by side add up to more
    than the clock on the wall.

This module does not know prompts, candidates, pools or targets.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from nbest.errors import ConfigError, EngineError
from nbest.protocols import Sampler
from nbest.records import Completion, SamplingParams, Usage, derive_seed

T = TypeVar("T")
Read: TypeAlias = Callable[[Completion], tuple[T | None, str]]
"""What a completion says, and "", or None and the name of the fault."""

FAULTS = ("unparsed", "out-of-range", "truncated", "error", "engine", "deadline")


@dataclass(frozen=True, slots=True)
class JudgingPolicy:
    """How a model is asked. None = no deadline. `concurrency` limits the calls of one judge, over all pools."""

    params: SamplingParams = field(default_factory=SamplingParams)
    retries: int = 2
    deadline_seconds: float | None = None
    selection_seconds: float | None = None
    concurrency: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        faults = [
            f"{name}: {value} given; allowed is {rule}"
            for name, value, is_good, rule in (
                ("retries", self.retries, self.retries >= 0, "0 or more"),
                ("concurrency", self.concurrency, self.concurrency >= 1, "1 or more"),
                ("deadline_seconds", self.deadline_seconds, (self.deadline_seconds or 1) > 0, "more than 0"),
                ("selection_seconds", self.selection_seconds, (self.selection_seconds or 1) > 0, "more than 0"),
            )
            if not is_good
        ]
        if faults:
            raise ConfigError(faults)


NUMBERS = (
    *("calls", "judged", "prompt_tokens", "sampled_tokens", "seconds", "selections", "agreed", "abstained"),
    *("fell_back", "inconsistent", "unread"),
)
"""The plain numbers of JudgementCounts."""


@dataclass(slots=True)
class JudgementCounts:
    """What a judge was asked and what became of it; grows while selections are made.

    `calls` is tries sent; `judged` judgements that were read. `retried` and `failed` by fault; `told` keeps the first
    message of each fault. `chosen` [window size][position]: how often the candidate shown there was selected.
    `agreed` pools were settled without a call. `abstained` and `fell_back` (to the majority) selections had no
    judgement; `inconsistent` pairs were judged differently in the other order; `unread` attempts were never shown
    (empty, or beyond the budget alone).
    """

    calls: int = 0
    judged: int = 0
    prompt_tokens: int = 0
    sampled_tokens: int = 0
    seconds: float = 0.0
    selections: int = 0
    agreed: int = 0
    abstained: int = 0
    fell_back: int = 0
    inconsistent: int = 0
    unread: int = 0
    retried: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    told: dict[str, str] = field(default_factory=dict[str, str])
    chosen: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def add_choice(self, size: int, position: int) -> None:
        self.chosen.setdefault(size, [0] * size)[position] += 1

    def position_bias(self) -> list[dict[str, float]]:
        """One row a position and window size: how often it was `chosen` and how often `expected` of a judge that does
        not care where a candidate stands (candidates are shuffled: judgements / size)."""
        return [
            {"window": size, "position": position, "chosen": count, "expected": sum(row) / size}
            for size, row in sorted(self.chosen.items())
            for position, count in enumerate(row)
        ]

    def describe(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {name: getattr(self, name) for name in NUMBERS} | {
            "retried": dict(self.retried),
            "failed": dict(self.failed),
            "first_messages": dict(self.told),
            "position_bias": self.position_bias(),
        }


class Judge:
    """A sampler asked under a policy. Its `counts` are those of everything asked through it.

    `clock` is for tests. Of the sampler, `count_flops(prompt_tokens, sampled_tokens)` is used where it has one.
    """

    def __init__(self, sampler: Sampler, policy: JudgingPolicy, clock: Callable[[], float] = time.perf_counter):
        self.policy = policy
        self.counts = JudgementCounts()
        self.clock = clock
        self.sampler = sampler
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @property
    def slots(self) -> asyncio.Semaphore:
        """The calls at once. A semaphore belongs to one loop, a judge may be asked in one after another."""
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.policy.concurrency))

    def open(self, problem_id: str) -> "Sitting":
        """The calls of one selection."""
        return Sitting(self, problem_id)

    def measure(self, completion: Completion) -> Usage:
        """Tokens and operations of one call, without its time."""
        told = completion.count_usage()
        sizes = (told.prompt_tokens, told.sampled_tokens)
        count_flops: Callable[[int, int], float] | None = getattr(self.sampler, "count_flops", None)
        return Usage(*sizes, flops=count_flops(*sizes) if count_flops is not None else 0.0)


class Sitting:
    """The calls of one selection: their `usage`, and which judgements `failed`, by fault."""

    def __init__(self, judge: Judge, problem_id: str):
        self.usage = Usage()
        self.failed: Counter[str] = Counter()
        self._judge = judge
        self._problem_id = problem_id
        self._ends: float | None = None

    async def ask(self, prompt: str, question: str, read: Read[T], params: SamplingParams | None = None) -> T | None:
        """The first readable judgement; None where every try failed. `question` names it within the selection: its
        seeds come from it. Raises what a sampler raises beside EngineError (UnavailableError, ConfigError)."""
        judge = self._judge
        policy, counts = judge.policy, judge.counts
        for trial in range(policy.retries + 1):
            seed = derive_seed(policy.seed, f"{self._problem_id}\x1f{question}", trial)
            value, fault, note = await self._try(prompt, seed, read, params or policy.params)
            if not fault:
                counts.judged += 1
                return value
            counts.told.setdefault(fault, note)
            if trial < policy.retries and not self._is_over():
                counts.retried[fault] += 1
            else:
                counts.failed[fault] += 1
                self.failed[fault] += 1
                break
        return None

    async def _try(self, prompt: str, seed: int, read: Read[T], params: SamplingParams) -> tuple[T | None, str, str]:
        judge = self._judge
        async with judge.slots:
            if self._ends is None and judge.policy.selection_seconds is not None:
                self._ends = judge.clock() + judge.policy.selection_seconds
            if self._is_over():
                return None, "deadline", f"the selection took longer than {judge.policy.selection_seconds:g} s"
            judge.counts.calls += 1
            started = judge.clock()
            try:
                async with asyncio.timeout(self._left()):
                    completion = (await judge.sampler.sample(prompt, [seed], params))[0]
            except TimeoutError:
                return None, "deadline", "no reply within the deadline"
            except EngineError as error:
                return None, "engine", str(error)
            finally:
                self._spend(Usage(seconds=judge.clock() - started))
        self._spend(judge.measure(completion))
        if completion.finish == "error":
            return None, "error", completion.note
        value, fault = read(completion)
        return value, fault, completion.text[-200:]

    def _spend(self, usage: Usage) -> None:
        self.usage += usage
        counts = self._judge.counts
        counts.prompt_tokens += usage.prompt_tokens
        counts.sampled_tokens += usage.sampled_tokens
        counts.seconds += usage.seconds

    def _is_over(self) -> bool:
        return self._ends is not None and self._judge.clock() >= self._ends

    def _left(self) -> float | None:
        """Seconds that the next call may take; None without a deadline."""
        limits = [] if self._judge.policy.deadline_seconds is None else [self._judge.policy.deadline_seconds]
        if self._ends is not None:
            limits.append(self._ends - self._judge.clock())
        return min(limits, default=None)
