"""What a reference solution returns, and how long it takes here: computed once in the sandbox and remembered.

The values are remembered in the user's cache (`code_references/`), under the hash of the reference, its inputs, the
packages and the memory that it had, and the name of the machine, whose times they are. Each has a checksum: an entry
that is damaged is computed again. A cache that cannot be written only costs time. Expected values stay in this process:
no job that runs a candidate has them.
"""

import hashlib
import json
import os
import platform
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nbest.sandbox.executions import Call, Calls
from nbest.sandbox.values import encode_value  # pyright: ignore[reportUnknownVariableType]
from nbest.user_cache import find_cache_folder
from nbest.verifying.code.functional import show_message
from nbest.verifying.code.grades import show_value
from nbest.verifying.code.running import Runner

REFERENCE_SECONDS = 30.0
"""The limit of one call of a reference."""
REFERENCE_BYTES = 256 << 20
"""The limit of what the calls of a reference return together."""
_LIMITS = frozenset({"timed_out", "too_much_output", "out_of_memory"})
_FORMAT = 3


class FailedReference(Exception):
    """The reference solution itself failed, so that nothing can be compared with it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reference returned per input, as `encode_value` writes it, and how many seconds each call took.

    A value is None where the reference reached a limit, as where a task asks for all of millions of combinations: that
    input is left out.
    """

    values: tuple[str | None, ...]
    seconds: tuple[float, ...]

    @property
    def missing(self) -> int:
        """How many inputs are left out."""
        return sum(value is None for value in self.values)


async def find_expected(runner: Runner, source: str, entry_point: str, inputs: Sequence[Sequence[Any]]) -> Expected:
    """Return what the reference returns on these inputs. Raises FailedReference if it fails on one, SandboxError."""
    entry = _find_entry(runner, source, entry_point, inputs)
    expected = _read(entry, len(inputs))
    if expected is None:
        expected = await _compute(runner, source, entry_point, inputs)
        _write(entry, expected)
    return expected


async def _compute(runner: Runner, source: str, entry_point: str, inputs: Sequence[Sequence[Any]]) -> Expected:
    """Run the reference on all inputs; after one at which it reaches a limit, on those behind it in a new process."""
    values: list[str | None] = []
    seconds: list[float] = []
    while len(values) < len(inputs):
        calls = tuple(Call(entry_point, tuple(arguments)) for arguments in inputs[len(values) :])
        run = await runner.run(Calls(source, calls), REFERENCE_SECONDS, output_bytes=REFERENCE_BYTES)
        for answer in run.outcome.returns:
            if answer.text is None:
                excerpt = show_value(list(inputs[len(values)]))
                raise FailedReference(f"the reference solution raised {show_message(answer.error)} on {excerpt}")
            values.append(answer.text)
            seconds.append(answer.seconds)
        if len(run.outcome.returns) < len(calls):
            if run.outcome.status not in _LIMITS:
                excerpt = show_value(list(inputs[len(values)]))
                raise FailedReference(f"the reference solution {runner.describe_ending(run)} on {excerpt}")
            values.append(None)
            seconds.append(0.0)
    if values and all(value is None for value in values):
        raise FailedReference("the reference solution reached a limit of time, memory or output on every input")
    return Expected(tuple(values), tuple(seconds))


def _find_entry(runner: Runner, source: str, entry_point: str, inputs: Sequence[Sequence[Any]]) -> Path | None:
    """Return the file of the cache for this reference; None if this user has no home."""
    digest = hashlib.sha256()
    packages = json.dumps(dict(sorted(runner.sandbox.describe().packages.items())))
    place = (packages, str(runner.settings.memory_bytes), platform.node())
    for text in (str(_FORMAT), *place, source, entry_point, encode_value([list(item) for item in inputs])):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    try:
        return find_cache_folder() / "code_references" / f"{digest.hexdigest()[:40]}.json.z"
    except RuntimeError:
        return None


def _read(entry: Path | None, count: int) -> Expected | None:
    """Return the remembered values; None where there are none, or where they are damaged."""
    if entry is None:
        return None
    try:
        record = cast("dict[str, Any]", json.loads(zlib.decompress(entry.read_bytes())))
        values = [None if value is None else str(value) for value in record["values"]]
        seconds = [float(value) for value in record["seconds"]]
        if record["checksum"] != _hash(values, seconds) or not len(values) == len(seconds) == count:
            return None
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None
    return Expected(tuple(values), tuple(seconds))


def _write(entry: Path | None, expected: Expected) -> None:
    if entry is None:
        return
    values, seconds = list(expected.values), list(expected.seconds)
    record = {"values": values, "seconds": seconds, "checksum": _hash(values, seconds)}
    temporary = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(zlib.compress(json.dumps(record).encode(), 1))
        os.replace(temporary, entry)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _hash(values: Sequence[str | None], seconds: Sequence[float]) -> str:
    return hashlib.sha256(json.dumps([list(values), list(seconds)]).encode()).hexdigest()
