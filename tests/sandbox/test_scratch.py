import os
from pathlib import Path

from nbest.sandbox.scratch import is_within, remove


def test_a_folder_counts_with_its_files_and_entries(tmp_path: Path) -> None:
    assert is_within(str(tmp_path), 0)
    (tmp_path / "empty").touch()
    assert not is_within(str(tmp_path), 4095)
    assert is_within(str(tmp_path), 4096)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(os.urandom(100_000))
    assert is_within(str(tmp_path), 200_000)
    assert not is_within(str(tmp_path), 100_000)


def test_links_are_not_followed(tmp_path: Path) -> None:
    inner, other = tmp_path / "inner", tmp_path / "other"
    inner.mkdir()
    other.mkdir()
    (other / "file").write_bytes(os.urandom(1 << 20))
    (inner / "link").symlink_to(other)
    (inner / "loop").symlink_to("loop")
    assert is_within(str(inner), 3 * 4096)
    remove(str(inner))
    assert not inner.exists()
    assert (other / "file").exists()


def test_folders_deeper_than_any_path(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    folder = os.getcwd()
    try:
        os.chdir(inner)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
        Path("file").touch()
    finally:
        os.chdir(folder)
    assert not is_within(str(inner), 1 << 30)
    remove(str(inner))
    assert not inner.exists()


def test_folders_without_rights(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "a" / "b").mkdir(parents=True)
    (inner / "a" / "b" / "file").touch()
    (inner / "a" / "b").chmod(0)
    (inner / "a").chmod(0)
    remove(str(inner))
    assert not inner.exists()
    remove(str(inner))
