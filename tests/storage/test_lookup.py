"""A single pool is what the stream of pools has, and is found without reading the parts that do not hold it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.errors import DamagedRunError, DataError, UnavailableError
from nbest.records import Problem, Score, Selection, Verdict, trajectory_id
from nbest.storage import lookup as lookup_module
from nbest.storage.compaction import compact
from nbest.storage.lookup import PoolLookup
from nbest.storage.parts import list_parts
from nbest.storage.run import Run

MANIFEST = {"identity": {}, "info": {}}
PROBLEMS = [f"p{number}" for number in range(12)]


def make_run(path: Path, trajectory: Callable, seed: int) -> Run:
    """Return a run in which pools are spread over parts, some ids are stored twice, and some have no results."""
    draw = random.Random(seed)
    run = Run.create(path, MANIFEST)
    run.write_problems([Problem(key, f"What is {key}?", answer_rule="last-number") for key in PROBLEMS])
    names = [(key, index) for key in PROBLEMS[1:] for index in range(4)]
    names += draw.sample(names, 8)
    draw.shuffle(names)
    for start in range(0, len(names), 7):
        part = dict.fromkeys(names[start : start + 7])
        run.append_trajectories([trajectory(key, index, note=f"part {start}") for key, index in part])
        ids = [trajectory_id(key, index) for key, index in part]
        run.append_verdicts([Verdict(id, draw.random() < 0.5, note=str(start)) for id in ids if draw.random() < 0.9])
        run.append_scores("s", [Score(id, draw.random(), (0.5,)) for id in ids if draw.random() < 0.9])
    for start in (0, 6):
        selections = [Selection(key, draw.randrange(4), "1", 0.5, note=key) for key in PROBLEMS[start + 2 : start + 6]]
        run.append_selections("majority", selections)
    return run


def require_same(run: Run) -> None:
    """Compare what is looked up with what is read as a stream."""
    lookup = PoolLookup(run)
    pools = {pool.problem_id: pool for pool in run.pools()}
    selections = {selection.problem_id: selection for selection in run.selections("majority")}
    for position, key in enumerate(PROBLEMS):
        problem = lookup.find_problem(key)
        assert problem == lookup.find_problem(str(position)) == run.problem(key)
        pool = lookup.read_pool(problem)
        streamed = pools[key]
        assert (pool.problem_id, pool.prompt) == (streamed.problem_id, streamed.prompt)
        assert (pool.kind, pool.answer_rule) == (streamed.kind, streamed.answer_rule)
        found = [(t.id, t.index, t.completion.note) for t in pool.trajectories]
        assert found == [(t.id, t.index, t.completion.note) for t in streamed.trajectories]
        ids = {t.id for t in pool.trajectories}
        by_id = {verdict.trajectory_id: verdict for verdict in lookup.read_verdicts(ids)}
        assert by_id == {v.trajectory_id: v for v in run.verdicts() if v.trajectory_id in ids}
        scores = {score.trajectory_id: score for score in lookup.read_scores("s", ids)}
        assert scores == {s.trajectory_id: s for s in run.scores("s") if s.trajectory_id in ids}
        assert lookup.read_selection("majority", key) == selections.get(key)


@pytest.mark.parametrize("seed", range(4))
def test_a_looked_up_pool_is_the_streamed_one(tmp_path: Path, trajectory: Callable, seed: int) -> None:
    run = make_run(tmp_path / "run", trajectory, seed)
    require_same(run)
    compact(run)
    require_same(Run.open(run.path))


def test_questions_that_were_added_are_found(tmp_path: Path, trajectory: Callable) -> None:
    run = Run.create(tmp_path / "run", MANIFEST)
    with pytest.raises(UnavailableError, match="no problems"):
        PoolLookup(run).find_problem("0")
    for key in ("q1", "q2", "q3"):
        run.append_problems([Problem(key, f"{key}?")])
    run.append_trajectories([trajectory("q2", 0)])
    lookup = PoolLookup(run)
    assert lookup.find_problem("1") == lookup.find_problem("q2") == Problem("q2", "q2?")
    assert len(lookup.read_pool(Problem("q2", "q2?")).trajectories) == 1
    assert lookup.read_pool(Problem("q3", "q3?")).trajectories == ()


def test_an_id_may_look_like_a_position(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", MANIFEST)
    run.write_problems([Problem("1", "first"), Problem("0", "second"), Problem("7", "third")])
    lookup = PoolLookup(run)
    assert [lookup.find_problem(name).prompt for name in ("0", "1", "7")] == ["first", "second", "third"]
    for unknown in ("3", "x", ""):
        with pytest.raises(DataError, match="no problem has the id"):
            lookup.find_problem(unknown)


def test_only_the_parts_that_may_hold_it_are_opened(
    tmp_path: Path, trajectory: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "run", MANIFEST)
    run.write_problems([Problem(key, "?") for key in PROBLEMS])
    for key in PROBLEMS:
        run.append_trajectories([trajectory(key, index) for index in range(3)])
        run.append_verdicts([Verdict(trajectory_id(key, index), True) for index in range(3)])
    opened: list[Path] = []
    open_part = lookup_module.open_part
    monkeypatch.setattr(lookup_module, "open_part", lambda path, *rest: opened.append(path) or open_part(path, *rest))
    lookup = PoolLookup(run)
    pool = lookup.read_pool(lookup.find_problem("p3"))
    lookup.read_verdicts([t.id for t in pool.trajectories])
    assert [path.parent.name for path in opened].count("trajectories") == 1
    assert [path.parent.name for path in opened].count("verdicts") == 1


def test_a_damaged_part_is_refused(tmp_path: Path, trajectory: Callable) -> None:
    run = make_run(tmp_path / "run", trajectory, seed=0)
    path = list_parts(run.path / "verdicts", ".parquet")[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    lookup = PoolLookup(run)
    ids = [trajectory_id(key, index) for key in PROBLEMS for index in range(4)]
    with pytest.raises(DamagedRunError, match=path.name):
        lookup.read_verdicts(ids)
