"""Text from models, files and paths is shown as text: it is no markup, and nothing of it commands the terminal."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nbest as nbest_package
from nbest.cli import main
from nbest.text.visible import show_line, show_text, write_json_text
from tests.cli.words import named

HOSTILE = (
    "[bold]",
    "[/]",
    "[/red] closes nothing",
    "[link=file:///etc]here[/link]",
    ":smile: {0} %s",
    "a\x1b]0;title\x07b",
    "a\x1b[2Jb",
    "a\x9b31mb",
    "over\b\b\b\bwritten",
    "over\rwritten",
    "\u202eright to left\u202c",
    "\u2066isolated\u2069",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f389",
    "\u5b57" * 30,
    "zero\u200bwidth\ufeff",
    "e\u0301" * 8,
)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]")
"""Characters that no output may hold."""
OTHER = "\x1b[31m[/b]\u202e"
"""The name of the second run."""


def check(output: object, code: int = 0) -> str:
    """Check the exit code, and that nothing raw was printed; return the texts of both streams."""
    text = output.out + output.err
    assert output.code == code, text
    assert "Traceback" not in text
    assert not RAW.findall(text), repr(text)
    return text


def write_pools(path: Path, hostile: str) -> Path:
    lines = [
        {
            "problem_id": f"{hostile}/{number}",
            "question": f"{hostile}?",
            "target": hostile,
            "samples": [
                {"text": f"{hostile} so \\boxed{{{answer}}}", "answer": answer, "scores": {"guess": score}}
                for answer, score in ((hostile, 0.5), (f"{hostile}!", 0.2 + number / 5), ("5", 0.1), (hostile, 0.6))
            ],
            "group": hostile,
        }
        for number in range(3)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def run(nbest: Callable, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A verified run whose name, problem ids, questions, answers and texts are all hostile."""
    hostile = request.param
    path = tmp_path / hostile.replace("/", "|")
    check(nbest("import", "pools", path, write_pools(tmp_path / "pools.jsonl", hostile), "--kind", "exact"))
    check(nbest("verify", path))
    return path


@pytest.mark.parametrize("run", HOSTILE, indirect=True, ids=ascii)
def test_every_command_shows_hostile_text(nbest: Callable, run: Path, tmp_path: Path) -> None:
    name = show_text(run.name)
    other = tmp_path / OTHER
    check(nbest("import", "pools", other, tmp_path / "pools.jsonl", "--kind", "exact"))
    check(nbest("verify", other))
    selected = check(nbest("select", run, *named("majority", "score:guess")))
    assert "majority" in selected
    shown = check(nbest("show", run, 1, "--index", 1))
    assert show_text(json.loads((tmp_path / "pools.jsonl").read_text().splitlines()[1])["question"]) in shown
    assert name in check(nbest("info", run))
    assert "majority" in check(nbest("compare", run, "--by", "group", "--chart", tmp_path / "chart"))
    assert name in check(nbest("compare", run, other))
    assert name in check(nbest("report", run))
    check(nbest("report", run, other, "--out", tmp_path / "both", "--by", "group"))
    assert name in check(nbest("check", run))
    check(nbest("compact", run))
    assert name in check(nbest("export", run, "--out", tmp_path / f"{run.name}.jsonl"))
    check(nbest("train", "combined", run, "--out", tmp_path / f"{run.name}.json"), code=5)  # too few problems
    tasks = tmp_path / f"{run.name}.parquet"
    built = check(nbest("tasks", "build", run, "--out", tasks, "--solutions", 2, "--max-pass-rate", 1, "--mean", 2))
    assert show_text(tasks.name) in built
    assert name in check(nbest("drop", run, "selections/majority", "scores/guess"))
    assert name in check(nbest("show", run, f"{run.name} [/] is not there"), code=3)
    assert name in check(nbest("info", tmp_path / f"{run.name} is not there"), code=2)


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_hostile_replies_of_a_policy(nbest: Callable, tmp_path: Path, hostile: str) -> None:
    config = tmp_path / f"{hostile.replace('/', '|')}.toml"
    script = json.dumps([f"{hostile} \\boxed{{{hostile}}}", f"\\boxed{{10}} {hostile}"], ensure_ascii=False)
    config.write_text(
        f'n = 2\n[problems]\nsource = "arithmetic"\ncount = 2\n[policy]\ntype = "scripted"\nscript = {script}\n'
    )
    run = tmp_path / hostile.replace("/", "|")
    assert show_text(run.name) in check(nbest("sample", run, "-c", config))
    check(nbest("verify", run))
    check(nbest("show", run, 0))
    check(nbest("compare", run))


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_faulty_file_is_named_as_text(nbest: Callable, tmp_path: Path, hostile: str) -> None:
    file = tmp_path / f"{hostile.replace('/', '|')}.jsonl"
    file.write_text(json.dumps({"problem_id": hostile, "question": 5, hostile: hostile}) + "\n")
    text = check(nbest("import", "pools", tmp_path / "run", file), code=3)
    assert show_text(file.name) in text


@pytest.mark.parametrize("words", [("--n", "{}"), ("-s", "{}"), ("--baseline", "{}"), ("--by", "{}"), ("{}",)])
@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_faulty_option_is_named_as_text(
    nbest: Callable, pools_file: Path, tmp_path: Path, words: tuple[str, ...], hostile: str
) -> None:
    run = tmp_path / "run"
    nbest("import", "pools", run, pools_file)
    nbest("verify", run)
    check(nbest("compare", run, *(word.format(hostile) for word in words)), code=2)


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
@pytest.mark.parametrize(
    "words", [("{}",), ("show", "run", "0", "--index", "{}"), ("import", "{}"), ("info", "a", "{}")]
)
def test_a_faulty_command_line_is_shown_as_text(nbest: Callable, words: tuple[str, ...], hostile: str) -> None:
    check(nbest(*(word.format(hostile) for word in words)), code=2)


def test_a_hostile_question(nbest: Callable) -> None:
    question = " ".join(HOSTILE)
    output = nbest("ask", question, "--n", 2, "--max-tokens", 8, "--show", "--json", "-")
    check(output)
    assert output.json["question"] == question
    for hostile in HOSTILE:
        check(nbest("ask", "1 + 1?", "--policy", hostile), code=2)


def test_json_returns_what_was_read(nbest: Callable, tmp_path: Path) -> None:
    """Hidden characters are escapes of JSON on the screen, and the same text again for a program."""
    hostile = "\x9b31m\u202e\x7f\U000e0041\U0001f389 \u0645"
    run = tmp_path / "run"
    nbest("import", "pools", run, write_pools(tmp_path / "pools.jsonl", hostile), "--kind", "exact")
    nbest("verify", run)
    output = nbest("show", run, 0, "--json", "-")
    check(output)
    assert output.json["prompt"] == f"{hostile}?"
    assert "\U0001f389 \u0645" in output.out
    assert json.loads(write_json_text(["\udcff", "\u2028"])) == ["\udcff", "\u2028"]


def test_a_path_that_is_no_utf8(nbest: Callable, pools_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run\udcff"
    fault = "run\\udcff: the name of a run folder must be UTF-8"
    assert fault in check(nbest("import", "pools", run, pools_file), code=2)
    assert not run.exists()
    check(nbest("import", "pools", tmp_path / "run", pools_file))
    (tmp_path / "run").rename(run)
    for command in ("info", "verify", "compare", "report", "compact"):
        assert fault in check(nbest(command, run), code=2)
    pools = tmp_path / "pools\udcff.jsonl"
    pools_file.rename(pools)
    assert "pools\\udcff.jsonl" not in check(nbest("import", "pools", tmp_path / "run", pools))
    assert "pools\\udcff.jsonl" in check(nbest("info", tmp_path / "run"))
    assert "report\\udcff" in check(nbest("verify", tmp_path / "run")) + check(
        nbest("report", tmp_path / "run", "--out", tmp_path / "report\udcff")
    )


@pytest.mark.parametrize("words", [("show", 0), ("info",), ("compare",), ("show", 0, "--json", "-")])
def test_a_locale_without_the_letters(
    nbest: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    run = tmp_path / "run"
    nbest("import", "pools", run, write_pools(tmp_path / "pools.jsonl", "\U0001f389\u5b57"), "--kind", "exact")
    nbest("verify", run)
    buffer = io.BytesIO()
    stream, code = io.TextIOWrapper(buffer, encoding="latin-1"), 0
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("sys.argv", ["nbest", words[0], str(run), *map(str, words[1:])])
    try:
        main()
    except SystemExit as system_exit:
        code = system_exit.code
    assert code in (0, None)
    stream.flush()
    text = buffer.getvalue().decode("latin-1")
    if "--json" in words:
        assert json.loads(text)["prompt"] == "\U0001f389\u5b57?"
    else:
        assert text


def test_all_printing_goes_through_one_place() -> None:
    folder = Path(nbest_package.__file__).parent / "cli"
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("terminal.py", "tables.py", "progress.py"):
            assert not re.search(r"^\s*(from|import) rich", text, re.MULTILINE), path
        if path.name not in ("terminal.py", "progress.py"):
            # The version is no text of others.
            assert set(re.findall(r"(?<![\w.])print\(|typer\.echo\(.*|sys\.std\w+\.write", text)) <= {
                'typer.echo(f"nbest {VERSION}")'
            }, path


def test_what_is_shown_of_a_text() -> None:
    assert show_text("a\r\nb\tc\x1b[2J\u202e\x00") == "a\nb\tc\\x1b[2J\\u202e\\x00"
    assert show_line("a\r\nb\tc") == "a\\r\\nb\\tc"
    for text in ("\u0645\u0631\u062d\u0628\u0627", "\U0001f468\u200d\U0001f469", "e\u0301 [bold] \\n"):
        assert show_text(text) == show_line(text) == text
