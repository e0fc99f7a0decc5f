"""Parts of hidden states: safetensors files that keep the states at step ends in bf16.

A part holds two tensors per trajectory, `<id>/steps` int32 [S, 2] (half-open token spans) and `<id>/values` bf16 [S, L,
D]. Its header holds the format, the layers, checksums and the origin of the states (policy, norm, step rule). Reading
maps the file into memory and takes the bytes of one trajectory at a time. The format is written and parsed here,
without torch and without `safetensors.serialize`, which leaves temporary files of its own, writes files that only their
owner can read, and does not raise an OSError on a full disk.

A state is written from `records.HiddenStates` and read back from a `StatesPart` as `HiddenStates`. An `Entry` is what
the header says of one trajectory; it holds no states. Merging parts copies bytes from file to file.

Shapes: S steps, L layers, D hidden size. This module does not know models or scorers, nor which of several parts is
read.
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
from nbest.plurals import show_count
from nbest.records import HiddenStates, Step
from nbest.storage.bfloat16 import from_bfloat16, to_bfloat16
from nbest.storage.parts import damage, reading

SUFFIX = ".safetensors"
FORMAT = "nbest.states/1"
_OWN_KEYS = frozenset({"format", "layers", "checks", "checksum"})
_MAX_HEADER_BYTES = 100_000_000
_FAULTS = (ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError, RecursionError)
_STEPS, _VALUES = 0, 1
"""The two tensors of a trajectory, in the order of `Entry.offsets` and `Entry.checksums`."""

_Load: TypeAlias = Callable[[str, int], bytes]
"""Returns the bytes of one tensor of a trajectory, given its id and `_STEPS` or `_VALUES`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a header says of one trajectory.

    `shape` is [S, L, D], and `checksums` holds the CRC-32 of its steps and of its values. `tokens_checksum` is the
    CRC-32 of the tokens to which captured states belong, None for states computed afterwards. `offsets` says where the
    steps and the values begin in the file.
    """

    shape: tuple[int, int, int]
    checksums: tuple[int, int]
    tokens_checksum: int | None
    offsets: tuple[int, int] = (0, 0)


class StatesPart:
    """One part, of which only the header is in memory. Raises DamagedRunError if the file is not whole.

    `entries` holds what the header says of each trajectory, by id; `layers` [L] are the layers of all states of the
    part; `origin` names their policy, norm and step rule. `is_captured` says whether some of the states were captured
    while sampling.
    """

    def __init__(self, path: Path):
        self.path = path
        with reading(path, _FAULTS):
            size = path.stat().st_size
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
                    raise damage(
                        path, f"it is cut short: it has {show_count(size, 'byte')}, and its header alone needs more"
                    )
                header = cast("dict[str, Any]", json.loads(file.read(length)))
            self._read_header(header, 8 + length, size)

    def _read_header(self, header: dict[str, Any], start: int, size: int) -> None:
        meta = cast("dict[str, str]", header.pop("__metadata__"))
        if renew(meta["format"]) != FORMAT:
            raise damage(self.path, f"its format is {meta['format']!r}, not {FORMAT!r}")
        if meta.pop("checksum") != _compute_checksum({"__metadata__": meta, **header}):
            raise damage(self.path, "its header does not match its checksum")
        end = start + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        if end != size:
            raise damage(
                self.path,
                f"it is cut short or overwritten: it has {show_count(size, 'byte')}, and its header says {end:,}",
            )
        self.layers = tuple(int(layer) for layer in json.loads(meta["layers"]))
        self.origin = {key: value for key, value in meta.items() if key not in _OWN_KEYS}
        self.entries: dict[str, Entry] = {}
        for key, (*checksums, tokens_checksum) in json.loads(meta["checks"]).items():
            steps, values = header[f"{key}/steps"], header[f"{key}/values"]
            shape = cast("tuple[int, int, int]", tuple(values["shape"]))
            lengths = tuple(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in (steps, values))
            if len(shape) != 3 or lengths != _count_bytes(shape):
                raise damage(self.path, f"the sizes of the tensors of {key!r} do not match their shapes")
            offsets = (start + steps["data_offsets"][0], start + values["data_offsets"][0])
            self.entries[key] = Entry(shape, (checksums[0], checksums[1]), tokens_checksum, offsets)
        self.is_captured = any(entry.tokens_checksum is not None for entry in self.entries.values())

    def read(self, trajectory_id: str) -> HiddenStates:
        """Return the states of one trajectory; no other bytes of the file are read. Raises DamagedRunError."""
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
        size = _count_bytes(entry.shape)[tensor]
        if not size:
            return b""
        with reading(self.path, _FAULTS):
            data = np.memmap(self.path, np.uint8, mode="r", offset=entry.offsets[tensor], shape=(size,)).tobytes()
        if zlib.crc32(data) != entry.checksums[tensor]:
            raise damage(self.path, f"the bytes of {trajectory_id!r} do not match their checksum")
        return data


def write_states(
    states: Mapping[str, HiddenStates], origin: Mapping[str, str], token_checksums: Mapping[str, int]
) -> Callable[[BinaryIO], None]:
    """Return a writer for `parts.write_part`. `states` is by trajectory id; all have the same layers,
    and their values are rounded to bf16.

    `token_checksums` holds, for captured states, the checksums of the tokens they belong to. Raises DataError if shapes
    or layers do not fit, ConfigError if `origin` is not text or uses a key of the format.
    """
    layers = tuple(next(iter(states.values())).layers)
    entries: dict[str, Entry] = {}
    tensors: dict[str, tuple[bytes, bytes]] = {}
    for key, value in states.items():
        if tuple(value.layers) != layers:
            raise DataError(
                f"states of {key!r}: layers {list(value.layers)}; all states of a part have the same, "
                f"here {list(layers)}"
            )
        steps, values = tensors[key] = _encode(key, value)
        _, layer_count, hidden_size = np.shape(value.values)
        shape = (len(value.steps), layer_count, hidden_size)
        entries[key] = Entry(shape, (zlib.crc32(steps), zlib.crc32(values)), token_checksums.get(key))
    return _make_writer(entries, lambda key, tensor: tensors[key][tensor], layers, origin)


def merge_states(
    part_of: Mapping[str, StatesPart], layers: tuple[int, ...], origin: Mapping[str, str]
) -> Callable[[BinaryIO], None]:
    """Return a writer that copies each trajectory's states from its part, in this order, one at a time.

    All these parts must have the same `layers` and `origin`.
    """
    entries = {key: part.entries[key] for key, part in part_of.items()}
    return _make_writer(entries, lambda key, tensor: part_of[key].load(key, tensor), layers, origin)


def _encode(trajectory_id: str, states: HiddenStates) -> tuple[bytes, bytes]:
    """Return the bytes of steps and values as they are stored."""
    values, count = np.asarray(states.values), len(states.steps)
    if values.ndim != 3 or values.shape[:2] != (count, len(states.layers)):
        raise DataError(
            f"states of {trajectory_id!r}: values have the shape {list(values.shape)}; it must be "
            f"[{show_count(count, 'step')}, {show_count(len(states.layers), 'layer')}, hidden size]"
        )
    steps = np.array([(step.start, step.end) for step in states.steps], dtype="<i4").tobytes()
    return steps, to_bfloat16(values).astype("<u2", copy=False).tobytes()


def _make_writer(
    entries: Mapping[str, Entry], load: _Load, layers: tuple[int, ...], origin: Mapping[str, str]
) -> Callable[[BinaryIO], None]:
    """Return a function that writes a whole part to a file: the header's length, the header, then the tensors.

    Tensors are loaded one at a time while they are written. Raises ConfigError for an `origin` that cannot be stored.
    """
    for key, value in origin.items():
        if key in _OWN_KEYS or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"states: {key} = {value!r} cannot be part of the origin; values must be text, and the names "
                f"{sorted(_OWN_KEYS)} are reserved for the format"
            )
    header = _encode_header(entries, layers, origin)

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        # All steps come before all values, so that every tensor starts at a multiple of its item size.
        for tensor in (_STEPS, _VALUES):
            for key in entries:
                file.write(load(key, tensor))

    return write


def _encode_header(entries: Mapping[str, Entry], layers: tuple[int, ...], origin: Mapping[str, str]) -> bytes:
    """Return the header as padded JSON, with the byte range of every tensor in the order in which they are written."""
    checks = {key: (*entry.checksums, entry.tokens_checksum) for key, entry in entries.items()}
    format_fields = {"format": FORMAT, "layers": json.dumps(list(layers)), "checks": json.dumps(checks)}
    header: dict[str, Any] = {"__metadata__": {**origin, **format_fields}}
    start = 0
    for tensor, name, dtype in ((_STEPS, "steps", "I32"), (_VALUES, "values", "BF16")):
        for key, entry in entries.items():
            shape = (entry.shape[0], 2) if tensor == _STEPS else entry.shape
            end = start + _count_bytes(entry.shape)[tensor]
            header[f"{key}/{name}"] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
            start = end
    header["__metadata__"]["checksum"] = _compute_checksum(header)
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8)


def _compute_checksum(header: Mapping[str, Any]) -> str:
    """Return the checksum of a header that has none yet; it depends on the order of the keys."""
    return f"{zlib.crc32(json.dumps(header).encode()):08x}"


def _count_bytes(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the number of bytes of the steps and of the values."""
    return 8 * shape[0], 2 * shape[0] * shape[1] * shape[2]
