"""Runs side by side: names, orders, verdicts, refusals."""

from pathlib import Path

import pytest

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.records import CodeTask, Completion, Trajectory
from nbest.training import source_pools
from nbest.training.source_pools import open_sources, read_source_pools
from tests.training.verified_runs import make_run


def read_verdicts(*runs: str) -> list[tuple[str, list[tuple[str, bool | None]]]]:
    pools = read_source_pools(open_sources(runs))
    return [(pool.problem_id, [(t.id, t.is_correct) for t in pool.trajectories]) for pool in pools]


def test_one_run_keeps_its_ids(tmp_path: Path):
    make_run(tmp_path / "a", {"p": [("x", True), ("y", None)], "q": []})
    assert read_verdicts(str(tmp_path / "a")) == [("p", [("p#0", True), ("p#1", None)]), ("q", [])]


def test_several_runs_are_joined_by_problem_with_distinct_ids(tmp_path: Path):
    make_run(tmp_path / "a", {"p": [("x", True)], "r": [("x", False)]})
    make_run(tmp_path / "b", {"p": [("y", False)], "q": [("y", True)], "r": [("y", True)]})
    assert read_verdicts(str(tmp_path / "a"), str(tmp_path / "b")) == [
        ("p", [("a/p#0", True), ("b/p#0", False)]),
        ("q", [("b/q#0", True)]),
        ("r", [("a/r#0", False), ("b/r#0", True)]),
    ]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_orders_that_contradict_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int):
    monkeypatch.setattr(source_pools, "BATCH_PROBLEMS", batch)
    make_run(tmp_path / "a", {"p": [("x", True)], "q": [("x", False)]})
    make_run(tmp_path / "b", {"q": [("y", True)], "s": [("y", True)], "p": [("y", False)]})
    assert read_verdicts(str(tmp_path / "a"), str(tmp_path / "b")) == [
        ("p", [("a/p#0", True), ("b/p#0", False)]),
        ("q", [("a/q#0", False), ("b/q#0", True)]),
        ("s", [("b/s#0", True)]),
    ]


def test_names_must_differ_and_can_be_given(tmp_path: Path):
    make_run(tmp_path / "x" / "run", {"p": [("x", True)]})
    make_run(tmp_path / "y" / "run", {"p": [("y", False)]})
    with pytest.raises(ConfigError, match=r"several have the name run.*NAME=FOLDER"):
        read_verdicts(str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run"))
    (pool,) = read_verdicts(f"x={tmp_path}/x/run", f"y={tmp_path}/y/run")
    assert pool == ("p", [("x/p#0", True), ("y/p#0", False)])


def test_another_question_under_one_id_is_refused(tmp_path: Path):
    make_run(tmp_path / "a", {"p": [("x", True)]})
    make_run(tmp_path / "b", {"p": [("x", True)]}, question="How much is {}?")
    with pytest.raises(DataError, match=r"problem 'p': .*a asks 'What is p\?'.*b asks 'How much is p\?'"):
        read_verdicts(str(tmp_path / "a"), str(tmp_path / "b"))


def test_a_run_must_be_verified(tmp_path: Path):
    run = make_run(tmp_path / "a", {"p": [("x", True)]})
    run.append_trajectories([Trajectory("p#1", "p", 1, 1, Completion("y", finish="stop"))])
    with pytest.raises(UnavailableError, match=r"1 of 2 trajectories has no verdict.*nbest verify"):
        open_sources([str(tmp_path / "a")])
    make_run(tmp_path / "b", {"p": []})
    with pytest.raises(UnavailableError, match="no trajectories yet"):
        open_sources([str(tmp_path / "b")])
    with pytest.raises(ConfigError):
        open_sources([str(tmp_path / "nowhere")])


def test_pools_of_code_keep_their_public_part(tmp_path: Path):
    texts: dict[str, list[tuple[str, bool | None]]] = {"p": [("    return 1\n", True)]}
    for name in ("a", "b"):
        make_run(tmp_path / name, texts, kind="code", question="def f():\n", meta={"entry_point": "f"})
    for runs in ([tmp_path / "a"], [tmp_path / "a", tmp_path / "b"]):
        (pool,) = read_source_pools(open_sources([str(run) for run in runs]))
        assert pool.code == CodeTask("f", "def f():\n")
        assert len(pool.trajectories) == len(runs)
