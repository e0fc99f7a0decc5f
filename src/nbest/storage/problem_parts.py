# pyright: standard
"""The problems of a run: `problems.parquet`, written once, and after it the parts of `problems/`, added one by one.

Most runs have the first alone. Questions that come while a run is at work (see `nbest.answering`) are parts. Of
problems with one id the first counts, as in every table; the order is that of the parts by name.

This module does not know trajectories.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from nbest.errors import ConfigError
from nbest.records import Problem
from nbest.storage.parquet import SUFFIX, encode_chunks, read_group_at, scan, write_tables
from nbest.storage.parts import list_parts, write_part
from nbest.storage.tables import PROBLEMS

NAME = "problems.parquet"


class ProblemParts:
    """The problems in one run folder."""

    def __init__(self, run: Path):
        self.first = run / NAME
        self._folder = run / "problems"
        self._known: dict[str, Problem] = {}
        self._known_paths: set[Path] = set()

    def list_paths(self) -> list[Path]:
        """Return the files there are, in the order in which they count."""
        return [path for path in (self.first,) if path.exists()] + list_parts(self._folder, SUFFIX)

    def append(self, problems: Sequence[Problem]) -> None:
        """Write those that are not there yet as one part.

        Raises ConfigError where another problem has one of these ids, or where an id occurs twice with two contents.
        """
        self._read_new_paths()
        known, added = dict(self._known), list[tuple[int, Problem]]()
        position = len(known)
        for problem in problems:
            stored = known.setdefault(problem.id, problem)
            if stored.prompt != problem.prompt or stored.kind != problem.kind:
                raise ConfigError(
                    f"{self.first.parent}: the run holds another problem {problem.id!r}, {stored.prompt!r:.99} of kind "
                    f"{stored.kind!r}; this one is {problem.prompt!r:.99} of kind {problem.kind!r}. Use another id."
                )
            if stored is problem:
                added.append((position + len(added), problem))
        if added:
            write_part(self._folder, SUFFIX, write_tables(PROBLEMS, encode_chunks(PROBLEMS, added)))

    def _read_new_paths(self) -> None:
        """Parts never change: each is read once, however many problems are added one by one."""
        for path in self.list_paths():
            if path not in self._known_paths:
                for rows in scan(path, PROBLEMS):
                    for problem in PROBLEMS.decode(rows):
                        self._known.setdefault(problem.id, problem)
                self._known_paths.add(path)

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the row groups of all files, each id once; `columns` must hold the id."""
        seen: set[str] = set()
        for path in self.list_paths():
            for rows in scan(path, PROBLEMS, columns):
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


class ProblemLookup:
    """Problems by id. Cheap in the order of the problems: the row group that was read last is kept."""

    def __init__(self, parts: ProblemParts):
        self._rows: dict[str, tuple[Path, int]] = {}
        for path in parts.list_paths():
            ids = [key for rows in scan(path, PROBLEMS, ["id"]) for key in rows.column(0).to_pylist()]
            for row, key in enumerate(ids):
                self._rows.setdefault(key, (path, row))
        self._group: tuple[Path | None, int, list[Problem]] = (None, 0, [])

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, problem_id: str) -> bool:
        return problem_id in self._rows

    def read(self, problem_id: str) -> Problem:
        """Return the problem of this id, which must be there."""
        path, row = self._rows[problem_id]
        group_path, start, problems = self._group
        if group_path != path or not start <= row < start + len(problems):
            start, rows = read_group_at(path, PROBLEMS, row)
            problems = PROBLEMS.decode(rows)
            self._group = (path, start, problems)
        return problems[row - start]
