"""Test files that attack whoever reads them: bombs that inflate, pickles that run code, JSON that breaks parsers.

They are read by `nbest.programs.test_data`, which has to refuse each with DataError, without running or inflating it.
"""

import base64
import pickle
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbest.errors import DataError
from nbest.plurals import show_count
from nbest.programs.test_data import read_test_data

GROUP = "test data"
_ALLOWED_BYTES = 1 << 20
_MOST_BYTES = 16 * _ALLOWED_BYTES
"""What the reading of any of them may take at its peak."""
_OPCODES = "only the opcodes of a single text are allowed, and nothing is unpickled"
_INFLATED = "data is inflated piece by piece, up to a limit"


@dataclass(frozen=True, slots=True)
class HostileData:
    """One test file. `make` returns its text; it gets the path of a file that must not come to exist."""

    name: str
    tries: str
    stopped_by: str
    make: Callable[[str], str]

    def is_held(self, path: str) -> tuple[bool, str]:
        """Read the data; returns whether it was refused, and the reason or what it did."""
        text = self.make(path)
        tracemalloc.start()
        try:
            value = read_test_data(text, _ALLOWED_BYTES)
        except DataError as error:
            peak = tracemalloc.get_traced_memory()[1]
            if peak > _MOST_BYTES:
                return False, f"refused, but it took {show_count(peak, 'byte')} to see"
            return True, f"refused: {error}"
        finally:
            tracemalloc.stop()
        return False, f"read as {type(value).__name__}"


class _Payload:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _pack_pickle(value: Any) -> str:
    return _pack(pickle.dumps(value))


def _double(levels: int) -> bytes:
    """Return a pickle of a list that holds itself twice at each level."""
    return b"\x80\x04]" + b"".join(b"q%c]h%ch%ce" % (n, n, n) for n in range(levels)) + b"."


HOSTILE_DATA: tuple[HostileData, ...] = (
    HostileData(
        "zip-bomb",
        "64 MiB of zeros in 64 KiB",
        _INFLATED,
        lambda _: base64.b64encode(zlib.compress(bytes(64 << 20), 1)).decode(),
    ),
    HostileData(
        "zip-bomb-in-pickle",
        "a pickle of a text that is larger than allowed",
        _INFLATED,
        lambda _: _pack_pickle("x" * (8 << 20)),
    ),
    HostileData(
        "zip-bomb-nested", "a bomb in a bomb", _INFLATED, lambda _: _pack(zlib.compress(zlib.compress(bytes(8 << 20))))
    ),
    HostileData(
        "pickle-call", "writes a file while it is read", _OPCODES, lambda path: _pack_pickle(_Payload(open, path, "w"))
    ),
    HostileData(
        "pickle-eval",
        "runs a text as code while it is read",
        _OPCODES,
        lambda path: _pack_pickle(_Payload(eval, f"open({path!r}, 'w')")),
    ),
    HostileData(
        "pickle-global",
        "imports a module while it is read",
        _OPCODES,
        lambda path: _pack(b"cos\nsystem\n(S'touch " + path.encode() + b"'\ntR."),
    ),
    HostileData(
        "pickle-in-list",
        "a call inside a list of texts",
        _OPCODES,
        lambda path: _pack_pickle(["[]", _Payload(open, path, "w")]),
    ),
    HostileData("pickle-persistent", "asks its reader for an object by name", _OPCODES, lambda _: _pack(b"Pname\n.")),
    HostileData(
        "pickle-length",
        "a text that claims 2**60 bytes",
        _OPCODES,
        lambda _: _pack(b"\x80\x04\x8d" + b"\0" * 7 + b"\x10x."),
    ),
    HostileData("pickle-doubling", "a list that doubles with every opcode", _OPCODES, lambda _: _pack(_double(60))),
    HostileData("pickle-of-object", "a dict where a text has to be", _OPCODES, lambda _: _pack_pickle({"stdin": "1"})),
    HostileData(
        "pickle-without-end", "a pickle that stops in the middle", _OPCODES, lambda _: _pack(pickle.dumps("[1]")[:-2])
    ),
    HostileData("cut-data", "compressed data that ends early", _INFLATED, lambda _: _pack_pickle("[1, 2, 3]")[:16]),
    HostileData(
        "trailing-data",
        "a second stream behind the first",
        "nothing may follow the data",
        lambda _: base64.b64encode(zlib.compress(pickle.dumps("[]")) + b"more").decode(),
    ),
    HostileData(
        "nested-json", "JSON that is nested 100,000 deep", "the error of the parser is caught", lambda _: "[" * 100_000
    ),
    HostileData(
        "huge-number",
        "a number of 100,000 digits, whose reading takes quadratic time",
        "Python's limit of digits",
        lambda _: "[" + "9" * 100_000 + "]",
    ),
    HostileData("no-data", "bytes that are neither JSON nor base64", "both are checked", lambda _: "\0\xff%PDF"),
)
