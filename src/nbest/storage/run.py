# pyright: standard
"""A run: one folder. Every stage adds files to it, and none rewrites a file.

    run.json  problems.parquet  problems/  trajectories/  states/  skips/  verdicts/  scores/<scorer>/
    selections/<selector>/

A stage reads which ids are done (`done_*`), computes the rest and appends it. It may be killed at any time and started
again, and many processes and machines may work at once: a part exists whole or not at all, and of rows with the same id
the first by part name is read. Only the ids of a run are in memory; records are streamed.

This module does not know how anything is sampled, checked, scored or selected.
"""

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.plurals import show_count
from nbest.records import HiddenStates, Pool, Problem, Score, Selection, Skip, Trajectory, Verdict
from nbest.storage import manifest as manifests
from nbest.storage.captures import StatesFolder
from nbest.storage.newer import NewerVersionWarning, describe_newer_run
from nbest.storage.parquet import (
    SUFFIX,
    check_footer,
    encode_chunks,
    read_ids,
    read_records,
    scan,
    verify_part,
    write_tables,
)
from nbest.storage.parts import list_parts, retry_listing, write_once, write_part
from nbest.storage.pools import PoolReader
from nbest.storage.problem_parts import ProblemLookup, ProblemParts, encode_problems
from nbest.storage.tables import (
    PROBLEMS,
    SCORES,
    SELECTIONS,
    SKIPS,
    TRAJECTORIES,
    VERDICTS,
    Table,
    tokens_checksum,
)
from nbest.storage.views import create_view, open_views

LARGE_COLUMNS = TRAJECTORIES.bulky | {"text"}
"""The columns of trajectories that grow with their length."""

_NAME = re.compile(r"[A-Za-z0-9_:=-][A-Za-z0-9_.:=@(), -]{0,127}")


class Run:
    """A run folder. `create` and `open` check that every part in it is whole.

    `manifest` is the content of run.json, `states_folder` the `StateSource` of its hidden states.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]):
        _check_path(path)
        self.path = path
        self.manifest = manifest
        self._problems = ProblemParts(path)
        self._lookup: ProblemLookup | None = None
        self.states_folder = StatesFolder(path / "states", self._read_token_checksums)
        self._token_checksums: tuple[list[Path], dict[str, int]] = ([], {})

    @classmethod
    def create(cls, path: str | Path, manifest: Mapping[str, Any]) -> "Run":
        """Create the folder, or open it where it exists and was created with the same `manifest["identity"]`.

        `manifest` is `{"identity": {...}, "info": {...}}`, both JSON; an existing run keeps its `info`. Raises
        ConfigError listing every field of the identity that differs, DamagedRunError.
        """
        _check_path(Path(path).absolute())
        manifests.create_manifest(Path(path) / manifests.NAME, manifest)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, is_checked: bool = True) -> "Run":
        """Open the run in a folder; warn if a newer version created it (NewerVersionWarning).

        Without `is_checked` no part is looked at: whoever reads a few of many parts has these checked when they are
        read. Raises ConfigError if there is no run, DamagedRunError naming a damaged part.
        """
        folder = Path(path).absolute()
        run = cls(folder, manifests.read_manifest(folder / manifests.NAME))
        if newer := describe_newer_run(run.manifest):
            warnings.warn(f"{path}: {newer}, so what it added may be missing here.", NewerVersionWarning, stacklevel=2)
        if is_checked:
            run.check()
        return run

    @property
    def policy_hash(self) -> str | None:
        """The content hash of the policy that sampled the run; None if the manifest does not name it."""
        value = self.manifest["identity"].get("policy", {}).get("content_hash")
        return None if value is None else str(value)

    def materialize(self) -> None:
        """Create the folder of a draft (see `storage/drafts.py`); nothing happens where the folder exists."""

    def tables(self) -> list[tuple[Table, Path]]:
        """Return every table with the folder of its parts, which need not exist.

        That of the problems is among them where problems were added one by one, that of the skips where there are any.
        """
        return [
            *([(PROBLEMS, self._problems.folder)] if self._problems.folder.is_dir() else []),
            (TRAJECTORIES, self.path / "trajectories"),
            *([(SKIPS, self.skips_folder)] if self.skips_folder.is_dir() else []),
            (VERDICTS, self.path / "verdicts"),
            *((SCORES, self.path / "scores" / name) for name in self.scorers()),
            *((SELECTIONS, self.path / "selections" / name) for name in self.selectors()),
        ]

    def check(self, deep: bool = False) -> None:
        """Raise DamagedRunError naming the first part that is not whole. `deep` reads every byte of every part."""

        def check_all() -> None:
            parts = [(PROBLEMS, self._problems.first)] if self._problems.first.exists() else []
            parts += [(table, path) for table, folder in self.tables() for path in list_parts(folder, SUFFIX)]
            for table, path in parts:
                check_footer(path)
                if deep:
                    verify_part(path, table)
            for part in self.states_folder.parts():
                for key in part.entries if deep else ():
                    part.read(key)

        retry_listing(check_all)

    # Problems

    def write_problems(self, problems: Sequence[Problem]) -> None:
        """Write the problems of the run, or check that they are those that it holds.

        Raises ConfigError if the run holds other problems, DataError if an id occurs twice.
        """
        path = self._problems.first
        chunks = encode_problems(problems)
        if write_once(path, write_tables(PROBLEMS, chunks)):
            return
        stored = (row for rows in scan(path, PROBLEMS) for row in rows.to_pylist())
        new_rows = (row for rows in chunks for row in rows.to_pylist())
        for old, new in zip_longest(stored, new_rows):
            if old != new:
                raise ConfigError(_describe_difference(path, old, new))

    def append_problems(self, problems: Sequence[Problem]) -> None:
        """Add the problems that the run does not hold yet, for questions that come one by one.

        Raises ConfigError if the run holds another problem under one of the ids.
        """
        self._problems.append(problems)

    def problems(self) -> Iterator[Problem]:
        """Yield the problems in the order in which they were written. Raises UnavailableError if there are none."""
        self._require_problems()
        yield from self._problems.read()

    def problem(self, problem_id: str) -> Problem:
        """Return the problem of this id. Fast in the order of the problems. Raises DataError if there is none."""
        self._require_problems()
        if self._lookup is None or problem_id not in self._lookup:
            self._lookup = ProblemLookup(self._problems)
        if problem_id not in self._lookup:
            raise DataError(
                f"{self.path}: no problem has the id {problem_id!r}; the run has "
                f"{show_count(len(self._lookup), 'problem')}"
            )
        return self._lookup.read(problem_id)

    # Trajectories and their pools

    def append_trajectories(self, trajectories: Sequence[Trajectory], origin: Mapping[str, str] | None = None) -> None:
        """Write one part of trajectories, and before it their states to `states/`, with `origin` in the header.

        Raises DataError, ConfigError, StorageError.
        """
        states = {t.id: t.completion.states for t in trajectories if t.completion.states is not None}
        checksums = {t.id: tokens_checksum(t.completion) for t in trajectories if t.id in states}
        self.states_folder.append(states, origin or {}, checksums)
        self._append(TRAJECTORIES, self.path / "trajectories", trajectories)

    def pools(self, ids: Collection[str] | None = None, tokens: bool = True) -> Iterator[Pool]:
        """Yield the pool of every problem (or of those in `ids`), in problem order, trajectories by index.

        A problem without trajectories has an empty pool. `tokens=False` leaves token ids, log-probabilities,
        confidences and certainties on the disk: they come back empty. Raises DamagedRunError, DataError for an unknown
        id.
        """
        self._require_problems()
        return PoolReader(self._problems, self.path / "trajectories", tokens).read(ids)

    def done_trajectories(self) -> set[str]:
        """Return the ids of the trajectories that the run holds."""
        return self._read_done_ids(TRAJECTORIES, self.path / "trajectories")

    # Hidden states

    def append_states(self, states: Mapping[str, HiddenStates], origin: Mapping[str, str] | None = None) -> None:
        """Write the states of trajectories by id. `origin` (policy, norm, step rule) is kept in the header.

        Raises DataError, ConfigError, StorageError.
        """
        self.states_folder.append(states, origin or {})

    def states(self, trajectory_ids: Iterable[str]) -> Iterator[HiddenStates]:
        """Yield the states of these trajectories, in this order, each read when it is asked for.

        Raises UnavailableError naming a trajectory that has none, DamagedRunError.
        """
        return self.states_folder.read(trajectory_ids)

    def done_states(self) -> set[str]:
        """Return the ids of the trajectories that have states. States captured with other tokens are ignored."""
        return self.states_folder.ids()

    @property
    def skips_folder(self) -> Path:
        """The folder of the reasons for which trajectories have no states, which need not exist."""
        return self.path / "skips"

    def append_skips(self, skips: Sequence[Skip]) -> None:
        """Write one part of the reasons for which trajectories have no states."""
        self._append(SKIPS, self.skips_folder, skips)

    def skips(self) -> Iterator[Skip]:
        """Yield why trajectories have no states, one per trajectory id."""
        return self._read_records(SKIPS, self.skips_folder)

    # Verdicts, scores, selections

    def append_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Write one part of verdicts."""
        self._append(VERDICTS, self.path / "verdicts", verdicts)

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdicts, one per trajectory id."""
        return self._read_records(VERDICTS, self.path / "verdicts")

    def done_verdicts(self) -> set[str]:
        """Return the ids of the trajectories that have a verdict."""
        return self._read_done_ids(VERDICTS, self.path / "verdicts")

    def append_scores(self, name: str, scores: Sequence[Score]) -> None:
        """Write one part of scores under the name of their scorer. Raises ConfigError for a name that cannot be one."""
        self._append(SCORES, self._make_folder_path("scores", name), scores)

    def scores(self, name: str) -> Iterator[Score]:
        """Yield the scores under this name, one per trajectory id."""
        return self._read_records(SCORES, self._make_folder_path("scores", name))

    def done_scores(self, name: str) -> set[str]:
        """Return the ids of the trajectories that have a score under this name."""
        return self._read_done_ids(SCORES, self._make_folder_path("scores", name))

    def scorers(self) -> list[str]:
        """Return the names under which the run holds scores."""
        return _list_folders(self.path / "scores")

    def append_selections(self, name: str, selections: Sequence[Selection]) -> None:
        """Write one part of selections under the name of their selector. Raises ConfigError as `append_scores`."""
        self._append(SELECTIONS, self._make_folder_path("selections", name), selections)

    def selections(self, name: str) -> Iterator[Selection]:
        """Yield the selections under this name, one per problem id."""
        return self._read_records(SELECTIONS, self._make_folder_path("selections", name))

    def done_selections(self, name: str) -> set[str]:
        """Return the ids of the problems that have a selection under this name."""
        return self._read_done_ids(SELECTIONS, self._make_folder_path("selections", name))

    def selectors(self) -> list[str]:
        """Return the names under which the run holds selections."""
        return _list_folders(self.path / "selections")

    def connect(
        self, memory_limit: str = "1GB", threads: int = 1, large: Collection[str] = LARGE_COLUMNS
    ) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection with the tables as views on the parts of this moment; the caller closes it.

        The views are problems, trajectories, verdicts, scores (column scorer) and selections (column selector); each
        holds an id once. The checksums of every column of a view are verified here (DamagedRunError), because DuckDB
        verifies none. `large` says which of the large columns of trajectories the view has: a query that does not need
        them is spared reading them.
        """
        database = open_views(memory_limit, threads)
        try:
            retry_listing(lambda: self._create_views(database, LARGE_COLUMNS - set(large)))
        except BaseException:
            database.close()
            raise
        return database

    def _create_views(self, database: duckdb.DuckDBPyConnection, unread: Collection[str]) -> None:
        create_view(database, PROBLEMS, {"": self._problems.list_paths()})
        for table in (TRAJECTORIES, VERDICTS):
            create_view(database, table, {"": list_parts(self.path / table.name, SUFFIX)}, unread=unread)
        for table, names, label in ((SCORES, self.scorers(), "scorer"), (SELECTIONS, self.selectors(), "selector")):
            parts = {name: list_parts(self.path / table.name / name, SUFFIX) for name in names}
            create_view(database, table, parts, label)

    # Parts and names

    def _require_problems(self) -> None:
        if not self._problems.list_paths():
            raise UnavailableError(f"{self.path}: it holds no problems yet. First run the command that writes them.")

    def results_folder(self, stage: str, name: str) -> Path:
        """Return the folder of the `scores` or `selections` under a name, which need not exist. Raises ConfigError."""
        return self._make_folder_path(stage, name)

    def _make_folder_path(self, stage: str, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{stage}: {name!r} cannot be a name. Allowed are up to 128 letters, digits, spaces and -_.:=@(), "
                "beginning with a letter, a digit or one of _:=-. Choose one with --as"
            )
        return self.path / stage / name

    def _append(self, table: Table, folder: Path, records: Sequence[Any]) -> None:
        if records:
            write_part(folder, SUFFIX, write_tables(table, encode_chunks(table, records)))

    def _read_done_ids(self, table: Table, folder: Path) -> set[str]:
        return retry_listing(
            lambda: {key for path in list_parts(folder, SUFFIX) for key in read_ids(path, table).to_pylist()}
        )

    def _read_records(self, table: Table, folder: Path) -> Iterator[Any]:
        return read_records(lambda: list_parts(folder, SUFFIX), table)

    def _read_token_checksums(self) -> dict[str, int]:
        """Return the checksum of each trajectory's tokens; the same dict while the parts are the same."""

        def read() -> dict[str, int]:
            paths = list_parts(self.path / "trajectories", SUFFIX)
            if paths != self._token_checksums[0]:
                checksums: dict[str, int] = {}
                for path in paths:
                    for rows in scan(path, TRAJECTORIES, ["id", "tokens_checksum"]):
                        for key, checksum in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                            checksums.setdefault(key, checksum)
                self._token_checksums = (paths, checksums)
            return self._token_checksums[1]

        return retry_listing(read)


def _list_folders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def _check_path(folder: Path) -> None:
    """Raise ConfigError for a path with bytes that are no UTF-8: Arrow and DuckDB cannot open the files below it."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{folder}: the name of a run folder must be UTF-8; rename it or choose another") from error


def _describe_difference(path: Path, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    def show(problem: Mapping[str, Any] | None) -> str:
        if problem is None:
            return "no more problems"
        differing = [name for name in problem if old is None or new is None or old[name] != new[name]]
        return ", ".join(f"{name} {problem[name]!r:.120}" for name in ("id", *differing))

    return (
        f"{path}: the run holds other problems. It has {show(old)}; this command has {show(new)}. "
        "Choose another folder or use the same problems."
    )
