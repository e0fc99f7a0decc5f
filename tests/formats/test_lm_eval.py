"""Import of lm-evaluation-harness sample files."""

import json
from pathlib import Path
from typing import Any

import pytest

from nbest.formats.lm_eval import import_lm_eval, task_of
from nbest.records import Trajectory
from nbest.storage.run import Run

NAME = "samples_gsm8k_cot_2025-01-31T12-00-00.123456.jsonl"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"identity": {}, "info": {}})


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(doc_id: int = 0, texts: tuple[str, ...] = ("It is 18. #### 18",), **more: Any) -> dict[str, Any]:
    """A line as evaluation_tracker.py writes it."""
    return {
        "doc_id": doc_id,
        "doc": {"question": "How many eggs?", "answer": "9*2\n#### 18"},
        "target": "9*2\n#### 18",
        "arguments": {"gen_args_0": {"arg_0": "Q: How many eggs?\nA:", "arg_1": {"until": ["Q:"]}}},
        "resps": [list(texts)],
        "filtered_resps": ["18"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": 1.0,
    } | more


def trajectories(run: Run) -> list[Trajectory]:
    return [trajectory for pool in run.pools() for trajectory in pool.trajectories]


@pytest.mark.parametrize(
    ("name", "task"),
    [(NAME, "gsm8k_cot"), (NAME + ".gz", "gsm8k_cot"), ("samples_aime24.jsonl", "aime24"), ("other.jsonl", "other")],
)
def test_the_task_stands_in_the_name(name: str, task: str):
    assert task_of(Path(name)) == task


def test_one_text_a_document(run: Run, tmp_path: Path):
    report = import_lm_eval(run, [write(tmp_path / NAME, line(), line(1, exact_match=0, acc=0.5))])
    assert report.is_clean
    assert (report.problems, report.trajectories, report.verdicts) == (2, 2, 2)
    first, _ = run.problems()
    assert (first.id, first.prompt, first.target) == ("gsm8k_cot/0", "Q: How many eggs?\nA:", "18")
    assert first.meta["stated_target"] == "9*2\n#### 18"
    assert first.meta["doc"]["question"] == "How many eggs?"
    assert (first.meta["filter"], first.meta["task"], first.meta["doc_hash"]) == ("strict-match", "gsm8k_cot", "d")
    right, wrong = trajectories(run)
    assert (right.answer, right.meta, right.completion.text) == ("18", {}, "It is 18. #### 18")
    assert wrong.meta == {"acc": 0.5}
    assert [verdict.correct for verdict in run.verdicts()] == [True, False]


def test_several_texts_have_no_verdict_of_their_own(run: Run, tmp_path: Path):
    several = line(0, ("a", "b", "c"), filtered_resps=["a"])
    per_text = line(1, ("a", "b"), filtered_resps=[["7", "[invalid]"]])
    report = import_lm_eval(run, [write(tmp_path / NAME, several, per_text)])
    assert (report.trajectories, report.verdicts, report.fault_count) == (5, 0, 0)
    first, second = run.problems()
    assert (first.meta["exact_match"], first.meta["filtered_resps"]) == (1.0, ["a"])
    assert "filtered_resps" not in second.meta
    assert [t.answer for t in trajectories(run)] == [None, None, None, "7", None]


def test_one_filter_is_read(run: Run, tmp_path: Path):
    lines = [line(0), line(1), line(0, filter="flexible-extract", filtered_resps=["19"], exact_match=0.0)]
    file = write(tmp_path / NAME, *lines)
    report = import_lm_eval(run, [file])
    assert (report.trajectories, report.fault_count) == (2, 0)
    assert "1 line of filter 'flexible-extract'" in report.notes[0]
    other = Run.create(tmp_path / "other", {"identity": {}, "info": {}})
    report = import_lm_eval(other, [file], filter="flexible-extract")
    assert (report.trajectories, len(report.notes)) == (1, 1)
    assert [t.answer for t in trajectories(other)] == ["19"]


def test_older_files_name_no_filter_and_no_gen_args(run: Run, tmp_path: Path):
    old = {name: value for name, value in line().items() if name not in ("filter", "metrics")}
    old["arguments"] = [["Q: How many eggs?\nA:", {"until": []}]]
    report = import_lm_eval(run, [write(tmp_path / NAME, old, old | {"filtered_resps": ["x"]})])
    assert (report.trajectories, report.fault_count) == (1, 0)
    assert "(not named)" in report.notes[0]
    assert next(iter(run.problems())).prompt == "Q: How many eggs?\nA:"


def test_another_metric_and_values_that_are_no_verdict(run: Run, tmp_path: Path):
    file = write(tmp_path / NAME, line(0, math_verify=0), line(1, math_verify=0.5), line(2))
    report = import_lm_eval(run, [file], metric="math_verify")
    assert (report.verdicts, report.fault_count) == (1, 0)
    first, second, third = trajectories(run)
    assert (first.meta, second.meta) == ({"exact_match": 1.0}, {"exact_match": 1.0, "math_verify": 0.5})
    assert third.meta == {"exact_match": 1.0}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"resps": [[["-1.5", "False"]]]}, "resps.0"),
        ({"resps": [["a"], ["b"]]}, "resps"),
        ({"resps": None}, "resps"),
        ({"doc_id": None}, "doc_id"),
        ({"arguments": {}, "doc": {}}, "arguments"),
    ],
)
def test_what_cannot_be_read_is_named(run: Run, tmp_path: Path, more: dict[str, Any], field: str):
    report = import_lm_eval(run, [write(tmp_path / NAME, line(0) | more, line(1))])
    assert report.trajectories == 1
    (fault,) = report.faults
    assert (fault.line, fault.field) == (1, field)


def test_a_list_of_targets_is_no_target(run: Run, tmp_path: Path):
    assert import_lm_eval(run, [write(tmp_path / NAME, line(target=["1", "2"]))]).is_clean
    (problem,) = run.problems()
    assert (problem.target, problem.meta["stated_target"]) == (None, ["1", "2"])


def test_the_same_import_again_changes_nothing(run: Run, tmp_path: Path):
    file = write(tmp_path / NAME, line(), line(1))
    import_lm_eval(run, [file])
    report = import_lm_eval(run, [file])
    assert (report.trajectories, report.verdicts, report.present, report.fault_count) == (0, 0, 2, 0)
