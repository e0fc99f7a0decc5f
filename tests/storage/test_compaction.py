import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import DamagedRunError, StorageError
from nbest.records import HiddenStates, Score, Selection, Step, Verdict
from nbest.storage import compaction, parts
from nbest.storage.compaction import compact
from nbest.storage.run import Run


class Killed(BaseException):
    pass


def content(run: Run) -> dict[str, list]:
    """Everything a reader can see."""
    with run.connect() as database:
        views = ("trajectories", "verdicts", "scores", "selections")
        found = {name: sorted(database.sql(f"FROM {name}").fetchall(), key=repr) for name in views}
    done = sorted(run.done_states())
    states = zip(done, run.states(done), strict=True)
    found["states"] = [(key, s.layers, s.steps, s.values.tolist()) for key, s in states]
    found["pools"] = [(p.problem_id, [(t.id, t.completion.note) for t in p.trajectories]) for p in run.pools()]
    return found


def by_folder(results: list[compaction.Compacted]) -> dict[str, compaction.Compacted]:
    return {result.folder: result for result in results}


@pytest.fixture
def filled(run: Run, trajectory: Callable) -> Run:
    """Five parts a stage; every id but the newest occurs twice, and the second differs from the first."""
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
        with pytest.raises(Killed):
            compact(filled)
    assert content(Run.open(filled.path)) == before
    compact(filled)
    assert content(Run.open(filled.path)) == before
    assert len(list((filled.path / "trajectories").iterdir())) == 1


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
    found = [(sorted(part.entries), part.layers, part.origin) for part in run.states_folder.parts()]
    assert found == [
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
