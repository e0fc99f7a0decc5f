"""Ctrl-C and SIGTERM at random moments in the commands for which `tests/cli/test_signals.py` has no case of its own."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbest.storage.run import Run
from tests.cli.hostile.commands import COMMANDS, READS_RUN, WORDS
from tests.cli.hostile.workspace import read_files
from tests.cli.test_signals import CASES, CODES, start, wait_for_handler

SIGNALS = int(os.environ.get("NBEST_TEST_SIGNALS", "1"))
"""How many signals each command gets, one per process."""
COVERED = {name for case in CASES for name in COMMANDS if " ".join(case.words).startswith(name)}
CHANGES = {"compact", "drop", "verify", "score", "select", "encode"}
"""Commands that change a run, of which a part may be done when they are stopped."""


def test_the_other_commands_have_cases() -> None:
    """`ask`, `demo` and the stages are finished after the signal there; here every command is stopped that is not."""
    assert {"sample", "encode", "verify", "score", "select", "export", "train scorer"} <= COVERED
    assert COVERED | set(OTHERS) == COMMANDS.keys()


OTHERS = sorted(COMMANDS.keys() - COVERED)


@pytest.mark.parametrize("number", range(SIGNALS))
@pytest.mark.parametrize("name", OTHERS)
def test_a_signal_at_a_random_moment(workspace: Path, name: str, number: int) -> None:
    draw = random.Random(f"{name} {number}")
    chosen = draw.choice(list(CODES))
    before = read_files(workspace)
    process = start(WORDS[name].split(), workspace)
    wait_for_handler(process)
    time.sleep(draw.uniform(0, 1.2))
    process.send_signal(chosen)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    # It may have finished, or failed for its own reason, before the signal came.
    if process.returncode in CODES.values():
        assert process.returncode == CODES[chosen]
        assert "stopped" in err
    else:
        assert process.returncode in (0, 2, 3, 4, 5, 6, 7, 8, -chosen), err
    if name not in CHANGES:
        after = read_files(workspace)
        assert {path for path in before if before[path] != after.get(path)} == set()
    if name in READS_RUN:
        Run.open(workspace / "run").check(deep=True)
        checked = subprocess.run(
            [sys.executable, "-m", "nbest", "check", "run"], cwd=workspace, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
    assert not list(workspace.rglob(".claims"))
