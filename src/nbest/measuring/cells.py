"""How numbers are written in tables: the one place of these formats. Knows no selectors."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

Bounds: TypeAlias = tuple[float | None, float | None]
"""The ends of an interval; None for both where none is claimed."""

UNDEFINED = "-"
"""What a table shows where a number is undefined."""
FEWEST_PROBLEMS = 5
"""With fewer problems no interval is claimed: so few values, often all equal, say nothing about other problems."""
_NOTHING = frozenset({UNDEFINED, "0", "0 of 0"})
_LARGE = 1e7
"""From here on a count is written with an exponent."""


class TextTable(NamedTuple):
    """A table as text: the heads of its columns, and rows of as many cells."""

    heads: list[str]
    rows: list[list[str]]


def claim_interval(low: float | None, high: float | None, problems: int, resample: str = "problems") -> Bounds:
    """Return the bounds that tables and charts show: none where fewer than `FEWEST_PROBLEMS` problems were resampled.

    `problems` are those with a value; of an average over runs, those of the run with the fewest, because each run is
    resampled by itself. Where `resample` is "samples", the problems are fixed, and their number does not matter.
    """
    return (low, high) if problems >= FEWEST_PROBLEMS or resample == "samples" else (None, None)


def drop_empty(table: TextTable) -> tuple[TextTable, list[str]]:
    """Return the table without what is undefined throughout: rows, and then columns of one N; and the rows' names.

    Counts of nothing (`0`, `0 of 0`) beside what is undefined are no figures either. Columns of an N without a figure
    are those of stored selections, which are known at one N alone.
    """
    rows = [row for row in table.rows if UNDEFINED not in row[1:] or not _NOTHING.issuperset(row[1:])]
    empty = [row[0] for row in table.rows if row not in rows]
    kept = [
        column
        for column, head in enumerate(table.heads)
        if not head.startswith("N=") or not rows or any(row[column] != UNDEFINED for row in rows)
    ]
    heads, *cells = ([line[column] for column in kept] for line in (table.heads, *rows))
    return TextTable(heads, cells), empty


def explain_empty(names: Sequence[str]) -> str:
    """Return which rows a table leaves out, and why; "" for none."""
    return f"left out because there are no figures for them: {', '.join(names)}" if names else ""


def show_percent(fraction: float | None) -> str:
    """Return a fraction in percent, `62.5`."""
    return UNDEFINED if fraction is None else f"{100 * fraction:.1f}"


def show_points(fraction: float | None) -> str:
    """Return a difference of two fractions in percentage points with its sign, `+5.0`."""
    return UNDEFINED if fraction is None else f"{100 * fraction:+.1f}"


def show_interval(low: float | None, high: float | None) -> str:
    """Return the bounds of a fraction in percent, `50.0 to 75.1`."""
    return UNDEFINED if low is None or high is None else f"{show_percent(low)} to {show_percent(high)}"


def show_difference_interval(low: float | None, high: float | None) -> str:
    """Return the bounds of a difference in percentage points, `-1.2 to +11.0`."""
    return UNDEFINED if low is None or high is None else f"{show_points(low)} to {show_points(high)}"


def show_narrow_interval(low: float | None, high: float | None) -> str:
    """Return the bounds of a fraction in percent, to stand small beside it; empty where they are undefined."""
    return "" if low is None or high is None else f"{show_percent(low)}\N{EN DASH}{show_percent(high)}"


def show_share(count: int, total: int) -> str:
    """Return a count as a share of a total, `12.5 %`, to stand small beside it; empty for none."""
    return f"{show_percent(count / total)} %" if total and count else ""


def show_decimal(value: float | None, digits: int = 3) -> str:
    """Return a number such as a probability with a fixed number of digits."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def show_decimal_interval(low: float | None, high: float | None) -> str:
    """Return the bounds of a number such as a probability, `0.512 to 0.634`."""
    return UNDEFINED if low is None or high is None else f"{show_decimal(low)} to {show_decimal(high)}"


def show_amount(value: float | None) -> str:
    """Return a count of tokens or floating-point operations: whole, with an exponent where it is large."""
    if value is None:
        return UNDEFINED
    return f"{value:,.0f}" if value < _LARGE else f"{value:.2e}"


def show_seconds(value: float | None) -> str:
    """Return seconds to a tenth."""
    return UNDEFINED if value is None else f"{value:,.1f}"
