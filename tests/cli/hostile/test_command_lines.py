"""Every option and argument of every command gets odd names, sizes and numbers, one at a time."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.hostile.commands import ARGUMENTS, COMMANDS, SLOW, WORDS, Odd, list_odd_lines

ADDS = ("import", "demo")
"""Commands that keep what was finished before they failed."""


def test_every_command_has_words() -> None:
    assert WORDS.keys() == COMMANDS.keys(), "add valid words of a new command to `commands.WORDS`"
    for name, command in COMMANDS.items():
        arguments = [parameter.name for parameter in command.params if parameter.param_type_name == "argument"]
        assert list(ARGUMENTS.get(name, ("run",) if arguments else ())) == arguments, name


@pytest.mark.parametrize("name", sorted(WORDS.keys() - SLOW))
def test_the_words_work(survive: Callable[..., Any], name: str) -> None:
    expected = {"train combined": 5, "train vote": 5}  # three problems are too few, and there are no step scores
    assert survive(*WORDS[name].split(), *_add_json(name)).code == expected.get(name, 0)


@pytest.mark.parametrize("odd", list(list_odd_lines()), ids=str)
def test_an_odd_word(survive: Callable[..., Any], odd: Odd) -> None:
    is_output = "--json" in odd.words
    survive(*odd.words, *(() if is_output else _add_json(odd.command)), adds_valid=odd.command.startswith(ADDS))


def _add_json(name: str) -> tuple[str, ...]:
    has_json = any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    return ("--json", "-") if has_json else ()
