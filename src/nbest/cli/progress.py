"""Progress on standard error: bars on a terminal, and lines without one."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from nbest.cli.kept import forget_written, record_written
from nbest.cli.terminal import console
from nbest.progress import OnProgress, StageProgress, report_activity
from nbest.text.visible import show_line

NARROWEST_BAR, LONGEST_STAGE, NUMBERS_WIDTH = 4, 18, 75
"""Of a line of progress on a terminal: the least width of its bar, how much of the name of a stage it shows at least,
and the width of the rest where there is room for it."""
_MEGABYTE = 1_000_000
LINE_SECONDS = 30.0
"""The interval between lines of progress without a screen."""


@contextmanager
def show_progress(*, has_last_lines: bool = True) -> Generator[OnProgress]:
    """Show progress on standard error: a bar per stage on a screen, a line every 30 s and at the end without one.

    Without `has_last_lines` there is no line at the end, for commands whose result is not what they counted.
    """
    display = _show_bars() if sys.stderr.isatty() else _show_lines(has_last_lines)
    forget_written()
    with display as show:

        def on_progress(progress: StageProgress) -> None:
            record_written(progress.stage, progress.done, progress.total)
            show(progress)

        yield on_progress


@contextmanager
def show_activity(activity: str) -> Generator[None]:
    """Show that a piece of work takes its time which counts nothing, as `show_progress` does."""
    with show_progress(has_last_lines=False) as on_progress:
        report_activity(activity, on_progress)
        yield


class _Counts(MofNCompleteColumn):
    """How many of how many items; nothing for what counts none, and no total where it is not known."""

    def render(self, task: Task) -> Text:
        if task.fields.get("is_activity"):
            return Text()
        return Text(f"{int(task.completed):,}") if task.total is None else super().render(task)


class _Rate(ProgressColumn):
    """Items per second since the stage began, and tokens per second where it counts them and there is room."""

    def __init__(self, has_tokens: bool):
        super().__init__(Column(no_wrap=True))
        self._has_tokens = has_tokens

    def render(self, task: Task) -> Text:
        if task.fields.get("is_activity"):
            return Text(_write_duration(task.elapsed or 0.0), style="dim")
        tokens = task.fields.get("tokens", 0) if self._has_tokens else 0
        return Text(_write_rate(task.completed, tokens, task.elapsed or 0.0), style="dim")


def _choose_columns(width: int) -> list[ProgressColumn]:
    """Return the columns of a line of progress; on a narrow screen the bar is shorter, and then has fewer columns."""
    name, counts, rate, tokens, time_left, gaps = LONGEST_STAGE, 15, 9, 17, 7, 4
    has_tokens = width >= name + counts + rate + tokens + time_left + gaps + NARROWEST_BAR
    bar = min(28, width - (name + counts + rate + tokens * has_tokens + time_left + gaps))
    # Of all columns only the name may be cropped: what cannot wrap is not reduced.
    columns: list[ProgressColumn] = [
        TextColumn("{task.description:<9}", markup=False, table_column=Column(overflow="ellipsis"))
    ]
    columns += [BarColumn(bar, table_column=Column(no_wrap=True))] if bar >= NARROWEST_BAR else []
    columns += [_Counts(table_column=Column(no_wrap=True)), _Rate(has_tokens)]
    return [*columns, TimeRemainingColumn(table_column=Column(no_wrap=True))]


@contextmanager
def _show_bars() -> Generator[OnProgress]:
    screen = console(is_stderr=True)
    with Progress(*_choose_columns(screen.width), console=screen) as bars:
        tasks: dict[str, TaskID] = {}

        activity: list[TaskID] = []

        def on_progress(progress: StageProgress) -> None:
            while activity:  # what counts nothing has left nothing to read when it is over
                bars.remove_task(activity.pop())
            if progress.stage not in tasks or not progress.done:
                name = _shorten(show_line(progress.stage), max(LONGEST_STAGE, screen.width - NUMBERS_WIDTH))
                tasks[progress.stage] = bars.add_task(
                    name, total=progress.total, tokens=0, is_activity=progress.is_activity
                )
            task = tasks[progress.stage]
            if progress.is_activity:
                activity.append(tasks.pop(progress.stage))
            scale = _MEGABYTE if progress.unit == "bytes" else 1
            total = None if progress.total is None else progress.total // scale
            bars.update(
                task,
                completed=progress.done // scale,
                total=total,
                tokens=progress.tokens,
                is_activity=progress.is_activity,
            )

        try:
            yield on_progress
        finally:
            while activity:
                bars.remove_task(activity.pop())


class ProgressLines:
    """Progress as plain lines: the newest state of each stage whenever `print_line` is called, and when it ends."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic, has_last_lines: bool = True
    ):
        self._has_last_lines = has_last_lines
        self._write = write
        self._clock = clock
        self._newest: StageProgress | None = None
        self._start = clock()
        self._printed: StageProgress | None = None
        self._lock = threading.Lock()

    def on_progress(self, progress: StageProgress) -> None:
        """Store the newest state; the last line of a stage is printed when the next one begins."""
        with self._lock:
            is_new = self._newest is None or progress.stage != self._newest.stage or progress.done < self._newest.done
            if is_new:
                self._print_last()
                self._start = self._clock()
            self._newest = progress

    def print_line(self) -> None:
        """Print the newest state, even if nothing has changed, to show that the process is still running."""
        with self._lock:
            self._printed = None
            self._print()

    def close(self) -> None:
        """Print the last line of the last stage, unless the stage did not begin to write."""
        with self._lock:
            if self._newest is not None and (self._newest.done or self._newest.total):
                self._print_last()

    def _print_last(self) -> None:
        """Print the last line of a stage; one that counted nothing has none."""
        if self._has_last_lines and self._newest is not None and not self._newest.is_activity:
            self._print()

    def _print(self) -> None:
        newest = self._newest
        # A stage that had nothing to do needs no line.
        if newest is None or newest == self._printed or newest.total == 0:
            return
        self._printed = newest
        seconds = self._clock() - self._start
        if newest.is_activity:
            self._write(f"{show_line(newest.stage)}: {_write_duration(seconds)} so far\n")
            return
        is_bytes = newest.unit == "bytes"
        count = _write_bytes if is_bytes else "{:,}".format
        parts = [count(newest.done) + ("" if newest.total is None else f" of {count(newest.total)}")]
        if newest.total:
            parts[0] += f" ({newest.done / newest.total:.0%})"
        if rate := "" if is_bytes else _write_rate(newest.done, newest.tokens, seconds):
            parts.append(rate)
        if newest.total and 0 < newest.done < newest.total:
            parts.append(f"{_write_duration(seconds * (newest.total - newest.done) / newest.done)} left")
        self._write(f"{show_line(newest.stage)}: {', '.join(parts)}\n")


@contextmanager
def _show_lines(has_last_lines: bool) -> Generator[OnProgress]:
    def write(line: str) -> None:
        print(line, end="", file=sys.stderr, flush=True)

    lines = ProgressLines(write, has_last_lines=has_last_lines)
    is_over = threading.Event()

    def print_lines() -> None:
        while not is_over.wait(LINE_SECONDS):
            lines.print_line()

    printer = threading.Thread(target=print_lines, name="nbest-progress", daemon=True)
    printer.start()
    try:
        yield lines.on_progress
    finally:
        is_over.set()
        printer.join()
        lines.close()


def _shorten(name: str, longest: int) -> str:
    """Return the name of a stage, with an ellipsis where it would leave no room for the numbers."""
    return name if cell_len(name) <= longest else f"{name[: longest - 1]}…"


def _write_bytes(count: int) -> str:
    return f"{count / _MEGABYTE:,.0f} MB"


def _write_rate(items: float, tokens: int, seconds: float) -> str:
    if not items or not seconds:
        return ""
    rate = f"{items / seconds:,.1f}/s"
    return rate + (f", {tokens / seconds:,.0f} tokens/s" if tokens else "")


def _write_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
