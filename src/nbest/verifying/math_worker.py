"""The program of a worker process: math-verify, one request at a time, under a memory limit.

    ["read", text]          -> what kind of thing math-verify reads there (see `_describe`)
    ["compare", a, b]       -> True or False, the same for both orders

Run by `nbest.verifying.workers`; nobody else imports this module. Model text reaches only math-verify's own parsers
(ANTLR for latex, a character-filtered arithmetic parser for the rest), never `eval` or `sympify` of ours.
"""

# pyright: standard
# math-verify has no types and sympy few: strict checking would report every line of this file.

import json
import logging
import os
import resource
import signal
import sys
from functools import lru_cache
from types import FrameType
from typing import Any, TextIO

import sympy
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from math_verify.grader import is_assignment_relation, take_last_relation

_DIGITS = 40
_LARGEST_BITS = 100_000


class TimeIsUp(BaseException):
    """Raised by the timer inside Python code; not an Exception, so that no handler of a library swallows it."""


def _has_delimiters(text: str) -> bool:
    return text.count("$") > 1 or any(mark in text for mark in ("\\(", "\\[", "\\boxed"))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """The sympy object math-verify reads, or None. An answer without marks is one formula as a whole; where formulas
    stand between words math-verify looks for the one that counts."""
    if _has_delimiters(text):
        items = parse(text, [LatexExtractionConfig(), ExprExtractionConfig()], parsing_timeout=0)
    else:
        items = parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=0)
    return next((item for item in items if not isinstance(item, str)), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, sympy.Expr) and not value.free_symbols and not isinstance(value, sympy.Set)


def _exact(value: sympy.Expr) -> sympy.Expr:
    """The value with its decimals as the rationals they are written as, arithmetic done."""
    floats = {item: sympy.Rational(str(item)) for item in value.atoms(sympy.Float)}
    return value.xreplace(floats).doit()


def _describe(value: Any) -> dict[str, Any] | None:
    """Return {"kind": "number", "exact": [top, bottom] or None, "approximate": str, "percent"} for a real constant,
    {"kind": "formula", "buckets": [str]} for the rest: things that can be equal share a bucket. None where math-verify
    read nothing."""
    value = _bare(value)
    if value is None:
        return None
    if _is_number(value):
        number = _number(value)
        if number is not None:
            return number
    buckets = [_bucket(value)]
    if is_assignment_relation(value):
        buckets.append(_bucket(take_last_relation(value).rhs))  # `y = f(x)` can be `f(x)`
    return {"kind": "formula", "buckets": sorted(set(buckets))}


def _bare(value: Any) -> Any:
    """Return the value without a leading `x =` and without the braces around a single thing."""
    while True:
        if is_assignment_relation(value) and _is_number(take_last_relation(value).rhs):
            value = take_last_relation(value).rhs
        elif isinstance(value, (sympy.FiniteSet, sympy.Tuple)) and len(value.args) == 1:
            value = value.args[0]
        else:
            return value


def _number(value: sympy.Expr) -> dict[str, Any] | None:
    percent = sympy.UnevaluatedExpr(sympy.Rational(1, 100))
    is_percent = isinstance(value, sympy.Mul) and value.args[-1] == percent
    if is_percent:
        value = sympy.Mul(*value.args[:-1])  # pyright: ignore[reportArgumentType]
    exact = _exact(value)
    if isinstance(exact, sympy.Rational):
        if max(exact.p.bit_length(), exact.q.bit_length()) > _LARGEST_BITS:
            return None
        return {"kind": "number", "exact": [hex(exact.p), hex(exact.q)], "approximate": None, "percent": is_percent}
    approximate = exact.evalf(_DIGITS)
    if not isinstance(approximate, sympy.Float) or not approximate.is_finite:
        return None
    return {"kind": "number", "exact": None, "approximate": str(approximate), "percent": is_percent}


def _bucket(value: Any) -> str:
    """Return a coarse key. Relations and sets can be equal to one another in many ways, so all of them share one; an
    expression has its value at a fixed point, where everything is positive and nothing special."""
    if isinstance(value, (sympy.MatrixBase, sympy.MatrixExpr)) or value.atoms(sympy.MatrixBase):
        return "matrix"
    if not isinstance(value, sympy.Expr) or isinstance(value, sympy.Set):
        return "set"
    point: dict[Any, Any] = {symbol: _coordinate(str(symbol)) for symbol in value.free_symbols}
    try:
        number = sympy.N(_exact(value).subs(point), 20)
        if number.is_number and number.is_finite:
            return f"expression {sympy.N(number, 7)}"
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return "expression"
    return "expression"


def _coordinate(name: str) -> Any:
    total = sum(position * ord(letter) for position, letter in enumerate(name, start=1))
    return sympy.Rational(1009 * total % 7919 + 101, 7919)


def _compare(a: str, b: str) -> bool:
    first, second = _parsed(a), _parsed(b)
    if first is None or second is None:
        return False
    return _verify(first, second) and _verify(second, first)


def _verify(gold: Any, other: Any) -> bool:
    return bool(verify(gold, other, allow_set_relation_comp=True, timeout_seconds=0))


def _answer(request: list[Any]) -> dict[str, Any]:
    try:
        if request[0] == "read":
            return {"value": _describe(_parsed(request[1]))}
        return {"value": _compare(request[1], request[2])}
    except MemoryError:
        return {"value": None, "note": "out of memory"}
    except Exception as error:  # noqa: BLE001  one answer that sympy cannot digest is a note, not the end of a worker
        return {"value": None, "note": f"{type(error).__name__} in math-verify"}


def _serve(requests: TextIO, replies: TextIO, limit_seconds: float) -> None:
    def on_timer(_signal: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    signal.signal(signal.SIGVTALRM, on_timer)
    for line in requests:
        for request in json.loads(line):
            try:
                _set_timers(limit_seconds)
                try:
                    reply = _answer(request)
                finally:
                    _set_timers(0.0)
            except TimeIsUp:
                reply = {"value": None, "note": f"timed out after {limit_seconds:g} s"}
            print(json.dumps(reply), file=replies, flush=True)


def _set_timers(seconds: float) -> None:
    """Processor time, so that a verdict does not depend on what else the machine does. The second timer has its default
    action, which ends the process: it reaches C code that never returns, and orphans."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, 1.5 * seconds)


def main() -> None:
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    logging.disable(logging.CRITICAL)
    memory = int(settings.get("memory_bytes", 2 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not stand between the replies
    for text in ("\\frac{1}{2}", "x^2+1", "\\{1,2\\}"):
        _answer(["read", text])  # builds the parser's tables outside of anybody's time limit
    print("{}", file=replies, flush=True)
    _serve(sys.stdin, replies, float(settings.get("limit_seconds", 5.0)))


if __name__ == "__main__":
    main()
