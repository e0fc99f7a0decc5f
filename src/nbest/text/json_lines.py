"""Read JSON lines that another program wrote: one object per line, plain or gzip, and a `Fault` for each error.

Files are streamed: one line is in memory at a time. Nothing is repaired: a line that cannot be read becomes a `Fault`
(file, line, field, actual value, allowed values) and reading continues with the next line. This module does not know
which fields a format has; `Fields` takes them one by one and returns the rest.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

from nbest.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
SHOWN_CHARACTERS = 60
MAX_INT32 = 2**31 - 1
MAX_FLOAT32 = 3.4028234e38
_LARGEST_WRITTEN_OUT = 1e22

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in an input file.

    `line` counts from 1, as editors do (0 = the file as a whole). `field` is the path inside the object, such as
    `samples[2].scores.reward`. `actual` describes the value in the file, `allowed` the values that would be correct.
    """

    file: str
    line: int
    field: str
    actual: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: got {self.actual}; allowed: {self.allowed}"


@dataclass(frozen=True, slots=True)
class Line:
    """One JSON object with its file and line.

    `end_bytes` is how far the file on disk has been read, compressed or not.
    """

    file: str
    number: int
    values: Mapping[str, Any]
    end_bytes: int = 0


LineOrFault: TypeAlias = Line | Fault


def describe(value: object) -> str:
    """Return a short description of a value: its type, and the value itself, cut at 60 characters."""
    if isinstance(value, (list, dict)):
        return f"{'list' if isinstance(value, list) else 'dict'} of {len(cast('list[Any]', value))}"
    text = repr(value)
    excerpt = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
    return f"{type(value).__name__} {excerpt}"


def number_text(value: float) -> str:
    """Return a number as text of exactly its value.

    Whole numbers have no decimal point (27.0 becomes "27"), and above 10^22 an exponent if they are floats ("1e300").
    Others are written as `repr` does, without zeros in the exponent ("1e-7").
    """
    if isinstance(value, int):
        return str(value)
    if not value:
        return "0"
    mantissa, _, exponent = repr(value).partition("e")
    if value.is_integer() and abs(value) <= _LARGEST_WRITTEN_OUT:
        # Not int(value): the digits of a large float beyond those of its repr are an accident of its binary form.
        return f"{Decimal(repr(value)):f}".partition(".")[0]
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def is_storable(text: str) -> bool:
    """Return whether a text can be stored in UTF-8: JSON may escape half of a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_lines(file: Path) -> Iterator[LineOrFault]:
    """Yield the objects of a JSON-lines file in order, and a Fault for each line that is not an object.

    Blank lines are skipped. gzip is recognised by its first two bytes, not by the file name. A gzip stream that is
    damaged or ends early yields the lines before the damage, then one Fault. Raises DataError if the file cannot be
    opened.
    """
    try:
        raw = file.open("rb")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}). Give the path of a JSON-lines file.") from error
    with raw:
        is_gzip = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not is_gzip:
            yield from _read_stream(raw, raw, str(file))
            return
        with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
            yield from _read_stream(cast(BinaryIO, unpacked), raw, str(file))


def _read_stream(stream: BinaryIO, raw: BinaryIO, file: str) -> Iterator[LineOrFault]:
    number = 0
    while True:
        number += 1
        try:
            data = stream.readline()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield Fault(
                file, number, "gzip", f"a damaged stream ({error})", "a whole gzip file; the lines before it were read"
            )
            return
        if not data:
            return
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.strip():
            yield _parse_line(data, file, number, raw.tell())


def _parse_line(data: bytes, file: str, number: int, end_bytes: int) -> LineOrFault:
    try:
        value = json.loads(data)
    except UnicodeDecodeError as error:
        return Fault(file, number, "line", f"bytes that are not UTF-8 ({error.reason} at {error.start})", "UTF-8")
    except (ValueError, RecursionError) as error:
        return Fault(file, number, "line", f"not JSON ({error})", "one JSON object per line")
    if not isinstance(value, dict):
        return Fault(file, number, "line", describe(value), "one JSON object per line")
    return Line(file, number, cast("dict[str, Any]", value), end_bytes)


class Fields:
    """The fields of one JSON object, taken one by one; a missing or mistyped field becomes a Fault.

    Every `take_*` method returns None if the field is absent, null or faulty; an absent field is a fault only where it
    is required. Check `faults` after the last field was taken. `rest()` returns the fields that no method took.
    """

    def __init__(self, line: Line, values: Mapping[str, Any] | None = None, prefix: str = ""):
        self.line = line
        self.values = line.values if values is None else values
        self.prefix = prefix
        self.faults: list[Fault] = []
        self._taken: set[str] = set()

    def has(self, name: str) -> bool:
        return name in self.values

    def rest(self) -> dict[str, Any]:
        """Return the fields that no `take_*` method took, in their original order."""
        return {name: value for name, value in self.values.items() if name not in self._taken}

    def add_fault(self, name: str, actual: str, allowed: str) -> None:
        self.faults.append(Fault(self.line.file, self.line.number, self.prefix + name, actual, allowed))

    def take(self, name: str) -> Any:
        """Return the value unchecked; None if the field is absent."""
        self._taken.add(name)
        return self.values.get(name)

    def take_text(self, name: str, required: bool = False) -> str | None:
        return self._take(name, _as_text, "a string", required)

    def take_term(self, name: str, required: bool = False) -> str | None:
        """Return a string; a number is converted by `number_text`."""
        return self._take(name, _as_term, "a string or a finite number", required)

    def take_flag(self, name: str) -> bool | None:
        return self._take(name, _as_flag, "true, false or null")

    def take_integer(self, name: str, low: int, high: int) -> int | None:
        allowed = f"a whole number from {low} to {high}"
        return self._take(name, lambda value: _as_integer(value, low, high), allowed)

    def take_number(self, name: str) -> float | None:
        return self._take(name, _as_number, "a finite number")

    def take_numbers(self, name: str) -> list[float] | None:
        """Return a list of numbers, each within the range of float32."""
        return self._take(name, lambda value: _as_list(value, _as_single), "a list of finite numbers")

    def take_token_ids(self, name: str) -> list[int] | None:
        read = partial(_as_integer, low=0, high=MAX_INT32)
        return self._take(name, lambda value: _as_list(value, read), f"a list of whole numbers from 0 to {MAX_INT32}")

    def take_texts(self, name: str) -> list[str] | None:
        return self._take(name, lambda value: _as_list(value, _as_text), "a list of strings")

    def take_object(self, name: str) -> "Fields | None":
        """Return the fields of an inner object; they report to the same list of faults."""
        values = self._take(name, _as_object, "an object")
        return None if values is None else self.inside(values, f"{name}.")

    def take_objects(self, name: str, required: bool = False) -> "list[Fields]":
        """Return the fields of each object of a list, in order; they report to the same list of faults."""
        objects: list[Fields] = []
        values = self._take(name, lambda value: _as_list(value, lambda item: item), "a list of objects", required)
        for position, value in enumerate(values or []):
            if isinstance(value, dict):
                objects.append(self.inside(cast("dict[str, Any]", value), f"{name}[{position}]."))
            else:
                self.add_fault(f"{name}[{position}]", describe(value), "an object")
        return objects

    def inside(self, values: Mapping[str, Any], path: str) -> "Fields":
        fields = Fields(self.line, values, self.prefix + path)
        fields.faults = self.faults
        return fields

    def _take(self, name: str, read: Callable[[Any], T | None], allowed: str, required: bool = False) -> T | None:
        self._taken.add(name)
        value = self.values.get(name)
        if value is None:
            if required:
                self.add_fault(name, "null" if name in self.values else "nothing (the field is missing)", allowed)
            return None
        result = read(value)
        if result is None:
            self.add_fault(name, describe(value), allowed)
        return result


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) and is_storable(value) else None


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _as_single(value: Any) -> float | None:
    number = _as_number(value)
    return number if number is not None and abs(number) <= MAX_FLOAT32 else None


def _as_term(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    number = _as_number(value)
    return _as_text(value) if number is None else number_text(number)


def _as_flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _as_integer(value: Any, low: int, high: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None


def _as_object(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _as_list(value: Any, read: Callable[[Any], T | None]) -> list[T] | None:
    if not isinstance(value, list):
        return None
    items: list[T] = []
    for item in cast("list[Any]", value):
        element = read(item)
        if element is None:
            return None
        items.append(element)
    return items
