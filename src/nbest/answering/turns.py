"""Locks by name: tasks under one name take turns, tasks under other names do not wait."""

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Turns:
    """One lock per name, which exists as long as a task holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @asynccontextmanager
    async def take(self, name: str) -> AsyncGenerator[None]:
        """Wait until no other task works under `name`."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield
