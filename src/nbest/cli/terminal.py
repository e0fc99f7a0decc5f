"""Output of all commands, for people and programs: tables, JSON, common arguments.

All printing goes through `console`, and progress through `show_progress` (`progress.py`). Text is printed as text:
what it holds is neither markup nor an escape sequence (`text.visible`).
"""

import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from nbest.cli.tables import FoldedTable, make_table
from nbest.errors import ConfigError
from nbest.storage.outputs import check_output, check_writable, write_file
from nbest.text.visible import show_line, show_text, write_json_text

if TYPE_CHECKING:
    from nbest.answers.counting import AnswerCounts
    from nbest.measuring.trajectory_counts import TrajectoryCounts


def check_file(parameter: typer.CallbackParam, value: str | Path | None) -> str | Path | None:
    """Refuse a file to write that is inside a run, is a folder or cannot be written, before any work is done.

    Raises ConfigError, StorageError.
    """
    if value is not None and str(value) != "-":
        check_output(Path(value), parameter.opts[0])
        check_writable(Path(value))
        if Path(value).is_dir():
            raise ConfigError(f"{parameter.opts[0]}: {value} is a folder; name a file")
    return value


def check_folder(parameter: typer.CallbackParam, value: Path | None) -> Path | None:
    """Refuse a folder to write to that is inside a run or cannot be written, before any work is done.

    Raises ConfigError, StorageError.
    """
    if value is not None:
        check_output(value, parameter.opts[0])
        check_writable(value / "file")
    return value


RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
JsonOut = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=check_file,
        help="Write the result as JSON to this file; - writes to standard output.",
    ),
]

AnswerRule = Annotated[
    str | None,
    typer.Option(
        "--answer",
        metavar="RULE",
        help="The rule that reads answers: default, regex:PATTERN, json:KEY, last-number, text or module:function.",
    ),
]

PIPE_WIDTH = 1_000_000
"""The width in characters of an output that is no terminal: wide enough that no table is cropped."""


class Screen(Console):
    """A console for plain text: hidden characters are shown, and nothing is markup, an emoji code or highlighted.

    On a terminal lines are wrapped between words. A word that is longer than a line, such as a path, stays whole.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts and tables. With `soft_wrap` lines are left to the terminal: a command can be copied from them.

        The other options are those of rich, such as `style` and `end`.
        """
        wraps = not options.pop("soft_wrap", False)
        shown = [self._show(entry, wraps) if isinstance(entry, str | Text) else entry for entry in objects]
        if all(isinstance(entry, Text) for entry in shown):
            super().print(*shown, **options, soft_wrap=True)
        else:
            super().print(*shown, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text of any part of a table or frame as it is."""
        return Text(show_text(text), style=options.get("style", ""), justify=options.get("justify"))

    def _show(self, entry: str | Text, wraps: bool) -> Text:
        plain, style = (entry, "") if isinstance(entry, str) else (entry.plain, entry.style)
        lines = show_text(plain).split("\n")
        return Text("\n".join(_wrap_line(line, self.width) if wraps else line for line in lines), style)


def _wrap_line(line: str, width: int) -> str:
    """Return a line with line ends between words where it is wider than `width`."""
    if cell_len(line) <= width:
        return line
    lines = [""]
    for chunk in re.findall(r"\s*\S+", line):
        if lines[-1] and cell_len(lines[-1] + chunk) > width:
            lines.append(chunk.lstrip())
        else:
            lines[-1] += chunk
    return "\n".join(lines)


def console(json_out: str | None = None, *, is_stderr: bool = False) -> Screen:
    """Return the console for people. It is standard error if standard output carries JSON, or with `is_stderr`.

    If it is not a terminal but a pipe or a file, no line is broken or cropped, whatever COLUMNS says.
    """
    is_stderr = is_stderr or json_out == "-"
    stream = sys.stderr if is_stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a locale that is not UTF-8 has no letters for most texts
    width = None if stream.isatty() else PIPE_WIDTH
    return Screen(stderr=is_stderr, highlight=False, markup=False, emoji=False, width=width)


def print_text(screen: Screen, text: str, title: str) -> None:
    """Print a text under its title, in a frame on a terminal."""
    if screen.file.isatty():
        screen.print(Panel(Text(show_text(text)), title=Text(show_line(title)), title_align="left"))
    else:
        screen.print(f"{show_line(title)}\n{text}")


def print_answers(screen: Screen, counts: "AnswerCounts", *, has_unread: bool = True) -> None:
    """Print how many answers were read, by which rule, and how many were not; nothing if there was none to read.

    Without `has_unread` those that were not read are left to `print_counts`.
    """
    rules = ", ".join(f"{rule} {count:,}" for rule, count in counts.by_rule.most_common())
    unread = f", {counts.unread:,} not read" if has_unread else ""
    if counts.read or counts.unread:
        screen.print(f"answers: {counts.read:,} read{f' ({rules})' if rules else ''}{unread}")


def print_warning(screen: Screen, counts: "TrajectoryCounts", prefix: str = "") -> None:
    """Print in colour which trajectories no figure rests on, where they are many; it is the first line of a result."""
    if message := counts.warn():
        screen.print(f"warning: {prefix}{message}", style="bold yellow")


def print_counts(screen: Screen, counts: "TrajectoryCounts", prefix: str = "") -> None:
    """Print the line that a table ends with: the trajectories without an answer, ungraded, failed and cut."""
    if line := counts.describe():
        screen.print(f"{prefix}{line}", style="dim")


def write_json(value: Any, json_out: str | None) -> None:
    """Write `value` as JSON if `--json` names a file, whole or not at all. Raises ConfigError, StorageError."""
    if json_out is None:
        return
    text = write_json_text(value)
    if json_out == "-":
        # In a locale that is not UTF-8, letters that it lacks are written as escapes of JSON.
        is_utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
        sys.stdout.write((text if is_utf8 else json.dumps(json.loads(text), indent=2)) + "\n")
        return
    check_output(Path(json_out), "--json")  # again: the command may have created the run
    write_file(Path(json_out), text + "\n")


def table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False, has_lines: bool = False
) -> FoldedTable:
    """Return a table whose first column is aligned to the left, and the others, which hold numbers, to the right.

    With `is_text` all columns are aligned to the left. `has_lines` keeps the line ends of cells, which are shown as
    escapes otherwise. Columns that do not fit the screen are folded below (`tables`).
    """
    return make_table(title, heads, rows, is_text=is_text, has_lines=has_lines)
