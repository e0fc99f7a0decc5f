"""Lists, tuples, sets, intervals in brackets, and matrices."""

import re
from typing import Literal

from nbest.answers.intervals import EMPTY, UNBOUNDED, make_interval
from nbest.answers.notation import split_top
from nbest.answers.relations import combine_inequalities
from nbest.answers.values import (
    Answer,
    Claim,
    Endpoint,
    Intervals,
    Matrix,
    Named,
    Number,
    Read,
    Reading,
    Sequence,
    Text,
)

_WORD_JOINT = r"(?: ?[,;] ?| )(?:and|or|&) "
_TIGHT_WORD = r"(?<=\))(?:and|or)(?=\()|(?<=[\d)}])(?:or|and)(?=[A-Za-z]\(|[A-Za-z]=)"
_JOINTS = re.compile(rf"{_WORD_JOINT}| ?(?:;|(?<!\d),|,(?!\d{{3}}(?!\d))) ?(?:and |or )?|{_TIGHT_WORD}")
_JOINTS_IN_BRACKETS = re.compile(rf"{_WORD_JOINT}| ?[,;] ?(?:and |or )?")
_SEMICOLON = re.compile(r" ?; ?(?:and |or )?")
_COMMA = re.compile(r" ?[,;] ?")
_MATRIX = re.compile(
    r"(?P<before>.*?)\\begin\{(?P<kind>[pbBvV]?(?:small)?matrix|array)\}(?:\{[clr| ]+\})?"
    r"(?P<body>.*)\\end\{(?P=kind)\}(?P<after>.*)",
    re.DOTALL,
)
_SHORT_TEXT_WORDS = 4
_BRACKETS = (
    ("\\langle", "\\rangle"),
    ("\\{", "\\}"),
    ("(", ")"),
    ("(", "]"),
    ("[", "]"),
    ("[", ")"),
    ("{", "}"),
    ("<", ">"),
)
_ORDERS: dict[tuple[str, str], Literal["tuple", "bracket"]] = {
    ("\\langle", "\\rangle"): "tuple",
    ("(", ")"): "tuple",
    ("<", ">"): "tuple",
    ("[", "]"): "bracket",
}


def read_list(form: str, read: Read, is_bracketed: bool = False) -> tuple[Reading, ...]:
    """Return the list of a form with commas, semicolons, "and" or "or" outside of brackets; () if it is none.

    A comma before three digits separates thousands, unless the list stands in brackets (`\\{5,100\\}`).

    Every part must be a value of its own. Inequalities joined by "or" and "and" are the set that they describe. With
    semicolons the parts between them may be tuples (`1, 2; 3, 4`).
    """
    groups = split_top(form, _SEMICOLON)
    if len(groups) > 1 and any(len(split_top(part, _COMMA)) > 1 for _, part in groups):
        tuples = [read_list(part, read) or read(part).readings for _, part in groups]
        items = tuple(Answer(part, _as_tuple(readings)) for (_, part), readings in zip(groups, tuples, strict=True))
        return (Reading(Sequence("list", items)),) if all(item.readings for item in items) else ()
    parts = [
        (separator, part)
        for separator, part in split_top(form, _JOINTS_IN_BRACKETS if is_bracketed else _JOINTS)
        if part
    ]
    if len(parts) < 2:
        return ()
    answers = [read(part) for _, part in parts]
    if not all(answer.readings for answer in answers):
        return ()
    if any(isinstance(answer.readings[0].value, Claim) for answer in answers):
        last = answers[-1].readings
        return last if isinstance(last[0].value, Claim) else ()  # a calculation in several lines: its last value
    joints = {separator.strip(" ,;") for separator, _ in parts[1:]}
    if joints in ({"or"}, {"and"}):
        combined = combine_inequalities(answers, is_union=joints == {"or"})
        if combined:
            return combined
    if any(_is_text(answer) for answer in answers) and any(len(part.split()) > _SHORT_TEXT_WORDS for _, part in parts):
        return ()
    return (Reading(Sequence("list", _spread(tuple(answers)))),)


def _is_text(answer: Answer) -> bool:
    return isinstance(answer.readings[0].value, Text)


def _as_tuple(readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """Return lists as tuples, with their names dropped (`p=5, q=2` between semicolons is the tuple (5, 2))."""
    return tuple(
        Reading(Sequence("tuple", tuple(_unnamed(item) for item in reading.value.items)))
        if isinstance(reading.value, Sequence) and reading.value.order == "list"
        else reading
        for reading in readings
    )


def _unnamed(answer: Answer) -> Answer:
    value = answer.readings[0].value
    return value.value if isinstance(value, Named) else answer


def _spread(items: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return the items with the lists among them opened (`1, 2 \\pm 3`), and without a name that all of them share or
    that only the first one has (`x = 1, x = 2`; `x = 1, 2`)."""
    opened = _open_lists(items)
    names = [_name_of(item) for item in opened]
    is_shared = names[0] is not None and (set(names[1:]) <= {names[0]} or set(names[1:]) == {None})
    return _open_lists(tuple(_unnamed(item) for item in opened)) if is_shared else opened


def _open_lists(items: tuple[Answer, ...]) -> tuple[Answer, ...]:
    opened: list[Answer] = []
    for item in items:
        inner = next(
            (r.value for r in item.readings if isinstance(r.value, Sequence) and r.value.order == "list"), None
        )
        is_number = bool(item.readings) and isinstance(item.readings[0].value, Number)
        opened.extend(inner.items if inner is not None and not is_number else (item,))
    return tuple(opened)


def _name_of(answer: Answer) -> str | None:
    value = answer.readings[0].value if answer.readings else None
    return value.name if isinstance(value, Named) else None


def read_brackets(form: str, read: Read) -> tuple[Reading, ...]:
    """Return what stands in one pair of brackets around everything: tuple, set, interval; () if there is no such pair.

    Round brackets around a single value are that value, and so are the braces of a set with a single element.
    `[0]` keeps its brackets.
    """
    opening, body, closing = _open_brackets(form)
    if not opening:
        return ()
    if opening == "\\{":
        return _read_set(body, read)
    parts = [part for _, part in split_top(body, _COMMA)]
    if len(parts) < 2 and (opening, closing) in (("(", ")"), ("{", "}")):
        return read(body).readings
    if opening == "{":
        return read_list(body, read, is_bracketed=True)
    answers = tuple(read(part) for part in parts)
    readings: list[Reading] = []
    if len(parts) == 2 and opening in "([":
        interval = _interval(opening, parts, answers, closing)
        readings.extend((Reading(interval),) if interval is not None else ())
    order = _ORDERS.get((opening, closing))
    if order is not None and all(answer.readings for answer in answers):
        readings.append(Reading(Sequence(order, answers)))
    return tuple(readings)


def _open_brackets(form: str) -> tuple[str, str, str]:
    """Return the pair of brackets around a form and what is inside; empty strings where there is no such pair."""
    for opening, closing in _BRACKETS:
        if not (form.startswith(opening) and form.endswith(closing) and len(form) > len(opening + closing)):
            continue
        body = form[len(opening) : len(form) - len(closing)]
        if opening in ("<", "\\langle"):
            is_pair = "," in body and opening not in body and closing not in body
        else:
            is_pair = _is_enclosed(form)
        if is_pair:
            return opening, body.strip(), closing
    return "", "", ""


def _is_enclosed(form: str) -> bool:
    """Return whether the first bracket is closed by the last character."""
    depth = 0
    for position, character in enumerate(form):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position == len(form) - 1
    return False


def _read_set(body: str, read: Read) -> tuple[Reading, ...]:
    if not body.strip():
        return (Reading(EMPTY),)
    builder = re.fullmatch(r"\s*[A-Za-z]+(?: ?\\in ?\\mathbb\{[A-Z]\})? ?(?:\||:|\\mid) ?(.*)", body)
    if builder is not None:
        return read(builder[1]).readings
    listed = read_list(body, read, is_bracketed=True)
    if listed:
        value = listed[0].value
        return (Reading(Sequence("set", value.items)),) if isinstance(value, Sequence) else ()
    inner = read(body)
    value = inner.readings[0].value if inner.readings else None
    if isinstance(value, Sequence) and value.order == "list":
        return (Reading(Sequence("set", value.items)),)
    return (Reading(Sequence("set", (inner,))),) if value == EMPTY else inner.readings


def _interval(opening: str, parts: list[str], answers: tuple[Answer, ...], closing: str) -> Intervals | None:
    ends: list[Endpoint] = []
    for part, answer, bracket in zip(parts, answers, (opening, closing), strict=True):
        if part.lstrip("+-").strip() == "\\infty":
            ends.append(UNBOUNDED)
            continue
        number = next((r.value for r in answer.readings if isinstance(r.value, Number)), None)
        if number is None:
            return None
        ends.append(Endpoint(number, is_open=bracket in "()"))
    is_ordered = parts[0].strip() not in ("\\infty", "+\\infty") and parts[1].strip() != "-\\infty"
    return make_interval(ends[0], ends[1]) if is_ordered else None


def read_matrix(form: str, read: Read) -> tuple[Reading, ...]:
    """Return the matrix of a TeX environment, a single row or column as a tuple; () if the form is none.

    A factor before the matrix multiplies its entries.
    """
    match = _MATRIX.fullmatch(form)
    if match is None or match["after"].strip(")] ") or "\\begin" in match["body"] or match["kind"][0] in "vV":
        return ()
    factor = re.sub(r"\\(?:cdot|times) ?$", "", match["before"].rstrip("[ ").removesuffix("(")).strip()
    if factor and not (factor == "-" or read(factor).readings):
        return ()
    rows = [
        row
        for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])", match["body"].replace("\\hline", ""))
        if row.strip()
    ]
    cells = [tuple(read(_times(factor, cell.strip())) for cell in row.split("&")) for row in rows]
    if (
        not cells
        or any(len(row) != len(cells[0]) for row in cells)
        or not all(c.readings for row in cells for c in row)
    ):
        return ()
    if len(cells) == 1 or len(cells[0]) == 1:
        return (Reading(Sequence("tuple", tuple(cell for row in cells for cell in row))),)
    return (Reading(Matrix(tuple(cells))),)


def _times(factor: str, cell: str) -> str:
    return cell if not factor else f"-({cell})" if factor == "-" else f"({factor})*({cell})"
