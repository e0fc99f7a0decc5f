"""Numbers as answers write them: digits in every usual notation, and English words.

`read_number` returns every honest reading of a text that is a number and nothing else. This module does not know units,
expressions or how numbers are compared.
"""

import re
from fractions import Fraction

from nbest.answers.values import Number, Reading

LONGEST_NUMBER = 200
_LARGEST_EXPONENT = 5_000
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_THOUSANDS = re.compile(
    r"[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+|(?:'\d{3})+)(?:\.\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?"
)
_EUROPEAN = re.compile(r"(\d{1,3}(?:\.\d{3})+),(\d+)|([1-9]\d{0,2}(?:\.\d{3}){2,})|(\d{1,3}(?: \d{3})+),(\d+)")
_DECIMAL_COMMA = re.compile(r"(\d+),(\d+)")
_SCIENTIFIC = re.compile(r"(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?\d{1,6})")
_MIXED = re.compile(r"(\d+)(?: and | & | )(?:a )?(?:(\d+)/(\d+)|\\frac\{(\d+)\}\{(\d+)\}|\\frac(\d)(\d))")
_AND_A_HALF = re.compile(r"(\d+) (?:and )?(?:a|one) (half|quarter|third)")
_REPEATING = re.compile(r"(\d*)\.(\d*)(?:\\(?:overline|bar|dot)(?:\{(\d+)\}|(\d))|\((\d+)\))")
_DOTS = re.compile(r"(\d*)\.(\d*?)((\d+?)\4{2,})(?:\.{3}|\\ldots ?)")
_BASE = re.compile(r"\(?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?)\)?(?:_(?:\{ ?(\w+) ?\}|(\d))| ?\(?(?:in )?base[- ](\w+)\)?)")
_SIGN_WORD = re.compile(r"(?:minus|negative) (?=[A-Za-z\d])", re.IGNORECASE)

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "mn": 10**6, "bn": 10**9,
}  # fmt: skip
"""What a number is multiplied by where one of these words follows it."""
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip


def read_number(text: str) -> tuple[Reading, ...]:
    """Return the honest readings of a normal form that is a number; () if it is anything else.

    `1,22` and `0,5` are read with a decimal comma, `1,234` and `1 234` with separators of thousands. Numbers of more
    than LONGEST_NUMBER characters are not read.
    """
    if len(text) > LONGEST_NUMBER:
        return ()
    word = _SIGN_WORD.match(text)
    body = text[word.end() :] if word is not None else text[1:].lstrip(" ") if text[:1] in ("-", "+") else text
    if not body:
        return ()
    factor = -1 if word is not None or text[0] == "-" else 1
    reading = _read_digits(body, factor) or _read_special(body, factor)
    if reading is not None:
        return (reading,)
    value = read_words(body.lower()) if body[0].isalpha() else None
    return (Reading(Number(factor * value)),) if value is not None else ()


def _read_digits(body: str, factor: int) -> Reading | None:
    if _PLAIN.fullmatch(body):
        return Reading(_decimal(body.rstrip("."), factor))
    if _THOUSANDS.fullmatch(body):
        return Reading(_decimal(re.sub("[, ']", "", body), factor))
    european = _EUROPEAN.fullmatch(body)
    if european is not None:
        whole = re.sub("[. ]", "", european[1] or european[3] or european[4])
        decimals = european[2] or european[5]
        return Reading(_decimal(f"{whole}.{decimals}" if decimals else whole, factor), "European separators")
    comma = _DECIMAL_COMMA.fullmatch(body)
    if comma is not None:
        return Reading(_decimal(f"{comma[1]}.{comma[2]}", factor), "decimal comma")
    return None


def _decimal(body: str, factor: int) -> Number:
    whole, _, decimals = body.partition(".")
    digits = len((whole + decimals).lstrip("0"))
    return Number(factor * Fraction(body), places=len(decimals) if decimals else None, digits=digits)


def _read_special(body: str, factor: int) -> Reading | None:
    scientific = _SCIENTIFIC.fullmatch(body)
    if scientific is not None and abs(int(scientific[2])) <= _LARGEST_EXPONENT:
        mantissa, exponent = _decimal(scientific[1].rstrip("."), factor), int(scientific[2])
        places = max(0, (mantissa.places or 0) - exponent) or None
        assert mantissa.exact is not None
        return Reading(Number(mantissa.exact * Fraction(10) ** exponent, places=places, digits=mantissa.digits))
    mixed = _MIXED.fullmatch(body)
    if mixed is not None:
        top, bottom = (int(part) for part in mixed.groups()[1:] if part is not None)
        return Reading(Number(factor * (int(mixed[1]) + Fraction(top, bottom)))) if 0 < top < bottom else None
    half = _AND_A_HALF.fullmatch(body)
    if half is not None:
        return Reading(Number(factor * (int(half[1]) + Fraction(1, _PARTS[half[2]]))))
    repeating = _REPEATING.fullmatch(body)
    if repeating is not None:
        period = repeating[3] or repeating[4] or repeating[5]
        return Reading(Number(factor * _repeat(repeating[1], repeating[2], period)))
    dots = _DOTS.fullmatch(body)
    if dots is not None:
        return Reading(Number(factor * _repeat(dots[1], dots[2], dots[4])), "repeating decimal")
    return _read_base(body, factor)


def _repeat(whole: str, fixed: str, period: str) -> Fraction:
    """Return the value of `whole.fixed period period ...`."""
    scale = 10 ** len(fixed)
    return Fraction(int(whole + fixed or "0"), scale) + Fraction(int(period), scale * (10 ** len(period) - 1))


def _read_base(body: str, factor: int) -> Reading | None:
    match = _BASE.fullmatch(body)
    if match is None:
        return None
    name = (match[2] or match[3] or match[4]).lower()
    base = int(name) if name.isdecimal() else _SMALL.get(name, 0)
    whole, _, places = match[1].partition(".")
    if not 2 <= base <= 36:
        return None
    try:
        value = Fraction(int(whole, base)) + (Fraction(int(places, base), base ** len(places)) if places else 0)
    except ValueError:
        return None  # a digit that this base does not have
    return Reading(Number(factor * value), "" if base == 10 else f"base {base}")


def read_words(text: str) -> Fraction | None:
    """Return the number that lower-case English words state (`twenty-one`, `three quarters`, `a dozen`), or None."""
    words = [word for word in re.split(r"[\s-]+", text) if word != "and"]
    if not words or len(words) > 12:
        return None
    if words[-1] in ("half", "quarter") and len(words) > 2 and words[-2] in ("a", "one"):
        whole = _whole_words(words[:-2])
        return None if whole is None else whole + Fraction(1, _PARTS[words[-1]])
    part = words[-1].removesuffix("s") if words[-1] != "halves" else "halves"
    if part in _PARTS and len(words) > 1:
        top = _whole_words(words[:-1])
        return None if top is None else Fraction(top, _PARTS[part])
    value = _whole_words(words)
    return None if value is None else Fraction(value)


def _whole_words(words: list[str]) -> int | None:
    total, current = 0, None
    for index, word in enumerate(words):
        if word in ("a", "an", "one") and current is None:
            current = 1
        elif word in _SMALL and (
            current is None or current % 100 == 0 or (_is_tens(current) and 0 < _SMALL[word] < 10)
        ):
            current = (current or 0) + _SMALL[word]
        elif word in SCALES and current is not None and index > 0:
            if word in ("hundred", "dozen"):
                current *= SCALES[word]
            else:
                total, current = total + current * SCALES[word], 0
        else:
            return None
    return None if current is None or words in (["a"], ["an"]) else total + current


_RUN = re.compile(
    rf"(?<![\w-])(?:{'|'.join(sorted([*_SMALL, *SCALES], key=len, reverse=True))})"
    rf"(?:[ -](?:and )?(?:{'|'.join(sorted([*_SMALL, *SCALES], key=len, reverse=True))}))*(?![\w-])",
    re.IGNORECASE,
)


def replace_words(text: str) -> str:
    """Return a text with the numbers that are written as words in digits; `one` alone is a pronoun and stays."""

    def digits(match: re.Match[str]) -> str:
        value = read_words(match[0].lower())
        is_plain = value is not None and value.denominator == 1 and match[0].lower() not in ("one", "zero")
        return str(value) if is_plain else match[0]

    return _RUN.sub(digits, text)


def _is_tens(value: int) -> bool:
    return value % 100 >= 20 and value % 10 == 0
