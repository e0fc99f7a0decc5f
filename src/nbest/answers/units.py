"""Units of measurement and currencies: their spellings, their dimensions and their sizes.

Words that are no unit ("apples") are not in this table; they are labels, which never matter.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from nbest.answers.notation import CURRENCY
from nbest.answers.values import Unit

_TABLE: tuple[tuple[str, str, str], ...] = (
    # dimension, size in the base unit, spellings (a plural "s" is understood)
    ("length", "1", "m meter metre"),
    ("length", "1/1000", "mm millimeter millimetre"),
    ("length", "1/100", "cm centimeter centimetre"),
    ("length", "1/10", "dm decimeter decimetre"),
    ("length", "1000", "km kilometer kilometre"),
    ("length", "1/1000000", "micrometer micrometre micron"),
    ("length", "1/1000000000", "nm nanometer nanometre"),
    ("length", "0.0254", "inch inches in."),
    ("length", "0.3048", "ft foot feet ft."),
    ("length", "0.9144", "yd yard"),
    ("length", "1609.344", "mi mile"),
    ("mass", "1", "g gram gramme"),
    ("mass", "1/1000", "mg milligram"),
    ("mass", "1000", "kg kilogram kilo kgs"),
    ("mass", "1000000", "tonne"),
    ("mass", "453.59237", "lb lbs pound lb. lbs."),
    ("mass", "28.349523125", "oz ounce oz."),
    ("mass", "907184.74", "ton"),
    ("time", "1", "s sec second secs"),
    ("time", "1/1000", "ms millisecond"),
    ("time", "60", "min minute mins min."),
    ("time", "3600", "h hr hour hrs hr."),
    ("time", "86400", "day"),
    ("time", "604800", "week wk"),
    ("calendar", "1", "month mo"),
    ("calendar", "12", "year yr yrs"),
    ("calendar", "120", "decade"),
    ("calendar", "1200", "century centuries"),
    ("volume", "1", "l liter litre"),
    ("volume", "1/1000", "ml milliliter millilitre cc"),
    ("volume", "3.785411784", "gal gallon"),
    ("volume", "0.946352946", "qt quart"),
    ("volume", "0.473176473", "pt pint"),
    ("volume", "0.2365882365", "cup"),
    ("volume", "0.0147867647825", "tbsp tablespoon"),
    ("volume", "0.00492892159375", "tsp teaspoon"),
    ("area", "4046.8564224", "acre"),
    ("area", "10000", "ha hectare"),
    ("velocity", "0.44704", "mph"),
    ("velocity", "5/18", "kph kmh kmph"),
    ("temperature C", "1", "celsius °c"),
    ("temperature F", "1", "fahrenheit °f"),
    ("angle", "1", "degree deg ^\\circ ^{\\circ}"),
    ("angle in radians", "1", "radian rad"),
    ("energy", "1", "j joule"),
    ("energy", "1000", "kj kilojoule"),
    ("energy", "4184", "kcal"),
    ("energy", "3600000", "kwh kilowatt-hour"),
    ("power", "1", "w watt"),
    ("power", "1000", "kw kilowatt"),
    ("force", "1", "newton"),
    ("pressure", "1", "pa pascal"),
    ("pressure", "1000", "kpa"),
    ("frequency", "1", "hz hertz"),
    ("USD", "1", f"dollar buck usd us{CURRENCY} {CURRENCY}"),
    ("USD", "1/100", "cent ¢ c."),
    ("EUR", "1", "euro eur €"),
    ("GBP", "1", "gbp £ quid"),
    ("JPY", "1", "yen jpy ¥"),
    ("CNY", "1", "yuan rmb cny"),
    ("INR", "1", "rupee inr ₹ rs rs."),
    ("data", "1", "byte"),
    ("data", "1000", "kb kilobyte"),
    ("data", "1000000", "mb megabyte"),
    ("data", "1000000000", "gb gigabyte"),
)
_DERIVED: Mapping[str, tuple[tuple[tuple[str, int], ...], Fraction]] = {
    "volume": ((("length", 3),), Fraction(1, 1000)),
    "area": ((("length", 2),), Fraction(1)),
    "velocity": ((("length", 1), ("time", -1)), Fraction(1)),
}
_CASED = {"M": None, "K": None, "W": "w", "J": "j", "L": "l", "N": "newton", "Pa": "pa", "Hz": "hz"}


def _make_table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for dimension, size, spellings in _TABLE:
        dimensions, scale = _DERIVED.get(dimension, (((dimension, 1),), Fraction(1)))
        unit = Unit(dimensions, Fraction(size) * scale)
        for spelling in spellings.split():
            units[spelling] = unit
            if len(spelling) > 2 and spelling.isalpha():
                units.setdefault(spelling + "s", unit)
    return units


_UNITS = _make_table()
CURRENCIES = "".join(sign for sign in "¢€£¥₹") + CURRENCY
"""Signs that stand before or after an amount of money."""
_METRIC_TON = re.compile(r"\bmetric tons?\b", re.IGNORECASE)
_POWERS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}
_SUFFIX = re.compile(r"(.*?)\^?\{?([234])\}?|(.*)\^\{?(-[123])\}?")


@lru_cache(maxsize=10_000)
def find_unit(word: str) -> Unit | None:
    """Return the unit that a word or sign names, with an exponent (`cm^2`), or None."""
    if word in _CASED:
        word = _CASED[word] or ""
    unit = _UNITS.get(word) or (_UNITS.get(word.lower()) if len(word) > 1 else None)
    if unit is not None:
        return unit
    suffix = _SUFFIX.fullmatch(word)
    if suffix is None or not (suffix[1] or suffix[3]):
        return None
    base = _UNITS.get(suffix[1] or suffix[3])
    return None if base is None else _power(base, int(suffix[2] or suffix[4]))


def read_unit(text: str) -> tuple[Unit | None, str]:
    """Return the unit at the start of a text and the words after it; (None, text) if it names none.

    `square feet`, `m/s`, `miles per hour`, `dollars a week` are units; a denominator that is no unit ("per apple") is
    left to the words.
    """
    words = _METRIC_TON.sub("tonne", text).replace("/", " / ").split()
    unit, count = _take_unit(words)
    if unit is None:
        return None, text
    while len(words) > count + 1 and words[count] in ("/", "per", "a", "an", "each", "every"):
        divisor, taken = _take_unit(words[count + 1 :])
        if divisor is None:
            break
        unit, count = _multiply(unit, _power(divisor, -1)), count + 1 + taken
    return unit, " ".join(words[count:])


def _take_unit(words: list[str]) -> tuple[Unit | None, int]:
    if not words:
        return None, 0
    power = _POWERS.get(words[0].lower())
    if power is not None and len(words) > 1:
        base = find_unit(words[1].rstrip(",;"))
        return (None, 0) if base is None else (_power(base, power), 2)
    unit = find_unit(words[0].rstrip(",;")) or find_unit(words[0].rstrip(",;."))
    return unit, 1 if unit is not None else 0


def _power(unit: Unit, exponent: int) -> Unit:
    return Unit(tuple((name, power * exponent) for name, power in unit.dimensions), unit.factor**exponent)


def _multiply(first: Unit, second: Unit) -> Unit:
    powers = dict(first.dimensions)
    for name, power in second.dimensions:
        powers[name] = powers.get(name, 0) + power
    return Unit(tuple(sorted((name, power) for name, power in powers.items() if power)), first.factor * second.factor)
