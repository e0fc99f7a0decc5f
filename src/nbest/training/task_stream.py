"""The endless stream of selection tasks that training draws from, the same in every run and after every restart.

This module does not know any model or reward.
"""

import random
from collections.abc import Sequence

from nbest.training.task_files import SelectionTask


class TaskStream:
    """A stream with every task once per epoch, in an order drawn from `seed` and the epoch.

    Process `rank` of `processes` takes every `processes`-th task. `position` counts the tasks that this process has
    taken; set it to resume from there.
    """

    def __init__(self, tasks: Sequence[SelectionTask], seed: int, rank: int = 0, processes: int = 1):
        self.position = 0
        self._tasks, self._seed, self._rank, self._processes = tasks, seed, rank, processes
        self._order: tuple[int, list[int]] = (-1, [])

    def take(self, count: int) -> list[tuple[int, SelectionTask]]:
        """Return the next `count` tasks, each with its index in the stream of all processes."""
        tasks = list[tuple[int, SelectionTask]]()
        for _ in range(count):
            index = self.position * self._processes + self._rank
            epoch, offset = divmod(index, len(self._tasks))
            tasks.append((index, self._tasks[self._order_of(epoch)[offset]]))
            self.position += 1
        return tasks

    def _order_of(self, epoch: int) -> list[int]:
        if self._order[0] != epoch:
            order = list(range(len(self._tasks)))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = (epoch, order)
        return self._order[1]
