"""Writes and lists parts: files of a run that exist whole or not at all.

A part is written under a hidden temporary name in its own folder, fsynced and renamed. Many processes on many machines
can thus write one folder without a lock, and a killed process leaves no half-written file under the name of a part.
Names sort by the time of writing and end in a checksum of the last bytes of the part. Where two parts hold the same id,
readers take the row of the part that comes first by name.

    part-<nanoseconds>-<random>-<checksum>                             as written
    part-<nanoseconds>-<random>-<checksum>-<nanoseconds>-<checksum>    merged: named after the first it replaces

This module does not know what is in a part, nor which folders a run has.
"""

import errno
import os
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from nbest.errors import DamagedRunError, StorageError

T = TypeVar("T")
Write = Callable[[BinaryIO], None]

_PART = re.compile(r"part-.+")
_SEALED = re.compile(r"(part-\d{20}-[0-9a-f]{8}-)([0-9a-f]{8})(?:-\d{20}-([0-9a-f]{8}))?(?=\.)")
SEALED_BYTES = 64 << 10
"""How much of the end of a part its name has a checksum of; a shorter part is covered whole."""
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
_MAX_LISTINGS = 8


def list_parts(folder: Path, suffix: str) -> list[Path]:
    """Return the parts in a folder, by name; none where it does not exist. Temporary files are never listed."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(suffix) and _PART.match(name)]


def is_temporary(path: Path) -> bool:
    """Return whether a path is the temporary name of a file that is being written, or was when its process ended."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def write_part(folder: Path, suffix: str, write: Write, first: Path | None = None) -> Path:
    """Write one part and return its path.

    `first` is the first of the parts that this one replaces: the new name sorts where `first` does, before the next
    part, so that readers take the same rows before, during and after the replacement. Raises StorageError; then the
    part does not exist.
    """
    make_folder(folder)
    with _write_temporary(folder, write) as temporary:
        path = folder / f"{_make_stem(first, suffix)}-{_read_seal(temporary)}{suffix}"
        os.rename(temporary, path)
    return path


def write_once(path: Path, write: Write) -> bool:
    """Write a file that is never replaced; return False if it exists already.

    If several processes do this at the same moment, exactly one gets True, and none sees a half-written file.
    """
    make_folder(path.parent)
    if path.exists():
        return False
    with _write_temporary(path.parent, write) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            # The file system has no hard links. A rename keeps the file whole, but two processes may both get True.
            if error.errno not in _NO_LINKS or path.exists():
                raise
            os.rename(temporary, path)
    return True


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably. Raises StorageError."""
    if folder.is_dir():
        return
    with _translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def remove_parts(paths: list[Path]) -> None:
    """Remove parts, durably; those that do not exist any more are ignored."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        _sync_folder(folder)


def check_seal(path: Path, end: bytes | None = None) -> None:
    """Raise DamagedRunError if the end of a part does not match the checksum in its name, if it has one.

    `end` is the last `SEALED_BYTES` of the part, where they have been read already.
    """
    match = _SEALED.match(path.name)
    if match is None:
        return
    seal = _read_seal(path) if end is None else f"{zlib.crc32(end):08x}"
    if seal != (match[3] or match[2]):
        raise damage(path, "its end does not match the checksum in its name")


def damage(path: Path, fault: str) -> DamagedRunError:
    """Return the error that names a damaged part and says what to do."""
    return DamagedRunError(
        f"{path}: {fault}. A damaged file is never read in part. Move this file out of the run folder, then run the "
        "same command again: it does only what is missing. `nbest check RUN` lists all damaged files of a run.",
        fault,
    )


@contextmanager
def reading(path: Path, faults: tuple[type[Exception], ...]) -> Generator[None]:
    """Translate what the reader of a part raises into an error that names the part.

    `faults`, and OSErrors without a number, mean damage: DamagedRunError. A part that does not exist any more stays a
    FileNotFoundError (a compaction replaced it; see `retry_listing`). A refusal of the system (permission, too many
    open files, a failing disk) is a StorageError.
    """
    try:
        yield
    except (FileNotFoundError, DamagedRunError, StorageError):
        raise
    except OSError as error:
        if error.errno is None:
            raise damage(path, f"it is damaged ({_format_error(error)})") from error
        refusal = StorageError(f"{path}: cannot be read ({error.strerror or error}). Nothing was changed.")
        refusal.errno = error.errno
        raise refusal from error
    except faults as error:
        raise damage(path, f"it is damaged ({_format_error(error)})") from error


def retry_listing(read: Callable[[], T]) -> T:
    """Return the result of `read`; call it again if a compaction removed one of the parts that it listed."""
    return next(relist(lambda: [Path()], lambda _: iter([read()])))


def relist(list_paths: Callable[[], Sequence[Path]], read: Callable[[Path], Iterator[T]]) -> Iterator[T]:
    """Yield what `read` yields for each path; begin again if a compaction removed one of them in the meantime."""
    for trial in range(_MAX_LISTINGS):
        try:
            for path in list_paths():
                yield from read(path)
            return
        except FileNotFoundError as error:
            if trial + 1 == _MAX_LISTINGS:
                raise StorageError(
                    f"{error.filename or error}: it vanishes while it is read. If `nbest compact` or anything else "
                    "deletes files of this run, wait until it is done and run the same command again."
                ) from error


def _make_stem(first: Path | None, suffix: str) -> str:
    if first is None:
        return f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    # The longer name sorts before the name of the unmerged part ("-" is before ".") and after the part before it.
    match = _SEALED.match(first.name)
    return (
        f"{match[1]}{match[2]}-{time.time_ns():020d}"
        if match
        else f"{first.name.removesuffix(suffix)}-{time.time_ns():020d}"
    )


def _read_seal(path: Path) -> str:
    """Return the CRC-32 of the last 64 KiB, where Parquet keeps a footer without a checksum."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - SEALED_BYTES))
        return f"{zlib.crc32(file.read()):08x}"


def _format_error(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def _write_temporary(folder: Path, write: Write) -> Generator[Path]:
    """Write a hidden temporary file for the length of a `with` block, which renames it or links to it.

    On leaving the block a temporary name that still exists is removed and the folder is synced. Raises StorageError.
    """
    temporary = folder / f".{os.getpid()}-{uuid.uuid4().hex}.tmp"
    try:
        with _translate_write_errors(folder):
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
            temporary.unlink(missing_ok=True)
            _sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _translate_write_errors(path: Path) -> Generator[None]:
    """Translate a refusal of the system to write into a StorageError that names `path` and says what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.is_dir():
            raise  # The folder exists: what is missing is a part that the new one is written from.
        refusal = StorageError(
            f"{path}: the disk refused a write ({error.strerror or _format_error(error)}); "
            f"{_format_free_bytes(path)} bytes are free there. Everything written before is whole. Make "
            "room or fix the cause, then run the same command again: it does only what is missing."
        )
        refusal.errno = error.errno
        raise refusal from error


def _format_free_bytes(path: Path) -> str:
    for folder in (path, *path.parents):
        with suppress(OSError):
            return f"{shutil.disk_usage(folder).free:,}"
    return "an unknown number of"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
