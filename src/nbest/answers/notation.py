"""One notation for answers: TeX, Unicode and Markdown that mean the same become the same text.

String work only. This module does not know what an answer is worth, math-verify, problems or trajectories.
"""

import re
from functools import lru_cache

from nbest.answers.boxes import match_braces

LONGEST_FORM = 2_000
"""Characters of an answer beyond which it is compared as text only (a real final answer has a few dozen)."""
CURRENCY = "\uff04"
"""The dollar as a currency, once the dollars around formulas are gone."""

_WRAPPERS = (("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"), ('"', '"'))
_WRAPPING_COMMAND = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf|tt)|mbox|emph|operatorname\*?)\s*(?=\{)"
)
_SPECIAL_TOKEN = re.compile(r"(?<=\S)\s*<\|\w+\|>.*", re.DOTALL)
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z])")
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_RAISED_UNIT = re.compile(r"(?<=\d)([kcdm]?m|ft|in)([²³])")
_RAISED = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_LOWERED = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_VULGAR = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
    "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅐": (1, 7), "⅑": (1, 9),
    "⅒": (1, 10),
}  # fmt: skip
_SYMBOLS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2012\u2010\u2011\ufe63\uff0d", "-"),  # minus signs, hyphens and dashes
        **dict.fromkeys("\u00d7\u2a09", r"\times "),
        **dict.fromkeys("\u00b7\u22c5\u2217\u2219", r"\cdot "),
        **dict.fromkeys("\u00a0\u202f\u2009\u2002\u2003\u200a\u3000", " "),  # spaces
        **dict.fromkeys("\u200b\ufeff\u2060\u200e\u200f", None),  # nothing to see
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2019\u2018\u2032", "'"),
        "\u00f7": "/",
        "\u2044": "/",
        "\u2215": "/",
        "\u00b0": r"^\circ",
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u222a": r"\cup ",
        "\u2229": r"\cap ",
        "\u2208": r"\in ",
        "\u2205": r"\varnothing ",
        "\u211d": r"\mathbb{R}",
        "\u2264": r"\le ",
        "\u2a7d": r"\le ",
        "\u2265": r"\ge ",
        "\u2a7e": r"\ge ",
        "\u2260": r"\ne ",
        "\u2248": r"\approx ",
        "\u2245": r"\approx ",
        "\u00b1": r"\pm ",
        "\u2213": r"\mp ",
        "\u2220": r"\angle ",
        "\u27e8": r"\langle ",
        "\u27e9": r"\rangle ",
        "\u2236": ":",
        "\uff1a": ":",
        "\uff0c": ",",
        "\u3001": ",",
        "\u3002": ".",
        "\uff08": "(",
        "\uff09": ")",
        "\uff1d": "=",
        "\u2026": r"\ldots ",
        "\u03b1": r"\alpha ",
        "\u03b2": r"\beta ",
        "\u03b3": r"\gamma ",
        "\u03b4": r"\delta ",
        "\u03b8": r"\theta ",
        "\u03bb": r"\lambda ",
        "\u03bc": r"\mu ",
        "\u03c3": r"\sigma ",
        "\u03c6": r"\phi ",
        "\u03c9": r"\omega ",
    }
)
_ROOT = re.compile(r"([\u221a\u221b])\s*(\(|\{|\d+(?:\.\d+)?|[A-Za-z])")
_REPLACED = (
    (re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|rm|bf|it)(?![A-Za-z])\.?"), ""),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    (re.compile(r"(?<=\d)(?:,\\!| ?\{, ?\}(?:\\!)?|\\!,) ?(?=\d)"), ","),
    (re.compile(r"(?<=\d)(?:\\[,;:]|\\ |~)(?=\d{3}(?!\d))"), " "),
    (re.compile(r"\{([:=+<>,;-])\}"), r"\1"),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<=\d) ?[xX] ?(?=10\^)"), r"\\times "),
    (re.compile(r"(?<!\\)\\[,;:> ]|\\q?quad|\\hspace\*?\{[^{}]*\}|\\(?:thin|med|thick)space|~"), " "),
    (re.compile(r"<=|=<|\\leq(?:slant)?(?![A-Za-z])|\\leqq"), r"\\le "),
    (re.compile(r">=|\\geq(?:slant)?(?![A-Za-z])|\\geqq"), r"\\ge "),
    (re.compile(r"!=|\\neq(?![A-Za-z])|\\not\s*="), r"\\ne "),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:approxeq|cong|simeq|thickapprox)(?![A-Za-z])"), r"\\approx "),
    (re.compile(r"\\(?:lbrace)(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\(?:emptyset|O)(?![A-Za-z])|\\\{\s*\\\}"), r"\\varnothing "),
    (re.compile(r"\\(?:R|reals|Reals)(?![A-Za-z])|\\(?:mathbb|mathbf|Bbb)\s*R(?![A-Za-z])"), r"\\mathbb{R}"),
    (re.compile(r"\\(?:l|r)?[vV]ert(?![A-Za-z])|\\\|"), "|"),
    (re.compile(r"\\(?:dots|cdots|dotsc|dotsb)(?![A-Za-z])"), r"\\ldots "),
    (re.compile(r"\\(?:degree|deg)(?![A-Za-z])"), r"^\\circ "),
    (re.compile(r"\\[pP][mM](?![A-Za-z])|\+/-|\+-(?=\s?[\d\\])"), r"\\pm "),
    (re.compile(r"\\(?:lor|vee)(?![A-Za-z])"), " or "),
    (re.compile(r"\\(?:land|wedge)(?![A-Za-z])"), " and "),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\#"), "#"),
    (re.compile(r"\\_"), "_"),
    (re.compile(r"\\&"), "&"),
    (re.compile(r"(?<=[\w)}\]]) ?\*\* ?(?=[\w({-]|\\[A-Za-z{])"), "^"),
    (re.compile(r"\b[Ii]nfinity\b|(?<![A-Za-z\\])inf(?![A-Za-z])|(?<=[-+])oo(?![A-Za-z])"), r"\\infty "),
)
_TIGHT = re.compile(r" ?([-+*/^_=<>(){}\[\];:|&!]) ?")
_WORD = re.compile(r"[A-Za-z]{3,}|(?<![A-Za-z\\])(?:of|is|no|to|an|or|in|at|by|be|it|as|if|I|a) ")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SPACE = re.compile(r"\s+")
_MATH_DOLLAR = re.compile(r"\$(?:(?=\S)([^$]*?\S)| ?([^\s$]*[\w})\]]) ?|\s*([^$]*\\[^$]*))\$(?!\d)")


@lru_cache(maxsize=200_000)
def normal_form(answer: str) -> str:
    """Return one spelling of an answer; "" if nothing remains. Equal normal forms are equal answers.

    Wrappers (dollars around a formula, `\\boxed`, `**bold**`, double quotes), commands that only space or size, and
    trailing full stops are dropped; Unicode mathematics becomes TeX, `\\text{...}` its words. Case is kept. An answer
    longer than LONGEST_FORM is only stripped.
    """
    form = answer.strip()
    if len(form) > LONGEST_FORM or (form.isascii() and form.isdecimal()):
        return form
    form = _SPECIAL_TOKEN.sub("", form)
    form = _rewrite_unicode(_RAISED_UNIT.sub(r" \1\2", form)).replace('\\"', '"')
    if "\\begin" not in form:
        form = _ESCAPED_TWICE.sub(r"\\", form)
    form = form.replace("\\$", CURRENCY)
    for pattern, replacement in _REPLACED:
        form = pattern.sub(replacement, form)
    form = unwrap(form)
    form = _drop_delimiters(_open_text(form))
    form = unwrap(_SPACE.sub(" ", form))
    if not _WORD.search(_COMMAND.sub(" ", form)):
        form = _TIGHT.sub(r"\1", form)
    return "" if not form.strip("$*_`.,;:!? ") else form


def _rewrite_unicode(form: str) -> str:
    if form.isascii():
        return form
    for character, (top, bottom) in _VULGAR.items():
        form = form.replace(character, f"\\frac{{{top}}}{{{bottom}}}")
    form = _RAISED.sub(lambda run: "^{" + "".join(_SUPERSCRIPTS[c] for c in run[0]) + "}", form)
    form = _LOWERED.sub(lambda run: "_{" + "".join(_SUBSCRIPTS[c] for c in run[0]) + "}", form)
    form = _ROOT.sub(_rewrite_root, form)
    return form.translate(_SYMBOLS)


def _rewrite_root(match: re.Match[str]) -> str:
    command = "\\sqrt" if match[1] == "√" else "\\sqrt[3]"
    return command + (match[2] if match[2] in "({" else f"{{{match[2]}}}")


def _open_text(form: str) -> str:
    """Replace `\\text{...}` and its relatives by their contents, between spaces where they are words."""
    while (command := _TEXT_COMMAND.search(form)) is not None:
        end = match_braces(form).get(command.end(), len(form))
        inner = form[command.end() + 1 : end]
        space = " " if len(inner.strip()) > 1 and any(c.isalpha() for c in inner) else ""
        after = "" if form[end + 1 : end + 2] in ("^", "_") else space
        form = form[: command.start()] + space + inner + after + form[end + 1 :]
    return form


def _drop_delimiters(form: str) -> str:
    """Remove the dollars and brackets that mark formulas between words; a dollar that is left is a currency."""
    form = re.sub(r"\\[()\[\]]", " ", form).replace("$$", " ")
    while (box := _WRAPPING_COMMAND.search(form)) is not None:
        end = match_braces(form).get(box.end(), len(form))
        form = f"{form[: box.start()]} {form[box.end() + 1 : end]} {form[end + 1 :]}"
    if form.count("$") % 2 == 0:
        form = _MATH_DOLLAR.sub(lambda formula: f" {formula[1] or formula[2] or formula[3]} ", form)
    return form.replace("$", CURRENCY)


def unwrap(form: str) -> str:
    """Return a form without the marks that enclose all of it, and without trailing full stops and commas."""
    while True:
        inner = form.strip()
        while inner.endswith((".", ",", ";")) and not inner.endswith("..."):
            inner = inner[:-1].rstrip()
        inner = inner.lstrip(",;").lstrip()
        if inner.count('"') == 1:
            inner = inner.strip('"')
        for start, end in _WRAPPERS:
            middle = inner[len(start) : len(inner) - len(end)]
            encloses = len(inner) > len(start + end) and inner.startswith(start) and inner.endswith(end)
            if encloses and (start not in middle or (middle.startswith(start) and middle.endswith(end))):
                inner = middle
        if len(inner) > 2 and inner[0] == inner[-1] == "$" and "$" not in inner[1:-1]:
            inner = inner[1:-1]
        command = _WRAPPING_COMMAND.match(inner)
        if command is not None:
            closing = match_braces(inner).get(command.end(), -1)
            if closing in (-1, len(inner) - 1):
                inner = inner[command.end() + 1 :] if closing == -1 else inner[command.end() + 1 : -1]
        if inner == form:
            return form
        form = inner


def split_top(form: str, separators: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return the parts of a form between separators outside brackets, each with the separator before it.

    Interval brackets may be mixed (`(0, 1]`). Unbalanced brackets leave the form in one part.
    """
    depth, start, before = 0, 0, ""
    parts: list[tuple[str, str]] = []
    position = 0
    while position < len(form):
        character = form[position]
        if character in "([{" or form.startswith(("\\langle", "\\begin"), position):
            depth += 1
        elif character in ")]}" or form.startswith(("\\rangle", "\\end"), position):
            depth -= 1
        match = separators.match(form, position) if depth == 0 else None
        if match is not None and match[0]:
            parts.append((before, form[start:position].strip()))
            before, start = match[0], match.end()
            position = start
        else:
            position += 2 if character == "\\" and form[position + 1 : position + 2] not in "{}" else 1
    if depth != 0:
        return [("", form)]
    return [*parts, (before, form[start:].strip())]
