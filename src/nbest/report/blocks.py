"""The parts of a report as plain values: the writers of HTML and Markdown need nothing else.

This module does not know runs, selectors or formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nbest.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    `aside` is small print beside or under the text (an interval, say), `colour` that of the selector in the charts,
    `is_best` sets the text in bold, `anchor` names the `Detail` that the cell links to, `tint` within 0..1 shades it.
    """

    text: str
    aside: str = ""
    colour: str = ""
    is_best: bool = False
    anchor: str = ""
    tint: float = 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first `words` columns hold words, the others numbers. `rules` are the lines with a rule above.

    `foot` is the line under it, "" for none.
    """

    heads: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    caption: str = ""
    words: int = 1
    rules: Sequence[int] = ()
    foot: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and the name of its picture (`NAME.png`)."""

    name: str
    chart: Chart
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by name."""

    pairs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Detail:
    """Preformatted text and a table to look up, folded away where the format allows it."""

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
    """A section of a report: a title, a lead on how to read it, and its blocks."""

    title: str
    lead: str
    blocks: Sequence[Block]
