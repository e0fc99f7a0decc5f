"""What a process does between a signal that asks it to end and its end: cancel its work, and write what was finished.

Work that can be cancelled registers how (`cancelled_by`); work that has unwritten results says so (`protect_results`).
`nbest.cli.signals` asks for the end on Ctrl-C and SIGTERM. Where nobody asks, as in a program that uses nbest as a
library, nothing here has an effect. This module does not know signals, or what the work is.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Interruption:
    """The state of this process. `is_requested`: it was asked to end; `is_noticed`: its work was cancelled."""

    def __init__(self) -> None:
        self.is_requested = False
        self.is_noticed = False
        self._cancel: Callable[[], object] | None = None
        self._protected = 0
        self._lock = threading.Lock()
        self._at_end: list[Callable[[], object]] = []

    @property
    def is_protected(self) -> bool:
        """Whether results would be lost if the process ended now."""
        return self._protected > 0

    def request(self) -> bool:
        """Ask for the end; return whether there is work that was told to cancel itself."""
        self.is_requested = True
        if self._cancel is None:
            return False
        self._cancel()
        return True

    @contextmanager
    def cancelled_by(self, cancel: Callable[[], object]) -> Generator[None]:
        """Call `cancel`, which must return at once, if the end is requested inside the block.

        It has the work cancelled as soon as possible, and `is_noticed` set then.
        """
        former, self._cancel = self._cancel, cancel
        try:
            yield
        finally:
            self._cancel = former

    @contextmanager
    def protect_results(self) -> Generator[None]:
        """Hold the end back until the block is left, because it writes what was finished."""
        with self._lock:
            self._protected += 1
        try:
            yield
        finally:
            with self._lock:
                self._protected -= 1

    def call_at_end(self, work: Callable[[], object]) -> None:
        """Register what is called before a process ends without unwinding, such as to end its child processes."""
        self._at_end.append(work)

    def finish(self) -> None:
        """Call what was registered by `call_at_end`."""
        for work in self._at_end:
            work()


INTERRUPTION = Interruption()
"""The one of this process."""
