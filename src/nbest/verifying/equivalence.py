"""When two answers are the same: the one relation behind votes and grades, built on math-verify.

Two answers are the same when the first of these rules that applies says so:
  1. Equal normal forms (`nbest.text.forms`) are the same.
  2. Words (`no solution`) and numeric claims (`(6-4)*12 = 24`) are the same only by rule 1. By value every correct
     claim about 24 would be one answer, 24.
  3. Numbers, plain ones and every constant expression such as `(4+4)*(10-7)`, `\\sqrt{8}/2` or `x = 5`, are compared
     by value (`same_number`).
  4. A list of answers is the same only as a list of the same length: a subset of the required answers is not enough.
  5. For the rest math-verify is asked in both orders, and both must agree.

Each distinct string is parsed once, in a worker process, and cached; numbers, words and claims never need a pair
check, other things are compared only with representatives of clusters that share a coarse key. So N candidates cost
about as many checks as they have distinct strings.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import TracebackType
from typing import Any

from nbest.text.forms import LONGEST_FORM, is_claim, is_text, normal_form
from nbest.text.numbers import Number, read_number, same_number
from nbest.verifying.workers import Reply, WorkerPool

_CACHED = 200_000
_PATIENCE = 4.0
"""Wall-clock limit of a check as a multiple of its limit in processor time: reached only on a very busy machine."""
_COMMA = re.compile(r"-?\d{1,100},\d{1,100}")
_UNLISTED = re.compile(r"[<>]|\\(?:le|ge|lt|gt|ne|cup|cap|in|setminus|begin)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer is. `kind`: "number", "text" (words, claims, and what could not be read) or "other";
    things of kind "other" that can be the same share one of their `buckets`, and `number` is then what the form is read
    as where it meets a number (`1,22` is a list, and with a decimal comma 1.22). `note` says why it was not read."""

    form: str
    kind: str
    number: Number | None = None
    buckets: tuple[str, ...] = ()
    parts: int = 0
    note: str = ""


class Equivalence:
    """The relation, with its cache and its worker processes (started when an answer first needs math-verify).

    More `workers` share the parsing, but each keeps what it parsed to itself, so that a comparison may parse again.
    `limit_seconds` is the processor time of one parse or comparison (four times that in wall-clock time, then the
    worker is killed whatever it does), `memory_bytes` the address space of a worker.
    Safe to call from several threads. Close it, or use it as a context manager.
    """

    def __init__(self, workers: int = 1, limit_seconds: float = 5.0, memory_bytes: int = 2 << 30):
        settings = {"memory_bytes": memory_bytes, "limit_seconds": limit_seconds}
        self._pool = WorkerPool("nbest.verifying.math_worker", settings, workers, _PATIENCE * limit_seconds)
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._pairs: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._lock = threading.Lock()

    def same(self, a: str, b: str) -> bool:
        """Return whether two answers are the same; False also if they could not be compared (`judge` tells the two
        apart).
        """
        return self.judge(a, b)[0] is True

    def judge(self, a: str, b: str) -> tuple[bool | None, str]:
        """Return the result of `same`, or (None, note) if the pair could not be compared."""
        first, second = self.read([a, b])
        return self._judge(first, second)

    def cluster(self, answers: Sequence[str | None]) -> list[int | None]:
        """Return the cluster number of each answer, numbered by first appearance; None for no answer (None or blank).

        The partition does not depend on the order of `answers`: the distinct normal forms are taken in a fixed order
        (exact numbers, then decimals, then percentages, then the rest by length and spelling), and each joins the
        first cluster whose first member it is the same as. That order decides where the relation is not transitive:
        0.333333 joins 1/3, and 28% joins 28 rather than 0.28 where both are there.
        """
        forms = [normal_form(answer) if answer is not None else "" for answer in answers]
        readings = self.read_forms(dict.fromkeys(form for form in forms if form))
        place = self._partition(list(readings.values()))
        numbers: dict[int, int] = {}
        return [numbers.setdefault(place[form], len(numbers)) if form else None for form in forms]

    def read(self, answers: Iterable[str]) -> list[Reading]:
        """Return what each answer is; new answers are parsed in one batch."""
        forms = [normal_form(answer) for answer in answers]
        readings = self.read_forms(dict.fromkeys(forms))
        return [readings[form] for form in forms]

    def read_forms(self, forms: Iterable[str]) -> dict[str, Reading]:
        """Return what each normal form is, by form."""
        found: dict[str, Reading] = {}
        unread: list[str] = []
        for form in forms:
            with self._lock:
                reading = self._readings.get(form)
                reading = reading or _read_plainly(form)
                if reading is None:
                    unread.append(form)
                else:
                    found[form] = self._readings[form] = reading
        replies = self._pool.ask([("read", form.removesuffix("%")) for form in unread]) if unread else []
        with self._lock:
            for form, reply in zip(unread, replies, strict=True):
                found[form] = self._readings[form] = _understand(form, reply)
            while len(self._readings) > _CACHED:
                self._readings.popitem(last=False)
        return found

    def _partition(self, readings: list[Reading]) -> dict[str, int]:
        """Return the cluster (any number) of each normal form."""
        place: dict[str, int] = {}
        representatives: dict[str, list[tuple[int, Reading]]] = {}
        for reading in sorted(readings, key=_rank):
            near = (pair for key in _lookups(reading) for pair in representatives.get(key, ()))
            joined = next((number for number, other in near if self._judge(reading, other)[0]), None)
            if joined is None:
                joined = len(place)  # larger than every number given so far
                for key in _homes(reading):
                    representatives.setdefault(key, []).append((joined, reading))
            place[reading.form] = joined
        return place

    def _judge(self, a: Reading, b: Reading) -> tuple[bool | None, str]:
        if a.form == b.form:
            return (True, "") if a.form else (False, "")
        if a.note or b.note:
            return None, a.note or b.note
        if "number" in (a.kind, b.kind):
            return a.number is not None and b.number is not None and same_number(a.number, b.number), ""
        if not set(a.buckets) & set(b.buckets) or not _same_length(a, b):
            return False, ""
        return self._ask(*sorted((a.form, b.form)))

    def _ask(self, a: str, b: str) -> tuple[bool | None, str]:
        with self._lock:
            reply = self._pairs.get((a, b))
        if reply is None:
            reply = self._pool.ask([("compare", a, b)])[0]
            with self._lock:
                self._pairs[(a, b)] = reply
                if len(self._pairs) > _CACHED:
                    self._pairs.popitem(last=False)
        return reply.value, reply.note

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def __enter__(self) -> "Equivalence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_plainly(form: str) -> Reading | None:
    """Return what a form is if that needs no worker, else None."""
    if len(form) > LONGEST_FORM:
        return Reading(form, "text", note=f"not judged: the answer has more than {LONGEST_FORM} characters")
    number = read_number(form)
    if number is not None:
        return Reading(form, "number", number)
    if not form or is_text(form) or is_claim(form):
        return Reading(form, "text")
    return None


def _understand(form: str, reply: Reply) -> Reading:
    value: dict[str, Any] | None = reply.value
    if value is None:
        return Reading(form, "text", note=reply.note)
    if value["kind"] == "other":
        return Reading(form, "other", _decimal_comma(form), tuple(value["buckets"]), count_listed(form))
    is_percent = value["percent"] or form.endswith("%")
    if value["exact"] is None:
        number = Number(None, Decimal(value["approximate"]), value["decimal"], is_percent)
    else:
        top, bottom = (int(part, 16) for part in value["exact"])
        number = Number.of(Fraction(top, bottom), value["decimal"], is_percent)
    return Reading(form, "number", number)


def _decimal_comma(form: str) -> Number | None:
    return Number.of(Fraction(form.replace(",", ".")), is_decimal=True) if _COMMA.fullmatch(form) else None


def _rank(reading: Reading) -> tuple[Any, ...]:
    number = reading.number
    kind = ("number", "other", "text").index(reading.kind)
    return (
        kind,
        bool(number and number.is_percent),
        bool(number and number.is_decimal),
        len(reading.form),
        reading.form,
    )


def _homes(reading: Reading) -> list[str]:
    """Return the keys under which a representative is stored."""
    if reading.kind == "number" and reading.number is not None:
        return [("percent " if reading.number.is_percent else "number ") + reading.number.rounded]
    return [f"other {bucket}" for bucket in reading.buckets]


def _lookups(reading: Reading) -> list[str]:
    """Return the keys under which a reading looks for an equal representative."""
    number = reading.number
    if number is None:
        return _homes(reading)
    values = ["number " + number.rounded]
    if number.is_percent:
        values.append("number " + number.divided(100).rounded)
    return [*values, *_homes(reading)]


def count_listed(form: str) -> int:
    """How many answers a form lists side by side; `\\pm` counts twice, the inside of one pair of brackets around
    everything is looked into. 0 where the length says nothing (inequalities, unions, matrices)."""
    if _UNLISTED.search(form):
        return 0
    named, equals, value = form.partition("=")
    body = value if equals and "=" not in value and _count_top(named) == 1 else form
    body = body.replace("\\{", "{").replace("\\}", "}").strip("$ ")
    count = _count_top(body)
    if count == 1 and body[:1] in "({[" and body[-1:] in ")}]":
        count = _count_top(body[1:-1])
    return count


def _count_top(body: str) -> int:
    """Distinct parts between separators outside brackets: semicolons where there are any, else commas."""
    depth, separators = 0, {",": [-1], ";": [-1]}
    for position, character in enumerate(body):
        if character in "({[":
            depth += 1
        elif character in ")}]":
            depth -= 1
        elif depth == 0 and character in separators:
            separators[character].append(position)
    places = [*(separators[";"] if len(separators[";"]) > 1 else separators[","]), len(body)]
    parts = {body[start + 1 : end].strip() for start, end in pairwise(places)} - {""}
    return sum(2 if "\\pm" in part else 1 for part in parts)


def _same_length(a: Reading, b: Reading) -> bool:
    return not a.parts or not b.parts or a.parts == b.parts
