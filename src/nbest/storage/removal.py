# pyright: standard
"""Removes results from a run: all under one name, or the rows that failed.

Both may be killed at any time. A folder is renamed first, so that it is removed as a whole; a part without its failed
rows is written whole, under a name that sorts where the old one does, before the old one is removed.

This module does not know which rows failed.
"""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nbest.errors import StorageError
from nbest.storage.parquet import SUFFIX, read_rows, scan, write_tables
from nbest.storage.parts import list_parts, remove_parts, retry_listing, write_part
from nbest.storage.tables import Table

_PREFIX = ".removed-"


def remove_folder(folder: Path) -> None:
    """Remove the parts of a folder, all at once; nothing happens if it does not exist. Raises StorageError."""
    target = folder.with_name(f"{_PREFIX}{uuid.uuid4().hex}")
    try:
        os.rename(folder, target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{folder}: cannot be removed ({error.strerror}). Nothing was changed.") from error
    remove_leftovers(folder.parent)


def remove_leftovers(parent: Path) -> None:
    """Remove what killed processes left of the folders that they were removing."""
    for path in parent.glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def drop_rows(folder: Path, table: Table, is_failed: Callable[[Any], bool]) -> int:
    """Drop the records for which `is_failed` is true; return how many ids are affected.

    Raises DamagedRunError, StorageError.
    """
    ids: set[str] = set()

    def drop_all() -> None:
        for path in list_parts(folder, SUFFIX):
            _drop_rows_of(path, table, is_failed, ids)

    retry_listing(drop_all)
    return len(ids)


def _drop_rows_of(path: Path, table: Table, is_failed: Callable[[Any], bool], ids: set[str]) -> None:
    masks: list[list[bool]] = []
    failed_ids: set[str] = set()
    for rows in scan(path, table):
        mask = [is_failed(record) for record in table.decode(rows)]
        failed_ids.update(key for key, failed in zip(rows.column(table.key).to_pylist(), mask, strict=True) if failed)
        masks.append(mask)
    if not failed_ids:
        return
    is_live = ~np.array([value for mask in masks for value in mask], dtype=np.bool_)
    if is_live.any():
        write_part(path.parent, SUFFIX, write_tables(table, read_rows(path, table, is_live)), first=path)
    remove_parts([path])
    ids |= failed_ids
