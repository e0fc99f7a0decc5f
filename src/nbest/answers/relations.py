"""Equations, chains, inequalities and unions: everything with a relation sign outside of brackets."""

import re

from nbest.answers.expressions import make_relation, read_constant
from nbest.answers.intervals import (
    UNBOUNDED,
    complement,
    intersect,
    make_interval,
    make_point,
    reflect,
    unite,
)
from nbest.answers.names import read_name
from nbest.answers.notation import split_top
from nbest.answers.units import CURRENCIES
from nbest.answers.values import Answer, Claim, Endpoint, Intervals, Named, Number, Read, Reading, Sequence

_SIGNS = re.compile(r"\\(?:le|ge|ne|approx|in|equiv|sim|iff|Rightarrow|implies)(?![A-Za-z])|[<>=]|:=")
_SPLITTING = re.compile(r" ?(?:\\(?:le|ge|ne|approx|in|to)(?![A-Za-z])|[<>]|(?<![:<>!])=(?!=)) ?")
_UNION = re.compile(r" ?\\(cup|cap|setminus|backslash)(?![A-Za-z]) ?")
_ABSOLUTE = re.compile(r"\|([A-Za-z])\|")
_CURRENCY = re.compile(f"[{CURRENCIES}]")
_ROUNDING = 0.005
"""The relative error up to which the sides of a calculation count as rounded values of one another."""
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
_OPERATION = re.compile(r"[-+*/^!]|\\(?:cdot|times|div)|(?<=\d) ?[xX] ?(?=\d)")
_ARITHMETIC = re.compile(rf"{_OPERATION.pattern}|\\(?:frac|sqrt)")
_SYMBOL = re.compile(r"\\(?:sin|cos|tan|log|ln|int|sum)|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_UNIT_LETTER = re.compile(r"(?<=\d) [mghsL](?![A-Za-z])|(?<=\d) ?[xX] ?(?=\d)")


def has_relation(form: str) -> bool:
    """Return whether a form holds a relation sign anywhere."""
    return _SIGNS.search(form) is not None


def read_union(form: str, read: Read) -> tuple[Reading, ...]:
    """Return the set that a form with `\\cup`, `\\cap` or `\\setminus` is; () if its parts are not sets."""
    parts = split_top(form, _UNION)
    if len(parts) < 2:
        return ()
    total: Intervals | None = None
    for operation, part in parts:
        intervals = _as_intervals(read(part))
        if intervals is None:
            return ()
        if total is None:
            total = intervals
        elif "cup" in operation:
            total = unite([total, intervals])
        elif "cap" in operation:
            total = intersect([total, intervals])
        else:
            total = intersect([total, complement(intervals)])
    return (Reading(total),) if total is not None else ()


def _as_intervals(answer: Answer) -> Intervals | None:
    for reading in answer.readings:
        value = reading.value
        if isinstance(value, Intervals):
            return value
        if isinstance(value, Named):
            return _as_intervals(value.value)
        if isinstance(value, Sequence) and value.order == "set":
            points = [make_point(number) for item in value.items for number in _numbers(item)]
            if len(points) == len(value.items) and None not in points:
                return unite([point for point in points if point is not None])
        if isinstance(value, Number):
            return make_point(value)
    return None


def _numbers(answer: Answer) -> list[Number]:
    return [reading.value for reading in answer.readings if isinstance(reading.value, Number)][:1]


def read_relation(form: str, read: Read) -> tuple[Reading, ...]:
    """Return the readings of a form with relation signs at its top level; () if there is none or it is not read."""
    parts = [(sign.strip(), part) for sign, part in split_top(form, _SPLITTING)]
    if len(parts) < 2:
        return ()
    parts = _without_approximations(parts)
    if len(parts) == 1:
        return read(parts[0][1]).readings
    signs = [sign for sign, _ in parts[1:]]
    sides = [part for _, part in parts]
    if set(signs) <= {"=", "\\approx"}:
        return _read_equality(sides, read)
    if signs in (["\\in"], ["\\to"]):
        name = read_name(sides[0])
        answer = read(sides[1])
        return (Reading(Named(name, answer)),) if name and answer.readings else answer.readings if name == "" else ()
    return _read_inequality(sides, signs, read)


def _without_approximations(parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parts before the first `\\approx` that follows a value; a name or nothing before it is dropped."""
    if not parts[0][1] and parts[1][0] in ("\\approx", "="):
        return parts[1:]
    for index, (sign, _) in enumerate(parts):
        if sign == "\\approx" and index > 0 and not (index == 1 and read_name(parts[0][1]) is not None):
            return parts[:index]
    return parts


def _read_equality(sides: list[str], read: Read) -> tuple[Reading, ...]:
    name, last = read_name(sides[0]), read(sides[-1])
    readings: list[Reading] = []
    if name is None and len(sides) == 2 and last.readings and read_name(sides[1]):
        value = read(sides[0])
        if any(isinstance(reading.value, (Number, Intervals)) for reading in value.readings):
            name, last = read_name(sides[1]), value
    if name == "":
        return last.readings
    if name is not None and last.readings:
        readings.append(Reading(Named(name, last)))
    elif _is_arithmetic(sides[:-1]) and last.readings:
        value = Answer("") if _is_false(sides) else last
        readings.append(Reading(Claim("=".join(_spell(side) for side in sides), value)))
    relation = make_relation("=", sides[0], sides[-1] if name is not None else sides[1])
    return (*readings, *relation)


def _is_false(sides: list[str]) -> bool:
    """Return whether a calculation is wrong by more than rounding; False where a side has no value of its own."""
    if not any(_OPERATION.search(side.lstrip("+-")) for side in sides):
        return False
    values = [read_constant(_CURRENCY.sub("", _spell(side))) for side in sides]
    numbers = [value.approximate for value in values if value is not None]
    if len(numbers) < len(sides):
        return False
    return any(abs(number - numbers[-1]) > _ROUNDING * abs(numbers[-1]) for number in numbers)


def _spell(side: str) -> str:
    """Return one spelling of a side of a claim: signs of operations are spelled in one way, without spaces."""
    plain = re.sub(r"\\(?:times|cdot|ast)(?![A-Za-z]) ?|(?<=\d) ?[xX] ?(?=\d)", "*", side)
    return re.sub(r"\s", "", re.sub(r"\\div(?![A-Za-z]) ?", "/", plain))


def _is_arithmetic(sides: list[str]) -> bool:
    """Return whether the sides before the last one are arithmetic with numbers, which may stand between words."""
    joined = "=".join(sides)
    if _SYMBOL.search(_UNIT_LETTER.sub(" ", joined)):
        return False
    return re.search(r"\d", sides[0]) is not None and (len(sides) > 1 or _ARITHMETIC.search(joined) is not None)


def _read_inequality(sides: list[str], signs: list[str], read: Read) -> tuple[Reading, ...]:
    if len(sides) == 2 and not sides[0]:
        bound = _bound(read(sides[1]), sides[1])
        half = None if bound is None else _half_line(signs[0], bound)
        return (Reading(half),) if half is not None else ()
    intervals = _chain_intervals(sides, signs, read)
    if intervals is not None:
        name, value = intervals
        return (Reading(Named(name, Answer("", (Reading(value),)))), *_relation_of(sides, signs))
    return _relation_of(sides, signs)


def _relation_of(sides: list[str], signs: list[str]) -> tuple[Reading, ...]:
    return make_relation(signs[0], sides[0], sides[1]) if len(sides) == 2 and signs[0] != "\\in" else ()


def _chain_intervals(sides: list[str], signs: list[str], read: Read) -> tuple[str, Intervals] | None:
    """Return the name and the set of `a < x \\le b` or of `x > a`; None for any other inequality."""
    middle = [i for i, side in enumerate(sides) if _variable(side) is not None]
    if len(middle) != 1 or len(sides) > 3 or (len(sides) == 3 and middle[0] != 1):
        return None
    index = middle[0]
    sets: list[Intervals] = []
    for other, sign in (
        (index - 1, signs[index - 1] if index else ""),
        (index + 1, signs[index] if index < len(signs) else ""),
    ):
        if not 0 <= other < len(sides):
            continue
        bound = _bound(read(sides[other]), sides[other])
        half = None if bound is None else _half_line(_FLIPPED.get(sign, sign) if other < index else sign, bound)
        if half is None:
            return None
        sets.append(half)
    name = _variable(sides[index])
    assert name is not None
    whole = intersect(sets)
    return (name.strip("|"), reflect(whole)) if _ABSOLUTE.fullmatch(sides[index]) else (name, whole)


def _variable(side: str) -> str | None:
    absolute = _ABSOLUTE.fullmatch(side)
    return absolute[1] if absolute is not None else (read_name(side) or None)


def _bound(answer: Answer, text: str) -> Endpoint | None:
    if "\\infty" in text:
        return UNBOUNDED
    numbers = _numbers(answer)
    return Endpoint(numbers[0], is_open=False) if numbers else None


def _half_line(sign: str, bound: Endpoint) -> Intervals | None:
    """Return the numbers x with `x sign bound`."""
    if bound.value is None:
        return make_interval(UNBOUNDED, UNBOUNDED)
    if sign == "\\ne":
        point = make_point(bound.value)
        return None if point is None else complement(point)
    end = Endpoint(bound.value, is_open=sign in ("<", ">"))
    if sign in ("<", "\\le"):
        return make_interval(UNBOUNDED, end)
    if sign in (">", "\\ge"):
        return make_interval(end, UNBOUNDED)
    return None


def combine_inequalities(answers: list[Answer], is_union: bool) -> tuple[Reading, ...]:
    """Return the set that inequalities joined by "or" (the union) or "and" (the intersection) describe."""
    sets: list[Intervals] = []
    names: set[str] = set()
    for answer in answers:
        value = next((r.value for r in answer.readings if isinstance(r.value, Named)), None)
        inner = next((r.value for r in value.value.readings), None) if value is not None else None
        if value is None or not isinstance(inner, Intervals):
            return ()
        sets.append(inner)
        names.add(value.name)
    if len(names) != 1:
        return ()
    whole = unite(sets) if is_union else intersect(sets)
    return (Reading(Named(names.pop(), Answer("", (Reading(whole),)))),)
