"""Records the content hash of each problem set at its first load on this machine, in one small file.

    $XDG_CACHE_HOME/nbest/benchmarks.json        (~/.cache/nbest/benchmarks.json if the variable is not set)
    {"math_500": {"hash": "...", "problems": 500, "revision": "<commit>"}, "math_500 <absolute path of a copy>": {...}}

A set on the hub has one entry for all revisions, so that a change of a benchmark between two evaluations is noticed;
each local copy has its own entry. This module does not know how the hash is computed.
"""

import json
from pathlib import Path
from typing import Any, cast

from nbest.errors import DataError, StorageError
from nbest.plurals import show_count
from nbest.storage.outputs import write_file
from nbest.user_cache import find_cache_folder


def records_file() -> Path:
    """Return the path of the file of hashes."""
    return find_cache_folder() / "benchmarks.json"


def check_record(key: str, content_hash: str, problems: int, revision: str) -> None:
    """Record the hash at the first load of `key`, and compare it at every later load.

    `revision` is recorded beside it (empty for a local copy). Raises DataError if the hash differs from the recorded
    one, or if the file of records is damaged, StorageError if it cannot be written.
    """
    path = records_file()
    records = _read(path)
    record = records.get(key)
    if record is None:
        _write(path, records | {key: {"hash": content_hash, "problems": problems, "revision": revision}})
    elif record["hash"] != content_hash:
        raise DataError(
            f"{key}: the content changed since the first load. Got hash {content_hash} "
            f"({show_count(problems, 'problem')}{_at(revision)}); {record['hash']} was recorded "
            f"({show_count(record['problems'], 'problem')}{_at(record['revision'])}) in {path}. "
            "Results on the two contents cannot be compared. Request the recorded one with "
            f"problems.revision, or delete the entry {key!r} of that file to use the new one."
        )


def _at(revision: str) -> str:
    return f" at {revision}" if revision else ""


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        records = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Delete it; later loads record the hashes again.") from error
    entries: list[Any] = list(cast("dict[str, Any]", records).values()) if isinstance(records, dict) else [None]
    if not all(_is_entry(entry) for entry in entries):
        raise DataError(
            f"{path}: this is not a record of content hashes. Delete it; later loads record the hashes again."
        )
    return cast("dict[str, dict[str, Any]]", records)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and {"hash", "problems", "revision"} <= set(cast("dict[str, Any]", entry))


def _write(path: Path, records: dict[str, dict[str, Any]]) -> None:
    """Write the file. If two processes write at once, one entry may be lost until the next load."""
    try:
        write_file(path, json.dumps(records, indent=2, sort_keys=True) + "\n")
    except StorageError as error:
        raise StorageError(
            f"the content hash cannot be recorded: {error} Set XDG_CACHE_HOME to a folder that can be written."
        ) from error
