"""The checksum of a JSON file of a run: that of its content, so the file may be formatted anew.

It is the field `checksum` of the file; files of earlier versions have none. This module does not know the other fields.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIELD = "checksum"


def add_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum. Raises TypeError or ValueError if it is not JSON."""
    # Read back, because JSON changes some values: a tuple becomes a list, and a number that is a key becomes text.
    return {**content, FIELD: _compute(json.loads(json.dumps(content)))}


def matches_checksum(content: Mapping[str, Any]) -> bool:
    """Return whether the content of a file matches its checksum, or has none."""
    return FIELD not in content or content[FIELD] == _compute(content)


def has_checksum(path: Path) -> bool:
    """Return whether a sound file has a checksum."""
    return FIELD in json.loads(path.read_bytes())


def _compute(content: Mapping[str, Any]) -> str:
    """Return the CRC-32 of all fields but the checksum; their order does not matter."""
    text = json.dumps({name: value for name, value in content.items() if name != FIELD}, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"
