"""`nbest verify` on a run of programs: verdicts, what is recorded, resuming, and the modes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nbest.cli.app import app
from nbest.errors import ConfigError, UnavailableError
from nbest.records import Completion, Problem, Trajectory, trajectory_id
from nbest.sandbox.opening import open_sandbox
from nbest.stages import SandboxSettings, check, drop, verify
from nbest.storage.origins import read_origin
from nbest.storage.removal import drop_rows
from nbest.storage.run import Run
from nbest.storage.tables import VERDICTS
from nbest.verifying.code.settings import CodeSettings

PROBLEMS = [
    Problem(
        "square",
        "Write square(n).",
        kind="code",
        tests=("def check(candidate):\n    assert candidate(3) == 9",),
        meta={"entry_point": "square"},
    ),
    Problem("sum", "Add.", kind="code", tests=(json.dumps({"stdin": "1 2\n", "stdout": "3\n"}),)),
    Problem("math", "1 + 1?", "2"),
]


def fence(code: str) -> str:
    return f"```python\n{code}\n```"


TEXTS = {
    "square": [fence("def square(n):\n    return n * n"), fence("def square(n):\n    return n"), "No."],
    "sum": [fence("print(sum(map(int, input().split())))"), fence("print(int(sqrt(9)))"), "Hm."],
    "math": [r"\boxed{2}", r"\boxed{3}", r"\boxed{2}"],
}


def make_run(folder: Path, problems: list[Problem] = PROBLEMS) -> Run:
    run = Run.create(folder, {"identity": {"imported": "test"}, "info": {}})
    run.write_problems(problems)
    run.append_trajectories(
        [
            Trajectory(trajectory_id(problem.id, index), problem.id, index, index, Completion(text))
            for problem in problems
            for index, text in enumerate(TEXTS[problem.id])
        ]
    )
    return run


@pytest.fixture
def code_run(tmp_path: Path) -> Run:
    try:
        open_sandbox("auto", 1).describe()
    except UnavailableError as error:
        pytest.skip(str(error))
    return make_run(tmp_path / "run")


def read_verdicts(run: Run) -> dict[str, tuple[bool | None, str]]:
    return {verdict.trajectory_id: (verdict.correct, verdict.note) for verdict in run.verdicts()}


def test_programs_and_answers_of_one_run_are_graded(code_run: Run) -> None:
    report = verify(code_run)
    assert (report.right, report.wrong, report.ungraded) == (4, 5, 0)
    verdicts = read_verdicts(code_run)
    assert verdicts["square#0"] == (True, "")
    assert verdicts["square#1"] == (False, "the test: failed")
    assert verdicts["square#2"] == (False, "no program in the completion")
    assert verdicts["sum#1"][0] is False
    origin = read_origin(code_run.path / "verdicts")
    assert origin is not None
    assert origin.identity["mode"] == "true"
    assert origin.identity["limits"]["test_seconds"] == 6.0
    assert origin.info["isolation"]["packages"]["python"]
    assert origin.info["isolation"]["is_isolated"] is True
    assert report.to_json()["code"]["mode"] == "true"
    assert verify(code_run).right == 4
    assert check(code_run.path).files == 5
    assert drop(code_run, ["verdicts"])[0].rows == 9
    assert read_origin(code_run.path / "verdicts") is None


def test_a_damaged_origin_of_verdicts_is_found(code_run: Run) -> None:
    verify(code_run)
    path = code_run.path / "verdicts" / "origin.json"
    path.write_text(path.read_text().replace('"true"', '"both"'))
    (fault,) = check(code_run.path).faults
    assert (fault.path, fault.stage) == (path, "origin")


def test_both_modes_are_reported_and_not_mixed(code_run: Run) -> None:
    report = verify(code_run, code=CodeSettings("both"))
    assert report.mode_differences is not None
    (difference,) = report.mode_differences
    assert difference["trajectory_id"] == "sum#1"
    assert "LiveCodeBench's own runner says right" in difference["note"]
    assert verify(code_run, code=CodeSettings("both")).mode_differences == report.mode_differences
    with pytest.raises(ConfigError, match=r"mode 'both'.*nbest drop"):
        verify(code_run, code=CodeSettings("upstream"))


def test_the_default_mode_is_refused_where_it_is_requested(code_run: Run) -> None:
    verify(code_run, code=CodeSettings("both"))
    with pytest.raises(ConfigError, match=r"mode 'both'.*mode 'true', remove the verdicts"):
        verify(code_run, code=CodeSettings("true"))
    assert verify(code_run).mode_differences is not None


def test_settings_are_checked_before_ungraded_verdicts_are_dropped(code_run: Run) -> None:
    verify(code_run)
    (program,) = [verdict for verdict in code_run.verdicts() if verdict.trajectory_id == "sum#0"]
    drop_rows(code_run.path / "verdicts", VERDICTS, lambda verdict: verdict.trajectory_id == "sum#0")
    code_run.append_verdicts([replace(program, correct=None, note="the sandbox failed")])
    before = read_verdicts(code_run)
    with pytest.raises(ConfigError, match="mode: "):
        verify(code_run, redo_failed=True, code=CodeSettings("upstream"))
    assert read_verdicts(code_run) == before
    report = verify(code_run, redo_failed=True)
    assert (report.redone, report.right, report.ungraded) == (1, 4, 0)


def test_verdicts_of_two_modes_are_refused_where_some_are_missing(code_run: Run) -> None:
    verify(code_run)
    code_run.append_trajectories([Trajectory("sum#3", "sum", 3, 3, Completion(TEXTS["sum"][0]))])
    with pytest.raises(ConfigError, match='mode: the run has "true", this command "upstream"'):
        verify(code_run, code=CodeSettings("upstream"))
    assert verify(code_run).trajectories == 10


def test_where_nothing_isolates_programs_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")

    def refuse(*_: Any, **__: Any) -> None:
        raise UnavailableError("no isolation works on this machine. `nbest doctor` says more")

    monkeypatch.setattr("nbest.stages.sandboxes.open_sandbox", refuse)
    report = verify(run)
    assert (report.right, report.wrong, report.ungraded) == (2, 1, 6)
    assert report.reasons == {"not run: no isolation works on this machine. `nbest doctor` says more": 6}
    assert read_origin(run.path / "verdicts") is None
    monkeypatch.undo()
    try:
        open_sandbox("auto", 1)
    except UnavailableError:
        return
    report = verify(run, redo_failed=True)
    assert (report.redone, report.right, report.ungraded) == (6, 4, 0)


def test_settings_of_programs_need_programs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [PROBLEMS[2]])
    with pytest.raises(ConfigError, match="no problems of kind 'code'"):
        verify(run, sandbox=SandboxSettings("namespaces"))
    assert "code" not in verify(run).to_json()


def test_the_command_says_what_isolates_and_what_differs(code_run: Run) -> None:
    result = CliRunner().invoke(app, ["verify", str(code_run.path), "--code-mode", "both", "--json", "-"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["code"]["mode"] == "both"
    assert [item["trajectory_id"] for item in row["mode_differences"]] == ["sum#1"]
    result = CliRunner().invoke(app, ["verify", str(code_run.path), "--code-mode", "strict"])
    assert result.exit_code == 2
