"""When what a program printed is what a test expects: LiveCodeBench's rule.

Both texts are stripped and split into lines. They are equal if they have the same number of lines and each pair of
lines is equal: as stripped text, or else word by word as decimal numbers (`1.50` is `1.5`; there is no tolerance).
"""

from decimal import Decimal, InvalidOperation

from nbest.plurals import show_count
from nbest.verifying.code.grades import shorten, show_value

_LONGEST_LINE_SHOWN = 80


def find_difference(output: str, expected: str) -> str:
    """Return the first difference between what was printed and what is expected, "" if there is none."""
    lines, expected_lines = _split(output), _split(expected)
    if len(lines) != len(expected_lines):
        return (
            f"got {_show_text(output)}, expected {_show_text(expected)} "
            f"({len(lines):,} instead of {show_count(len(expected_lines), 'line')})"
        )
    for number, (line, expected_line) in enumerate(zip(lines, expected_lines, strict=True)):
        if line == expected_line or _are_equal_numbers(line, expected_line):
            continue
        where = f"line {number + 1}: " if len(lines) > 1 else ""
        return f"{where}got {_show_text(line)}, expected {_show_text(expected_line)}"
    return ""


def _split(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _are_equal_numbers(line: str, expected: str) -> bool:
    try:
        return [Decimal(word) for word in line.split()] == [Decimal(word) for word in expected.split()]
    except InvalidOperation:  # a word that is no number, and the comparison of a signalling NaN
        return False


def _show_text(text: str) -> str:
    return show_value(shorten(text.strip(), _LONGEST_LINE_SHOWN), 2 * _LONGEST_LINE_SHOWN)
