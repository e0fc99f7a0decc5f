"""The command tree: every option is explained, every unknown word is answered with a close one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from nbest.cli.app import app


def walk(command: Any, name: str = "nbest") -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, child in getattr(command, "commands", {}).items():
        yield from walk(child, f"{name} {word}")


COMMANDS = dict(walk(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.strip().splitlines()[0].endswith(".")
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name} has no help text"
        assert len(parameter.help.split()) > 1, f"{name} {parameter.name}: {parameter.help!r}"
        assert " a problem" not in f" {parameter.help}".replace(" a problem's", "").replace(" a problem must", ""), (
            f"{name} {parameter.name}: say `per problem`"
        )


SPELLINGS = {
    "--policy": {"ask", "sample", "encode"},
    "--scorer-model": {"ask", "score"},
    "--judge": {"ask", "score", "select"},
    "--selector": {"ask", "select", "compare", "report"},
    "--scorer": {"score", "train combined", "train vote"},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_spelling_for_the_same_thing(spelling: str) -> None:
    takers = {
        name.removeprefix("nbest ")
        for name, command in COMMANDS.items()
        if any(spelling in parameter.opts for parameter in command.params)
    }
    assert takers == SPELLINGS[spelling]


def test_no_option_is_called_model() -> None:
    assert not [
        name for name, command in COMMANDS.items() for parameter in command.params if "--model" in parameter.opts
    ]


@pytest.mark.parametrize(
    ("words", "closest"),
    [
        (("compar",), "compare"),
        (("import", "pool"), "pools"),
        (("sample", "RUN", "--polcy", "x"), "--policy"),
        (("sample", "RUN", "-c", "arithmetik"), "Did you mean 'arithmetic'?"),
        (("train", "scorer", "trajselector_arithmetics"), "Did you mean 'trajselector_arithmetic'?"),
        (("configs", "accelerate_zero"), "Did you mean 'accelerate_zero2'?"),
        (("methods", "scorers"), "Did you mean 'scorer'?"),
        (("sample", "RUN", "--problems", "aime_204"), "Did you mean 'aime_202"),
        (("score", "RUN", "-s", "mean-logprobs"), "Did you mean 'mean-logprob'?"),
        (("score", "RUN", "-s", "deepconf-bottom(windows=4)"), "Did you mean 'window'?"),
        (("select", "RUN", "-s", "majorty"), "Did you mean 'majority'?"),
        (("select", "RUN", "-s", "mean-logprob"), "It is a scorer: select by its scores with score:mean-logprob"),
        (("compare", "RUN", "-s", "majorty"), "Did you mean 'majority'?"),
        (("compare", "RUN", "--by", "kinds"), "Did you mean 'kind'?"),
        (("compare", "RUN", "--resample", "sample"), "Did you mean 'samples'?"),
        (("compare", "RUN", "--published", "trajselectors"), "Did you mean 'trajselector'?"),
        (("export", "RUN", "--out", "x", "--format", "pool"), "Did you mean 'pools'?"),
        (("train", "combined", "RUN", "--out", "x.json", "--calibration", "plat"), "Did you mean 'platt'?"),
        (("tasks", "build", "RUN", "--out", "x.parquet", "--format", "nbst"), "Did you mean 'nbest'?"),
        (("import", "pools", "RUN", "FILE", "--kind", "maths"), "Did you mean 'math'?"),
    ],
)
def test_an_unknown_word_is_answered_with_a_close_one(
    nbest: Callable, pools_file: Path, tmp_path: Path, words: tuple[str, ...], closest: str
) -> None:
    run = tmp_path / "run"
    if "RUN" in words and words[0] not in ("sample", "import"):
        assert nbest("import", "pools", run, pools_file).code == 0
        assert nbest("verify", run).code == 0
    paths = {"RUN": run, "FILE": pools_file}
    result = nbest(*(paths.get(word, word) for word in words))
    assert result.code == 2
    assert closest in " ".join(result.err.split())
    assert "Traceback" not in result.err
