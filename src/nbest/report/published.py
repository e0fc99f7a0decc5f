"""Published results as data, and beside a user's own: in one table and in one chart.

Averages are recomputed from the counts where a paper prints them; where the print differs, ours counts and the row says
so. A published row is one draw of N without an interval, and stands on other problems or another model than a run does:
it is something to look at, so nothing is paired with it. This module does not know runs or estimators.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import vl_convert

from nbest.errors import ConfigError
from nbest.measuring.comparison import UNDEFINED, Comparison, Row, show_percent
from nbest.report.charts import (
    Chart,
    accuracy_curve,
    banded_of,
    by_height,
    explain_bands,
    styled,
    write_file,
    write_png,
)

Mark: TypeAlias = Literal["printed", "agrees", "recomputed"]
"""Where an average comes from: `printed` = only the average is known to us; `agrees` = recomputed, and the print is the
same to 0.01 points; `recomputed` = ours, since the print is another or not known to us."""

TABLE = Path(__file__).with_name("published.toml")
SUFFIX = " (published)"
ROUNDING_POINTS = 0.01
_SOFT = {f"majority{SUFFIX}": "#93b4f3", f"pass@N{SUFFIX}": "#8b95a3"}
"""Paler than a user's own majority and oracle."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One selector at one n. `accuracy` is the macro average as a fraction, `printed` the same as printed, in percent
    (None = not known to us), `counts` right problems and `values` fractions a benchmark (empty where only the average
    is known, None where a benchmark has none)."""

    selector: str
    n: int
    accuracy: float
    mark: Mark
    printed: float | None = None
    counts: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One paper's table. `read` says how the numbers came to us, `drawn` which selectors are shown by default;
    `problems` is empty where they are not stated."""

    name: str
    title: str
    source: str
    read: str
    setting: str
    benchmarks: tuple[str, ...]
    averaged: tuple[str, ...]
    drawn: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    problems: tuple[int, ...] = ()

    @property
    def selectors(self) -> list[str]:
        return list(dict.fromkeys(row.selector for row in self.rows))


def published_names() -> list[str]:
    """The names of the tables there are."""
    return list(_tables())


def published_table(name: str) -> PublishedTable:
    """Raises ConfigError where there is none of this name."""
    tables = _tables()
    if name not in tables:
        raise ConfigError(f"published: {name!r} came; allowed: {', '.join(tables)}")
    return tables[name]


def published_rows(name: str, selectors: Sequence[str] | None = None) -> list[PublishedRow]:
    """The rows of a table by selector and n, of all selectors or of those named. Raises ConfigError."""
    table = published_table(name)
    unknown = [selector for selector in selectors or () if selector not in table.selectors]
    if unknown:
        known = ", ".join(table.selectors)
        raise ConfigError([f"published {name}: selector {selector!r} is none of {known}" for selector in unknown])
    order = list(selectors) if selectors is not None else table.selectors
    wanted = [row for row in table.rows if row.selector in order]
    return sorted(wanted, key=lambda row: (order.index(row.selector), row.n))


def merge_published(comparison: Comparison, name: str, selectors: Sequence[str] | None = None) -> Comparison:
    """`comparison` with the published rows behind its own, named `<selector> (published)`; by default those the table
    shows. Every selector has a row at every n of either: undefined (None) where it was not evaluated.

    `paired` is empty, since nothing is paired with a published number: show that table of `comparison` itself. Raises
    ConfigError where there is no such table or selector.
    """
    table = published_table(name)
    shown = published_rows(name, table.drawn if selectors is None else selectors)
    total = sum(table.problems)
    rows = (*comparison.rows, *(_row(f"{row.selector}{SUFFIX}", row.n, row.accuracy, total) for row in shown))
    at = {(row.selector, row.n): row for row in rows}
    ns = sorted({row.n for row in rows})
    names = dict.fromkeys(row.selector for row in rows)
    every = tuple(at.get((name, n)) or _row(name, n, None, 0) for name in names for n in ns)
    return replace(comparison, rows=every, paired=(), warnings=(*comparison.warnings, describe_published(name)))


def tabulate_published(
    comparison: Comparison, name: str, selectors: Sequence[str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of one table: accuracy in percent at every n of either, own rows with their interval at their own
    largest n, published ones below. Raises ConfigError."""
    merged = merge_published(comparison, name, selectors)
    last = max(comparison.ns, default=0)
    at = {(row.selector, row.n): row for row in merged.rows}
    rows: list[list[str]] = []
    for selector in merged.selectors:
        held = at.get((selector, last))
        bounds = UNDEFINED
        if held is not None and held.low is not None:
            bounds = f"{show_percent(held.low)} to {show_percent(held.high)}"
        rows.append([selector, *(show_percent(at[selector, n].accuracy) for n in merged.ns), bounds])
    return ["selector", *(f"N={n}" for n in merged.ns), f"{comparison.level:.0%} interval at N={last}"], rows


def draw_published(comparison: Comparison, name: str, selectors: Sequence[str] | None = None, title: str = "") -> Chart:
    """The accuracy of `comparison` with its bands, and the published curves beside it. Raises ConfigError."""
    table = published_table(name)
    merged = merge_published(comparison, name, selectors)
    values = [
        {"selector": row.selector, "n": row.n, "accuracy": row.accuracy, "low": row.low, "high": row.high}
        for row in merged.rows
        if row.accuracy is not None
    ]
    own = [value for value in values if not str(value["selector"]).endswith(SUFFIX)]
    banded = banded_of(by_height(own, "accuracy"))
    subtitle = [
        f"own: {comparison.problems} problems, macro mean; {explain_bands(banded, comparison.level)}",
        f"published: {table.title}, {table.source}; {len(table.averaged)} benchmarks, one draw of N, no interval",
    ]
    curve = accuracy_curve(values, merged.ns, banded, _SOFT)
    return styled(curve, title or "Accuracy by number of candidates, own and published", subtitle)


def write_published(comparison: Comparison, name: str, png_path: Path, html_path: Path) -> None:
    """Writes `draw_published` as PNG and as an HTML page that needs no network. Raises ConfigError, StorageError."""
    chart = draw_published(comparison, name)
    write_png(chart, png_path)
    write_file(html_path, vl_convert.vegalite_to_html(chart.to_dict(), bundle=True).encode())


def published_json(name: str) -> dict[str, Any]:
    """The table as plain values for `json.dumps`. Raises ConfigError."""
    return asdict(published_table(name))


def describe_published(name: str) -> str:
    """One line to stand under a table that holds published rows."""
    table = published_table(name)
    second_hand = "" if table.read == "paper" else f" ({table.read})"
    return f"published: {table.source}{second_hand}, average of {', '.join(table.averaged)}; {table.setting}"


def _row(selector: str, n: int, accuracy: float | None, problems: int) -> Row:
    return Row(
        selector=selector,
        n=n,
        accuracy=accuracy,
        low=None,
        high=None,
        exact=False,
        seconds=0.0,
        sampled_tokens=None,
        standard_error=None,
        abstained=None,
        problems=problems,
        monte_carlo_error=None,
    )


@cache
def _tables() -> dict[str, PublishedTable]:
    entries = cast("dict[str, dict[str, Any]]", tomllib.loads(TABLE.read_text(encoding="utf-8")))
    return {name: _read_table(name, entry) for name, entry in entries.items()}


def _read_table(name: str, entry: dict[str, Any]) -> PublishedTable:
    benchmarks = tuple(cast("list[str]", entry["benchmarks"]))
    averaged = tuple(cast("list[str]", entry.get("averaged", entry["benchmarks"])))
    problems = tuple(cast("list[int]", entry.get("problems", [])))
    places = [benchmarks.index(benchmark) for benchmark in averaged]
    return PublishedTable(
        name=name,
        title=entry["title"],
        source=entry["source"],
        read=entry["read"],
        setting=entry["setting"],
        benchmarks=benchmarks,
        averaged=averaged,
        drawn=tuple(cast("list[str]", entry["drawn"])),
        rows=tuple(_read_row(row, problems, places) for row in cast("list[dict[str, Any]]", entry["rows"])),
        problems=problems,
    )


def _read_row(row: dict[str, Any], problems: Sequence[int], places: Sequence[int]) -> PublishedRow:
    counts = tuple(cast("list[int]", row.get("counts", [])))
    stated = cast("list[float | str]", row.get("values", []))
    values: list[float | None] = [None if isinstance(value, str) else value / 100 for value in stated]
    if counts:
        values = [count / total for count, total in zip(counts, problems, strict=True)]
    printed = cast("float | None", row.get("printed"))
    accuracy, mark = _average(values, places, printed)
    return PublishedRow(row["selector"], row["n"], accuracy, mark, printed, counts, tuple(values))


def _average(values: Sequence[float | None], places: Sequence[int], printed: float | None) -> tuple[float, Mark]:
    """The macro average of `values` at `places`, else the printed one, as a fraction; and which it is."""
    if not values:
        return cast(float, printed) / 100, "printed"
    accuracy = math.fsum(cast(float, values[place]) for place in places) / len(places)
    agrees = printed is not None and abs(100 * accuracy - printed) < ROUNDING_POINTS
    return accuracy, "agrees" if agrees else "recomputed"
