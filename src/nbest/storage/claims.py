# pyright: standard
"""Claims on pieces of work in a run, so that several processes on one folder do not do the same work.

A claim is a lock on one byte of the file `.claims` in the run folder; the hash of a key says which byte. The system
releases the locks of a process that ends, also of one that is killed. The last process that uses the file removes it.
On a file system without locks everything can be claimed by everyone: a warning says so, and work may be done twice.

This module does not know what the work is.
"""

import errno
import fcntl
import hashlib
import os
import threading
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

NAME = ".claims"
_BUSY = {errno.EACCES, errno.EAGAIN}
_POLL_SECONDS = 0.05


class Claims:
    """The claims of one piece of code on a run; a context manager that releases them at its end.

    Several may be open in one process: a claim of one is busy for the others.
    """

    def __init__(self, run: Path):
        self._file = _open_file(run / NAME)
        self._exclusive: set[int] = set()
        self._shared: set[int] = set()

    def take(self, key: str) -> bool:
        """Claim a key for this object alone; return False if another one has claimed it or shares it.

        It is True again for a key that this object has claimed already. One that it shares is no longer shared.
        """
        position = _hash(key)
        if position not in self._exclusive:
            if not self._file.lock(position, is_exclusive=True, is_shared=position in self._shared):
                return False
            self._shared.discard(position)
            self._exclusive.add(position)
        return True

    def share(self, key: str) -> None:
        """Share a key with others that share it; wait while it is claimed. An own claim becomes a shared one."""
        position = _hash(key)
        if position in self._shared:
            return
        if position in self._exclusive:
            self._exclusive.discard(position)
            self._file.release(position, is_exclusive=True)
        while not self._file.lock(position, is_exclusive=False, is_shared=False):
            time.sleep(_POLL_SECONDS)
        self._shared.add(position)

    def release(self, keys: Iterable[str]) -> None:
        """Release these keys, as far as this object has claimed them."""
        for position in {_hash(key) for key in keys} & self._exclusive:
            self._exclusive.discard(position)
            self._file.release(position, is_exclusive=True)

    def close(self) -> None:
        """Release everything."""
        for positions, is_exclusive in ((self._exclusive, True), (self._shared, False)):
            while positions:
                self._file.release(positions.pop(), is_exclusive)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _File:
    """The file of claims, as this process uses it.

    The locks of the system belong to the process and end when it closes the file anywhere, so all `Claims` of a process
    share one `_File`, which knows which of them are taken.
    """

    def __init__(self, key: tuple[int, Path]):
        self._key = key
        self._path = key[1]
        self._handle: int | None = None
        self._has_locks = True
        self._exclusive: set[int] = set()
        self._shared: dict[int, int] = {}
        self.users = 0

    def lock(self, position: int, is_exclusive: bool, is_shared: bool) -> bool:
        """Lock a byte; return False if it is locked elsewhere. `is_shared`: the caller shares it until now."""
        with _MUTEX:
            others = self._shared.get(position, 0) - is_shared
            if position in self._exclusive or (is_exclusive and others):
                return False
            if (is_exclusive or not others) and not self._lock_byte(position, is_exclusive):
                return False
            if is_exclusive:
                self._shared.pop(position, None)
                self._exclusive.add(position)
            else:
                self._shared[position] = others + 1
            return True

    def release(self, position: int, is_exclusive: bool) -> None:
        with _MUTEX:
            if is_exclusive:
                self._exclusive.discard(position)
            else:
                self._shared[position] -= 1
                if self._shared[position]:
                    return
                del self._shared[position]
            if self._handle is not None:
                with suppress(OSError):
                    fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, position)

    def close(self) -> None:
        """Close the file for one user; the last user of the last process removes it."""
        with _MUTEX:
            self.users -= 1
            if self.users:
                return
            _FILES.pop(self._key, None)
            if self._handle is None:
                return
            with suppress(OSError):
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Nobody else has a claim. Who opened the file before sees that it has no name, and opens it again.
                self._path.unlink()
            os.close(self._handle)
            self._handle = None

    def _lock_byte(self, position: int, is_exclusive: bool) -> bool:
        command = (fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        while self._has_locks:
            if self._handle is None:
                try:
                    self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                except OSError:
                    # The folder cannot be written: the first result says so, with what to do.
                    return True
            try:
                fcntl.lockf(self._handle, command, 1, position)
            except OSError as error:
                if error.errno in _BUSY:
                    return False
                self._has_locks = False
                warnings.warn(
                    f"{self._path.parent}: its file system has no locks ({error.strerror}), so a second process on "
                    "this run does the same work again. Give each process a part of its own with --shard.",
                    stacklevel=2,
                )
                break
            if os.fstat(self._handle).st_nlink:
                return True
            os.close(self._handle)
            self._handle = None
        return True


_MUTEX = threading.Lock()
_FILES: dict[tuple[int, Path], _File] = {}


def _open_file(path: Path) -> _File:
    key = (os.getpid(), path)
    with _MUTEX:
        file = _FILES.setdefault(key, _File(key))
        file.users += 1
        return file


def _hash(key: str) -> int:
    """Return the position of a key: 62 bits, which every file system with large files can lock."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 2
