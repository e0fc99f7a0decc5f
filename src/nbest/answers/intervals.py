"""Intervals of the real line, their unions, intersections and complements, in one normal form."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from nbest.answers.values import ARITHMETIC as mp
from nbest.answers.values import Endpoint, Intervals, Number

Part: TypeAlias = tuple[Endpoint, Endpoint]

UNBOUNDED = Endpoint(None, is_open=True)
REALS = Intervals(((UNBOUNDED, UNBOUNDED),))
EMPTY = Intervals(())


def make_interval(low: Endpoint, high: Endpoint) -> Intervals | None:
    """Return one interval; None if its ends are not real numbers in order."""
    if not all(end.value is None or _is_real(end.value) for end in (low, high)):
        return None
    if low.value is not None and high.value is not None:
        left, right = _position(low.value), _position(high.value)
        if left > right or (left == right and (low.is_open or high.is_open)):
            return None
    return Intervals(((low, high),))


def make_point(number: Number) -> Intervals | None:
    """Return the interval that holds a single real number."""
    return make_interval(Endpoint(number, is_open=False), Endpoint(number, is_open=False))


def unite(sets: Iterable[Intervals]) -> Intervals:
    """Return the union, with parts that overlap or touch joined."""
    parts = sorted((part for intervals in sets for part in intervals.parts), key=_start)
    merged: list[Part] = []
    for low, high in parts:
        if merged and _touches(merged[-1][1], low):
            merged[-1] = (merged[-1][0], max(merged[-1][1], high, key=_end))
        else:
            merged.append((low, high))
    return Intervals(tuple(merged))


def intersect(sets: Sequence[Intervals]) -> Intervals:
    """Return the intersection."""
    parts = list(sets[0].parts)
    for other in sets[1:]:
        shared: list[Part] = []
        for first in parts:
            for second in other.parts:
                interval = make_interval(max(first[0], second[0], key=_start_of), min(first[1], second[1], key=_end))
                shared.extend(interval.parts if interval is not None else ())
        parts = shared
    return unite([Intervals(tuple(parts))])


def complement(intervals: Intervals) -> Intervals:
    """Return the real numbers that are not in a union of intervals."""
    gaps: list[Part] = []
    low: Endpoint | None = UNBOUNDED
    for start, end in intervals.parts:
        if start.value is not None and low is not None:
            made = make_interval(low, Endpoint(start.value, not start.is_open))
            gaps.extend(made.parts if made is not None else ())
        low = None if end.value is None else Endpoint(end.value, not end.is_open)
    if low is not None:
        gaps.append((low, UNBOUNDED))
    return Intervals(tuple(gaps))


def reflect(intervals: Intervals) -> Intervals:
    """Return the set of x with |x| in the intervals (their parts that are not negative, and the mirror of these)."""
    zero = Number(Fraction(0))
    positive = intersect([intervals, Intervals(((Endpoint(zero, is_open=False), UNBOUNDED),))])
    mirrored = [(_negate(high), _negate(low)) for low, high in positive.parts]
    return unite([positive, Intervals(tuple(mirrored))])


def _negate(end: Endpoint) -> Endpoint:
    if end.value is None:
        return end
    exact = end.value.exact
    value = Number(-exact) if exact is not None else Number(None, -end.value.inexact)
    return Endpoint(value, end.is_open)


def _is_real(number: Number) -> bool:
    return number.exact is not None or isinstance(number.inexact, mp.mpf) or mp.im(number.inexact) == 0


def _position(number: Number) -> Any:
    return mp.re(number.approximate)


def _start_of(end: Endpoint) -> tuple[Any, bool]:
    return (mp.ninf if end.value is None else _position(end.value), end.is_open)


def _start(part: Part) -> tuple[Any, bool]:
    return _start_of(part[0])


def _end(end: Endpoint) -> tuple[Any, bool]:
    return (mp.inf if end.value is None else _position(end.value), not end.is_open)


def _touches(end: Endpoint, start: Endpoint) -> bool:
    if end.value is None or start.value is None:
        return True
    left, right = _position(start.value), _position(end.value)
    return left < right or (left == right and not (end.is_open and start.is_open))
