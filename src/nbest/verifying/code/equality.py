"""When a returned value is what EvalPlus expects: equality, float tolerance, and the oracles of single tasks.

Sources: evalplus/eval/__init__.py and evalplus/eval/_special_oracle.py of https://github.com/evalplus/evalplus, read at
commit 26d6d00. One rule differs: there, a tolerance that one float has switched on stays on for all later inputs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, cast

import numpy as np

FLOAT_TOLERANCE = 1e-6
"""The absolute tolerance of floats where a task states none."""
RELATIVE_TOLERANCE = 1e-7

Oracle = Callable[[Sequence[Any], Any, Any, float], bool]
"""Whether a value is right, given the arguments, the value, what the reference returned, and the task's tolerance."""

_FAULTS = (TypeError, ValueError, ArithmeticError, RecursionError, AttributeError, MemoryError)
_MOST_ITEMS = 1_000_000
"""A value with more items than that in its ranges, which cross as three numbers, is not written out item by item."""


def matches(oracle: str, arguments: Sequence[Any], value: Any, expected: Any, tolerance: float) -> bool:
    """Return whether a program's value is right. `oracle` is a key of `ORACLES`, "" for plain equality.

    A value that the rule cannot be applied to, such as a word where a number is expected, is wrong. Raises KeyError for
    an unknown oracle.
    """
    rule = ORACLES[oracle]
    try:
        return rule(arguments, value, expected, tolerance)
    except _FAULTS:
        return False


def are_close(value: Any, expected: Any, tolerance: float) -> bool:
    """Return whether two values are equal, or within the tolerance.

    Without a tolerance (0), floats and lists or tuples of floats have `FLOAT_TOLERANCE`. Within a tolerance, the types
    and lengths have to be equal too.
    """
    if value == expected:
        return True
    if tolerance == 0 and _is_floats(expected):
        tolerance = FLOAT_TOLERANCE
    if tolerance == 0 or type(value) is not type(expected) or _has_long_ranges(value, expected):
        return False
    first, second = cast("Any", np.asarray(value)), cast("Any", np.asarray(expected))
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=RELATIVE_TOLERANCE, atol=tolerance))


def _is_floats(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return bool(items) and all(isinstance(item, float) for item in items)
    return isinstance(value, float)


def _has_long_ranges(*values: Any) -> bool:
    return any(_count_range_items(value) > _MOST_ITEMS for value in values)


def _count_range_items(value: Any) -> int:
    """Return how many items the ranges have that a value is or that its lists and tuples hold."""
    if isinstance(value, range):
        return len(value)
    if isinstance(value, (list, tuple)):
        return sum(_count_range_items(item) for item in cast("Sequence[Any]", value))
    return 0


def _is_plain(_arguments: Sequence[Any], value: Any, expected: Any, tolerance: float) -> bool:
    return are_close(value, expected, tolerance)


def _is_zero_of_polynomial(arguments: Sequence[Any], value: Any, _expected: Any, tolerance: float) -> bool:
    """HumanEval/32: any zero of the polynomial is right."""
    (coefficients,) = arguments
    return abs(sum(coefficient * math.pow(value, power) for power, coefficient in enumerate(coefficients))) <= tolerance


def _is_same_set(_arguments: Sequence[Any], value: Any, expected: Any, _tolerance: float) -> bool:
    """The order and number of the items do not matter."""
    return not _has_long_ranges(value, expected) and set(value) == set(expected)


def _is_same_presence(_arguments: Sequence[Any], value: Any, expected: Any, _tolerance: float) -> bool:
    """Functions that return a match or None, whose reference may return another true value."""
    is_present = expected is not None
    return value == is_present if isinstance(value, bool) else is_present == (value is not None)


def _is_anything(_arguments: Sequence[Any], _value: Any, _expected: Any, _tolerance: float) -> bool:
    """Mbpp/164: EvalPlus accepts every value."""
    return True


def _is_divisor_sum(_arguments: Sequence[Any], value: Any, expected: Any, tolerance: float) -> bool:
    """Mbpp/295: 0 is right too."""
    return are_close(value, expected, tolerance) or value == 0


def _is_digit_distance(arguments: Sequence[Any], value: Any, expected: Any, tolerance: float) -> bool:
    """Mbpp/558: the numbers may also be read with zeros before the shorter one."""
    first, second = (str(number)[::-1] for number in arguments)
    pairs = zip_longest(first, second, fillvalue="0")
    return are_close(value, expected, tolerance) or value == sum(abs(int(a) - int(b)) for a, b in pairs)


def _is_surface_area(arguments: Sequence[Any], value: Any, expected: Any, tolerance: float) -> bool:
    """Mbpp/581: the height may also be that of the pyramid, rather than of its faces."""
    edge, height = arguments
    slant = math.hypot(edge / 2, height)
    return are_close(value, expected, tolerance) or abs(value - round(edge**2 + 2 * edge * slant)) <= tolerance


ORACLES: Mapping[str, Oracle] = {
    "": _is_plain,
    "find_zero": _is_zero_of_polynomial,
    "set": _is_same_set,
    "not_none": _is_same_presence,
    "any": _is_anything,
    "sum_div": _is_divisor_sum,
    "digit_distance_nums": _is_digit_distance,
    "surface_Area": _is_surface_area,
}

_BY_FUNCTION: Mapping[str, Mapping[str, str]] = {
    "humaneval": {"find_zero": "find_zero"},
    "mbpp": {
        "are_equivalent": "any",
        "sum_div": "sum_div",
        "digit_distance_nums": "digit_distance_nums",
        "surface_Area": "surface_Area",
        "check_str": "not_none",
        "text_match_three": "not_none",
        "text_starta_endb": "not_none",
        **dict.fromkeys(
            (
                "similar_elements",
                "find_char_long",
                "common_in_nested_lists",
                "extract_singly",
                "larg_nnum",
                "intersection_array",
                "find_dissimilar",
                "Diff",
            ),
            "set",
        ),
    },
}


def choose_oracle(task_id: str, entry_point: str) -> str:
    """Return the oracle of a task of EvalPlus, by its id (`HumanEval/32`, `Mbpp/2`) and its function; "" for most."""
    return _BY_FUNCTION.get(task_id.partition("/")[0].lower(), {}).get(entry_point, "")
