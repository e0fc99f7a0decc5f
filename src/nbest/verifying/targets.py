"""Targets that cannot be read: found before anything is graded, because every answer would be compared in vain.

A target is readable where it has a reading of the kind of its problem: a number, date, Python literal or choice letters
for the kinds of these names. For `math` every value is readable and so are plain words (`Evelyn`, `no solution`), but
not a text with digits or TeX commands that reads as words alone: there something was meant that was not understood.
Targets of the kinds `exact` and `code`, which are not read, are never faulty, and neither is a target that is absent.

This module does not know runs, files or trajectories.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbest.answers.notation import LONGEST_FORM
from nbest.answers.reading import read_answer
from nbest.answers.values import (
    Answer,
    Claim,
    Date,
    Letters,
    Named,
    Number,
    PythonLiteral,
    Quantity,
    Ratio,
    Text,
    Time,
    Value,
)
from nbest.errors import DataError
from nbest.plurals import show_count
from nbest.records import KINDS, Kind, Problem
from nbest.verifying.equivalence import Equivalence

_LISTED_TARGETS = 5
_SHOWN_CHARACTERS = 80
_MEANT = re.compile(r"\d|\\[A-Za-z]")
"""What plain words do not have: digits and TeX commands."""
_NUMERIC = (Number, Quantity, Ratio, Time)
_NAMES: dict[Kind, str] = {
    "number": "number",
    "date": "date",
    "python": "Python literal",
    "choice": "choice letter",
}


@dataclass(frozen=True, slots=True)
class UnreadableTarget:
    """A target that cannot be read, with the problem it belongs to and the reason."""

    problem_id: str
    kind: Kind
    target: str
    reason: str

    def __str__(self) -> str:
        text = self.target if len(self.target) <= _SHOWN_CHARACTERS else self.target[:_SHOWN_CHARACTERS] + "..."
        return f"problem {self.problem_id!r} (kind {self.kind}): target {text!r}: {self.reason}"


def require_readable_targets(problems: Iterable[Problem], equivalence: Equivalence, where: str) -> None:
    """Raise DataError where a target cannot be read. It lists the first five and counts the others."""
    unreadable = find_unreadable_targets(problems, equivalence)
    if unreadable:
        raise DataError(f"{where}: {describe_unreadable(unreadable)}\nNothing was graded.")


def describe_unreadable(unreadable: Sequence[UnreadableTarget]) -> str:
    """Return a message with the first five targets, the number of the others, and what to do."""
    count = len(unreadable)
    lines = [f"{show_count(count, 'target')} cannot be read:"]
    lines += [f"  {target}" for target in unreadable[:_LISTED_TARGETS]]
    if count > _LISTED_TARGETS:
        lines.append(f"  ... and {show_count(count - _LISTED_TARGETS, 'other')}")
    lines.append(
        'Correct the problem set and import or sample it again; kind = "exact" compares answers as they are spelled.'
    )
    return "\n".join(lines)


def find_unreadable_targets(
    problems: Iterable[Problem], equivalence: Equivalence | None = None
) -> list[UnreadableTarget]:
    """Return the targets that cannot be read, in the order of `problems`.

    Without an `equivalence` no worker process is asked: a target that only math-verify may read counts as readable.
    """
    stated = [(problem, (problem.target or "").strip()) for problem in problems]
    stated = [(problem, target) for problem, target in stated if target and problem.kind not in ("exact", "code")]
    answers: dict[tuple[Kind, str], Answer] = {}
    for kind in KINDS:
        targets = list(dict.fromkeys(target for problem, target in stated if problem.kind == kind))
        if equivalence is not None:
            readings = equivalence.read(targets, kind)
        else:
            readings = [read_answer(target, kind) for target in targets]
        answers |= {(kind, target): answer for target, answer in zip(targets, readings, strict=True)}
    return [
        UnreadableTarget(problem.id, problem.kind, target, reason)
        for problem, target in stated
        if (reason := find_fault(answers[problem.kind, target], problem.kind))
    ]


def find_fault(answer: Answer, kind: Kind) -> str:
    """Return why a target with these readings cannot be graded against; "" where it can."""
    if not answer.form:
        return "nothing is left of it but notation"
    if len(answer.form) > LONGEST_FORM:
        return f"it has more than {LONGEST_FORM} characters: a whole solution instead of its answer?"
    if answer.is_unread or answer.note:
        # Not known here, or not read within the limits of the worker: its verdicts say so.
        return ""
    values = [reading.value for reading in answer.readings]
    if kind == "math":
        is_text = all(isinstance(value, Text) for value in values)
        return (
            "it has digits or TeX commands, but reads as words alone" if is_text and _MEANT.search(answer.form) else ""
        )
    return "" if any(_is_of_kind(value, kind) for value in values) else f"it has no reading as a {_NAMES[kind]}"


def _is_of_kind(value: Value, kind: Kind) -> bool:
    match kind:
        case "number":
            if isinstance(value, (Named, Claim)):
                return any(_is_of_kind(reading.value, kind) for reading in value.value.readings)
            return isinstance(value, _NUMERIC)
        case "date":
            return isinstance(value, Date)
        case "python":
            return isinstance(value, PythonLiteral)
        case "choice":
            return isinstance(value, Letters)
        case _:
            return True
