"""The installed `nbest` script finds modules in the current folder, as `python -m nbest` does."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from nbest.cli import app

SCRIPT = Path(sysconfig.get_path("scripts")) / "nbest"
METHOD = '''
from nbest import Selection, Selector


class LastSelector(Selector):
    """Selects the last trajectory."""

    name = "last"

    async def select(self, pool):
        return Selection(pool.problem_id, len(pool.trajectories) - 1, None)
'''
POOL = {"problem_id": "a", "question": "?", "target": "1", "samples": [{"text": "\\boxed{1}"}, {"text": "\\boxed{2}"}]}


def call(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [str(SCRIPT), *words], cwd=folder, env=variables | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_methods.py").write_text(METHOD)
    (tmp_path / "pools.jsonl").write_text(json.dumps(POOL) + "\n")
    return tmp_path


@pytest.mark.skipif(not SCRIPT.is_file(), reason="nbest is not installed as a script")
def test_the_script_selects_by_a_class_in_the_current_folder(folder: Path) -> None:
    words = ("select", "run", "-s", "my_methods:LastSelector", "--json", "-")
    assert call(folder, "import", "pools", "run", "pools.jsonl").returncode == 0
    result = call(folder, *words)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)["selections"]
    assert (row["selector"], row["selected"]) == ("my_methods:LastSelector", 1)
    # Python's safe path keeps the current folder off the import path, here as for `python -m`.
    refusal = call(folder, *words, PYTHONSAFEPATH="1")
    assert refusal.returncode == 2
    assert "No module named 'my_methods'" in refusal.stderr


def test_the_folder_comes_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    app._add_current_folder()
    app._add_current_folder()
    assert sys.path == [str(tmp_path), "elsewhere"]


def test_a_folder_that_was_deleted_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    app._add_current_folder()
    assert sys.path == ["elsewhere"]
