"""Read an answer into types: the one place that decides what a text can be.

`read_answer` parses a text once and returns all its honest readings. Numbers, sets, expressions and sentences are read
here, without math-verify; what only math-verify can read is marked `is_unread`.
"""

import ast
import re
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any

from nbest.answers.amounts import read_amount
from nbest.answers.choices import read_letters
from nbest.answers.dates import read_date, read_time
from nbest.answers.expressions import read_constant, read_expression
from nbest.answers.notation import LONGEST_FORM, normal_form, split_top
from nbest.answers.numbers import read_number
from nbest.answers.phrases import find_stated_formula, read_comparison, read_phrase, read_set_words
from nbest.answers.relations import has_relation, read_relation, read_union
from nbest.answers.sequences import read_brackets, read_list, read_matrix
from nbest.answers.values import Answer, Letters, PythonLiteral, Ratio, Reading, Text
from nbest.records import Kind

_DEEPEST = 8
_LONGEST_FORMULA = 500
_QUOTED = re.compile(r"'[^']*'|[bruf]'[^']*'")
_CLOCK = re.compile(r"\d{1,2}:[0-5]\d")
_RATIO = re.compile(r" ?: ?| to (?=\d)")
_UNION_SIGN = re.compile(r"\\(?:cup|cap|setminus|backslash)(?![A-Za-z])")
_FORMULA_SIGN = re.compile(r"\\[A-Za-z]|[\^_]")
_WORD = re.compile(r"(?<!\\)(?<![A-Za-z])[A-Za-z]{3,}")
_FIGURE = re.compile(
    r"\\(?:angle|triangle|overline|overrightarrow|widehat|odot|parallel|perp)|(?<![A-Za-z\\])[A-Z]{2,}"
)
_NO_FORMULA = re.compile(r"\\ldots|\d_|\uff04")
_COMMAND = re.compile(r"\\[A-Za-z]+\*?(?:\{(?:[pbBvV]?matrix|array|cases|align\*?)\})?")
_SPOKEN = re.compile(r"[A-Za-z]+")


def read_answer(text: str, kind: Kind = "math") -> Answer:
    """Return what an answer is to a problem of a kind: its normal form and its readings. Never raises.

    A blank text has the form "". A text of more than LONGEST_FORM characters is read as itself alone. `number` is read
    like `math`, `date` has only readings that are dates; `exact` and `code` compare the text as it is.
    """
    text = text.strip()
    match kind:
        case "exact" | "code":
            return Answer(text, (Reading(Text(text)),)) if text else Answer("")
        case "python":
            return _read_literal(text)
        case "choice":
            return _read_choice(text)
        case "date":
            form = normal_form(text)
            return Answer(form, read_date(form) or (Reading(Text(fold(form))),)) if form else Answer("")
        case "number" | "math":
            return _read_mathematics(normal_form(text))


def _read_literal(text: str) -> Answer:
    text = text.strip().strip("`").strip()
    if not text:
        return Answer("")
    try:
        value = ast.literal_eval(text)
        return Answer(text, (Reading(PythonLiteral(_spell(value))),))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return Answer(text, (Reading(Text(text)),))


def _spell(value: Any) -> str:
    """Return one spelling per value and type: sets and dictionaries in a fixed order."""
    if isinstance(value, (set, frozenset)):
        return "{" + _join(sorted(_spell(item) for item in _items(value))) + "}"
    if isinstance(value, dict):
        return "{" + _join(sorted(f"{_spell(key)}: {_spell(value[key])}" for key in _items(value))) + "}"
    if isinstance(value, (list, tuple)):
        inner = _join(_spell(item) for item in _items(value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    return f"{type(value).__name__} {value!r}"


def _items(value: Any) -> Iterable[Any]:
    return value


def _join(items: Iterable[str]) -> str:
    return ", ".join(items)


def _read_choice(text: str) -> Answer:
    letters = read_letters(text)
    form = normal_form(text)
    if letters:
        return Answer(form, (Reading(Letters(frozenset(letters))),))
    return Answer(form.casefold(), (Reading(Text(form.casefold())),)) if form else Answer("")


@lru_cache(maxsize=100_000)
def _read_mathematics(form: str) -> Answer:
    if not form:
        return Answer("")
    if len(form) > LONGEST_FORM:
        return Answer(form, (Reading(Text(form)),), note=f"not compared: more than {LONGEST_FORM} characters")
    try:
        readings = _read_value(form, 0)
        if not readings:
            readings = read_phrase(form, partial(_read_part, depth=1))
    except RecursionError:
        readings = ()
    if readings:
        return Answer(form, readings)
    formula = form if _is_formula(form) else find_stated_formula(form)
    if _is_formula(formula):
        return Answer(formula, is_unread=True)
    return Answer(form, (Reading(Text(fold(form))),))


def _read_part(form: str, depth: int) -> Answer:
    """Return the readings of a part of an answer: values, or one or two words."""
    form = form.strip()
    readings = _read_value(form, depth) if depth <= _DEEPEST else ()
    if (
        not readings
        and form
        and len(form.split()) <= 4
        and re.search(r"[A-Za-z]", form)
        and not re.search(r"[\d\\=<>]", form)
    ):
        readings = (Reading(Text(fold(form))),)
    return Answer(form, readings)


def _read_value(form: str, depth: int) -> tuple[Reading, ...]:
    """Return the readings of a form that is a value as a whole; () if it is none."""
    numbers = read_number(form)
    if numbers:
        listed = read_list(form, partial(_read_part, depth=depth + 1)) if numbers[0].note == "decimal comma" else ()
        return (*numbers, *listed)
    read = partial(_read_part, depth=depth + 1)
    if _QUOTED.fullmatch(form):
        return _read_literal(form).readings
    for reader in (read_set_words, read_date, read_comparison):
        readings = reader(form)
        if readings:
            return readings
    clock = (*read_time(form), *_read_ratio(form))
    if clock:
        return clock
    matrix = read_matrix(form, read) if "\\begin" in form else ()
    if matrix:
        return matrix
    if _UNION_SIGN.search(form):
        return read_union(form, read)
    amount = read_amount(form, read_constant)
    if amount:
        return amount
    listed = read_list(form, read)
    if listed:
        return listed
    if has_relation(form):
        related = read_relation(form, read)
        if related:
            return related
    return read_brackets(form, read) or read_expression(form)


def _read_ratio(form: str) -> tuple[Reading, ...]:
    parts = [part for _, part in split_top(form, _RATIO)]
    if not 2 <= len(parts) <= 6:
        return ()
    terms = [read_constant(part) for part in parts]
    if None in terms or any(term.exact == 0 for term in terms[1:] if term is not None):
        return ()
    if _CLOCK.fullmatch(form) and form.split(":")[1].startswith("0"):
        return ()
    is_clock = _CLOCK.fullmatch(form) is not None and int(form.split(":")[0]) <= 24
    return (Reading(Ratio(tuple(term for term in terms if term is not None), is_clock)),)


def _is_formula(form: str) -> bool:
    """Return whether a form is mathematics that math-verify may read: no words, no names of a figure."""
    if len(form) > _LONGEST_FORMULA or "\n" in form.strip() or _FIGURE.search(form) or _NO_FORMULA.search(form):
        return False
    return _FORMULA_SIGN.search(form) is not None and not _WORD.search(_COMMAND.sub(" ", form))


def fold(form: str) -> str:
    """Return words in lower case, unless one of them mixes cases inside (`mJkLbn`) or all is a single letter."""
    words = _SPOKEN.findall(form)
    if len(form) == 1 or _FIGURE.search(form) or any(re.search(r"[a-z][A-Z]", word) for word in words):
        return re.sub(r"\s+", " ", form)
    return re.sub(r"\s+", " ", form.casefold())
