"""The normal form of an answer: one spelling for what is plainly the same, without any algebra.

`normal_form` drops wrappers (dollars, `\\boxed`, `**bold**`, `\\text`), spacing commands, trailing dots and the commas
of thousands. It is string work: nothing here evaluates an expression, and a text beyond `LONGEST_FORM` is left alone.

This module does not know math-verify, problems or trajectories.
"""

import re
from functools import lru_cache

from nbest.text.numbers import NAMED, read_number

LONGEST_FORM = 2_000
"""Characters of an answer beyond which it is compared as text only (a real final answer has a few dozen)."""

_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"))
_WRAPPING_COMMAND = re.compile(r"\\(?:boxed|fbox|text(?:bf|it|rm|normal)?|math(?:rm|bf)|mbox|emph)\s*\{")
_SYMBOLS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2012", "-"),  # minus sign and dashes
        **dict.fromkeys("\u00d7\u00b7", "*"),  # multiplication sign, middle dot
        **dict.fromkeys("\u00a0\u202f\u2009", " "),  # spaces that do not break
        "\u00f7": "/",
        "\u2019": "'",
        "\u00b2": "^2",
        "\u00b3": "^3",
        "\u00b0": r"^\circ",
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u222a": r"\cup ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2260": r"\ne ",
        "\u2248": r"\approx ",
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
_COMMAND = re.compile(r"_\{\w+\}|\\(?:begin|end)\{[a-z*]+\}(?:\{[clr|]+\})?|\\[A-Za-z]+")
_SQUARED_UNIT = re.compile(r"(?<=\d) ?([kcm]?m|ft|in)[\u00b2\u00b3]")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOINT = re.compile(r"[\s,;]*(?:(?:and|or)\s*)?")
_MONEY = re.compile(r"[$€£¥] ?([\d.,]*\d)|(\d[\d.,]*) ?[$€£¥]")
_TIGHT = re.compile(r" ?([-+*/^=<>(){}\[\];:|&]) ?| ?(,)(?! \d{3}(?!\d)) ?")
_LIST_WORD = re.compile(
    r",? ?(?:\\(?:text|mbox|textrm|mathrm) ?\{ ?(?:and|or) ?\}"
    r"|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|(?<=\d)or(?=[A-Za-z]\()) ?"
)
_MATH_NAME = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|exp|sqrt|max|min|gcd|lcm|mod|det|inf|and|frac", re.IGNORECASE
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]{3,}")
_DENIAL = re.compile(r"\b(?:no|none|cannot|impossible|nothing)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r".*(?:\bis|\bare|\bequals|'s) ?:? ?(?P<value>[^A-Za-z ].{0,60})$")


@lru_cache(maxsize=100_000)
def normal_form(answer: str) -> str:
    """Return one spelling of an answer; "" if nothing remains. Equal normal forms are equal answers.

    Words are lower-cased (a single letter keeps its case), `and`/`or` between listed answers become commas, several
    formulas side by side become one list, a sentence that ends in "is <value>" becomes the value, and so does one
    whose only number is an amount of money, unless it denies something. An answer longer than LONGEST_FORM is only
    stripped.
    """
    form = answer.strip()
    if len(form) > LONGEST_FORM or form.isdecimal():
        return form
    form = _SPECIAL_TOKEN.sub("", form)
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
    if not form.strip("$*_`. "):
        return ""
    return form.casefold() if is_text(form) and len(form) > 1 else form


def _tighten(form: str) -> str:
    if "<" not in form and ">" not in form and not _is_sentence(listed := _LIST_WORD.sub(",", form)):
        form = listed
    return form if _is_sentence(form) else _drop_repeated_name(_TIGHT.sub(r"\1\2", form))


def _drop_repeated_name(form: str) -> str:
    """Return `1,-2` for `x=1,x=-2`, if every part names the same unknown."""
    parts = form.split(",")
    names = [NAMED.match(part) for part in parts]
    if len(parts) < 2 or len({name and name[0] for name in names}) != 1 or names[0] is None:
        return form
    return ",".join(part[len(names[0][0]) :] for part in parts)


def _join_formulas(form: str) -> str:
    """Return `1, 2` for `$1$ and $2$`; any other form unchanged."""
    formulas = [next(group for group in match.groups() if group is not None) for match in _FORMULA.finditer(form)]
    if len(formulas) > 1 and all(_JOINT.fullmatch(rest) for rest in _FORMULA.sub("\0", form).split("\0")):
        return ", ".join(formula.strip() for formula in formulas)
    return form


def _read_sentence(form: str) -> str:
    sentence = _SENTENCE_END.match(form)
    if _DENIAL.search(form):
        return form
    if sentence is not None:
        return _unwrap(sentence["value"])
    money = _MONEY.search(form) if not has_delimiters(form) else None
    if money is not None and len(re.findall(r"\d[\d.,]*", form)) == 1:
        return (money[1] or money[2]).rstrip(".,")
    return form


def _unwrap(form: str) -> str:
    """Remove all marks that enclose the whole form, and trailing dots."""
    while True:
        inner = form.strip()
        while inner.endswith((".", ",", ";")) and not inner.endswith("\\,"):
            inner = inner[:-1].rstrip()
        for start, end in _WRAPPERS:
            middle = inner[len(start) : len(inner) - len(end)]
            encloses = inner.startswith(start) and inner.endswith(end) and start not in middle
            if encloses and len(inner) > len(start + end):
                inner = middle
        command = _WRAPPING_COMMAND.match(inner)
        closed = match_braces(inner).get(command.end() - 1, -1) if command is not None else 0
        if command is not None and closed in (-1, len(inner) - 1):
            inner = inner[command.end() :] if closed == -1 else inner[command.end() : -1]
        elif inner.startswith("$") and "$" not in inner[1:]:
            inner = inner[1:]  # a currency sign
        elif inner.endswith("$") and "$" not in inner[:-1]:
            inner = inner[:-1]
        if inner == form:
            return form
        form = inner


def match_braces(text: str) -> dict[int, int]:
    """Return the position of the closing brace of each opening brace; unclosed and escaped braces are omitted."""
    closed: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closed[opened.pop()] = match.start()
    return closed


def has_delimiters(form: str) -> bool:
    """Return whether the form still holds marked mathematics between other words (`$21,16$ or $11$`)."""
    return form.count("$") > 1 or "\\(" in form or "\\[" in form or "\\boxed" in form


def _words(form: str) -> list[str]:
    """Return the plain words of a form; runs of capitals such as `ABCD` are points of a figure, not words."""
    runs = _LETTERS.findall(_COMMAND.sub(" ", form))
    return [run for run in runs if not _MATH_NAME.fullmatch(run) and (not run.isupper() or form.isalpha())]


def _is_sentence(form: str) -> bool:
    return " " in form and bool(_words(form)) and read_number(form) is None


def is_text(form: str) -> bool:
    """Return whether an answer is words, which are compared as they are spelled: `Evelyn`, `no solution`, `there is no
    way to make 24`. Mathematics between dollars makes it mathematics."""
    if has_delimiters(form) or read_number(form) is not None:
        return False
    return bool(_words(form)) or (form.isalpha() and len(form) == 2)


def is_claim(form: str) -> bool:
    """Return whether an answer is a numeric identity such as `(6 - 4) * 12 = 24`: arithmetic with operators and no
    variable on the left side. By value every such claim would be its right side, so claims are compared by normal form
    only."""
    left, equals, right = form.partition("=")
    if not equals or not right or read_number(left) is not None:
        return False
    return any(c.isdigit() for c in left) and not re.search(
        r"[A-Za-z]", re.sub(r"\\(?:frac|times|cdot|div|sqrt)", "", left)
    )
