"""Why our verdict on a trajectory differs from a label that somebody else published: one cause per difference.

Causes are sorted by where to look next, and not by who is right: that takes a person who reads the trajectory. A cause
is a short phrase that is the same for all differences of its kind, so that they can be counted.

This module does not know runs.
"""

import re

from nbest.programs.extraction import NO_PROGRAM
from nbest.records import Problem, Verdict
from nbest.verifying.code.errata import find_fault

UNGRADED = "we could not grade it"
NO_ANSWER = "labelled right, and we find no answer in the text"
OTHER_ANSWER = "labelled right, and our answer is not equal to the target"
SAME_TEXT = "labelled wrong, and our answer is written like the target"
OTHER_FORM = "labelled wrong, and our answer is equal to the target in another form"
WITHOUT_PROGRAM = "labelled right, and we find no program in the text"
LIMIT = "labelled right, and here it passed a limit of time, memory or output"
PACKAGE = "labelled right, and here a package that it imports is missing"
RAISED = "labelled right, and here it raised an exception"
FAILED_TEST = "labelled right, and here it fails a test"
PASSED_TESTS = "labelled wrong, and here it passes every test"
KNOWN_FAULT = "the tests of the problem have a known fault"
UNSTABLE = "our own verdict changes when it is graded again"

_LIMIT = re.compile(r"timed out|of memory|more than is allowed")
_PACKAGE = re.compile(r"not in the package set|ModuleNotFoundError|No module named")
_RAISED = re.compile(r"\braised\b|\bexited\b|\bended by signal\b|\bsyntax\b", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


def find_cause(problem: Problem, label: bool, verdict: Verdict) -> str | None:
    """Return why a verdict differs from a label; None if they agree."""
    if verdict.correct is label:
        return None
    if verdict.correct is None:
        return UNGRADED
    if problem.kind == "code":
        if find_fault(problem) is not None:
            return KNOWN_FAULT
        return PASSED_TESTS if verdict.correct else _find_code_cause(verdict.note)
    if not verdict.correct:
        return NO_ANSWER if verdict.answer is None else OTHER_ANSWER
    is_same = _SPACES.sub("", verdict.answer or "") == _SPACES.sub("", problem.target or "")
    return SAME_TEXT if is_same else OTHER_FORM


def _find_code_cause(note: str) -> str:
    if NO_PROGRAM in note:
        return WITHOUT_PROGRAM
    if _PACKAGE.search(note):
        return PACKAGE
    if _LIMIT.search(note):
        return LIMIT
    return RAISED if _RAISED.search(note) else FAILED_TEST
