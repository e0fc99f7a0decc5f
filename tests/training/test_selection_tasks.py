"""Which candidates tasks have: rules, draws that are the same everywhere, even positions."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from nbest.records import CodeTask, Completion, Finish, Kind, Trajectory
from nbest.training.selection_tasks import (
    GradedTrajectory,
    SourcePool,
    TaskCandidate,
    choose_tasks,
    draw_count,
    find_fault,
    gather_candidates,
    measure_pass_rate,
)
from nbest.training.settings import TasksConfig

SETTINGS = TasksConfig()
RECORDED = [
    (11, 9, 2, 3, 10, 4, 1),
    (3, 1, 11, 8, 4, 2, 5, 0),
    (2, 11, 5, 4, 1, 0),
    (2, 11, 8, 0, 3, 4, 10),
]


def pool(*samples: tuple[str, bool | None, Finish], kind: Kind = "math") -> SourcePool:
    trajectories = [
        GradedTrajectory(f"t{n}", Trajectory(f"t{n}", "p", n, n, Completion(text, finish=finish)), correct)
        for n, (text, correct, finish) in enumerate(samples)
    ]
    return SourcePool("p", "1?", kind, tuple(trajectories))


def candidates(right: int, wrong: int) -> list[TaskCandidate]:
    return [TaskCandidate(f"t{n}", f"text {n}", n < right) for n in range(right + wrong)]


def test_what_is_left_out_and_why():
    source = pool(
        ("<think>a</think>one", True, "stop"),
        ("<think>b</think>one", True, "stop"),  # Shown without its thinking it is the first again.
        ("two", False, "length"),
        ("three", None, "stop"),
        ("", False, "error"),
        ("<think>never ended", False, "stop"),
        ("four", False, "unknown"),
    )
    members, exclusions = gather_candidates(source, SETTINGS)
    assert [(c.id, c.text, c.is_correct) for c in members] == [("t0", "one", True), ("t6", "four", False)]
    assert exclusions == {
        "duplicate": 1,
        "truncated": 1,
        "ungraded": 1,
        "failed": 1,
        "nothing to show": 1,
    }
    # Graded and not failed: t0, t1 right; t2, t5, t6 wrong.
    assert measure_pass_rate(source) == 2 / 5


def test_thinking_and_truncated_ones_can_be_kept():
    source = pool(("<think>a</think>one", True, "stop"), ("<think>b</think>one", True, "stop"), ("x", False, "length"))
    members, exclusions = gather_candidates(source, TasksConfig(thinking="keep", truncated=True))
    assert [c.text for c in members] == ["aone", "bone", "x"]
    assert not exclusions


def test_equal_texts_with_contradicting_verdicts_are_all_left_out():
    source = pool(("same", True, "stop"), ("same", False, "stop"), ("same", True, "stop"), ("other", False, "stop"))
    members, exclusions = gather_candidates(source, SETTINGS)
    assert [c.id for c in members] == ["t3"]
    assert exclusions == {"duplicate": 2, "contradictory verdicts": 1}


def test_of_code_only_the_code_is_shown():
    fenced = "<think>hm</think>Here:\n```python\nprint(1)\n```\nDone."
    members, exclusions = gather_candidates(
        pool((fenced, True, "stop"), ("no code", False, "stop"), kind="code"), SETTINGS
    )
    assert [c.text for c in members] == ["print(1)"]
    assert exclusions == {"nothing to show": 1}
    source = pool(("    return 1", True, "stop"), ("no code", False, "stop"), kind="code")
    members, exclusions = gather_candidates(replace(source, code=CodeTask("f", "def f():\n")), SETTINGS)
    assert [c.text for c in members] == ["    return 1"]
    assert exclusions == {"nothing to show": 1}


@pytest.mark.parametrize(
    ("rate", "right", "wrong", "fault"),
    [
        (0.49, 1, 3, ""),
        (0.5, 2, 2, "pass rate not below the limit"),
        (None, 0, 0, "no graded trajectory"),
        (0.3, 1, 2, "too few distinct candidates"),
        (0.0, 0, 8, "no right candidate"),
        (0.4, 4, 0, "no wrong candidate"),
    ],
)
def test_why_a_problem_gives_no_tasks(rate: float | None, right: int, wrong: int, fault: str):
    assert find_fault(rate, candidates(right, wrong), SETTINGS) == fault


@pytest.mark.parametrize(("right", "wrong"), [(1, 3), (3, 5), (7, 1), (20, 40), (1, 40), (2, 2)])
def test_every_task_follows_the_rules(right: int, wrong: int):
    pool = candidates(right, wrong)
    for seed in range(40):
        tasks = list(choose_tasks(f"p{seed}", pool, SETTINGS))
        assert 1 <= len(tasks) <= 4
        sets = [frozenset(task.indices) for task in tasks]
        assert len(set(sets)) == len(sets)
        for task in tasks:
            right_count = sum(pool[index].is_correct for index in task.indices)
            assert 2 <= len(task.indices) <= min(16, right + wrong)
            assert len(set(task.indices)) == len(task.indices)
            assert 1 <= right_count <= len(task.indices) / 2


def test_a_pool_with_one_set_gives_one_task():
    # One right and one wrong: {0, 1} is the only set of two, whatever is drawn again.
    tasks = list(choose_tasks("p", candidates(1, 1), SETTINGS))
    assert [(task.number, sorted(task.indices)) for task in tasks] == [(0, [0, 1])]


def test_draws_depend_on_seed_problem_and_number_alone():
    # Written down once: a change of Python, machine or order of work must not change tasks.
    pool = candidates(3, 9)
    tasks = [task.indices for task in choose_tasks("p", pool, TasksConfig(seed=1))]
    assert tasks == RECORDED
    assert [task.indices for task in choose_tasks("p", pool, TasksConfig(seed=1, per_problem=2))] == RECORDED[:2]
    assert [task.indices for task in choose_tasks("p", pool, TasksConfig(seed=2))] != RECORDED
    assert [task.indices for task in choose_tasks("q", pool, TasksConfig(seed=1))] != RECORDED


def test_the_count_follows_the_truncated_normal():
    # exp(-(c - 3)^2 / 2) at c = 2..5: 0.6065, 1, 0.6065, 0.1353; sum 2.3484.
    rng = Random(0)
    counts = Counter(draw_count(rng, 5, 3.0, 1.0) for _ in range(20_000))
    shares = [counts[count] / 20_000 for count in (2, 3, 4, 5)]
    assert shares == pytest.approx([0.2583, 0.4258, 0.2583, 0.0576], abs=0.012)
    # Far from its mean too, where every density is 0 in floating point.
    assert draw_count(rng, 4, 1e6, 1.0) == 4
    assert draw_count(rng, 2, 8.0, 4.0) == 2


def test_right_ones_stand_everywhere_alike():
    # 2,000 tasks of exactly 4 candidates, 1 or 2 of them right.
    settings = TasksConfig(most=4, mean_candidates=1000, per_problem=1)
    pool = candidates(5, 10)
    at: Counter[int] = Counter()
    for number in range(2000):
        (task,) = choose_tasks(f"p{number}", pool, settings)
        assert len(task.indices) == 4
        at.update(position for position, index in enumerate(task.indices) if pool[index].is_correct)
    # One and two right are as likely: 1.5 of 4 on average, 750 of 2,000 at each; sd sqrt(2000 * 0.375 * 0.625) = 21.7.
    assert all(abs(at[position] - 750) < 4.3 * 21.7 for position in range(4))
