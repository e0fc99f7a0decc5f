import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import DamagedRunError, StorageError
from nbest.records import HiddenStates, Problem, Score, Selection, Step, Verdict
from nbest.storage import compaction, parts
from nbest.storage.compaction import compact
from nbest.storage.problem_parts import ProblemParts
from nbest.storage.run import Run


class Killed(BaseException):
    pass


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise Killed instead of the renaming or removal of this number."""
    steps = iter(range(1000))

    def deadly(original: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            if next(steps) == step:
                raise Killed
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", deadly(os.rename))
        patch.setattr(Path, "unlink", deadly(Path.unlink))
        yield


def content(run: Run) -> dict[str, list]:
    """Everything a reader can see."""
    with run.connect() as database:
        views = ("trajectories", "verdicts", "scores", "selections")
        content = {name: sorted(database.sql(f"FROM {name}").fetchall(), key=repr) for name in views}
    done = sorted(run.done_states())
    states = zip(done, run.states(done), strict=True)
    content["states"] = [(key, s.layers, s.steps, s.values.tolist()) for key, s in states]
    content["pools"] = [(p.problem_id, [(t.id, t.completion.note) for t in p.trajectories]) for p in run.pools()]
    return content


def by_folder(results: list[compaction.Compacted]) -> dict[str, compaction.Compacted]:
    return {result.folder: result for result in results}


@pytest.fixture
def filled(run: Run, trajectory: Callable) -> Run:
    """Five parts per stage; every id but the newest occurs twice, and the second differs from the first."""
    for index in range(5):
        again = [trajectory("a", index - 1, note="late", captured=9.0)] if index else []
        run.append_trajectories([trajectory("a", index, captured=float(index)), *again], {"policy": "tiny"})
        run.append_verdicts([Verdict(f"a#{index}", True), Verdict(f"a#{index - 1}", False)])
        run.append_scores("s", [Score(f"a#{index}", index, (1.0,)), Score(f"a#{index - 1}", -1.0)])
        run.append_selections("m", [Selection("abcd"[index % 4], index)])
    return run


def test_parts_become_one_and_readers_see_no_difference(filled: Run):
    before = content(filled)
    results = by_folder(compact(filled))
    assert set(results) == {"trajectories", "verdicts", "scores/s", "selections/m", "states"}
    assert {(result.parts_before, result.parts_after) for result in results.values() if result.folder != "states"} == {
        (5, 1)
    }
    # Trajectories 0 to 3 twice; verdicts and scores also of "a#-1", once; selections of "a" twice.
    assert {name: result.duplicates for name, result in results.items() if name != "states"} == {
        "trajectories": 4,
        "verdicts": 4,
        "scores/s": 4,
        "selections/m": 1,
    }
    assert results["trajectories"].bytes_after < results["trajectories"].bytes_before
    assert content(filled) == content(Run.open(filled.path)) == before
    filled.check(deep=True)
    assert all(
        result.parts_before == result.parts_after
        for name, result in by_folder(compact(filled)).items()
        if name != "states"
    )
    assert content(filled) == before


def test_nothing_to_do_leaves_every_file(run: Run, trajectory: Callable):
    assert [result.parts_after for result in compact(run)] == [0, 0, 0]
    run.append_trajectories([trajectory("a", 0, captured=1.0)])
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("part-*")}
    compact(run)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("part-*")} == before


def test_target_bounds_the_parts(run: Run):
    for number in range(12):
        run.append_verdicts([Verdict(f"a#{number}", True)])
    # Parts of one row each are joined up to four rows.
    compact(run, target_rows=4)
    sizes = [len(list(rows)) for rows in _rows_by_part(run)]
    assert sizes == [4, 4, 4]
    # At least half the target: left as they are.
    compact(run, target_rows=8)
    assert len(list((run.path / "verdicts").iterdir())) == 3
    compact(run, target_rows=100)
    assert len(list((run.path / "verdicts").iterdir())) == 1
    assert len(run.done_verdicts()) == 12


def _rows_by_part(run: Run) -> list[list[str]]:
    from nbest.storage.parquet import SUFFIX, read_ids
    from nbest.storage.tables import VERDICTS

    return [read_ids(path, VERDICTS).to_pylist() for path in parts.list_parts(run.path / "verdicts", SUFFIX)]


def test_small_tables_are_joined_to_one_row_group(filled: Run):
    from nbest.storage.parquet import SUFFIX, scan
    from nbest.storage.tables import SCORES

    compact(filled)
    (path,) = parts.list_parts(filled.path / "scores" / "s", SUFFIX)
    assert [rows.num_rows for rows in scan(path, SCORES)] == [6]


def test_a_part_of_duplicates_only_vanishes(run: Run):
    run.append_verdicts([Verdict(f"a#{number}", True) for number in range(4)])
    run.append_verdicts([Verdict("a#0", False)])
    (result,) = [result for result in compact(run, target_rows=4) if result.folder == "verdicts"]
    assert (result.parts_before, result.parts_after, result.duplicates) == (2, 1, 1)
    assert next(run.verdicts()).correct is True


@pytest.mark.parametrize("step", [0, 1, 2, 3, 6, 7, 8, 13, 27, 28, 30, 34])
def test_killed_between_any_two_steps_the_run_is_the_same(filled: Run, monkeypatch: pytest.MonkeyPatch, step: int):
    # Five folders: the new part is renamed, its temporary name removed, then the five old parts. All in all 35 steps.
    monkeypatch.setattr(compaction, "STALE_SECONDS", -1.0)
    before = content(filled)
    with killed_at(step, monkeypatch), pytest.raises(Killed):
        compact(filled)
    assert content(Run.open(filled.path)) == before
    compact(filled)
    assert content(Run.open(filled.path)) == before
    assert len(list((filled.path / "trajectories").iterdir())) == 1


@pytest.fixture
def asked(tmp_path: Path) -> Run:
    """Four questions that came one by one, the third of them from two processes at once."""
    run = Run.create(tmp_path / "asked", {"identity": {}, "info": {}})
    for number in range(4):
        run.append_problems([Problem(f"q{number}", f"{number} + 1?", meta={"number": number})])
    (run.path / "problems" / f"part-{10**19:020d}-00000000-copy.parquet").write_bytes(
        sorted((run.path / "problems").iterdir())[2].read_bytes()
    )
    return run


def test_questions_that_came_one_by_one_are_merged(asked: Run, monkeypatch: pytest.MonkeyPatch):
    before = list(asked.problems())
    assert [problem.id for problem in before] == ["q0", "q1", "q2", "q3"]
    reader = asked.problems()
    assert next(reader) == before[0]
    other = Run.open(asked.path)
    assert other.problem("q2") == before[2]
    results = by_folder(compact(asked))
    assert (results["problems"].parts_before, results["problems"].parts_after) == (5, 1)
    assert results["problems"].duplicates == 1
    assert len(list((asked.path / "problems").iterdir())) == 1
    # Whoever listed the parts before the compaction goes on.
    assert list(reader) == before[1:]
    assert [other.problem(problem.id) for problem in before] == before
    other.append_problems([before[1], Problem("q9", "9 + 1?")])
    assert list(asked.problems()) == list(Run.open(asked.path).problems()) == [*before, Problem("q9", "9 + 1?")]
    with asked.connect() as database:
        assert database.sql("SELECT id FROM problems").fetchall() == [(f"q{number}",) for number in (0, 1, 2, 3, 9)]
    asked.check(deep=True)
    # A part that vanishes after it was listed, and before it is read.
    compact_meanwhile(asked, monkeypatch)
    assert [problem.id for problem in Run.open(asked.path).problems()] == ["q0", "q1", "q2", "q3", "q9"]


def compact_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a compaction replace the parts of the problems right after they are listed next."""
    list_paths = ProblemParts.list_paths

    def list_and_compact(problem_parts: ProblemParts) -> list[Path]:
        paths = list_paths(problem_parts)
        monkeypatch.setattr(ProblemParts, "list_paths", list_paths)
        compact(Run.open(run.path))
        assert not all(path.exists() for path in paths)
        return paths

    monkeypatch.setattr(ProblemParts, "list_paths", list_and_compact)


@pytest.mark.parametrize("read", ["problems", "problem", "append", "connect", "check", "pools"])
def test_a_compaction_while_problems_are_read_is_not_seen(asked: Run, monkeypatch: pytest.MonkeyPatch, read: str):
    before = list(asked.problems())
    run = Run.open(asked.path)
    calls: dict[str, Callable] = {
        "problems": lambda: list(run.problems()),
        "problem": lambda: [run.problem(problem.id) for problem in before],
        "append": lambda: run.append_problems([before[3]]) or before,
        "connect": lambda: [run.problem(key) for (key,) in _query(run, "SELECT id FROM problems")],
        "check": lambda: run.check() or before,
        "pools": lambda: [run.problem(pool.problem_id) for pool in run.pools()],
    }
    compact_meanwhile(asked, monkeypatch)
    assert calls[read]() == before


def _query(run: Run, query: str) -> list[tuple]:
    with run.connect() as database:
        return database.sql(query).fetchall()


@pytest.mark.parametrize("step", range(7))
def test_killed_while_problems_are_merged_the_run_is_the_same(asked: Run, monkeypatch: pytest.MonkeyPatch, step: int):
    # The new part is renamed, its temporary name removed, then the five old parts.
    monkeypatch.setattr(compaction, "STALE_SECONDS", -1.0)
    before = list(asked.problems())
    with killed_at(step, monkeypatch), pytest.raises(Killed):
        compact(asked)
    assert list(Run.open(asked.path).problems()) == before
    compact(asked)
    assert list(Run.open(asked.path).problems()) == before
    assert len(list((asked.path / "problems").iterdir())) == 1


def test_a_merged_part_stands_before_what_comes_after_it(run: Run):
    # b#0 is in a part that is left alone because it is large, and once more, otherwise, in a later small one.
    run.append_verdicts([Verdict("a#0", True)])
    run.append_verdicts([Verdict("a#1", True)])
    run.append_verdicts([Verdict(f"b#{number}", True) for number in range(8)])
    run.append_verdicts([Verdict("b#0", False), Verdict("c#0", True)])
    run.append_verdicts([Verdict("c#0", False)])
    before = list(run.verdicts())
    compact(run, target_rows=10)
    assert len(list((run.path / "verdicts").iterdir())) == 3
    assert list(run.verdicts()) == before
    assert {v.trajectory_id: v.correct for v in before}["b#0"] is True


def test_states_merge_by_origin_and_layers(run: Run):
    def states(name: str, layers: tuple[int, ...] = (1,)) -> dict[str, HiddenStates]:
        return {name: HiddenStates(layers, (Step(0, 1),), np.ones((1, len(layers), 2), dtype=np.float32))}

    for name in ("a", "b"):
        run.append_states(states(name), {"policy": "x"})
    run.append_states(states("c"), {"policy": "y"})
    for name in ("d", "e"):
        run.append_states(states(name, layers=(1, 2)), {"policy": "y"})
    compact(run)
    entries = [(sorted(part.entries), part.layers, part.origin) for part in run.states_folder.parts()]
    assert entries == [
        (["a", "b"], (1,), {"policy": "x"}),
        (["c"], (1,), {"policy": "y"}),
        (["d", "e"], (1, 2), {"policy": "y"}),
    ]
    assert run.done_states() == set("abcde")


def test_states_whose_trajectories_are_about_to_be_written_are_left_alone(
    run: Run, trajectory: Callable, monkeypatch: pytest.MonkeyPatch
):
    waiting = trajectory("a", 0, captured=1.0)
    run.append_trajectories([waiting])
    parts.remove_parts([*(run.path / "trajectories").iterdir()])
    compact(run)
    assert len(run.states_folder.parts()) == 1
    run.append_trajectories([trajectory("a", 0)])
    assert run.done_states() == {"a#0"}
    parts.remove_parts([*(run.path / "trajectories").iterdir()])
    monkeypatch.setattr(compaction, "STALE_SECONDS", -1.0)
    compact(run)
    assert run.states_folder.parts() == []


def test_only_old_temporaries_are_removed(run: Run):
    run.append_verdicts([Verdict("a#0", True)])
    old, young = run.path / "verdicts" / ".1-old.tmp", run.path / "verdicts" / ".2-young.tmp"
    root = run.path / ".3-old.tmp"
    for path in (old, young, root):
        path.write_bytes(b"half")
    for path in (old, root):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    results = by_folder(compact(run))
    assert results["verdicts"].temporaries == 1
    assert [path.exists() for path in (old, young, root)] == [False, True, False]


def test_a_damaged_part_stops_it_before_anything_is_removed(filled: Run):
    part = sorted((filled.path / "verdicts").iterdir())[2]
    part.write_bytes(part.read_bytes()[:-1])
    before = sorted((filled.path / "verdicts").iterdir())
    with pytest.raises(DamagedRunError, match=part.name):
        compact(filled)
    assert sorted((filled.path / "verdicts").iterdir()) == before


def test_a_second_compaction_at_the_same_time_says_so(filled: Run, monkeypatch: pytest.MonkeyPatch):
    before = content(filled)
    first_rows = compaction.first_rows

    def meanwhile(ids: list) -> list:
        monkeypatch.setattr(compaction, "first_rows", first_rows)
        compact(Run.open(filled.path))
        return first_rows(ids)

    monkeypatch.setattr(compaction, "first_rows", meanwhile)
    with pytest.raises(StorageError, match="Is another compaction"):
        compact(filled)
    assert content(Run.open(filled.path)) == before
