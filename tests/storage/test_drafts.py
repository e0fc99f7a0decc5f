"""A draft has no folder until its first record."""

from pathlib import Path

import pytest

from nbest.errors import ConfigError, DataError, StorageError, UnavailableError
from nbest.records import Completion, Problem, Trajectory, Verdict
from nbest.storage.drafts import prepare_run, reserve_folder
from nbest.storage.run import Run

MANIFEST = {"identity": {"seed": 1}, "info": {"a": 1}}
PROBLEMS = [Problem("p", "?"), Problem("q", "!")]


def make_trajectory(id: str = "p") -> Trajectory:
    return Trajectory(f"{id}#0", id, 0, 0, Completion("text"))


def test_the_first_record_creates_the_run(tmp_path: Path) -> None:
    path = tmp_path / "a" / "run"
    run = prepare_run(path, MANIFEST)
    with pytest.raises(UnavailableError):
        list(run.problems())
    run.write_problems(PROBLEMS)
    assert list(run.problems()) == PROBLEMS
    assert run.done_trajectories() == set()
    assert not (tmp_path / "a").exists()
    run.append_trajectories([make_trajectory()])
    assert [pool.problem_id for pool in run.pools()] == ["p", "q"]
    stored = Run.open(path)
    assert list(stored.problems()) == PROBLEMS
    assert stored.manifest == run.manifest == MANIFEST
    run.append_verdicts([Verdict("p#0", True)])
    assert stored.done_verdicts() == {"p#0"}


def test_questions_are_added_one_by_one(tmp_path: Path) -> None:
    run = prepare_run(tmp_path / "run", MANIFEST)
    run.append_problems(PROBLEMS[:1])
    run.append_problems(PROBLEMS)
    with pytest.raises(ConfigError, match="another problem 'p'"):
        run.append_problems([Problem("p", "other")])
    assert list(run.problems()) == PROBLEMS
    run.append_trajectories([make_trajectory()])
    run.append_problems([Problem("r", "r")])
    assert [problem.id for problem in Run.open(tmp_path / "run").problems()] == ["p", "q", "r"]


def test_faults_of_problems_and_manifest_come_before_anything_is_written(tmp_path: Path) -> None:
    run = prepare_run(tmp_path / "run", MANIFEST)
    with pytest.raises(DataError, match="occurs twice"):
        run.write_problems([PROBLEMS[0], PROBLEMS[0]])
    with pytest.raises(ConfigError, match="not JSON"):
        prepare_run(tmp_path / "run", {"identity": {"x": float("nan")}, "info": {}})
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_exists_is_opened(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", MANIFEST).write_problems(PROBLEMS)
    run = prepare_run(tmp_path / "run", MANIFEST)
    run.materialize()
    assert list(run.problems()) == PROBLEMS
    with pytest.raises(ConfigError, match="seed: the run has 1, this command 2"):
        prepare_run(tmp_path / "run", {"identity": {"seed": 2}, "info": {}})


def test_another_run_may_have_been_created_meanwhile(tmp_path: Path) -> None:
    same, other = (prepare_run(tmp_path / "run", MANIFEST), prepare_run(tmp_path / "run", {"identity": {}, "info": {}}))
    Run.create(tmp_path / "run", MANIFEST | {"info": {}})
    same.append_verdicts([Verdict("p#0", True)])
    assert same.manifest["info"] == {}
    with pytest.raises(ConfigError, match="other settings"):
        other.append_verdicts([Verdict("p#0", True)])
    with pytest.raises(ConfigError, match="other settings"):
        other.append_verdicts([Verdict("p#0", True)])


def test_a_reserved_folder_is_removed_where_nothing_was_written(tmp_path: Path) -> None:
    run = prepare_run(tmp_path / "a" / "b" / "run", MANIFEST)
    with reserve_folder(run):
        assert run.path.is_dir()
    assert list(tmp_path.iterdir()) == []
    with reserve_folder(run):
        run.materialize()
    assert Run.open(run.path).manifest == MANIFEST


def test_what_another_process_put_into_a_reserved_folder_stays(tmp_path: Path) -> None:
    run = prepare_run(tmp_path / "run", MANIFEST)
    with reserve_folder(run):
        (run.path / ".claims").write_text("")
    assert [path.name for path in run.path.iterdir()] == [".claims"]


@pytest.mark.parametrize(("name", "words"), [("file/run", "is a file"), ("x" * 300, "cannot be created")])
def test_a_folder_that_cannot_be_created_is_refused_at_once(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=words):
        prepare_run(tmp_path / name, MANIFEST)
