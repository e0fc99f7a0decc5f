"""Progress without a screen: plain lines on standard error; standard output is JSON alone."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.cli import terminal
from nbest.cli.terminal import ProgressLines, show_progress
from nbest.stages import StageProgress


def test_a_line_says_how_far_and_how_fast() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = ProgressLines(lines.append, lambda: now[0])
    progress.on_progress(StageProgress("sample", 0, 400))
    now[0] = 10.0
    progress.on_progress(StageProgress("sample", 100, 400, 5000))
    progress.print_line()
    now[0] = 40.0
    progress.on_progress(StageProgress("sample", 400, 400, 20000))
    progress.on_progress(StageProgress("verify", 0, None))
    progress.on_progress(StageProgress("verify", 7, None))
    progress.close()
    progress.close()
    assert lines == [
        "sample: 100 of 400 (25%), 10.0/s, 500 tokens/s, 30 s left\n",
        "sample: 400 of 400 (100%), 10.0/s, 500 tokens/s\n",
        "verify: 7\n",
    ]


def test_a_stage_without_work_has_no_line() -> None:
    lines: list[str] = []
    progress = ProgressLines(lines.append)
    progress.on_progress(StageProgress("verify", 0, 0))
    progress.print_line()
    progress.close()
    assert not lines


def test_a_long_stage_is_told_of_in_between(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.02)
    assert not sys.stderr.isatty()
    with show_progress() as on_progress:
        on_progress(StageProgress("sample", 0, 9))
        time.sleep(0.2)
        on_progress(StageProgress("sample", 9, 9))
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) >= 3
    assert lines[0].startswith("sample: 0 of 9")
    assert lines[-1].startswith("sample: 9 of 9 (100%)")
    assert not shown.out


def test_a_bar_on_a_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress() as on_progress:
        on_progress(StageProgress("sample", 0, 9))
        on_progress(StageProgress("sample", 9, 9, 18))
    shown = capsys.readouterr()
    assert "9/9" in shown.err
    assert "tokens/s" in shown.err


def test_standard_output_is_json_alone(nbest: Callable, script: Path, tmp_path: Path) -> None:
    shown = nbest("sample", tmp_path / "run", "-c", script, "--json", "-")
    assert json.loads(shown.out)["drawn"] == 20
    assert "sample: 20 of 20 (100%)" in shown.err
