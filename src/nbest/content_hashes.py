"""The content hash of files: the same files have the same hash under every path.

Reading the weights of a model takes seconds per gigabyte, so a hash is remembered in the user's cache
(`content_hashes/`), together with the size, the times and the inode of every file. If any of these changes, the hash is
computed again. A cache that is damaged or that cannot be written only costs time. This module does not know models.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from nbest.user_cache import find_cache_folder

SETTLED_SECONDS = 2.0
"""Files that changed less than this long ago are not remembered: a later change may leave the same time."""
REMEMBERED_BYTES = 1 << 20
"""Smaller files are read each time."""


def hash_files(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over files, by name, size and content."""
    files = sorted(paths)
    states = [_describe_file(path) for path in files]
    entry = _find_entry(files) if sum(state[1] for state in states) >= REMEMBERED_BYTES else None
    remembered = _read(entry, states)
    if remembered is not None:
        return remembered
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\x1f{path.stat().st_size}\x1f".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
    newest_ns = max((time_ns for state in states for time_ns in state[2:4]), default=0)
    is_settled = time.time_ns() - newest_ns > SETTLED_SECONDS * 1e9
    if is_settled and states == [_describe_file(path) for path in files]:
        record = {"paths": [str(path.absolute()) for path in files], "files": states, "hash": digest.hexdigest()}
        _write(entry, record)
    return digest.hexdigest()


def _describe_file(path: Path) -> list[Any]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _find_entry(paths: Sequence[Path]) -> Path | None:
    """Return the cache file of these paths; None if this user has no home."""
    text = b"\0".join(os.fsencode(path.resolve()) for path in paths)
    try:
        return find_cache_folder() / "content_hashes" / f"{hashlib.blake2b(text, digest_size=16).hexdigest()}.json"
    except RuntimeError:
        return None


def _read(entry: Path | None, states: list[list[Any]]) -> str | None:
    """Return the remembered hash of these files; None if there is none."""
    if entry is None:
        return None
    try:
        record = cast("dict[str, Any]", json.loads(entry.read_bytes()))
        return str(record["hash"]) if record["files"] == states else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write(entry: Path | None, record: dict[str, Any]) -> None:
    if entry is None:
        return
    temporary = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
        os.replace(temporary, entry)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
