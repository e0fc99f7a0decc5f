"""Amounts: percentages, money, quantities with units, compound quantities, and numbers with a label.

`read_amount` reads a text that begins with a number (or a currency sign) and goes on with words. This module does not
know sentences, lists or how amounts are compared.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from nbest.answers.numbers import SCALES, read_number
from nbest.answers.units import CURRENCIES, find_unit, read_unit
from nbest.answers.values import Number, Quantity, Reading, Unit

_WHOLE = r"\d[\d,.']*(?: \d{3}(?!\d)[\d,.]*)*|\.\d+"
_FRACTION = r"\\frac ?(?:\{-?\d+\}\{-?\d+\}|\d\d)"
_NUMBER_TEXT = re.compile(
    rf"(?:{_WHOLE})(?:[eE][+-]?\d{{1,4}}(?![A-Za-z]))?(?: ?\(?\\(?:overline|bar)\{{\d+\}}\)?)?"
    rf"(?:(?: and | | & )?(?:\d+/\d+(?!\d)|{_FRACTION})|/\d+(?![\d/]))?|{_FRACTION}"
)
_SIGN = re.compile(r"(?:[-+]|(?:minus|negative) )?")
_PERCENT = re.compile(r" ?(?:%|percent(?:age)?\b|pct\b|per cent\b)(?: points?\b)?", re.IGNORECASE)
_SCALE = re.compile(rf" ?((?i:{'|'.join(SCALES)})s?\b|(?<=\d)[kKM](?![A-Za-z]))")
_DEGREES = re.compile(r" ?\^ ?\{? ?\\circ ?\}? ?(?:([CF])(?:elsius|ahrenheit)?\b)?")
_CURRENCY_BEFORE = re.compile(rf"(?:US|us|U\.S\.)?([{re.escape(CURRENCIES)}])|(?:Rs\.?|USD|EUR|GBP)(?= ?\d)")
_JOINT = re.compile(r"(?:,? ?and |, ?|)(?=[\d.\uff04])")
_LABEL = re.compile(r"[\s,.;:!?'\"()/&A-Za-z\u00c0-\u024f-]*")
CHANGING_WORDS = re.compile(
    r"\b(?:squared|cubed|times|multiplied|divided|plus|minus|factorial|power|root|thirds?|quarters?|"
    r"hal(?:f|ves)|fourths?|fifths?|or|nor|not|no|modulo|mod|raised|point)\b|\b[xyz]\b",
    re.IGNORECASE,
)
"""Words after a number that make it another number, a comparison or a list."""
_REMARK = re.compile(r"\([^()]*\)")
_HARMLESS = re.compile(r"\b(?:times (?:as|more|faster|larger|bigger|older|taller|heavier)|minus sign)\b", re.IGNORECASE)


def read_amount(text: str, read_constant: Callable[[str], Number | None] | None = None) -> tuple[Reading, ...]:
    """Return the readings of an amount that is all of the text; () if the text is anything else.

    `read_constant` reads the constants before a unit that are no plain numbers (`12\\pi cm`).
    """
    sign_match = _SIGN.match(text)
    sign = -1 if sign_match is not None and sign_match[0] not in ("", "+") else 1
    body = text[sign_match.end() :].lstrip() if sign_match is not None else text
    currency = _CURRENCY_BEFORE.match(body)
    unit = find_unit(currency[1] if currency[1] else currency[0].rstrip(".")) if currency is not None else None
    if currency is not None:
        body = body[currency.end() :].lstrip()
        if body.startswith("-") and sign == 1:
            sign, body = -1, body[1:].lstrip()
    length = _NUMBER_TEXT.match(body)
    if length is None:
        return _read_constant_amount(text, read_constant)
    number_text = length[0].rstrip(" ,.'")
    numbers = read_number(number_text) or _fraction(number_text)
    rest = body[len(number_text) :]
    readings = [
        Reading(value, reading.note or note)
        for reading in numbers
        if isinstance(reading.value, Number)
        for value, note in _finish(_negate(reading.value, sign), unit, rest)
    ]
    return tuple(readings) or _read_constant_amount(text, read_constant)


def _fraction(text: str) -> tuple[Reading, ...]:
    match = re.fullmatch(r"(-?[\d,.]+)/(\d+)|\\frac ?(?:\{(-?\d+)\}\{(-?\d+)\}|(\d)(\d))", text)
    if match is None:
        return ()
    top, bottom = (part for part in match.groups() if part is not None)
    tops = read_number(top)
    value = tops[0].value if tops else None
    if not isinstance(value, Number) or value.exact is None or int(bottom) == 0:
        return ()
    return (Reading(Number(value.exact / int(bottom))),)


def _negate(number: Number, sign: int) -> Number:
    return number if sign == 1 or number.exact is None else replace(number, exact=-number.exact)


def scale(number: Number, factor: int | Fraction) -> Number:
    """Return a number times a rational factor."""
    if number.exact is not None:
        return Number(number.exact * factor, is_percent=number.is_percent)
    factor = Fraction(factor)
    return Number(None, number.inexact * factor.numerator / factor.denominator, is_percent=number.is_percent)


def _finish(number: Number, unit: Unit | None, rest: str) -> list[tuple[Number | Quantity, str]]:
    """Return the values of a number with what follows it."""
    scaled = _SCALE.match(rest)
    while scaled is not None:
        word = scaled[1]
        number = scale(number, SCALES.get(word.lower().removesuffix("s")) or (10**6 if word == "M" else 10**3))
        rest = rest[scaled.end() :]
        scaled = _SCALE.match(rest)
    percent = _PERCENT.match(rest)
    if percent is not None and unit is None:
        return [(replace(number, is_percent=True), "")] if is_label(rest[percent.end() :]) else []
    degrees = _DEGREES.match(rest)
    if degrees is not None and unit is None:
        unit = find_unit("°" + degrees[1].lower() if degrees[1] else "degree")
        rest = rest[degrees.end() :]
    elif unit is None:
        unit, rest = _unit_after(rest)
    if unit is None:
        return [(number, "")] if is_label(rest) else []
    return _compound(number, unit, rest)


def _unit_after(rest: str) -> tuple[Unit | None, str]:
    sign = re.match(rf" ?([{re.escape(CURRENCIES)}])", rest)
    if sign is not None:
        return find_unit(sign[1]), rest[sign.end() :]
    if re.match(r"[A-Za-z](?![A-Za-z])", rest):
        return None, rest  # `5m` is a product
    unit, words = read_unit(rest.strip())
    return (None, rest) if unit is None else (unit, " " + words if words else "")


def _compound(number: Number, unit: Unit, rest: str) -> list[tuple[Number | Quantity, str]]:
    """Return `1 hour 30 minutes` as one quantity in the first unit."""
    if is_label(rest):
        return [(Quantity(number, unit), "")]
    joint = _JOINT.match(rest.strip())
    if joint is None:
        return []
    for reading in read_amount(rest.strip()[joint.end() :]):
        part = reading.value
        if not isinstance(part, Quantity) or part.unit.dimensions != unit.dimensions or part.unit.factor >= unit.factor:
            continue
        size = scale(part.number, part.unit.factor / unit.factor).exact
        if number.exact is not None and size is not None:
            total = number.exact + (size if number.exact >= 0 else -size)
            return [(Quantity(Number(total), unit), "compound quantity")]
    return []


def _read_constant_amount(text: str, read_constant: Callable[[str], Number | None] | None) -> tuple[Reading, ...]:
    """Return the readings of `12\\pi cm`: the shortest beginning that is a constant, with words behind it."""
    if read_constant is None:
        return ()
    for space in re.finditer(r"\s+(?=[A-Za-z%]{2}|[A-Za-z%](?![A-Za-z]))", text):
        rest = text[space.start() :]
        words = re.match(r"\s+([A-Za-z]+|%)", rest)
        if words is None or (len(words[1]) == 1 and find_unit(words[1]) is None and words[1] != "%"):
            continue
        number = read_constant(text[: space.start()].strip())
        if number is not None:
            return tuple(Reading(value, note) for value, note in _finish(number, None, rest))
    return ()


def is_label(words: str) -> bool:
    """Return whether the words after a number change nothing: no digits, no mathematics, no words that make it another
    number."""
    if not words.strip():
        return True
    if words[0].isalpha() or words[0] == "!":
        return False
    if not _LABEL.fullmatch(words):
        return False
    return CHANGING_WORDS.search(_HARMLESS.sub("", _REMARK.sub(" ", words))) is None
