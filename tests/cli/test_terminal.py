"""Progress without a screen: plain lines on standard error; standard output is JSON alone."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbest.cli import progress as progress_display
from nbest.cli.progress import ProgressLines, show_activity, show_progress
from nbest.cli.terminal import PIPE_WIDTH, console, print_text, print_warning
from nbest.measuring.trajectory_counts import TrajectoryCounts
from nbest.stages import OnProgress, StageProgress


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


def test_an_activity_says_how_long_it_has_taken() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = ProgressLines(lines.append, lambda: now[0])
    progress.on_progress(StageProgress("load a model", 0, None))
    now[0] = 30.0
    progress.print_line()
    now[0] = 95.0
    progress.print_line()
    progress.on_progress(StageProgress("read the files", 0, 8_000_000, unit="bytes"))
    now[0] = 100.0
    progress.on_progress(StageProgress("read the files", 2_000_000, 8_000_000, unit="bytes"))
    progress.print_line()
    # Over before anybody had to be told: no line.
    progress.on_progress(StageProgress("read the run", 0, None))
    progress.close()
    assert lines == [
        "load a model: 30 s so far\n",
        "load a model: 1 min 35 s so far\n",
        "read the files: 2 MB of 8 MB (25%), 15 s left\n",
    ]


def test_a_command_may_have_no_last_lines() -> None:
    lines: list[str] = []
    progress = ProgressLines(lines.append, has_last_lines=False)
    for stage in ("read", "compare"):
        progress.on_progress(StageProgress(stage, 0, 9))
        progress.on_progress(StageProgress(stage, 9, 9))
    progress.close()
    assert not lines
    progress.print_line()
    assert len(lines) == 1


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
    monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.02)
    assert not sys.stderr.isatty()
    with show_progress() as on_progress:
        on_progress(StageProgress("sample", 0, 9))
        time.sleep(0.2)
        on_progress(StageProgress("sample", 9, 9))
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) >= 3
    assert lines[0].startswith("sample: 0 of 9")
    assert lines[-1].startswith("sample: 9 of 9 (100%)")
    assert not output.out


def test_a_bar_on_a_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress() as on_progress:
        on_progress(StageProgress("sample", 0, 9))
        on_progress(StageProgress("sample", 9, 9, 18))
    output = capsys.readouterr()
    assert "9/9" in output.err
    assert "tokens/s" in output.err


@pytest.mark.parametrize(("done", "total", "shown"), [(0, None, ""), (5, None, "5"), (5, 10, "5/10"), (0, 7, "0/7")])
def test_a_count_without_a_total_has_no_question_mark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: int, total: int | None, shown: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress() as on_progress:
        on_progress(StageProgress("tasks", done, total))
        time.sleep(0.3)
    text = capsys.readouterr().err
    assert "tasks" in text
    assert "/?" not in text
    assert shown in text.replace(" ", "")


def test_an_activity_is_shown_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_activity("load a model"):
        time.sleep(0.3)
        begun = capsys.readouterr().err
    assert "load a model" in begun
    assert "0 s" in begun
    with show_progress() as on_progress:
        on_progress(StageProgress("read the run", 0, None))
        on_progress(StageProgress("sample", 9, 9))
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert "sample" in last
    assert "read the run" not in last


COMMANDS = {
    "compare": ["read run", "compare", "compute the intervals"],
    "report": ["read run", "compare", "compute the intervals", "examine the pools of run", "draw the charts"],
    "verify": ["read the run", "verify"],
    "score -s mean-logprob": ["read the run", "load mean-logprob", "mean-logprob"],
    "select -s majority": ["read the run", "load majority", "majority"],
    "info": ["read the run"],
    "compact": ["merge the parts"],
    "export --out out.jsonl": ["export"],
    "train combined --out c.json": ["read the run", "read pools", "fit the selector"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_is_silent(
    command: str, nbest: Callable, pools_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[StageProgress] = []

    @contextmanager
    def record(has_last_lines: bool = True) -> Iterator[OnProgress]:
        del has_last_lines
        yield states.append

    monkeypatch.setattr(progress_display, "_show_lines", record)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    assert nbest("import", "pools", run, pools_file).code == 0
    assert list(dict.fromkeys(state.stage for state in states)) == ["read the files", "import"]
    counts = [(state.done, state.total) for state in states if state.stage == "import"]
    assert counts == [(0, 8), (4, 8), (8, 8)]
    if command != "verify":
        assert nbest("verify", run).code == 0
    states.clear()
    words = command.split()
    first = words[:2] if words[0] == "train" else words[:1]
    nbest(*first, run, *words[len(first) :])
    stages = list(dict.fromkeys(state.stage for state in states))
    expected = COMMANDS[command]
    if words[0] == "train":  # too few problems to fit anything on
        expected = expected[: len(stages)]
    assert [stage for stage in stages if stage in expected] == expected


def test_standard_output_is_json_alone(nbest: Callable, script: Path, tmp_path: Path) -> None:
    output = nbest("sample", tmp_path / "run", "-c", script, "--json", "-")
    assert json.loads(output.out)["drawn"] == 20
    assert "sample: 20 of 20 (100%)" in output.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_warning_has_a_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    counts = TrajectoryCounts(right=1, wrong=1, failed=1)
    print_warning(console(), counts)
    assert "\x1b[1;33m" in stream.getvalue()
    assert "33.3 % failed (1)" in stream.getvalue()


def test_only_a_terminal_limits_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert console().width == PIPE_WIDTH
    assert console("-").width == PIPE_WIDTH
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert console().width == 30


def test_a_text_has_a_frame_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_text(console(), "long words " * 20, "title")
    assert capsys.readouterr().out == "title\n" + "long words " * 20 + "\n"
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "30")
    print_text(console(), "words", "title")
    assert "╭─ title" in stream.getvalue()
