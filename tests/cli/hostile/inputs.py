"""Odd inputs: names, sizes, numbers, encodings of files, and values of JSON and TOML. Each has a label for test ids."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

PLACES = int(os.environ.get("NBEST_TEST_HOSTILE", "1"))
"""How many odd inputs each option, argument, file and field gets; a large number means all of them."""

ValueT = TypeVar("ValueT")


class Turns:
    """Hands out a few of many odd inputs at a time, and goes on where it stopped, so that all have their turn."""

    def __init__(self) -> None:
        self._position = 0

    def take(self, values: Iterable[ValueT], most: int = PLACES) -> Sequence[ValueT]:
        """Return the next `most` of these values, each once; all of them if there are no more."""
        entries = list(values)
        count = min(most, len(entries))
        chosen = [entries[number % len(entries)] for number in range(self._position, self._position + count)]
        self._position += count
        return chosen


LONG = "x" * 300

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "empty": "",
        "space": " ",
        "dot": ".",
        "two dots": "..",
        "a folder of the system": "/proc/",
        "path upwards": "../../../up",
        "absolute": "/proc/nbest/absent",
        "a device": "/dev/null",
        "long": LONG,
        "very long": "long/" * 2_000,
        "spaces": " a  b ",
        "unicode": "\u5b57\u0645\u0631\U0001f389",
        "combining": "e\u0301" * 40,
        "right to left": "\u202eabc",
        "surrogate": "name\udcff",
        "escape": "a\x1b[2Jb\x1b]0;t\x07",
        "line ends": "a\nb\r\nc",
        "markup": "[/red][bold]x[/]",
        "emoji code": ":smile:",
        "format": "{0} %s %(x)s {x!r}",
        "dash": "-",
        "leading dash": "-x",
        "an option": "--json",
        "reserved": "CON",
        "hidden": ".hidden",
        "manifest": "run.json",
        "home": "~",
        "star": "*?[a-",
        "quote": "'\"`$(x)",
        "comma": "a,b,,",
        "equals": "=",
        "parentheses": "majority(",
        "options": "majority(x=1)",
        "scored": "score:",
        "nested": "vote:vote:vote:x",
        "module": "json:loads",
        "absent module": "absent_module:Class",
        "bundled": "bundled:",
        "bundled upwards": "bundled:../../x",
        "hub id": "no-such/model",
        "address": "file:///etc/passwd",
        "number": "5",
        "NaN": "nan",
    }
)
"""For every option and argument that takes text or a path."""

SIZES: Mapping[str, str] = MappingProxyType(
    {
        "zero": "0",
        "minus one": "-1",
        "billion": "1000000000",
        "beyond 32 bits": "4294967296",
        "beyond 64 bits": "18446744073709551617",
        "a thousand digits": "9" * 1_000,
        "five thousand digits": "9" * 5_000,
        "fraction": "1.5",
        "exponent": "1e3",
        "hexadecimal": "0x10",
        "empty": "",
        "word": "many",
        "unicode digits": "\u0663",
        "superscript": "\u00b2",
        "underscore": "0_1",
        "NaN": "nan",
    }
)
"""For every option that takes a whole number, or several."""

NUMBERS: Mapping[str, str] = MappingProxyType(
    SIZES
    | {
        "infinity": "inf",
        "minus infinity": "-inf",
        "minus zero": "-0.0",
        "tiny": "1e-320",
        "huge": "1e308",
        "too huge": "1e999",
    }
)
"""For every option that takes a number."""

ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "empty": lambda _: b"",
        "white space": lambda _: b" \r\n\t\n",
        "a NUL byte": lambda _: b"\0",
        "NUL bytes inside": lambda data: data[:20] + b"\0\0" + data[20:],
        "random bytes": lambda _: bytes(range(256)) * 8,
        "latin-1": lambda data: data.replace(b"a", b"\xe9"),
        "invalid UTF-8 at the end": lambda data: data + b"\xff\xfe",
        "UTF-16": lambda data: data.decode().encode("utf-16"),
        "UTF-16 without a mark": lambda data: data.decode().encode("utf-16-be"),
        "UTF-32": lambda data: data.decode().encode("utf-32"),
        "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
        "two byte order marks": lambda data: b"\xef\xbb\xbf" * 2 + data,
        "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
        "CR": lambda data: data.replace(b"\n", b"\r"),
        "cut": lambda data: data[: len(data) * 2 // 3],
        "twice": lambda data: data * 2,
        "one long line": lambda data: data.replace(b"\n", b" ") * 200,
        "gzip magic": lambda data: b"\x1f\x8b" + data,
        "Parquet magic": lambda data: b"PAR1" + data + b"PAR1",
        "ZIP magic": lambda data: b"PK\x03\x04" + data,
        "deep lists": lambda _: b"[" * 100_000,
        "deep objects": lambda _: b'{"a":' * 100_000,
        "a list": lambda _: b"[1, 2, 3]\n",
        "a number": lambda _: b"5\n",
        "null": lambda _: b"null\n",
        "NaN": lambda _: b"NaN\n",
        "an empty object": lambda _: b"{}\n",
        "a quote": lambda data: data + b'"',
    }
)
"""From the content of a valid file to that of an odd one."""

VALUES: Mapping[str, str] = MappingProxyType(
    {
        "null": "null",
        "true": "true",
        "zero": "0",
        "minus one": "-1",
        "fraction": "0.5",
        "NaN": "NaN",
        "infinity": "-Infinity",
        "overflow": "1e999",
        "beyond 64 bits": "18446744073709551617",
        "four hundred digits": "7" * 400,
        "five thousand digits": "7" * 5_000,
        "empty text": '""',
        "white space": '" \\n\\t"',
        "long text": json.dumps("word " * 20_000),
        "lone surrogate": '"\\ud800"',
        "NUL": '"a\\u0000b"',
        "escape": '"\\u001b[2J\\u009b31m"',
        "markup": '"[/red][bold]"',
        "path upwards": '"../../x"',
        "number as text": '"1e999"',
        "brackets": json.dumps("\\boxed{" * 2_000),
        "tower": json.dumps("\\boxed{9^{9^{9^{9}}}}"),
        "empty list": "[]",
        "list of null": "[null]",
        "list of NaN": "[NaN, 1e999, -1]",
        "empty object": "{}",
        "object": '{"": {"a": [null]}}',
        "deep list": "[" * 400 + "]" * 400,
        "very deep list": "[" * 100_000 + "]" * 100_000,
    }
)
"""JSON texts of a value, for every field of a line. Several are no JSON by the standard, and Python writes them."""
