# pyright: standard
"""Remembers which ids the parts of a folder have, so that a later command passes over those without the ids it reads.

The memory is a file in the folder `.lookup` of a run, one per folder of parts and id column. It has a hash of 32 bits
of each id of each part by the name of the part, which never changes its content; two ids of one hash only make a reader
look in vain. It is no part of the results: a damaged file is ignored, and the folder may be deleted.

This module does not read parts.
"""

import json
import os
import uuid
import zlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nbest.storage.id_hashes import hash_texts

FOLDER = ".lookup"
LEAST_PARTS = 64
"""Fewer new parts than this are not worth a file: reading their ids takes no time."""
_MAGIC = b"NBLOOKUP2"
_CHECKSUM_BYTES = 4


class PartIndex:
    """The ids of the parts in one folder of a run, as far as they were read before. `key` names the folder."""

    def __init__(self, run: Path, key: str, column: str):
        # The names of scorers may have any letters that file names have.
        name = f"{zlib.crc32(key.encode()):08x}-{column}.index"
        self._path = run / FOLDER / name
        self._key = key
        self._hashes: dict[str, NDArray[np.uint32]] = _read(self._path, key)
        self._new: dict[str, NDArray[np.uint32]] = {}

    def leave_out(self, paths: Sequence[Path], values: Collection[str]) -> list[Path]:
        """Return the parts that may have one of these ids, in the same order: all that are unknown are among them."""
        known = [path.name for path in paths if path.name in self._hashes]
        if not known:
            return list(paths)
        ends = np.cumsum([len(self._hashes[name]) for name in known])
        is_match = np.isin(np.concatenate([self._hashes[name] for name in known]), hash_texts(values))
        numbers = np.unique(np.searchsorted(ends, np.flatnonzero(is_match), side="right"))
        absent = set(known) - {known[number] for number in numbers}
        return [path for path in paths if path.name not in absent]

    def list_unknown(self, paths: Sequence[Path]) -> list[Path]:
        """Return the parts whose ids are not remembered; none where they are too few to be worth a file."""
        unknown = [path for path in paths if path.name not in self._hashes]
        return unknown if len(unknown) >= LEAST_PARTS else []

    def add(self, path: Path, hashes: NDArray[np.uint32]) -> None:
        """Remember the hashes of all ids of a part."""
        if path.name not in self._hashes:
            self._new[path.name] = hashes

    def save(self, paths: Sequence[Path]) -> None:
        """Write what is known of the parts that exist, if enough of it is new; a folder that refuses it is left."""
        if len(self._new) < LEAST_PARTS:
            return
        names = {path.name for path in paths}
        hashes = {name: values for name, values in (self._hashes | self._new).items() if name in names}
        head = json.dumps({"folder": self._key, "parts": {name: len(values) for name, values in hashes.items()}})
        numbers = np.concatenate([*hashes.values(), np.empty(0, np.uint32)]).astype("<u4").tobytes()
        body = len(head.encode()).to_bytes(8, "little") + head.encode() + numbers
        temporary = self._path.with_name(f".{os.getpid()}-{uuid.uuid4().hex}.tmp")
        with suppress(OSError):
            try:
                temporary.parent.mkdir(exist_ok=True)
                temporary.write_bytes(_MAGIC + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _read(path: Path, key: str) -> dict[str, NDArray[np.uint32]]:
    """Return what is remembered of a folder; nothing if the file is absent, damaged or of another folder."""
    try:
        data = path.read_bytes()
        start = len(_MAGIC) + _CHECKSUM_BYTES
        body = memoryview(data)[start:]
        if not data.startswith(_MAGIC) or zlib.crc32(body) != int.from_bytes(data[len(_MAGIC) : start], "little"):
            return {}
        size = int.from_bytes(body[:8], "little")
        head = json.loads(bytes(body[8 : 8 + size]))
        if head["folder"] != key:
            return {}
        numbers = np.frombuffer(body[8 + size :], dtype="<u4")
        ends = np.cumsum(list(head["parts"].values()))
        return dict(zip(head["parts"], np.split(numbers, ends[:-1]), strict=True)) if len(ends) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
