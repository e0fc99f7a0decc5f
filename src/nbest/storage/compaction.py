# pyright: standard
"""Merges the small parts of a run into large ones and drops duplicates and the leftovers of killed processes.

Compaction may be killed at any time, and other processes may read and write the run meanwhile: a merged part is written
whole before the parts that it replaces are removed, and its name sorts where the first of them does, so that readers
find the same row first at every moment. One row group (of states: one trajectory) is in memory at a time.

This module does not know what is in the rows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nbest.errors import StorageError
from nbest.plurals import show_count
from nbest.storage.captures import StatesFolder
from nbest.storage.parquet import (
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    SUFFIX,
    first_rows,
    open_part,
    read_ids,
    read_rows,
    write_tables,
)
from nbest.storage.parts import damage, is_temporary, list_parts, remove_parts, write_part
from nbest.storage.removal import remove_leftovers
from nbest.storage.run import Run
from nbest.storage.states import SUFFIX as STATES_SUFFIX
from nbest.storage.states import StatesPart, merge_states
from nbest.storage.tables import Table

TARGET_BYTES = 256 << 20
TARGET_ROWS = 1_000_000
STALE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Compacted:
    """The result of compaction in one folder of a run.

    `bytes_before` and `bytes_after` add up the sizes of its parts, `duplicates` counts the rows that were dropped,
    `temporaries` the temporary files that were removed.
    """

    folder: str
    parts_before: int
    parts_after: int
    bytes_before: int
    bytes_after: int
    duplicates: int
    temporaries: int


@dataclass(frozen=True, slots=True)
class _Part:
    """The size of a part.

    `live_rows` counts the rows that are the first with their id; None = the part is left alone for now.
    """

    path: Path
    size_bytes: int
    rows: int
    live_rows: int | None


def compact(run: Run, target_bytes: int = TARGET_BYTES, target_rows: int = TARGET_ROWS) -> list[Compacted]:
    """Merge neighbouring parts up to about `target_bytes` or `target_rows`; return one result per folder.

    Parts of at least half the target stay as they are, unless they hold duplicates. Temporary files older than an hour
    are removed. Raises DamagedRunError, and StorageError if the disk is full (nothing is lost then). A second
    compaction of the same run at the same time may end with StorageError; it loses nothing either.
    """
    limits = (target_bytes, target_rows)
    try:
        results = [_compact_table(table, folder, limits) for table, folder in run.tables()]
        results.append(_compact_states(run.states_folder, limits))
    except FileNotFoundError as error:
        raise StorageError(
            f"{error.filename or error}: it was removed meanwhile. Is another compaction of {run.path} running? "
            "Nothing is lost; wait until it is done and run the same command again."
        ) from error
    _remove_temporaries(run.path)
    for folder in (run.path, run.path / "scores", run.path / "selections"):
        remove_leftovers(folder)
    return results


def _compact_table(table: Table, folder: Path, limits: tuple[int, int]) -> Compacted:
    paths = list_parts(folder, SUFFIX)
    masks = first_rows([read_ids(path, table) for path in paths])
    mask_of = dict(zip(paths, masks, strict=True))
    parts = [_measure(path, len(mask), int(mask.sum())) for path, mask in mask_of.items()]
    for group in _group(parts, limits):
        paths_of_group = [part.path for part in group]
        write = write_tables(table, _merge(_read_live_tables(paths_of_group, table, mask_of)))
        _replace(group, SUFFIX, write, lambda path: _count_rows(path, table))
    return _finish_folder(folder, parts, SUFFIX)


def _compact_states(states: StatesFolder, limits: tuple[int, int]) -> Compacted:
    states_parts = states.parts()
    index = states.index()
    parts = [_measure_states(part, index) for part in states_parts]
    part_of = {part.path: part for part in states_parts}
    for group in _group(parts, limits, lambda path: (part_of[path].layers, part_of[path].origin)):
        members = [part_of[part.path] for part in group]
        owners = {key: part for part in members for key in part.entries if index.get(key) is part}
        write = merge_states(owners, members[0].layers, members[0].origin)
        _replace(group, STATES_SUFFIX, write, lambda path: len(StatesPart(path).entries))
    return _finish_folder(states.path, parts, STATES_SUFFIX)


def _measure(path: Path, rows: int, live_rows: int) -> _Part:
    return _Part(path, path.stat().st_size, rows, live_rows)


def _measure_states(part: StatesPart, index: Mapping[str, StatesPart]) -> _Part:
    """Return the size of a part of states.

    States without a trajectory may be those of a sampler that is about to write its trajectories: such a part is left
    alone (`live_rows` None) until it is an hour old.
    """
    stat = part.path.stat()
    is_young = time.time() - stat.st_mtime < STALE_SECONDS
    live_rows = 0
    for key, entry in part.entries.items():
        owner = index.get(key)
        if owner is part:
            live_rows += 1
        elif is_young and (owner is None or owner.entries[key].tokens_checksum != entry.tokens_checksum):
            return _Part(part.path, stat.st_size, len(part.entries), None)
    return _Part(part.path, stat.st_size, len(part.entries), live_rows)


def _group(
    parts: Sequence[_Part], limits: tuple[int, int], kind_of: Callable[[Path], object] = lambda _: None
) -> Iterator[list[_Part]]:
    """Yield groups of parts, each to become one part. Only neighbours are joined: the order by name must not change."""
    group: list[_Part] = []
    size, rows = 0, 0
    for part in parts:
        is_large = 2 * part.size_bytes >= limits[0] or 2 * part.rows >= limits[1]
        is_settled = part.live_rows is None or (part.live_rows == part.rows > 0 and is_large)
        is_full = size + part.size_bytes > limits[0] or rows + part.rows > limits[1]
        if group and (is_settled or is_full or kind_of(part.path) != kind_of(group[0].path)):
            if _is_worth(group):
                yield group
            group, size, rows = [], 0, 0
        if not is_settled:
            group.append(part)
            size, rows = size + part.size_bytes, rows + part.rows
    if _is_worth(group):
        yield group


def _is_worth(group: Sequence[_Part]) -> bool:
    return len(group) > 1 or any(part.live_rows != part.rows for part in group)


def _replace(
    group: Sequence[_Part], suffix: str, write: Callable[[BinaryIO], None], count_rows: Callable[[Path], int]
) -> None:
    paths, count = [part.path for part in group], sum(part.live_rows or 0 for part in group)
    if count:
        merged = write_part(paths[0].parent, suffix, write, first=paths[0])
        if count_rows(merged) != count:
            raise damage(merged, f"it was just written with {show_count(count, 'row')} and has another number")
    remove_parts(paths)


def _read_live_tables(
    paths: Sequence[Path], table: Table, mask_of: Mapping[Path, NDArray[np.bool_]]
) -> Iterator[pa.Table]:
    for path in paths:
        yield from read_rows(path, table, mask_of[path])


def _merge(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables up to the size of a row group."""
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(t.nbytes for t in pending) >= ROW_GROUP_BYTES or sum(len(t) for t in pending) >= ROW_GROUP_ROWS:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)


def _count_rows(path: Path, table: Table) -> int:
    with open_part(path, table) as part:
        return part.metadata.num_rows


def _remove_temporaries(folder: Path) -> int:
    count = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if is_temporary(path) and time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
                count += 1
    return count


def _finish_folder(folder: Path, before: Sequence[_Part], suffix: str) -> Compacted:
    temporaries = _remove_temporaries(folder)
    after = list_parts(folder, suffix)
    return Compacted(
        folder=folder.name
        if folder.parent.name not in ("scores", "selections")
        else f"{folder.parent.name}/{folder.name}",
        parts_before=len(before),
        parts_after=len(after),
        bytes_before=sum(part.size_bytes for part in before),
        bytes_after=sum(path.stat().st_size for path in after),
        duplicates=sum(part.rows - part.live_rows for part in before if part.live_rows is not None),
        temporaries=temporaries,
    )
