from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nbest.errors import DamagedRunError, DataError
from nbest.records import Completion, Score, Trajectory, Verdict
from nbest.storage import parquet
from nbest.storage.compaction import compact
from nbest.storage.parts import list_parts, write_part
from nbest.storage.run import Run
from nbest.storage.tables import SCORES, TRAJECTORIES, VERDICTS, Table


def write(folder: Path, table: Table, records: list) -> Path:
    return write_part(folder, parquet.SUFFIX, parquet.write_tables(table, parquet.encode_chunks(table, records)))


def read(folder: Path, table: Table) -> list:
    return list(parquet.read_records(lambda: list_parts(folder, parquet.SUFFIX), table))


def rows_of(path: Path, table: Table) -> list:
    return [row for rows in parquet.scan(path, table) for row in rows.to_pylist()]


@pytest.fixture
def part(tmp_path: Path, trajectory: Callable) -> Path:
    return write(tmp_path, TRAJECTORIES, [trajectory("a", index) for index in range(4)])


def test_records_come_back_and_the_first_of_an_id_counts(tmp_path: Path):
    write(tmp_path, SCORES, [Score("a", 1.0), Score("b", 2.0), Score("a", 3.0)])
    write(tmp_path, SCORES, [Score("b", 4.0), Score("c", 5.0)])
    assert read(tmp_path, SCORES) == [Score("a", 1.0), Score("b", 2.0), Score("c", 5.0)]


def test_first_rows_masks_each_part():
    ids = [
        pa.chunked_array([["a"], ["b", "a"]]),
        pa.chunked_array([], type=pa.string()),
        pa.chunked_array([["b", "c"]]),
    ]
    assert [mask.tolist() for mask in parquet.first_rows(ids)] == [[True, True, False], [], [False, True]]
    assert parquet.first_rows([]) == []


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A score weighs 64 bytes without steps: two pass a limit of 100.
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 100)
    path = write(tmp_path, SCORES, [Score(str(n), n) for n in range(5)])
    assert [rows.num_rows for rows in parquet.scan(path, SCORES)] == [2, 2, 1]
    assert parquet.read_group_at(path, SCORES, 3)[0] == 2
    with pytest.raises(IndexError):
        parquet.read_group_at(path, SCORES, 5)


def test_a_record_that_cannot_be_stored_leaves_no_part(tmp_path: Path):
    with pytest.raises(DataError):
        write(tmp_path, VERDICTS, [Verdict("a", True, "\ud800")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 1, 4, 11, 100, 0.25, 0.5, 0.75, -9, -8, -4, -1])
def test_a_part_cut_short_is_named(part: Path, keep: float):
    data = part.read_bytes()
    part.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(DamagedRunError, match=rf"{part.name}.*Move this file") as caught:
        parquet.check_footer(part)
    assert caught.value.exit_code == 4


@pytest.fixture
def older(run: Run, trajectory: Callable) -> Run:
    """A run with a part from before `certainties`, and then one with it that repeats a trajectory."""
    schema = pa.schema([field for field in TRAJECTORIES.schema if field.name != "certainties"])
    write(run.path / "trajectories", replace(TRAJECTORIES, schema=schema), [trajectory("a", 0), trajectory("a", 1)])
    trajectories = [trajectory("a", index) for index in (1, 2)]
    completions = [
        replace(t.completion, certainties=np.full(len(t.completion.tokens), 0.5, np.float32)) for t in trajectories
    ]
    run.append_trajectories([replace(t, completion=c) for t, c in zip(trajectories, completions, strict=True)])
    return Run.open(run.path)


def certainties(run: Run) -> dict[str, list[float] | None]:
    arrays = {t.id: t.completion.certainties for pool in run.pools() for t in pool.trajectories}
    return {key: None if values is None else values.tolist() for key, values in arrays.items()}


def test_a_part_without_an_optional_column_reads_as_nulls(older: Run):
    expected = {"a#0": None, "a#1": None, "a#2": [0.5] * 5}
    older.check(deep=True)
    assert certainties(older) == expected
    (pool,) = older.pools(["a"], tokens=False)
    assert [t.completion.certainties for t in pool.trajectories] == [None] * 3
    paths = list_parts(older.path / "trajectories", parquet.SUFFIX)
    assert [parquet.list_columns(path) == TRAJECTORIES.schema.names for path in paths] == [False, True]
    assert [t.completion.certainties is None for t in read(older.path / "trajectories", TRAJECTORIES)] == [1, 1, 0]
    assert all(rows.schema.equals(TRAJECTORIES.schema) for path in paths for rows in parquet.scan(path, TRAJECTORIES))


def test_views_and_compaction_take_parts_with_and_without_an_optional_column(older: Run):
    query = "SELECT id, certainties, logprobs FROM trajectories ORDER BY id"
    expected = [(f"a#{n}", [0.5] * 5 if n == 2 else None, [-1.0] * (3 + n)) for n in range(3)]
    with older.connect() as database:
        assert database.sql(query).fetchall() == expected
    compact(older)
    (part,) = list_parts(older.path / "trajectories", parquet.SUFFIX)
    assert parquet.list_columns(part) == TRAJECTORIES.schema.names
    with older.connect() as database:
        assert database.sql(query).fetchall() == expected
    assert certainties(older) == {key: values for key, values, _ in expected}


def test_views_of_older_parts_only_have_the_columns_of_newer_ones(older: Run):
    list_parts(older.path / "trajectories", parquet.SUFFIX)[1].unlink()
    with older.connect() as database:
        assert database.sql("SELECT id, certainties FROM trajectories ORDER BY id").fetchall() == [
            ("a#0", None),
            ("a#1", None),
        ]
        kinds = dict(row[:2] for row in database.sql("DESCRIBE trajectories").fetchall())
    assert kinds["certainties"] == "FLOAT[]"


def test_a_part_without_a_needed_column_is_named(tmp_path: Path, trajectory: Callable):
    schema = pa.schema([field for field in TRAJECTORIES.schema if field.name != "logprobs"])
    path = write(tmp_path, replace(TRAJECTORIES, schema=schema, repeating=frozenset()), [trajectory("a", 0)])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*not those of trajectories"):
        rows_of(path, TRAJECTORIES)


def test_garbage_is_named(part: Path):
    part.write_bytes(b"this is not parquet at all, but it is long enough to look at")
    with pytest.raises(DamagedRunError, match=rf"{part.name}.*not a Parquet file"):
        parquet.check_footer(part)


def test_bytes_missing_in_the_middle_are_named(part: Path):
    data = part.read_bytes()
    part.write_bytes(data[:300] + data[400:])
    with pytest.raises(DamagedRunError, match=part.name):
        rows_of(part, TRAJECTORIES)


def test_no_flipped_bit_goes_unnoticed(part: Path):
    # Some bytes mean nothing to a reader (padding, statistics): the rows are then those that were written. All other
    # changes are detected: each page has a checksum, and the name of a part has one of its end.
    data, expected = part.read_bytes(), rows_of(part, TRAJECTORIES)
    detections, names = 0, set[bool]()
    for offset in range(0, len(data), 29):
        part.write_bytes(data[:offset] + bytes([data[offset] ^ (1 << offset % 8)]) + data[offset + 1 :])
        try:
            assert rows_of(part, TRAJECTORIES) == expected, offset
        except DamagedRunError as error:
            names.add(part.name in str(error))
            detections += 1
    assert detections > 0.9 * len(data) / 29
    assert names == {True}


def test_a_flipped_byte_in_a_page_is_found_behind_a_sound_end(tmp_path: Path):
    # Larger than what the checksum in the name covers, so only the checksum of the page can detect it.
    noise = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    path = write(tmp_path, TRAJECTORIES, [Trajectory("p#0", "p", 0, 0, Completion("", logprobs=noise))])
    data = bytearray(path.read_bytes())
    assert len(data) > 3 * (64 << 10)
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    parquet.check_footer(path)
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*damaged"):
        read(tmp_path, TRAJECTORIES)


def test_a_part_of_another_table_is_named(tmp_path: Path):
    path = write(tmp_path, SCORES, [Score("a", 1.0)])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*not those of verdicts.*trajectory_id, value, steps"):
        rows_of(path, VERDICTS)


def test_reading_goes_on_when_a_part_is_replaced(tmp_path: Path):
    first = write(tmp_path, SCORES, [Score("a", 1.0)])
    second = write(tmp_path, SCORES, [Score("b", 2.0)])
    records = parquet.read_records(lambda: list_parts(tmp_path, parquet.SUFFIX), SCORES)
    assert next(records) == Score("a", 1.0)
    rows = parquet.encode_chunks(SCORES, [Score("a", 1.0), Score("b", 2.0)])
    write_part(tmp_path, parquet.SUFFIX, parquet.write_tables(SCORES, rows), first=first)
    first.unlink()
    second.unlink()
    assert list(records) == [Score("b", 2.0)]
