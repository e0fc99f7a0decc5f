# pyright: standard
"""Reads pools from parts as a stream, in problem order, each trajectory once, in bounded memory.

A first pass reads three small columns into an index of twelve bytes per trajectory. Then sections of consecutive
problems are fetched: every row group that holds a row of the section is read once and freed before the next is read.
Parts written problem by problem are thus read about once; parts in which problems are interleaved are read once per
section.

This module does not know scores, verdicts or states, nor what is in a text.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nbest.errors import DamagedRunError, DataError
from nbest.plurals import show_count
from nbest.programs.tasks import make_code_task
from nbest.records import Pool, Trajectory
from nbest.storage.parquet import SUFFIX, first_rows, open_part, read_group
from nbest.storage.parts import list_parts, retry_listing
from nbest.storage.problem_parts import ProblemParts
from nbest.storage.tables import TRAJECTORIES

SECTION_BYTES = 64 << 20
"""The approximate size of the trajectories in memory at once (one pool is never divided)."""

_Head: TypeAlias = tuple[int, str, str, Any, str | None, str]
"""Position, id, prompt, kind, answer rule and meta of a problem; None is the default rule, meta is JSON."""

_INDEXED = ["id", "problem_id", "index"]


@dataclass(frozen=True, slots=True)
class _Index:
    """All rows, sorted by the position of their problem and by index.

    Problem p has the slots `bounds[p]` to `bounds[p + 1]`; a slot is row `row[slot]` of part `part[slot]`.
    `starts[part]` holds the first row of each row group, `row_bytes[part]` the mean size of a row.
    """

    paths: list[Path]
    bounds: NDArray[np.int64]
    part: NDArray[np.int32]
    row: NDArray[np.int64]
    starts: list[NDArray[np.int64]]
    row_bytes: NDArray[np.float64]

    def weigh(self, position: int) -> float:
        """Return the approximate number of bytes that the pool of a problem needs in memory."""
        return float(self.row_bytes[self.part[self.bounds[position] : self.bounds[position + 1]]].sum())


class PoolReader:
    """Reads the pools of one run; with `tokens=False` without the columns that hold one number per token."""

    def __init__(self, problems: ProblemParts, trajectories: Path, tokens: bool = True):
        self._problems = problems
        self._folder = trajectories
        unread = frozenset[str]() if tokens else TRAJECTORIES.bulky
        self._columns = [name for name in TRAJECTORIES.schema.names if name not in unread]
        self._index: _Index | None = None

    def read(self, ids: Collection[str] | None = None) -> Iterator[Pool]:
        """Yield the pools of all problems or of those in `ids`, in problem order; empty for one without trajectories.

        Raises DataError for an unknown problem id, DamagedRunError.
        """
        positions = self._problems.read_positions()
        unknown = set(ids or ()) - positions.keys()
        if unknown:
            raise DataError(
                f"{self._problems.first}: no problem has the id {', '.join(map(repr, sorted(unknown)[:5]))}"
            )
        selection = None if ids is None else {positions[key] for key in ids}
        section: list[_Head] = []
        weight = 0.0
        for head in self._read_heads(selection):
            more = retry_listing(lambda: self._load_index(positions)).weigh(head[0])
            if section and weight + more > SECTION_BYTES:
                yield from self._fetch_pools(section, positions)
                section, weight = [], 0.0
            section.append(head)
            weight += more
        yield from self._fetch_pools(section, positions)

    def _read_heads(self, selection: Collection[int] | None) -> Iterator[_Head]:
        """Yield what is read of each problem, or of those at the positions in `selection`."""
        position = 0
        names = ["id", "prompt", "kind", "answer_rule", "meta"]
        for rows in self._problems.scan(names):
            # Runs of earlier versions lack a column.
            columns = [rows.column(name) if name in rows.column_names else pa.nulls(len(rows)) for name in names]
            for fields in zip(*(column.to_pylist() for column in columns), strict=True):
                if selection is None or position in selection:
                    yield (position, *fields)
                position += 1

    def _load_index(self, positions: Mapping[str, int]) -> _Index:
        if self._index is None:
            paths = list_parts(self._folder, SUFFIX)
            self._index = _build_index(paths, positions, self._columns, self._problems.read_positions)
        return self._index

    def _fetch_pools(self, section: Sequence[_Head], positions: Mapping[str, int]) -> Iterator[Pool]:
        def fetch() -> list[tuple[Trajectory, ...]]:
            try:
                return _fetch_trajectories(self._load_index(positions), [head[0] for head in section], self._columns)
            except FileNotFoundError:
                self._index = None
                raise

        # Popped one by one, so that a pool that was yielded does not stay in memory.
        remaining = retry_listing(fetch)
        remaining.reverse()
        for _, key, prompt, kind, rule, meta in section:
            code = make_code_task(kind, prompt, json.loads(meta or "{}")) if kind == "code" else None
            yield Pool(key, prompt, remaining.pop(), kind, rule or "default", code)


def _build_index(
    paths: list[Path], positions: Mapping[str, int], columns: Sequence[str], reread: Callable[[], Mapping[str, int]]
) -> _Index:
    """Index the trajectories of the problems in `positions`; `reread` reads the positions again."""
    ids: list[pa.ChunkedArray] = []
    starts: list[NDArray[np.int64]] = []
    row_bytes: list[float] = []
    positions_of: list[NDArray[np.int64]] = []
    indices: list[NDArray[np.int32]] = []
    for path in paths:
        with open_part(path, TRAJECTORIES) as part:
            meta = part.metadata
            groups = [meta.row_group(group) for group in range(meta.num_row_groups)]
            starts.append(np.concatenate([[0], np.cumsum([group.num_rows for group in groups])]).astype(np.int64))
            row_bytes.append(sum(_estimate_group_bytes(group, columns) for group in groups) / max(1, meta.num_rows))
            rows = [read_group(part, group, TRAJECTORIES, _INDEXED, path) for group in range(len(groups))]
        table = pa.concat_tables([TRAJECTORIES.schema.empty_table().select(_INDEXED), *rows])
        ids.append(table.column("id"))
        positions_of.append(_locate_problems(path, table, positions, reread))
        indices.append(table.column("index").to_numpy())
    mask = np.concatenate([np.empty(0, np.bool_), *first_rows(ids)])
    mask &= np.concatenate([np.empty(0, np.bool_), *(values >= 0 for values in positions_of)])
    part = np.repeat(np.arange(len(paths), dtype=np.int32), [len(values) for values in positions_of])
    row = np.concatenate([np.empty(0, np.int64), *(np.arange(len(values)) for values in positions_of)])
    position = np.concatenate([np.empty(0, np.int64), *positions_of])
    index = np.concatenate([np.empty(0, np.int32), *indices])
    order = np.lexsort((row[mask], part[mask], index[mask], position[mask]))
    return _Index(
        paths,
        np.searchsorted(position[mask][order], np.arange(len(positions) + 1)),
        part[mask][order],
        row[mask][order],
        starts,
        np.array(row_bytes),
    )


def _estimate_group_bytes(group: Any, columns: Sequence[str]) -> int:
    """Return the number of bytes that these columns of a row group need in memory; on the disk it may be less."""
    total = 0
    for chunk in (group.column(number) for number in range(group.num_columns)):
        name = chunk.path_in_schema.split(".")[0]
        if name in columns:
            total += 4 * chunk.num_values if name in TRAJECTORIES.bulky else chunk.total_uncompressed_size
    return total


def _locate_problems(
    path: Path, table: pa.Table, positions: Mapping[str, int], reread: Callable[[], Mapping[str, int]]
) -> NDArray[np.int64]:
    """Return the position [rows] of each row's problem in the run.

    It is -1 for a problem that another process added after `positions` were read; `reread` returns the positions of
    now. Raises DamagedRunError for a problem that the run does not have even now.
    """
    encoded = table.column("problem_id").combine_chunks().dictionary_encode()
    problem_ids = encoded.dictionary.to_pylist()
    if any(problem_id not in positions for problem_id in problem_ids):
        current_positions = reread()
        for problem_id in problem_ids:
            if problem_id not in current_positions:
                raise DamagedRunError(
                    f"{path}: it holds trajectories of the problem {problem_id!r}, which is not among the "
                    f"{show_count(len(current_positions), 'problem')} of this run (problems.parquet). Was it copied "
                    "from another run? Move this file away, or restore the problems.parquet that belongs to it."
                )
    position_of_id = np.array([positions.get(problem_id, -1) for problem_id in problem_ids], dtype=np.int64)
    return position_of_id[encoded.indices.to_numpy()]


def _fetch_trajectories(index: _Index, section: Sequence[int], columns: Sequence[str]) -> list[tuple[Trajectory, ...]]:
    """Return the trajectories of each problem of a section; one row group is in memory at a time."""
    spans = [np.arange(index.bounds[position], index.bounds[position + 1]) for position in section]
    slots = np.concatenate([np.empty(0, np.int64), *spans])
    trajectories: dict[int, Trajectory] = {}
    for number in np.unique(index.part[slots]):
        part_slots = slots[index.part[slots] == number]
        path, starts = index.paths[number], index.starts[number]
        groups = np.searchsorted(starts, index.row[part_slots], side="right") - 1
        with open_part(path, TRAJECTORIES) as part:
            for group in np.unique(groups):
                group_slots = part_slots[groups == group]
                rows = read_group(part, int(group), TRAJECTORIES, columns, path)
                rows = rows.take(pa.array(index.row[group_slots] - starts[group]))
                trajectories.update(zip(group_slots.tolist(), TRAJECTORIES.decode(rows), strict=True))
    return [tuple(trajectories[slot] for slot in span.tolist()) for span in spans]
