"""`nbest sample` on files of problems, and its flags for prompts and layers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbest.plurals import agree, show_count
from nbest.records import Problem

ROW = {"question": "A shop has 47 pens. It buys 86 more. How many pens?", "answer": 133, "id": "pens"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_columns_are_guessed_and_the_guess_is_printed(nbest: Callable[..., Any], tmp_path: Path) -> None:
    file, run = write(tmp_path / "mine.jsonl", [ROW]), tmp_path / "run"
    output = nbest("sample", run, "--problems", file, "--n", 2, "--layer", 2, "--layer", -1, "--system", "Be short.")
    assert output.code == 0
    assert "the question is read from 'question', the answer from 'answer', the id from 'id'" in output.out
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["identity"]["system"] == "Be short."
    assert manifest["identity"]["sampling"]["capture"] == [2, -1]


@pytest.mark.parametrize(
    ("rows", "fragments"),
    [
        ([], ["it has no problems"]),
        ([ROW | {"question": "  "}], ["question", "not empty"]),
        ([ROW | {"prompt": "x", "target": "y"}], ["question, prompt", "answer, target"]),
        ([{"text": "x"}], ["question: no column", "answer: no column"]),
    ],
)
def test_faulty_files_are_refused(
    nbest: Callable[..., Any], tmp_path: Path, rows: list[dict[str, Any]], fragments: list[str]
) -> None:
    output = nbest("sample", tmp_path / "run", "--problems", write(tmp_path / "mine.jsonl", rows), "--n", 2)
    assert output.code == 3
    assert all(fragment in output.err for fragment in fragments), output.err
    assert not (tmp_path / "run").exists()


def test_targets_that_cannot_be_read_are_named_before_sampling(
    nbest: Callable[..., Any], script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": "a", "question": "1+1?", "answer": "2"}, {"id": "b", "question": "1/?", "answer": "2 x 3"}]
    file, words = write(tmp_path / "mine.jsonl", rows), ("-c", script, "--n", 1, "--json", "-")
    output = nbest("sample", tmp_path / "run", "--problems", file, *words)
    assert output.code == 0, output.err
    assert "note: 1 target cannot be read" in output.err
    assert "'mine/b'" in output.err
    assert output.err.index("cannot be read") < output.err.index("drawn in")

    # A published benchmark is checked as well.
    problems = [Problem("aime/1", "1+1?", "2"), Problem("aime/2", "1/?", "2 x 3")]
    monkeypatch.setattr("nbest.run_settings.load_benchmark", lambda *_: problems)
    published = nbest("sample", tmp_path / "other", "--problems", "aime_2024", "--file", file, *words)
    assert published.code == 0, published.err
    assert "'aime/2'" in published.err


def test_template_arguments_must_be_variables_of_the_template(nbest: Callable[..., Any], tmp_path: Path) -> None:
    words = ["sample", tmp_path / "run", "--count", 1, "--n", 1, "--template-argument"]
    assert "has no variable enable_thinking" in nbest(*words, "enable_thinking=false").err
    assert "allowed is KEY=VALUE" in nbest(*words, "x").err


def test_counts_agree_with_their_nouns() -> None:
    assert show_count(1, "trajectory") == "1 trajectory"
    assert show_count(1024, "ungraded trajectory") == "1,024 ungraded trajectories"
    assert [agree(2, word) for word in ("has", "is", "pass", "pool")] == ["have", "are", "passes", "pools"]
