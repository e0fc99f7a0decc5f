"""Find the final answer of a trajectory: what its source recorded, or what its text states.

For `math`, `number`, `date` and `exact`, in the text after the reasoning, the first of these that gives an answer:

    box         the last complete `\\boxed{...}`; a later "final answer is VALUE" goes before it (`statement`)
    tag         the last `<answer>...</answer>`
    line        the last line `#### x` or `A: x`
    json        the field `answer` or `final_answer` of the last JSON object
    statement   the last "answer is", "answer:" or heading "Final Answer"
    conclusion  a concluding sentence of the last paragraph: "The result is 42.", "Therefore, x = 42."
    whole       the whole text, where it is nothing but an answer

For `choice` the letters by the same order, with the statements of `choices.py`. For `python` a box, a tag, a statement,
then the last code span or fence, then the whole text. For `code` never: code has no answer that can be compared.

A text that was cut (`is_cut`, or reasoning that never ends) has only what it states completely before the cut: a box, a
tag, a line, or a sentence that is ended and not taken back; in unfinished reasoning it must say "final answer".

`nbest.verifying` decides whether two answers are the same. This module does not know targets, files or models.
"""

import ast
import re
from dataclasses import dataclass
from typing import Protocol

from nbest.answers.boxes import find_last_box
from nbest.answers.choices import find_letters, read_letters, write_letters
from nbest.answers.reasoning import final_part
from nbest.answers.rules import DEFAULT, find_json, parse_rule
from nbest.answers.statements import find_conclusion, find_line, find_statement, find_whole
from nbest.records import Kind, Trajectory

RECORDED = "recorded"
"""The rule of an answer that the source of a trajectory recorded."""

_ANSWER_KEYS = [["answer"], ["final_answer"], ["Answer"], ["final answer"]]
_LONGEST_ANSWER = 500
_LONGEST_LITERAL = 20_000
_MARKERS_TRIED = 20
_TAG = re.compile(r"<(/?)(answer|final_answer|final answer)\s{0,3}>|\[(/?)(ANSWER)\]", re.IGNORECASE)
_SAYS_SOMETHING = re.compile(r"[^\W_]|\\|[^\x00-\x7f]")
_FINAL = re.compile(r"final answer", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]{0,8}```[^\n`]*\n(.*?)^[ \t]{0,8}```[ \t]*$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`\n]{1,2000})`(?!`)")
_STATED_PYTHON = re.compile(
    r"\b(?:answer|output|result|return value|value|final state)s?\b[^.\n:=`]{0,60}?(?::|=|\bis\b|\bare\b)[\s:*]{0,6}",
    re.IGNORECASE,
)


class AnswerSource(Protocol):
    """What says how answers are read: a Problem or a Pool."""

    @property
    def kind(self) -> Kind: ...
    @property
    def answer_rule(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer as it is written in its text, and the name of the rule that found it."""

    answer: str
    rule: str


def extract(text: str, kind: Kind = "math", is_cut: bool = False, rule: str = DEFAULT) -> Extraction | None:
    """Return the final answer that a text states; None if it states none, and for code.

    `is_cut` says that the text ends at a token limit. Raises what `parse_rule` raises, and DataError where a function
    of the user's fails; never for a text.
    """
    if kind == "code":
        return None
    parsed = parse_rule(rule)
    area, is_unfinished = final_part(text)
    if parsed.name == "default":
        return _extract_default(area, kind, is_cut, is_unfinished)
    answer = parsed.read(text if parsed.name == "callable" else area, is_cut or is_unfinished)
    if answer is not None and kind == "choice":
        answer = write_letters(read_letters(answer)) or answer
    return None if answer is None else Extraction(answer, rule)


def extract_answer(text: str, kind: Kind = "math", is_cut: bool = False, rule: str = DEFAULT) -> str | None:
    """Return the answer of `extract` alone."""
    extraction = extract(text, kind, is_cut, rule)
    return None if extraction is None else extraction.answer


def read_trajectory(trajectory: Trajectory, source: AnswerSource) -> Extraction | None:
    """Return the answer that the source of the trajectory recorded, else the one in its text; None without either.

    A blank recorded answer counts as none. For `choice` a recorded answer is converted to its letters, if it has any.
    """
    if source.kind == "code":
        return None
    recorded = (trajectory.answer or "").strip()
    if recorded:
        letters = write_letters(read_letters(recorded)) if source.kind == "choice" else ""
        return Extraction(letters or recorded, RECORDED)
    completion = trajectory.completion
    return extract(completion.text, source.kind, completion.finish == "length", source.answer_rule)


def answer_of(trajectory: Trajectory, source: AnswerSource) -> str | None:
    """Return the answer of `read_trajectory` alone. `source` is the problem of the trajectory, or its pool."""
    extraction = read_trajectory(trajectory, source)
    return None if extraction is None else extraction.answer


def _extract_default(area: str, kind: Kind, is_cut: bool, is_unfinished: bool) -> Extraction | None:
    if kind == "choice":
        return _extract_letters(area, is_cut, is_unfinished)
    if kind == "python":
        return _extract_python(area, is_cut, is_unfinished)
    is_cut = is_cut or is_unfinished
    box = find_last_box(area)
    if box is not None:
        later = None if is_unfinished else _find_later(area, box.end, is_cut)
        return Extraction(later, "statement") if later else Extraction(box.content, "box")
    tag = _find_tag(area, kind)
    if tag is not None:
        return Extraction(tag, "tag")
    line = find_line(area, is_cut)
    if line is not None and not is_unfinished:
        return Extraction(line, "line")
    value = None if is_unfinished else find_json(area, _ANSWER_KEYS)
    if value is not None and _SAYS_SOMETHING.search(value):
        return Extraction(value, "json")
    words = "always" if kind == "exact" else "last"
    statement = find_statement(area, is_cut=is_cut, needs_final=is_unfinished, words=words)
    if statement is not None:
        return Extraction(statement, "statement")
    if is_cut:
        return None
    conclusion = find_conclusion(area) if kind != "exact" else None
    if conclusion is not None:
        return Extraction(conclusion, "conclusion")
    whole = find_whole(area) or _find_line_of_text(area, kind)
    return None if whole is None else Extraction(whole, "whole")


def _find_later(area: str, end: int, is_cut: bool) -> str | None:
    """Return the value of a sentence "final answer ..." after the last box."""
    final = _FINAL.search(area, end)
    if final is None:
        return None
    return find_statement(area, final.start(), is_cut=is_cut, words="never")


def _find_line_of_text(area: str, kind: Kind) -> str | None:
    """Return a text of one line, which of kind `exact` or `date` is the answer itself."""
    limits = {"exact": _LONGEST_ANSWER, "date": 60}
    whole = area.strip() if len(area) <= 2 * _LONGEST_ANSWER else ""
    is_answer = kind in limits and len(whole) <= limits[kind] and "\n" not in whole
    return whole or None if is_answer and (kind == "exact" or re.search(r"\d", whole)) else None


def _find_tag(area: str, kind: Kind) -> str | None:
    """Return the content of the last answer tag that is closed; of a long content the answer that it states."""
    opener: re.Match[str] | None = None
    content = ""
    for match in _TAG.finditer(area):
        if not (match[1] or match[3]):
            opener = match
        elif opener is not None:
            content = area[opener.end() : match.start()].strip() or content
            opener = None
    if not content:
        return None
    is_long = "\n" in content or re.search(r"\w\. ", content) is not None or len(content) > _LONGEST_ANSWER
    stated = (
        (find_statement(content) or find_conclusion(content)) if is_long and kind not in ("python", "choice") else None
    )
    return stated or content[:_LONGEST_ANSWER]


def _extract_letters(area: str, is_cut: bool, is_unfinished: bool) -> Extraction | None:
    box = find_last_box(area)
    if box is not None:
        later = None if is_unfinished else _find_later_letters(area, box.end)
        letters = later or write_letters(read_letters(box.content))
        if letters:
            return Extraction(letters, "statement" if later else "box")
    candidates = [("tag", _find_tag(area, "choice"))]
    if not is_unfinished:
        candidates.append(("json", find_json(area, _ANSWER_KEYS)))
    for rule, candidate in candidates:
        letters = write_letters(read_letters(candidate)) if candidate is not None else ""
        letters = letters or (find_letters(candidate) or "" if rule == "tag" and candidate is not None else "")
        if letters:
            return Extraction(letters, rule)
    stated = find_letters(area, is_cut or is_unfinished, is_unfinished)
    return None if stated is None else Extraction(stated, "statement")


def _find_later_letters(area: str, end: int) -> str | None:
    final = _FINAL.search(area, end)
    return find_letters(area[final.start() :], needs_final=True) if final is not None else None


def _extract_python(area: str, is_cut: bool, is_unfinished: bool) -> Extraction | None:
    """Return a Python value: a whole text that is one, a box, a tag, the code after "output is", the last code."""
    is_cut = is_cut or is_unfinished
    whole = area.strip()
    if not is_cut and _is_literal(whole):
        return Extraction(whole, "whole")
    box = find_last_box(area)
    if box is not None:
        return Extraction(_strip_code(box.content), "box")
    tag = _find_tag(area, "python")
    if tag is not None:
        return Extraction(_strip_code(tag), "tag")
    if is_unfinished:
        return None
    code = list(_find_code(area))
    stated = _find_stated_python(area, code, is_cut)
    if stated is not None:
        return Extraction(stated, "statement")
    literals = [content for _, content in code if _is_literal(content)]
    if literals or code:
        return Extraction(literals[-1] if literals else code[-1][1], "code")
    is_line = 0 < len(whole) <= _LONGEST_ANSWER and "\n" not in whole
    return Extraction(whole, "whole") if is_line and not is_cut else None


def _find_code(area: str) -> list[tuple[int, str]]:
    """Return the start and content of every closed fence and code span, in order."""
    fences = [(match.start(), match.end(), match[1].strip()) for match in _FENCE.finditer(area)]
    code = [(start, content) for start, _, content in fences if content]
    bounds = [(start, end) for start, end, _ in fences]
    position = 0
    for match in _SPAN.finditer(area):
        while position < len(bounds) and bounds[position][1] <= match.start():
            position += 1
        if position < len(bounds) and bounds[position][0] <= match.start():
            continue
        code.append((match.start(), match[1].strip()))
    return sorted(code)


def _find_stated_python(area: str, code: list[tuple[int, str]], is_cut: bool) -> str | None:
    starts = dict(code)
    for match in list(_STATED_PYTHON.finditer(area))[: -_MARKERS_TRIED - 1 : -1]:
        if match.end() in starts:
            return starts[match.end()]
        line, newline, _ = area[match.end() : match.end() + _LONGEST_ANSWER].partition("\n")
        for candidate in (line.strip(" *"), line.strip(" *.")):
            if (newline or not is_cut) and _is_literal(candidate):
                return candidate
    return None


def _strip_code(content: str) -> str:
    fence = _FENCE.fullmatch(content)
    return (fence[1] if fence else content).strip("` \n") or content


def _is_literal(text: str) -> bool:
    if not text or len(text) > _LONGEST_LITERAL:
        return False
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True
