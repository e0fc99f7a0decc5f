# pyright: standard
"""The problems of a run: `problems.parquet`, written once, and then the parts of `problems/`, added one by one.

Most runs have only the first. Questions that are added later (see `nbest.answering`) are parts. Of problems with the
same id the first is read, as in every table; problems are ordered by the names of their parts.

This module does not know trajectories.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from nbest.errors import ConfigError, DataError
from nbest.records import Problem
from nbest.storage.parquet import SUFFIX, encode_chunks, read_group_at, scan, write_tables
from nbest.storage.parts import list_parts, relist, retry_listing, write_part
from nbest.storage.tables import PROBLEMS

NAME = "problems.parquet"


def encode_problems(problems: Sequence[Problem]) -> list[pa.Table]:
    """Return the tables of problems that a run is created with. Raises DataError if an id occurs twice."""
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"problem {problem.id!r} occurs twice; every problem of a run needs an id of its own")
        seen.add(problem.id)
    return list(encode_chunks(PROBLEMS, list(enumerate(problems))))


class ProblemParts:
    """The problems in one run folder."""

    def __init__(self, run: Path):
        self.first = run / NAME
        self.folder = run / "problems"
        self._problem_of: dict[str, Problem] = {}
        self._read_paths: set[Path] = set()

    def list_paths(self) -> list[Path]:
        """Return the existing files in the order in which they are read."""
        return [path for path in (self.first,) if path.exists()] + list_parts(self.folder, SUFFIX)

    def append(self, problems: Sequence[Problem]) -> None:
        """Write the problems that the run does not hold yet as one part.

        Raises ConfigError if another problem has one of these ids, or if an id occurs twice with two contents.
        """
        retry_listing(self._read_new_paths)
        problem_of, new_problems = dict(self._problem_of), list[tuple[int, Problem]]()
        position = len(problem_of)
        for problem in problems:
            stored = problem_of.setdefault(problem.id, problem)
            if _identify(stored) != _identify(problem):
                raise ConfigError(
                    f"{self.first.parent}: the run holds another problem {problem.id!r}, {_describe(stored)}; this one "
                    f"is {_describe(problem)}. Use another id."
                )
            if stored is problem:
                new_problems.append((position + len(new_problems), problem))
        if new_problems:
            write_part(self.folder, SUFFIX, write_tables(PROBLEMS, encode_chunks(PROBLEMS, new_problems)))

    def _read_new_paths(self) -> None:
        """Read the files that were written since the last call; a part never changes, so each is read once."""
        for path in self.list_paths():
            if path not in self._read_paths:
                for rows in scan(path, PROBLEMS):
                    for problem in PROBLEMS.decode(rows):
                        self._problem_of.setdefault(problem.id, problem)
                self._read_paths.add(path)

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the row groups of all files, each id once; `columns` must include the id.

        If a compaction replaces parts in the meantime, reading continues at the same problem.
        """
        seen: set[str] = set()
        for rows in relist(self.list_paths, lambda path: scan(path, PROBLEMS, columns)):
            ids = rows.column("id").to_pylist()
            is_new = [key not in seen for key in ids]
            seen.update(ids)
            yield rows if all(is_new) else rows.filter(pa.array(is_new))

    def read(self) -> Iterator[Problem]:
        """Yield the problems in order."""
        for rows in self.scan():
            yield from PROBLEMS.decode(rows)

    def read_positions(self) -> dict[str, int]:
        """Return the position of each id in the order of the problems."""
        ids = [key for rows in self.scan(["id"]) for key in rows.column(0).to_pylist()]
        return {key: position for position, key in enumerate(ids)}


def _identify(problem: Problem) -> tuple[str, ...]:
    return problem.prompt, problem.kind, problem.answer_rule


def _describe(problem: Problem) -> str:
    rule = "" if problem.answer_rule == "default" else f" and answer rule {problem.answer_rule!r}"
    return f"{problem.prompt!r:.99} of kind {problem.kind!r}{rule}"


class ProblemLookup:
    """Looks up problems by id. Fast in the order of the problems: the last row group stays in memory."""

    def __init__(self, parts: ProblemParts):
        self._parts = parts
        self._rows = retry_listing(self._index_rows)
        self._group: tuple[Path | None, int, list[Problem]] = (None, 0, [])

    def _index_rows(self) -> dict[str, tuple[Path, int]]:
        """Return the part and row of each id."""
        index: dict[str, tuple[Path, int]] = {}
        for path in self._parts.list_paths():
            ids = [key for rows in scan(path, PROBLEMS, ["id"]) for key in rows.column(0).to_pylist()]
            for row, key in enumerate(ids):
                index.setdefault(key, (path, row))
        return index

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, problem_id: str) -> bool:
        return problem_id in self._rows

    def read(self, problem_id: str) -> Problem:
        """Return the problem of this id. Raises KeyError if there is none."""

        def read_row() -> Problem:
            try:
                return self._read(problem_id)
            except FileNotFoundError:
                # A compaction replaced the part.
                self._rows = self._index_rows()
                raise

        return retry_listing(read_row)

    def _read(self, problem_id: str) -> Problem:
        path, row = self._rows[problem_id]
        group_path, start, problems = self._group
        if group_path != path or not start <= row < start + len(problems):
            start, rows = read_group_at(path, PROBLEMS, row)
            problems = PROBLEMS.decode(rows)
            self._group = (path, start, problems)
        return problems[row - start]
