"""Import of NeMo-Skills folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import DataError
from nbest.formats.nemo_skills import import_nemo_skills
from nbest.records import Trajectory
from nbest.storage.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"identity": {}, "info": {}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    output_folder = tmp_path / "aime24"
    output_folder.mkdir()
    return output_folder


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def line(number: int, text: str = r"\boxed{2}", **more: Any) -> dict[str, Any]:
    """A line as nemo_skills/inference/generate.py writes it, after the math evaluator."""
    return {
        "generation": text,
        "num_generated_tokens": 12,
        "problem": f"question {number}",
        "expected_answer": 2,
        "predicted_answer": "2",
        "symbolic_correct": True,
        "level": 5,
    } | more


def pools(run: Run) -> list[list[Trajectory]]:
    return [list(pool.trajectories) for pool in run.pools()]


def test_a_folder_of_seeds(run: Run, folder: Path):
    write(folder / "output-rs0.jsonl", line(0), line(1, symbolic_correct=False, predicted_answer="3"))
    write(folder / "output-rs10.jsonl", line(0, "ten", num_generated_tokens=1), line(1))
    write(folder / "output-rs2.jsonl", line(0, "two"), line(1))
    report = import_nemo_skills(run, [folder])
    assert report.is_clean
    assert (report.problems, report.trajectories, report.verdicts) == (2, 6, 6)
    first, second = run.problems()
    assert (first.id, first.prompt, first.target, first.kind) == ("aime24/0", "question 0", "2", "math")
    assert first.meta == {"level": 5}
    assert second.id == "aime24/1"
    # Seeds in the order of their numbers; the index is the seed.
    assert [(t.index, t.seed, t.completion.text) for t in pools(run)[0]] == [
        (0, 0, r"\boxed{2}"),
        (2, 2, "two"),
        (10, 10, "ten"),
    ]
    assert [t.meta for t in pools(run)[0]] == [{"num_generated_tokens": n} for n in (12, 12, 1)]
    verdict = {v.trajectory_id: v for v in run.verdicts()}["aime24/1#0"]
    assert (verdict.correct, verdict.answer, verdict.note) == (False, "3", "imported")


def test_fields_with_a_home(run: Run, folder: Path):
    complete_line = line(
        0,
        "answer only",
        id="aime24-1",
        _full_generation="<think>x</think>answer only",
        _generation_finished_thinking=True,
        finish_reason="length",
        logprobs=[-0.5],
        tokens=["a"],
        top_logprobs=[{"a": -0.5}],
        reward_model_score=0.75,
    )
    write(folder / "output-rs0.jsonl", complete_line)
    assert import_nemo_skills(run, [folder]).is_clean
    ((trajectory,),) = pools(run)
    assert trajectory.id == "aime24-1#0"
    assert trajectory.completion.text == "<think>x</think>answer only"
    assert trajectory.completion.finish == "length"
    assert trajectory.completion.logprobs is not None
    assert len(trajectory.completion.tokens) == 0
    assert trajectory.meta == {"num_generated_tokens": 12, "_generation_finished_thinking": True}
    (score,) = run.scores("reward_model")
    assert score.value == 0.75


@pytest.mark.parametrize(
    ("more", "correct", "note"),
    [
        ({"symbolic_correct": False, "judgement": "Judgement: Yes"}, False, "imported"),
        ({"is_correct": True}, True, "imported"),
        ({"judgement": "It fits.\nJudgement: Yes"}, True, "imported: judgement"),
        ({"judgement": "**Judgement**: No, it does not"}, False, "imported: judgement"),
        ({"judgement": "Yes"}, None, "imported: a judgement without yes or no"),
    ],
)
def test_who_says_what_is_right(run: Run, folder: Path, more: dict[str, Any], correct: bool | None, note: str):
    bare = {name: value for name, value in line(0).items() if name != "symbolic_correct"}
    write(folder / "output-rs0.jsonl", bare | more)
    assert import_nemo_skills(run, [folder]).is_clean
    (verdict,) = run.verdicts()
    assert (verdict.correct, verdict.note) == (correct, note)


def test_no_verdict_is_made_up(run: Run, folder: Path):
    write(folder / "output-rs0.jsonl", {"problem": "q", "generation": r"\boxed{1}"})
    report = import_nemo_skills(run, [folder])
    assert (report.trajectories, report.verdicts) == (1, 0)
    assert next(iter(run.problems())).target is None


def test_a_failed_generation_is_data(run: Run, folder: Path):
    write(folder / "output-rs0.jsonl", line(0, "", error="context_window_exceeded", predicted_answer=None))
    assert import_nemo_skills(run, [folder]).is_clean
    ((trajectory,),) = pools(run)
    assert (trajectory.completion.finish, trajectory.completion.note) == ("error", "context_window_exceeded")


def test_faults_cost_one_trajectory_and_are_named(run: Run, folder: Path):
    files = [
        write(folder / "output-rs0.jsonl", "{", line(1), line(2)),
        write(folder / "output-rs1.jsonl", line(0), line(7), line(2, generation=None)),
        write(folder / "output-rs2.jsonl", line(0), line(1)),
    ]
    report = import_nemo_skills(run, [folder])
    assert [(fault.file, fault.line, fault.field) for fault in report.faults] == [
        (str(files[0]), 1, "line"),
        (str(files[1]), 2, "problem"),
        (str(files[1]), 3, "generation"),
    ]
    assert [[t.index for t in pool] for pool in pools(run)] == [[1, 2], [0, 2], [0]]


def test_again_with_a_seed_that_was_sampled_since(run: Run, folder: Path):
    write(folder / "output-rs0.jsonl", line(0), line(1))
    import_nemo_skills(run, [folder])
    write(folder / "output-rs1.jsonl", line(0), line(1))
    report = import_nemo_skills(run, [folder])
    assert (report.problems, report.trajectories, report.present, report.fault_count) == (0, 2, 2, 0)
    report = import_nemo_skills(run, [folder])
    assert (report.trajectories, report.verdicts, report.present) == (0, 0, 4)


def test_unfinished_files_are_noted(run: Run, folder: Path):
    write(folder / "output-rs0.jsonl", line(0))
    write(folder / "output-rs1.jsonl-async", line(0))
    (note,) = import_nemo_skills(run, [folder]).notes
    assert "output-rs1.jsonl-async" in note


def test_a_single_output_file_has_no_seed(run: Run, folder: Path):
    write(folder / "output.jsonl", line(0))
    import_nemo_skills(run, [folder])
    ((trajectory,),) = pools(run)
    assert (trajectory.index, trajectory.seed) == (0, -1)


def test_a_folder_without_outputs(run: Run, folder: Path):
    with pytest.raises(DataError, match="output-rs"):
        import_nemo_skills(run, [folder])


def test_two_folders(run: Run, tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "output-rs0.jsonl", line(0))
    import_nemo_skills(run, [tmp_path / "a", tmp_path / "b"])
    assert [problem.id for problem in run.problems()] == ["a/0", "b/0"]
