# pyright: standard
"""Pools out of parts: streaming, in problem order, each trajectory once, in bounded memory.

An index pass reads three small columns and keeps twelve bytes a trajectory. Then windows of consecutive problems are
fetched: every row group that holds a row of the window is read once and dropped before the next is read. Parts written
problem by problem are thus read about once; parts in which problems are interleaved are read once a window.

This module does not know scores, verdicts or states, nor what is in a text.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nbest.errors import DamagedRunError, DataError
from nbest.records import Pool, Trajectory
from nbest.storage.parquet import SUFFIX, first_rows, open_part, read_group, scan
from nbest.storage.parts import list_parts, retry_listing
from nbest.storage.tables import PROBLEMS, TRAJECTORIES

WINDOW_BYTES = 64 << 20
"""About how much of the trajectories stands in memory at once (one pool is never divided)."""

_INDEXED = ["id", "problem_id", "index"]


@dataclass(frozen=True, slots=True)
class _Index:
    """Rows sorted by problem position and index. Problem p has the slots `bounds[p]` to `bounds[p + 1]`; a slot is row
    `row[slot]` of part `part[slot]`. `starts[part]` is the first row of each row group, `row_bytes[part]` a mean."""

    paths: list[Path]
    bounds: NDArray[np.int64]
    part: NDArray[np.int32]
    row: NDArray[np.int64]
    starts: list[NDArray[np.int64]]
    row_bytes: NDArray[np.float64]

    def weigh(self, position: int) -> float:
        return float(self.row_bytes[self.part[self.bounds[position] : self.bounds[position + 1]]].sum())


class PoolReader:
    """Reads the pools of one run. `tokens=False` leaves what is kept a token (ids, log-probabilities) on the disk."""

    def __init__(self, problems: Path, trajectories: Path, tokens: bool = True):
        self._problems = problems
        self._folder = trajectories
        skipped = frozenset[str]() if tokens else TRAJECTORIES.bulky
        self._columns = [name for name in TRAJECTORIES.schema.names if name not in skipped]
        self._index: _Index | None = None

    def read(self, ids: Collection[str] | None = None) -> Iterator[Pool]:
        """The pools of all problems or of those in `ids`, in problem order; empty where nothing was sampled yet.

        Raises DataError for an unknown problem id, DamagedRunError.
        """
        positions = read_positions(self._problems)
        unknown = set(ids or ()) - positions.keys()
        if unknown:
            raise DataError(f"{self._problems}: no problem has the id {', '.join(map(repr, sorted(unknown)[:5]))}")
        wanted = None if ids is None else {positions[key] for key in ids}
        window: list[tuple[int, str, str, Any]] = []
        weight = 0.0
        for head in self._heads(wanted):
            more = retry_listing(lambda: self._indexed(positions)).weigh(head[0])
            if window and weight + more > WINDOW_BYTES:
                yield from self._pools(window, positions)
                window, weight = [], 0.0
            window.append(head)
            weight += more
        yield from self._pools(window, positions)

    def _heads(self, wanted: Collection[int] | None) -> Iterator[tuple[int, str, str, Any]]:
        position = 0
        for rows in scan(self._problems, PROBLEMS, ["id", "prompt", "kind"]):
            for fields in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                if wanted is None or position in wanted:
                    yield (position, *fields)
                position += 1

    def _indexed(self, positions: Mapping[str, int]) -> _Index:
        if self._index is None:
            self._index = _build_index(list_parts(self._folder, SUFFIX), positions, self._columns)
        return self._index

    def _pools(self, window: Sequence[tuple[int, str, str, Any]], positions: Mapping[str, int]) -> Iterator[Pool]:
        def fetch() -> list[tuple[Trajectory, ...]]:
            try:
                return _fetch(self._indexed(positions), [head[0] for head in window], self._columns)
            except FileNotFoundError:
                self._index = None
                raise

        fetched = retry_listing(fetch)
        fetched.reverse()
        for _, key, prompt, kind in window:
            yield Pool(key, prompt, fetched.pop(), kind)


def read_positions(problems: Path) -> dict[str, int]:
    """Problem ids and their positions, in order. Raises DamagedRunError."""
    ids = [key for rows in scan(problems, PROBLEMS, ["id"]) for key in rows.column(0).to_pylist()]
    return {key: position for position, key in enumerate(ids)}


def _build_index(paths: list[Path], positions: Mapping[str, int], columns: Sequence[str]) -> _Index:
    ids: list[pa.ChunkedArray] = []
    starts: list[NDArray[np.int64]] = []
    row_bytes: list[float] = []
    places: list[NDArray[np.int64]] = []
    indices: list[NDArray[np.int32]] = []
    for path in paths:
        with open_part(path, TRAJECTORIES) as part:
            meta = part.metadata
            groups = [meta.row_group(group) for group in range(meta.num_row_groups)]
            starts.append(np.concatenate([[0], np.cumsum([group.num_rows for group in groups])]).astype(np.int64))
            row_bytes.append(sum(_group_bytes(group, columns) for group in groups) / max(1, meta.num_rows))
            rows = [read_group(part, group, TRAJECTORIES, _INDEXED, path) for group in range(len(groups))]
        table = pa.concat_tables([TRAJECTORIES.schema.empty_table().select(_INDEXED), *rows])
        ids.append(table.column("id"))
        places.append(_place(path, table, positions))
        indices.append(table.column("index").to_numpy())
    kept = np.concatenate([np.empty(0, np.bool_), *first_rows(ids)])
    part = np.repeat(np.arange(len(paths), dtype=np.int32), [len(place) for place in places])
    row = np.concatenate([np.empty(0, np.int64), *(np.arange(len(place)) for place in places)])
    place = np.concatenate([np.empty(0, np.int64), *places])
    index = np.concatenate([np.empty(0, np.int32), *indices])
    order = np.lexsort((row[kept], part[kept], index[kept], place[kept]))
    return _Index(
        paths,
        np.searchsorted(place[kept][order], np.arange(len(positions) + 1)),
        part[kept][order],
        row[kept][order],
        starts,
        np.array(row_bytes),
    )


def _group_bytes(group: Any, columns: Sequence[str]) -> int:
    """What the columns of a row group need in memory; the numbers may be smaller on the disk, in a dictionary."""
    total = 0
    for chunk in (group.column(number) for number in range(group.num_columns)):
        name = chunk.path_in_schema.split(".")[0]
        if name in columns:
            total += 4 * chunk.num_values if name in TRAJECTORIES.bulky else chunk.total_uncompressed_size
    return total


def _place(path: Path, table: pa.Table, positions: Mapping[str, int]) -> NDArray[np.int64]:
    """The problem position of each row."""
    coded = table.column("problem_id").combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    for name in names:
        if name not in positions:
            raise DamagedRunError(
                f"{path}: it holds trajectories of the problem {name!r}, which is not among the {len(positions)} "
                "problems of this run (problems.parquet). Was it copied from another run? Move this file away, or put "
                "back the problems.parquet that belongs to it."
            )
    return np.array([positions[name] for name in names], dtype=np.int64)[coded.indices.to_numpy()]


def _fetch(index: _Index, window: Sequence[int], columns: Sequence[str]) -> list[tuple[Trajectory, ...]]:
    """The trajectories of each problem of a window; one row group is alive at a time."""
    spans = [np.arange(index.bounds[position], index.bounds[position + 1]) for position in window]
    slots = np.concatenate([np.empty(0, np.int64), *spans])
    found: dict[int, Trajectory] = {}
    for number in np.unique(index.part[slots]):
        mine = slots[index.part[slots] == number]
        path, starts = index.paths[number], index.starts[number]
        groups = np.searchsorted(starts, index.row[mine], side="right") - 1
        with open_part(path, TRAJECTORIES) as part:
            for group in np.unique(groups):
                chosen = mine[groups == group]
                rows = read_group(part, int(group), TRAJECTORIES, columns, path)
                rows = rows.take(pa.array(index.row[chosen] - starts[group]))
                found.update(zip(chosen.tolist(), TRAJECTORIES.decode(rows), strict=True))
    return [tuple(found[slot] for slot in span.tolist()) for span in spans]
