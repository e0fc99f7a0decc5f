"""`nbest ask`: an answer on the screen and as JSON, and what a faulty question or flag prints."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.storage.run import Run

QUESTION = "A shop has 47 pens. It buys 86 more. It sells 35. It buys 12 more. How many pens?"


def test_without_arguments_the_bundled_policy_answers_its_example(nbest: Callable) -> None:
    result = nbest("ask")
    assert result.code == 0
    lines = dict(line.split(None, 1) for line in result.out.splitlines())
    assert lines["question"] == QUESTION
    assert lines["answer"] == "110"
    assert 0 < float(lines["confidence"]) <= 1
    assert lines["votes"].endswith("of 16")
    assert lines["cost"].endswith(" s")


def test_the_candidates_are_shown(nbest: Callable) -> None:
    result = nbest("ask", QUESTION, "--n", 4, "-s", "score:mean-logprob", "--show")
    assert result.code == 0
    head, *rows = result.out.splitlines()[:5]
    assert head.split() == ["candidate", "answer", "mean-logprob", "tokens", "finish"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "3"]
    assert sum(" * " in row for row in rows) == 1
    assert "\\boxed{" in result.out


def test_json_holds_every_candidate(nbest: Callable) -> None:
    result = nbest("ask", QUESTION, "--n", 3, "-s", "score:mean-logprob", "--json", "-")
    assert result.code == 0
    assert result.json["question"] == QUESTION
    assert result.json["selector"] == "score:mean-logprob"
    assert len(result.json["candidates"]) == 3
    selected_row = result.json["candidates"][result.json["index"]]
    assert selected_row["answer"] == result.json["answer"]
    assert selected_row["text"] == result.json["text"]
    scores = [candidate["scores"]["mean-logprob"] for candidate in result.json["candidates"]]
    assert selected_row["scores"]["mean-logprob"] == max(scores)
    assert result.json["usage"]["sampled_tokens"] == sum(entry["sampled_tokens"] for entry in result.json["candidates"])


def test_the_question_is_read_from_standard_input(nbest: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n"))
    result = nbest("ask", "-", "--n", 2, "-s", "first", "--json", "-")
    assert result.json["question"] == QUESTION


def test_sampling_flags_and_seed_are_used(nbest: Callable) -> None:
    greedy = nbest("ask", QUESTION, "--n", 2, "-s", "first", "--temperature", 0, "--json", "-").json
    assert greedy["candidates"][0]["text"] == greedy["candidates"][1]["text"]
    cut = nbest("ask", QUESTION, "--n", 2, "-s", "first", "--max-tokens", 3, "--json", "-").json
    assert [entry["sampled_tokens"] for entry in cut["candidates"]] == [3, 3]
    first = nbest("ask", QUESTION, "--n", 1, "-s", "first", "--seed", 1, "--json", "-").json
    second = nbest("ask", QUESTION, "--n", 1, "-s", "first", "--seed", 2, "--json", "-").json
    assert first["text"] != second["text"]


def test_a_run_keeps_what_was_drawn(nbest: Callable, tmp_path: Path) -> None:
    words = ("ask", QUESTION, "--n", 3, "-s", "majority", "--run", tmp_path / "run", "--json", "-")
    first, again = nbest(*words), nbest(*words)
    assert first.json["candidates"] == again.json["candidates"]
    run = Run.open(tmp_path / "run")
    assert len(run.done_trajectories()) == 3
    assert run.selectors() == ["majority@3"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("ask", ""), 2, "question: it is empty. Write: nbest ask QUESTION"),
        (("ask", "  "), 2, "question: it is empty"),
        (("ask", "--policy", "some/model"), 2, "question: none was given; only bundled:arithmetic has an example"),
        (("ask", "2 + 2?", "-s", "majorty"), 2, "Did you mean 'majority'?"),
        (("ask", "2 + 2?", "-s", "genselect"), 2, "judge: selector 'genselect' asks a model"),
        (("ask", "2 + 2?", "--policy", "bundled:absent"), 2, "policy: 'bundled:absent' is not in this package"),
    ],
)
def test_a_faulty_command_says_what_to_do(nbest: Callable, words: tuple[str, ...], code: int, message: str) -> None:
    result = nbest(*words)
    assert result.code == code
    assert message in result.err
