"""Removing folders and rows, also when the process is killed in between; ids that other processes add."""

import shutil
from pathlib import Path

import pytest

from nbest.records import Selection, Verdict
from nbest.storage import removal
from nbest.storage.compaction import compact
from nbest.storage.done import DoneIds
from nbest.storage.removal import drop_rows, remove_folder
from nbest.storage.run import Run
from nbest.storage.tables import SELECTIONS, VERDICTS


def is_ungraded(verdict: Verdict) -> bool:
    return verdict.correct is None


def read_grades(run: Run) -> dict[str, bool | None]:
    return {verdict.trajectory_id: verdict.correct for verdict in run.verdicts()}


def test_rows_are_dropped_and_later_ones_take_their_place(run: Run):
    run.append_verdicts([Verdict("a#0", True), Verdict("a#1", None, note="timed out")])
    run.append_verdicts([Verdict("b#0", None)])
    run.append_verdicts([Verdict("a#1", False), Verdict("a#0", None)])
    assert drop_rows(run.path / "verdicts", VERDICTS, is_ungraded) == 3
    assert read_grades(run) == {"a#0": True, "a#1": False}
    assert drop_rows(run.path / "verdicts", VERDICTS, is_ungraded) == 0
    run.check(deep=True)
    assert drop_rows(run.path / "selections" / "none", SELECTIONS, lambda _: True) == 0


def test_a_kill_before_the_old_part_is_removed_loses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch):
    run.append_verdicts([Verdict("a#0", True), Verdict("a#1", None)])

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_parts", stop)
        with pytest.raises(KeyboardInterrupt):
            drop_rows(run.path / "verdicts", VERDICTS, is_ungraded)
    assert read_grades(run) == {"a#0": True, "a#1": None}
    assert drop_rows(run.path / "verdicts", VERDICTS, is_ungraded) == 1
    assert read_grades(run) == {"a#0": True}


def test_a_kill_while_a_folder_is_removed_leaves_nothing_that_is_read(run: Run, monkeypatch: pytest.MonkeyPatch):
    run.append_selections("m", [Selection("a", 0)])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        remove_folder(run.path / "selections" / "m")
    assert run.selectors() == []
    assert len(list((run.path / "selections").iterdir())) == 1
    run.append_selections("m", [Selection("a", 1)])
    compact(run)
    assert [path.name for path in (run.path / "selections").iterdir()] == ["m"]
    assert [selection.index for selection in run.selections("m")] == [1]
    remove_folder(run.path / "selections" / "absent")


def test_done_ids_follow_what_others_add(run: Run):
    done = DoneIds(run.path / "verdicts", VERDICTS)
    assert done.ids == set()
    for number in range(3):
        Run.open(run.path).append_verdicts([Verdict(f"a#{number}", True)])
        done.refresh()
        assert done.ids == {f"a#{index}" for index in range(number + 1)}
    compact(run)
    run.append_verdicts([Verdict("b#0", True)])
    done.refresh()
    assert done.ids == {"a#0", "a#1", "a#2", "b#0"}


def test_an_empty_run_has_nothing_done(tmp_path: Path):
    done = DoneIds(tmp_path / "absent", VERDICTS)
    done.refresh()
    assert done.ids == set()
