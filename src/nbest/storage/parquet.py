# pyright: standard
"""Table parts: Parquet files written in bounded row groups and read with every checksum verified.

A page carries a checksum, so a flipped byte is an error that names the part, never a wrong number. Row groups are
bounded in bytes, so reading one at a time needs bounded memory. Of rows with the same id the first one by sorted part
name counts; that rule stands in `first_rows` and nowhere else.

This module does not know what the columns mean, nor which folders a run has.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nbest.storage.parts import check_seal, damage, reading, relist
from nbest.storage.tables import Table

SUFFIX = ".parquet"
ROW_GROUP_BYTES = 16 << 20
ROW_GROUP_ROWS = 65_536

_FAULTS = (pa.ArrowException, ValueError)
_MAGIC = b"PAR1"


def encode_chunks(table: Table, records: Sequence[Any]) -> Iterator[pa.Table]:
    """Yield the records as Arrow tables, each as large as a row group may be. Raises DataError."""
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
        with pq.ParquetWriter(
            file,
            table.schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=cast("Any", [leaf[name] for name in table.repeating]),
            column_encoding={leaf[name]: "BYTE_STREAM_SPLIT" for name in floats},
        ) as writer:
            for rows in tables:
                writer.write_table(rows, row_group_size=max(1, rows.num_rows))

    return write


def check_footer(path: Path) -> None:
    """Raise DamagedRunError where a file is not a whole Parquet file. Only its two ends are read."""
    with reading(path, _FAULTS):
        size = os.stat(path).st_size
        with open(path, "rb") as file:
            head = file.read(4)
            file.seek(max(0, size - 8))
            tail = file.read(8)
    if size == 0:
        raise damage(path, "it is empty (0 bytes)")
    if head != _MAGIC:
        raise damage(path, "it is not a Parquet file")
    if size < 12 or tail[4:] != _MAGIC or int.from_bytes(tail[:4], "little") > size - 12:
        raise damage(
            path,
            f"it is cut short or overwritten: its {size:,} bytes do not end in a Parquet footer",
        )
    with reading(path, _FAULTS):
        check_seal(path)


@contextmanager
def open_part(path: Path, table: Table) -> Generator[pq.ParquetFile]:
    """Open a part and check its columns. Raises DamagedRunError; FileNotFoundError where it is gone."""
    check_footer(path)
    with reading(path, _FAULTS):
        part = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    with part:
        with reading(path, _FAULTS):
            names, fits = part.schema_arrow.names, _fits(part.schema_arrow, table)
            meta = part.metadata
            groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
            # The footer has no checksum; its counts of rows are there more than once.
            counts = [group.num_rows for group in groups]
            agrees = counts == [group.column(0).num_values for group in groups] and sum(counts) == meta.num_rows
        if not fits:
            raise damage(path, f"its columns are not those of {table.name}; they are {', '.join(names)}")
        if not agrees:
            raise damage(path, "it is damaged (the row counts in its footer contradict each other)")
        yield part


def list_columns(path: Path) -> list[str]:
    """Return the columns of a part. Raises DamagedRunError; FileNotFoundError where it is gone."""
    with reading(path, _FAULTS):
        return pq.read_schema(path).names


def read_group(part: pq.ParquetFile, group: int, table: Table, columns: Sequence[str] | None, path: Path) -> pa.Table:
    """Return one row group; optional columns that the part lacks are null. Raises DamagedRunError naming the part."""
    with reading(path, _FAULTS):
        rows = part.read_row_group(group, columns=columns, use_threads=False)
        rows.validate(full=True)
        if rows.num_rows != part.metadata.row_group(group).num_rows:
            raise damage(path, f"row group {group} holds another number of rows than its footer says")
    for position, field in enumerate([f for f in table.schema if columns is None or f.name in columns]):
        if field.name in table.optional and field.name not in rows.column_names:
            rows = rows.add_column(position, field, pa.nulls(rows.num_rows, field.type))
    return rows


def read_group_at(path: Path, table: Table, row: int) -> tuple[int, pa.Table]:
    """Return the row group that holds a row, preceded by the number of its first row in the part."""
    with open_part(path, table) as part:
        start = 0
        for group in range(part.metadata.num_row_groups):
            count = part.metadata.row_group(group).num_rows
            if row < start + count:
                return start, read_group(part, group, table, None, path)
            start += count
    raise IndexError(f"{path} has {start} rows, not more than {row}")


def scan(path: Path, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a part, one at a time."""
    with open_part(path, table) as part:
        for group in range(part.metadata.num_row_groups):
            yield read_group(part, group, table, columns, path)


def read_ids(path: Path, table: Table) -> pa.ChunkedArray:
    """Return the id column of a part."""
    chunks = [chunk for rows in scan(path, table, [table.key]) for chunk in rows.column(0).chunks]
    return pa.chunked_array(chunks, type=pa.string())


def first_rows(ids: Sequence[pa.ChunkedArray]) -> list[NDArray[np.bool_]]:
    """Return a mask per part of the rows that count: of rows with the same id, the first by part and row.

    `ids` holds the id column of each part, parts sorted by name.
    """
    if not ids:
        return []
    coded = pa.chunked_array([chunk for part in ids for chunk in part.chunks], type=pa.string()).dictionary_encode()
    codes = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in coded.chunks)])
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

    Continues where it was if a compaction replaces parts meanwhile.
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


def _is_list(field: pa.Field) -> bool:
    return pa.types.is_list(field.type)
