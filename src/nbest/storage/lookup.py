# pyright: standard
"""Reads what a run holds of one problem without reading the rest.

The footer of a part has the lowest and the highest id of each row group, so most parts are passed over by their footer
alone; of a row group that may hold an id, the id column is read first, and its ids are remembered (`part_index.py`).
Of rows with the same id, the first by part name is read, as everywhere. Each part that is looked at is checked;
`Run.open` may leave that out.

This module does not know what is in a text, nor how a pool is shown.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nbest.errors import DamagedRunError
from nbest.programs.tasks import code_task
from nbest.records import Pool, Problem, Score, Selection, Trajectory, Verdict
from nbest.storage.id_hashes import hash_column, hash_texts
from nbest.storage.parquet import SUFFIX, open_part, read_footer, read_group, read_group_at, read_ids
from nbest.storage.part_index import PartIndex
from nbest.storage.parts import list_parts, retry_listing
from nbest.storage.problem_parts import ProblemParts
from nbest.storage.run import Run
from nbest.storage.tables import PROBLEMS, SCORES, SELECTIONS, TRAJECTORIES, VERDICTS, Table


class PoolLookup:
    """Looks up single pools of a run, and what belongs to their trajectories."""

    def __init__(self, run: Run):
        self._run = run
        self._problems = ProblemParts(run.path)

    def find_problem(self, name: str) -> Problem:
        """Return a problem by its position (0 is the first), or else by its id. Raises DataError if there is none.

        Raises UnavailableError if the run holds no problems.
        """
        paths = self._problems.list_paths()
        if paths != [self._problems.first]:
            return self._find_in_parts(name)
        # A single file holds each id once, so a position is a row.
        if name.isdecimal():
            try:
                return _read_problem(paths[0], int(name))
            except IndexError:
                pass
        records = _read_records(paths, PROBLEMS, "id", [name])
        return records[0] if records else self._run.problem(name)

    def _find_in_parts(self, name: str) -> Problem:
        if name.isdecimal():
            for position, record in enumerate(self._run.problems()):
                if position == int(name):
                    return record
        return self._run.problem(name)

    def read_pool(self, problem: Problem) -> Pool:
        """Return the pool of a problem, trajectories by index; empty if it has none. Raises DamagedRunError."""
        rows: list[Trajectory] = self._read("trajectories", TRAJECTORIES, "problem_id", [problem.id])
        trajectories = tuple(sorted(rows, key=lambda trajectory: trajectory.index))
        code = code_task(problem)
        return Pool(problem.id, problem.prompt, trajectories, problem.kind, problem.answer_rule, code)

    def read_verdicts(self, trajectory_ids: Collection[str]) -> list[Verdict]:
        """Return the verdicts of these trajectories, as far as there are any."""
        return self._read("verdicts", VERDICTS, "trajectory_id", trajectory_ids)

    def read_scores(self, scorer: str, trajectory_ids: Collection[str]) -> list[Score]:
        """Return the scores of these trajectories under this name, as far as there are any."""
        return self._read(f"scores/{scorer}", SCORES, "trajectory_id", trajectory_ids)

    def read_selection(self, selector: str, problem_id: str) -> Selection | None:
        """Return the selection of this problem under this name; None if there is none."""
        return next(iter(self._read(f"selections/{selector}", SELECTIONS, "problem_id", [problem_id])), None)

    def _read(self, folder: str, table: Table, column: str, values: Collection[str]) -> list[Any]:
        path, index = self._run.path / folder, PartIndex(self._run.path, folder, column)

        def read() -> list[Any]:
            paths = list_parts(path, SUFFIX)
            return _read_records(index.leave_out(paths, values), table, column, values, index)

        records = retry_listing(read)
        index.save(list_parts(path, SUFFIX))
        return records


def remember_ids(path: Path) -> None:
    """Read the ids of the parts of a large run that are not remembered, so that the first look at a pool is quick.

    Called when a stage has written its parts. A run of few parts is left as it is; so is one with a damaged part, which
    the next reader names.
    """
    run = Run(path, {})
    folders = [("trajectories", TRAJECTORIES, "problem_id"), ("verdicts", VERDICTS, "trajectory_id")]
    folders += [(f"scores/{name}", SCORES, "trajectory_id") for name in run.scorers()]
    folders += [(f"selections/{name}", SELECTIONS, "problem_id") for name in run.selectors()]
    for folder, table, column in folders:
        index = PartIndex(path, folder, column)
        with suppress(DamagedRunError, OSError):
            paths = list_parts(path / folder, SUFFIX)
            for part in index.list_unknown(paths):
                index.add(part, hash_column(read_ids(part, table, column)))
            index.save(paths)


def _read_problem(path: Path, row: int) -> Problem:
    start, rows = read_group_at(path, PROBLEMS, row)
    return PROBLEMS.decode(rows.slice(row - start, 1))[0]


def _read_records(
    paths: Sequence[Path], table: Table, column: str, values: Collection[str], index: PartIndex | None = None
) -> list[Any]:
    """Return the records whose `column` has one of `values`, each id once, in the order of the parts and rows.

    `index` remembers the ids of the parts whose ids were all read. If `column` is the id, reading stops when all values
    were read.
    """
    records: dict[str, Any] = {}
    ordered = sorted(values)
    hashes = hash_texts(ordered)
    for path in paths:
        for rows in _scan_matches(path, table, column, ordered, hashes, index):
            for key, record in zip(rows.column(table.key).to_pylist(), table.decode(rows), strict=True):
                records.setdefault(key, record)
        if column == table.key and len(records) == len(set(values)):
            break
    return list(records.values())


def _scan_matches(
    path: Path,
    table: Table,
    column: str,
    values: list[str],
    value_hashes: NDArray[np.uint32],
    index: PartIndex | None,
) -> Iterator[pa.Table]:
    """Yield the rows of a part whose `column` has one of `values`, which are sorted, with these hashes."""
    footer = read_footer(path)
    groups = _list_groups(footer.meta, column, values)
    if not groups:
        return
    wanted, hashes = frozenset(values), list[NDArray[np.uint32]]()
    with open_part(path, table, footer) as part:
        for group in groups:
            keys = read_group(part, group, table, [column], path).column(column)
            hashes.append(hash_column(keys))
            # Of a few other ids the hash is the same.
            rows = np.flatnonzero(np.isin(hashes[-1], value_hashes)).tolist()
            matches = [row for row in rows if keys[row].as_py() in wanted]
            if matches:
                yield _take_rows(read_group(part, group, table, None, path), matches)
    if index is not None and len(groups) == footer.meta.num_row_groups:
        index.add(path, np.concatenate(hashes))


def _take_rows(rows: pa.Table, numbers: Sequence[int]) -> pa.Table:
    """Return these rows, by slices: the functions of Arrow that filter take a moment to be imported."""
    return pa.concat_tables([rows.slice(number, 1) for number in numbers])


def _list_groups(meta: Any, column: str, values: list[str]) -> list[int]:
    """Return the row groups that may hold one of `values` according to the lowest and highest value of the column."""
    # `open_part` says what is wrong with a part that lacks the column.
    numbers = [number for number in range(meta.num_columns) if meta.schema.column(number).path == column]
    groups = range(meta.num_row_groups)
    return [group for group in groups if all(_may_hold(meta.row_group(group).column(n), values) for n in numbers)]


def _may_hold(chunk: Any, values: list[str]) -> bool:
    if not chunk.is_stats_set or not chunk.statistics.has_min_max:
        return True
    low, high = chunk.statistics.min, chunk.statistics.max
    if not isinstance(low, str) or not isinstance(high, str):
        return True
    # Texts are ordered by code points here, and by the bytes of their UTF-8 there, which is the same order.
    position = bisect_left(values, low)
    return position < len(values) and values[position] <= high
