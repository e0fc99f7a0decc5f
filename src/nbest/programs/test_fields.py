"""The fields of a test that is written as JSON: each is taken with its path, and a wrong one raises TestFault.

This module does not know which fields a test has.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from nbest.programs.syntax import read_literal

ALLOWED = (
    "a JSON object with stdin and stdout, arguments and returns, statements, check, or reference and inputs; a list of "
    "objects with input, output and testtype, also packed as in LiveCodeBench; or Python code with assertions or a "
    "function check"
)
"""What a text may hold that has no form of a test."""


class TestFault(Exception):
    """What is wrong with a text of a test: the path of the field, its value, and what is allowed."""

    __test__ = False

    def __init__(self, actual: str, allowed: str = ALLOWED, path: str = ""):
        self.path, self.actual, self.allowed = path, actual, allowed
        super().__init__(actual)


def take_literal(value: Any, path: str) -> Any:
    """Return the value of a Python literal that is written as a string."""
    text = require_text(value, path)
    is_literal, literal = read_literal(text)
    if not is_literal:
        raise TestFault(shorten(text), "the text of a Python literal", path)
    return literal


def read_json(text: str, path: str) -> Any:
    """Return the value of a line of JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise TestFault(shorten(text), "a value of JSON on each line", path) from None


def take_inputs(values: Mapping[str, Any], key: str, path: str) -> tuple[tuple[Any, ...], ...]:
    """Return the arguments of each call in a list of lists; empty if the field is absent."""
    inputs: list[tuple[Any, ...]] = []
    for at, item in enumerate(take_list(values, key, path) if key in values else []):
        if not isinstance(item, list):
            raise TestFault(describe(item), "the list of arguments of a call", f"{path}.{key}[{at}]")
        inputs.append(tuple(cast("list[Any]", item)))
    return tuple(inputs)


def take_list(values: Mapping[str, Any], key: str, path: str) -> list[Any]:
    """Return a list, which may be empty for inputs alone."""
    value = values[key]
    if not isinstance(value, list) or not (value or key.endswith("inputs")):
        raise TestFault(describe(value), "a list with at least one item", f"{path}.{key}")
    return cast("list[Any]", value)


def take_text(values: Mapping[str, Any], key: str, path: str, default: str | None = None) -> str:
    """Return a string; `default` if the field is absent, a fault if there is none."""
    if key not in values:
        if default is None:
            raise TestFault("nothing (the field is missing)", "a string", f"{path}.{key}")
        return default
    return require_text(values[key], f"{path}.{key}")


def require_text(value: Any, path: str) -> str:
    """Return the value, which has to be a string."""
    if not isinstance(value, str):
        raise TestFault(describe(value), "a string", path)
    return value


def require_object(value: Any, path: str) -> dict[str, Any]:
    """Return the value, which has to be an object."""
    if not isinstance(value, dict):
        raise TestFault(describe(value), ALLOWED, path)
    return cast("dict[str, Any]", value)


def describe(value: Any) -> str:
    """Return the JSON of a value, cut at 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def shorten(text: str) -> str:
    """Return the repr of a text, cut at 60 characters."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."
