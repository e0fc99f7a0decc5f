"""The JSON value of a target or an answer as the text that is read and compared.

A string stays as it is. A number keeps its value: 27.0 is `27`, 1e-7 is `1e-7`, 1e22 is written out. `true` is `True`,
a list is its items with commas between them (an inner list in round brackets), so that `[2]` is `2`. For kind `python`
the text of everything but a string is its Python literal, because types count there.

This module does not know which fields hold answers, nor how a text is read.
"""

import math
from typing import Any, cast

from nbest.records import Kind
from nbest.text.json_lines import Fields, describe, is_storable, number_text

ALLOWED = "a string, a finite number, true, false, or a list of these with at least one item"
_ALLOWED_PYTHON = "a string with a Python literal, or any value of JSON with finite numbers"


def take_answer(fields: Fields, name: str, required: bool = False, kind: Kind = "math") -> str | None:
    """Return a target or an answer as text; None if it is absent, null or faulty. A fault is added to `fields`."""
    value = fields.take(name)
    if value is None:
        if required:
            fields.add_fault(name, "null" if fields.has(name) else "nothing (the field is missing)", ALLOWED)
        return None
    text = answer_text(value, kind)
    if text is None:
        fields.add_fault(name, describe(value), _ALLOWED_PYTHON if kind == "python" else ALLOWED)
    return text


def answer_text(value: Any, kind: Kind = "math") -> str | None:
    """Return the text of a value by the rules of this module; None if it has none."""
    try:
        if isinstance(value, str):
            text = value
        elif kind == "python":
            text = repr(value) if _is_literal(value) else None
        else:
            text = _write(value, is_inner=False)
    except (RecursionError, ValueError):
        # Lists may be nested beyond what Python follows, and integers longer than it writes.
        return None
    return text if text is not None and is_storable(text) else None


def _write(value: Any, is_inner: bool) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        # An integer may be larger than any float, of which `isfinite` would make one.
        return number_text(value) if isinstance(value, int) or math.isfinite(value) else None
    if not isinstance(value, list) or not value:
        return None
    items = [_write(item, is_inner=True) for item in cast("list[Any]", value)]
    if any(item is None for item in items):
        return None
    text = ", ".join(item for item in items if item is not None)
    return f"({text})" if is_inner else text


def _is_literal(value: Any) -> bool:
    """Return whether `ast.literal_eval` gives this value back from its repr: all of JSON but NaN and infinity."""
    if isinstance(value, list):
        return all(_is_literal(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return all(_is_literal(key) and _is_literal(item) for key, item in items)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, bool, int))
