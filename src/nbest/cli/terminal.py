"""What all commands share in front of a person or a program: progress with rates, tables, JSON."""

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nbest.errors import StorageError

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
JsonOut = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON to this file; - is the screen.")
]


WIDEST_CELL = 28
"""Cells up to this long are never broken over lines; heads may be."""


def console(json_out: str | None = None) -> Console:
    """Where people are told things: standard error while standard output carries JSON."""
    return Console(stderr=json_out == "-", highlight=False)


def write_json(value: Any, json_out: str | None) -> None:
    """Raises StorageError where the file cannot be written."""
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


class Move(Protocol):
    """Moves a bar by items that had so many tokens; `total` where it becomes known only now."""

    def __call__(self, count: int, tokens: int, total: int | None = None) -> None: ...


class _Rate(ProgressColumn):
    """Items, and where they have some tokens, a second since the stage began."""

    def render(self, task: Task) -> Text:
        seconds = task.elapsed or 0.0
        if not task.completed or not seconds:
            return Text("")
        tokens = task.fields.get("tokens", 0)
        rate = f"{task.completed / seconds:,.1f}/s"
        return Text(rate + (f"  {tokens / seconds:,.0f} tokens/s" if tokens else ""), style="dim")


@contextmanager
def progress(label: str, total: int | None, screen: Console) -> Generator[Move]:
    """A bar with count, rate and time left; yields the function that moves it."""
    columns = (TextColumn("{task.description:<9}"), BarColumn(28), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), disable=screen.quiet) as bar:
        task = bar.add_task(label, total=total, tokens=0)
        sum_tokens = 0

        def on_done(count: int, tokens: int, total: int | None = None) -> None:
            nonlocal sum_tokens
            sum_tokens += tokens
            bar.update(task, advance=count, tokens=sum_tokens, total=total)

        yield on_done


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The first column on the left, numbers on the right. Cells are shown as they are, without markup."""
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for place, head in enumerate(heads):
        width = max((len(row[place]) for row in rows), default=0)
        made.add_column(head, justify="left" if place == 0 else "right", min_width=min(width, WIDEST_CELL))
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
