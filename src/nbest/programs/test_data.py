"""Read test data that may be hostile: plain JSON, or JSON that is pickled, compressed and written in base64.

LiveCodeBench packs its hidden tests as `base64(zlib(pickle(text)))`. Unpickling runs whatever the data says, so nothing
is unpickled here: the opcodes are read one by one, those that build a single text are allowed, and every other one (a
global, a call, an object) is refused. Data is inflated piece by piece up to a limit, so that a small text cannot fill
the memory.

This module does not know what a test means.
"""

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

from nbest.errors import DataError
from nbest.plurals import show_count

MAX_BYTES = 256 << 20
"""The largest size of inflated test data; the largest of LiveCodeBench has about 100 MB."""

_CHUNK_BYTES = 1 << 20
_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_FRAMING = frozenset({"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"})


def read_test_data(text: str, max_bytes: int = MAX_BYTES) -> Any:
    """Return the JSON value of a text, which is JSON itself or packed as LiveCodeBench packs it.

    Raises DataError, whose message says what is wrong, for anything else, and for data of more than `max_bytes`.
    """
    if text.lstrip()[:1] in ("[", "{"):
        if len(text) > max_bytes:
            raise DataError(f"{show_count(len(text), 'character')}; allowed: at most {max_bytes:,}")
        return _read_json(text)
    return _read_json(_read_pickled_text(_inflate(_decode_base64(text), max_bytes)))


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise DataError("JSON that is nested too deep") from None
    except ValueError as error:
        raise DataError(f"no JSON ({error})") from None


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"neither JSON nor base64 ({error})") from None


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """Return the inflated data. Raises DataError as soon as it is larger than allowed."""
    stream = zlib.decompressobj()
    chunks: list[bytes] = []
    size = 0
    try:
        while not stream.eof:
            chunk = stream.decompress(data, _CHUNK_BYTES)
            data = stream.unconsumed_tail
            size += len(chunk)
            if size > max_bytes:
                raise DataError(f"data that inflates to more than {show_count(max_bytes, 'byte')}")
            if not (chunk or data or stream.eof):
                raise DataError("compressed data that ends early")
            chunks.append(chunk)
    except zlib.error as error:
        raise DataError(f"base64 of data that zlib cannot inflate ({error})") from None
    if stream.unused_data:
        raise DataError(f"{show_count(len(stream.unused_data), 'byte')} behind the compressed data")
    return b"".join(chunks)


def _read_pickled_text(data: bytes) -> str:
    """Return the text that a pickle holds. Raises DataError if it holds, or does, anything else."""
    texts: list[str] = []
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name in _TEXTS and not texts:
                texts.append(str(argument))
            elif opcode.name not in _FRAMING:
                raise DataError(
                    f"a pickle with the opcode {opcode.name} at byte {position}; allowed: a pickle of one text"
                )
            rest_bytes = len(data) - 1 - (position or 0)
            if opcode.name == "STOP" and rest_bytes:
                raise DataError(f"{show_count(rest_bytes, 'byte')} behind the end of a pickle")
    except (ValueError, UnicodeError, RecursionError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"inflated data that is no pickle ({error})") from None
    if not texts:
        raise DataError("a pickle without a text")
    return texts[0]
