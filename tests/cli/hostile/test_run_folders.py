"""Every command that takes a run gets damaged and foreign folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.hostile.commands import READS_RUN, WORDS
from tests.cli.hostile.damage import DAMAGES
from tests.cli.hostile.inputs import Turns

INTO_RUN = {
    "sample": "sample run -c script.toml",
    "ask": "ask 1+1? --n 1 --max-tokens 2 -s majority --run run",
    "import pools": "import pools run pools.jsonl",
    "redo": "verify run --redo failed",
    "dropped verdicts": "drop run verdicts",
}
LINES = {name: WORDS[name] for name in READS_RUN} | INTO_RUN
"""Words of every command that reads a run, and of those that add to one."""


def _choose() -> list[tuple[str, str]]:
    turns = Turns()
    return [(damage, name) for damage in DAMAGES for name in turns.take(LINES)]


@pytest.mark.filterwarnings("ignore::nbest.storage.newer.NewerVersionWarning")
@pytest.mark.parametrize(("damage", "command"), _choose())
def test_a_damaged_run(survive: Callable[..., Any], workspace: Path, damage: str, command: str) -> None:
    DAMAGES[damage](workspace / "run")
    words = LINES[command].split()
    survive(*words, "--json", "-", adds_valid=command.startswith("import"))
