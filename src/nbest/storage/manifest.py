"""run.json: the settings that fix the result of a run (`identity`) and a description for readers (`info`).

It is written once and never replaced; a command that opens the run later must have the same identity. It has a
checksum of its content. This module does not know what the settings mean.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from nbest.errors import ConfigError, DamagedRunError
from nbest.plurals import show_count
from nbest.storage.json_checksums import FIELD, add_checksum, matches_checksum
from nbest.storage.newer import refuse_newer
from nbest.storage.parts import write_once

NAME = "run.json"
FORMAT = 1
FIELDS = frozenset({"format", "identity", "info", FIELD})

_ABSENT = object()
_ADDED: Mapping[str, object] = {"sampling.self_certainty": False}
"""Fields that the identity of an older run may lack, and the value that means the same as their absence."""
_LATER = frozenset({"policy.content_hash", "policy.commit", "policy.tokenizer_hash", "policy.chat_template_hash"})
"""Fields that an older run may not have recorded: where one identity does not know them, they are not compared."""
_BY_CONTENT: Mapping[str, Sequence[str]] = {
    "policy.model": ("policy.content_hash", "policy.commit"),
    "policy.revision": ("policy.content_hash", "policy.commit"),
    "problems.source": ("problems.hash",),
}
"""Names and paths of what is known by its content: not compared where both identities record the same content."""


def create_manifest(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{"identity": {...}, "info": {...}}`, or compare it with the manifest that exists; return the stored one.

    The first `info` stays; another one is not a fault. A field that older identities lack has its default if it is
    absent. Raises ConfigError listing every field of the identity that differs (see `list_differences`).
    """
    text = encode_manifest(path, manifest)

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    is_new = write_once(path, write)
    stored = read_manifest(path)
    if not is_new:
        faults = list_differences(stored["identity"], json.loads(text)["identity"])
        if faults:
            rule = f"{path.parent} is a run with other settings. Choose another folder or use the same settings:"
            raise ConfigError([rule, *faults])
    return stored


def encode_manifest(path: Path, manifest: Mapping[str, Any]) -> str:
    """Return the text of run.json. Raises ConfigError for unknown keys, and for what JSON cannot express."""
    unknown = set(manifest) - {"identity", "info"}
    if unknown:
        raise ConfigError(f"manifest: unknown keys {sorted(unknown)}; allowed are identity and info")
    content: dict[str, Any] = {"format": FORMAT, "identity": {}, "info": {}, **manifest}
    try:
        return json.dumps(add_checksum(content), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"manifest of {path.parent}: it is not JSON: {error}") from error


def read_manifest(path: Path) -> dict[str, Any]:
    """Return `identity` and `info`.

    Raises ConfigError if there is no run, DamagedRunError, DataError for the format of a newer version.
    """
    try:
        manifest = cast("object", json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path.parent} is not a run folder: it holds no {path.name}. Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise _damage(path, f"it is damaged ({error})") from error
    fields = cast("dict[str, Any]", manifest) if isinstance(manifest, dict) else {}
    format = fields.get("format")
    if format != FORMAT:
        if isinstance(format, int) and format > FORMAT and matches_checksum(fields):
            raise refuse_newer(
                path, f"format {format} is newer than {FORMAT}, the newest one that is known here", fields
            )
        raise _damage(path, f"format is {format!r}, and must be {FORMAT}")
    if unknown := sorted(fields.keys() - FIELDS):
        raise _damage(path, f"it has the unknown fields {', '.join(unknown)}")
    if not all(isinstance(fields.get(name), dict) for name in ("identity", "info")):
        raise _damage(path, "identity or info is missing")
    if not matches_checksum(fields):
        raise _damage(path, "it was damaged or edited: its content does not match its checksum")
    return {"identity": fields["identity"], "info": fields["info"]}


def _damage(path: Path, fault: str) -> DamagedRunError:
    return DamagedRunError(
        f"{path}: {fault}. Restore a copy of it, or move it away and run the command that created this run again with "
        "the same settings: the parts are kept.",
        fault,
    )


def list_differences(stored: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one message per field in which two identities differ.

    The name or path of a model or of a problem file is not compared where both identities record the same content.
    """
    same = {
        name
        for name, contents in _BY_CONTENT.items()
        if any(_look_up(stored, content) == _look_up(new, content) is not None for content in contents)
    }
    return list(_list_differences("", stored, new, same))


def _look_up(identity: Mapping[str, Any], name: str) -> str | None:
    """Return a field by its dotted name; None if it is absent, or not text."""
    value: object = identity
    for key in name.split("."):
        value = cast("dict[str, object]", value).get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _list_differences(name: str, old: object, new: object, same: Collection[str]) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        stored, fields = cast("dict[str, object]", old), cast("dict[str, object]", new)
        for key in sorted({*stored, *fields}):
            inner = f"{name}.{key}" if name else key
            is_unknown = inner in _LATER and None in (stored.get(key), fields.get(key))
            if inner in same or is_unknown:
                continue
            absent = _ADDED.get(inner, _ABSENT)
            yield from _list_differences(inner, stored.get(key, absent), fields.get(key, absent), same)
        return
    first, second = cast("object", old), new
    if first != second or isinstance(first, bool) != isinstance(second, bool):
        yield f"{name}: the run has {_show(first)}, this command {_show(second)}"


def _show(value: object) -> str:
    text = "nothing" if value is _ABSENT else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({show_count(len(text), 'character')})"
