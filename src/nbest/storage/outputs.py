"""Writes the files that commands produce outside of runs: whole or not at all.

A file is written under a hidden temporary name beside its final one, synced to the disk and renamed. A command that is
killed, or a full disk, leaves the former file, or none. A path that is no ordinary file, such as /dev/stdout or a named
pipe, is written to directly.

`check_output` refuses a path inside a run folder: a run holds what its stages wrote, and nothing else. The folder
`report` of a run is the exception. `check_writable` finds out before any work is done whether a path can be written.
This module does not know what is in a file.
"""

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nbest.errors import ConfigError, StorageError
from nbest.storage.manifest import NAME as MANIFEST_NAME

REPORT_FOLDER = "report"


def check_output(path: Path, option: str = "") -> None:
    """Raise ConfigError if a file or folder at `path` would be inside a run. `option`, such as "--out", is named."""
    resolved = _resolve(path)
    for folder in (resolved, *resolved.parents):
        if is_run(folder):
            inner = resolved.relative_to(folder).parts
            if inner[:1] == (REPORT_FOLDER,):
                return
            name = f"{option}: " if option else ""
            where = "is a run folder" if not inner else f"is inside the run folder {folder}"
            raise ConfigError(
                f"{name}{path} {where}, which holds nothing but the files of the run. Choose a path outside of it"
                f"{'' if not inner else f', or in {folder / REPORT_FOLDER}'}."
            )


def _resolve(path: Path) -> Path:
    """Return the path without symbolic links. Raises ConfigError for a link that leads to itself."""
    try:
        return path.resolve()
    except RuntimeError as error:
        raise ConfigError(f"{path}: the symbolic link leads to itself. Choose another path.") from error


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run: it has a manifest or, if that is damaged, trajectories beside it."""
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except OSError:
        return False
    return b'"identity"' in content or (folder / "trajectories").is_dir()


def check_writable(path: Path) -> None:
    """Raise StorageError if a file or folder cannot be created at `path`. What is tried is removed again.

    Where `path` exists already, a file can be put in its place; what is no ordinary file is not tried.
    """
    with _translate_errors(path):
        target = _resolve(path)
        if target.exists() and not target.is_file():
            return
        # A name that the system does not accept is found by looking at it.
        folder = next(folder for folder in target.parents if folder.exists())
        trial = folder / f".{uuid.uuid4().hex}.tmp"
        if folder == target.parent:
            trial.touch()
            trial.unlink()
        else:
            trial.mkdir()
            trial.rmdir()


@contextmanager
def replace_file(path: Path) -> Generator[Path]:
    """Yield a temporary path to write to; then rename it to `path` after an fsync, or remove it after an exception.

    The folder of `path` is created, and an existing file keeps its permissions. Raises StorageError.
    """
    # A symbolic link stays, and the file that it points to is replaced.
    target = _resolve(path)
    is_special = target.exists() and not target.is_file()
    if is_special and not target.is_dir():
        with _translate_errors(path):
            yield target
        return
    temporary = target.with_name(f".{target.name[:200]}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with _translate_errors(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
            _sync(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all, text as UTF-8. Raises StorageError."""
    data = content.encode() if isinstance(content, str) else content
    with replace_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replace_folder(folder: Path) -> Generator[Path]:
    """Yield a temporary folder to fill; then put it in the place of `folder`, or remove it after an exception.

    A former folder is removed with all of its files. Raises StorageError.
    """
    temporary, former = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "former"))
    try:
        with _translate_errors(folder):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    _sync(path)
            if folder.exists():
                shutil.rmtree(former, ignore_errors=True)
                folder.rename(former)
            temporary.rename(folder)
            _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if former.exists() and not folder.exists():
            former.rename(folder)
        shutil.rmtree(former, ignore_errors=True)


@contextmanager
def _translate_errors(path: Path) -> Generator[None]:
    """Translate a refusal of the system to write into a StorageError that names `path`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}). What was there before is unchanged."
        ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
