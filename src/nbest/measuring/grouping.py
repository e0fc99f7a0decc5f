"""Group problems by the value of one field: level, subject, number of steps, kind. Knows no selectors or results."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from nbest.errors import ConfigError
from nbest.records import Problem
from nbest.specs import did_you_mean

KIND = "kind"
MISSING = "(none)"
"""The group of problems that do not have the field."""


def group_problems(problems: Iterable[Problem], field: str) -> dict[str, list[str]]:
    """Return the ids of the problems by their value of `field`: `kind`, or a key of `Problem.meta`.

    `a.b` is the key `b` inside the value of `a`. Numbers come in ascending order, then words in alphabetical order,
    then the problems without the field. Raises ConfigError that lists the fields where no problem has this one.
    """
    groups: dict[str, list[str]] = {}
    fields: set[str] = set()
    order: dict[str, tuple[int, float, str]] = {}
    for problem in problems:
        fields |= {key for key, value in problem.meta.items() if isinstance(value, str | int | float | bool)}
        value = problem.kind if field == KIND else _look_up(problem.meta, field)
        label = MISSING if value is None else str(value)
        groups.setdefault(label, []).append(problem.id)
        is_number = isinstance(value, int | float)
        order[label] = (2 if value is None else 0 if is_number else 1, float(value) if is_number else 0.0, label)
    if set(groups) <= {MISSING}:
        names = [KIND, *sorted(fields)]
        raise ConfigError(
            f"by: no problem has a field {field!r}; there are {', '.join(names)}.{did_you_mean(field, names)}"
        )
    return {label: groups[label] for label in sorted(groups, key=lambda label: order[label])}


def _look_up(meta: Mapping[str, Any], field: str) -> Any:
    """Return the value of `field`, where a dot reads inside an object; None where it is absent."""
    value: Any = meta.get(field)
    if value is None and "." in field:
        first, _, rest = field.partition(".")
        inner: Any = meta.get(first)
        return _look_up(cast("Mapping[str, Any]", inner), rest) if isinstance(inner, Mapping) else None
    return value
