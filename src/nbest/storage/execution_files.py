"""Stores what programs did when they ran, in a hidden folder of a run, so that the same job runs once.

Nothing of a run rests on these files: they may be deleted, and a damaged or foreign one is ignored. Each file is a part
that exists whole or not at all, so any number of processes may write at once and be killed. A file has a checksum, and
so has each of its entries: one flipped bit never changes what a program did.

This module does not know programs, nor what an entry says.
"""

import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from nbest.errors import DamagedRunError, StorageError
from nbest.storage.parts import check_seal, list_parts, remove_parts, write_part

FOLDER = ".executions"
SUFFIX = ".executions"
KEY_BYTES = 20
LARGEST_ENTRY_BYTES = 1 << 20
"""A longer entry, compressed, is not stored: its job runs again."""

_MAGIC = b"nbest executions 1\n"
_MOST_FILES = 8
_LENGTH_BYTES = 4
_CHECKSUM_BYTES = 4


class ExecutionFiles:
    """The files of one run: texts by key, those that were stored and those that were added. `run` None: in memory.

    Entries are compressed in memory too.
    """

    def __init__(self, run: Path | None):
        self._entries: dict[bytes, bytes] = {}
        self._added: dict[bytes, bytes] = {}
        self._folder = None if run is None else run / FOLDER
        self._paths: list[Path] = []
        self._damaged: list[Path] = []
        for path in _list_files(self._folder):
            entries = _read(path)
            if entries is None:
                self._damaged.append(path)
            else:
                self._paths.append(path)
                self._entries.update(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: bytes) -> str | None:
        """Return the text under a key of `KEY_BYTES` bytes; None if there is none, or if it is damaged."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            return zlib.decompress(entry).decode("utf-8", "surrogatepass")
        except (zlib.error, UnicodeDecodeError):
            del self._entries[key]
            return None

    def add(self, key: bytes, text: str) -> None:
        """Add a text, which `save` writes."""
        entry = zlib.compress(text.encode("utf-8", "surrogatepass"), 1)
        if len(entry) <= LARGEST_ENTRY_BYTES:
            self._entries[key] = self._added[key] = entry

    def save(self) -> None:
        """Write what was added since the last call. Where the folder cannot be written, nothing is stored."""
        if not self._added or self._folder is None:
            return
        merges = len(self._paths) >= _MOST_FILES
        content = _encode(self._entries if merges else self._added)

        def write(file: BinaryIO) -> None:
            file.write(content)

        with suppress(StorageError, OSError):
            path = write_part(self._folder, SUFFIX, write)
            self._added = {}
            obsolete = self._damaged + (self._paths if merges else [])
            self._paths, self._damaged = [path] if merges else [*self._paths, path], []
            remove_parts(obsolete)


def _list_files(folder: Path | None) -> list[Path]:
    """Return the files in the folder; none where it does not exist or cannot be read."""
    try:
        return [] if folder is None else list_parts(folder, SUFFIX)
    except OSError:
        return []


def _encode(entries: Mapping[bytes, bytes]) -> bytes:
    body = b"".join(
        key + len(entry).to_bytes(_LENGTH_BYTES, "little") + entry for key, entry in sorted(entries.items())
    )
    return _MAGIC + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def _read(path: Path) -> dict[bytes, bytes] | None:
    """Return the entries of a file; None if it is damaged or of another format."""
    try:
        check_seal(path)
        data = path.read_bytes()
    except (OSError, DamagedRunError):
        return None
    start = len(_MAGIC) + _CHECKSUM_BYTES
    body, checksum = data[start:], data[len(_MAGIC) : start]
    if not data.startswith(_MAGIC) or zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
        return None
    entries: dict[bytes, bytes] = {}
    position = 0
    while position < len(body):
        key = body[position : position + KEY_BYTES]
        position += KEY_BYTES + _LENGTH_BYTES
        length = int.from_bytes(body[position - _LENGTH_BYTES : position], "little")
        entries[key] = body[position : position + length]
        position += length
    return entries
