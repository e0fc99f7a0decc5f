"""One trajectory that cannot be worked on never blocks the others: it is skipped with a reason, and counted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.records import Skip
from nbest.storage.run import Run

LONG = "1 + 1 = 2. " * 300
SHORT = "2 + 2 = 4.\n\n\\boxed{4}"


def write_pools(path: Path, **samples: list[dict[str, object]]) -> Path:
    lines = [
        {"problem_id": id, "question": "2 + 2? " * (400 if id == "wordy" else 1), "target": "4", "samples": rows}
        for id, rows in samples.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def run(nbest: Callable, tmp_path: Path) -> Path:
    """Pools with texts beyond the policy's context, ids of another model, a failed trajectory and empty texts."""
    odd = [
        {"text": SHORT},
        {"text": f"{LONG}\\boxed{{5}}"},
        {"text": "x", "prompt_tokens": [5], "tokens": [6, 99_999]},
        {"text": "x", "tokens": [5, 6, 2]},
        {"text": "", "finish": "error", "note": "died"},
        {"text": ""},
    ]
    file = write_pools(tmp_path / "pools.jsonl", odd=odd, wordy=[{"text": SHORT}], plain=[{"text": SHORT}] * 2)
    assert nbest("import", "pools", tmp_path / "run", file).code == 0
    return tmp_path / "run"


def test_encode_skips_what_it_cannot_encode(nbest: Callable, run: Path) -> None:
    result = nbest("encode", run, "--policy", "bundled:arithmetic", "--json", "-")
    assert result.code == 0, result.err
    assert (result.json["trajectories"], result.json["with_states"], result.json["failed"]) == (9, 5, 1)
    assert result.json["skipped"] == {"longer than the model's context": 2, "token ids of another model": 1}
    assert result.json["first_messages"]["longer than the model's context"].startswith("odd#1: prompt and steps are")
    assert "indexing errors" not in result.err
    again = nbest("encode", run, "--policy", "bundled:arithmetic")
    assert again.code == 0
    assert "hidden states of 5 of 9 trajectories (1 failed when they were sampled)" in again.out
    assert "skipped: 2 longer than the model's context; the first is odd#1" in again.out


def test_what_was_skipped_is_stored_and_not_tried_again(nbest: Callable, run: Path) -> None:
    words = ("encode", run, "--policy", "bundled:arithmetic")
    assert f"nbest encode {run}" in nbest("info", run).out
    first = nbest(*words, "--json", "-").json
    parts = sorted((run / "skips").iterdir())
    info = nbest("info", run, "--json", "-")
    assert info.json["skipped"] == first["skipped"]
    assert not any("encode" in command for command in info.json["next"])
    assert "2 skipped (longer than the model's context)" in info.err
    checked = nbest("check", run)
    assert checked.code == 0
    assert "could not be computed of 2 longer than the model's context" in checked.out

    again = nbest(*words, "--json", "-").json
    assert again == first
    assert sorted((run / "skips").iterdir()) == parts
    redone = nbest(*words, "--redo", "failed", "--json", "-").json
    assert redone["redone"] == 3
    assert redone["skipped"] == first["skipped"]
    assert sorted((run / "skips").iterdir()) != parts
    assert nbest("compact", run).code == 0
    assert nbest("info", run, "--json", "-").json["skipped"] == first["skipped"]


def test_another_policy_tries_again_what_the_first_one_skipped(nbest: Callable, run: Path) -> None:
    opened = Run.open(run)
    ids = sorted(opened.done_trajectories())
    opened.append_skips([Skip(ids[0], "longer than the model's context", "of another model", "other hash")])
    result = nbest("encode", run, "--policy", "bundled:arithmetic", "--json", "-")
    assert result.json["with_states"] == 5
    assert sum(result.json["skipped"].values()) == 3
    assert {skip.policy for skip in opened.skips()} != {"other hash"}
    assert ids[0] in opened.done_states() | {skip.trajectory_id for skip in opened.skips()}


def test_a_damaged_skip_is_found(nbest: Callable, run: Path) -> None:
    assert nbest("encode", run, "--policy", "bundled:arithmetic").code == 0
    part = next((run / "skips").iterdir())
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 8
    part.write_bytes(data)
    result = nbest("check", run)
    assert result.code == 4
    assert "encode again what was skipped" in result.err


def test_score_counts_what_was_not_encoded(nbest: Callable, run: Path) -> None:
    nbest("encode", run, "--policy", "bundled:arithmetic")
    result = nbest("score", run, "-s", "trajselector", "--json", "-")
    assert result.code == 0, result.err
    (scores,) = result.json["scores"]
    assert scores["scored"] + scores["without"] == 9
    assert scores["reasons"]["no states"] == 3
    assert scores["reasons"]["failed"] == 1


@pytest.mark.parametrize("words", [("select", "genselect"), ("select", "genselect-vote"), ("score", "genselect")])
def test_a_judge_is_not_shown_what_no_prompt_can_hold(nbest: Callable, tmp_path: Path, words: tuple[str, str]) -> None:
    rows: list[dict[str, object]] = [{"text": SHORT}, {"text": "\\boxed{5}"}, {"text": f"{LONG}\\boxed{{6}}"}]
    file = write_pools(tmp_path / "pools.jsonl", one=rows, wordy=rows[:2], two=rows[:2])
    assert nbest("import", "pools", tmp_path / "run", file).code == 0
    result = nbest(words[0], tmp_path / "run", "-s", words[1], "--judge", "bundled:genselect", "--json", "-")
    assert result.code == 0, result.err
    (report,) = result.json["selections" if words[0] == "select" else "scores"]
    assert report["judgements"]["unread"] >= 1
    run = Run.open(tmp_path / "run")
    if words[0] == "select":
        assert run.done_selections(words[1]) == {"one", "wordy", "two"}
    else:
        assert run.done_scores(words[1]) == run.done_trajectories()
        assert report["reasons"]["beyond the token budget"] >= 1


def test_verify_grades_the_others(nbest: Callable, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": SHORT}, {"text": "\\boxed{" + "1+" * 20_000 + "1}"}, {"text": SHORT}]
    file = write_pools(tmp_path / "pools.jsonl", one=rows)
    assert nbest("import", "pools", tmp_path / "run", file).code == 0
    result = nbest("verify", tmp_path / "run", "--json", "-")
    assert result.code == 0, result.err
    assert result.json["right"] == 2
