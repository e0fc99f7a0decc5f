"""Ctrl-C and SIGTERM: a command cancels its work, writes what was finished, says what is kept and exits.

The first signal raises KeyboardInterrupt in the main thread, or cancels the work of the event loop that runs there. A
thread watches that the command then ends: results that were finished are waited for, other work is not (a stage may be
killed at any time). A second signal ends the process at once. The exit code is 130, and 143 after SIGTERM.

Only the standard library is imported here, because signals must be handled before the command itself is imported.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from nbest.cli.kept import describe_kept, remember_runs
from nbest.interruption import INTERRUPTION

UNWIND_SECONDS = 0.6
"""How long a command without unwritten results has to close what it opened."""
_NUDGE_SECONDS = 0.25
"""An event loop that has not cancelled its work after this time is blocked by it, and is interrupted there."""
_NOTE_SECONDS = 1.0
_POLL_SECONDS = 0.02
_SHOW_CURSOR = b"\x1b[?25h"
_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class SignalHandler:
    """Handles the signals of one command. `words` are its arguments. `received` is the first signal, if any."""

    def __init__(self, words: Sequence[str]):
        self.received: int | None = None
        self._words = words
        self._is_raised = False
        self._is_nudged = False
        self._is_noted = False
        self._start: float | None = None
        self._next_nudge = _NUDGE_SECONDS
        self._own_signals = 0
        self._ending = threading.Lock()
        self._former: dict[int, Any] = {}
        self._reader, self._writer = socket.socketpair()
        self._former_fd = -1
        self._watcher = threading.Thread(target=self._watch, name="nbest-signals", daemon=True)

    def install(self) -> None:
        """Handle the signals from now on. A signal that is ignored, as a shell does for background jobs, stays so."""
        self._writer.setblocking(False)
        self._former_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._on_signal)
        self._watcher.start()

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, former in self._former.items():
            signal.signal(number, former)
        signal.set_wakeup_fd(self._former_fd)
        self._writer.close()  # the end of the thread's input
        self._watcher.join()

    def end(self) -> NoReturn:
        """Say what is kept, and end the process with the exit code of the signal."""
        self._ending.acquire()
        with suppress(OSError, ValueError, RuntimeError):  # of a closed pipe, or in the middle of a write
            sys.stdout.flush()
        self._end()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread. Of all signals only one raises: `_watch` ends the process at the second one."""
        if self.received is None:
            self.received = number
        if self._is_raised or (not self._is_nudged and INTERRUPTION.request()):
            return
        if _is_importing(frame):
            # Libraries in C abort where an exception is raised while they start.
            if not INTERRUPTION.is_protected:
                self.end()
            self._is_nudged = False
            return
        self._is_raised = True
        raise KeyboardInterrupt

    def _watch(self) -> None:
        """Runs in a thread of its own, which sees every signal at once, also while the main thread is in C code."""
        with self._reader:
            while (numbers := self._read_numbers()) is not None:
                for number in numbers:
                    self._count(number)
                if self._start is not None:
                    self._hasten(time.monotonic() - self._start)

    def _read_numbers(self) -> bytes | None:
        """Return the numbers of the signals that have come; None at the end. Waits, a moment only after the first."""
        self._reader.settimeout(None if self._start is None else _POLL_SECONDS)
        try:
            return self._reader.recv(64) or None
        except TimeoutError:
            return b""

    def _count(self, number: int) -> None:
        if number not in self._former:
            return
        if self._own_signals:
            self._own_signals -= 1
        elif self._start is None:
            self._start = time.monotonic()
            self.received = self.received or number
        else:
            self._end_at_once()

    def _hasten(self, seconds: float) -> None:
        """See to it that the process ends; the first signal came so many seconds ago."""
        is_deaf = not (self._is_raised or self._is_nudged or INTERRUPTION.is_noticed)
        if seconds >= self._next_nudge and is_deaf:
            self._next_nudge = seconds + _NUDGE_SECONDS
            self._nudge()
        if seconds >= UNWIND_SECONDS and not INTERRUPTION.is_protected:
            self._end_at_once()
        if seconds >= _NOTE_SECONDS and not self._is_noted:
            self._is_noted = True
            _write("stopping: what was finished is being written. Press Ctrl-C again to end at once.\n")

    def _nudge(self) -> None:
        """Have KeyboardInterrupt raised in the main thread, wherever it is."""
        self._is_nudged = True
        self._own_signals += 1
        signal.pthread_kill(threading.main_thread().ident or 0, self.received or signal.SIGINT)

    def _end_at_once(self) -> NoReturn:
        if not self._ending.acquire(blocking=False):
            os._exit(self._exit_code)  # The main thread was about to.
        self._end()

    @property
    def _exit_code(self) -> int:
        return 128 + (self.received or signal.SIGINT)

    def _end(self) -> NoReturn:
        try:
            INTERRUPTION.finish()
            _end_children()
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            by = " by SIGTERM" if self.received == signal.SIGTERM else ""
            _write(f"stopped{by}. {describe_kept(self._words)}\n")
        finally:
            os._exit(self._exit_code)


@contextmanager
def handle_signals(words: Sequence[str]) -> Generator[None]:
    """Handle Ctrl-C and SIGTERM while a command runs. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = SignalHandler(words)
    handler.install()
    remember_runs(words)
    former_hook = sys.unraisablehook
    sys.unraisablehook = _hide_interrupts(former_hook)
    try:
        yield
    except BaseException as error:
        # Imports and libraries may turn the interrupt into any other exception.
        if handler.received is not None and not _is_success(error):
            handler.end()
        raise
    finally:
        _end_quietly_at_exit()
        handler.restore()
        sys.unraisablehook = former_hook


def _end_children() -> None:
    """End the processes that libraries have started, such as an engine: they would outlive this one."""
    multiprocessing = sys.modules.get("multiprocessing")
    for child in () if multiprocessing is None else multiprocessing.active_children():
        with suppress(OSError, AttributeError):
            child.terminate()


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported in this frame or those that called it."""
    while frame is not None:
        if frame.f_globals.get("__name__") in ("importlib._bootstrap", "_frozen_importlib"):
            return True
        frame = frame.f_back
    return False


def _is_success(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (0, None)


def _hide_interrupts(former: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return a hook that prints nothing of an interrupt inside a destructor: the watching thread ends the command."""
    return lambda fault: None if issubclass(fault.exc_type, KeyboardInterrupt) else former(fault)


def _end_quietly_at_exit() -> None:
    """Have a signal end the process without a traceback while the interpreter exits, when all work is done."""

    def set_handlers() -> None:
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: os._exit(128 + number))

    # Private; `atexit` is too late, because it runs after the interpreter has waited for its threads.
    with suppress(RuntimeError):
        threading._register_atexit(set_handlers)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def _write(text: str) -> None:
    """Write to standard error without its buffer, whose lock another thread may hold."""
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))
