"""Checksums of every byte of a Parquet part, stored in its own footer.

Parquet has a checksum per page. It does not cover the headers of pages, the statistics and the rest of the footer, and
not every reader verifies it. A part therefore carries one entry more among the metadata of its footer:

    nbest.checksums = v1:<CRC-32 of the footer>:<bytes per block>:<CRC-32 of each block before the footer, in base64>

The CRC-32 of the footer is computed with zeros in its own place. Blocks have a fixed size, so a reader verifies the
ranges that it is about to read, and no other bytes. A part of an earlier version has no such entry.

This module does not know tables, columns or rows.
"""

import base64
import io
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nbest.plurals import agree, show_count
from nbest.storage.parts import damage

KEY = "nbest.checksums"
VERSION_KEY = "nbest.version"
BLOCK_BYTES = 64 << 10

_NO_CHECKSUM = b"0" * 8
_READ_BLOCKS = 32
_VALUE = re.compile(rb"v1:([0-9a-f]{8}):(\d{1,9}):([A-Za-z0-9+/=]*)")
# A key as Thrift writes it: the type of the field, the length of the text, the text.
_NAMES = tuple(b"\x18" + bytes([len(name)]) + name.encode() + b"\x18" for name in (KEY, VERSION_KEY))


class ChecksumWriter(io.RawIOBase):
    """A file to write to that passes bytes on to another one and computes the checksums of its blocks.

    `begin_footer` ends the blocks and returns the entry for the footer. What is written after it is the footer, which
    `finish` writes with its own checksum.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = 0
        self._checksums: list[int] = []
        self._checksum = 0
        self._footer: bytearray | None = None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        view = memoryview(data).cast("B")
        if self._footer is None:
            self._add(view)
            self._file.write(view)
        else:
            self._footer += view
        self._size += len(view)
        return len(view)

    def _add(self, view: memoryview) -> None:
        position = 0
        while position < len(view):
            used = (self._size + position) % BLOCK_BYTES
            chunk = view[position : position + BLOCK_BYTES - used]
            self._checksum = zlib.crc32(chunk, self._checksum)
            position += len(chunk)
            if used + len(chunk) == BLOCK_BYTES:
                self._checksums.append(self._checksum)
                self._checksum = 0

    def begin_footer(self) -> str:
        """End the blocks and return the value of the entry `KEY`."""
        if self._size % BLOCK_BYTES:
            self._checksums.append(self._checksum)
        self._footer = bytearray()
        blocks = base64.b64encode(np.array(self._checksums, dtype="<u4").tobytes()).decode()
        return f"v1:{_NO_CHECKSUM.decode()}:{BLOCK_BYTES}:{blocks}"

    def finish(self) -> None:
        """Write the footer with its checksum in place of the zeros."""
        assert self._footer is not None
        match = _find_value(self._footer)
        assert match is not None
        length = len(self._footer) - 8  # The length of the footer and the magic bytes come last.
        self._footer[match.start(1) : match.end(1)] = f"{zlib.crc32(self._footer[:length]):08x}".encode()
        self._file.write(self._footer)


@dataclass(frozen=True, slots=True)
class Checksums:
    """The checksums of the blocks of one file, which end where the footer begins."""

    path: Path
    end: int
    block_bytes: int
    blocks: tuple[int, ...]

    def verify(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Read the blocks that hold these ranges of bytes [start, end). Raises DamagedRunError; OSError."""
        numbers = {
            number
            for start, end in ranges
            for number in range(start // self.block_bytes, -(-end // self.block_bytes))
            if start < end
        }
        with open(self.path, "rb", buffering=0) as file:
            run: list[int] = []
            for number in sorted(numbers):
                if run and (number != run[-1] + 1 or len(run) == _READ_BLOCKS):
                    self._verify_run(file, run)
                    run = []
                run.append(number)
            if run:
                self._verify_run(file, run)

    def verify_all(self) -> None:
        """Read all bytes before the footer. Raises DamagedRunError; OSError."""
        self.verify([(0, self.end)])

    def _verify_run(self, file: io.FileIO, numbers: list[int]) -> None:
        start = numbers[0] * self.block_bytes
        size = min((numbers[-1] + 1) * self.block_bytes, self.end) - start
        data = memoryview(os.pread(file.fileno(), size, start)) if size > 0 else memoryview(b"")
        for position, number in enumerate(numbers):
            block = data[position * self.block_bytes : (position + 1) * self.block_bytes]
            if number >= len(self.blocks) or zlib.crc32(block) != self.blocks[number]:
                first = number * self.block_bytes
                last = min(first + self.block_bytes, self.end)
                raise damage(self.path, f"it is damaged (bytes {first:,} to {last:,} do not match their checksum)")


def read_checksums(path: Path, footer: bytes, end: int) -> Checksums | None:
    """Return the checksums of a file whose footer begins at `end`; None for a part of an earlier version.

    Raises DamagedRunError if the footer does not match its checksum.
    """
    match = _find_value(footer)
    if match is None:
        if any(name in footer for name in _NAMES):
            raise damage(path, "it is damaged (the checksums in its footer cannot be read)")
        return None
    unsigned = footer[: match.start(1)] + _NO_CHECKSUM + footer[match.end(1) :]
    if zlib.crc32(unsigned) != int(match[1], 16):
        raise damage(path, "it is damaged (its footer does not match its checksum)")
    block_bytes = int(match[2])
    blocks = tuple(np.frombuffer(base64.b64decode(match[3]), dtype="<u4").tolist())
    if block_bytes < 1 or len(blocks) != -(-end // block_bytes):
        checksums = f"{show_count(len(blocks), 'checksum')} {agree(len(blocks), 'does')}"
        raise damage(path, f"it is damaged ({checksums} not cover its {show_count(end, 'byte')})")
    return Checksums(path, end, block_bytes, blocks)


def _find_value(footer: bytes | bytearray) -> "re.Match[bytes] | None":
    """Return where the last entry `KEY` of a footer has its value; texts of users may occur before it."""
    position = footer.rfind(_NAMES[0])
    if position < 0:
        return None
    start = position + len(_NAMES[0])
    # Between the key and the value is the length of the value, in up to five bytes.
    found = footer.find(b"v1:", start, start + 8)
    return None if found < 0 else _VALUE.match(footer, found)
