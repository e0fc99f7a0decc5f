"""The parts a report is made of, as plain values: whoever writes HTML or Markdown draws these and nothing else.

This module does not know runs, selectors or formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nbest.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. `aside` stands small beside or under the text (an interval, say), `colour` marks a row's head
    as in the charts, `is_best` is emphasized, `anchor` names the `Detail` it leads to, `tint` 0..1 shades it."""

    text: str
    aside: str = ""
    colour: str = ""
    is_best: bool = False
    anchor: str = ""
    tint: float = 0.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table; the first `left` columns hold words, the others numbers. A rule stands above each row of `rules`."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    left: int = 1
    rules: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and the name of its picture (`NAME.png`)."""

    name: str
    chart: Chart
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they say."""

    pairs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Detail:
    """Something to look up, folded away where a format can: preformatted text and, above it, a table."""

    anchor: str
    title: str
    text: str
    sheet: Sheet | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences, one a line."""

    lines: Sequence[str]


Block: TypeAlias = Sheet | Figure | Facts | Detail | Notes


@dataclass(frozen=True, slots=True)
class Section:
    """A head, a sentence on how to read it, and what stands under it."""

    title: str
    lead: str
    blocks: Sequence[Block]
