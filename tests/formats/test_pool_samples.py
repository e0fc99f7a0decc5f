"""The fields of a sample: their plain places, what is misplaced, and samples without a text."""

import json
from pathlib import Path
from typing import Any

import pytest

from nbest.formats.exports import export_run
from nbest.formats.intake import ImportReport
from nbest.formats.pools import import_pools
from nbest.records import Score, Trajectory
from nbest.storage.run import Run


def import_line(folder: Path, line: dict[str, Any]) -> tuple[Run, ImportReport]:
    run = Run.create(folder / "run", {"identity": {}, "info": {}})
    file = folder / "a.jsonl"
    file.write_text(json.dumps({"problem_id": "p", "question": "1+1?", "target": "2"} | line) + "\n")
    return run, import_pools(run, [file])


def import_samples(folder: Path, *samples: dict[str, Any], **line: Any) -> tuple[list[Trajectory], Run]:
    run, report = import_line(folder, {"samples": list(samples), **line})
    assert report.is_clean, report.faults
    return [trajectory for pool in run.pools(tokens=True) for trajectory in pool.trajectories], run


def find_faults(folder: Path, sample: dict[str, Any], **line: Any) -> list[tuple[str, str]]:
    _, report = import_line(folder, {"samples": [{"text": "a"} | sample], **line})
    assert (report.entries, report.trajectories) == (0, 0)
    return [(fault.field, f"{fault.actual}; {fault.allowed}") for fault in report.faults]


WHOLE: dict[str, Any] = {
    "text": "so 2",
    "index": 3,
    "seed": 11,
    "finish": "length",
    "note": "n",
    "prompt_tokens": [1, 2],
    "tokens": [3, 4],
    "logprobs": [-0.5, -0.25],
    "confidences": [-2.0, -3.0],
    "certainties": [1.0, 2.0],
    "confidence": 0.75,
    "scores": {"prm": 0.5},
    "step_scores": {"prm": [0.25, 0.5]},
    "step_labels": [True, False],
    "first_wrong_step": 1,
    "system": "a",
}


@pytest.mark.parametrize("name", ["step_scores", "steps"])
def test_every_field_has_a_plain_place(tmp_path: Path, name: str):
    sample = {name if key == "step_scores" else key: value for key, value in WHOLE.items()}
    (trajectory,), run = import_samples(tmp_path, sample)
    completion = trajectory.completion
    assert (trajectory.id, trajectory.index, trajectory.seed) == ("p#3", 3, 11)
    assert (completion.finish, completion.note) == ("length", "n")
    assert (completion.prompt_tokens.tolist(), completion.tokens.tolist()) == ([1, 2], [3, 4])
    assert completion.confidences is not None
    assert completion.certainties is not None
    assert (completion.confidences.tolist(), completion.certainties.tolist()) == ([-2.0, -3.0], [1.0, 2.0])
    assert trajectory.meta == {"step_labels": [True, False], "first_wrong_step": 1, "system": "a"}
    assert list(run.scores("confidence")) == [Score("p#3", 0.75)]
    assert list(run.scores("prm")) == [Score("p#3", 0.5, (0.25, 0.5))]


def test_the_way_back(tmp_path: Path):
    meta = {"finish": "a key of the schema", "target": "3", "k": 1}
    samples = [WHOLE, {"answer": "2", "sampled_tokens": 9, "nbest": {"meta": meta}}]
    before, run = import_samples(tmp_path, *samples)
    export_run(run, tmp_path / "b.jsonl", tokens=True)
    again = Run.create(tmp_path / "again", {"identity": {}, "info": {}})
    assert import_pools(again, [tmp_path / "b.jsonl"]).is_clean
    after = [trajectory for pool in again.pools(tokens=True) for trajectory in pool.trajectories]
    assert [t.meta for t in after] == [t.meta for t in before]
    assert after[1].meta == meta or after[0].meta == meta
    assert sorted(t.completion.count_usage().sampled_tokens for t in after) == [2, 9]
    assert [t.completion.finish for t in after] == [t.completion.finish for t in before]


def test_counts_of_tokens_without_their_ids(tmp_path: Path):
    (trajectory,), _ = import_samples(tmp_path, {"text": "a", "sampled_tokens": 120})
    assert trajectory.completion.count_usage().sampled_tokens == 120


def test_the_finish_reason_of_other_tools(tmp_path: Path):
    samples = [{"text": "a", "finish_reason": reason} for reason in ("stop", "length", "tool_calls")]
    trajectories, _ = import_samples(tmp_path, *samples)
    assert [t.completion.finish for t in trajectories] == ["stop", "length", "unknown"]
    assert [t.meta for t in trajectories] == [{}, {}, {"finish_reason": "tool_calls"}]


def test_a_text_may_be_absent_where_there_is_an_answer(tmp_path: Path):
    trajectories, _ = import_samples(tmp_path, {"answer": 2}, {"text": None, "answer": "3"}, {"finish": "error"})
    assert [(t.completion.text, t.answer) for t in trajectories] == [("", "2"), ("", "3"), ("", None)]


def test_texts_of_steps_stay_in_meta(tmp_path: Path):
    (trajectory,), _ = import_samples(tmp_path, {"text": "a", "steps": ["first", "second"]})
    assert trajectory.meta == {"steps": ["first", "second"]}


def test_what_repeats_the_problem_is_taken(tmp_path: Path):
    repeated = {"problem_id": "p", "question": "1+1?", "target": 2, "gold": "2", "kind": "math"}
    (trajectory,), _ = import_samples(tmp_path, {"text": "a", **repeated})
    assert trajectory.meta == {}


@pytest.mark.parametrize(
    ("sample", "field", "words"),
    [
        ({"target": "3"}, "samples[0].target", "put target beside `samples`"),
        ({"question": "another?"}, "samples[0].question", "put question beside"),
        ({"tests": ["assert f()"]}, "samples[0].tests", "put tests beside"),
        ({"kind": "choice"}, "samples[0].kind", "put kind beside"),
        ({"answer_rule": "text"}, "samples[0].answer_rule", "put answer_rule beside"),
        ({"finish": "ended"}, "samples[0].finish", "stop, length, error, unknown"),
        ({"tokens": 120}, "samples[0].tokens", "goes to `sampled_tokens`"),
        ({"tokens": [1], "sampled_tokens": 2}, "samples[0].sampled_tokens", "2 beside 1 token"),
        ({"seed": 1, "nbest": {"seed": 1}}, "samples[0].seed", "not in both"),
        ({"nbest": {"logprobs": [-1.0]}}, "samples[0].nbest.logprobs", "stand in the sample itself"),
        ({"confidence": "high"}, "samples[0].confidence", "a finite number"),
        ({"confidence": 0.5, "scores": {"confidence": 0.25}}, "samples[0].confidence", "one value"),
        ({"step_scores": {"prm": [0.5]}}, "samples[0].step_scores", "its value for the whole trajectory"),
        ({"step_scores": [0.5]}, "samples[0].step_scores", "an object"),
        ({"step_labels": [1, 0]}, "samples[0].step_labels", "true (right) or false (wrong)"),
        ({"first_wrong_step": -2}, "samples[0].first_wrong_step", "or -1"),
        ({"first_wrong_step": 0, "step_labels": [True]}, "samples[0].first_wrong_step", "-1, which is what"),
    ],
)
def test_a_fault_of_a_sample(tmp_path: Path, sample: dict[str, Any], field: str, words: str):
    ((actual_field, message),) = find_faults(tmp_path, sample)
    assert actual_field == field
    assert words in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finish", "stop"),
        ("confidences", [[-1.0]]),
        ("correct", True),
        ("logprobs", [-1.0]),
        ("scores", {"r": 1}),
        ("text", "a"),
        ("sampled_tokens", 5),
        ("first_wrong_step", 0),
    ],
)
def test_a_field_of_samples_beside_them(tmp_path: Path, name: str, value: Any):
    ((field, message),) = find_faults(tmp_path, {}, **{name: value})
    assert field == name
    assert f"samples[0].{name}" in message


def test_an_answer_beside_the_samples(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    ((field, message),) = find_faults(tmp_path / "a", {}, answer="2", target=None)
    assert (field, "`target`" in message) == ("answer", True)
    _, run = import_samples(tmp_path / "b", {"text": "a"}, answer="worked out")
    assert next(iter(run.problems())).meta == {"answer": "worked out"}
