# pyright: standard
"""A draft: a run whose folder is created with its first records, and not before.

A command that fails before it has a result thus leaves nothing behind, and the corrected command finds no run of other
settings. The problems of a draft are in memory until then.
"""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nbest.errors import ConfigError, StorageError, UnavailableError
from nbest.records import HiddenStates, Problem, Trajectory
from nbest.storage import manifest as manifests
from nbest.storage.parts import make_folder
from nbest.storage.problem_parts import encode_problems
from nbest.storage.run import Run
from nbest.storage.tables import Table


def prepare_run(path: str | Path, manifest: Mapping[str, Any]) -> Run:
    """Return the run at `path` as `Run.create` does, or a draft of it if there is none yet.

    Raises ConfigError listing every field of the identity that differs, DamagedRunError, StorageError if the folder
    cannot be created.
    """
    folder = Path(path).absolute()
    if os.path.exists(folder / manifests.NAME):
        return Run.create(path, manifest)
    manifests.encode_manifest(folder / manifests.NAME, manifest)
    _check_writable(folder)
    return DraftRun(folder, {"identity": {}, "info": {}, **manifest})


@contextmanager
def reserve_folder(run: Run) -> Generator[None]:
    """Create the folder of a draft for the length of a `with` block, so that processes can share work on it.

    If the run is still a draft at the end, the folders that were created are removed again, unless another process has
    put something into them. Nothing happens for a run that exists.
    """
    created: list[Path] = []
    if isinstance(run, DraftRun) and run.is_draft:
        created = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
        make_folder(run.path)
    try:
        yield
    finally:
        if isinstance(run, DraftRun) and run.is_draft:
            with suppress(OSError):
                for folder in created:
                    folder.rmdir()


class DraftRun(Run):
    """A run that is created by `materialize`, which every method that writes records calls first.

    `is_draft` is False once it is created.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]):
        super().__init__(path, manifest)
        self.is_draft = True
        self._draft_problems: list[Problem] = []
        self._draft_questions: dict[str, Problem] = {}

    def materialize(self) -> None:
        """Create the folder, the manifest and the problems.

        Raises ConfigError if another process has meanwhile created a run of other settings, StorageError.
        """
        if not self.is_draft:
            return
        self.manifest = manifests.create_manifest(self.path / manifests.NAME, self.manifest)
        self.is_draft = False
        try:
            if self._draft_problems:
                super().write_problems(self._draft_problems)
            if self._draft_questions:
                super().append_problems(list(self._draft_questions.values()))
        except BaseException:
            self.is_draft = True
            raise

    def write_problems(self, problems: Sequence[Problem]) -> None:
        if not self.is_draft:
            super().write_problems(problems)
            return
        encode_problems(problems)
        self._draft_problems = list(problems)

    def append_problems(self, problems: Sequence[Problem]) -> None:
        if not self.is_draft:
            super().append_problems(problems)
            return
        for problem in problems:
            if self._draft_questions.setdefault(problem.id, problem) != problem:
                raise ConfigError(f"{self.path}: the run holds another problem {problem.id!r}. Use another id.")

    def problems(self) -> Iterator[Problem]:
        if not self.is_draft:
            yield from super().problems()
        elif self._draft_problems or self._draft_questions:
            yield from (*self._draft_problems, *self._draft_questions.values())
        else:
            raise UnavailableError(f"{self.path}: it holds no problems yet. First run the command that writes them.")

    def append_trajectories(self, trajectories: Sequence[Trajectory], origin: Mapping[str, str] | None = None) -> None:
        self.materialize()
        super().append_trajectories(trajectories, origin)

    def append_states(self, states: Mapping[str, HiddenStates], origin: Mapping[str, str] | None = None) -> None:
        self.materialize()
        super().append_states(states, origin)

    def _append(self, table: Table, folder: Path, records: Sequence[Any]) -> None:
        self.materialize()
        super()._append(table, folder, records)


def _check_writable(folder: Path) -> None:
    """Raise StorageError if a folder cannot be created or written, as far as this is known without writing."""
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StorageError(f"{folder}: cannot be created ({error.strerror}). Choose another path.") from error
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.is_dir():
        raise StorageError(f"{folder}: cannot be created, because {existing} is a file. Choose another path.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StorageError(f"{folder}: cannot be written, because {existing} does not allow it. Choose another path.")
