from nbest.measuring.trajectory_counts import TrajectoryCounts, add_counts, count_trajectories
from nbest.records import Completion, Problem, Trajectory, Verdict
from nbest.storage.run import Run

RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}


def test_each_problem_is_counted_by_what_became_of_its_trajectories(make_run):
    run = make_run(
        [RIGHT, WRONG, {"correct": False, "finish": "length"}, {"correct": None, "answer": "3"}],
        [{"correct": True}, {"correct": False, "finish": "error"}, {"correct": None, "finish": "length"}],
    )
    with run.connect() as connection:
        counts = count_trajectories(connection)
    assert counts == {
        "p0": TrajectoryCounts(right=1, wrong=2, ungraded=1, without_answer=1, cut=1),
        "p1": TrajectoryCounts(right=1, ungraded=1, failed=1, without_answer=2, cut=1, right_without_answer=1),
    }
    total = add_counts(counts.values())
    assert (total.total, total.graded, total.failed) == (7, 4, 1)


def test_programs_have_no_answer_to_read(tmp_path):
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    run.write_problems([Problem("c", "?", kind="code")])
    run.append_trajectories([Trajectory("c#0", "c", 0, 0, Completion("def f(): ...", finish="stop"))])
    run.append_verdicts([Verdict("c#0", True)])
    with run.connect() as connection:
        (counts,) = count_trajectories(connection).values()
    assert (counts.without_answer, counts.right_without_answer) == (0, 1)


def test_words_of_the_counts():
    counts = TrajectoryCounts(right=900, wrong=50, ungraded=30, failed=20, without_answer=51, cut=1_000 - 900)
    assert counts.describe() == (
        "of 1,000 trajectories: 51 no answer read (5.1 %), 30 ungraded (3.0 %), 20 failed (2.0 %), "
        "100 cut at the token limit (10.0 %)"
    )
    assert counts.warn() == (
        "of 1,000 trajectories, 5.1 % have no answer that could be read (51), 10.0 % were cut at the token limit (100)"
    )
    assert counts.to_json()["large_shares"] == {"without_answer": 0.051, "cut": 0.1}


def test_nothing_is_said_of_no_trajectories():
    assert (TrajectoryCounts().describe(), TrajectoryCounts().warn()) == ("", "")


def test_exactly_the_largest_share_is_no_warning():
    assert TrajectoryCounts(right=19, wrong=1, without_answer=1).warn() == ""
