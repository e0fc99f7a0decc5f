"""Decides what a server refuses that answers with status 400, 413 or 422: one prompt, or the settings of all requests.

A prompt may be too long or stopped by a filter, and the others are answered nevertheless. A wrong setting is in every
request, so all of them are refused with the same message. A refusal is therefore about its prompt once any request was
answered, or once two prompts were refused with different messages. Until then it waits, and so do further requests of
the same prompt. If every prompt that is open has been refused with the same message, the settings are wrong.

This module does not know requests or what a status means. It belongs to one event loop.
"""

import asyncio
from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from typing import Literal, TypeAlias

Decision: TypeAlias = Literal["prompt", "settings"]


class Refusals:
    """The refusals of one server, for all prompts that are open at the same time."""

    def __init__(self) -> None:
        self._is_about_prompts = False
        self._open: Counter[Hashable] = Counter()
        self._messages: dict[Hashable, str] = {}
        self._waiting: list[asyncio.Future[Decision]] = []

    @contextmanager
    def opened(self, prompt: Hashable) -> Generator[None]:
        """Count a request of this prompt as open, from before it is sent until its outcome is known."""
        self._open[prompt] += 1
        try:
            yield
        finally:
            self._open[prompt] -= 1
            self._open = +self._open
            if not self._open:
                self._messages.clear()
            self._decide()

    def record_answer(self) -> None:
        """Record that a request was answered, so the settings are right."""
        self._is_about_prompts = True
        self._decide()

    async def judge(self, prompt: Hashable, message: str) -> Decision:
        """Return what was refused with this message. Waits until it can be known."""
        self._messages[prompt] = message
        return await self._wait()

    async def hold(self, prompt: Hashable) -> None:
        """Wait where this prompt was refused, and it is not yet known why."""
        if prompt in self._messages and not self._is_about_prompts:
            await self._wait()

    async def _wait(self) -> Decision:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._decide()
        return await future

    def _decide(self) -> None:
        decision = self._find_decision()
        if decision is not None:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(decision)

    def _find_decision(self) -> Decision | None:
        self._is_about_prompts = self._is_about_prompts or len(set(self._messages.values())) > 1
        if self._is_about_prompts:
            return "prompt"
        # The answer to another request of a refused prompt decides, too, if it is on its way.
        are_all_waiting = sum(not future.done() for future in self._waiting) >= self._open.total()
        return "settings" if self._messages and are_all_waiting else None
