# pyright: standard
"""Writes tables as Parquet files in bounded row groups, and reads them with every checksum verified.

Every byte has a checksum (`checksums.py`), so a flipped bit is an error that names the part, never a wrong number. Of
the parts of earlier versions, pages have one. Row groups are bounded in bytes, so reading one at a time needs bounded
memory. Of rows with the same id, the first by part name and
row is read; `first_rows` is the one implementation of this rule.

This module does not know what the columns mean, nor which folders a run has.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nbest.plurals import agree, show_count
from nbest.storage.checksums import KEY, VERSION_KEY, Checksums, ChecksumWriter, read_checksums
from nbest.storage.newer import describe_newer, refuse_newer
from nbest.storage.parts import SEALED_BYTES, check_seal, damage, reading, relist
from nbest.storage.tables import Table
from nbest.version import VERSION

SUFFIX = ".parquet"
ROW_GROUP_BYTES = 16 << 20
ROW_GROUP_ROWS = 65_536

_FAULTS = (pa.ArrowException, ValueError)
_MAGIC = b"PAR1"


def encode_chunks(table: Table, records: Sequence[Any]) -> Iterator[pa.Table]:
    """Yield the records as Arrow tables, each of the largest size of a row group. Raises DataError."""
    start, weight = 0, 0
    for position, record in enumerate(records):
        weight += table.weigh(record)
        last = position + 1 == len(records)
        if last or weight >= ROW_GROUP_BYTES or position + 1 - start >= ROW_GROUP_ROWS:
            yield table.encode(records[start : position + 1])
            start, weight = position + 1, 0


def write_tables(table: Table, tables: Iterable[pa.Table]) -> Callable[[BinaryIO], None]:
    """Return a writer for `parts.write_part`: one row group per table; `tables` may stream."""

    leaf = {field.name: f"{field.name}.list.element" if _is_list(field) else field.name for field in table.schema}
    floats = [field.name for field in table.schema if field.type == pa.list_(pa.float32())]

    def write(file: BinaryIO) -> None:
        checked = ChecksumWriter(file)
        with pq.ParquetWriter(
            checked,
            table.schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=cast("Any", [leaf[name] for name in table.repeating]),
            column_encoding={leaf[name]: "BYTE_STREAM_SPLIT" for name in floats},
        ) as writer:
            for rows in tables:
                writer.write_table(rows, row_group_size=max(1, rows.num_rows))
            writer.add_key_value_metadata({VERSION_KEY: VERSION, KEY: checked.begin_footer()})
        checked.finish()

    return write


class CheckedFile(pq.ParquetFile):
    """A part that is open for reading. `checksums` are those of its blocks, None in a part of an earlier version."""

    checksums: Checksums | None = None


def check_footer(path: Path) -> Checksums | None:
    """Return the checksums of a part, None if it was written before there were any. Only its two ends are read.

    Raises DamagedRunError if it is not a whole Parquet file, or if its footer does not match its checksum.
    """
    return _check_footer(path)[1]


@dataclass(frozen=True, slots=True)
class Footer:
    """The checked footer of a part: what is in its row groups, and the checksums (see `check_footer`)."""

    meta: pq.FileMetaData
    checksums: Checksums | None


def read_footer(path: Path) -> Footer:
    """Return the footer of a part, whose row groups are not read. Raises as `check_footer`."""
    footer, checksums = _check_footer(path)
    with reading(path, _FAULTS):
        return Footer(pq.read_metadata(pa.BufferReader(_MAGIC + footer)), checksums)


def _check_footer(path: Path) -> tuple[bytes, Checksums | None]:
    """Return the bytes of a part from its footer to its end, and the checksums in the footer."""
    with reading(path, _FAULTS), open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        head = os.pread(file.fileno(), 4, 0)
        last = os.pread(file.fileno(), SEALED_BYTES, max(0, size - SEALED_BYTES))
        tail = last[-8:]
        end = size - 8 - int.from_bytes(tail[:4], "little")
        footer = b""
        if tail[4:] == _MAGIC:
            start = max(0, end)
            is_long = size - start > len(last)
            footer = os.pread(file.fileno(), size - start, start) if is_long else last[len(last) - (size - start) :]
    if size == 0:
        raise damage(path, "it is empty (0 bytes)")
    if head != _MAGIC:
        raise damage(path, "it is not a Parquet file")
    if size < 12 or tail[4:] != _MAGIC or int.from_bytes(tail[:4], "little") > size - 12:
        size_text = show_count(size, "byte")
        fault = f"it is cut short or overwritten: its {size_text} {agree(size, 'does')} not end in a Parquet footer"
        raise damage(path, fault)
    with reading(path, _FAULTS):
        check_seal(path, last)
        return footer, read_checksums(path, footer[:-8], end)


@contextmanager
def open_part(path: Path, table: Table, footer: Footer | None = None) -> Generator[CheckedFile]:
    """Open a part and check its columns; its `footer` need not be read again where it is known.

    Raises DamagedRunError; DataError if a newer version wrote columns that this one does not know; FileNotFoundError if
    the part does not exist.
    """
    checksums = check_footer(path) if footer is None else footer.checksums
    meta = None if footer is None else footer.meta
    with reading(path, _FAULTS):
        part = CheckedFile(path, metadata=meta, page_checksum_verification=True, pre_buffer=False)
        part.checksums = checksums
    with part:
        with reading(path, _FAULTS):
            names, fits = part.schema_arrow.names, _fits(part.schema_arrow, table)
            meta = part.metadata
            agrees = checksums is not None or _repeats_counts(meta, part.schema_arrow)
        if not fits:
            version = _read_version(meta)
            if checksums is not None and describe_newer(version):
                raise refuse_newer(path, f"its columns are {', '.join(names)}", {"info": {"nbest": version}})
            raise damage(path, f"its columns are not those of {table.name}; they are {', '.join(names)}")
        if not agrees:
            raise damage(path, "it is damaged (the row counts in its footer contradict each other)")
        yield part


def list_columns(path: Path) -> list[str]:
    """Return the columns of a part. Raises DamagedRunError; FileNotFoundError if it does not exist."""
    with reading(path, _FAULTS):
        return pq.read_schema(path).names


def has_checksums(path: Path) -> bool:
    """Return whether every byte of a part has a checksum. Raises DamagedRunError."""
    return check_footer(path) is not None


def verify_columns(path: Path, table: Table, columns: Sequence[str]) -> None:
    """Verify the checksums of these columns, for a reader that verifies none. Raises DamagedRunError.

    Of a part of an earlier version, the pages are read. Columns that the part lacks are ignored.
    """
    with open_part(path, table) as part:
        groups = range(part.metadata.num_row_groups)
        if part.checksums is None:
            present = [name for name in columns if name in part.schema_arrow.names]
            for group in groups:
                read_group(part, group, table, present, path)
            return
        with reading(path, _FAULTS):
            part.checksums.verify([span for group in groups for span in _list_spans(part, group, columns)])


def verify_part(path: Path, table: Table) -> int:
    """Read every byte and every row of a part; return the number of rows. Raises DamagedRunError."""
    checksums = check_footer(path)
    with reading(path, _FAULTS):
        if checksums is not None:
            checksums.verify_all()
    return sum(rows.num_rows for rows in scan(path, table))


def read_group(part: CheckedFile, group: int, table: Table, columns: Sequence[str] | None, path: Path) -> pa.Table:
    """Return one row group; optional columns that the part lacks are null. Raises DamagedRunError naming the part."""
    with reading(path, _FAULTS):
        if part.checksums is not None:
            part.checksums.verify(_list_spans(part, group, columns))
        rows = part.read_row_group(group, columns=columns, use_threads=False)
        rows.validate(full=True)
        if rows.num_rows != part.metadata.row_group(group).num_rows:
            raise damage(path, f"row group {group} has another number of rows than the footer says")
    for position, field in enumerate([f for f in table.schema if columns is None or f.name in columns]):
        if field.name in table.optional and field.name not in rows.column_names:
            rows = rows.add_column(position, field, pa.nulls(rows.num_rows, field.type))
    return rows


def read_group_at(path: Path, table: Table, row: int) -> tuple[int, pa.Table]:
    """Return (start, rows): the row group that contains row `row` of a part, and the row at which the group starts.

    Rows are counted from 0 over the whole part. Raises IndexError if the part has no such row.
    """
    with open_part(path, table) as part:
        start = 0
        for group in range(part.metadata.num_row_groups):
            count = part.metadata.row_group(group).num_rows
            if row < start + count:
                return start, read_group(part, group, table, None, path)
            start += count
    raise IndexError(f"{path} has {show_count(start, 'row')}, and no row {row}")


def scan(path: Path, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a part, one at a time."""
    with open_part(path, table) as part:
        for group in range(part.metadata.num_row_groups):
            yield read_group(part, group, table, columns, path)


def read_ids(path: Path, table: Table, column: str | None = None) -> pa.ChunkedArray:
    """Return the id column of a part, or another column of texts."""
    chunks = [chunk for rows in scan(path, table, [column or table.key]) for chunk in rows.column(0).chunks]
    return pa.chunked_array(chunks, type=pa.string())


def first_rows(ids: Sequence[pa.ChunkedArray]) -> list[NDArray[np.bool_]]:
    """Return a mask per part that is True for the rows to read: of rows with the same id, the first by part and row.

    `ids` holds the id column of each part, parts sorted by name.
    """
    if not ids:
        return []
    encoded = pa.chunked_array([chunk for part in ids for chunk in part.chunks], type=pa.string()).dictionary_encode()
    codes = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    mask = np.zeros(len(codes), dtype=np.bool_)
    mask[np.unique(codes, return_index=True)[1]] = True
    return np.split(mask, np.cumsum([len(part) for part in ids])[:-1])


def read_rows(path: Path, table: Table, mask: NDArray[np.bool_]) -> Iterator[pa.Table]:
    """Yield the row groups of a part without the rows where `mask` is False."""
    start = 0
    for rows in scan(path, table):
        group_mask = mask[start : start + rows.num_rows]
        start += rows.num_rows
        yield rows if group_mask.all() else rows.filter(pa.array(group_mask))


def read_records(list_paths: Callable[[], Sequence[Path]], table: Table) -> Iterator[Any]:
    """Yield the records of the parts of a folder, each id once, one row group in memory at a time.

    If a compaction replaces parts meanwhile, reading goes on without repeating a record.
    """
    seen: set[str] = set()
    for rows in relist(list_paths, lambda path: scan(path, table)):
        for key, record in zip(rows.column(table.key).to_pylist(), table.decode(rows), strict=True):
            if key not in seen:
                seen.add(key)
                yield record


def _fits(schema: pa.Schema, table: Table) -> bool:
    fields = [field for field in table.schema if field.name not in table.optional or field.name in schema.names]
    return schema.equals(pa.schema(fields))


def _list_spans(part: CheckedFile, group: int, columns: Sequence[str] | None) -> Iterator[tuple[int, int]]:
    """Yield the bytes [start, end) of each of these columns in a row group, with the headers of its pages."""
    meta = part.metadata.row_group(group)
    for chunk in (meta.column(number) for number in range(meta.num_columns)):
        if columns is None or chunk.path_in_schema.split(".")[0] in columns:
            dictionary = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
            start = chunk.data_page_offset if dictionary is None else min(dictionary, chunk.data_page_offset)
            yield start, start + chunk.total_compressed_size


def _repeats_counts(meta: pq.FileMetaData, schema: pa.Schema) -> bool:
    """Return whether a footer without a checksum, which repeats the number of rows, has the same one everywhere."""
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    # Every field has one column of values: its own, or that of its elements.
    flat = [number for number, field in enumerate(schema) if not _is_list(field)]
    return sum(group.num_rows for group in groups) == meta.num_rows and all(
        group.column(number).num_values == group.num_rows for group in groups for number in flat
    )


def _read_version(meta: Any) -> str:
    return (meta.metadata or {}).get(VERSION_KEY.encode(), b"").decode(errors="replace")


def _is_list(field: pa.Field) -> bool:
    return pa.types.is_list(field.type)
