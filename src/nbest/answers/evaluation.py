"""The value of an expression: exact where everything in it is rational, else with 50 digits.

Symbols have fixed values, so that an expression is known by its values at a few points: two expressions that agree at
random points to 50 digits are the same one (for polynomials: Schwartz, J. ACM 27(4), 1980). The size of numbers is
bounded.
"""

import operator
import zlib
from fractions import Fraction
from typing import Any, TypeAlias

from nbest.answers.parsing import Node, NotAnExpression
from nbest.answers.values import ARITHMETIC as mp

_LARGEST_BITS = 20_000
_LARGEST_EXPONENT = 10**9

Scalar: TypeAlias = Any
"""A Fraction, or an mpf or mpc of `ARITHMETIC`."""


def find_symbols(node: Node) -> frozenset[str]:
    """Return the names of the symbols and of the unknown functions of an expression."""
    own = {node.name} if node.name.startswith(("symbol ", "apply ")) else set[str]()
    return frozenset(own.union(*(find_symbols(argument) for argument in node.arguments)))


def has_absolute(node: Node) -> bool:
    """Return whether an expression takes an absolute value."""
    return node.name == "abs" or any(has_absolute(argument) for argument in node.arguments)


def evaluate(node: Node, point: int = 0, is_signed: bool = False) -> Scalar:
    """Return the value of an expression where the symbols have their values of `point`.

    Symbols are between 0.5 and 3, or between -3 and 3 where `is_signed`. Raises NotAnExpression where there is no
    finite value or numbers become too large.
    """
    try:
        value = _value(node, point, is_signed)
    except (ArithmeticError, ValueError, TypeError, MemoryError) as error:
        raise NotAnExpression(f"no value: {type(error).__name__}") from error
    if not isinstance(value, Fraction) and not mp.isfinite(value):
        raise NotAnExpression("no finite value")
    return value


def _value(node: Node, point: int, is_signed: bool) -> Scalar:
    if node.number is not None:
        return node.number
    name = node.name
    if name.startswith("symbol "):
        return _coordinate(name, point, is_signed)
    if name == "\\pi":
        return mp.pi()
    if name == "e":
        return mp.e()
    if name == "i":
        return mp.mpc(0, 1)
    values = [_value(argument, point, is_signed) for argument in node.arguments]
    if name == "+":
        return _pair(values, operator.add)
    if name == "*":
        return _pair(values, operator.mul)
    if name == "/":
        return _divide(*values)
    if name == "negative":
        return -values[0]
    if name == "^":
        return _power(*values)
    if name.startswith("apply "):
        return _unknown_function(f"{name} {point}", values[0])
    return _apply(name, values)


def _pair(values: list[Scalar], operation: Any) -> Scalar:
    if all(isinstance(value, Fraction) for value in values):
        result: Fraction = operation(*values)
        if max(result.numerator.bit_length(), result.denominator.bit_length()) > _LARGEST_BITS:
            raise NotAnExpression("a number is too large")
        return result
    return operation(*(to_real(value) for value in values))


def _divide(top: Scalar, bottom: Scalar) -> Scalar:
    if bottom == 0:
        raise NotAnExpression("division by zero")
    return _pair([top, bottom], _quotient)


def _quotient(top: Scalar, bottom: Scalar) -> Scalar:
    return top / bottom


def to_real(value: Scalar) -> Scalar:
    """Return a Fraction as a number of 50 digits; anything else unchanged."""
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _power(base: Scalar, exponent: Scalar) -> Scalar:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(exponent.numerator) * bits <= _LARGEST_BITS:
                return base**exponent.numerator
        elif base < 0 and exponent.denominator % 2 == 1:
            return -to_real(_power(-base, exponent)) if exponent.numerator % 2 else to_real(_power(-base, exponent))
    base, exponent = to_real(base), to_real(exponent)
    if base == 0 and mp.re(exponent) > 0:
        return Fraction(0)
    if base == 0:
        raise NotAnExpression("0 to a power that is not positive")
    if abs(exponent) * (abs(mp.log(abs(base))) + 1) > _LARGEST_EXPONENT:
        raise NotAnExpression("a number is too large")
    return mp.power(base, exponent)


def _unknown_function(name: str, argument: Scalar) -> Scalar:
    """Return the value of a function that nobody defined: a fixed, wild one of its own at every point."""
    seed = zlib.crc32(name.encode()) % 1000
    return mp.cos(seed + to_real(argument) * (1 + mp.mpf(seed) / 700)) + 2


def _apply(name: str, values: list[Scalar]) -> Scalar:
    first = values[0]
    if name == "abs":
        return abs(first)
    if name in ("floor", "ceiling"):
        return Fraction(int(mp.floor(to_real(first)) if name == "floor" else mp.ceil(to_real(first))))
    if name == "factorial":
        return _factorial(first)
    if name == "binomial":
        return mp.binomial(to_real(first), to_real(values[1]))
    if name in ("log", "ln"):
        base = to_real(values[1]) if len(values) > 1 else (mp.mpf(10) if name == "log" else mp.e())
        return mp.log(to_real(first)) / mp.log(base)
    if name == "sqrt":
        return _power(first, Fraction(1, 2))
    function = {
        "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "cot": mp.cot, "sec": mp.sec, "csc": mp.csc,
        "arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan, "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh,
        "exp": mp.exp,
    }.get(name)  # fmt: skip
    argument = to_real(first)
    if function is None or abs(argument) > _LARGEST_EXPONENT:
        raise NotAnExpression(f"the function {name}")
    return function(argument)


def _factorial(value: Scalar) -> Scalar:
    if isinstance(value, Fraction) and value.denominator == 1 and 0 <= value.numerator <= 2_000:
        product = 1
        for factor in range(2, value.numerator + 1):
            product *= factor
        return Fraction(product)
    if abs(value) > 10**6:
        raise NotAnExpression("a factorial is too large")
    return mp.gamma(to_real(value) + 1)


def _coordinate(name: str, point: int, is_signed: bool) -> Scalar:
    """Return the value of a symbol at a point: fixed by its name, the same in every process."""
    share = mp.mpf(zlib.crc32(f"{name} {point}".encode()) % 1_000_003) / 1_000_003
    return share * 6 - 3 if is_signed else share * mp.mpf("2.5") + mp.mpf("0.5")
