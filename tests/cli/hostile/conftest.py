"""Runs a command on odd input, and checks what every command owes its user, whatever the input is."""

import io
import json
import resource
import shutil
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbest import errors
from tests.cli.hostile.workspace import make_workspace, read_files
from tests.cli.test_hostile_text import RAW

CODES = {0} | {
    error.exit_code
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.NbestError) and error is not errors.NbestError
}
"""The exit codes of the table in `errors.py`, without that of the unexpected."""
MOST_SECONDS = 120
MOST_BYTES = 8 << 30


@pytest.fixture(scope="session", autouse=True)
def _limit_memory() -> Generator[None]:
    """Have a command that would fill the memory of the machine fail instead."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("hostile") / "pristine")


@pytest.fixture
def workspace(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the files of `workspace.py`, which is the current folder, with room above it."""
    folder = tmp_path / "deep" / "er" / "workspace"
    shutil.copytree(pristine, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return folder


@contextmanager
def limit_seconds(seconds: int) -> Generator[None]:
    """Raise AssertionError in the block when its time is up."""

    def stop(*_: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@pytest.fixture
def survive(nbest: Callable[..., Any], workspace: Path) -> Callable[..., Any]:
    """Return a function that runs a command in the workspace, checks it, and returns its output.

    It has no traceback and nothing raw on the screen, and its exit code is one of the table. Standard output is JSON
    alone where `--json -` is among the words. If it failed, it says why, and every file is as it was; with
    `adds_valid` (an import, which adds the valid lines) none of the files that were there has changed.
    """

    def run(*words: object, adds_valid: bool = False) -> Any:
        before = read_files(workspace.parents[1])
        with limit_seconds(MOST_SECONDS):
            output = nbest(*words)
        text = output.out + output.err
        assert output.code in CODES, text
        assert "Traceback" not in text
        assert not RAW.findall(text), repr(text[:2_000])
        if "-" in words and words[words.index("-") - 1] == "--json" and (output.out or not output.code):
            json.loads(output.out, parse_constant=refuse_constant)
        if output.code:
            assert output.err.strip(), "it failed without a word"
            after = read_files(workspace.parents[1])
            assert {name for name in before if before[name] != after.get(name)} == set()
            assert adds_valid or after.keys() == before.keys(), sorted(after.keys() - before.keys())
        return output

    return run


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
