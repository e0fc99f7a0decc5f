"""Methods of other packages: from an entry point, or a class named as `module:Class`, to a Spec.

An entry point of the groups in `ENTRY_POINTS` names a `Spec` or a class; its own name is the name of the method. A
class named directly needs no installation. This module does not know the built-in methods.
"""

import inspect
import sys
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from pydantic import create_model
from pydantic.errors import PydanticUserError

from nbest.config import Section
from nbest.errors import ConfigError, UnavailableError
from nbest.specs import MethodKind, NoOptions, Spec

ENTRY_POINTS: Mapping[MethodKind, str] = {
    "selector": "nbest.selectors",
    "scorer": "nbest.scorers",
    "sampler": "nbest.samplers",
    "verifier": "nbest.verifiers",
}


def list_plugins(kind: MethodKind) -> dict[str, EntryPoint]:
    """Return the entry points of installed packages by the name of the method; nothing is imported."""
    return _read_entry_points(kind, tuple(sys.path))


@cache
def _read_entry_points(kind: MethodKind, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Reading the metadata of all packages takes milliseconds, and every name is looked up: once per `path` will do."""
    del path
    return {point.name: point for point in entry_points(group=ENTRY_POINTS[kind])}


def load_plugin(kind: MethodKind, point: EntryPoint, taken: Container[str]) -> Spec:
    """Return the Spec that an entry point names.

    Raises ConfigError if its name is one of `taken`, UnavailableError if it cannot be imported.
    """
    where = f"plug-in {point.value!r} ({point.group})"
    if point.name in taken:
        raise ConfigError(f"{where}: the name {point.name!r} is that of a built-in {kind}; give it another one")
    try:
        value = point.load()
    except Exception as error:
        raise UnavailableError(f"{where} cannot be loaded: {error}") from error
    return _read_spec(kind, point.name, value)


def load_reference(kind: MethodKind, reference: str, hint: str = "") -> Spec:
    """Return the Spec of a class, or the Spec itself, at `module:name`.

    Raises ConfigError, which ends with `hint`, if there is none; UnavailableError if its module fails.
    """
    module, _, name = reference.partition(":")
    try:
        content = vars(import_module(module))
    except Exception as error:
        is_absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        if is_absent:
            raise ConfigError(_describe_absence(kind, reference, str(error), hint)) from error
        raise UnavailableError(f"{kind} {reference!r} cannot be loaded: {error}") from error
    if name not in content:
        raise ConfigError(_describe_absence(kind, reference, f"module {module!r} has no {name!r}", hint))
    return _read_spec(kind, reference, content[name])


def _describe_absence(kind: MethodKind, reference: str, reason: str, hint: str) -> str:
    return f"{kind} {reference!r} is neither a rule with a scorer nor a class that can be imported ({reason}).{hint}"


def _read_spec(kind: MethodKind, name: str, value: Any) -> Spec:
    if not isinstance(value, Spec):
        return describe_class(kind, name, value)
    if value.kind != kind:
        raise ConfigError(f"{kind} {name!r}: its Spec describes a {value.kind}")
    return replace(value, name=name)


def describe_class(kind: MethodKind, name: str, value: Any) -> Spec:
    """Return the Spec of a class without one.

    Its options are the fields of its attribute `Options`, a class that inherits from `nbest.config.Section`, or else
    the parameters of its constructor; they are passed to the constructor by keyword. What else a Spec says may stand in
    class attributes of the same names: `summary` (otherwise the first paragraph of the docstring), `source`, `needs`,
    `role`, `estimator`. Raises ConfigError for what is no class, and for a parameter that cannot be an option.
    """
    if not isinstance(value, type):
        raise ConfigError(f"{kind} {name!r}: a class or a nbest.specs.Spec is needed, got {type(value).__name__}")
    attributes: dict[str, Any] = {}
    for ancestor in reversed(value.__mro__):
        attributes |= vars(ancestor)
    options: Any = attributes.get("Options") or _make_options(kind, name, value)
    if not (isinstance(options, type) and issubclass(options, Section)):
        raise ConfigError(f"{kind} {name!r}: its attribute Options must be a class that inherits from Section")
    text = inspect.cleandoc(vars(value).get("__doc__") or "")

    def build(_: Any, values: Section, __: str) -> Any:
        return value(**{option: getattr(values, option) for option in type(values).model_fields})

    return Spec(
        name,
        kind,
        build,
        attributes.get("summary") or " ".join(text.partition("\n\n")[0].split()),
        source=attributes.get("source", ""),
        options=options,
        needs=frozenset(attributes.get("needs", ())),
        role=attributes.get("role", "competitor"),
        estimator=attributes.get("estimator"),
    )


def _make_options(kind: MethodKind, name: str, value: type) -> type[Section]:
    try:
        fields = {option: (hint, default) for option, hint, default in _list_parameters(value)}
        if not fields:
            return NoOptions
        return create_model(f"{value.__name__}Options", __base__=Section, **cast("dict[str, Any]", fields))
    except (PydanticUserError, NameError) as error:
        raise ConfigError(
            f"{kind} {name!r}: a parameter of its constructor cannot be an option ({error}). Options are numbers, text "
            "and truth values; a method that needs more is described by a nbest.specs.Spec"
        ) from error


def _list_parameters(value: type) -> Iterator[tuple[str, Any, Any]]:
    if value.__init__ is object.__init__:
        return
    for name, parameter in inspect.signature(value.__init__, eval_str=True).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        yield name, hint, ... if parameter.default is parameter.empty else parameter.default
