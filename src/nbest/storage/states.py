"""Hidden states as safetensors parts: step ends only, bf16, read a trajectory at a time by memory map.

A part holds for every trajectory two tensors, `<id>/steps` int32 [S, 2] (half-open token spans) and `<id>/values`
bf16 [S, L, D]. Its header holds the format, the layers, checksums, and whatever the caller tells about them (policy,
norm, step rule). The format is written and parsed here, without torch and without `safetensors.serialize`: that one
leaves temporary files of its own, only its owner can read what it writes, and a full disk is not an OSError.

Shapes: S steps, L layers, D hidden size. This module does not know models, scorers, nor which part counts.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from nbest.errors import ConfigError, DataError
from nbest.former_name import renew
from nbest.records import HiddenStates, Step
from nbest.storage.bfloat16 import from_bfloat16, to_bfloat16
from nbest.storage.parts import damage, reading

SUFFIX = ".safetensors"
FORMAT = "nbest.states/1"
_OWN_KEYS = frozenset({"format", "layers", "checks", "checksum"})
_MAX_HEADER_BYTES = 100_000_000
_FAULTS = (ValueError, KeyError, TypeError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A trajectory's states as stored. `at` is where its steps and its values begin in the file, `checksums` their
    CRC-32, `tokens_checksum` that of the tokens they belong to."""

    trajectory_id: str
    shape: tuple[int, int, int]
    at: tuple[int, int]
    checksums: tuple[int, int]
    tokens_checksum: int | None


@dataclass(frozen=True, slots=True)
class Block:
    """A trajectory's states as bytes to be written: `load(0)` gives those of its steps, `load(1)` its values."""

    trajectory_id: str
    shape: tuple[int, int, int]
    checksums: tuple[int, int]
    tokens_checksum: int | None
    load: Callable[[int], bytes]


class StatesPart:
    """The header of one part; rows are read when asked. Raises DamagedRunError where the file is not whole."""

    def __init__(self, path: Path):
        self.path = path
        with reading(path, _FAULTS):
            size = path.stat().st_size
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
                    raise damage(path, f"it is cut short: it has {size:,} bytes, its header alone needs more")
                header = cast("dict[str, Any]", json.loads(file.read(length)))
            self._read_header(header, 8 + length, size)

    def _read_header(self, header: dict[str, Any], start: int, size: int) -> None:
        meta = cast("dict[str, str]", header.pop("__metadata__"))
        if renew(meta["format"]) != FORMAT:
            raise damage(self.path, f"its format is {meta['format']!r}, not {FORMAT!r}")
        if meta.pop("checksum") != _checksum({"__metadata__": meta, **header}):
            raise damage(self.path, "its header does not match its checksum")
        end = start + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        if end != size:
            raise damage(self.path, f"it is cut short or overwritten: {size:,} bytes where its header says {end:,}")
        self.layers = tuple(int(layer) for layer in json.loads(meta["layers"]))
        self.about = {key: value for key, value in meta.items() if key not in _OWN_KEYS}
        self.is_captured = False
        self.entries: dict[str, Entry] = {}
        for key, (*checksums, tokens_checksum) in json.loads(meta["checks"]).items():
            steps, values = header[f"{key}/steps"], header[f"{key}/values"]
            shape = cast("tuple[int, int, int]", tuple(values["shape"]))
            lengths = tuple(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in (steps, values))
            if len(shape) != 3 or lengths != _lengths(shape):
                raise damage(self.path, f"the tensors of {key!r} have other sizes than their shapes say")
            at = (start + steps["data_offsets"][0], start + values["data_offsets"][0])
            self.is_captured |= tokens_checksum is not None
            self.entries[key] = Entry(key, shape, at, (checksums[0], checksums[1]), tokens_checksum)

    def read(self, trajectory_id: str) -> HiddenStates:
        """The states of one trajectory; only these bytes are read. Raises DamagedRunError."""
        entry = self.entries[trajectory_id]
        bits = np.frombuffer(self._load(entry, 1), dtype="<u2").reshape(entry.shape)
        return HiddenStates(trajectory_id, self.layers, self.read_steps(trajectory_id), from_bfloat16(bits))

    def read_steps(self, trajectory_id: str) -> tuple[Step, ...]:
        """The steps of one trajectory, without its states. Raises DamagedRunError."""
        spans = np.frombuffer(self._load(self.entries[trajectory_id], 0), dtype="<i4").reshape(-1, 2).tolist()
        return tuple(Step(*span) for span in spans)

    def block(self, entry: Entry) -> Block:
        """The states of one trajectory as they are stored, to be written to another part."""
        load = partial(self._load, entry)
        return Block(entry.trajectory_id, entry.shape, entry.checksums, entry.tokens_checksum, load)

    def _load(self, entry: Entry, which: int) -> bytes:
        size = _lengths(entry.shape)[which]
        if not size:
            return b""
        with reading(self.path, _FAULTS):
            data = np.memmap(self.path, np.uint8, mode="r", offset=entry.at[which], shape=(size,)).tobytes()
        if zlib.crc32(data) != entry.checksums[which]:
            raise damage(self.path, f"the bytes of {entry.trajectory_id!r} do not match their checksum")
        return data


def make_block(states: HiddenStates, tokens_checksum: int | None = None) -> Block:
    """Rounds to bf16. Raises DataError where shapes do not fit."""
    values, count = np.asarray(states.values), len(states.steps)
    if values.ndim != 3 or values.shape[:2] != (count, len(states.layers)):
        raise DataError(
            f"states of {states.trajectory_id!r}: values have the shape {list(values.shape)}; needed is "
            f"[{count} steps, {len(states.layers)} layers, hidden size]"
        )
    steps = np.array([(step.start, step.end) for step in states.steps], dtype="<i4").tobytes()
    data = to_bfloat16(values).astype("<u2", copy=False).tobytes()
    shape = (count, values.shape[1], values.shape[2])
    checksums = (zlib.crc32(steps), zlib.crc32(data))
    return Block(states.trajectory_id, shape, checksums, tokens_checksum, (steps, data).__getitem__)


def write_states(
    blocks: Sequence[Block], layers: Sequence[int], about: Mapping[str, str]
) -> Callable[[BinaryIO], None]:
    """A writer for `parts.write_part`. One trajectory's bytes are in memory at a time. Raises ConfigError."""
    for key, value in about.items():
        if key in _OWN_KEYS or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"states: {key} = {value!r} cannot be told about them: use text, and no name of {sorted(_OWN_KEYS)}"
            )
    header = _header(blocks, layers, about)

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        # All steps first, then all values: every tensor then starts at a multiple of its item size.
        for which in (0, 1):
            for block in blocks:
                file.write(block.load(which))

    return write


def _header(blocks: Sequence[Block], layers: Sequence[int], about: Mapping[str, str]) -> bytes:
    checks = {block.trajectory_id: (*block.checksums, block.tokens_checksum) for block in blocks}
    if len(checks) != len(blocks):
        raise DataError("states: a trajectory id occurs twice in one write; give each trajectory once")
    own = {"format": FORMAT, "layers": json.dumps(list(layers)), "checks": json.dumps(checks)}
    header: dict[str, Any] = {"__metadata__": {**about, **own}}
    start = 0
    for which, (name, dtype) in enumerate((("steps", "I32"), ("values", "BF16"))):
        for block in blocks:
            shape = (block.shape[0], 2) if which == 0 else block.shape
            end = start + _lengths(block.shape)[which]
            tensor = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
            header[f"{block.trajectory_id}/{name}"] = tensor
            start = end
    header["__metadata__"]["checksum"] = _checksum(header)
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8)


def _checksum(header: Mapping[str, Any]) -> str:
    """Of a header without this checksum; the order of its keys is part of it."""
    return f"{zlib.crc32(json.dumps(header).encode()):08x}"


def _lengths(shape: tuple[int, int, int]) -> tuple[int, int]:
    """The bytes of the steps and of the values."""
    return 8 * shape[0], 2 * shape[0] * shape[1] * shape[2]
