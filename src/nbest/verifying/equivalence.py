"""When two answers are the same: the one relation behind votes and grades.

Answers are read into types (`nbest.answers.reading`) and compared within a type (`nbest.answers.comparing`);
docs/answers.md states the rules. Only formulas that our own parser does not read go to math-verify, in a worker process
with limits, which must agree in both orders. Each distinct text is read once and cached, and a pool is clustered with
keys, so that N candidates cost about as many comparisons as they have distinct texts.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import Any

from nbest.answers.comparing import find_equal
from nbest.answers.keys import home_keys, lookup_keys
from nbest.answers.reading import fold, read_answer
from nbest.answers.values import (
    ARITHMETIC,
    Answer,
    Expression,
    Formula,
    Intervals,
    Matrix,
    Number,
    Reading,
    Relation,
    Text,
)
from nbest.answers.values import Sequence as SequenceValue
from nbest.records import Kind
from nbest.verifying.workers import Reply, WorkerPool

_CACHED = 200_000
_PATIENCE = 4.0
"""Wall-clock limit of a check as a multiple of its limit in processor time: reached only on a very busy machine."""
_READABLE = (Expression, Relation, Intervals, Matrix, SequenceValue)
"""What math-verify can find equal to a formula."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing two answers.

    `is_equal` is None where they could not be compared; `note` then says why. For equal answers `note` names the
    reading that made them equal, where it is not the plain one.
    """

    is_equal: bool | None
    note: str = ""


class Equivalence:
    """The relation, with its cache and its worker processes (started when an answer first needs math-verify).

    More `workers` share the parsing, but each keeps what it parsed to itself, so that a comparison may parse again.
    `limit_seconds` is the processor time of one parse or comparison (four times that in wall-clock time, then the
    worker is killed whatever it does), `memory_bytes` the address space of a worker. `kind` is everywhere the kind of
    the problem that is answered. Safe to call from several threads. Close it, or use it as a context manager.
    """

    def __init__(self, workers: int = 1, limit_seconds: float = 5.0, memory_bytes: int = 2 << 30):
        settings = {"memory_bytes": memory_bytes, "limit_seconds": limit_seconds}
        self._pool = WorkerPool("nbest.verifying.math_worker", settings, workers, _PATIENCE * limit_seconds)
        self._formulas: OrderedDict[str, Answer] = OrderedDict()
        self._pairs: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._lock = threading.Lock()

    def same(self, a: str, b: str, kind: Kind = "math") -> bool:
        """Return whether two answers are the same; False also if they could not be compared (`compare` tells the two
        apart).
        """
        return self.compare(a, b, kind).is_equal is True

    def compare(self, a: str, b: str, kind: Kind = "math") -> Comparison:
        """Return whether two answers are the same, with a note. The relation is symmetric; a blank answer equals
        nothing.
        """
        first, second = self.read([a, b], kind)
        return self._compare(first, second)

    def cluster(self, answers: Sequence[str | None], kind: Kind = "math") -> list[int | None]:
        """Return the cluster number of each answer, numbered by first appearance; None for no answer (None or blank).

        An answer joins the first cluster all of whose members it is the same as. The distinct answers are taken in a
        fixed order (exact numbers, then decimals, then percentages, then the rest by length and spelling), so the
        partition does not depend on the order of `answers`. That order decides where the relation is not transitive:
        28% joins 28 rather than 0.28 where both are there.
        """
        return self.cluster_with_certainty(answers, kind)[0]

    def cluster_with_certainty(
        self, answers: Sequence[str | None], kind: Kind = "math"
    ) -> tuple[list[int | None], bool]:
        """Return what `cluster` returns, and whether no answer was without a reading and no comparison failed."""
        stated = [answer for answer in answers if answer is not None and answer.strip()]
        readings = dict(zip(stated, self.read(stated, kind), strict=True))
        forms = {answer.form: answer for answer in readings.values() if answer.form}
        index, is_certain = self._partition(list(forms.values()))
        numbers: dict[int, int] = {}
        clusters: list[int | None] = []
        for answer in answers:
            form = readings[answer].form if answer in readings else ""
            clusters.append(numbers.setdefault(index[form], len(numbers)) if form else None)
        return clusters, is_certain

    def read(self, answers: Iterable[str], kind: Kind = "math") -> list[Answer]:
        """Return what each answer is; those that only math-verify reads are parsed in one batch."""
        readings = [read_answer(answer, kind) for answer in answers]
        unread = [answer.form for answer in readings if answer.is_unread]
        if not unread:
            return readings
        formulas = self._read_formulas(dict.fromkeys(unread))
        return [formulas[answer.form] if answer.is_unread else answer for answer in readings]

    def _read_formulas(self, forms: Iterable[str]) -> dict[str, Answer]:
        with self._lock:
            answers = {form: self._formulas[form] for form in forms if form in self._formulas}
        missing = [form for form in forms if form not in answers]
        replies = self._pool.ask([("read", form) for form in missing]) if missing else []
        with self._lock:
            for form, reply in zip(missing, replies, strict=True):
                answers[form] = self._formulas[form] = _understand(form, reply)
            while len(self._formulas) > _CACHED:
                self._formulas.popitem(last=False)
        return answers

    def _partition(self, answers: list[Answer]) -> tuple[dict[str, int], bool]:
        """Return the cluster (any number) of each form, and whether all of it is certain."""
        is_certain = not any(answer.note for answer in answers)

        def are_equal(a: Answer, b: Answer) -> bool:
            nonlocal is_certain
            is_equal = self._compare(a, b).is_equal
            is_certain = is_certain and is_equal is not None
            return bool(is_equal)

        index: dict[str, int] = {}
        members: list[list[Answer]] = []
        by_key: dict[str, list[int]] = {}
        for answer in sorted(answers, key=_rank):
            near = sorted({number for key in lookup_keys(answer) for number in by_key.get(key, ())})
            number = next((n for n in near if all(are_equal(answer, m) for m in members[n])), None)
            if number is None:
                number = len(members)
                members.append([])
            members[number].append(answer)
            for key in home_keys(answer):
                by_key.setdefault(key, []).append(number)
            index[answer.form] = number
        return index, is_certain

    def _compare(self, a: Answer, b: Answer) -> Comparison:
        if not a.form or not b.form:
            return Comparison(False)
        if a.form == b.form:
            return Comparison(True)
        if a.note or b.note:
            return Comparison(None, a.note or b.note)
        pair = find_equal(a, b)
        if pair is not None:
            return Comparison(True, "; ".join(dict.fromkeys(reading.note for reading in pair if reading.note)))
        if not _may_be_formulas(a, b):
            return Comparison(False)
        reply = self._ask(*sorted((a.form, b.form)))
        return Comparison(reply.value, reply.note or "compared by math-verify")

    def _ask(self, a: str, b: str) -> Reply:
        with self._lock:
            reply = self._pairs.get((a, b))
        if reply is None:
            reply = self._pool.ask([("compare", a, b)])[0]
            with self._lock:
                self._pairs[(a, b)] = reply
                if len(self._pairs) > _CACHED:
                    self._pairs.popitem(last=False)
        return reply

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def __enter__(self) -> "Equivalence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _understand(form: str, reply: Reply) -> Answer:
    """Return what math-verify read: a constant, a formula, or text where it read nothing."""
    value: dict[str, Any] | None = reply.value
    if value is None:
        return Answer(form, (Reading(Text(fold(form))),), note=reply.note)
    if value["kind"] == "formula":
        return Answer(form, (Reading(Formula(form, tuple(value["buckets"]))),))
    if value["exact"] is None:
        number = Number(None, ARITHMETIC.mpf(str(Decimal(value["approximate"]))))
    else:
        top, bottom = (int(part, 16) for part in value["exact"])
        number = Number(Fraction(top, bottom))
    return Answer(form, (Reading(replace(number, is_percent=value["percent"]), "value by math-verify"),))


def _may_be_formulas(a: Answer, b: Answer) -> bool:
    """Return whether math-verify has to say if two answers are equal: one is a formula, and the other may be one."""
    first, second = ([reading.value for reading in answer.readings] for answer in (a, b))
    formulas = [value for value in first + second if isinstance(value, Formula)]
    if len(formulas) == 2:
        return bool(set(formulas[0].buckets) & set(formulas[1].buckets))
    return len(formulas) == 1 and any(isinstance(value, _READABLE) for value in first + second)


def _rank(answer: Answer) -> tuple[Any, ...]:
    values = [reading.value for reading in answer.readings]
    number = next((value for value in values if isinstance(value, Number)), None)
    kind = 0 if number is not None else 2 if any(isinstance(value, (Text, Formula)) for value in values) else 1
    is_percent, is_decimal = bool(number and number.is_percent), bool(number and number.places)
    return kind, is_percent, is_decimal, len(answer.form), answer.form
