"""Parts of hidden states: safetensors files that keep the states at step ends in bf16.

A part holds two tensors per trajectory, `<id>/steps` int32 [S, 2] (half-open token spans) and `<id>/values` bf16
[S, L, D]. Its header holds the format, the layers, checksums and the origin of the states (policy, norm, step rule).
Reading maps the file into memory and takes the bytes of one trajectory at a time. The format is written and parsed
here, without torch and without `safetensors.serialize`: that one leaves temporary files of its own, only its owner can
read what it writes, and a full disk is not an OSError.

Carriers: a state goes in as `records.HiddenStates`, lies in a `StatesPart` and comes out as `HiddenStates`. An `Entry`
is what the header says of one trajectory and carries no state; merging parts copies bytes from file to file.

Shapes: S steps, L layers, D hidden size. This module does not know models, scorers, nor which part counts.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

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
_STEPS, _VALUES = 0, 1
"""The two tensors of a trajectory, in the order of `Entry.offsets` and `Entry.checksums`."""

_Load: TypeAlias = Callable[[str, int], bytes]
"""Returns the bytes of one tensor of a trajectory, given its id and `_STEPS` or `_VALUES`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a header says of one trajectory.

    `shape` is [S, L, D], `checksums` the CRC-32 of its steps and of its values, `tokens_checksum` that of the tokens
    which captured states belong to (None for states computed afterwards). `offsets` is where steps and values begin in
    the file.
    """

    shape: tuple[int, int, int]
    checksums: tuple[int, int]
    tokens_checksum: int | None
    offsets: tuple[int, int] = (0, 0)


class StatesPart:
    """One part, of which only the header is in memory. Raises DamagedRunError where the file is not whole.

    `entries` holds what the header says, by trajectory id, `layers` [L] are those of all its states, `origin` names
    their policy, norm and step rule. `is_captured` says whether some were captured while sampling.
    """

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
        self.origin = {key: value for key, value in meta.items() if key not in _OWN_KEYS}
        self.entries: dict[str, Entry] = {}
        for key, (*checksums, tokens_checksum) in json.loads(meta["checks"]).items():
            steps, values = header[f"{key}/steps"], header[f"{key}/values"]
            shape = cast("tuple[int, int, int]", tuple(values["shape"]))
            lengths = tuple(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in (steps, values))
            if len(shape) != 3 or lengths != _lengths(shape):
                raise damage(self.path, f"the tensors of {key!r} have other sizes than their shapes say")
            offsets = (start + steps["data_offsets"][0], start + values["data_offsets"][0])
            self.entries[key] = Entry(shape, (checksums[0], checksums[1]), tokens_checksum, offsets)
        self.is_captured = any(entry.tokens_checksum is not None for entry in self.entries.values())

    def read(self, trajectory_id: str) -> HiddenStates:
        """Return the states of one trajectory; only these bytes are read. Raises DamagedRunError."""
        shape = self.entries[trajectory_id].shape
        bits = np.frombuffer(self.load(trajectory_id, _VALUES), dtype="<u2").reshape(shape)
        return HiddenStates(self.layers, self.read_steps(trajectory_id), from_bfloat16(bits))

    def read_steps(self, trajectory_id: str) -> tuple[Step, ...]:
        """Return the steps of one trajectory without reading its states. Raises DamagedRunError."""
        spans = np.frombuffer(self.load(trajectory_id, _STEPS), dtype="<i4").reshape(-1, 2).tolist()
        return tuple(Step(*span) for span in spans)

    def load(self, trajectory_id: str, tensor: int) -> bytes:
        """Return the bytes of a trajectory's steps (0) or values (1) as they are stored. Raises DamagedRunError."""
        entry = self.entries[trajectory_id]
        size = _lengths(entry.shape)[tensor]
        if not size:
            return b""
        with reading(self.path, _FAULTS):
            data = np.memmap(self.path, np.uint8, mode="r", offset=entry.offsets[tensor], shape=(size,)).tobytes()
        if zlib.crc32(data) != entry.checksums[tensor]:
            raise damage(self.path, f"the bytes of {trajectory_id!r} do not match their checksum")
        return data


def write_states(
    states: Mapping[str, HiddenStates], origin: Mapping[str, str], tokens_checksums: Mapping[str, int]
) -> Callable[[BinaryIO], None]:
    """Return a writer for `parts.write_part`. `states` are by trajectory id, all of the same layers, rounded to bf16.

    `tokens_checksums` holds, for captured states, those of the tokens they belong to. Raises DataError where shapes or
    layers do not fit, ConfigError where `origin` is not text or uses a key of the format.
    """
    layers = tuple(next(iter(states.values())).layers)
    entries: dict[str, Entry] = {}
    tensors: dict[str, tuple[bytes, bytes]] = {}
    for key, value in states.items():
        if tuple(value.layers) != layers:
            raise DataError(f"states of {key!r}: layers {list(value.layers)}; a part has one list, here {list(layers)}")
        steps, values = tensors[key] = _encode(key, value)
        _, layer_count, hidden_size = np.shape(value.values)
        shape = (len(value.steps), layer_count, hidden_size)
        entries[key] = Entry(shape, (zlib.crc32(steps), zlib.crc32(values)), tokens_checksums.get(key))
    return _write(entries, lambda key, tensor: tensors[key][tensor], layers, origin)


def merge_states(
    part_of: Mapping[str, StatesPart], layers: tuple[int, ...], origin: Mapping[str, str]
) -> Callable[[BinaryIO], None]:
    """Return a writer that copies each trajectory's states from its part, in this order, one at a time.

    `layers` and `origin` are those of all these parts.
    """
    entries = {key: part.entries[key] for key, part in part_of.items()}
    return _write(entries, lambda key, tensor: part_of[key].load(key, tensor), layers, origin)


def _encode(trajectory_id: str, states: HiddenStates) -> tuple[bytes, bytes]:
    """Return steps and values as they are stored."""
    values, count = np.asarray(states.values), len(states.steps)
    if values.ndim != 3 or values.shape[:2] != (count, len(states.layers)):
        raise DataError(
            f"states of {trajectory_id!r}: values have the shape {list(values.shape)}; needed is "
            f"[{count} steps, {len(states.layers)} layers, hidden size]"
        )
    steps = np.array([(step.start, step.end) for step in states.steps], dtype="<i4").tobytes()
    return steps, to_bfloat16(values).astype("<u2", copy=False).tobytes()


def _write(
    entries: Mapping[str, Entry], load: _Load, layers: tuple[int, ...], origin: Mapping[str, str]
) -> Callable[[BinaryIO], None]:
    for key, value in origin.items():
        if key in _OWN_KEYS or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"states: {key} = {value!r} cannot be part of their origin; values must be text, and the names "
                f"{sorted(_OWN_KEYS)} belong to the format"
            )
    header = _header(entries, layers, origin)

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        # All steps first, then all values: every tensor then starts at a multiple of its item size.
        for tensor in (_STEPS, _VALUES):
            for key in entries:
                file.write(load(key, tensor))

    return write


def _header(entries: Mapping[str, Entry], layers: tuple[int, ...], origin: Mapping[str, str]) -> bytes:
    checks = {key: (*entry.checksums, entry.tokens_checksum) for key, entry in entries.items()}
    own = {"format": FORMAT, "layers": json.dumps(list(layers)), "checks": json.dumps(checks)}
    header: dict[str, Any] = {"__metadata__": {**origin, **own}}
    start = 0
    for tensor, name, dtype in ((_STEPS, "steps", "I32"), (_VALUES, "values", "BF16")):
        for key, entry in entries.items():
            shape = (entry.shape[0], 2) if tensor == _STEPS else entry.shape
            end = start + _lengths(entry.shape)[tensor]
            header[f"{key}/{name}"] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
            start = end
    header["__metadata__"]["checksum"] = _checksum(header)
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8)


def _checksum(header: Mapping[str, Any]) -> str:
    """Return the checksum of a header without it; the order of its keys is part of it."""
    return f"{zlib.crc32(json.dumps(header).encode()):08x}"


def _lengths(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the number of bytes of the steps and of the values."""
    return 8 * shape[0], 2 * shape[0] * shape[1] * shape[2]
