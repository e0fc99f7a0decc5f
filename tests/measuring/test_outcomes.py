import numpy as np
import pytest

from nbest.errors import UnavailableError
from nbest.measuring.outcomes import count_duplicates, read_outcomes, require_verdicts, survey


@pytest.fixture
def run(make_run):
    return make_run(
        [
            {"correct": True, "answer": "1", "tokens": 7, "scores": {"a": 0.5}},
            {"correct": None, "answer": "1", "tokens": 8, "scores": {"a": 0.9}},
            {"correct": False, "answer": None, "tokens": 9, "text": "four"},
        ],
        [{"correct": True, "answer": "2", "tokens": 0, "finish": "error", "scores": {"a": 3.0}}],
    )


def test_survey_counts_what_a_run_holds(run):
    with run.connect() as connection:
        contents = survey(connection)
    assert (contents.problems, contents.trajectories, contents.n_min, contents.n_max) == (2, 4, 1, 2)
    assert (contents.unverified, contents.ungraded, contents.answered, contents.failed, contents.tokenless) == (
        0,
        1,
        1,
        1,
        0,
    )
    assert contents.unscored == {"a": 0}  # the second problem holds nothing that could win


def test_the_survey_counts_scores_that_can_be_no_weights(make_run):
    trajectory = {"correct": True, "answer": "1"}
    run = make_run(
        [trajectory | {"scores": {"a": -1.0, "b": 0.0}}, trajectory | {"scores": {"a": 0.5, "b": float("inf")}}],
        [
            {"correct": False, "scores": {"a": -1.0}},  # no answer, ungraded, failed: these do not vote
            {"correct": None, "answer": "1", "scores": {"a": -1.0}},
            {"correct": True, "answer": "1", "finish": "error", "scores": {"a": -1.0}},
        ],
    )
    with run.connect() as connection:
        contents = survey(connection)
    assert (contents.negative, contents.infinite, contents.voting) == (
        {"a": 1, "b": 0},
        {"a": 0, "b": 1},
        {"a": 2, "b": 2},
    )


def test_outcomes_come_by_problem_and_index_without_the_ungraded(run):
    with run.connect() as connection:
        first, second = read_outcomes(connection, ["a"], with_characters=True)
    assert (first.problem_id, first.ungraded) == ("p0", 1)
    assert first.indices.tolist() == [0, 2]
    assert first.correct.tolist() == [True, False]
    assert first.answers == ("1", None)
    assert first.sampled_tokens.tolist() == [7, 9]
    assert first.characters.tolist() == [1, 4]
    assert first.scores["a"] == pytest.approx([0.5, np.nan], nan_ok=True)
    assert second.problem_id == "p1"


def test_a_failed_trajectory_is_wrong_and_has_no_answer_or_score(run):
    with run.connect() as connection:
        outcomes = list(read_outcomes(connection, ["a"]))[1]
    assert (outcomes.failed.tolist(), outcomes.correct.tolist(), outcomes.answers) == ([True], [False], (None,))
    assert np.isnan(outcomes.scores["a"]).all()
    assert outcomes.characters.tolist() == [0]


def test_problems_keep_their_position_not_their_alphabet(make_run):
    run = make_run(*[[{"correct": True}] for _ in range(11)])
    with run.connect() as connection:
        ids = [outcomes.problem_id for outcomes in read_outcomes(connection)]
    assert ids == [f"p{number}" for number in range(11)]


def test_names_of_scorers_are_values_never_sql(make_run):
    run = make_run([{"correct": True, "scores": {"a-b.c": 1.0}}])
    with run.connect() as connection:
        (outcomes,) = read_outcomes(connection, ["a-b.c", "'; DROP TABLE x; --"])
    assert outcomes.scores["a-b.c"].tolist() == [1.0]
    assert np.isnan(outcomes.scores["'; DROP TABLE x; --"]).all()


def test_unverified_trajectories_are_an_error_with_counts(make_run):
    run = make_run([{"correct": True}, {"correct": "absent"}, {"correct": "absent", "finish": "error"}])
    with run.connect() as connection:
        contents = survey(connection)
    with pytest.raises(UnavailableError, match=r"1 of 3 trajectories of run R has no verdict\. Run `nbest verify R`"):
        require_verdicts(contents, "R")


def test_an_empty_run_is_an_error(make_run):
    with make_run([]).connect() as connection:
        contents = survey(connection)
    with pytest.raises(UnavailableError, match="no trajectories"):
        require_verdicts(contents, "R")


def test_a_run_of_which_nothing_could_be_graded_is_an_error(make_run):
    with make_run([{"correct": None}, {"correct": None}]).connect() as connection:
        contents = survey(connection)
    with pytest.raises(UnavailableError, match="none of the 2 trajectories of run R could be graded"):
        require_verdicts(contents, "R")


def test_the_ungraded_stand_beside_their_pool_as_all_wrong_and_all_right(make_run):
    run = make_run([{"correct": True}, {"correct": None, "answer": "7"}, {"correct": False}, {"correct": True}])
    with run.connect() as connection:
        (outcomes,) = read_outcomes(connection, with_prompt_tokens=True)
    assert outcomes.positions.tolist() == [0, 2, 3]
    assert outcomes.correct.tolist() == [True, False, True]
    wrong, right = outcomes.extremes
    assert wrong.correct.tolist() == [True, False, False, True]
    assert right.correct.tolist() == [True, True, False, True]
    assert wrong.answers == right.answers == (None, "7", None, None)
    assert outcomes.prompt_tokens.tolist() == [0, 0, 0]


def test_a_pool_where_all_are_graded_has_no_extremes(run):
    with run.connect() as connection:
        second = list(read_outcomes(connection))[1]
    assert (second.extremes, second.positions, second.prompt_tokens) == (None, None, None)


def test_positions_may_repeat(run):
    with run.connect() as connection:
        first = next(read_outcomes(connection, ["a"]))
    taken = first.take(np.array([1, 1, 0]))
    assert (taken.correct.tolist(), taken.answers) == ([False, False, True], (None, None, "1"))
    assert taken.scores["a"] == pytest.approx([np.nan, np.nan, 0.5], nan_ok=True)


def test_trajectories_stored_twice_are_counted(make_run):
    run = make_run([{"correct": True}, {"correct": False}])
    trajectories = [t for pool in run.pools() for t in pool.trajectories]
    with run.connect() as connection:
        assert count_duplicates(run, connection) == 0
    run.append_trajectories(trajectories[:1])
    with run.connect() as connection:
        assert count_duplicates(run, connection) == 1
        assert len(next(read_outcomes(connection)).correct) == 2
