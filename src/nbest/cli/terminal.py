"""What all commands share in front of a person or a program: progress, tables, JSON, common arguments."""

import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
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
from rich.table import Table
from rich.text import Text

from nbest.errors import StorageError

if TYPE_CHECKING:
    from nbest.stages import OnProgress, StageProgress

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
JsonOut = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON to this file; - is standard output."),
]

WIDEST_CELL = 28
"""Cells up to this long are never broken over lines; heads may be."""
LINE_SECONDS = 30.0
"""How often progress is printed where there is no screen."""


def console(json_out: str | None = None) -> Console:
    """Return the console for people: standard error while standard output carries JSON."""
    return Console(stderr=json_out == "-", highlight=False)


def write_json(value: Any, json_out: str | None) -> None:
    """Write `value` as JSON where `--json` names a file. Raises StorageError where it cannot be written."""
    if json_out is None:
        return
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if json_out == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        Path(json_out).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{json_out}: cannot be written ({error.strerror})") from error


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False) -> Table:
    """Return a table with its first column on the left and the others, numbers, on the right; with `is_text` all on
    the left. Cells have no markup."""
    drawn = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column, head in enumerate(heads):
        width = max((len(row[column]) for row in rows), default=0)
        justify = "left" if is_text or column == 0 else "right"
        drawn.add_column(head, justify=justify, min_width=min(width, WIDEST_CELL))
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


@contextmanager
def show_progress() -> "Generator[OnProgress]":
    """Show progress on standard error: a bar per stage on a screen, a line every 30 s and at the end without one."""
    shown = _show_bars() if sys.stderr.isatty() else _show_lines()
    with shown as on_progress:
        yield on_progress


class _Rate(ProgressColumn):
    """Items per second since the stage began, and tokens per second where it counts them."""

    def render(self, task: Task) -> Text:
        return Text(_write_rate(task.completed, task.fields.get("tokens", 0), task.elapsed or 0.0), style="dim")


@contextmanager
def _show_bars() -> "Generator[OnProgress]":
    columns = (TextColumn("{task.description:<9}"), BarColumn(28), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as bars:
        tasks: dict[str, TaskID] = {}

        def on_progress(progress: "StageProgress") -> None:
            if progress.stage not in tasks or not progress.done:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total, tokens=0)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total, tokens=progress.tokens)

        yield on_progress


class ProgressLines:
    """Progress as plain lines: the newest state of each stage whenever `print_line` is called, and when it ends."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self._write = write
        self._clock = clock
        self._newest: StageProgress | None = None
        self._start = clock()
        self._printed: StageProgress | None = None
        self._lock = threading.Lock()

    def on_progress(self, progress: "StageProgress") -> None:
        """Take note of the newest state; the last line of a stage is printed as the next one begins."""
        with self._lock:
            is_new = self._newest is None or progress.stage != self._newest.stage or progress.done < self._newest.done
            if is_new:
                self._print()
                self._start = self._clock()
            self._newest = progress

    def print_line(self) -> None:
        """Print the newest state; also where nothing has changed, to show that the process is at work."""
        with self._lock:
            self._printed = None
            self._print()

    def close(self) -> None:
        """Print the last line of the last stage."""
        with self._lock:
            self._print()

    def _print(self) -> None:
        newest = self._newest
        # A stage that had nothing to do needs no line.
        if newest is None or newest == self._printed or newest.total == 0:
            return
        self._printed = newest
        seconds = self._clock() - self._start
        parts = [f"{newest.done:,}" + ("" if newest.total is None else f" of {newest.total:,}")]
        if newest.total:
            parts[0] += f" ({newest.done / newest.total:.0%})"
        if rate := _write_rate(newest.done, newest.tokens, seconds):
            parts.append(rate)
        if newest.total and 0 < newest.done < newest.total:
            parts.append(f"{_write_duration(seconds * (newest.total - newest.done) / newest.done)} left")
        self._write(f"{newest.stage}: {', '.join(parts)}\n")


@contextmanager
def _show_lines() -> "Generator[OnProgress]":
    lines = ProgressLines(lambda line: print(line, end="", file=sys.stderr, flush=True))
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


def _write_rate(items: float, tokens: int, seconds: float) -> str:
    if not items or not seconds:
        return ""
    rate = f"{items / seconds:,.1f}/s"
    return rate + (f", {tokens / seconds:,.0f} tokens/s" if tokens else "")


def _write_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
