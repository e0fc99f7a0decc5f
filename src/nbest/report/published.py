"""Published results as data, and beside a user's own: in one table and in one chart.

Averages are recomputed from the counts where a paper prints them; where the paper prints another average, the
recomputed one is used and the row says so. A published row is one draw of N without an interval, on other problems or
of another model than a run, so nothing is paired with it. This module does not know runs or estimators.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from nbest.errors import ConfigError
from nbest.measuring.cells import UNDEFINED, show_interval, show_percent
from nbest.measuring.comparison import AccuracyRow, Comparison
from nbest.plurals import show_count
from nbest.report.charts import (
    Chart,
    Style,
    apply_style,
    choose_band_owners,
    choose_styles,
    draw_curve,
    explain_bands,
    list_accuracies,
    order_by_height,
)
from nbest.report.rendering import write_chart_files
from nbest.specs import Role, did_you_mean

Mark: TypeAlias = Literal["printed", "agrees", "recomputed"]
"""Where an average comes from.

`printed` = only the average is known to us; `agrees` = recomputed, and the print is the same to 0.01 points;
`recomputed` = ours, because the print differs or is not known to us.
"""

TABLE = Path(__file__).with_name("published.toml")
SUFFIX = " (published)"
ROUNDING_POINTS = 0.01
_PALE: Mapping[Role, str] = {"baseline": "#93b4f3", "bound": "#8b95a3"}
"""Paler than a user's own baseline and bound."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One selector at one n.

    `accuracy` is the macro average as a fraction, `printed` the same as printed, in percent (None = not known to us).
    `counts` are right problems and `values` fractions per benchmark: empty where only the average is known, None where
    a benchmark has no value.
    """

    selector: str
    n: int
    accuracy: float
    mark: Mark
    printed: float | None = None
    counts: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One paper's table.

    `read` says where the numbers were read, `default_selectors` which selectors are shown by default, `roles` which
    selectors are no competitors; `problems` counts those of each benchmark, and is empty where they are not stated.
    """

    name: str
    title: str
    source: str
    read: str
    setting: str
    benchmarks: tuple[str, ...]
    averaged: tuple[str, ...]
    default_selectors: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    problems: tuple[int, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role])

    @property
    def selectors(self) -> list[str]:
        return list(dict.fromkeys(row.selector for row in self.rows))


def published_names() -> list[str]:
    """Return the names of the tables there are."""
    return list(_tables())


def published_table(name: str) -> PublishedTable:
    """Return a table. Raises ConfigError where there is none of this name."""
    tables = _tables()
    if name not in tables:
        raise ConfigError(f"published: got {name!r}; allowed: {', '.join(tables)}.{did_you_mean(name, tables)}")
    return tables[name]


def published_rows(name: str, selectors: Sequence[str] | None = None) -> list[PublishedRow]:
    """Return the rows of a table by selector and n, of all selectors or of those named. Raises ConfigError."""
    table = published_table(name)
    unknown = [selector for selector in selectors or () if selector not in table.selectors]
    if unknown:
        allowed = ", ".join(table.selectors)
        raise ConfigError([f"published {name}: selector {selector!r} is none of {allowed}" for selector in unknown])
    order = list(selectors) if selectors is not None else table.selectors
    rows = [row for row in table.rows if row.selector in order]
    return sorted(rows, key=lambda row: (order.index(row.selector), row.n))


def merge_published(comparison: Comparison, name: str, selectors: Sequence[str] | None = None) -> Comparison:
    """Return `comparison` with the published rows behind its own, named `<selector> (published)`.

    By default they are those the table shows. Every selector has a row at every n of either: undefined (None) where it
    was not evaluated.

    `paired` is empty, since nothing is paired with a published number: show that table of `comparison` itself. Raises
    ConfigError where there is no such table or selector.
    """
    table = published_table(name)
    published = published_rows(name, table.default_selectors if selectors is None else selectors)
    total = sum(table.problems)
    rows = (*comparison.rows, *(_make_row(f"{row.selector}{SUFFIX}", row.n, row.accuracy, total) for row in published))
    rows_by_key = {row.key: row for row in rows}
    ns = sorted({row.n for row in rows})
    names = dict.fromkeys(row.selector for row in rows)
    return replace(
        comparison,
        rows=tuple(rows_by_key.get((name, n)) or _make_row(name, n, None, 0) for name in names for n in ns),
        paired=(),
        warnings=(*comparison.warnings, describe_published(name)),
        roles={**comparison.roles, **{f"{name}{SUFFIX}": role for name, role in table.roles.items()}},
    )


def tabulate_published(
    comparison: Comparison, name: str, selectors: Sequence[str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of one table, published rows below one's own. Raises ConfigError.

    Accuracy is in percent at every n of either, the interval of one's own rows that at their own largest n.
    """
    merged = merge_published(comparison, name, selectors)
    last = max(comparison.ns, default=0)
    rows_by_key = {row.key: row for row in merged.rows}
    rows: list[list[str]] = []
    for selector in merged.selectors:
        row = rows_by_key.get((selector, last))
        interval = UNDEFINED if row is None else show_interval(*merged.bounds(row))
        rows.append([selector, *(show_percent(rows_by_key[selector, n].accuracy) for n in merged.ns), interval])
    return ["selector", *(f"N={n}" for n in merged.ns), f"{comparison.level:.0%} interval at N={last}"], rows


def draw_published(comparison: Comparison, name: str, selectors: Sequence[str] | None = None, title: str = "") -> Chart:
    """Draw the accuracy of `comparison` with its bands, and the published curves beside it. Raises ConfigError."""
    table = published_table(name)
    merged = merge_published(comparison, name, selectors)
    data = list_accuracies(merged)
    band_owners = choose_band_owners(list_accuracies(comparison), comparison.roles)
    styles = choose_styles(order_by_height(data, "accuracy"), merged.roles)
    for selector, role in table.roles.items():
        if role in _PALE and (style := styles.get(f"{selector}{SUFFIX}")):
            styles[f"{selector}{SUFFIX}"] = Style(_PALE[role], style.dash, style.shape)
    subtitle = [
        f"own: {show_count(comparison.problems, 'problem')}, macro mean; "
        + explain_bands(band_owners, comparison.level),
        f"published: {table.title}, {table.source}; {show_count(len(table.averaged), 'benchmark')}, "
        "one draw of N, no interval",
    ]
    curve = draw_curve(data, band_owners, styles)
    return apply_style(curve, title or "Accuracy by number of candidates, own and published", subtitle)


def write_published(comparison: Comparison, name: str, png_path: Path, html_path: Path) -> None:
    """Write `draw_published` as PNG and as an HTML page that needs no network. Raises ConfigError, StorageError."""
    write_chart_files(draw_published(comparison, name), png_path, html_path)


def published_json(name: str) -> dict[str, Any]:
    """Return the table as plain values for `json.dumps`. Raises ConfigError."""
    fields = asdict(published_table(name))
    return {"drawn" if field == "default_selectors" else field: value for field, value in fields.items()}


def describe_published(name: str) -> str:
    """Return the line that stands under a table with published rows. Raises ConfigError."""
    table = published_table(name)
    second_hand = "" if table.read == "paper" else f" ({table.read})"
    return f"published: {table.source}{second_hand}, average of {', '.join(table.averaged)}; {table.setting}"


def _make_row(selector: str, n: int, accuracy: float | None, problems: int) -> AccuracyRow:
    return AccuracyRow(
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
    columns = [benchmarks.index(benchmark) for benchmark in averaged]
    return PublishedTable(
        name=name,
        title=entry["title"],
        source=entry["source"],
        read=entry["read"],
        setting=entry["setting"],
        benchmarks=benchmarks,
        averaged=averaged,
        default_selectors=tuple(cast("list[str]", entry["drawn"])),
        rows=tuple(_read_row(row, problems, columns) for row in cast("list[dict[str, Any]]", entry["rows"])),
        problems=problems,
        roles=cast("dict[str, Role]", entry.get("roles", {})),
    )


def _read_row(row: dict[str, Any], problems: Sequence[int], columns: Sequence[int]) -> PublishedRow:
    counts = tuple(cast("list[int]", row.get("counts", [])))
    percents = cast("list[float | str]", row.get("values", []))
    values: list[float | None] = [None if isinstance(value, str) else value / 100 for value in percents]
    if counts:
        values = [count / total for count, total in zip(counts, problems, strict=True)]
    printed = cast("float | None", row.get("printed"))
    accuracy, mark = _average(values, columns, printed)
    return PublishedRow(row["selector"], row["n"], accuracy, mark, printed, counts, tuple(values))


def _average(values: Sequence[float | None], columns: Sequence[int], printed: float | None) -> tuple[float, Mark]:
    """Return the macro average of `values` in `columns`, else the printed one, as a fraction; and which it is."""
    if not values:
        return cast(float, printed) / 100, "printed"
    accuracy = math.fsum(cast(float, values[column]) for column in columns) / len(columns)
    agrees = printed is not None and abs(100 * accuracy - printed) < ROUNDING_POINTS
    return accuracy, "agrees" if agrees else "recomputed"
