import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from nbest.errors import DamagedRunError, StorageError
from nbest.storage import parts


def content(data: bytes):
    return lambda file: file.write(data)


def test_part_has_its_content_and_leaves_nothing_else(tmp_path: Path):
    folder = tmp_path / "deep" / "folder"
    path = parts.write_part(folder, ".bin", content(b"whole"))
    assert path.read_bytes() == b"whole"
    assert list(folder.iterdir()) == [path]
    assert parts.list_parts(folder, ".bin") == [path]


def test_parts_are_listed_in_the_order_of_writing(tmp_path: Path):
    paths = [parts.write_part(tmp_path, ".bin", content(bytes([n]))) for n in range(5)]
    (tmp_path / ".99-aa.tmp").write_bytes(b"half")
    (tmp_path / "notes.bin").write_bytes(b"not a part")
    assert parts.list_parts(tmp_path, ".bin") == paths
    assert parts.list_parts(tmp_path / "nowhere", ".bin") == []


def test_merged_part_sorts_where_its_first_does(tmp_path: Path):
    a, b, c, d = (parts.write_part(tmp_path, ".bin", content(bytes([n]))) for n in range(4))
    merged = parts.write_part(tmp_path, ".bin", content(b"bc"), first=b)
    assert parts.list_parts(tmp_path, ".bin") == [a, merged, b, c, d]
    again = parts.write_part(tmp_path, ".bin", content(b"bcd"), first=merged)
    assert parts.list_parts(tmp_path, ".bin") == [a, merged, again, b, c, d]
    for path in (a, merged, again):
        parts.check_seal(path)


def test_merged_part_of_a_foreign_name_sorts_before_it(tmp_path: Path):
    foreign = tmp_path / "part-0.bin"
    foreign.write_bytes(b"x")
    merged = parts.write_part(tmp_path, ".bin", content(b"y"), first=foreign)
    assert parts.list_parts(tmp_path, ".bin") == [merged, foreign]
    parts.check_seal(foreign)


def test_seal_detects_a_changed_end(tmp_path: Path):
    path = parts.write_part(tmp_path, ".bin", content(b"whole"))
    path.write_bytes(b"whols")
    with pytest.raises(DamagedRunError, match=path.name):
        parts.check_seal(path)


def test_failed_write_leaves_no_file_and_names_the_path(tmp_path: Path):
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StorageError, match=r"Input/output error.*bytes are free.*before is whole") as caught:
        parts.write_part(tmp_path, ".bin", fail)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []


def test_a_vanished_source_is_not_a_refused_write(tmp_path: Path):
    def read_source(file: BinaryIO) -> None:
        file.write((tmp_path / "part-gone").read_bytes())

    with pytest.raises(FileNotFoundError, match="part-gone"):
        parts.write_part(tmp_path, ".bin", read_source)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_write_leaves_no_file(tmp_path: Path):
    def interrupt(_: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.write_part(tmp_path, ".bin", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_failing_fsync_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        parts.write_part(tmp_path, ".bin", content(b"whole"))
    assert list(tmp_path.iterdir()) == []


def test_write_once_lets_the_first_stay(tmp_path: Path):
    path = tmp_path / "once"
    assert parts.write_once(path, content(b"first"))
    assert not parts.write_once(path, content(b"second"))
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_write_once_loses_a_race_quietly(tmp_path: Path):
    path = tmp_path / "once"

    def beaten(file: BinaryIO) -> None:
        path.write_bytes(b"theirs")
        file.write(b"ours")

    assert not parts.write_once(path, beaten)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_write_once_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert parts.write_once(tmp_path / "once", content(b"first"))
    assert [path.name for path in tmp_path.iterdir()] == ["once"]


def test_reading_distinguishes_damage_from_refusal(tmp_path: Path):
    path = tmp_path / "part-1.bin"
    with pytest.raises(DamagedRunError, match=r"part-1\.bin.*checksum"), parts.reading(path, (ValueError,)):
        raise OSError("checksum")
    with pytest.raises(DamagedRunError, match="no number"), parts.reading(path, (ValueError,)):
        raise ValueError("no number")
    with pytest.raises(StorageError, match="cannot be read"), parts.reading(path, (ValueError,)):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(FileNotFoundError), parts.reading(path, (ValueError,)):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_relist_begins_again_and_gives_up_with_a_name():
    tries = iter([["gone"], ["there", "gone"], ["there", "here"]])

    def read(path: Path) -> Iterator[str]:
        if path.name == "gone":
            raise FileNotFoundError(errno.ENOENT, "gone", "part-gone")
        yield path.name

    assert list(parts.relist(lambda: [Path(name) for name in next(tries)], read)) == ["there", "there", "here"]
    with pytest.raises(StorageError, match=r"part-gone.*vanishes"):
        list(parts.relist(lambda: [Path("gone")], read))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    try:
        refused = subprocess.run(mount, capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        refused = "there is no mount command"
    if not os.path.ismount(disk):
        pytest.skip(f"a small disk cannot be mounted here: {refused.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_loses_nothing_that_was_written(small_disk: Path):
    first = parts.write_part(small_disk, ".bin", content(b"a" * 600_000))
    with pytest.raises(StorageError, match=r"No space left on device.*bytes are free") as caught:
        parts.write_part(small_disk, ".bin", content(b"b" * 600_000))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.exit_code == 8
    assert list(small_disk.iterdir()) == [first]
    assert first.read_bytes() == b"a" * 600_000
    parts.write_part(small_disk, ".bin", content(b"c" * 100_000))
