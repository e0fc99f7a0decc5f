"""Make characters visible that a terminal, a browser or an editor would obey or hide instead of showing them.

Text from models, files and paths may hold escape sequences, carriage returns, and marks that reverse the direction of
what follows. `show_text` writes these as escapes, such as `\\x1b` and `\\u202e`. Everything else stays as it is: the
letters of any script, emoji, and the joiners that both need. This module does not know where the text is shown.
"""

import json
import re
from typing import Any

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for the tab and the line feed
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # directions, and no width
    "\U000e0000-\U000e007f"  # tags
    "\ud800-\udfff]"  # halves of pairs, which stand for the bytes of a path that are no UTF-8
)
_LINE = re.compile("[\t\n\r]")
_NAMES = {"\r": "\\r", "\n": "\\n", "\t": "\\t"}


def show_text(text: str) -> str:
    """Return text of one or more lines with its hidden characters as escapes; tabs and line ends stay."""
    return _HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def show_line(text: str) -> str:
    """Return text on one line: tabs and line ends are escapes too."""
    return _LINE.sub(_escape, _HIDDEN.sub(_escape, text))


def write_json_text(value: Any, *, allow_nan: bool = True) -> str:
    """Return a value as indented JSON, with its hidden characters as the escapes of JSON: a reader gets them back.

    Without `allow_nan` it raises ValueError for NaN and infinities, which strict JSON cannot express.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=allow_nan)
    return _HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _escape(match: re.Match[str]) -> str:
    letter = match[0]
    code = ord(letter)
    if letter in _NAMES:
        return _NAMES[letter]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
