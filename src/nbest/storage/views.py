# pyright: standard
"""A run as SQL: a DuckDB connection with one view per kind of record, each id once.

The views are a snapshot of the parts that exist when they are made. This module does not know what is asked of them.
"""

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from nbest.storage.parquet import first_rows, list_columns, read_ids
from nbest.storage.tables import Table

_HIDDEN = frozenset({"tokens_checksum"})
_GLOB = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


def open_views(memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory that spills to the system's temporary folder."""
    spill = Path(tempfile.gettempdir()) / f"nbest-duckdb-{uuid.uuid4().hex}"
    return duckdb.connect(config={"memory_limit": memory_limit, "threads": threads, "temp_directory": str(spill)})


def create_view(
    database: duckdb.DuckDBPyConnection, table: Table, parts: Mapping[str, Sequence[Path]], label: str | None = None
) -> None:
    """Create a view over parts that has the name of the table.

    `parts` maps a name (a scorer, say) to its parts; `label` is the column that shows this name, None where there is
    only one. Raises DamagedRunError.
    """
    names = [name for name in table.schema.names if name not in _HIDDEN]
    selects: list[str] = []
    for name, paths in parts.items():
        counting = _without_duplicates(database, table, paths)
        for absent, alike in _group_by_absent(table, paths).items():
            columns = ", ".join(_null(table, column) if column in absent else _quoted(column) for column in names)
            selects.append(
                f"SELECT {_label(label, name)}{columns} FROM read_parquet([{', '.join(map(_text, alike))}], "
                f"filename = true, file_row_number = true){counting}"
            )
    if not selects:
        selects = [f"SELECT {_label(label, '')}{', '.join(_null(table, name) for name in names)} WHERE false"]
    database.execute(f"CREATE TEMP VIEW {table.name} AS {' UNION ALL '.join(selects)}")


def _group_by_absent(table: Table, paths: Sequence[Path]) -> dict[frozenset[str], list[Path]]:
    """Group parts by the optional columns they lack: DuckDB takes the columns of the first part for those of all."""
    groups: dict[frozenset[str], list[Path]] = {}
    for path in paths:
        absent = table.optional.difference(list_columns(path)) if table.optional else table.optional
        groups.setdefault(absent, []).append(path)
    return groups


def _without_duplicates(database: duckdb.DuckDBPyConnection, table: Table, paths: Sequence[Path]) -> str:
    masks = first_rows([read_ids(path, table) for path in paths])
    if all(mask.all() for mask in masks):
        return ""
    # The few rows that do not count, so that a query still streams over the parts instead of sorting them.
    dropped = f"dropped_{uuid.uuid4().hex}"
    database.execute(f"CREATE TEMP TABLE {dropped} (filename VARCHAR, file_row_number BIGINT)")
    for path, mask in zip(paths, masks, strict=True):
        rows = np.flatnonzero(~mask).tolist()
        if rows:
            database.execute(f"INSERT INTO {dropped} SELECT ?, unnest(?::BIGINT[])", [str(path), rows])
    return f" WHERE (filename, file_row_number) NOT IN (FROM {dropped})"


def _label(label: str | None, name: str) -> str:
    return "" if label is None else f"{_text(name)} AS {_quoted(label)}, "


def _null(table: Table, name: str) -> str:
    return f"CAST(NULL AS {_sql_type(table.schema.field(name).type)}) AS {_quoted(name)}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str | Path) -> str:
    text = str(value).translate(_GLOB) if isinstance(value, Path) else value
    return "'" + text.replace("'", "''") + "'"


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    names = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.bool_(): "BOOLEAN"}
    return {**names, pa.float64(): "DOUBLE", pa.float32(): "FLOAT"}[kind]
