"""Numbers as answers state them: read exactly, and compared as math-verify compares them.

String work only; nothing here evaluates an expression. This module does not know problems or trajectories.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

_LONGEST_NUMBER = 200
_FRACTION_COMMAND = re.compile(r"(-?)\\frac ?(?:\{(-?\d+)\}\{(-?\d+)\}|(\d) ?(\d))")
_FRACTION = re.compile(r"([+-]?\d+)/(-?\d+)")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:0|\d{4,}),\d+")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_UNIT = re.compile(
    r" ?(?:\^ ?\{?\\circ\}?|[€£¥]|(?:\\(?:text|mbox|textrm|mathrm|textnormal|textbf) ?\{)?"
    r" ?([A-Za-z]+(?:[ /][A-Za-z]+){0,2}) ?\}?(?:\^\{?[23]\}?)?)\.?"
)
_PERCENT = re.compile(r" ?(?:%|(?:\\text ?\{ ?)?(?:percent(?:age)?|pct)\.?(?: ?\})?)", re.IGNORECASE)
_NUMBER_START = re.compile(r"-?\\frac ?(?:\{-?\d+\}\{-?\d+\}|\d ?\d)|[+-]?[\d.][\d,. ]*(?:/-?\d+)?")
_NOT_UNITS = re.compile(
    r"\b(?:no|not|none|or|and|more|less|is|are|be|can|cannot|than|at|if|least|most|[iexyz])\b", re.IGNORECASE
)
NAMED = re.compile(r"\\?[A-Za-z]{1,7}(?:_(?:\w|\{\w+\}))?(?:\([A-Za-z0-9]\))?(?:=|\\approx ?)(?=[^=])")
"""The name before a value: `x =`, `a_3=`, `f(x) =`, `k \\approx`."""


@dataclass(frozen=True, slots=True)
class Number:
    """A real number as an answer states it.

    `exact` is its value where that is rational (of a percentage the number before the % sign), None for an irrational
    constant; `approximate` has 40 digits and is always there. `is_decimal`: written with a decimal point, so that it
    may stand for a rounded value.
    """

    exact: Fraction | None
    approximate: Decimal
    is_decimal: bool = False
    is_percent: bool = False

    @classmethod
    def of(cls, exact: Fraction, is_decimal: bool = False, is_percent: bool = False) -> "Number":
        with localcontext() as context:
            context.prec = 40
            approximate = Decimal(exact.numerator) / Decimal(exact.denominator)
        return cls(exact, approximate, is_decimal, is_percent)

    def divided(self, divisor: int) -> "Number":
        """Return the value of a percentage: this number over `divisor`, without the % sign."""
        if self.exact is not None:
            return Number.of(self.exact / divisor, self.is_decimal)
        return Number(None, self.approximate / divisor, self.is_decimal)

    @property
    def rounded(self) -> str:
        """6 decimals, half to even, as math-verify rounds floats before it compares them."""
        with localcontext() as context:
            context.prec = max(60, self.approximate.adjusted() + 20)
            value = self.approximate.quantize(Decimal("0.000001"), rounding=ROUND_HALF_EVEN)
        return "0.000000" if value.is_zero() else str(value)


def same_number(a: Number, b: Number) -> bool:
    """Return whether two numbers are the same answer; the relation is symmetric.

    Exact values are compared exactly (irrational constants to 25 significant digits). Where one is written as a
    decimal both are rounded to 6 decimals, so 0.333333 is 1/3 and 0.33 is not. A percentage `p%` is equal to the
    number p (the question asked for percent) and to p/100. The last two rules are not transitive: 28 is 28%, 28% is
    0.28, and 28 is not 0.28; `Equivalence.cluster` says how it decides then.
    """
    if a.is_percent != b.is_percent:
        percent, plain = (a, b) if a.is_percent else (b, a)
        return _same_value(percent, plain) or _same_value(percent.divided(100), plain)
    return _same_value(a, b)


def _same_value(a: Number, b: Number) -> bool:
    if a.is_decimal or b.is_decimal:
        return a.rounded == b.rounded
    if a.exact is not None and b.exact is not None:
        return a.exact == b.exact
    with localcontext() as context:
        context.prec = 25
        return +a.approximate == +b.approximate


def read_number(form: str) -> Number | None:
    """Return the number that a normal form is, without its unit or a leading `x =`; None if it is anything else.

    Units are up to three words after the number; `$`, `%` and degrees are known. Numbers of more than 200 characters
    are not read. A decimal comma is read only where it cannot be a list (`0,5`, `1000,99`).
    """
    if len(form) > _LONGEST_NUMBER:
        return None
    assigned = NAMED.match(form)
    body = form[assigned.end() :].strip() if assigned else form.strip()
    sign = "-" if body.startswith("-$") else ""
    body = sign + body[len(sign) :].lstrip("$€£¥")
    left, equals, right = body.rpartition("=")
    if equals and all(_read_bare(part, is_percent=False) for part in left.split("=")):
        body = right  # a chain of plain numbers, `1/2 = 0.5`: the last one is the answer
    number = _read_bare(body, is_percent=False)
    if number is not None:
        return number
    start = _NUMBER_START.match(body)
    if start is None:
        return None
    rest = body[len(start[0].rstrip(" ,.")) :]
    if _PERCENT.fullmatch(rest):
        return _read_bare(start[0].rstrip(" ,."), is_percent=True)
    unit = _UNIT.fullmatch(rest)
    if unit is None or (unit[1] and (_NOT_UNITS.search(unit[1]) or not _is_unit(rest, unit[1]))):
        return None
    return _read_bare(start[0].rstrip(" ,."), is_percent=False)


def _is_unit(rest: str, words: str) -> bool:
    """Return whether the words are a unit.

    A single letter is one only after a space or in `\\text`: `5m` stays algebra.
    """
    return len(words) > 1 or rest.startswith((" ", "\\"))


def _read_bare(body: str, is_percent: bool) -> Number | None:
    command = _FRACTION_COMMAND.fullmatch(body)
    if command is not None:
        sign, top, bottom, digit_top, digit_bottom = command.groups()
        return _fraction(sign, top or digit_top, bottom or digit_bottom, is_percent)
    plain = _FRACTION.fullmatch(body)
    if plain is not None:
        return _fraction("", plain[1], plain[2], is_percent)
    if _THOUSANDS.fullmatch(body):
        body = body.replace(",", "").replace(" ", "")
    elif _DECIMAL_COMMA.fullmatch(body):
        body = body.replace(",", ".")
    if not _DECIMAL.fullmatch(body):
        return None
    return Number.of(Fraction(body.rstrip(".")), "." in body.rstrip("."), is_percent)


def _fraction(sign: str, top: str, bottom: str, is_percent: bool) -> Number | None:
    if int(bottom) == 0:
        return None
    value = Fraction(int(top), int(bottom))
    return Number.of(-value if sign else value, is_percent=is_percent)
