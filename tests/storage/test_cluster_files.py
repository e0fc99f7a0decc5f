"""What a run remembers of equal answers: whole files, those of other rules and damaged ones ignored."""

from pathlib import Path

import pytest

from nbest.storage import cluster_files
from nbest.storage.cluster_files import FOLDER, SUFFIX, ClusterFiles


def list_files(run: Path) -> list[Path]:
    return sorted((run / FOLDER).glob(f"*{SUFFIX}"))


def test_what_is_added_is_there_for_the_next_one(tmp_path: Path) -> None:
    files = ClusterFiles(tmp_path, "rules")
    assert files.entries == {}
    files.save()
    assert not (tmp_path / FOLDER).exists()
    files.add("a", [0, 0, 1, -1])
    files.add("b", [0, 1])
    files.save()
    files.save()
    assert len(list_files(tmp_path)) == 1
    assert ClusterFiles(tmp_path, "rules").entries == {"a": (0, 0, 1, -1), "b": (0, 1)}


def test_several_processes_add_up(tmp_path: Path) -> None:
    first, second = ClusterFiles(tmp_path, "rules"), ClusterFiles(tmp_path, "rules")
    first.add("a", [0])
    second.add("b", [0, 1])
    first.save()
    second.save()
    assert ClusterFiles(tmp_path, "rules").entries == {"a": (0,), "b": (0, 1)}


def test_many_files_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_files, "_MOST_FILES", 3)
    for number in range(10):
        files = ClusterFiles(tmp_path, "rules")
        files.add(str(number), [number])
        files.save()
    assert len(list_files(tmp_path)) <= 3
    assert ClusterFiles(tmp_path, "rules").entries == {str(number): (number,) for number in range(10)}


def test_other_rules_are_not_read_and_removed(tmp_path: Path) -> None:
    old = ClusterFiles(tmp_path, "old rules")
    old.add("a", [0, 0])
    old.save()
    new = ClusterFiles(tmp_path, "new rules")
    assert new.entries == {}
    new.add("a", [0, 1])
    new.save()
    assert ClusterFiles(tmp_path, "old rules").entries == {}
    assert ClusterFiles(tmp_path, "new rules").entries == {"a": (0, 1)}


def test_no_flipped_bit_is_read(tmp_path: Path) -> None:
    files = ClusterFiles(tmp_path, "rules")
    files.add("a", [0, 1, 0, 1, 2, 3])
    files.save()
    (path,) = list_files(tmp_path)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(bytes([*data[:position], data[position] ^ 4, *data[position + 1 :]]))
        assert ClusterFiles(tmp_path, "rules").entries == {}
        path.write_bytes(data[:position])
        assert ClusterFiles(tmp_path, "rules").entries == {}
    path.write_bytes(data)
    assert ClusterFiles(tmp_path, "rules").entries


def test_a_folder_that_cannot_be_written_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file in its place")
    files = ClusterFiles(tmp_path, "rules")
    files.add("a", [0])
    files.save()
    assert files.entries == {"a": (0,)}
