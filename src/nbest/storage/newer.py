"""Recognises what a newer version of the package wrote, and says so."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from nbest.errors import DataError
from nbest.version import VERSION

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


class NewerVersionWarning(UserWarning):
    """A run was written by a newer version of the package than the one that reads it."""


def describe_newer(version: str) -> str:
    """Return a sentence if `version` is newer than this package, else ""; also if either version is unknown."""
    theirs, ours = _read_release(version), _read_release(VERSION)
    if theirs is None or ours is None or theirs <= ours:
        return ""
    return f"it was written by nbest {version}, which is newer than this version ({VERSION})"


def describe_newer_run(manifest: Mapping[str, Any]) -> str:
    """Return a sentence if a newer version of this package created the run of a manifest, else ""."""
    info = manifest.get("info")
    return describe_newer(str(cast("dict[str, Any]", info).get("nbest", ""))) if isinstance(info, dict) else ""


def refuse_newer(path: Path, fault: str, manifest: Mapping[str, Any]) -> DataError:
    """Return the error that names a file in the form of a newer version, and says what to do.

    `manifest` may record in `info` which version wrote it.
    """
    writer = describe_newer_run(manifest) or f"this is nbest {VERSION}"
    return DataError(f"{path}: {fault}; {writer}. Install a newer version: pip install -U nbest")


def _read_release(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a version, without trailing zeros; None where it is unknown."""
    match = _NUMBERS.match(version)
    if match is None or version.startswith("0+"):
        return None
    numbers = [int(number) for number in match[0].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
