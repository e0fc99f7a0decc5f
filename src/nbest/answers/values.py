"""What an answer can be: one record per type, without any rule about how it is written or compared.

`nbest.answers.reading` makes these from text, `nbest.answers.comparing` compares them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from mpmath import MPContext  # pyright: ignore[reportMissingTypeStubs]

ARITHMETIC: Any = MPContext()
"""Real and complex arithmetic with 50 digits, for everything that is not rational."""
ARITHMETIC.dps = 50


@dataclass(frozen=True, slots=True)
class Number:
    """A constant.

    `exact` is its value where the text states a rational number, None otherwise; `inexact` is then its value with 50
    digits (real or complex). `places` and `digits` are the decimal places and the significant digits that a decimal is
    written with (`places` is None for everything else): a decimal may stand for a rounded value. `is_percent`: the
    value is the number before a % sign.
    """

    exact: Fraction | None
    inexact: Any = None
    places: int | None = None
    digits: int = 0
    is_percent: bool = False

    @property
    def approximate(self) -> Any:
        """The value as a real or complex number of 50 digits."""
        if self.exact is None:
            return self.inexact
        return ARITHMETIC.mpf(self.exact.numerator) / self.exact.denominator


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measurement or a currency: powers of base dimensions, and its size in the base units."""

    dimensions: tuple[tuple[str, int], ...]
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the unit of measurement or the currency that the text names."""

    number: Number
    unit: Unit


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two or more numbers, `a : b : c`. `is_clock`: the text could also be a time of day."""

    terms: tuple[Number, ...]
    is_clock: bool = False


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day in minutes after midnight; of `2:00` without "am" or "pm" both are possible (two values)."""

    minutes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Date:
    """A calendar date."""

    year: int | None
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several values. `order`: a `tuple` is ordered, a `set` is not, and a `list` without brackets takes the order of
    what it is compared with. A `bracket` is what stands in square brackets: ordered, and never equal to its only item.
    """

    order: Literal["tuple", "set", "list", "bracket"]
    items: "tuple[Answer, ...]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of an interval; `value` is None at infinity."""

    value: Number | None
    is_open: bool


@dataclass(frozen=True, slots=True)
class Intervals:
    """A union of intervals of the real line, ordered, disjoint and not touching. Empty: the empty set."""

    parts: tuple[tuple[Endpoint, Endpoint], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of two or more rows and columns."""

    rows: "tuple[tuple[Answer, ...], ...]"


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression with symbols, as its values at fixed points.

    `values` are those where all symbols are positive, `signed` those where some are negative (() where it has none).
    `has_absolute`: it takes an absolute value, so that the sign of the symbols matters.
    """

    values: tuple[Any, ...]
    signed: tuple[Any, ...] = ()
    has_absolute: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """An equation (`=`), `!=` or inequality (`<`, `<=`): its left side minus its right side."""

    sign: Literal["=", "!=", "<", "<="]
    difference: Expression


@dataclass(frozen=True, slots=True)
class Named:
    """A value with the name before its equals sign: `x = 5`, `f(x) = x + 1`, `AB = 4`."""

    name: str
    value: "Answer"


@dataclass(frozen=True, slots=True)
class Claim:
    """A chain of arithmetic such as `320 + 120 = 440`, and the value it ends in; without readings if it is false."""

    form: str
    value: "Answer"


@dataclass(frozen=True, slots=True)
class Text:
    """Words, or anything that is compared as it is spelled."""

    form: str


@dataclass(frozen=True, slots=True)
class PythonLiteral:
    """A Python literal, compared with its type. `form` is its `repr` with the items of sets in order."""

    form: str


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of a multiple-choice answer."""

    letters: frozenset[str]


@dataclass(frozen=True, slots=True)
class Formula:
    """Mathematics that only math-verify reads. Formulas that can be equal share one of their `buckets`."""

    form: str
    buckets: tuple[str, ...]


Value: TypeAlias = (
    Number
    | Quantity
    | Ratio
    | Time
    | Date
    | Sequence
    | Intervals
    | Matrix
    | Expression
    | Relation
    | Named
    | Claim
    | Text
    | PythonLiteral
    | Letters
    | Formula
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a text. `note` names it where it is not the plain one ("decimal comma")."""

    value: Value
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A text, its normal form, and all its honest readings, the plainest first.

    `is_unread` is true where only math-verify can tell what the text is; `note` says why an answer was not read.
    """

    form: str
    readings: tuple[Reading, ...] = ()
    is_unread: bool = False
    note: str = ""


Read: TypeAlias = Callable[[str], Answer]
"""Reads one part of a form; `Answer.readings` is empty where it is no value."""

ERROR = ARITHMETIC.mpf(10) ** -32
"""The relative error that arithmetic with 50 digits may leave."""


def is_close(a: Any, b: Any) -> bool:
    """Return whether two numbers of 50 digits are one value, up to the error of the arithmetic."""
    scale = max(abs(a), abs(b))
    if min(abs(a), abs(b)) < ERROR:
        scale = max(scale, ARITHMETIC.mpf(1))  # the other one may be the zero that it should be
    return abs(a - b) <= ERROR * scale
