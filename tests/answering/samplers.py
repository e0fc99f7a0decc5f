"""Samplers without a model, for the contract of the front door: what is drawn, when, and what is cancelled."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

from nbest.errors import EngineError
from nbest.protocols import PolicyDescription, Sampler, Vocabulary
from nbest.records import Completion, Message, SamplingParams, Usage

Reply = Callable[[int], str]


def boxed(answer: object) -> str:
    return f"I think.\n\n\\boxed{{{answer}}}"


class IndexSampler(Sampler):
    """Replies by trajectory index: `reply(i)`. The first `ready` of a call finish at once, last index first; the others
    never do. Counts what was drawn, what was cancelled, and how often it was closed."""

    def __init__(self, reply: Reply = lambda index: boxed(index % 2), ready: int = 1000):
        self.reply, self.ready = reply, ready
        self.calls: list[tuple[tuple[Message, ...], int, SamplingParams]] = []
        self.cancelled = 0
        self.closed = 0
        self.most_open = 0
        self._open = 0
        self._is_stuck = threading.Event()

    def wait_until_stuck(self) -> None:
        """Block until a call has given all it will ever give."""
        assert self._is_stuck.wait(10)

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        self.calls.append((tuple(messages), len(seeds), params))
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        unfinished = len(seeds)
        try:
            await asyncio.sleep(0.001)
            for position in reversed(range(len(seeds))):
                if len(seeds) - position > self.ready:
                    self._is_stuck.set()
                    await asyncio.Event().wait()
                text = self.reply(position)
                if text == "broken":
                    raise EngineError("the engine broke")
                yield seeds[position], Completion(text, finish="stop", usage=Usage(3, 10))
                unfinished -= 1
        finally:
            self.cancelled += unfinished
            self._open -= 1

    def describe(self) -> PolicyDescription:
        return PolicyDescription({"type": "test"}, {})

    @property
    def vocabulary(self) -> Vocabulary | None:
        return None

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        return 2.0 * (prompt_tokens + sampled_tokens)

    async def aclose(self) -> None:
        self.closed += 1
