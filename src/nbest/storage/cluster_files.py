# pyright: standard
"""Stores which answers of a pool are equal, in a hidden folder of a run, so that they are compared once.

Nothing of a run rests on these files: they may be deleted, and a damaged or foreign one is ignored. Each file is a part
that exists whole or not at all, so any number of processes may write at once and be killed. `version` names the rules
by which answers were compared; files of other rules are never read, and removed.

This module does not know answers, nor how they are compared.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from nbest.errors import DamagedRunError, StorageError
from nbest.storage.parts import check_seal, list_parts, remove_parts, write_part

FOLDER = ".equivalence"
SUFFIX = ".clusters"
_MAGIC = b"nbest clusters 1\n"
_MOST_FILES = 8
_CHECKSUM_BYTES = 4

Partition = tuple[int, ...]
"""The cluster of each answer of a pool, in an order that the caller knows; -1 where it is in none."""


class ClusterFiles:
    """The files of one run. `entries` holds the partitions by key, those that were stored and those that were added."""

    def __init__(self, run: Path, version: str):
        self.entries: dict[str, Partition] = {}
        self._folder = run / FOLDER
        self._version = version
        self._added: dict[str, Partition] = {}
        self._paths: list[Path] = []
        self._foreign: list[Path] = []
        for path in _list_files(self._folder):
            entries = _read(path, version)
            if entries is None:
                self._foreign.append(path)
            else:
                self._paths.append(path)
                self.entries.update(entries)

    def add(self, key: str, partition: Sequence[int]) -> None:
        """Add a partition, which `save` writes."""
        self.entries[key] = self._added[key] = tuple(partition)

    def save(self) -> None:
        """Write what was added since the last call. Where the folder cannot be written, nothing is stored."""
        if not self._added:
            return
        merges = len(self._paths) >= _MOST_FILES
        content = _encode(self.entries if merges else self._added, self._version)

        def write(file: BinaryIO) -> None:
            file.write(content)

        with suppress(StorageError, OSError):
            path = write_part(self._folder, SUFFIX, write)
            self._added = {}
            obsolete = self._foreign + (self._paths if merges else [])
            self._paths, self._foreign = [path] if merges else [*self._paths, path], []
            remove_parts(obsolete)


def _list_files(folder: Path) -> list[Path]:
    """Return the files in the folder; none where it does not exist or cannot be read."""
    try:
        return list_parts(folder, SUFFIX)
    except OSError:
        return []


def _encode(entries: Mapping[str, Partition], version: str) -> bytes:
    body = zlib.compress(json.dumps({"version": version, "entries": entries}).encode(), 1)
    return _MAGIC + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def _read(path: Path, version: str) -> dict[str, Partition] | None:
    """Return the entries of a file; None if it is damaged or of other rules."""
    try:
        check_seal(path)
        data = path.read_bytes()
        start = len(_MAGIC) + _CHECKSUM_BYTES
        body, checksum = data[start:], data[len(_MAGIC) : start]
        if not data.startswith(_MAGIC) or zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
            return None
        content: Any = json.loads(zlib.decompress(body))
        if content["version"] != version:
            return None
        return {str(key): tuple(map(int, values)) for key, values in content["entries"].items()}
    except (OSError, DamagedRunError, ValueError, zlib.error, KeyError, TypeError, AttributeError, RecursionError):
        return None
