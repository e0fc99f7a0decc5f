"""Imports by the name of the format, and the command: files without a good line, notes on targets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbest.formats.importing import import_files

Command = Callable[..., Any]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def problem(id: str = "p", **more: Any) -> dict[str, Any]:
    return {"problem_id": id, "question": "1+1?", "target": "2", "samples": [{"text": r"\boxed{2}"}]} | more


def test_no_good_line_is_an_error(nbest: Command, tmp_path: Path):
    file = write(tmp_path / "bad.jsonl", "{", problem(samples=None), "[]")
    result = nbest("import", "pools", tmp_path / "run", file)
    assert result.code == 3
    assert f"nothing was imported from {file}" in result.err
    for number, field in ((1, "line"), (2, "samples"), (3, "line")):
        assert f"{file}:{number}: {field}: " in result.err
    assert "the good lines" not in result.err


def test_an_empty_file_is_an_error(nbest: Command, tmp_path: Path):
    result = nbest("import", "pools", tmp_path / "run", write(tmp_path / "empty.jsonl"))
    assert result.code == 3
    assert "empty.jsonl:0: line: got no problem" in result.err


def test_some_good_lines(nbest: Command, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", "{", problem())
    result = nbest("import", "pools", tmp_path / "run", file)
    assert (result.code, "1 fault; the good lines were imported" in result.err) == (3, True)
    again = nbest("import", "pools", tmp_path / "run", write(tmp_path / "a.jsonl", problem()))
    assert (again.code, "1 trajectory was there before" in again.out) == (0, True)


def test_the_sign_as_a_flag(nbest: Command, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", problem(samples=[{"text": "2", "confidences": [1.5]}]))
    result = nbest("import", "pools", tmp_path / "run", file)
    assert (result.code, "--confidences-sign deepconf" in result.err) == (3, True)
    assert nbest("import", "pools", tmp_path / "run", file, "--confidences-sign", "deepconf").code == 0
    assert nbest("import", "pools", tmp_path / "other", file, "--confidences-sign", "up").code == 2


def test_targets_that_cannot_be_read(nbest: Command, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", problem("a", target="2 x 3"), problem("b"))
    result = nbest("import", "pools", tmp_path / "run", file)
    assert result.code == 0
    assert "note: 1 target cannot be read" in result.out
    assert "'2 x 3'" in result.out
    verified = nbest("verify", tmp_path / "run")
    assert verified.code == 3
    assert "problem 'a' (kind math): target '2 x 3'" in verified.err
    assert "Nothing was graded" in verified.err
    report = import_files(tmp_path / "exact", "pools", [file], kind="exact")
    assert not report.notes
    assert nbest("verify", tmp_path / "exact").code == 0
