"""The endless stream of selection tasks that training draws from, the same on every run and after every restart.

Knows no model and no reward.
"""

import random
from collections.abc import Sequence

from nbest.training.task_files import SelectionTask


class TaskStream:
    """Every task once an epoch, in an order drawn from `seed` and the epoch; process `rank` of `processes` takes every
    `processes`-th place. `position` counts what this process has taken; setting it goes on from there."""

    def __init__(self, tasks: Sequence[SelectionTask], seed: int, rank: int = 0, processes: int = 1):
        self.position = 0
        self._tasks, self._seed, self._rank, self._processes = tasks, seed, rank, processes
        self._order: tuple[int, list[int]] = (-1, [])

    def take(self, count: int) -> list[tuple[int, SelectionTask]]:
        """The next `count` tasks, each with its place in the stream of all processes (never the same place twice)."""
        taken = list[tuple[int, SelectionTask]]()
        for _ in range(count):
            place = self.position * self._processes + self._rank
            epoch, index = divmod(place, len(self._tasks))
            taken.append((place, self._tasks[self._order_of(epoch)[index]]))
            self.position += 1
        return taken

    def _order_of(self, epoch: int) -> list[int]:
        if self._order[0] != epoch:
            order = list(range(len(self._tasks)))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = (epoch, order)
        return self._order[1]
