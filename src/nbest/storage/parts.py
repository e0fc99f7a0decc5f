"""Parts: files of a run that exist whole or not at all.

A part is written to a hidden temporary name in its own folder, fsynced and renamed, so that many processes and many
machines write one folder with no lock and `kill -9` leaves nothing half done under a part's name. A name sorts by the
time of publishing and ends in a checksum of the part's end; where two parts hold the same id, the first by name counts,
everywhere.

    part-<nanoseconds>-<random>-<checksum>                             as written
    part-<nanoseconds>-<random>-<checksum>-<nanoseconds>-<checksum>    merged: stands in for the one it is named after

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
_SEALED_BYTES = 64 << 10
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
    """Return whether a path is that of a file which was being written."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def write_part(folder: Path, suffix: str, write: Write, first: Path | None = None) -> Path:
    """Write one part and return its path.

    `first` is the first of the parts that this one replaces: the new name sorts in its place, before the part that
    came next, so that the rows which count are the same before, during and after the replacement.
    Raises StorageError; then the part does not exist.
    """
    make_folder(folder)
    with _temporary(folder, write) as temporary:
        path = folder / f"{_stem(first, suffix)}-{_read_seal(temporary)}{suffix}"
        os.rename(temporary, path)
    return path


def write_once(path: Path, write: Write) -> bool:
    """Write a file that nobody may replace; return False where it exists already.

    If several processes do this at the same moment, exactly one gets True, and none sees half a file.
    """
    make_folder(path.parent)
    if path.exists():
        return False
    with _temporary(path.parent, write) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            # A file system without hard links: the rename keeps the file whole, only the race is wider.
            if error.errno not in _NO_LINKS or path.exists():
                raise
            os.rename(temporary, path)
    return True


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably. Raises StorageError."""
    if folder.is_dir():
        return
    with _naming_refusal(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def remove_parts(paths: list[Path]) -> None:
    """Remove parts, durably; those that are gone already are no fault."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        _sync_folder(folder)


def check_seal(path: Path) -> None:
    """Raise DamagedRunError where the end of a part does not fit the checksum in its name. Other names carry none."""
    match = _SEALED.match(path.name)
    if match and _read_seal(path) != (match[3] or match[2]):
        raise damage(path, "its end does not fit the checksum in its name")


def damage(path: Path, what: str) -> DamagedRunError:
    """Return the error that names a damaged part and says what to do."""
    return DamagedRunError(
        f"{path}: {what}. It is never read as whole. Move this file out of the run folder, then run the same command "
        "again: it does only what is missing."
    )


@contextmanager
def reading(path: Path, faults: tuple[type[Exception], ...]) -> Generator[None]:
    """Name the part in whatever its reader raises: `faults`, and OSErrors without a number, mean damage.

    A part that is gone stays a FileNotFoundError (a compaction replaced it; see `retry_listing`). What the system
    refuses (permission, too many open files, a failing disk) is a StorageError, not damage.
    """
    try:
        yield
    except (FileNotFoundError, DamagedRunError, StorageError):
        raise
    except OSError as error:
        if error.errno is None:
            raise damage(path, f"it is damaged ({_one_line(error)})") from error
        refusal = StorageError(f"{path}: cannot be read ({error.strerror or error}). Nothing was changed.")
        refusal.errno = error.errno
        raise refusal from error
    except faults as error:
        raise damage(path, f"it is damaged ({_one_line(error)})") from error


def retry_listing(read: Callable[[], T]) -> T:
    """Return what `read` returns; call it again where a compaction removed one of the parts that it listed."""
    return next(relist(lambda: [Path()], lambda _: iter([read()])))


def relist(list_paths: Callable[[], Sequence[Path]], read: Callable[[Path], Iterator[T]]) -> Iterator[T]:
    """Yield what `read` yields for each path, from the beginning again where a compaction removed one meanwhile."""
    for trial in range(_MAX_LISTINGS):
        try:
            for path in list_paths():
                yield from read(path)
            return
        except FileNotFoundError as error:
            if trial + 1 == _MAX_LISTINGS:
                raise StorageError(
                    f"{error.filename or error}: it vanishes while it is read. If `nbest compact` or something that "
                    "deletes files is at work on this run, wait until it is done and run the same command again."
                ) from error


def _stem(first: Path | None, suffix: str) -> str:
    if first is None:
        return f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    # The name of an unmerged part, prolonged: "-" sorts before ".", hence before that part and after what precedes it.
    match = _SEALED.match(first.name)
    return (
        f"{match[1]}{match[2]}-{time.time_ns():020d}"
        if match
        else f"{first.name.removesuffix(suffix)}-{time.time_ns():020d}"
    )


def _read_seal(path: Path) -> str:
    """Return the CRC-32 of the last 64 KiB, where Parquet keeps a footer without a checksum."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _SEALED_BYTES))
        return f"{zlib.crc32(file.read()):08x}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def _temporary(folder: Path, write: Write) -> Generator[Path]:
    temporary = folder / f".{os.getpid()}-{uuid.uuid4().hex}.tmp"
    try:
        with _naming_refusal(folder):
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
def _naming_refusal(path: Path) -> Generator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.is_dir():
            raise  # Not what is written is missing, but a part that it is written from.
        refusal = StorageError(
            f"{path}: the disk refused a write ({error.strerror or _one_line(error)}); {_free_bytes(path)} bytes are "
            "free there. Everything written before is whole. Make room or fix the cause, then run the same command "
            "again: it does only what is missing."
        )
        refusal.errno = error.errno
        raise refusal from error


def _free_bytes(path: Path) -> str:
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
