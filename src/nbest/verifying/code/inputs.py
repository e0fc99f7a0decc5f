"""The inputs of MBPP+ as Python values: JSON has no tuples, sets and complex numbers, which some tasks need.

Which task needs what is EvalPlus's own table (evalplus/data/mbpp.py of https://github.com/evalplus/evalplus, read at
commit 26d6d00).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

Restore = Callable[[Sequence[Any]], Sequence[Any]]


def restore_inputs(task_id: str, inputs: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the arguments of each call of a task (`Mbpp/2`); those of other benchmarks are returned as they are.

    Raises ValueError for inputs that do not have the form of their task.
    """
    benchmark, _, number = task_id.partition("/")
    restore = _RULES.get(int(number)) if benchmark.lower() == "mbpp" and number.isdecimal() else None
    if restore is None:
        return [tuple(arguments) for arguments in inputs]
    try:
        return [tuple(restore(arguments)) for arguments in inputs]
    except (TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"the inputs of {task_id} do not have the form of this task: {error}") from error


def _make_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [tuple(argument) for argument in arguments]


def _make_lists_of_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [[tuple(item) for item in argument] for argument in arguments]


def _make_tuples_of_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [tuple(tuple(item) for item in argument) for argument in arguments]


def _make_first_list_of_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [[tuple(item) for item in arguments[0]], *arguments[1:]]


def _make_first_tuple(arguments: Sequence[Any]) -> list[Any]:
    return [tuple(arguments[0]), *arguments[1:]]


def _make_second_tuple(arguments: Sequence[Any]) -> list[Any]:
    return [arguments[0], tuple(arguments[1])]


def _make_sets(arguments: Sequence[Any]) -> list[Any]:
    items: list[Any] = arguments[0]
    return [[set(cast("list[Any]", item)) if isinstance(item, list) and item else {} for item in items]]


def _make_float_and_complex(arguments: Sequence[Any]) -> list[Any]:
    return [float(arguments[0]), complex(arguments[1])]


def _make_complex(arguments: Sequence[Any]) -> list[Any]:
    return [complex(arguments[0])]


def _make_tuple_with_tuples(arguments: Sequence[Any]) -> list[Any]:
    items: list[Any] = arguments[0]
    return [tuple(tuple(cast("list[Any]", item)) if isinstance(item, list) else item for item in items)]


def _make_values_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


def _make_all_tuples(arguments: Sequence[Any]) -> list[Any]:
    return [_make_tuple(argument) for argument in arguments]


def _make_tuple(value: Any) -> Any:
    return tuple(_make_tuple(item) for item in cast("list[Any]", value)) if isinstance(value, list) else value


_TASKS: Mapping[Restore, str] = {
    _make_tuples: "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    _make_lists_of_tuples: "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    _make_first_list_of_tuples: "75 413 444 753",
    _make_second_tuple: "106 750",
    _make_sets: "115",
    _make_float_and_complex: "124",
    _make_first_tuple: "250 307 405 446 617 720 763 808",
    _make_complex: "252",
    _make_tuples_of_tuples: "259 401 445",
    _make_tuple_with_tuples: "278",
    _make_all_tuples: "580 615 791",
    _make_values_tuples: "722",
}
_RULES = {int(number): rule for rule, numbers in _TASKS.items() for number in numbers.split()}
