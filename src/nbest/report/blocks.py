"""The parts a report is made of, as plain values: whoever writes HTML or Markdown draws these and nothing else.

This module does not know runs, selectors or formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nbest.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    `aside` stands small beside or under the text (an interval, say), `colour` marks the head of a line as in the
    charts, `is_best` is emphasized, `anchor` names the `Detail` it leads to, `tint` within 0..1 shades it.
    """

    text: str
    aside: str = ""
    colour: str = ""
    is_best: bool = False
    anchor: str = ""
    tint: float = 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first `words` columns hold words, the others numbers. A rule stands above each line of `rules`."""

    heads: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    caption: str = ""
    words: int = 1
    rules: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and the name of its picture (`NAME.png`)."""

    name: str
    chart: Chart
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with the fact that each one stands for."""

    pairs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Detail:
    """Something to look up, folded away where a format can: a table and preformatted text."""

    anchor: str
    title: str
    text: str
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences, one per line."""

    lines: Sequence[str]


Block: TypeAlias = Table | Figure | Facts | Detail | Notes


@dataclass(frozen=True, slots=True)
class PageSection:
    """A section of a report: a head, a sentence on how to read it, and the blocks under it."""

    title: str
    lead: str
    blocks: Sequence[Block]
