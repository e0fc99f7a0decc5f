# pyright: standard
"""Creates SQL views of a run in DuckDB: one view per kind of record, each id once.

The views read the parts that exist when they are created. DuckDB verifies no checksum, so those of the columns of a
view are verified when it is created. This module does not know which queries use them.
"""

import tempfile
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from nbest.storage.parquet import first_rows, list_columns, read_ids, verify_columns
from nbest.storage.parts import damage
from nbest.storage.tables import Table

_HIDDEN = frozenset({("trajectories", "tokens_checksum"), ("scores", "note")})
"""Columns that no query needs, each behind the name of its table."""
_GLOB = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


def open_views(memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory, which spills to the temporary folder of the system."""
    spill = Path(tempfile.gettempdir()) / f"nbest-duckdb-{uuid.uuid4().hex}"
    return duckdb.connect(config={"memory_limit": memory_limit, "threads": threads, "temp_directory": str(spill)})


def create_view(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    parts: Mapping[str, Sequence[Path]],
    label: str | None = None,
    unread: Collection[str] = (),
) -> None:
    """Create a view over parts that has the name of the table.

    `parts` maps a name, such as the name of a scorer, to its parts. `label` is the column that holds this name; None =
    no such column. The view does not have the columns in `unread`, which are not verified. Raises DamagedRunError.
    """
    names = [name for name in table.schema.names if (table.name, name) not in _HIDDEN and name not in unread]
    selects: list[str] = []
    for name, paths in parts.items():
        condition = _exclude_duplicates(database, table, paths)
        for path in paths:
            verify_columns(path, table, names)
        for absent, group in _group_by_absent(table, paths).items():
            columns = ", ".join(
                _select_null(table, column) if column in absent else _quote_name(column) for column in names
            )
            selects.append(
                f"SELECT {_label(label, name)}{columns} FROM read_parquet([{', '.join(map(_quote_text, group))}], "
                f"filename = true, file_row_number = true){condition}"
            )
    if not selects:
        selects = [f"SELECT {_label(label, '')}{', '.join(_select_null(table, name) for name in names)} WHERE false"]
    try:
        database.execute(f"CREATE OR REPLACE TEMP VIEW {table.name} AS {' UNION ALL '.join(selects)}")
    except duckdb.Error:
        _require_readable(database, [path for paths in parts.values() for path in paths])
        raise


def _require_readable(database: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Raise DamagedRunError naming the first part whose footer DuckDB cannot read, FileNotFoundError if one is gone.

    Arrow may read it: of the footers of earlier versions, which have no checksum, it does not use every byte.
    """
    for path in paths:
        path.stat()
        try:
            database.execute(f"SELECT 1 FROM read_parquet({_quote_text(path)}) LIMIT 0")
        except duckdb.Error as error:
            raise damage(path, f"it is damaged ({' '.join(str(error).split())[:200]})") from error


def _group_by_absent(table: Table, paths: Sequence[Path]) -> dict[frozenset[str], list[Path]]:
    """Group parts by the optional columns they lack, because DuckDB takes the columns of the first part for all."""
    groups: dict[frozenset[str], list[Path]] = {}
    for path in paths:
        absent = table.optional.difference(list_columns(path)) if table.optional else table.optional
        groups.setdefault(absent, []).append(path)
    return groups


def _exclude_duplicates(database: duckdb.DuckDBPyConnection, table: Table, paths: Sequence[Path]) -> str:
    masks = first_rows([read_ids(path, table) for path in paths])
    if all(mask.all() for mask in masks):
        return ""
    # A table of the few rows to leave out lets a query stream over the parts instead of sorting them.
    duplicates = f"duplicates_{uuid.uuid4().hex}"
    database.execute(f"CREATE TEMP TABLE {duplicates} (filename VARCHAR, file_row_number BIGINT)")
    for path, mask in zip(paths, masks, strict=True):
        rows = np.flatnonzero(~mask).tolist()
        if rows:
            database.execute(f"INSERT INTO {duplicates} SELECT ?, unnest(?::BIGINT[])", [str(path), rows])
    return f" WHERE (filename, file_row_number) NOT IN (FROM {duplicates})"


def _label(label: str | None, name: str) -> str:
    return "" if label is None else f"{_quote_text(name)} AS {_quote_name(label)}, "


def _select_null(table: Table, name: str) -> str:
    return f"CAST(NULL AS {_find_sql_type(table.schema.field(name).type)}) AS {_quote_name(name)}"


def _quote_name(name: str) -> str:
    return f'"{name}"'


def _quote_text(value: str | Path) -> str:
    text = str(value).translate(_GLOB) if isinstance(value, Path) else value
    return "'" + text.replace("'", "''") + "'"


def _find_sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_find_sql_type(kind.value_type)}[]"
    names = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.bool_(): "BOOLEAN"}
    return {**names, pa.float64(): "DOUBLE", pa.float32(): "FLOAT"}[kind]
