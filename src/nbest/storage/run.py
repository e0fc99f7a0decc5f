# pyright: standard
"""A run: one folder that every stage adds to and none rewrites.

    run.json  problems.parquet  trajectories/  states/  verdicts/  scores/<scorer>/  selections/<selector>/

A stage asks what is done (`done_*`), does the rest and appends it. It may be killed at any instant and started again,
by many processes and machines at once: a part exists whole or not at all, and of rows with one id the first by part
name counts, everywhere. Relative to the size of a run only ids stand in memory; records stream.

This module does not know how anything is sampled, checked, scored or selected.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.records import HiddenStates, Pool, Problem, Score, Selection, Trajectory, Verdict
from nbest.storage import manifest as manifests
from nbest.storage.captures import StatesFolder
from nbest.storage.parquet import (
    SUFFIX,
    check_footer,
    encode_chunks,
    read_group_at,
    read_ids,
    read_records,
    scan,
    write_tables,
)
from nbest.storage.parts import list_parts, retry_listing, write_once, write_part
from nbest.storage.pools import PoolReader, read_positions
from nbest.storage.tables import PROBLEMS, SCORES, SELECTIONS, TRAJECTORIES, VERDICTS, Table, tokens_checksum
from nbest.storage.views import create_view, open_views

_NAME = re.compile(r"[A-Za-z0-9_:=-][A-Za-z0-9_.:=@-]{0,127}")


class Run:
    """Made by `create` or `open`, which check that every part in the folder is whole (DamagedRunError names it)."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]):
        self.path = path
        self.manifest = manifest
        self._positions: dict[str, int] | None = None
        self._held_problems: tuple[int, list[Problem]] = (0, [])
        self.states_folder = StatesFolder(path / "states", self._read_token_checksums)
        self._token_checksums: tuple[list[Path], dict[str, int]] = ([], {})

    @classmethod
    def create(cls, path: str | Path, manifest: Mapping[str, Any]) -> "Run":
        """Makes the folder, or opens it where it is there and was made with the same `manifest["identity"]`.

        `manifest` is `{"identity": {...}, "info": {...}}`, both JSON; the first `info` stays. Raises ConfigError
        listing every field of the identity that differs.
        """
        manifests.create_manifest(Path(path) / manifests.NAME, manifest)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Raises ConfigError where there is no run, DamagedRunError."""
        folder = Path(path).absolute()
        run = cls(folder, manifests.read_manifest(folder / manifests.NAME))
        run.check()
        return run

    def tables(self) -> list[tuple[Table, Path]]:
        """The folders of table parts, there or not."""
        return [
            (TRAJECTORIES, self.path / "trajectories"),
            (VERDICTS, self.path / "verdicts"),
            *((SCORES, self.path / "scores" / name) for name in self.scorers()),
            *((SELECTIONS, self.path / "selections" / name) for name in self.selectors()),
        ]

    def check(self, deep: bool = False) -> None:
        """Raises DamagedRunError naming the first part that is not whole. `deep` reads every byte of every part."""

        def check_all() -> None:
            problems = self.path / "problems.parquet"
            parts = [(PROBLEMS, problems)] if problems.exists() else []
            parts += [(table, path) for table, folder in self.tables() for path in list_parts(folder, SUFFIX)]
            for table, path in parts:
                check_footer(path)
                for _ in scan(path, table) if deep else ():
                    pass
            for part in self.states_folder.parts():
                for key in part.entries if deep else ():
                    part.read(key)

        retry_listing(check_all)

    # Problems

    def write_problems(self, problems: Sequence[Problem]) -> None:
        """Writes them once. Raises ConfigError where the run holds others, DataError where an id occurs twice."""
        seen: set[str] = set()
        for problem in problems:
            if problem.id in seen:
                raise DataError(f"problem {problem.id!r} occurs twice; the ids of a run's problems must differ")
            seen.add(problem.id)
        path = self.path / "problems.parquet"
        chunks = list(encode_chunks(PROBLEMS, list(enumerate(problems))))
        if write_once(path, write_tables(PROBLEMS, chunks)):
            return
        stored = (row for rows in scan(path, PROBLEMS) for row in rows.to_pylist())
        ours = (row for rows in chunks for row in rows.to_pylist())
        for held, given in zip_longest(stored, ours):
            if held != given:
                raise ConfigError(_differing_problems(path, held, given))

    def problems(self) -> Iterator[Problem]:
        """In the order they were written. Raises UnavailableError where none were written, DamagedRunError."""
        for rows in scan(self._problems_path(), PROBLEMS):
            yield from PROBLEMS.decode(rows)

    def problem(self, problem_id: str) -> Problem:
        """Raises DataError where the id is unknown. Cheap in the order of the problems: a row group is kept."""
        if self._positions is None:
            self._positions = read_positions(self._problems_path())
        if problem_id not in self._positions:
            raise DataError(f"{self.path}: no problem has the id {problem_id!r}; there are {len(self._positions)}")
        position = self._positions[problem_id]
        start, held = self._held_problems
        if not start <= position < start + len(held):
            start, rows = read_group_at(self._problems_path(), PROBLEMS, position)
            held = PROBLEMS.decode(rows)
            self._held_problems = (start, held)
        return held[position - start]

    # Trajectories and their pools

    def append_trajectories(self, trajectories: Sequence[Trajectory], about: Mapping[str, str] | None = None) -> None:
        """Writes one part; captured states go to `states/` before it, with `about` in their header."""
        captured = [
            HiddenStates(t.id, held.layers, held.steps, held.values)
            for t in trajectories
            if (held := t.completion.states) is not None
        ]
        sums = {t.id: tokens_checksum(t.completion) for t in trajectories if t.completion.states is not None}
        self.states_folder.append(captured, about or {}, sums)
        self._append(TRAJECTORIES, self.path / "trajectories", trajectories)

    def pools(self, ids: Collection[str] | None = None, tokens: bool = True) -> Iterator[Pool]:
        """The pool of every problem (or of those in `ids`), in problem order, trajectories by index; streams.

        A problem of which nothing was sampled yet has an empty pool. `tokens=False` leaves token ids,
        log-probabilities, confidences and certainties on the disk: they come back empty. Raises DamagedRunError,
        DataError for an unknown id.
        """
        return PoolReader(self._problems_path(), self.path / "trajectories", tokens).read(ids)

    def done_trajectories(self) -> set[str]:
        return self._done(TRAJECTORIES, self.path / "trajectories")

    # Hidden states

    def append_states(self, states: Sequence[HiddenStates], about: Mapping[str, str] | None = None) -> None:
        """Writes a part for each set of layers. `about` (policy, norm, step rule) is kept in its header."""
        self.states_folder.append(states, about or {}, {})

    def states(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        """The states of these trajectories, in this order, each read when it is asked for.

        Raises UnavailableError naming a trajectory that has none, DamagedRunError.
        """
        return self.states_folder.read(trajectory_ids)

    def done_states(self) -> set[str]:
        """Ids that have states. Captured states whose tokens are not those of the trajectory do not count."""
        return self.states_folder.ids()

    # Verdicts, scores, selections

    def append_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        self._append(VERDICTS, self.path / "verdicts", verdicts)

    def verdicts(self) -> Iterator[Verdict]:
        return self._records(VERDICTS, self.path / "verdicts")

    def done_verdicts(self) -> set[str]:
        return self._done(VERDICTS, self.path / "verdicts")

    def append_scores(self, name: str, scores: Sequence[Score]) -> None:
        """`name` is that of the scorer: letters, digits and `-_.:=@` (ConfigError)."""
        self._append(SCORES, self._folder("scores", name), scores)

    def scores(self, name: str) -> Iterator[Score]:
        return self._records(SCORES, self._folder("scores", name))

    def done_scores(self, name: str) -> set[str]:
        return self._done(SCORES, self._folder("scores", name))

    def scorers(self) -> list[str]:
        """Names of the scorers that wrote here."""
        return _folders(self.path / "scores")

    def append_selections(self, name: str, selections: Sequence[Selection]) -> None:
        """`name` is that of the selector: letters, digits and `-_.:=@` (ConfigError)."""
        self._append(SELECTIONS, self._folder("selections", name), selections)

    def selections(self, name: str) -> Iterator[Selection]:
        return self._records(SELECTIONS, self._folder("selections", name))

    def done_selections(self, name: str) -> set[str]:
        """Problem ids."""
        return self._done(SELECTIONS, self._folder("selections", name))

    def selectors(self) -> list[str]:
        """Names of the selectors that wrote here."""
        return _folders(self.path / "selections")

    def connect(self, memory_limit: str = "1GB", threads: int = 1) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with the views problems, trajectories, verdicts, scores (column scorer) and selections
        (column selector), each id once: a snapshot of the parts of this moment. Close it when done.

        Footers and id columns are checked here (DamagedRunError). DuckDB does not verify the checksums of the pages
        it reads later; `check(deep=True)` does.
        """
        database = open_views(memory_limit, threads)
        try:
            retry_listing(lambda: self._create_views(database))
        except BaseException:
            database.close()
            raise
        return database

    def _create_views(self, database: duckdb.DuckDBPyConnection) -> None:
        problems = self.path / "problems.parquet"
        create_view(database, PROBLEMS, {"": [problems] if problems.exists() else []})
        for table in (TRAJECTORIES, VERDICTS):
            create_view(database, table, {"": list_parts(self.path / table.name, SUFFIX)})
        for table, names, label in ((SCORES, self.scorers(), "scorer"), (SELECTIONS, self.selectors(), "selector")):
            parts = {name: list_parts(self.path / table.name / name, SUFFIX) for name in names}
            create_view(database, table, parts, label)

    # How all of them are kept

    def _problems_path(self) -> Path:
        path = self.path / "problems.parquet"
        if not path.exists():
            raise UnavailableError(f"{self.path}: it holds no problems yet. Run the command that writes them first.")
        return path

    def _folder(self, stage: str, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{stage}: {name!r} cannot be a name; allowed: up to 128 letters, digits and -_.:=@ (not . or @ first)"
            )
        return self.path / stage / name

    def _append(self, table: Table, folder: Path, records: Sequence[Any]) -> None:
        if records:
            write_part(folder, SUFFIX, write_tables(table, encode_chunks(table, records)))

    def _done(self, table: Table, folder: Path) -> set[str]:
        return retry_listing(
            lambda: {key for path in list_parts(folder, SUFFIX) for key in read_ids(path, table).to_pylist()}
        )

    def _records(self, table: Table, folder: Path) -> Iterator[Any]:
        return read_records(lambda: list_parts(folder, SUFFIX), table)

    def _read_token_checksums(self) -> dict[str, int]:
        """Of each trajectory; the same object as long as no part came or went."""

        def read() -> dict[str, int]:
            paths = list_parts(self.path / "trajectories", SUFFIX)
            if paths != self._token_checksums[0]:
                found: dict[str, int] = {}
                for path in paths:
                    for rows in scan(path, TRAJECTORIES, ["id", "tokens_checksum"]):
                        for key, checksum in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                            found.setdefault(key, checksum)
                self._token_checksums = (paths, found)
            return self._token_checksums[1]

        return retry_listing(read)


def _folders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def _differing_problems(path: Path, held: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> str:
    def show(problem: Mapping[str, Any] | None) -> str:
        if problem is None:
            return "no more problems"
        differing = [name for name in problem if held is None or given is None or held[name] != given[name]]
        return ", ".join(f"{name} {problem[name]!r:.120}" for name in ("id", *differing))

    return (
        f"{path}: the run holds other problems. It has {show(held)}; this command has {show(given)}. "
        "Choose another folder or use the same problems."
    )
