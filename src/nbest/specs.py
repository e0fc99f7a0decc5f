"""How a method is named, configured and described: one `Spec` per method, one way to write its options.

A method is written `NAME`, `NAME(option=value, ...)` or, where it selects by the scores of another one,
`NAME:SCORER` (`vote:deepconf-bottom(window=16)`). The same text is used on the command line, in TOML and in Python.
An option that the method does not take is an error, which lists the options that it takes.

This module does not know any method.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, TypeAlias, cast

from nbest.config import Section, parse_config
from nbest.errors import ConfigError

MethodKind: TypeAlias = Literal["scorer", "selector", "sampler", "verifier"]
Need: TypeAlias = Literal[
    "states", "logprobs", "confidences", "certainties", "answers", "scores", "model", "judge", "sandbox"
]
"""What a method reads beside the trajectories' text; `model` is a trained model that does not come with the package,
`sandbox` is what runs the programs of trajectories."""
Role: TypeAlias = Literal["bound", "chance", "baseline", "competitor"]
"""What a selector is in a comparison: `bound` sees the verdicts, `chance` picks blindly, `baseline` is what the others
are compared with."""

_METHOD = re.compile(r"\s*(?P<name>[A-Za-z0-9_.@/=-]+)\s*(?:\((?P<options>.*)\))?\s*", re.DOTALL)


class NoOptions(Section):
    """The options of a method that takes none."""


@dataclass(frozen=True, slots=True)
class MethodName:
    """A method as the user wrote it: its name, its options as text or plain values, and the scorer it reads."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scorer: "MethodName | None" = None

    def __str__(self) -> str:
        listed = ", ".join(f"{key}={_write_value(value)}" for key, value in sorted(self.options.items()))
        text = self.name + (f"({listed})" if listed else "")
        return text if self.scorer is None else f"{text}:{self.scorer}"


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything nbest knows of one method.

    `build` makes the method. It is a function, or the text `module:function`, which is imported when it is needed. It
    is called with a `BuildContext` (see `registry.py`; engines get their `PolicyConfig`), the parsed options and the
    full name of the scorer ("" for none). `summary` is one sentence, and `source` is the paper the method comes from.
    `needs` says what the method reads of a trajectory and beside it, `role` what it is in a comparison. Lists are
    sorted by `position`.

    The other fields are for selectors. `reads_scores` marks a selector that is written `NAME:SCORER`; `scorers` returns
    the full names of further scorers that it reads, given its options. If a file may stand for the method, `suffix` is
    the end of the file's name, and the path of the file becomes the option `file`.

    `is_blind` marks a selector that looks at neither answers nor scores, such as the longest: a report does not show
    where it disagrees with others. Selectors of role `chance` are always blind.

    `estimator` gives the expectation over subsets that `compare` draws as a curve. It is called with an
    `EstimatorContext` (see `selecting.estimators`) and the options, and returns an `Estimator`. A selector without one
    is compared by its stored selections. `obstacle` is called with a `Survey` of a run, the run's name, the options and
    the scorer's name, and returns why the selector cannot be measured on the run, "" if it can. `compared` has the
    arguments of `estimator`, and returns a function from `Outcomes` to the numbers of which the highest wins; equal
    highest numbers are a tie. A selector that asks a judge with some options alone has no need of one; `asks_judge`
    returns whether its options make it ask.
    """

    name: str
    kind: MethodKind
    build: str | Callable[..., Any]
    summary: str
    source: str = ""
    options: type[Section] = NoOptions
    needs: frozenset[Need] = frozenset()
    role: Role = "competitor"
    is_blind: bool = False
    reads_scores: bool = False
    estimator: str | Callable[..., Any] | None = None
    obstacle: Callable[..., str] | None = None
    compared: Callable[..., Any] | None = None
    scorers: Callable[[Any], list[str]] | None = None
    suffix: str = ""
    asks_judge: Callable[[Any], bool] | None = None
    position: int = 50

    def list_scorers(self, name: MethodName) -> list[str]:
        """Return the full names of the scorers that a selector reads.

        Raises ConfigError if the selector needs a scorer and none is named, or if it reads no scores and one is named.
        """
        options = self.parse_options(name)
        self._check_scorer(name)
        named = [] if name.scorer is None else [str(name.scorer)]
        return named + ([] if self.scorers is None else self.scorers(options))

    def make(self, context: Any, name: MethodName) -> Any:
        """Build the method with the options and the scorer of `name`.

        Raises ConfigError for options that the method does not take, and as `list_scorers` does.
        """
        options = self.parse_options(name)
        self._check_scorer(name)
        return load(self.build)(context, options, "" if name.scorer is None else str(name.scorer))

    def _check_scorer(self, name: MethodName) -> None:
        if name.scorer is not None and not self.reads_scores:
            raise ConfigError(f"{self.kind} {self.name!r} reads no scores; leave out {str(name.scorer)!r}")
        if self.reads_scores and name.scorer is None:
            raise ConfigError(
                f"{self.kind} {self.name!r} reads scores: write {self.name}:SCORER, such as {self.name}:mean-logprob"
            )

    def parse_options(self, name: MethodName) -> Any:
        """Return the typed options. Raises ConfigError that lists the options there are."""
        known = sorted(self.options.model_fields)
        unknown = [key for key in name.options if key not in known]
        if unknown:
            allowed = f"it takes {', '.join(known)}" if known else "it takes no options"
            faults = [f"{key!r}; {allowed}.{did_you_mean(key, known)}" for key in unknown]
            raise ConfigError([f"{self.kind} {self.name!r}: unknown option {fault}" for fault in faults])
        return parse_config(self.options, dict(name.options), f"{self.kind} {name}", strict=False)


def load(reference: "str | Callable[..., Any]") -> Any:
    """Return the object that `module:name` refers to; anything but text is returned unchanged."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def parse_method(text: str) -> MethodName:
    """Read `NAME`, `NAME(option=value, ...)` or `NAME:SCORER`. Raises ConfigError saying what a method looks like."""
    head, tail = _split_scorer(text)
    match = _METHOD.fullmatch(head)
    if match is None or (tail is not None and not tail.strip()):
        raise ConfigError(
            f"{text!r} does not name a method; write NAME, NAME(option=value, ...) or RULE:SCORER, such as "
            "'vote:deepconf-bottom(window=16)'"
        )
    options: dict[str, Any] = {}
    for part in _split_options(match["options"] or ""):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ConfigError(f"{text!r}: {part.strip()!r} is not OPTION=VALUE")
        if key.strip() in options:
            raise ConfigError(f"{text!r}: option {key.strip()!r} is given twice")
        options[key.strip()] = _read_value(value.strip())
    return MethodName(match["name"], options, None if tail is None else parse_method(tail))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the closest known name, "" if no name is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def _split_scorer(text: str) -> tuple[str, str | None]:
    """Split at the first colon outside parentheses. The left part is a rule or a module, which the registry decides."""
    depth, quote = 0, ""
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and depth:
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == ":" and not depth:
            return text[:position], text[position + 1 :]
    return text, None


def _split_options(text: str) -> list[str]:
    """Split at commas outside quotes and brackets."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif letter == "," and not depth:
            parts.append("")
            continue
        parts[-1] += letter
    return [part for part in parts if part.strip()]


def _read_value(text: str) -> Any:
    """Return the value of an option: the text inside quotes, a list for `[a, b]`, None for `None`, or else the text.

    The type of the option reads the text later.
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.startswith("[") and text.endswith("]"):
        return [_read_value(part.strip()) for part in _split_options(text[1:-1])]
    return None if text == "None" else text


def _write_value(value: Any) -> str:
    """Return a value so that `_read_value` reads it back."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_write_value(item) for item in cast('list[Any]', value))}]"
    text = str(value)
    is_plain = value is None or (text and text != "None" and not re.search(r"[,()\[\]\s'\"]", text))
    if is_plain:
        return text
    if "'" in text and '"' in text:
        raise ConfigError(f"{text!r} cannot be the value of an option: it has both kinds of quotes")
    return f"'{text}'" if '"' in text or "'" not in text else f'"{text}"'
