"""Expressions and relations as values at fixed points."""

import re
from fractions import Fraction
from typing import Any

from nbest.answers.evaluation import evaluate, find_symbols, has_absolute, to_real
from nbest.answers.parsing import Node, NotAnExpression, parse
from nbest.answers.values import Answer, Expression, Number, Reading, Relation, Sequence, is_close

_POINTS = (0, 1, 2)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.])(\d{1,3})((?:,\d{3})+)(?![\d])")


def read_expression(form: str) -> tuple[Reading, ...]:
    """Return the constant or the expression with symbols that a form is; `\\pm` gives a list of two. () if neither."""
    if _PLUS_MINUS.search(form):
        return _read_plus_minus(form)
    if not re.search(r"[\dA-Za-z]", form):
        return ()
    try:
        node = parse(_without_thousands(form))
        value = evaluate(node) if not find_symbols(node) else _sample(node)
    except NotAnExpression:
        return ()
    if isinstance(value, Expression):
        return (Reading(Number(None, value.values[0]) if _is_constant(value) else value),)
    return (Reading(make_number(value)),)


def read_constant(form: str) -> Number | None:
    """Return the constant that a form is, None if it is anything else."""
    for reading in read_expression(form):
        if isinstance(reading.value, Number):
            return reading.value
    return None


def make_number(value: Any) -> Number:
    """Return a value of `evaluate` as a Number."""
    return Number(value) if isinstance(value, Fraction) else Number(None, value)


def make_relation(sign: str, left: str, right: str) -> tuple[Reading, ...]:
    """Return `left sign right` as values of the difference at fixed points; () if a side is no expression, or if there
    are no symbols."""
    try:
        difference = Node("+", (parse(_without_thousands(left)), Node("negative", (parse(_without_thousands(right)),))))
        if sign in (">", "\\ge"):
            sign, difference = {">": "<", "\\ge": "\\le"}[sign], Node("negative", (difference,))
        if not find_symbols(difference):
            return ()  # a claim about constants, true or not
        sample = _sample(difference)
    except NotAnExpression:
        return ()
    match sign:
        case "=":
            return (Reading(Relation("=", sample)),)
        case "\\ne":
            return (Reading(Relation("!=", sample)),)
        case "<":
            return (Reading(Relation("<", sample)),)
        case "\\le":
            return (Reading(Relation("<=", sample)),)
        case _:
            return ()


def _sample(node: Node) -> Expression:
    values = tuple(to_real(evaluate(node, point)) for point in _POINTS)
    try:
        signed = tuple(to_real(evaluate(node, point, is_signed=True)) for point in _POINTS)
    except NotAnExpression:
        signed = ()
    return Expression(values, signed, has_absolute(node))


def _is_constant(expression: Expression) -> bool:
    """Return whether an expression with symbols has one value everywhere (`\\sin^2 x + \\cos^2 x`)."""
    values = [*expression.values, *(expression.signed if expression.has_absolute else ())]
    return all(is_close(value, values[0]) for value in values)


def _without_thousands(form: str) -> str:
    return _THOUSANDS.sub(lambda match: match[1] + match[2].replace(",", ""), form) if "," in form else form


def _read_plus_minus(form: str) -> tuple[Reading, ...]:
    both: list[Answer] = []
    for plus, minus in (("+", "-"), ("-", "+")):
        signed = _PLUS_MINUS.sub(lambda match, p=plus, m=minus: p if match[1] == "pm" else m, form)
        readings = read_expression(signed.lstrip("+"))
        if not readings:
            return ()
        both.append(Answer(signed, readings))
    return (Reading(Sequence("list", tuple(both))),)
