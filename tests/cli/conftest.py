"""Runs the `nbest` command in this process, as a terminal would."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nbest.cli import main


@dataclass(frozen=True)
class Output:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def nbest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    """`nbest("compare", run, "--json", "-")`: its exit code and output."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.path", sys.path.copy())  # `main` adds the current folder to it

    def call(*words: object) -> Output:
        monkeypatch.setattr("sys.argv", ["nbest", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as system_exit:
            code = system_exit.code if isinstance(system_exit.code, int) else 0
        captured = capsys.readouterr()
        return Output(code, captured.out, captured.err)

    return call


POOLS = [
    # Two of four say 4 (in two spellings), one says 5: the majority is right.
    ("a", "2 + 2?", "4", [("\\boxed{4}", 0.1), ("\\boxed{4.0}", 0.2), ("\\boxed{5}", 0.9), ("no idea", 0.3)]),
    # One is right, two agree on another answer: the majority is wrong, the score is right.
    (
        "b",
        "1/2 + 1/4?",
        "3/4",
        [("\\boxed{\\frac34}", 0.8), ("\\boxed{2}", 0.2), ("\\boxed{2}", 0.1), ("\\boxed{7}", 0)],
    ),
]


@pytest.fixture
def pools_file(tmp_path: Path) -> Path:
    path = tmp_path / "pools.jsonl"
    lines = [
        {
            "problem_id": id,
            "question": question,
            "target": target,
            "samples": [{"text": text, "scores": {"guess": score}} for text, score in samples],
        }
        for id, question, target, samples in POOLS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


SCRIPT = """
n = 4
seed = 3

[problems]
source = "arithmetic"
count = 5

[policy]
type = "scripted"
script = ["<think>\\nI add.\\n\\nI guess.\\n</think>\\n\\n\\\\boxed{10}", "\\\\boxed{20}", "nothing"]
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A config whose policy needs no model."""
    path = tmp_path / "script.toml"
    path.write_text(SCRIPT)
    return path
