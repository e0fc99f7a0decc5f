"""Any selector on the first N attempts of every pool: what it would have done had no more been sampled.

Rules
    The first N are those with the lowest `Trajectory.index`. The index of a selection is a position in the whole pool.
    A pool of fewer than N attempts is an UnavailableError: it says nothing of N.

This module does not know what the selector looks at, and never sees a target.
"""

from dataclasses import replace
from typing import Any

from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import Selector
from nbest.records import Pool, Selection


class LimitedSelector:
    """`selector` on the first `n` attempts; `counts` are those of `selector` where it has some."""

    def __init__(self, selector: Selector, name: str, n: int):
        if n < 1:
            raise ConfigError(f"n: {n} given; at least 1 is needed")
        self.name = f"{name}@{n}"
        self._selector = selector
        self._n = n

    @property
    def counts(self) -> Any:
        return getattr(self._selector, "counts", None)

    async def select(self, pool: Pool) -> Selection:
        if pool.trajectories and len(pool.trajectories) < self._n:
            raise UnavailableError(
                f"{self.name}: problem {pool.problem_id!r} has {len(pool.trajectories)} trajectories, fewer than "
                f"{self._n}. Sample more, or choose a smaller n."
            )
        order = sorted(range(len(pool.trajectories)), key=lambda place: pool.trajectories[place].index)[: self._n]
        places = sorted(order)
        first = replace(pool, trajectories=tuple(pool.trajectories[place] for place in places))
        selection = await self._selector.select(first)
        return selection if selection.index is None else replace(selection, index=places[selection.index])
