"""Every command of `nbest` with words that work, and its options and arguments with the odd inputs that they get."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from typer.main import get_command

from nbest.cli.app import app
from tests.cli.hostile.inputs import NAMES, NUMBERS, PLACES, SIZES, Turns
from tests.cli.test_help import walk


def _find_commands() -> dict[str, Any]:
    """Return the commands without the groups, by their words."""
    commands = {name.removeprefix("nbest "): command for name, command in walk(get_command(app))}
    return {name: command for name, command in commands.items() if not getattr(command, "commands", None)}


COMMANDS = _find_commands()

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "ask": "ask 1+1? --n 2 --max-tokens 4 -s majority",
        "demo": "demo --out new --count 2 --n 2 --training 0 --no-judge",
        "methods": "methods scorer",
        "configs": "configs arithmetic",
        "sample": "sample new -c script.toml",
        "encode": "encode run --policy bundled:arithmetic",
        "verify": "verify run",
        "score": "score run -s genselect --judge-config judge.toml",
        "select": "select run -s longest",
        "info": "info run",
        "compare": "compare run --n 1,2",
        "report": "report run --out new --n 1,2",
        "show": "show run 0",
        "import pools": "import pools new pools.jsonl",
        "import nemo-skills": "import nemo-skills new output-rs0.jsonl",
        "import lm-eval": "import lm-eval new samples_task.jsonl",
        "export": "export run --out new.jsonl",
        "benchmarks": "benchmarks",
        "check": "check run",
        "audit": "audit run --labels pools.jsonl",
        "doctor": "doctor",
        "compact": "compact run",
        "drop": "drop run scores/guess",
        "tasks build": "tasks build run --out new.parquet --solutions 2 --max-pass-rate 1",
        "train combined": "train combined run --out new.json",
        "train vote": "train vote run --out new.json",
        "train policy": "train policy policy.toml",
        "train scorer": "train scorer scorer.toml",
        "train genselect": "train genselect genselect.toml",
    }
)
"""Words of each command that work in the folder of `workspace.make_workspace`. Every command needs an entry."""

ARGUMENTS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "ask": ("question",),
        "methods": ("kind",),
        "configs": ("name",),
        "show": ("run", "problem"),
        "drop": ("run", "names"),
        "tasks build": ("runs",),
        "train policy": ("config",),
        "train scorer": ("config",),
        "train genselect": ("config",),
        **{name: ("run", "files") for name in COMMANDS if name.startswith("import ")},
    }
)
"""The positional arguments of the commands that have another one than the run."""

SLOW = frozenset({"ask", "demo", "doctor", "encode", "train scorer", "train genselect", "train policy", "report"})
"""Commands that load a model or draw charts: they get fewer inputs."""

READS_RUN = tuple(name for name, words in WORDS.items() if " run" in words)
"""The commands whose run must exist already."""


@dataclass(frozen=True)
class Odd:
    """A command line with one odd input, called `label`."""

    command: str
    label: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.command}-{self.label}"


def list_odd_lines() -> Iterator[Odd]:
    """Yield command lines with an odd input for one of their options and arguments."""
    turns = Turns()
    for name, command in COMMANDS.items():
        for parameter in command.params:
            values = _choose_values(parameter)
            for label in turns.take(values, max(1, PLACES // 3) if name in SLOW else PLACES):
                yield Odd(name, f"{parameter.name}-{label}", _replace(name, parameter, values[label]))


def _choose_values(parameter: Any) -> Mapping[str, str]:
    if getattr(parameter, "is_flag", False) or parameter.name in ("help", "version"):
        return {}
    kind = parameter.type_descriptor.annotation
    if kind is int or parameter.name == "n":
        return SIZES
    return NUMBERS if kind is float else NAMES


def _replace(name: str, parameter: Any, value: str) -> tuple[str, ...]:
    words, size = WORDS[name].split(), len(name.split())
    if parameter.param_type_name == "argument":
        arguments = ARGUMENTS.get(name, ("run",))
        words[size + arguments.index(parameter.name)] = value
        return tuple(words)
    for spelling in parameter.opts:
        if spelling in words:
            words[words.index(spelling) + 1] = value
            return tuple(words)
    return (*words, parameter.opts[0], value)
