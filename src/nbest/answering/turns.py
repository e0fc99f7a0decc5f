"""Lets those who work under one name take turns, while others go on."""

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Turns:
    """One lock per name, kept as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @asynccontextmanager
    async def take(self, name: str) -> AsyncGenerator[None]:
        """Wait until nobody else works under `name`."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield
