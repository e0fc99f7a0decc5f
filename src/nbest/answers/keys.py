"""Keys under which equal answers meet, so that a pool is clustered without comparing every pair.

Two answers that are equal share a key of `home_keys` of the one and `lookup_keys` of the other. Answers that share a
key may still differ.
"""

import math
from collections.abc import Iterable

from nbest.answers.values import ARITHMETIC as mp
from nbest.answers.values import (
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
    Relation,
    Sequence,
    Time,
    Value,
)

_ZERO = mp.mpf(10) ** -30
_FORMULA = "formula"
_READABLE = "mathematics"


def home_keys(answer: Answer) -> set[str]:
    """Return the keys under which an answer is stored."""
    return {key for reading in answer.readings for key in _keys(reading.value, is_lookup=False)}


def lookup_keys(answer: Answer) -> set[str]:
    """Return the keys under which an answer looks for its equals."""
    return {key for reading in answer.readings for key in _keys(reading.value, is_lookup=True)}


def _keys(value: Value, is_lookup: bool) -> Iterable[str]:
    match value:
        case Number():
            yield from _cells(value.approximate, is_lookup)
            if value.is_percent:
                yield from _cells(value.approximate / 100, is_lookup)
        case Quantity():
            yield from _keys(value.number, is_lookup)
            in_base_units = value.number.approximate * value.unit.factor.numerator / value.unit.factor.denominator
            yield from (f"{value.unit.dimensions} {cell}" for cell in _cells(in_base_units, is_lookup))
            yield from _cells(value.number.approximate * mp.pi / 180, is_lookup)
        case Ratio():
            first, last = value.terms[0].approximate, value.terms[-1].approximate
            yield from _cells(first / last, is_lookup) if last != 0 else ("ratio",)
        case Time():
            yield from (f"time {minute}" for minute in value.minutes)
            for minute in value.minutes:
                yield from _cells(mp.mpf(minute // 60), is_lookup)
                yield from _cells(mp.mpf((minute // 60 - 1) % 12 + 1), is_lookup)
        case Named() | Claim():
            if isinstance(value, Claim):
                yield f"claim {value.form}"  # a false calculation has no value
            yield from (key for reading in value.value.readings for key in _keys(reading.value, is_lookup))
        case _:
            yield from _structure_keys(value, is_lookup)


def _structure_keys(value: Value, is_lookup: bool) -> Iterable[str]:
    match value:
        case Sequence():
            yield "sequence"
        case Intervals():
            yield f"intervals {len(value.parts)}"
        case Matrix():
            yield f"matrix {len(value.rows)}x{len(value.rows[0])}"
        case Expression():
            yield from (f"expression {cell}" for cell in _cells(value.values[0], is_lookup))
        case Relation():
            yield f"relation {value.sign}"
        case Formula():
            yield _FORMULA
            if is_lookup:
                yield _READABLE
            return
        case _:
            yield repr(value)
            return
    if not is_lookup:
        yield _READABLE  # what a formula could be equal to


def _cells(value: object, is_lookup: bool) -> Iterable[str]:
    """Return the cell of a grid with 90 cells per power of ten that holds a number, and for a lookup its neighbours."""
    size, sign = abs(value), ""  # type: ignore[arg-type]
    if size < _ZERO:
        return ("0",)
    if mp.im(value) == 0:
        sign = "-" if mp.re(value) < 0 else ""
    logarithm = float(mp.log(size, 10))
    steps = (logarithm,) if not is_lookup else (logarithm - 0.0006, logarithm, logarithm + 0.0006)
    return tuple({f"{sign}{math.floor(step)}:{math.floor(10 ** (step - math.floor(step)) * 10)}" for step in steps})
