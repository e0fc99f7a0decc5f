"""How a table fits a screen: columns that have no room are folded below, and no number is cut or broken.

A column is as wide as its widest cell where there is room, else at least as wide as its longest word. Columns that do
not fit stand in a further block under the first, beside the first column again. This module does not print.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from nbest.text.visible import show_line, show_text

GAP = 2
"""The number of spaces between two columns."""
WIDEST_CELL = 28
"""Cells of up to this many characters are never broken over lines; heads may be."""
WIDEST_WORD = 44
"""Words of up to this many characters are never broken, unless the screen itself is narrower."""
NARROWEST_LABEL = 8


@dataclass(frozen=True, slots=True)
class Span:
    """The widths of a column: at its narrowest, and with every cell on one line."""

    least: int
    natural: int


@dataclass(frozen=True, slots=True)
class FoldedTable:
    """A table that fits any width. The first column holds words; the others hold numbers unless `is_text`."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_text: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="italic", overflow="fold")
        spans = [measure_column(head, [row[column] for row in self.rows]) for column, head in enumerate(self.heads)]
        for number, columns in enumerate(fold_columns(spans, options.max_width)):
            if number:
                yield Text("(continued)", style="dim")
            yield self._build_block(columns, share_room([spans[column] for column in columns], options.max_width))

    def _build_block(self, columns: Sequence[int], widths: Sequence[int]) -> Table:
        has_heads = any(self.heads[column] for column in columns)
        block = Table(header_style="bold", box=None, pad_edge=False, show_header=has_heads)
        for column, width in zip(columns, widths, strict=True):
            justify = "left" if self.is_text or column == 0 else "right"
            block.add_column(Text(self.heads[column]), justify=justify, width=width, overflow="fold")
        for row in self.rows:
            block.add_row(*(Text(row[column]) for column in columns))
        return block


def make_table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False, has_lines: bool = False
) -> FoldedTable:
    """Return a table of plain text. Line ends in cells are shown as escapes, or kept with `has_lines`."""
    show = show_text if has_lines else show_line
    cells = [[show(cell) for cell in row] for row in rows]
    return FoldedTable(show_line(title), [show_line(head) for head in heads], cells, is_text)


def measure_column(head: str, cells: Sequence[str]) -> Span:
    """Return how wide a column must be, and how wide it is if nothing is wrapped."""
    lines = [line for cell in cells for line in cell.split("\n")]
    words = [word for text in (head, *lines) for word in text.split()]
    width = max(map(cell_len, lines), default=0)
    longest_word = min(max(map(cell_len, words), default=0), WIDEST_WORD)
    return Span(max(longest_word, min(width, WIDEST_CELL)), max(width, cell_len(head)))


def fold_columns(spans: Sequence[Span], room: int) -> list[list[int]]:
    """Return the columns of each block, in order; the first column is in all of them."""
    if not spans:
        return []
    blocks = [[0]]
    label = min(spans[0].least, max(NARROWEST_LABEL, room // 2)) if len(spans) > 1 else spans[0].least
    used = label
    for column, span in enumerate(spans[1:], 1):
        if used + GAP + span.least > room and len(blocks[-1]) > 1:
            blocks.append([0])
            used = label
        blocks[-1].append(column)
        used += GAP + span.least
    return blocks


def share_room(spans: Sequence[Span], room: int) -> list[int]:
    """Return the widths of the columns of one block, at most `room` with the gaps between them.

    Room beyond the narrowest widths goes to the narrowest columns that want it. Where even those do not fit, columns of
    words are broken first: the widest ones, and then the first column, because the others may hold numbers.
    """
    room -= GAP * (len(spans) - 1)
    if sum(span.natural for span in spans) <= room:
        return [span.natural for span in spans]
    widths = [span.least for span in spans]
    while sum(widths) > max(room, len(widths)):
        widest = max(range(len(widths)), key=lambda index: widths[index])
        is_label_broken = widths[widest] <= WIDEST_CELL and widths[0] > NARROWEST_LABEL
        widths[0 if is_label_broken else widest] -= 1
    while sum(widths) < room:
        column = min(
            (index for index, span in enumerate(spans) if widths[index] < span.natural), key=lambda index: widths[index]
        )
        widths[column] += 1
    return widths
