"""Problems that are added one by one: kept in order, each id once, by several processes, while others read."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nbest.errors import ConfigError, DamagedRunError, DataError, UnavailableError
from nbest.records import Completion, Problem, Trajectory
from nbest.storage.run import Run

MANIFEST = {"identity": {}, "info": {}}


def problem(number: int) -> Problem:
    return Problem(f"q{number}", f"{number} + 1?", meta={"number": number})


def trajectory(problem_id: str) -> Trajectory:
    return Trajectory(f"{problem_id}#0", problem_id, 0, 1, Completion("\\boxed{1}", finish="stop"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", MANIFEST)


def test_problems_come_in_the_order_they_were_added(run: Run) -> None:
    run.append_problems([problem(3)])
    run.append_problems([problem(1), problem(2)])
    run.append_problems([])
    assert list(run.problems()) == [problem(3), problem(1), problem(2)]
    assert [run.problem(f"q{number}") for number in (2, 3, 1)] == [problem(2), problem(3), problem(1)]
    assert list(Run.open(run.path).problems()) == list(run.problems())


def test_a_problem_that_is_there_is_not_written_again(run: Run) -> None:
    run.append_problems([problem(1)])
    run.append_problems([problem(1), problem(2), problem(2)])
    run.append_problems([problem(2)])
    assert list(run.problems()) == [problem(1), problem(2)]
    assert len(list((run.path / "problems").iterdir())) == 2


def test_they_follow_those_that_were_written_once(run: Run) -> None:
    run.write_problems([problem(1)])
    run.append_problems([problem(1), problem(2)])
    run.append_trajectories([trajectory("q2")])
    assert list(run.problems()) == [problem(1), problem(2)]
    assert [len(pool.trajectories) for pool in run.pools()] == [0, 1]


def test_another_problem_of_an_id_is_refused(run: Run) -> None:
    run.append_problems([problem(1)])
    with pytest.raises(ConfigError, match="the run holds another problem 'q1'"):
        run.append_problems([Problem("q1", "other")])
    assert list(run.problems()) == [problem(1)]


def test_two_writers_that_do_not_know_of_each_other(run: Run) -> None:
    other = Run.open(run.path)
    run.append_problems([problem(1)])
    other.append_problems([problem(2)])
    run.append_problems([problem(2), problem(3)])
    assert list(other.problems()) == [problem(1), problem(2), problem(3)]


def test_of_two_parts_with_one_id_the_first_counts(run: Run) -> None:
    run.append_problems([problem(1)])
    (part,) = (run.path / "problems").iterdir()
    (run.path / "problems" / part.name.replace("part-0", "part-9", 1)).write_bytes(part.read_bytes())
    assert list(run.problems()) == [problem(1)]
    with run.connect() as database:
        assert database.execute("SELECT id FROM problems").fetchall() == [("q1",)]


def test_a_problem_added_while_pools_are_read_is_left_for_the_next_reader(run: Run) -> None:
    run.append_problems([problem(1)])
    run.append_trajectories([trajectory("q1")])
    pools = run.pools()
    # The reader lists the problems at its first pool.
    reader = iter(pools)
    Run.open(run.path).append_problems([problem(2)])
    first = next(reader)
    Run.open(run.path).append_trajectories([trajectory("q2")])
    assert [first.problem_id, *(pool.problem_id for pool in reader)] in (["q1"], ["q1", "q2"])
    assert [len(pool.trajectories) for pool in run.pools()] == [1, 1]


def test_a_reader_with_older_positions_leaves_out_newer_trajectories(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbest.storage.problem_parts import ProblemParts

    run.append_problems([problem(1)])
    run.append_trajectories([trajectory("q1")])
    read = ProblemParts.read_positions
    is_first = True

    def read_and_add(parts: ProblemParts) -> dict[str, int]:
        nonlocal is_first
        positions = read(parts)
        if is_first:
            is_first = False
            other = Run.open(run.path)
            other.append_problems([problem(2)])
            other.append_trajectories([trajectory("q2")])
        return positions

    monkeypatch.setattr(ProblemParts, "read_positions", read_and_add)
    assert [(pool.problem_id, len(pool.trajectories)) for pool in run.pools({"q1"})] == [("q1", 1)]


def test_trajectories_of_an_unknown_problem_are_damage(run: Run) -> None:
    run.append_problems([problem(1)])
    run.append_trajectories([trajectory("q9")])
    with pytest.raises(DamagedRunError, match="'q9'"):
        list(run.pools())


def test_what_is_not_there_is_named(run: Run) -> None:
    with pytest.raises(UnavailableError, match="no problems yet"):
        run.problem("q1")
    run.append_problems([problem(1)])
    with pytest.raises(DataError, match=r"no problem has the id 'q2'; the run has 1 problem$"):
        run.problem("q2")


def test_a_damaged_part_is_named(run: Run) -> None:
    run.append_problems([problem(1)])
    (part,) = (run.path / "problems").iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(DamagedRunError, match=part.name):
        Run.open(run.path)


def test_answer_rules_are_kept_and_old_problems_have_the_default(run: Run) -> None:
    ruled = Problem("q2", "?", answer_rule="json:answer")
    run.write_problems([problem(1), ruled])
    assert list(run.problems()) == [problem(1), ruled]
    assert [pool.answer_rule for pool in run.pools()] == ["default", "json:answer"]
    with pytest.raises(ConfigError, match="answer rule 'json:answer'"):
        run.append_problems([Problem("q2", "?")])

    path = run.path / "problems.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1).drop_columns(["answer_rule"]), path)
    old = Run.open(run.path)
    assert list(old.problems()) == [problem(1)]
    assert [pool.answer_rule for pool in old.pools()] == ["default"]
    assert old.connect().execute("SELECT answer_rule FROM problems").fetchall() == [(None,)]
    old.write_problems([problem(1)])
