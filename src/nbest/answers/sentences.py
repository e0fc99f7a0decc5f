"""What surrounds a statement in prose: whether it is complete, was taken back, or was only supposed.

Shared by the readers of answers and of letters. This module does not know what an answer looks like.
"""

import re

_CONTEXT = 40
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|unless|imagine|say|had|why)\b[^.\n!?:]*$", re.IGNORECASE
)
_SENTENCE_START = re.compile(r"[.!?:\n](?=\s)|\n")
_TAKEN_BACK = re.compile(
    r"\b(?:wait|hold on|hmm+|oops|sorry|actually|correction|mistake|however|but|no|incorrect|wrong"
    r"|let(?:'s| us| me) (?:re|double|check|verify|think|try|see)\w*|double[- ]check|is(?:n't| not) right)\b",
    re.IGNORECASE,
)


def is_supposed(text: str, start: int) -> bool:
    """Return whether the statement at `start` stands under an "if", "suppose" or "whether" of its own sentence."""
    before = text[max(0, start - _CONTEXT) : start]
    return _SUPPOSED.search(before) is not None


def is_complete(text: str, end: int) -> bool:
    """Return whether a sentence or line ends right after `end`, so that a cut text cannot have cut the statement."""
    rest = text[end : end + _CONTEXT].lstrip(" \t$*`)}]\\\"'")
    return rest.startswith("\n") or _SENTENCE_START.match(rest) is not None


def is_taken_back(text: str, end: int) -> bool:
    """Return whether the text after `end` doubts or corrects what was stated before it."""
    return _TAKEN_BACK.search(text, end) is not None
