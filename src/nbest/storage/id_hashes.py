# pyright: standard
"""Hashes of 32 bits of ids: those of a whole column at once, without making a Python text of each.

The hash of a text is the sum of its bytes, each times a power of a fixed odd number by its position, mixed. Equal texts
have equal hashes on every machine; of different texts one pair in 2^32 has, too.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


def hash_column(column: pa.ChunkedArray) -> NDArray[np.uint32]:
    """Return the hash of every text of a column of type string without nulls, in order."""
    chunks = [_hash_array(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, np.uint32)


def hash_texts(texts: Collection[str]) -> NDArray[np.uint32]:
    """Return the hashes of texts, in order."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)])
    return _hash_spans(np.frombuffer(b"".join(encoded), np.uint8), offsets)


def _hash_array(array: pa.Array) -> NDArray[np.uint32]:
    _, offset_buffer, data_buffer = array.buffers()
    if not len(array):
        return np.empty(0, np.uint32)
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return _hash_spans(data, offsets - offsets[0])


def _hash_spans(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the hash of each span between two neighbours of `offsets`."""
    lengths = np.diff(offsets)
    if not len(lengths):
        return np.empty(0, np.uint32)
    positions = np.arange(len(data)) - np.repeat(offsets[:-1], lengths)
    powers = np.multiply.accumulate(np.full(int(lengths.max()) + 1, _BASE))
    # Unsigned numbers wrap, so the difference of two running sums is the sum between them.
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[positions], out=sums[1:])
    totals = sums[offsets[1:]] - sums[offsets[:-1]]
    return (((totals ^ (totals >> _HALF)) * _MIX) >> _HALF).astype(np.uint32)
