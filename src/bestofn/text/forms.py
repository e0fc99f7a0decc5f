"""The normal form of an answer: one spelling for what is plainly the same, without any algebra.

`normal_form` drops wrappers (dollars, `\\boxed`, `**bold**`, `\\text`), spacing commands, trailing dots and the commas
of thousands. `read_number` reads plain integers, decimals, fractions and percentages exactly. All of it is string
work: nothing here evaluates an expression, and a text beyond `LONGEST_FORM` is left as it is.

This module does not know math-verify, problems or trajectories.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

LONGEST_FORM = 2_000
"""Characters of an answer beyond which it is compared as text only (a real final answer has a few dozen)."""

_LONGEST_NUMBER = 200
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"))
_WRAPPING_COMMAND = re.compile(r"_\{\w+\}|\\(?:boxed|fbox|text(?:bf|it|rm|normal)?|math(?:rm|bf)|mbox|emph)\s*\{")
_SYMBOLS = str.maketrans(
    {
        **dict.fromkeys("−–‒", "-"),
        **dict.fromkeys("×·", "*"),
        **dict.fromkeys("\u00a0\u202f\u2009", " "),
        **{"÷": "/", "²": "^2", "³": "^3", "°": r"^\circ", "’": "'", "π": r"\pi ", "∞": r"\infty ", "∪": r"\cup "},
        **{"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx "},
    }
)
_REPLACED = (
    (re.compile(r"\\(?:left|right|displaystyle|textstyle)(?![A-Za-z])"), ""),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"(?<=\d)(?:,\\!|\{,\}(?:\\!)?|\\!,) ?(?=\d)"), ","),
    (re.compile(r"(?<!\\)\\[!,;:> ]|\\q?quad(?![A-Za-z])|~"), " "),
    (re.compile(r"\\math(?:rm|bf|it)\{([A-Za-z])\}"), r"\1"),
    (re.compile(r"<=|\\leq(?![A-Za-z])"), r"\\le "),
    (re.compile(r">=|\\geq(?![A-Za-z])"), r"\\ge "),
    (re.compile(r"!=|\\neq(?![A-Za-z])"), r"\\ne "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\\$"), ""),
    (re.compile(r"(?<=[\d)]) ?\*\* ?(?=[\d(-])"), "^"),
    (re.compile(r"[^\S\n]+"), " "),
)
_SPECIAL_TOKEN = re.compile(r"(?<=\S)\s*<\|\w+\|>.*", re.DOTALL)
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z])")
_SQUARED_UNIT = re.compile(r"(?<=\d) ?([kcm]?m|ft|in)[²³]")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOINT = re.compile(r"[\s,;]*(?:(?:and|or)\s*)?")
_MONEY = re.compile(r"[$€£¥] ?([\d.,]*\d)|(\d[\d.,]*) ?[$€£¥]")
_TIGHT = re.compile(r" ?([-+*/^=<>(){}\[\];:|&]) ?| ?(,)(?! \d{3}(?!\d)) ?")
_LIST_WORD = re.compile(
    r",? ?(?:\\(?:text|mbox|textrm|mathrm) ?\{ ?(?:and|or) ?\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|(?<=\d)or(?=[A-Za-z]\()) ?"
)
_FRACTION_COMMAND = re.compile(r"_\{\w+\}|(-?)\\frac ?(?:\{(-?\d+)\}\{(-?\d+)\}|(\d) ?(\d))")
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
_NOT_UNITS = frozenset("no not or and more less is are be cannot can than at if none least most i e x y z".split())
_ASSIGNED = re.compile(r"\\?[A-Za-z]{1,7}(?:_(?:\w|\{\w+\}))?(?:\([A-Za-z0-9]\))?(?:=|\\approx ?)(?=[^=])")
_MATH_NAMES = frozenset(
    "sin cos tan cot sec csc log exp sqrt max min gcd lcm mod det arcsin arccos arctan sinh cosh tanh inf and frac".split()
)
_COMMAND = re.compile(r"_\{\w+\}|\\(?:begin|end)\{[a-z*]+\}(?:\{[clr|]+\})?|\\[A-Za-z]+")
_LETTERS = re.compile(r"[A-Za-z]{3,}")
_SENTENCE_END = re.compile(r".*(?:\bis|\bare|\bequals|'s) ?:? ?(?P<value>[^A-Za-z ].{0,60})$")


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
        """The value of a percentage: this number over `divisor`, without the % sign."""
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
    """Whether two numbers are one answer; symmetric.

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


def normal_form(answer: str) -> str:
    """One spelling of an answer; "" where nothing is left. Equal normal forms are equal answers, whatever they mean.

    Words are lower-cased (a single letter keeps its case), `and`/`or` between listed answers become commas, several
    formulas side by side become one list, a sentence that ends in "is <value>" becomes the value, and so does one
    whose only number is an amount of money. An answer longer than LONGEST_FORM is only stripped.
    """
    form = _SPECIAL_TOKEN.sub("", answer).strip()
    if len(form) > LONGEST_FORM:
        return form
    form = _SQUARED_UNIT.sub(r" \1", form).translate(_SYMBOLS)
    for pattern, replacement in _REPLACED:
        form = pattern.sub(replacement, form)
    if "\\begin" not in form:
        form = _ESCAPED_TWICE.sub(r"\\", form)
    form = _join_formulas(_unwrap(form))
    if _is_sentence(form):
        form = _read_sentence(form)
    if not has_delimiters(form):
        form = _tighten(" ".join(form.split()))
    form = form.strip(" ,;")
    return form.casefold() if is_text(form) and len(form) > 1 else form


def _tighten(form: str) -> str:
    if "<" not in form and ">" not in form and not _is_sentence(listed := _LIST_WORD.sub(",", form)):
        form = listed
    return form if _is_sentence(form) else _drop_repeated_name(_TIGHT.sub(r"\1\2", form))


def _drop_repeated_name(form: str) -> str:
    """`x=1,x=-2` as `1,-2`: every part names the same unknown."""
    parts = form.split(",")
    names = [_ASSIGNED.match(part) for part in parts]
    if len(parts) < 2 or len({name and name[0] for name in names}) != 1 or names[0] is None:
        return form
    return ",".join(part[len(names[0][0]) :] for part in parts)


def _join_formulas(form: str) -> str:
    """`$1$ and $2$` as `1,2`; anything else unchanged."""
    formulas = [next(group for group in match.groups() if group is not None) for match in _FORMULA.finditer(form)]
    if len(formulas) > 1 and all(_JOINT.fullmatch(rest) for rest in _FORMULA.sub("\0", form).split("\0")):
        return ", ".join(formula.strip() for formula in formulas)
    return form


def _read_sentence(form: str) -> str:
    sentence = _SENTENCE_END.match(form)
    if sentence is not None:
        return _unwrap(sentence["value"])
    money = _MONEY.search(form) if not has_delimiters(form) else None
    if money is not None and len(re.findall(r"\d[\d.,]*", form)) == 1:
        return (money[1] or money[2]).rstrip(".,")
    return form


def _unwrap(form: str) -> str:
    """Without the marks that enclose all of it, as often as there are any, and without trailing dots."""
    while True:
        inner = form.strip()
        while inner.endswith((".", ",", ";")) and not inner.endswith("\\,"):
            inner = inner[:-1].rstrip()
        for start, end in _WRAPPERS:
            middle = inner[len(start) : len(inner) - len(end)]
            if (
                len(inner) > len(start + end)
                and inner.startswith(start)
                and inner.endswith(end)
                and start not in middle
            ):
                inner = middle
        command = _WRAPPING_COMMAND.match(inner)
        closed = closing_brace(inner, command.end()) if command is not None else 0
        if command is not None and closed in (-1, len(inner) - 1):
            inner = inner[command.end() :] if closed == -1 else inner[command.end() : -1]
        elif inner.startswith("$") and "$" not in inner[1:]:
            inner = inner[1:]  # a currency sign
        elif inner.endswith("$") and "$" not in inner[:-1]:
            inner = inner[:-1]
        if inner == form:
            return form
        form = inner


def closing_brace(text: str, start: int) -> int:
    """Where the brace opened just before `start` is closed; -1 where it never is. Escaped braces do not count."""
    depth, position = 1, start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


def has_delimiters(form: str) -> bool:
    """Whether the form still holds marked mathematics between other words (`$21,16$ or $11$`)."""
    return form.count("$") > 1 or "\\(" in form or "\\[" in form or "\\boxed" in form


def _words(form: str) -> list[str]:
    """The plain words of a form; runs of capitals such as `ABCD` are points of a figure, not words."""
    runs = _LETTERS.findall(_COMMAND.sub(" ", form))
    return [run for run in runs if run.lower() not in _MATH_NAMES and (not run.isupper() or form.isalpha())]


def _is_sentence(form: str) -> bool:
    return " " in form and bool(_words(form)) and not _reads_as_number(form)


def is_text(form: str) -> bool:
    """Whether an answer is words, which are compared as they are spelled: `Evelyn`, `no solution`, `there is no way to
    make 24`. Mathematics between dollars makes it mathematics."""
    if has_delimiters(form) or _reads_as_number(form):
        return False
    return bool(_words(form)) or (form.isalpha() and len(form) == 2)


def is_claim(form: str) -> bool:
    """Whether an answer is a numeric identity such as `(6 - 4) * 12 = 24`: arithmetic with operators and no variable on
    the left side. By value every such claim would be its right side, so claims are compared by normal form only."""
    left, equals, right = form.partition("=")
    if not equals or not right or read_number(left) is not None:
        return False
    return any(c.isdigit() for c in left) and not re.search(
        r"[A-Za-z]", re.sub(r"\\(?:frac|times|cdot|div|sqrt)", "", left)
    )


def _reads_as_number(form: str) -> bool:
    return read_number(form) is not None


def read_number(form: str) -> Number | None:
    """The number that a normal form plainly is, with a unit or a leading `x =` dropped; None where it is anything else.

    Units are up to three words after the number; `$`, `%` and degrees are known. Numbers of more than 200 characters
    are not read. A decimal comma is read only where it cannot be a list (`0,5`, `1000,99`).
    """
    if len(form) > _LONGEST_NUMBER:
        return None
    assigned = _ASSIGNED.match(form)
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
    if unit is None or (unit[1] and (_NOT_UNITS & set(unit[1].lower().split()) or not _is_unit(rest, unit[1]))):
        return None
    return _read_bare(start[0].rstrip(" ,."), is_percent=False)


def _is_unit(rest: str, words: str) -> bool:
    """A single letter is a unit only after a space or in `\\text`: `5m` stays algebra."""
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
