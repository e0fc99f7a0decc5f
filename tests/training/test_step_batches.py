from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbest.errors import DataError, UnavailableError
from nbest.records import HiddenStates, Step
from nbest.statistics.logprobs import step_features
from nbest.storage.run import Run
from nbest.training.step_batches import (
    StepBatches,
    StepSet,
    balance,
    cut_batches,
    draw_members,
    is_held_out,
    load_batch,
    read_step_set,
    resolve_layers,
    thin,
)
from tests.training.scorer_runs import ABOUT, HIDDEN, make_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40), st.integers(0, 3))
def test_balance_within_problems_takes_as_many_right_as_wrong(rows: list[tuple[int, bool]], seed: int) -> None:
    problem = np.array([p for p, _ in rows], dtype=np.int64)
    right = np.array([r for _, r in rows], dtype=bool)
    members = balance(right, problem, "problem", np.random.default_rng(seed))
    assert len(set(members.tolist())) == len(members)
    for p in range(5):
        of_problem = right[problem == p]
        smaller = min(int(of_problem.sum()), int((~of_problem).sum()))
        picked = right[members[problem[members] == p]]
        assert int(picked.sum()) == smaller
        assert int((~picked).sum()) == smaller


def test_balance_over_the_set_and_none() -> None:
    # Problem 0 has 3 right and 1 wrong, problem 1 one wrong: 2 wrong in all, so 2 of the 3 right ones.
    right, problem = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 0, 0, 0, 1])
    members = balance(right, problem, "set", np.random.default_rng(0))
    assert right[members].sum() == 2
    assert {3, 4} <= set(members.tolist())
    assert balance(right, problem, "none", np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]


def test_every_member_of_the_larger_side_is_drawn_sometimes() -> None:
    right, problem = np.array([1, 0, 0, 0], dtype=bool), np.zeros(4, dtype=np.int64)
    draws = {tuple(balance(right, problem, "problem", np.random.default_rng(seed))) for seed in range(40)}
    assert draws == {(0, 1), (0, 2), (0, 3)}


def test_batches_hold_similar_lengths_each_trajectory_once() -> None:
    steps = np.random.default_rng(0).integers(1, 300, 1000)
    batches = cut_batches(np.arange(1000), steps, 8, np.random.default_rng(1))
    flat = np.concatenate(batches)
    assert len(batches) == 125 - 1 or len(batches) == 125
    assert len(set(flat.tolist())) == len(flat)
    padded = sum(int(steps[batch].max()) * 8 for batch in batches)
    assert padded < 1.1 * int(steps[flat].sum())


def test_a_batch_is_padded_on_the_right(run: Run) -> None:
    step_set = read_step_set([run], (-1,), True)
    assert step_set.layers == (3,)
    assert step_set.hidden_size == HIDDEN
    members = [0, 1, 2, 3]
    batch = load_batch(step_set, members)
    width = max(step_set.step_counts[:4])
    assert batch["states"].shape == (4, width, 1, HIDDEN)
    for row, m in enumerate(members):
        hidden_states = next(run.states([step_set.ids[m]]))
        count = len(hidden_states.steps)
        assert batch["mask"][row].tolist() == [True] * count + [False] * (width - count)
        np.testing.assert_array_equal(batch["states"][row, :count, 0].numpy(), hidden_states.values[:, 1])
        assert float(batch["states"][row, count:].abs().sum()) == 0
        pool = next(iter(run.pools(["p0"])))
        expected = step_features(pool.trajectories[m].completion.logprobs, hidden_states.steps)
        np.testing.assert_array_equal(batch["features"][row, :count].numpy(), expected)
    verdicts = {verdict.trajectory_id: verdict.correct for verdict in run.verdicts()}
    assert [bool(label) for label in batch["labels"]] == [verdicts[step_set.ids[m]] for m in members]


def test_layers_are_chosen_by_number_or_from_the_end(run: Run) -> None:
    assert read_step_set([run], (1, 3), False).layers == (1, 3)
    assert resolve_layers((-2,), (3, 1), "run") == (1,)
    with pytest.raises(UnavailableError, match=r"states of layer 2 are needed, but the run stores \[1, 3\]"):
        read_step_set([run], (2,), False)


def test_epochs_repeat_and_differ(run: Run) -> None:
    step_set = read_step_set([run], (-1,), False)
    first, second = (StepBatches(step_set, 4, "problem", 2, 7) for _ in range(2))
    assert len(first) == 2 * first.batches_per_epoch
    for index in range(len(first)):
        assert first[index]["states"].equal(second[index]["states"])
    half = first.batches_per_epoch
    assert not first[0]["labels"].equal(first[half]["labels"]) or not first[0]["states"].equal(first[half]["states"])


def test_too_little_for_a_batch_is_said(run: Run) -> None:
    step_set = read_step_set([run], (-1,), False)
    with pytest.raises(UnavailableError, match="fewer than a batch of 1000"):
        StepBatches(step_set, 1000, "problem", 1, 0)


def test_problems_are_held_out_by_their_id_alone() -> None:
    hidden_states = [is_held_out(f"problem {i}", 0.25) for i in range(2000)]
    # Three standard errors of a share of .25 in 2000: .029.
    assert abs(np.mean(hidden_states) - 0.25) < 0.029
    assert not any(is_held_out(f"problem {i}", 0.0) for i in range(50))


def test_what_cannot_be_learned_from_is_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=2, n=4)
    run.append_states({"p9#0": HiddenStates((1, 3), (), np.zeros((0, 2, HIDDEN), np.float32))}, ABOUT)
    other = make_run(tmp_path / "other", problems=2, n=4)
    step_set = read_step_set([run, other], (-1,), False)
    assert len(step_set.ids) == 16
    assert step_set.problem.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    batch = load_batch(step_set, [3, 12])
    assert batch["labels"].tolist() == [float(step_set.is_right[3]), float(step_set.is_right[12])]


def test_runs_of_two_policies_are_not_mixed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=2)
    other = make_run(tmp_path / "other", problems=2, about={**ABOUT, "content_hash": "other"})
    with pytest.raises(DataError, match=r"content_hash 'other'.*'abc'"):
        read_step_set([run, other], (-1,), False)


def test_a_run_without_states_or_verdicts_says_what_to_do(tmp_path: Path) -> None:
    empty = Run.create(tmp_path / "empty", {"identity": {}, "info": {}})
    with pytest.raises(UnavailableError, match="nbest encode"):
        read_step_set([empty], (-1,), False)
    empty.append_states({"p#0": HiddenStates((1,), (Step(0, 1),), np.zeros((1, 1, 4), np.float32))}, ABOUT)
    with pytest.raises(UnavailableError, match="nbest verify"):
        read_step_set([empty], (-1,), False)


def test_states_that_are_not_finite_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=1, n=2, signal=float("inf"))
    step_set = read_step_set([run], (-1,), False)
    with pytest.raises(DataError, match="'p0#0' are not finite"):
        load_batch(step_set, [0])


def one_per_problem(tmp_path: Path) -> StepSet:
    """Two data sets: 12 problems x 8, of which few are right in the first half, and 10 problems x 8."""
    runs = [make_run(tmp_path / "a", problems=12), make_run(tmp_path / "b", problems=10, first=12)]
    return read_step_set(runs, (3,), False)


@pytest.mark.parametrize("seed", range(5))
def test_the_published_balance_is_within_each_run_on_one_trajectory_per_problem(tmp_path: Path, seed: int) -> None:
    steps = one_per_problem(tmp_path)
    members = draw_members(steps, "run", 1, seed, np.random.default_rng((seed, 0)))
    assert len(set(steps.problem[members])) == len(members)
    for run in (0, 1):
        right = steps.right[members[steps.run[members] == run]]
        assert right.sum() * 2 == len(right)
    # The trajectory of a problem stays the same; the draw of the larger class changes from epoch to epoch.
    pool = thin(steps.problem, 1, seed)
    assert len(pool) == 22
    for epoch in range(1, 4):
        assert set(draw_members(steps, "run", 1, seed, np.random.default_rng((seed, epoch)))) <= set(pool)


def test_as_many_per_problem_as_there_are(tmp_path: Path) -> None:
    steps = one_per_problem(tmp_path)
    assert np.bincount(steps.problem[thin(steps.problem, 3, 0)]).tolist() == [3] * 22
    assert thin(steps.problem, 100, 0).tolist() == list(range(176))
    assert thin(steps.problem, None, 0).tolist() == list(range(176))
    assert thin(steps.problem, 3, 0).tolist() != thin(steps.problem, 3, 1).tolist()


def test_balance_per_run_is_not_balance_over_the_set() -> None:
    # Run 0: one right of three; run 1: two right of three. Over the set 3 and 3 are balanced already.
    right, run = np.array([1, 0, 0, 1, 1, 0], dtype=bool), np.array([0, 0, 0, 1, 1, 1])
    rng = np.random.default_rng(0)
    assert len(balance(right, run, "set", rng)) == 6
    members = balance(right, run, "run", rng)
    assert [int(right[members[run[members] == number]].sum()) for number in (0, 1)] == [1, 1]
    assert np.bincount(run[members]).tolist() == [2, 2]
