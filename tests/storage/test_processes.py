"""Real processes on one run: several at once, killed at any moment, and a race for the manifest."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbest.storage.compaction import compact
from nbest.storage.run import Run

WRITER = Path(__file__).with_name("writer.py")


def start(path: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), str(path), *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def assert_complete(run: Run, problems: int, n: int) -> None:
    run.check(deep=True)
    ids = {f"p{problem}#{index}" for problem in range(problems) for index in range(n)}
    pools = list(run.pools())
    assert [pool.problem_id for pool in pools] == [f"p{number}" for number in range(problems)]
    for pool in pools:
        assert [t.id for t in pool.trajectories] == [f"{pool.problem_id}#{index}" for index in range(n)]
        assert [t.completion.text for t in pool.trajectories] == [f"{pool.problem_id} {index}" for index in range(n)]
        assert [len(t.completion.tokens) for t in pool.trajectories] == [3 + index for index in range(n)]
    assert run.done_trajectories() == run.done_states() == run.done_verdicts() == run.done_scores("length") == ids
    for key, states in zip(sorted(ids), run.states(sorted(ids)), strict=True):
        assert states.values[0, 0, 0] == int(key.split("#")[1])
    assert sorted(verdict.trajectory_id for verdict in run.verdicts()) == sorted(ids)
    with run.connect() as database:
        for view, expected in (("problems", problems), ("trajectories", len(ids)), ("verdicts", len(ids))):
            assert database.sql(f"SELECT count(*) FROM {view}").fetchall() == [(expected,)]


def test_four_processes_share_a_run_and_create_it_at_one_moment(tmp_path: Path):
    path = tmp_path / "run"
    finish([start(path, 8, 3, worker, 4) for worker in range(4)])
    run = Run.open(path)
    assert_complete(run, 8, 3)
    assert len(list((path / "trajectories").iterdir())) == 8
    compact(run)
    assert len(list((path / "trajectories").iterdir())) == 1
    assert_complete(Run.open(path), 8, 3)


def test_processes_that_do_the_same_work_do_no_harm(tmp_path: Path):
    path = tmp_path / "run"
    finish([start(path, 4, 2, 0, 0) for _ in range(3)])
    run = Run.open(path)
    assert_complete(run, 4, 2)
    compact(run)
    assert_complete(Run.open(path), 4, 2)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_is_readable_and_can_be_finished(tmp_path: Path, seed: int):
    path = tmp_path / "run"
    draw = random.Random(seed)
    problems = 14
    for _ in range(2):
        process = start(path, problems, 2, 0, 1)
        assert process.stdout is not None
        for _ in range(draw.randrange(1, 6)):
            process.stdout.readline()
        # Then at any moment of the next writes.
        for _ in range(draw.randrange(20_000)):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        run = Run.open(path)
        run.check(deep=True)
        assert all(len(pool.trajectories) in (0, 2) for pool in run.pools())
        assert run.done_states() >= run.done_trajectories() >= run.done_verdicts() >= run.done_scores("length")
        compact(run)
    finish([start(path, problems, 2, 0, 1)])
    assert_complete(Run.open(path), problems, 2)


def test_only_one_identity_wins_the_race_for_a_new_run(tmp_path: Path):
    path = tmp_path / "run"
    # Two settings at one moment: those that lost say so, and the run is that of the winner.
    processes = [start(path, problems, 1, 0, 1) for problems in (3, 4, 3, 4)]
    outcomes = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    winner = Run.open(path).manifest["identity"]["problems"]
    assert winner in (3, 4)
    for problems, (errors, code) in zip((3, 4, 3, 4), outcomes, strict=True):
        assert (code == 0) == (problems == winner), errors
        if problems != winner:
            assert f"problems: the run has {winner}, this command {problems}" in errors
    assert_complete(Run.open(path), winner, 1)
    assert [entry.name for entry in path.iterdir() if entry.name.startswith(".")] == []
