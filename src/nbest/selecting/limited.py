"""Any selector on the first N trajectories of every pool: what it would select had no more been sampled.

Rules
    The first N are those with the lowest `Trajectory.index`. The index of a selection is a position in the whole pool.
    A pool of fewer than N trajectories is an UnavailableError: it says nothing of N.

This module does not know what the selector looks at, and never sees a target.
"""

from dataclasses import replace

from nbest.errors import ConfigError, UnavailableError
from nbest.plurals import show_count
from nbest.protocols import Selector
from nbest.records import Pool, Selection, WorkReport


class LimitedSelector(Selector):
    """`selector` on the first `n` trajectories of each pool; it reports what `selector` does."""

    def __init__(self, selector: Selector, name: str, n: int):
        if n < 1:
            raise ConfigError(f"n: got {n}; at least 1 is needed")
        self.name = f"{name}@{n}"
        self._selector = selector
        self._n = n

    def report(self) -> WorkReport:
        return self._selector.report()

    async def aclose(self) -> None:
        await self._selector.aclose()

    async def select(self, pool: Pool) -> Selection:
        if pool.trajectories and len(pool.trajectories) < self._n:
            raise UnavailableError(
                f"{self.name}: problem {pool.problem_id!r} has {show_count(len(pool.trajectories), 'trajectory')}, "
                f"fewer than {self._n}. Sample more, or choose a smaller n."
            )
        order = sorted(range(len(pool.trajectories)), key=lambda position: pool.trajectories[position].index)
        positions = sorted(order[: self._n])
        first = replace(pool, trajectories=tuple(pool.trajectories[position] for position in positions))
        selection = await self._selector.select(first)
        return selection if selection.index is None else replace(selection, index=positions[selection.index])
