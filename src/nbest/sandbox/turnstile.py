"""Lets jobs run together, and a job that must run alone by itself."""

import threading
from collections.abc import Callable

from nbest.sandbox.executions import Outcome


class Turnstile:
    """Lets jobs run together, and a job that must run alone by itself."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._running = 0
        self._alone = 0

    def run(self, work: Callable[[], Outcome]) -> Outcome:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._running += 1
        try:
            return work()
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def run_alone(self, work: Callable[[], Outcome]) -> Outcome:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._alone += 1
            self._condition.wait_for(lambda: not self._running)
        try:
            return work()
        finally:
            with self._condition:
                self._alone -= 1
                self._condition.notify_all()
