"""What a problem set held when it was first loaded on this machine: its content hash, in one small file.

    $XDG_CACHE_HOME/nbest/benchmarks.json        (~/.cache/nbest/benchmarks.json where the variable is not set)
    {"math_500": {"hash": "...", "problems": 500, "revision": "<commit>"}, "math_500 <absolute path of a copy>": {...}}

A set on the hub has one entry whatever its revision, so that a benchmark cannot change between two evaluations without
being noticed; each local copy has its own. This module does not know how a hash is made.
"""

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from nbest.errors import DataError, StorageError


def records_file() -> Path:
    """Where hashes are kept; a relative $XDG_CACHE_HOME is ignored, as the XDG base directory specification says."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(stated) if os.path.isabs(stated) else Path.home() / ".cache"
    return cache / "nbest" / "benchmarks.json"


def check_record(key: str, content_hash: str, problems: int, revision: str) -> None:
    """Records the hash at the first load of `key`; raises DataError with both hashes where a later one differs.

    `revision` is told beside it (empty for a local copy). Raises StorageError where the file cannot be written,
    DataError where it is not what this module writes.
    """
    path = records_file()
    records = _read(path)
    held = records.get(key)
    if held is None:
        _write(path, records | {key: {"hash": content_hash, "problems": problems, "revision": revision}})
    elif held["hash"] != content_hash:
        raise DataError(
            f"{key}: its content is another than at the first load. Hash {content_hash} came ({problems} problems"
            f"{_at(revision)}); {held['hash']} was recorded ({held['problems']} problems{_at(held['revision'])}) in "
            f"{path}. Results on the two do not compare. Ask for the first with problems.revision, or, to go on with "
            f"this one, delete the entry {key!r} of that file."
        )


def _at(revision: str) -> str:
    return f" at {revision}" if revision else ""


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        records = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Delete it: the next loads record anew.") from error
    entries: list[Any] = list(cast("dict[str, Any]", records).values()) if isinstance(records, dict) else [None]
    if not all(_is_entry(entry) for entry in entries):
        raise DataError(f"{path}: not a record of content hashes. Delete it: the next loads record anew.")
    return cast("dict[str, dict[str, Any]]", records)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and {"hash", "problems", "revision"} <= set(cast("dict[str, Any]", entry))


def _write(path: Path, records: dict[str, dict[str, Any]]) -> None:
    """Whole or not at all. Of two processes that write at once one entry may be lost, and is recorded next time."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"{path}: the content hash cannot be recorded ({error.strerror}). Set XDG_CACHE_HOME to a folder that can "
            "be written."
        ) from error
