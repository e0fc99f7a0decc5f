"""Plain data as text: how arguments and returned values cross between a program and whoever asks it.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, range, Decimal, Fraction, date, time,
datetime and timedelta keep their type; a subclass (a namedtuple, a Counter, an IntEnum) crosses as the plain type that
it compares as. Anything else is *opaque*: its type and, where one was kept, a number by which it can be passed back.

Standard library only: the process of a program loads this file by itself.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false

import datetime
import json
from decimal import Decimal
from fractions import Fraction

MAX_DEPTH = 100
_MOST_HEX_DIGITS = 200_000
_MOST_FRACTION_DIGITS = 20_000
"""A ratio is reduced in quadratic time."""
_MOST_FLOAT_CHARACTERS = 1_000
_MOST_KEYS = 1_000_000
_MOST_COLLISIONS = 100
"""How many keys of a set or dict may share their hash with a key, on average: each of them is compared with it."""


class Opaque:
    """A value that is no plain data. Equal to itself alone; `kind` is the name of its type.

    `number` names the object in the process of its program, -1 if it was not kept there.
    """

    __slots__ = ("kind", "number")

    def __init__(self, kind, number=-1):
        self.kind = kind
        self.number = number

    def __repr__(self):
        return f"<{self.kind} object>"


def encode_value(value, keep=None):
    """Return `value` as text. `keep` is called with an object that is no plain data and returns its number.

    Raises ValueError for data that is nested more than `MAX_DEPTH` deep, or that contains itself.
    """
    return json.dumps(_encode(value, keep, 0), ensure_ascii=True, separators=(",", ":"))


def decode_value(text, find=None):
    """Return the value of `encode_value`'s text; `find` returns the object of a number. Raises ValueError."""
    try:
        return _decode(json.loads(text), find, 0)
    except (RecursionError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise ValueError(f"not a value: {type(error).__name__}") from None


def _encode(value, keep, depth):
    if depth > MAX_DEPTH:
        raise ValueError(f"a value nested more than {MAX_DEPTH} deep, or containing itself")
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is Opaque:
        return ["o", value.kind, value.number]
    if isinstance(value, int):
        number = int.__int__(value)
        return number if -(2**53) < number < 2**53 else ["i", format(number, "x")]
    if isinstance(value, float):
        return ["f", float.__repr__(value)]
    if isinstance(value, str):
        return str.__str__(value)
    return _encode_compound(value, keep, depth)


def _encode_compound(value, keep, depth):
    for tag, kind in _SEQUENCES:
        if isinstance(value, kind):
            return [tag, [_encode(item, keep, depth + 1) for item in kind.__iter__(value)]]
    if isinstance(value, dict):
        items = dict.items(value)
        return ["d", [[_encode(key, keep, depth + 1), _encode(item, keep, depth + 1)] for key, item in items]]
    if isinstance(value, (bytes, bytearray)):
        return ["b", bytes(value).hex()]
    if isinstance(value, complex):
        return ["c", float.__repr__(value.real), float.__repr__(value.imag)]
    for tag, kind, write, _ in _SCALARS:
        if isinstance(value, kind):
            return [tag, write(value)]
    if isinstance(value, _VIEWS):
        return ["s", [_encode(item, keep, depth + 1) for item in value]]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist") and not getattr(value, "ndim", 1):
        return _encode(value.tolist(), keep, depth + 1)
    return ["o", type(value).__name__[:100], -1 if keep is None else keep(value)]


def _decode(item, find, depth):
    if depth > MAX_DEPTH + 1:
        raise ValueError("a value nested too deep")
    if not isinstance(item, list):
        if isinstance(item, (dict, float)):
            raise ValueError("not a value")
        return item
    tag = item[0]
    if tag == "i":
        return _read_integer(item[1], _MOST_HEX_DIGITS)
    if tag == "f":
        return _read_float(item[1])
    if tag == "d":
        keys = [_decode(key, find, depth + 1) for key, _ in item[1]]
        _check_keys(keys)
        return {key: _decode(pair[1], find, depth + 1) for key, pair in zip(keys, item[1], strict=True)}
    if tag == "b":
        return bytes.fromhex(item[1])
    if tag == "c":
        return complex(_read_float(item[1]), _read_float(item[2]))
    if tag == "o":
        return find(item[2]) if find is not None and item[2] >= 0 else Opaque(str(item[1]), int(item[2]))
    for name, kind in _SEQUENCES:
        if tag == name:
            items = [_decode(each, find, depth + 1) for each in item[1]]
            if tag in ("s", "z"):
                _check_keys(items)
            return items if kind is list else kind(items)
    for name, _, _, read in _SCALARS:
        if tag == name:
            return read(item[1])
    raise ValueError(f"not a value: {tag!r}")


def _read_integer(text, most_digits):
    if len(text) > most_digits:
        raise ValueError(f"a number that is longer than the {most_digits} allowed")
    return int(text, 16)


def _read_float(text):
    if len(text) > _MOST_FLOAT_CHARACTERS:
        raise ValueError(f"a number of more than {_MOST_FLOAT_CHARACTERS} characters")
    return float(text)


def _read_decimal(text):
    if len(text) > _MOST_HEX_DIGITS:
        raise ValueError(f"a number of more than {_MOST_HEX_DIGITS} digits")
    return Decimal(text)


def _check_keys(keys):
    """Refuse keys that take quadratic time: Python gives all multiples of 2**61 - 1 the same hash, for example."""
    if len(keys) > _MOST_KEYS:
        raise ValueError(f"more than {_MOST_KEYS} keys")
    if len(keys) <= _MOST_COLLISIONS:
        return
    counts = {}
    for key in keys:
        code = hash(key)
        counts[code] = counts.get(code, 0) + 1
    if sum(count * (count - 1) // 2 for count in counts.values()) > _MOST_COLLISIONS * len(keys):
        raise ValueError("not a value: too many keys of the same hash")


_SEQUENCES = (("l", list), ("t", tuple), ("s", set), ("z", frozenset))
_VIEWS = (type({}.keys()), type({}.items()))
_SCALARS = (
    ("r", range, lambda value: [value.start, value.stop, value.step], lambda parts: range(*map(int, parts))),
    ("D", Decimal, lambda value: Decimal.__str__(value), _read_decimal),
    (
        "F",
        Fraction,
        lambda value: [format(value.numerator, "x"), format(value.denominator, "x")],
        lambda parts: Fraction(*(_read_integer(part, _MOST_FRACTION_DIGITS) for part in parts[:2])),
    ),
    (
        "T",
        datetime.datetime,
        lambda value: datetime.datetime.isoformat(value),
        datetime.datetime.fromisoformat,
    ),
    ("A", datetime.date, lambda value: datetime.date.isoformat(value), datetime.date.fromisoformat),
    ("H", datetime.time, lambda value: datetime.time.isoformat(value), datetime.time.fromisoformat),
    (
        "E",
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*map(int, parts)),
    ),
)


def canonical_text(text):
    """Return the text of a value such that equal values (as Python's `==` sees plain data) have equal texts.

    1, 1.0, True, Decimal(1) and 1+0j are equal; sets and the items of a dict have no order. NaN equals NaN here, and an
    opaque value any other of its type, so that the behaviour of two programs can be compared. The same moment in two
    time zones has two texts.
    """
    return json.dumps(_canonical(json.loads(text)), ensure_ascii=True, separators=(",", ":"))


def _canonical(item):
    if isinstance(item, bool):
        return int(item)
    if not isinstance(item, list):
        return item
    tag = item[0]
    if tag in ("f", "D", "F", "c"):
        return _canonical_number(decode_value(json.dumps(item)))
    if tag in ("l", "t"):
        return [tag, [_canonical(each) for each in item[1]]]
    if tag in ("s", "z"):
        return ["s", sorted((_canonical(each) for each in item[1]), key=json.dumps)]
    if tag == "d":
        return ["d", sorted(([_canonical(key), _canonical(value)] for key, value in item[1]), key=json.dumps)]
    if tag == "r":
        values = range(*item[1])
        return ["r", len(values), values.start if values else 0, values.step if len(values) > 1 else 1]
    if tag == "o":
        return ["o", item[1]]
    return item


_MOST_DIGITS = 5_000
"""Decimal numbers with a larger exponent are not written as a ratio, which would take that many digits."""


def _canonical_number(value):
    if isinstance(value, complex):
        if value.imag:
            return ["c", _canonical_number(value.real), _canonical_number(value.imag)]
        value = value.real
    if isinstance(value, Decimal):
        if not value.is_finite():
            value = float("nan") if value.is_nan() else float(value)
        elif abs(value.adjusted()) > _MOST_DIGITS or abs(value.as_tuple().exponent) > _MOST_DIGITS:
            sign, digits, exponent = value.as_tuple()
            text = "".join(map(str, digits)).lstrip("0")
            return ["D", sign, text.rstrip("0"), exponent + len(text) - len(text.rstrip("0"))] if text else 0
    if isinstance(value, float) and value - value != 0:
        return ["f", repr(value)]
    top, bottom = value.as_integer_ratio()
    return _encode(top, None, 0) if bottom == 1 else ["F", [format(top, "x"), format(bottom, "x")]]
