"""Every option that names a file or folder to write gets one that cannot be written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.hostile.commands import COMMANDS, WORDS
from tests.cli.hostile.inputs import Turns

OPTIONS = ("--json", "--out", "--chart")
PLACES_OF_FILES = {
    "under a file": "pools.jsonl/new",
    "deep under a file": "pools.jsonl/new/er/file",
    "a folder": "folder",
    "inside a run": "run/verdicts/new",
    "the manifest": "run/run.json",
    "through a link": "into-run/new",
    "a link to itself": "loop",
    "under a link to itself": "loop/new",
    "a system folder": "/proc/new",
    "deep in a system folder": "/proc/new/file",
    "a long name": "x" * 300,
}
FOLDER = "a folder"
"""Where a folder may be written: in one that exists."""


def _list_cases() -> Iterator[tuple[str, str, str]]:
    turns = Turns()
    for name, command in COMMANDS.items():
        if name.startswith("train ") and name != "train combined":
            continue  # they check their settings first, and those of these words are faulty
        for option in OPTIONS:
            if any(option in parameter.opts for parameter in command.params):
                is_folder = name == "report" or option == "--chart"
                if option == "--out" and name in ("demo", "report"):
                    continue  # `report --out RUN` and those of the demo are tested elsewhere
                places = [place for place in PLACES_OF_FILES if not (is_folder and place == FOLDER)]
                yield from ((name, option, place) for place in turns.take(places))


@pytest.mark.parametrize(("name", "option", "place"), list(_list_cases()))
def test_an_output_that_cannot_be_written(
    survive: Callable[..., Any], workspace: Path, name: str, option: str, place: str
) -> None:
    (workspace / "folder").mkdir()
    (workspace / "loop").symlink_to("loop")
    (workspace / "into-run").symlink_to("run")
    words = WORDS[name].split()
    path = PLACES_OF_FILES[place]
    if option in words:
        words[words.index(option) + 1] = path
    else:
        words += [option, path]
    if name == "train combined":
        assert survive(*words).code in (2, 5, 8)
    else:
        assert survive(*words).code in (2, 8)
