"""Ask a model for judgements: concurrency, deadlines, retries and counts.

Rules
    A call has one prompt and one seed, derived from (seed, problem, question, try): a retry draws anew, and a repeated
    selection gets the same replies. A try fails with one of FAULTS: a text without a usable judgement (`unparsed`,
    `out-of-range`, `truncated`), a completion with `finish="error"` (`error`), an EngineError (`engine`), or time
    (`deadline`). It is tried again up to `retries` times; each retry is counted under the fault that caused it, and a
    judgement that finally fails under its last one. A judgement that failed is never replaced by anything: `ask`
    returns None. The deadline of a call runs from the moment it is sent (waiting for a free slot does not count), that
    of a selection from its first call; after it no further call is sent. Tokens of failed tries are counted like all
    others; what a call had sampled when its deadline passed is unknown and counts as zero. `seconds` is the sum of the
    times of all calls: calls that run at the same time add up to more than the time on the clock.

This module does not know prompts, candidates, pools or targets.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from nbest.errors import ConfigError, EngineError
from nbest.protocols import Sampler
from nbest.records import Completion, SamplingParams, Usage, WorkReport, derive_seed, user_message
from nbest.sampling.collecting import collect

T = TypeVar("T")
Read: TypeAlias = Callable[[Completion], tuple[T | None, str]]
"""Reads a completion: returns its value and "", or None and the name of the fault."""

FAULTS = ("unparsed", "out-of-range", "truncated", "error", "engine", "deadline")


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How a model is called: sampling parameters, retries, deadlines (None = none) and the seed of all calls.

    `concurrency` limits the calls of one judge at the same time, over all pools. Raises ConfigError.
    """

    params: SamplingParams = field(default_factory=SamplingParams)
    retries: int = 2
    deadline_seconds: float | None = None
    selection_seconds: float | None = None
    concurrency: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        faults = [
            f"{name}: got {value}; allowed is {rule}"
            for name, value, is_allowed, rule in (
                ("retries", self.retries, self.retries >= 0, "0 or more"),
                ("concurrency", self.concurrency, self.concurrency >= 1, "1 or more"),
                ("deadline_seconds", self.deadline_seconds, (self.deadline_seconds or 1) > 0, "more than 0"),
                ("selection_seconds", self.selection_seconds, (self.selection_seconds or 1) > 0, "more than 0"),
            )
            if not is_allowed
        ]
        if faults:
            raise ConfigError(faults)


@dataclass(slots=True)
class JudgementCounts:
    """Counts of a judge's calls and their outcomes; they grow while selections are made.

    `calls` counts tries that were sent, `judged` judgements that could be read. `retried` and `failed` count by fault,
    `first_messages` keeps the first message of each fault. `chosen` [window size][position] counts how often the
    candidate at that position was selected. `agreed` counts pools that were settled without a call, `abstained` and
    `fell_back` (to the majority) selections without a judgement, `inconsistent` pairs that were judged differently in
    the other order, `unread` trajectories that were in no prompt (empty, or beyond the token budget alone).
    """

    calls: int = 0
    judged: int = 0
    prompt_tokens: int = 0
    sampled_tokens: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    selections: int = 0
    agreed: int = 0
    abstained: int = 0
    fell_back: int = 0
    inconsistent: int = 0
    unread: int = 0
    retried: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    first_messages: dict[str, str] = field(default_factory=dict[str, str])
    chosen: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def add_choice(self, size: int, position: int) -> None:
        """Count that the candidate at `position` of a window of `size` candidates was selected."""
        self.chosen.setdefault(size, [0] * size)[position] += 1

    def position_bias(self) -> list[dict[str, float]]:
        """Return one row per window size and position: how often it was `chosen`, and how often `expected`.

        Candidates are shuffled, so a judge without a position bias chooses each position judgements / size times.
        """
        return [
            {"window": size, "position": position, "chosen": count, "expected": sum(row) / size}
            for size, row in sorted(self.chosen.items())
            for position, count in enumerate(row)
        ]

    def list_numbers(self) -> dict[str, int | float]:
        """Return the plain numbers by name: all but the floating-point operations and the counts by fault or
        position."""
        return {
            "calls": self.calls,
            "judged": self.judged,
            "prompt_tokens": self.prompt_tokens,
            "sampled_tokens": self.sampled_tokens,
            "seconds": self.seconds,
            "selections": self.selections,
            "agreed": self.agreed,
            "abstained": self.abstained,
            "fell_back": self.fell_back,
            "inconsistent": self.inconsistent,
            "unread": self.unread,
        }

    def describe(self) -> dict[str, Any]:
        """Return the numbers, the counts by fault and the position bias as JSON values."""
        return self.list_numbers() | {
            "retried": dict(self.retried),
            "failed": dict(self.failed),
            "first_messages": dict(self.first_messages),
            "position_bias": self.position_bias(),
        }


class Judge:
    """A sampler that is called under retry settings; `counts` counts every call through it.

    It does not own the sampler and never closes it. `clock` returns seconds, for tests.
    """

    def __init__(self, sampler: Sampler, retry: RetrySettings, clock: Callable[[], float] = time.perf_counter):
        self.retry = retry
        self.counts = JudgementCounts()
        self.clock = clock
        self.sampler = sampler
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @property
    def slots(self) -> asyncio.Semaphore:
        """Limits the calls at the same time, per event loop: a judge may be called from several loops."""
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.retry.concurrency))

    def report(self) -> WorkReport:
        """Return the report of all calls through this judge."""
        counts = self.counts
        return WorkReport(
            calls=counts.calls,
            usage=Usage(counts.prompt_tokens, counts.sampled_tokens, counts.flops, counts.seconds),
            retried=dict(counts.retried),
            failed=dict(counts.failed),
            judgements=counts.describe(),
        )

    def open(self, problem_id: str) -> "Conversation":
        """Return a conversation for the calls of one selection."""
        return Conversation(self, problem_id)

    def measure(self, completion: Completion) -> Usage:
        """Return the tokens and floating-point operations of one call, without its time."""
        usage = completion.count_usage()
        return replace(usage, flops=self.sampler.count_flops(usage.prompt_tokens, usage.sampled_tokens), seconds=0.0)


class Conversation:
    """The calls of one selection: their `usage`, and how many judgements `failed`, by fault."""

    def __init__(self, judge: Judge, problem_id: str):
        self.usage = Usage()
        self.failed: Counter[str] = Counter()
        self._judge = judge
        self._problem_id = problem_id
        self._deadline: float | None = None

    async def ask(self, prompt: str, question: str, read: Read[T], params: SamplingParams | None = None) -> T | None:
        """Return the first judgement that can be read; None if every try failed.

        `question` names the judgement within the selection; the seeds of its tries are derived from it. `params`
        overrides those of the retry settings. Raises what a sampler raises beside EngineError (UnavailableError,
        ConfigError).
        """
        judge = self._judge
        retry, counts = judge.retry, judge.counts
        for number in range(retry.retries + 1):
            seed = derive_seed(retry.seed, f"{self._problem_id}\x1f{question}", number)
            value, fault, note = await self._try(prompt, seed, read, params or retry.params)
            if not fault:
                counts.judged += 1
                return value
            counts.first_messages.setdefault(fault, note)
            if number < retry.retries and not self._is_past_deadline():
                counts.retried[fault] += 1
            else:
                counts.failed[fault] += 1
                self.failed[fault] += 1
                break
        return None

    async def _try(self, prompt: str, seed: int, read: Read[T], params: SamplingParams) -> tuple[T | None, str, str]:
        judge = self._judge
        async with judge.slots:
            if self._deadline is None and judge.retry.selection_seconds is not None:
                self._deadline = judge.clock() + judge.retry.selection_seconds
            if self._is_past_deadline():
                return None, "deadline", f"the selection took longer than {judge.retry.selection_seconds:g} s"
            judge.counts.calls += 1
            start = judge.clock()
            try:
                async with asyncio.timeout(self._compute_remaining_seconds()):
                    [completion] = await collect(judge.sampler, user_message(prompt), [seed], params)
            except TimeoutError:
                return None, "deadline", "no reply within the deadline"
            except EngineError as error:
                return None, "engine", str(error)
            finally:
                self._spend(Usage(seconds=judge.clock() - start))
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
        counts.flops += usage.flops

    def _is_past_deadline(self) -> bool:
        return self._deadline is not None and self._judge.clock() >= self._deadline

    def _compute_remaining_seconds(self) -> float | None:
        """Return the seconds that the next call may take; None without a deadline."""
        limits = [] if self._judge.retry.deadline_seconds is None else [self._judge.retry.deadline_seconds]
        if self._deadline is not None:
            limits.append(self._deadline - self._judge.clock())
        return min(limits, default=None)
