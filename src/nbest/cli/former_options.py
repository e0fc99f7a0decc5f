"""Former spellings of options: they are rewritten before the command line is parsed, and a note says so.

`FORMER_OPTIONS` lists all of them, and none is in the help. To rename an option, change its command and add a row
here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from nbest.errors import ConfigError

GROUPS = ("import", "tasks", "train")
"""Commands whose second word is a command too."""
SELECTOR_OPTIONS, SCORER_OPTIONS = ("-s", "--selector"), ("-s", "--scorer")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a command line: the command (`import pools` is one), the words after it, and the notes so far."""

    command: str
    rest: tuple[str, ...]
    notes: tuple[str, ...] = ()


Rewrite: TypeAlias = Callable[[Words, int, str], Words]
"""Rewrites the former option at a position of `rest`, where the option and its value are two words."""


@dataclass(frozen=True, slots=True)
class FormerOption:
    """`spelling` of the `commands` is rewritten by `rewrite`; `is_flag` says that it takes no value."""

    commands: tuple[str, ...]
    spelling: str
    rewrite: Rewrite
    is_flag: bool = False


def renew_options(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line in the current spelling, and a note for each option that was rewritten.

    Raises ConfigError for a former option that would do nothing.
    """
    words = _split(arguments)
    position = 0
    while position < len(words.rest) and words.rest[position] != "--":
        option, equals, value = words.rest[position].partition("=")
        former = _find(words.command, option)
        if former is None:
            position += 1
            continue
        rest = list(words.rest)
        if equals and not former.is_flag:
            rest[position : position + 1] = [option, value]
        elif not former.is_flag and position + 1 == len(rest):
            break  # its value is missing: the parser says so
        words = former.rewrite(replace(words, rest=tuple(rest)), position, "" if former.is_flag else rest[position + 1])
    head = words.command.split() if words.command else []
    return [*head, *words.rest], list(words.notes)


def _split(arguments: list[str]) -> Words:
    size = 0 if not arguments or arguments[0].startswith("-") else 1
    if size and arguments[0] in GROUPS and len(arguments) > 1 and not arguments[1].startswith("-"):
        size = 2
    return Words(" ".join(arguments[:size]), tuple(arguments[size:]))


def _find(command: str, option: str) -> FormerOption | None:
    for former in FORMER_OPTIONS:
        if option == former.spelling and command in former.commands:
            return former
    return None


def _replace(words: Words, position: int, length: int, replacement: list[str], note: str) -> Words:
    rest = [*words.rest[:position], *replacement, *words.rest[position + length :]]
    return Words(words.command, tuple(rest), (*words.notes, note))


def _rename(current: str) -> Rewrite:
    def rewrite(words: Words, position: int, value: str) -> Words:
        note = f"{words.rest[position]} is now {current}"
        return _replace(words, position, 2, [current, value], note)

    return rewrite


def _list_values(words: Words, options: tuple[str, ...]) -> list[str]:
    """Return the values of a repeatable option, in order."""
    values: list[str] = []
    for word, following in zip(words.rest, (*words.rest[1:], ""), strict=True):
        option, equals, value = word.partition("=")
        if option in options:
            values.append(value if equals else following)
    return values


def _rename_score_model(words: Words, position: int, value: str) -> Words:
    """The former `--model` of `score` was a scorer's model, or the judge if the scorer calls one."""
    is_judge = "genselect" in _list_values(words, SCORER_OPTIONS)
    return _rename("--judge" if is_judge else "--scorer-model")(words, position, value)


def _split_selectors(words: Words, position: int, value: str) -> Words:
    replacement = [word for name in split_list(value) for word in ("-s", name)]
    return _replace(words, position, 2, replacement, "--selectors A,B is now -s A -s B")


def _add_combined(words: Words, position: int, value: str) -> Words:
    """The former `--combined FILE` of `compare` stood beside the selectors that were compared without it."""
    head = [] if _list_values(words, (*SELECTOR_OPTIONS, "--selectors")) else ["-s", "default"]
    replacement = [*head, "-s", _name_combined(value)]
    return _replace(words, position, 2, replacement, f"--combined {value} is now {' '.join([*head, '-s', value])}")


def _fill_combined(words: Words, position: int, value: str) -> Words:
    """The former `--combined FILE` of `select` was the file of the selector `combined`."""
    if "combined" not in _list_values(words, SELECTOR_OPTIONS):
        raise ConfigError(f"--combined {value}: no selector named uses it; select by it with -s {value}")
    new_words = _replace(words, position, 2, [], f"-s combined --combined {value} is now -s {value}")
    name = _name_combined(value)
    rest = [
        name if (word, before in SELECTOR_OPTIONS) == ("combined", True) else word
        for before, word in zip(("", *new_words.rest), new_words.rest, strict=False)
    ]
    return replace(
        new_words, rest=tuple(f"--selector={name}" if word == "--selector=combined" else word for word in rest)
    )


def _move_run(words: Words, position: int, value: str) -> Words:
    """The run of an import is its first argument."""
    new_words = _replace(words, position, 2, [], f"--run is now the first argument: nbest {words.command} RUN FILE...")
    return replace(new_words, rest=(value, *new_words.rest))


def _drop_judge(words: Words, position: int, value: str) -> Words:
    del value
    return _replace(words, position, 1, [], "demo lets the bundled model judge unless --no-judge says otherwise")


def split_list(text: str) -> list[str]:
    """Split at commas outside parentheses: `a,b(x=1, y=2)` is two names."""
    names, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


_IMPORTS = ("import pools", "import nemo-skills", "import lm-eval")

FORMER_OPTIONS = (
    FormerOption(("sample", "encode"), "--model", _rename("--policy")),
    FormerOption(("select",), "--model", _rename("--judge")),
    FormerOption(("score",), "--model", _rename_score_model),
    FormerOption(("score", "select"), "--config", _rename("--judge-config")),
    FormerOption(("score", "select"), "-c", _rename("--judge-config")),
    FormerOption(("compare", "report"), "--selectors", _split_selectors),
    FormerOption(("compare",), "--combined", _add_combined),
    FormerOption(("select",), "--combined", _fill_combined),
    FormerOption(_IMPORTS, "--run", _move_run),
    FormerOption(("demo",), "--judge", _drop_judge, is_flag=True),
)


def _name_combined(file: str) -> str:
    """Return the combined selector of a file as a name with its option."""
    from nbest.specs import MethodName

    return str(MethodName("combined", {"file": file}))
