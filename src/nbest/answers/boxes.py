"""The last box of a text: `\\boxed{...}` or `\\fbox{...}`, and the boxes of one line that are one answer.

This module does not know reasoning, kinds or other ways to state an answer.
"""

import re
from typing import NamedTuple

_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,4}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DOLLARS = re.compile(r"(?<!\\)\$([^$]*)(?<!\\)\$")
_LONGEST_JOINT = 40
_BREAK = re.compile(r"\.\s|\n|=>|\\Rightarrow|\\implies|\u21d2|\u2192")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_CONNECTOR = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|[,;&]")
_CORRECTION = re.compile(
    r"(?<![A-Za-z])(?:actually|wait|no|not|correction|rather|sorry|oops|instead|mean|hmm+|hence|so|thus|therefore|then"
    r"|means|gives|giving|which|since|because|but|yields|should|is|equals|i\.e)(?![A-Za-z])",
    re.IGNORECASE,
)


class Box(NamedTuple):
    """The content of the last box (of several side by side a list `1, -2`), and where it ends in the text."""

    content: str
    end: int


def find_last_box(text: str) -> Box | None:
    """Return the last box whose braces are balanced and that is not empty; None where there is none.

    Boxes side by side on one line, joined by nothing, a comma, "and" or "or", are the parts of one answer; a box that
    repeats another one counts once. Where a word such as "actually", "wait" or "so" stands between two boxes, the
    second replaces the first.
    """
    boxes = _find_boxes(text)
    if not boxes:
        return None
    parts = [boxes[-1][2]]
    for position in range(len(boxes) - 1, 0, -1):
        if not _is_joined(text, boxes[position - 1][1], boxes[position][0]):
            break
        parts.append(boxes[position - 1][2])
    return Box(", ".join(dict.fromkeys(reversed(parts))), boxes[-1][1])


def _find_boxes(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and content of each outermost box."""
    starts = {match.end() - 1: match.start() for match in _BOX.finditer(text)}
    if not starts:
        return []
    closings = match_braces(text, min(starts))
    boxes: list[tuple[int, int, str]] = []
    for brace, start in starts.items():
        if boxes and start < boxes[-1][1]:
            continue
        end = closings.get(brace, -1)
        content = _DOLLARS.sub(r"\1", text[brace + 1 : end]).strip() if end >= 0 else ""
        if content.strip("$"):
            boxes.append((start, end + 1, content))
    return boxes


def _is_joined(text: str, start: int, end: int) -> bool:
    """Return whether two boxes with `text[start:end]` between them are parts of one answer."""
    if end - start > _LONGEST_JOINT:
        return False
    between = text[start:end]
    if _BREAK.search(between):
        return False
    plain = _COMMAND.sub(" ", between)
    if _CORRECTION.search(plain):
        return False
    return _CONNECTOR.search(plain) is not None or re.search(r"[A-Za-z=]", plain) is None


def match_braces(text: str, start: int = 0) -> dict[int, int]:
    """Return the position of the closing brace of each opening one from `start` on; escaped ones do not count."""
    closings: dict[int, int] = {}
    open_braces: list[int] = []
    for match in _BRACE.finditer(text, start):
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}" and open_braces:
            closings[open_braces.pop()] = match.start()
    return closings
