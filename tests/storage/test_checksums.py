"""A flipped bit of any file of a run is found, whatever reads it; parts of earlier versions open."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nbest.errors import DamagedRunError, DataError
from nbest.records import Completion, Problem, Score, Selection, Trajectory, Verdict
from nbest.storage import checksums, parquet
from nbest.storage.checking import list_files, verify_file
from nbest.storage.checksums import BLOCK_BYTES, ChecksumWriter
from nbest.storage.compaction import compact
from nbest.storage.newer import describe_newer
from nbest.storage.parts import list_parts, write_part
from nbest.storage.run import LARGE_COLUMNS, Run
from nbest.storage.tables import PROBLEMS, SCORES, TRAJECTORIES, VERDICTS, Table

FLIPS = 40
"""Flipped bits per file; `benchmarks/damage.py` flips more."""


def write_plain(folder: Path, table: Table, records: list, page_checksums: bool) -> Path:
    """Write a part as earlier versions did."""

    def write(file):
        with pq.ParquetWriter(file, table.schema, write_page_checksum=page_checksums) as writer:
            writer.write_table(table.encode(records))

    return write_part(folder, parquet.SUFFIX, write)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.fixture
def full(run: Run, trajectory: Callable) -> Run:
    """A run with every kind of part."""
    run.append_problems([Problem("e", "What is e?")])
    run.append_trajectories([trajectory("a", index, captured=0.5) for index in range(3)])
    run.append_verdicts([Verdict(f"a#{index}", index == 1, str(index)) for index in range(3)])
    run.append_scores("s", [Score(f"a#{index}", 0.1 * index, (0.5,)) for index in range(3)])
    run.append_selections("m", [Selection("a", 1, "1")])
    return run


@pytest.fixture
def large(run: Run) -> Run:
    """A run whose trajectories fill many blocks."""
    noise = np.random.default_rng(0)
    arrays = [noise.standard_normal(60_000).astype(np.float32) for _ in range(2)]
    text = "".join(map(str, noise.integers(0, 10, 100_000)))
    completion = Completion(text, tokens=np.arange(60_000, dtype=np.int32), logprobs=arrays[0], confidences=arrays[1])
    run.append_trajectories([Trajectory("a#0", "a", 0, 0, completion)])
    return run


def read_all(path: Path) -> str:
    run = Run.open(path)
    pools = [(t.id, t.completion.text, t.completion.tokens.tolist()) for p in run.pools() for t in p.trajectories]
    states = [(s.steps, s.values.tolist()) for s in run.states(key for key, *_ in pools)]
    records = [list(run.problems()), list(run.verdicts()), list(run.scores("s")), list(run.selections("m"))]
    with run.connect() as database:
        tables = ("problems", "trajectories", "verdicts", "scores", "selections")
        rows = [database.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for table in tables]
    return repr([run.manifest, pools, states, records, rows])


def test_a_flipped_bit_of_any_file_is_found(full: Run):
    files = list_files(full.path)
    assert {file.stage for file in files} == {
        *("manifest", "problems", "trajectories", "states", "verdicts", "scores", "selections")
    }
    generator = random.Random(0)
    for file in files:
        data = file.path.read_bytes()
        for bit in generator.sample(range(8 * len(data)), FLIPS):
            flip(file.path, bit)
            with pytest.raises(DamagedRunError, match=file.path.name):
                read_all(full.path)
            with pytest.raises(DamagedRunError, match=file.path.name):
                verify_file(file)
            file.path.write_bytes(data)
    assert all(verify_file(file) for file in files)


def test_every_byte_of_the_problems_counts_although_their_name_has_no_checksum(run: Run):
    path = run.path / "problems.parquet"
    data = path.read_bytes()
    for offset in range(len(data)):
        flip(path, 8 * offset + offset % 8)
        with pytest.raises(DamagedRunError, match=r"problems\.parquet"):
            list(Run.open(run.path).problems())
        path.write_bytes(data)


def test_a_query_verifies_the_blocks_of_its_columns_alone(large: Run):
    (part,) = list_parts(large.path / "trajectories", parquet.SUFFIX)
    with pq.ParquetFile(part) as file:
        group = file.metadata.row_group(0)
        spans = {}
        for chunk in map(group.column, range(group.num_columns)):
            spans[chunk.path_in_schema.split(".")[0]] = chunk.data_page_offset, chunk.total_compressed_size
    start, size = spans["confidences"]
    assert size > 3 * BLOCK_BYTES
    flip(part, 8 * (start + size // 2))
    with pytest.raises(DamagedRunError, match=rf"{part.name}.*bytes [\d,]+ to [\d,]+ do not match"):
        large.connect()
    with large.connect(large=LARGE_COLUMNS - {"confidences"}) as database:
        assert len(database.execute("SELECT logprobs FROM trajectories").fetchall()[0][0]) == 60_000
    with pytest.raises(DamagedRunError, match=part.name):
        list(large.pools())
    assert len(list(large.pools(tokens=False))) == 4


def test_headers_of_pages_are_covered(large: Run):
    (part,) = list_parts(large.path / "trajectories", parquet.SUFFIX)
    with pq.ParquetFile(part) as file:
        offset = file.metadata.row_group(0).column(0).data_page_offset
    data = part.read_bytes()
    for bit in range(8 * offset, 8 * (offset + 20)):
        flip(part, bit)
        with pytest.raises(DamagedRunError, match="do not match their checksum"):
            parquet.read_ids(part, TRAJECTORIES)
        part.write_bytes(data)


def test_a_footer_larger_than_what_the_name_covers_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1)
    records = [Score(str(number), number) for number in range(600)]
    path = write_part(tmp_path, parquet.SUFFIX, parquet.write_tables(SCORES, parquet.encode_chunks(SCORES, records)))
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    assert length > BLOCK_BYTES
    flip(path, 8 * (len(data) - 8 - length + 300))
    with pytest.raises(DamagedRunError, match="its footer does not match its checksum"):
        parquet.check_footer(path)


def test_blocks_are_those_of_the_bytes_however_they_are_written(tmp_path: Path):
    data = np.random.default_rng(0).bytes(3 * BLOCK_BYTES + 17)
    values = set()
    for size in (1 << 20, 1000, BLOCK_BYTES, BLOCK_BYTES + 1):
        with open(tmp_path / str(size), "wb") as file:
            writer = ChecksumWriter(file)
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
            values.add(writer.begin_footer())
        assert (tmp_path / str(size)).read_bytes() == data
    assert len(values) == 1


@pytest.mark.parametrize("page_checksums", [True, False])
def test_parts_of_earlier_versions_open(run: Run, trajectory: Callable, page_checksums: bool):
    trajectories = [trajectory("a", index) for index in range(3)]
    write_plain(run.path / "trajectories", TRAJECTORIES, trajectories, page_checksums)
    write_plain(run.path / "verdicts", VERDICTS, [Verdict("a#0", True)], page_checksums)
    run.append_verdicts([Verdict("a#1", False)])
    opened = Run.open(run.path)
    opened.check(deep=True)
    with opened.connect() as database:
        query = "SELECT id, correct FROM trajectories LEFT JOIN verdicts ON id = trajectory_id ORDER BY id"
        assert database.execute(query).fetchall() == [("a#0", True), ("a#1", False), ("a#2", None)]
    assert [verify_file(file) for file in list_files(run.path)] == [True, True, False, False, True]
    compact(opened)
    assert [verify_file(file) for file in list_files(run.path)] == [True, True, False, True]


def test_views_of_earlier_parts_verify_their_pages(run: Run):
    verdicts = [Verdict(f"a#{index}", index % 3 == 0, str(index)) for index in range(20_000)]
    part = write_plain(run.path / "verdicts", VERDICTS, verdicts, page_checksums=True)
    with pq.ParquetFile(part) as file:
        chunk = file.metadata.row_group(0).column(2)
    flip(part, 8 * (chunk.data_page_offset + 100))
    with pytest.raises(DamagedRunError, match=part.name):
        run.connect()


def test_a_text_that_looks_like_an_entry_of_the_footer_changes_nothing(tmp_path: Path):
    prompt = f"\x18\x0f{checksums.KEY}\x18\x20v1:00000000:1:AAAA"
    write = parquet.write_tables(PROBLEMS, [PROBLEMS.encode([(0, Problem("a", prompt))])])
    path = write_part(tmp_path, parquet.SUFFIX, write)
    assert [rows.num_rows for rows in parquet.scan(path, PROBLEMS)] == [1]


def test_unknown_columns_of_a_newer_version_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    newer = Table("verdicts", "trajectory_id", SCORES.schema, SCORES.to_columns, SCORES.decode, SCORES.weigh)
    monkeypatch.setattr(parquet, "VERSION", "99.0")
    path = write_part(tmp_path, parquet.SUFFIX, parquet.write_tables(newer, [SCORES.encode([Score("a", 1.0)])]))
    with pytest.raises(DataError, match=r"written by nbest 99\.0, which is newer.*pip install -U nbest") as caught:
        list(parquet.scan(path, VERDICTS))
    assert not isinstance(caught.value, DamagedRunError)


@pytest.mark.parametrize(
    ("version", "is_newer"), [("", False), ("0+unknown", False), ("0.0.9", False), ("0.1", False), ("99", True)]
)
def test_versions_are_compared_as_numbers(version: str, is_newer: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nbest.storage.newer.VERSION", "0.1.0")
    assert bool(describe_newer(version)) is is_newer
