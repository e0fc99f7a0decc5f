"""Find the final answer of a trajectory in its text.

`nbest.verifying.equivalence` decides whether two answers are the same, for voting and for grading alike. This module
does not know targets, math-verify or files.
"""

import re

from nbest.records import Kind, Trajectory
from nbest.text.forms import match_braces
from nbest.text.numbers import read_number

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_CONNECTOR = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|,|;")
_LONGEST_CONNECTOR = 40
_GSM8K = re.compile(r"^[ \t]*(?:####|A:)[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_MARKER = re.compile(
    r"answer\**\s*(?:(?P<colon>:)|(?P<heading>\**\s*\n)|\bis\b\s*:?|(?=\$|\\\(|\\\[))\**\s*", re.IGNORECASE
)
_FINAL_MARKER = re.compile(r"final answer", re.IGNORECASE)
_SPECIAL_TOKEN = re.compile(r"<\|\w+\|>")
_MATH = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_SENTENCE = re.compile(r"\.(?=[\s\"]|$)|\n")
_LETTER = re.compile(r"\(?\s*(?:\\text\s*\{)?\s*\(?([A-Za-z])\)?\s*\}?\s*(?:[).:,]\s*.*|$)", re.DOTALL)
_LETTER_MARKER = re.compile(r"(?i:answer|option|choice)\**(?:\s+is)?\s*:?[\s*$(]*([A-Z])\b(?!')")
_LETTER_LINE = re.compile(r"^[ \t]*\**\(?([A-Z])[).]?\**[ \t]*$", re.MULTILINE)
_LONGEST_ANSWER = 500
_LONGEST_TAIL = 2_000
_MARKERS_TRIED = 20


def extract_answer(text: str, kind: Kind = "math") -> str | None:
    """Return the final answer that a text states, as it is written there; None if it states none.

    For `math`, in the text after the last `</think>` where there is one, else in the whole text, the first of
      1. the last `\\boxed{...}` whose braces are balanced. Boxes of one line that stand side by side, joined by
         nothing, a comma, "and" or "or", are the parts of one answer ("\\boxed{1} and \\boxed{-2}") and come back as
         a list "1, -2"; a box that repeats another one counts once. A sentence "final answer ..." behind the last
         box is later and goes before it.
      2. the last line that begins with `####` or `A:` (the form of GSM8K),
      3. what follows the last "answer is", "answer:" or a heading "Final Answer": the first formula or bold text of
         that sentence, else the sentence; plain words after "answer is" count only where they are the last of a text,
      4. the whole text, where it is nothing but a number.
    Without `</think>` after a `<think>` the thinking was cut off, and only a box counts. A text that stops without one
    of these has no answer: no number is picked out of the working.

    For `choice` the letter in upper case, by the same order: box, "answer is (C)", a line that is only a letter.
    For `code` always None: code has no answer that can be compared.
    """
    if kind == "code":
        return None
    area, is_cut_off = _final_part(text)
    boxed = _last_box(area)
    if kind == "choice":
        return read_letter(boxed) if boxed is not None else None if is_cut_off else _stated_letter(area)
    if is_cut_off:
        return boxed
    if boxed is not None:
        return _stated_after_box(area) or boxed
    lines = _GSM8K.findall(area)
    if lines:
        return lines[-1][:_LONGEST_ANSWER]
    whole = area.strip()
    return _stated(area) or (whole if read_number(whole) is not None else None)


def answer_of(trajectory: Trajectory, kind: Kind = "math") -> str | None:
    """Return the answer that the source of the trajectory recorded, else the answer in its text; None if there is
    neither.

    A blank recorded answer counts as none. For `choice` a recorded answer is converted to its letter, if it has one.
    """
    if kind == "code":
        return None
    stated = (trajectory.answer or "").strip()
    if not stated:
        return extract_answer(trajectory.completion.text, kind)
    return (read_letter(stated) or stated) if kind == "choice" else stated


def read_letter(answer: str) -> str | None:
    """Return the letter of a multiple-choice answer (`C`, `(c)`, `C. 12 apples`, `\\text{(C)}`), or None."""
    match = _LETTER.fullmatch(answer.strip().strip("$*").strip())
    return match[1].upper() if match else None


def _final_part(text: str) -> tuple[str, bool]:
    """Return the text after the thinking, and whether the thinking was cut off."""
    before, mark, after = text.rpartition("</think>")
    if mark:
        return (after, False) if after.strip() else (before, True)
    return text, "<think>" in text


def _last_box(text: str) -> str | None:
    closed = match_braces(text)
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue  # a box inside a box
        end = closed.get(match.end() - 1, -1)
        if end >= 0 and text[match.end() : end].strip():
            boxes.append((match.start(), end + 1, text[match.end() : end].replace("\\$", "").replace("$", "").strip()))
    if not boxes:
        return None
    parts = [boxes[-1][2]]
    for before, after in zip(boxes[-2::-1], boxes[:0:-1], strict=True):
        if not _is_joined(text[before[1] : after[0]]):
            break
        parts.insert(0, before[2])
    distinct = list(dict.fromkeys(parts))
    return ", ".join(distinct)


def _is_joined(between: str) -> bool:
    """Return whether two boxes are parts of one answer. Models box each root of an equation on its own, in one line;
    two boxes in two sentences or lines are a statement and its repetition or correction, and the last one counts."""
    if len(between) > _LONGEST_CONNECTOR or re.search(r"\.\s|\n|=>|\\Rightarrow", between):
        return False
    plain = re.sub(r"\\[A-Za-z]+", " ", between)
    return bool(_CONNECTOR.search(plain)) or not re.search(r"[A-Za-z=]", plain)


def _stated_after_box(area: str) -> str | None:
    last = max((match.start() for match in _BOX.finditer(area)), default=0)
    rest = area[last:]
    marker = _FINAL_MARKER.search(rest)
    return _stated(rest[marker.start() :]) if marker is not None else None


def _stated(area: str) -> str | None:
    for marker in list(_MARKER.finditer(area))[: -_MARKERS_TRIED - 1 : -1]:
        tail = area[marker.end() : marker.end() + _LONGEST_TAIL]
        tail = _SPECIAL_TOKEN.split(tail, maxsplit=1)[0].lstrip(' \n\t"')
        sentence = _first_sentence(tail)
        bold = _BOLD.search(sentence)
        candidate = _end_of(bold[1] if bold else sentence)
        if candidate and len(candidate) <= _LONGEST_ANSWER and _is_answer(candidate, marker, tail):
            return candidate
    return None


def _first_sentence(tail: str) -> str:
    """Return the text up to the first full stop or line end that is not inside a formula."""
    position = 0
    for formula in _MATH.finditer(tail):
        stop = _SENTENCE.search(tail, position, formula.start())
        if stop is not None:
            return tail[: stop.start()]
        position = formula.end()
    stop = _SENTENCE.search(tail, position)
    return tail[: stop.start()] if stop is not None else tail


def _end_of(sentence: str) -> str:
    """Return the formulas at the end of a sentence with their unit; the whole sentence if there are none."""
    formulas = list(_MATH.finditer(sentence))
    if formulas and len(re.findall(r"\w+", sentence[formulas[-1].end() :])) <= 1:
        first = len(formulas) - 1
        while first > 0 and _is_connector(sentence[formulas[first - 1].end() : formulas[first].start()]):
            first -= 1
        sentence = sentence[formulas[first].start() :]
    return sentence.strip(' *"').removesuffix("\\")


def _is_connector(between: str) -> bool:
    return not _CONNECTOR.sub("", between).strip()


def _is_answer(candidate: str, marker: re.Match[str], tail: str) -> bool:
    if not re.search(r"\w", candidate):
        return False
    if re.search(r"\d|\\[A-Za-z]", candidate) or marker["colon"] or marker["heading"]:
        return True
    return len(candidate.split()) <= 3 and len(tail.strip()) <= len(candidate) + 3


def _stated_letter(area: str) -> str | None:
    for pattern in (_LETTER_MARKER, _LETTER_LINE):
        found = pattern.findall(area)
        if found:
            return found[-1].upper()
    return None
