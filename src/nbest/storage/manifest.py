"""run.json: what fixes the result of a run (`identity`) and what is kept for the reader (`info`).

It is written once and never replaced; whoever opens the run later must have the same identity. This module
does not know what the settings mean.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from nbest.errors import ConfigError, DamagedRunError, DataError
from nbest.storage.parts import write_once

NAME = "run.json"
FORMAT = 1

_ABSENT = object()
_ADDED: Mapping[str, object] = {"sampling.self_certainty": False}
"""Fields that the identity of an older run may lack, and the value that means the same as their absence."""


def create_manifest(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{"identity": {...}, "info": {...}}`, or check it against the one that is there; return the stored one.

    A differing `info` is no fault: the first one stays. A field that identities did not have from the start has its
    default where it is absent. Raises ConfigError listing every field of the identity that differs.
    """
    unknown = set(manifest) - {"identity", "info"}
    if unknown:
        raise ConfigError(f"manifest: unknown keys {sorted(unknown)}; allowed are identity and info")
    try:
        text = json.dumps({"format": FORMAT, "identity": {}, "info": {}, **manifest}, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"manifest of {path.parent}: it is not JSON: {error}") from error

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    is_new = write_once(path, write)
    stored = read_manifest(path)
    if not is_new:
        faults = list(_differences("", stored["identity"], json.loads(text)["identity"]))
        if faults:
            rule = f"{path.parent} is a run with other settings. Choose another folder or use the same settings:"
            raise ConfigError([rule, *faults])
    return stored


def read_manifest(path: Path) -> dict[str, Any]:
    """Return `identity` and `info`. Raises ConfigError where there is no run, DamagedRunError, DataError."""
    try:
        manifest = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path.parent} is not a run folder: it holds no {path.name}. Check the path.") from error
    except ValueError as error:
        raise DamagedRunError(
            f"{path}: it is damaged ({error}). Put back a copy of it, or move it away and run the command that made "
            "this run again with the same settings: the parts are kept."
        ) from error
    version = cast("dict[str, Any]", manifest).get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise DataError(
            f"{path}: format {version!r} is unknown to this version of nbest, which reads {FORMAT}. "
            "Install the version that wrote it."
        )
    return {"identity": manifest["identity"], "info": manifest["info"]}


def _differences(name: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        stored, fields = cast("dict[str, object]", old), cast("dict[str, object]", new)
        for key in sorted({*stored, *fields}):
            inner = f"{name}.{key}" if name else key
            absent = _ADDED.get(inner, _ABSENT)
            yield from _differences(inner, stored.get(key, absent), fields.get(key, absent))
        return
    first, second = cast("object", old), new
    if first != second or isinstance(first, bool) != isinstance(second, bool):
        yield f"{name}: the run has {_show(first)}, this command {_show(second)}"


def _show(value: object) -> str:
    text = "nothing" if value is _ABSENT else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
