"""When two answers are equal: one rule per type of value.

`find_equal` looks at every pair of readings of two answers, which `nbest.answers.reading` made. Everything is decided
here but formulas, which only math-verify can compare. The relation is symmetric; where it is not transitive,
docs/answers.md says so.
"""

from dataclasses import replace
from fractions import Fraction

from nbest.answers.amounts import scale
from nbest.answers.names import differ_in_index
from nbest.answers.values import ARITHMETIC as mp
from nbest.answers.values import (
    ERROR,
    Answer,
    Claim,
    Expression,
    Formula,
    Intervals,
    Matrix,
    Named,
    Number,
    Quantity,
    Ratio,
    Reading,
    Relation,
    Sequence,
    Time,
    Value,
    is_close,
)

_ROUNDED_PLACES = 4
"""Decimal places and significant digits from which on a decimal may stand for a rounded value."""
_FLOAT_DIGITS = 15
_FLOAT = mp.mpf(10) ** -12
_MOST_ITEMS = 200
_DEGREE = (("angle", 1),)


def find_equal(a: Answer, b: Answer) -> tuple[Reading, Reading] | None:
    """Return the first pair of readings that are equal; None if there is none. Formulas are never equal here."""
    for first in a.readings:
        for second in b.readings:
            if is_equal(first.value, second.value):
                return first, second
    return None


def _same(a: Answer, b: Answer) -> bool:
    return (a.form == b.form and bool(a.form) and not a.is_unread) or find_equal(a, b) is not None


def is_equal(a: Value, b: Value) -> bool:
    """Return whether two values are equal; see docs/answers.md for the rules."""
    if isinstance(a, (Named, Claim)) or isinstance(b, (Named, Claim)):
        return _equal_named(a, b)
    if isinstance(a, Number) and isinstance(b, Number):
        return equal_numbers(a, b)
    if isinstance(a, (Number, Quantity)) and isinstance(b, (Number, Quantity)):
        return _equal_quantities(a, b)
    if isinstance(a, Ratio) or isinstance(b, Ratio):
        return _equal_ratios(a, b)
    if isinstance(a, Time) or isinstance(b, Time):
        return _equal_times(a, b)
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        return _equal_sequences(a, b)
    if isinstance(a, Expression) and isinstance(b, Expression):
        return _equal_expressions(a, b)
    if isinstance(a, Relation) and isinstance(b, Relation):
        return _equal_relations(a, b)
    if isinstance(a, Intervals) and isinstance(b, Intervals):
        return _equal_intervals(a, b)
    if isinstance(a, Matrix) and isinstance(b, Matrix):
        return _equal_matrices(a, b)
    return type(a) is type(b) and not isinstance(a, Formula) and a == b


def _equal_named(a: Value, b: Value) -> bool:
    if isinstance(a, Claim) and isinstance(b, Claim):
        return a.form == b.form
    if isinstance(a, Named) and isinstance(b, Named):
        return a.name == b.name and _same(a.value, b.value)
    first = a.value if isinstance(a, (Named, Claim)) else Answer("", (Reading(a),))
    second = b.value if isinstance(b, (Named, Claim)) else Answer("", (Reading(b),))
    return _same(first, second)


def equal_numbers(a: Number, b: Number) -> bool:
    """Return whether two numbers are equal: by value, or as one written rounded; a percentage also as its fraction."""
    if a.is_percent != b.is_percent:
        percent, plain = (a, b) if a.is_percent else (b, a)
        plain_percent = replace(percent, is_percent=False)
        return _equal_values(plain_percent, plain) or _equal_values(_as_fraction(plain_percent), plain)
    return _equal_values(a, b)


def _as_fraction(percent: Number) -> Number:
    value = scale(percent, Fraction(1, 100))
    return replace(value, places=percent.places + 2, digits=percent.digits) if percent.places is not None else value


def _equal_values(a: Number, b: Number) -> bool:
    if a.exact is not None and b.exact is not None:
        if a.exact == b.exact:
            return True
        if a.places is None and b.places is None:
            return False
    elif is_close(a.approximate, b.approximate):
        return True
    return _is_rounding(a, b) or _is_rounding(b, a)


def _is_rounding(decimal: Number, other: Number) -> bool:
    """Return whether a decimal with enough places is a value rounded to them, or a floating-point print of it."""
    if decimal.places is None or decimal.exact is None:
        return False
    value = other.approximate
    if mp.im(value) != 0:
        return False
    difference = abs(decimal.approximate - mp.re(value))
    if decimal.digits >= _FLOAT_DIGITS and difference <= _FLOAT * abs(value):
        return True
    is_fine = decimal.places >= _ROUNDED_PLACES and decimal.digits >= _ROUNDED_PLACES
    return is_fine and difference * 2 * mp.mpf(10) ** decimal.places <= 1


def _equal_quantities(a: Number | Quantity, b: Number | Quantity) -> bool:
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        if a.unit.dimensions != b.unit.dimensions:
            return False
        if a.unit.factor == b.unit.factor:
            return equal_numbers(a.number, b.number)
        return equal_numbers(scale(a.number, a.unit.factor), scale(b.number, b.unit.factor))
    quantity, number = (a, b) if isinstance(a, Quantity) else (b, a)
    assert isinstance(quantity, Quantity)
    assert isinstance(number, Number)
    if equal_numbers(quantity.number, number):
        return True
    radians = Number(None, quantity.number.approximate * mp.pi / 180)
    return quantity.unit.dimensions == _DEGREE and not number.is_percent and _equal_values(radians, number)


def _equal_ratios(a: Value, b: Value) -> bool:
    if isinstance(a, Ratio) and isinstance(b, Ratio):
        if a.is_clock and b.is_clock:
            return False  # two times of day, which are compared as such
        pairs = zip(a.terms, b.terms, strict=True) if len(a.terms) == len(b.terms) else ()
        return bool(pairs) and all(
            is_close(x.approximate * b.terms[0].approximate, y.approximate * a.terms[0].approximate) for x, y in pairs
        )
    ratio, other = (a, b) if isinstance(a, Ratio) else (b, a)
    assert isinstance(ratio, Ratio)
    if not isinstance(other, Number) or other.is_percent or len(ratio.terms) != 2:
        return False
    return is_close(ratio.terms[0].approximate, other.approximate * ratio.terms[1].approximate)


def _equal_times(a: Value, b: Value) -> bool:
    if isinstance(a, Time) and isinstance(b, Time):
        return bool(set(a.minutes) & set(b.minutes))
    time, other = (a, b) if isinstance(a, Time) else (b, a)
    if not isinstance(time, Time) or not isinstance(other, Number) or len(time.minutes) != 1:
        return False
    hour, minute = divmod(time.minutes[0], 60)
    return (
        minute == 0 and not other.is_percent and other.exact is not None and other.exact in (hour, (hour - 1) % 12 + 1)
    )


def _equal_sequences(a: Sequence, b: Sequence) -> bool:
    kinds = {a.order, b.order}
    if "set" in kinds and kinds & {"tuple", "bracket"}:
        return False
    if kinds == {"tuple", "bracket"}:
        return False
    if kinds & {"tuple", "bracket"}:
        return _equal_in_order(a.items, b.items)
    first, second = _by_name(a), _by_name(b)
    if first is not None and second is not None:
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    if any(names is not None and not differ_in_index([*names]) for names in (first, second)):
        return _equal_in_order(_values(a), _values(b))
    return _equal_unordered(_values(a), _values(b))


def _equal_in_order(a: tuple[Answer, ...], b: tuple[Answer, ...]) -> bool:
    return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))


def _by_name(sequence: Sequence) -> dict[str, Answer] | None:
    """Return the values by name where every item has a name of its own, else None."""
    names: dict[str, Answer] = {}
    for item in sequence.items:
        value = item.readings[0].value if item.readings else None
        if not isinstance(value, Named) or value.name in names:
            return None
        names[value.name] = value.value
    return names


def _values(sequence: Sequence) -> tuple[Answer, ...]:
    return tuple(
        item.readings[0].value.value if item.readings and isinstance(item.readings[0].value, Named) else item
        for item in sequence.items
    )


def _equal_unordered(a: tuple[Answer, ...], b: tuple[Answer, ...]) -> bool:
    """Return whether two collections hold the same elements; repeated ones count once."""
    if max(len(a), len(b)) > _MOST_ITEMS:
        return _equal_in_order(a, b)
    first, second = _distinct(a), _distinct(b)
    if len(first) != len(second):
        return False
    candidates = list(second)
    for item in first:
        index = next((i for i, other in enumerate(candidates) if _same(item, other)), None)
        if index is None:
            return False
        candidates.pop(index)
    return True


def _distinct(items: tuple[Answer, ...]) -> list[Answer]:
    distinct: list[Answer] = []
    for item in items:
        if not any(_same(item, other) for other in distinct):
            distinct.append(item)
    return distinct


def _equal_expressions(a: Expression, b: Expression) -> bool:
    if not all(is_close(x, y) for x, y in zip(a.values, b.values, strict=True)):
        return False
    if not (a.has_absolute or b.has_absolute):
        return True
    return len(a.signed) == len(b.signed) > 0 and all(is_close(x, y) for x, y in zip(a.signed, b.signed, strict=True))


def _equal_relations(a: Relation, b: Relation) -> bool:
    """Return whether two relations have proportional sides; by a positive factor where they have a direction."""
    if a.sign != b.sign:
        return False
    first, second = a.difference, b.difference
    pairs = [*zip(first.values, second.values, strict=True)]
    if first.has_absolute or second.has_absolute:
        if not first.signed or not second.signed:
            return False
        pairs += zip(first.signed, second.signed, strict=True)
    if any(min(abs(x), abs(y)) < ERROR for x, y in pairs):
        return False  # an identity (`0 = 0`) says nothing: it is equal only as it is spelled
    factor = pairs[0][0] / pairs[0][1]
    if a.sign in ("<", "<=") and not (mp.im(factor) == 0 and mp.re(factor) > 0):
        return False
    return all(is_close(x, factor * y) for x, y in pairs)


def _equal_intervals(a: Intervals, b: Intervals) -> bool:
    return len(a.parts) == len(b.parts) and all(
        x.is_open == y.is_open
        and (x.value is None) == (y.value is None)
        and (x.value is None or y.value is None or equal_numbers(x.value, y.value))
        for first, second in zip(a.parts, b.parts, strict=True)
        for x, y in zip(first, second, strict=True)
    )


def _equal_matrices(a: Matrix, b: Matrix) -> bool:
    return len(a.rows) == len(b.rows) and all(_equal_in_order(x, y) for x, y in zip(a.rows, b.rows, strict=True))
