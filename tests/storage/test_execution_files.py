import random

from nbest.storage.execution_files import FOLDER, KEY_BYTES, LARGEST_ENTRY_BYTES, ExecutionFiles


def key(number):
    return number.to_bytes(KEY_BYTES, "big")


def test_entries_of_many_processes_are_read_together_and_merged(tmp_path):
    for number in range(12):
        files = ExecutionFiles(tmp_path)
        assert len(files) == number
        files.add(key(number), f"text {number} \udc80")
        files.save()
    files = ExecutionFiles(tmp_path)
    assert [files.find(key(number)) for number in range(12)] == [f"text {number} \udc80" for number in range(12)]
    assert files.find(key(99)) is None
    assert len(list((tmp_path / FOLDER).iterdir())) < 9


def test_nothing_is_written_where_nothing_was_added(tmp_path):
    ExecutionFiles(tmp_path).save()
    assert not (tmp_path / FOLDER).exists()


def test_without_a_run_entries_are_in_memory():
    files = ExecutionFiles(None)
    files.add(key(1), "text")
    files.save()
    assert files.find(key(1)) == "text"


def test_a_very_long_entry_is_not_stored():
    files = ExecutionFiles(None)
    files.add(key(1), random.Random(0).randbytes(2 * LARGEST_ENTRY_BYTES).hex())
    assert files.find(key(1)) is None
    # What counts is the length on the disk.
    files.add(key(2), "a" * 4 * LARGEST_ENTRY_BYTES)
    assert files.find(key(2)) is not None


def test_a_truncated_file_is_ignored(tmp_path):
    files = ExecutionFiles(tmp_path)
    files.add(key(1), "text" * 100)
    files.save()
    (path,) = (tmp_path / FOLDER).iterdir()
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert len(ExecutionFiles(tmp_path)) == 0
    path.write_bytes(whole)
    assert len(ExecutionFiles(tmp_path)) == 1
