"""The rules by which an answer is read from a text: the default, or one that a user sets for a problem.

    default           the rules of `nbest.answers.extraction` for the kind of the problem
    regex:PATTERN     the last match of a regular expression: its group `answer`, else its first group, else all of it
    json:KEY          the value at KEY (dotted: `result.answer`, `items.0`) in the last JSON object that has it
    last-number       the last number of the text
    text              the whole text
    module:function   a Python function that is called with the whole text and returns the answer or None

Every rule but `module:function` reads the text after the reasoning. A rule is stored as its text. This module does not
know kinds, problems or files.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, TypeAlias, cast

from nbest.answers.boxes import match_braces
from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.plurals import show_count
from nbest.specs import did_you_mean

DEFAULT = "default"
ALLOWED = "default, regex:PATTERN, json:KEY, last-number, text or module:function"
_NAMES = (DEFAULT, "regex", "json", "last-number", "text")
_OBJECTS_TRIED = 50
_NUMBER = re.compile(
    r"(?<![\w.])[-\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d)(?:/\d+)?)(?:[eE][-+]?\d+)?%?"
)

RuleName: TypeAlias = Literal["default", "regex", "json", "last-number", "text", "callable"]


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """A rule that was checked: `text` as it was written, and what its name needs to be applied."""

    text: str
    name: RuleName
    pattern: re.Pattern[str] | None = None
    keys: tuple[str, ...] = ()
    function: Callable[[str], Any] | None = None

    def read(self, text: str, is_cut: bool) -> str | None:
        """Return the answer in a text, or None; the default rule finds none, because it depends on the kind.

        A text that was cut has no last number and no whole text, and a match at its very end may be cut itself. Raises
        DataError where a function fails or returns neither a string nor None.
        """
        if self.function is not None:
            return _call(self.text, self.function, text)
        if self.pattern is not None:
            return _read_match(self.pattern, text, is_cut)
        if self.keys:
            return find_json(text, [self.keys])
        if is_cut or self.name == "default":
            return None
        return _read_last_number(text) if self.name == "last-number" else text.strip() or None


@lru_cache(maxsize=1_000)
def parse_rule(text: str) -> AnswerRule:
    """Return the rule that a text names.

    Raises ConfigError for an unknown name, a faulty pattern or key, and a function that does not exist;
    UnavailableError where the module of a function fails when it is imported.
    """
    name, colon, argument = text.partition(":")
    if text in ("default", "last-number", "text"):
        return AnswerRule(text, text)
    if name == "regex" and colon:
        return AnswerRule(text, "regex", pattern=_compile(text, argument))
    if name == "json" and colon:
        keys = tuple(argument.split("."))
        if not all(keys):
            raise ConfigError(
                f"answer rule {text!r}: the key {argument!r} has an empty part; write json:KEY or json:A.B"
            )
        return AnswerRule(text, "json", keys=keys)
    is_reference = argument.isidentifier() and all(part.isidentifier() for part in name.split("."))
    if colon and is_reference and name not in _NAMES:
        return AnswerRule(text, "callable", function=_load(text, name, argument))
    raise ConfigError(f"answer rule: got {text!r}; allowed: {ALLOWED}.{did_you_mean(name, _NAMES)}")


def _compile(text: str, pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"answer rule {text!r}: {pattern!r} is no regular expression ({error})") from error
    if not pattern:
        raise ConfigError(
            f"answer rule {text!r}: the pattern is empty; write regex:PATTERN, such as regex:Result: (.+)"
        )
    if compiled.groups > 1 and "answer" not in compiled.groupindex:
        raise ConfigError(
            f"answer rule {text!r}: the pattern has {show_count(compiled.groups, 'group')}; "
            "name the one to read (?P<answer>...), or "
            "make the others (?:...)"
        )
    return compiled


def _read_match(pattern: re.Pattern[str], area: str, is_cut: bool) -> str | None:
    """Return the group of the last match; a match that reaches the end of a cut text may be cut itself."""
    group: int | str = "answer" if "answer" in pattern.groupindex else min(1, pattern.groups)
    answer: str | None = None
    for match in pattern.finditer(area):
        value = match[group]
        if value is not None and value.strip() and not (is_cut and match.end() == len(area)):
            answer = value.strip()
    return answer


def _read_last_number(area: str) -> str | None:
    last: str | None = None
    for match in _NUMBER.finditer(area):
        last = match[0] or last
    return last


def _load(text: str, module: str, name: str) -> Callable[[str], Any]:
    try:
        content = vars(import_module(module))
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            hint = did_you_mean(module, _NAMES)
            raise ConfigError(
                f"answer rule {text!r}: there is no module {error.name!r}; allowed: {ALLOWED}.{hint}"
            ) from error
        raise UnavailableError(f"answer rule {text!r}: module {module!r} cannot be imported: {error}") from error
    except Exception as error:
        raise UnavailableError(f"answer rule {text!r}: module {module!r} cannot be imported: {error}") from error
    if name not in content:
        raise ConfigError(f"answer rule {text!r}: module {module!r} has no {name!r}.{did_you_mean(name, content)}")
    function = content[name]
    if not callable(function):
        raise ConfigError(f"answer rule {text!r}: {name!r} is no function, it is {type(function).__name__}")
    return cast("Callable[[str], Any]", function)


def _call(text: str, function: Callable[[str], Any], area: str) -> str | None:
    try:
        answer = function(area)
    except Exception as error:
        raise DataError(
            f"answer rule {text!r} failed: {type(error).__name__}: {error}. Let the function return None for a text "
            "without an answer"
        ) from error
    if answer is not None and not isinstance(answer, str):
        raise DataError(
            f"answer rule {text!r}: the function returned {type(answer).__name__}; it must return str or None"
        )
    return (answer or "").strip() or None


def find_json(text: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the value at the first of `keys` (each a path) in the last JSON object of the text that has one; or None.

    A string is returned as it is, a number as it is written, everything else as JSON. null counts as no value. Models
    write latex into JSON without doubling its backslashes: `\\(` is no fault, and `\\frac` stays a command.
    """
    for value, source in _last_objects(text):
        for path in keys:
            answer = _look_up(value, path)
            if answer is not None:
                return _write(answer, source, path)
    return None


class _Literal(str):
    """A number of a JSON text as it is written there."""


_DECODER = json.JSONDecoder(parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal, strict=False)
_LONE_BACKSLASH = re.compile(r"\\(?![\"\\/bfnrtu])|\\u(?![0-9a-fA-F]{4})")
_SWALLOWED = re.compile(r"[\x08\x0c]|\t(?=(?:ext|imes|heta|an|frac|au|riangle|o)(?![a-z]))|\r(?=(?:ight|ho|angle))")
_COMMAND_LETTERS = {"\x08": "b", "\x0c": "f", "\t": "t", "\r": "r"}


def _last_objects(text: str) -> list[tuple[Any, str]]:
    """Return the outermost JSON objects of a text with their source, the last one first."""
    if "{" not in text or "}" not in text:
        return []
    spans: list[tuple[int, int]] = []
    for start, end in sorted(match_braces(text).items()):
        if not spans or start > spans[-1][1]:
            spans.append((start, end))
    objects = [decoded for start, end in spans[: -_OBJECTS_TRIED - 1 : -1] if (decoded := _decode(text, start, end))]
    if objects:
        return objects
    # A lone brace in a string hides its object from the matching of braces.
    starts = [match.start() for match in re.finditer(r'\{\s{0,20}"', text)][:_OBJECTS_TRIED]
    return [decoded for start in reversed(starts) if (decoded := _decode(text, start, None))]


def _decode(text: str, start: int, end: int | None) -> tuple[Any, str] | None:
    """Return the object that begins at `start`, and its source; with `end` its lone backslashes may be doubled."""
    sources = [text] if end is None else [text, _LONE_BACKSLASH.sub(r"\\\g<0>", text[start : end + 1])]
    for source, position in zip(sources, (start, 0), strict=False):
        try:
            value, stop = _DECODER.raw_decode(source, position)
        except (ValueError, RecursionError):
            continue
        return value, source[position:stop]
    return None


def _look_up(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(key)]
        else:
            return None
    return value


def _write(answer: Any, source: str, path: Sequence[str]) -> str | None:
    if isinstance(answer, str):
        return _SWALLOWED.sub(lambda match: "\\" + _COMMAND_LETTERS[match[0]], answer).strip() or None
    plain = _look_up(json.loads(source, strict=False), path)
    return json.dumps(plain, ensure_ascii=False)
