"""No number is cut at any width of the screen: wide tables are folded, and words are broken before numbers."""

import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from nbest.cli import main
from nbest.cli.progress import show_progress
from nbest.cli.tables import GAP, Span, fold_columns, make_table, measure_column, share_room
from nbest.cli.terminal import Screen
from nbest.measuring.cells import show_percent, show_points
from nbest.progress import StageProgress
from nbest.storage.run import Run
from tests.graded_runs import make_run  # noqa: F401 - a fixture

WIDTHS = (60, 80, 100, 120, 200)
COMMANDS = (
    ("compare", "RUN"),
    ("compare", "RUN", "OTHER"),
    ("compare", "RUN", "--published", "trajselector"),
    ("report", "RUN"),
    ("verify", "RUN"),
    ("show", "RUN", "0"),
    ("info", "RUN"),
    ("check", "RUN"),
    ("compact", "RUN"),
    ("select", "RUN", "-s", "majority"),
    ("methods",),
    ("configs",),
    ("benchmarks",),
)
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?")
STYLE = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
SCORERS = ("mean-logprob", "a-scorer-with-quite-a-long-name", "other")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def runs(make_run: Callable[..., Run]) -> dict[str, Path]:  # noqa: F811
    """Two runs with 16 candidates for each of 12 problems, tokens by the thousand, and some ungraded ones."""

    def make(shift: int) -> list[list[dict[str, Any]]]:
        return [
            [
                {
                    "correct": None if (problem, index) == (3, 5) else (7 * problem + index + shift) % 3 == 0,
                    "answer": str(10**9 + (7 * problem + index) % 5),
                    "tokens": 1024 + 17 * index,
                    "scores": dict.fromkeys(SCORERS, (index * 7 + problem) % 13 / 13),
                }
                for index in range(16)
            ]
            for problem in range(12)
        ]

    info = {"policy": {"parameters": 1_500_000_000}}
    return {"RUN": make_run(*make(0), name="first", info=info).path, "OTHER": make_run(*make(1), name="other").path}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that gives what a command prints on a terminal of some width."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.path", sys.path.copy())  # `main` adds the current folder to it

    def call(width: int, *words: object) -> str:
        terminal, code = Terminal(), 0
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(width))
            patch.setattr("sys.stdout", terminal)
            patch.setattr("sys.argv", ["nbest", *map(str, words)])
            try:
                main()
            except SystemExit as system_exit:
                code = system_exit.code
        assert code in (0, None), terminal.getvalue()
        return STYLE.sub("", terminal.getvalue())

    return call


def name(words: tuple[str, ...], runs: dict[str, Path]) -> list[object]:
    return [runs.get(word, word) for word in words]


def split(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_number_of_a_pipe_is_on_every_screen(
    nbest: Callable, screen: Callable, runs: dict[str, Path], words: tuple[str, ...]
) -> None:
    call = name(words, runs)
    nbest(*call)  # what it writes is written
    pipe = nbest(*call)
    assert pipe.code == 0, pipe.err
    for width in WIDTHS:
        text = screen(width, *call)
        lost = split(pipe.out) - split(text)
        assert not lost, f"{width} columns lack {lost}:\n{text}"
        for line in text.split("\n"):
            is_path = any(str(path) in line for path in runs.values())
            assert is_path or cell_len(line) <= width, f"wider than {width}: {line!r}"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_of_the_json_of_compare(
    screen: Callable, runs: dict[str, Path], tmp_path: Path, width: int
) -> None:
    text = screen(width, "compare", runs["RUN"], "--json", tmp_path / "out.json")
    values = json.loads((tmp_path / "out.json").read_text())
    numbers = split(text)

    def is_shown(value: str) -> bool:
        return value in numbers

    for row in values["rows"]:
        assert is_shown(show_percent(row["accuracy"]))
        if row["n"] == values["n_max"]:
            assert f"{show_percent(row['low'])} to {show_percent(row['high'])}" in text
            assert is_shown(f"{row['sampled_tokens']:,.0f}")
    for row in values["paired"]:
        assert is_shown(show_points(row["difference"]))
        if row["n"] == values["n_max"]:
            assert row["p_holm"] is None or is_shown(f"{row['p_holm']:.4f}")
            assert f"{row['problems_differing']} of {row['problems']}" in text
    for row in values["scores"]:
        assert is_shown(f"{row['auc']:.3f}")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_of_the_json_of_other_commands(
    screen: Callable, runs: dict[str, Path], tmp_path: Path, width: int
) -> None:
    def call(*words: object) -> tuple[Counter[str], Any, str]:
        text = screen(width, *words, "--json", tmp_path / "out.json")
        return split(text), json.loads((tmp_path / "out.json").read_text()), text

    run = runs["RUN"]
    numbers, verdicts, _ = call("verify", run)
    assert all(f"{verdicts[key]:,}" in numbers for key in ("right", "wrong", "ungraded", "trajectories"))
    numbers, contents, _ = call("info", run)
    assert all(f"{contents[key]:,}" in numbers for key in ("problems", "trajectories", "largest_pool"))
    assert all(f"{count:,}" in numbers for count in contents["scorers"].values())
    numbers, page, _ = call("show", run, 0)
    for candidate in page["candidates"]:
        assert str(candidate["sampled_tokens"]) in numbers
        assert candidate["answer"] in numbers
        assert all(f"{score:.3f}" in numbers for score in candidate["scores"].values())
    numbers, methods, text = call("methods")
    words = re.split(r"[\s,]+", text)
    assert all(f"{key}={value}" in words for method in methods for key, value in method["options"].items())
    numbers, benchmarks, _ = call("benchmarks")
    assert all(str(benchmark["problems"]) in numbers for benchmark in benchmarks if benchmark["problems"])
    numbers, report, _ = call("report", run)
    counts = report["report"]["runs"][0]["trajectories"]
    assert f"{counts['trajectories']:,}" in numbers


def test_columns_are_folded_beside_the_first() -> None:
    spans = [Span(10, 10), *[Span(6, 6)] * 5]
    assert fold_columns(spans, 200) == [[0, 1, 2, 3, 4, 5]]
    assert fold_columns(spans, 10 + 2 * (6 + GAP)) == [[0, 1, 2], [0, 3, 4], [0, 5]]
    assert fold_columns(spans, 3) == [[0, number] for number in range(1, 6)]
    assert fold_columns(spans[:1], 3) == [[0]]
    assert fold_columns([], 80) == []


def test_the_first_column_gives_way_to_numbers() -> None:
    assert share_room([Span(20, 20), Span(9, 9)], 25) == [14, 9]
    assert share_room([Span(44, 60), Span(40, 40)], 40) == [10, 28]
    assert share_room([Span(5, 30), Span(5, 6)], 30) == [22, 6]
    assert sum(share_room([Span(44, 60), Span(40, 40)], 1)) == 2


def test_a_column_is_as_wide_as_its_longest_word() -> None:
    assert measure_column("pools with right and wrong", ["197"]) == Span(5, 26)
    assert measure_column("", ["12.5 to 99.9"]) == Span(12, 12)
    assert measure_column("a", ["\u5b57" * 4]) == Span(8, 8)
    assert measure_column("a", ["x" * 200]) == Span(44, 200)


def test_a_screen_of_any_width_can_be_printed_on() -> None:
    view = make_table("title", ["selector", "N=1", "interval"], [["score:a", "39.7", "-1.2 to +3.4"]] * 2)
    for width in range(1, 80):
        stream = io.StringIO()
        Screen(file=stream, width=width).print(view)
        text = stream.getvalue()
        assert all(cell_len(line) <= max(width, 2 * GAP) for line in text.split("\n"))
        if width >= 24:
            assert {"39.7", "-1.2", "+3.4"} <= set(split(text))


@pytest.mark.parametrize("width", WIDTHS)
def test_progress_names_its_numbers_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with show_progress() as on_progress:
        on_progress(StageProgress("vote:a-scorer-[/]\x1b[2Jwith-a-long-name", 0, 1234567))
        on_progress(StageProgress("vote:a-scorer-[/]\x1b[2Jwith-a-long-name", 123456, 1234567, 98765))
    lines = STYLE.sub("", terminal.getvalue()).replace("\r", "\n").split("\n")
    assert "123456/1234567" in terminal.getvalue()
    assert any(re.search(r"[\d,]+\.\d/s", line) for line in lines)
    assert all(cell_len(line) <= width for line in lines)
    assert "\x1b[2J" not in terminal.getvalue()
