"""How numbers are written in tables: the one place of these formats. Knows no selectors."""

from typing import NamedTuple

UNDEFINED = "-"
"""What a table shows where a number is undefined."""
FEWEST_PROBLEMS = 5
"""With fewer problems no interval is shown: so few values, often all equal, say nothing about other problems."""
_LARGE = 1e7
"""From here on a count is written with an exponent."""


class TextTable(NamedTuple):
    """A table as text: the heads of its columns, and rows of as many cells."""

    heads: list[str]
    rows: list[list[str]]


def drop_empty_rows(table: TextTable) -> tuple[TextTable, list[str]]:
    """Return the table without the rows that are undefined in every column, and the names of these rows."""
    empty = [row[0] for row in table.rows if all(cell == UNDEFINED for cell in row[1:])]
    rows = [row for row in table.rows if any(cell != UNDEFINED for cell in row[1:])]
    return TextTable(table.heads, rows), empty


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
