import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbest.errors import DamagedRunError, DataError
from nbest.records import Completion, Pool, Problem, Trajectory
from nbest.storage import parquet, pools
from nbest.storage.problem_parts import ProblemParts
from nbest.storage.run import Run

MANIFEST = {"identity": {}, "info": {}}


def shape(run_pools: list[Pool]) -> list[tuple[str, list[int]]]:
    return [(pool.problem_id, [t.index for t in pool.trajectories]) for pool in run_pools]


def test_pools_come_in_problem_order_with_trajectories_by_index(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("c", 1), trajectory("a", 2), trajectory("c", 0)])
    run.append_trajectories([trajectory("a", 0), trajectory("d", 5), trajectory("a", 1)])
    assert shape(list(run.pools())) == [("a", [0, 1, 2]), ("b", []), ("c", [0, 1]), ("d", [5])]


def test_a_pool_carries_prompt_and_kind_and_no_target(tmp_path: Path, trajectory: Callable):
    run = Run.create(tmp_path / "run", MANIFEST)
    run.write_problems([Problem("a", "Which?", target="B", kind="choice")])
    run.append_trajectories([trajectory("a", 0)])
    (pool,) = run.pools()
    assert (pool.problem_id, pool.prompt, pool.kind) == ("a", "Which?", "choice")
    assert "B" not in repr(pool)
    assert pool.trajectories[0].completion.tokens.tolist() == [0, 1, 2]


def test_the_first_trajectory_of_an_id_counts_everywhere(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0, note="first"), trajectory("a", 1)])
    run.append_trajectories([trajectory("a", 1, note="late"), trajectory("a", 0, note="late")])
    assert [t.completion.note for t in next(run.pools()).trajectories] == ["first", ""]
    assert run.done_trajectories() == {"a#0", "a#1"}
    with run.connect() as database:
        rows = database.sql("SELECT id, note FROM trajectories ORDER BY id").fetchall()
    assert rows == [("a#0", "first"), ("a#1", "")]


def test_some_problems_only(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory(name, 0) for name in "abcd"])
    assert shape(list(run.pools(["d", "b"]))) == [("b", [0]), ("d", [0])]
    assert list(run.pools([])) == []
    with pytest.raises(DataError, match="no problem has the id 'x'"):
        list(run.pools(["a", "x"]))


def test_without_tokens_everything_else_is_there(run: Run, trajectory: Callable):
    original = trajectory("a", 0)
    run.append_trajectories([original])
    completion = next(run.pools(tokens=False)).trajectories[0].completion
    assert (completion.text, completion.finish) == (original.completion.text, original.completion.finish)
    assert (completion.prompt_tokens.tolist(), completion.tokens.tolist()) == ([], [])
    assert (completion.logprobs, completion.confidences, completion.certainties) == (None, None, None)


def test_trajectories_of_an_unknown_problem_are_named(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("z", 0)])
    (part,) = (run.path / "trajectories").iterdir()
    with pytest.raises(DamagedRunError, match=rf"{part.name}.*problem 'z'.*not among the 4 problems"):
        list(run.pools())


def test_a_damaged_page_is_named_while_streaming(run: Run):
    noise = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    run.append_trajectories([Trajectory("a#0", "a", 0, 0, Completion("", logprobs=noise))])
    (part,) = (run.path / "trajectories").iterdir()
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    stream = Run.open(run.path).pools()
    with pytest.raises(DamagedRunError, match=part.name):
        list(stream)
    # Columns that are not read cannot fail.
    assert shape(list(run.pools(tokens=False)))[0] == ("a", [0])


@pytest.fixture
def interleaved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """14 problems x 6: each part holds one index of every problem, in row groups of 5 rows."""
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 5)
    run = Run.create(tmp_path / "run", MANIFEST)
    run.write_problems([Problem(f"p{n}", "?") for n in range(14)])
    for index in range(6):
        completions = [Completion(f"{n} {index}", tokens=np.full(50, n, dtype=np.int32)) for n in range(14)]
        run.append_trajectories([Trajectory(f"p{n}#{index}", f"p{n}", index, 0, completions[n]) for n in range(14)])
    return run


def test_interleaved_parts_give_whole_pools_whatever_the_section(interleaved: Run, monkeypatch: pytest.MonkeyPatch):
    for section_bytes in (1, 5000, 1 << 30):
        monkeypatch.setattr(pools, "SECTION_BYTES", section_bytes)
        run_pools = list(interleaved.pools())
        assert shape(run_pools) == [(f"p{n}", [0, 1, 2, 3, 4, 5]) for n in range(14)]
        assert [t.completion.text for t in run_pools[7].trajectories] == [f"7 {index}" for index in range(6)]
        assert {int(t.completion.tokens[0]) for t in run_pools[13].trajectories} == {13}


def test_one_row_group_and_one_section_are_alive_at_a_time(interleaved: Run, monkeypatch: pytest.MonkeyPatch):
    groups: list[weakref.ref[Any]] = []
    trajectories: list[weakref.ref[Any]] = []
    most = {"groups": 0, "trajectories": 0}
    read_group, decode = pools.read_group, pools.TRAJECTORIES.decode

    def watch_groups(*arguments: Any) -> Any:
        most["groups"] = max(most["groups"], 1 + sum(ref() is not None for ref in groups))
        rows = read_group(*arguments)
        groups.append(weakref.ref(rows))
        return rows

    def watch_trajectories(rows: Any) -> Any:
        records = decode(rows)
        # Trajectories have no weak references (slots); their token arrays do.
        trajectories.extend(weakref.ref(record.completion.tokens) for record in records)
        most["trajectories"] = max(most["trajectories"], sum(ref() is not None for ref in trajectories))
        return records

    monkeypatch.setattr(pools, "TRAJECTORIES", replace(pools.TRAJECTORIES, decode=watch_trajectories))
    monkeypatch.setattr(pools, "SECTION_BYTES", 5000)
    count = 0
    problems = ProblemParts(interleaved.path)
    reader = pools.PoolReader(problems, interleaved.path / "trajectories")
    index = reader._load_index(problems.read_positions())
    pool_bytes = index.weigh(0)
    monkeypatch.setattr(pools, "read_group", watch_groups)
    for pool in reader.read():
        count += len(pool.trajectories)
    assert count == len(trajectories) == 84
    # A row group lives until its variable is assigned again.
    assert most["groups"] <= 2
    # A section has fewer than 5000 bytes of pools; the caller still holds one pool of the section before.
    section_trajectories = 6 * int(5000 // pool_bytes)
    assert 1 < 5000 // pool_bytes < 10
    assert most["trajectories"] <= section_trajectories + 6 < 84


def test_streaming_goes_on_when_a_compaction_replaces_parts(interleaved: Run, monkeypatch: pytest.MonkeyPatch):
    from nbest.storage.compaction import compact

    monkeypatch.setattr(pools, "SECTION_BYTES", 1000)
    stream = interleaved.pools()
    first = next(stream)
    compact(interleaved)
    assert shape([first, *stream]) == [(f"p{n}", [0, 1, 2, 3, 4, 5]) for n in range(14)]
