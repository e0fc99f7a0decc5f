"""origin.json: where the scores or selections under one name come from.

It stands beside their parts and is written once, before the first of them. `identity` determines the results, and what
is added later must have the same; `info` is only recorded. This module does not know what the fields mean.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from nbest.errors import DamagedRunError
from nbest.plurals import show_count
from nbest.storage.json_checksums import add_checksum, matches_checksum
from nbest.storage.parts import write_once

NAME = "origin.json"
FORMAT = 1
_ABSENT = "(the default)"


@dataclass(frozen=True, slots=True)
class Origin:
    """`identity` and `info` are JSON. A value of None in `identity` is unknown, and equal to every other one."""

    identity: Mapping[str, Any]
    info: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The method and its model in a few words, for people."""
        return str(self.info.get("summary", self.identity.get("method", "unknown")))


def read_origin(folder: Path) -> Origin | None:
    """Return the origin of the parts in a folder; None if it was not recorded. Raises DamagedRunError."""
    path = folder / NAME
    try:
        values = json.loads(path.read_bytes())
        if not matches_checksum(values):
            raise ValueError("its content does not match its checksum")
        return Origin(dict(values["identity"]), dict(values["info"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedRunError(
            f"{path}: it is damaged ({error}). Move it out of the run folder: its scores or selections stay, and where "
            "they come from is unknown then."
        ) from error


def write_origin(folder: Path, origin: Origin) -> bool:
    """Write the origin of the parts in a folder; return False if it has one already. Raises StorageError."""
    values = {"format": FORMAT, "identity": dict(origin.identity), "info": dict(origin.info)}
    values = add_checksum(json.loads(json.dumps(values, default=str)))
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    return write_once(folder / NAME, write)


def remove_origin(folder: Path) -> None:
    """Remove the origin in a folder that has no parts."""
    (folder / NAME).unlink(missing_ok=True)


def list_differences(stored: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field of the identities that differs, with both values."""
    # As JSON, a tuple is a list.
    yield from _compare("", stored, json.loads(json.dumps(dict(new), default=str)))


def _compare(name: str, first: object, second: object) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        stored, fields = cast("dict[str, object]", first), cast("dict[str, object]", second)
        for key in sorted({*stored, *fields}):
            inner = f"{name}.{key}" if name else key
            yield from _compare(inner, stored.get(key, _ABSENT), fields.get(key, _ABSENT))
        return
    old, new = cast("Any", first), cast("Any", second)
    if old is not None and new is not None and old != new:
        yield f"{name}: the run has {_show(old)}, this command {_show(new)}"


def _show(value: object) -> str:
    text = _ABSENT if value == _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:100]}... ({show_count(len(text), 'character')})"
