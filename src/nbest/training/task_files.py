# pyright: standard
"""Write and read selection tasks: a Parquet file with one row per task, written as a stream, each row checked on read.

    task_id  problem_id  prompt  candidates list<string>  correct list<bool>  prompt_tokens int64  kind

`prompt` is the user's message before the chat template, `candidates` the trajectory ids in the order in which the
prompt shows them, `prompt_tokens` the length of the whole prompt, template included (null = not counted). The metadata
of the schema has the settings of the build as JSON under `nbest.tasks`. The files of a build are written under
temporary names and renamed together at the end.

This module does not know how tasks are chosen or which model is trained on them.
"""

import json
import os
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from nbest.errors import DataError, StorageError
from nbest.former_name import renew
from nbest.plurals import show_count
from nbest.records import Kind

BUILD_INFO_KEY = b"nbest.tasks"
GROUP_ROWS = 1024
GROUP_CHARACTERS = 16 << 20
_READ_ROWS = 256

_COLUMNS = pa.schema(
    [
        ("task_id", pa.string()),
        ("problem_id", pa.string()),
        ("prompt", pa.string()),
        ("candidates", pa.list_(pa.string())),
        ("correct", pa.list_(pa.bool_())),
        ("prompt_tokens", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class SelectionTask:
    """A prompt for a generative selector, with the trajectory ids `candidates` and their verdicts `correct`.

    Both are in the order in which the prompt shows them. `prompt_tokens` counts the chat template too; None = no
    tokenizer counted them.
    """

    task_id: str
    problem_id: str
    prompt: str
    candidates: tuple[str, ...]
    correct: tuple[bool, ...]
    prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task with the kind of its problem and the split that it is written to."""

    task: SelectionTask
    kind: Kind
    split: str


class TaskFormat(Protocol):
    """A file format: the schema of its rows, the row of each task, and the files that belong beside it."""

    @property
    def schema(self) -> pa.Schema: ...

    def encode(self, record: TaskRecord, position: int) -> Mapping[str, Any]:
        """Return the row of a task, the `position`-th of its file (from 0)."""
        ...

    def write_companions(self, folder: Path) -> dict[str, Path]:
        """Write the files that a reader of this format needs besides the tasks, and return them by name."""
        ...


class NbestFormat:
    """The columns in the docstring of this module."""

    schema = _COLUMNS.append(pa.field("kind", pa.string()))

    def encode(self, record: TaskRecord, position: int) -> Mapping[str, Any]:  # noqa: ARG002
        task = record.task
        return {name: getattr(task, name) for name in _COLUMNS.names} | {"kind": record.kind}

    def write_companions(self, folder: Path) -> dict[str, Path]:  # noqa: ARG002
        """Write nothing: these files are complete in themselves."""
        return {}


class TaskFiles:
    """A writer of tasks into one file per split, used as a context manager.

    At the end of the block all files are renamed to their final names; after an exception none is, and existing files
    stay. Raises StorageError if a file cannot be written.
    """

    def __init__(self, paths: Mapping[str, Path], format: TaskFormat, build_info: Mapping[str, Any]):
        self._writers: dict[str, _TaskWriter] = {}
        try:
            for split, path in paths.items():
                self._writers[split] = _TaskWriter(path, format, {**build_info, "split": split})
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> "TaskFiles":
        return self

    def write(self, record: TaskRecord) -> None:
        self._writers[record.split].write(record)

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if failed is None:
                for writer in self._writers.values():
                    writer.close()
                for writer in self._writers.values():
                    writer.publish()
        finally:
            self._discard()

    def _discard(self) -> None:
        for writer in self._writers.values():
            writer.discard()


class _TaskWriter:
    def __init__(self, path: Path, format: TaskFormat, build_info: Mapping[str, Any]):
        self._path, self._format = path, format
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        metadata = json.dumps(build_info, ensure_ascii=False, sort_keys=True).encode()
        self._schema = format.schema.with_metadata({BUILD_INFO_KEY: metadata})
        self._rows: list[Mapping[str, Any]] = []
        self._characters = self._count = 0
        with _storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd", write_page_checksum=True)

    def write(self, record: TaskRecord) -> None:
        self._rows.append(self._format.encode(record, self._count))
        self._count += 1
        self._characters += len(record.task.prompt)
        if len(self._rows) >= GROUP_ROWS or self._characters >= GROUP_CHARACTERS:
            self._flush()

    def close(self) -> None:
        self._flush()
        with _storage_errors(self._path):
            self._writer.close()
            with open(self._temporary, "rb") as file:
                os.fsync(file.fileno())

    def publish(self) -> None:
        with _storage_errors(self._path):
            self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove the temporary file, if it was not published."""
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            with _storage_errors(self._path):
                self._writer.write_table(pa.Table.from_pylist(list(map(dict, self._rows)), schema=self._schema))
        self._rows, self._characters = [], 0


@contextmanager
def _storage_errors(path: Path) -> Generator[None]:
    """Raise StorageError with the path in place of any other OSError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}). Nothing was replaced.") from error


def load_tasks(path: Path) -> list[SelectionTask]:
    """Return all tasks of a file.

    Raises DataError that names the file and the row (from 1) of the first fault: a column that is missing or of another
    type, an empty field, `candidates` and `correct` of different lengths, fewer than two candidates, a repeated
    candidate, no right candidate, a repeated task id.
    """
    tasks: list[SelectionTask] = []
    seen: dict[str, int] = {}
    for task in iter_tasks(path):
        first = seen.setdefault(task.task_id, len(tasks) + 1)
        if first <= len(tasks):
            raise DataError(f"{path}: row {len(tasks) + 1}: task_id {task.task_id!r} is already used in row {first}")
        tasks.append(task)
    if not tasks:
        raise DataError(f"{path}: the file holds no tasks")
    return tasks


def iter_tasks(path: Path) -> Iterator[SelectionTask]:
    """Yield the tasks of a file, with a few hundred rows in memory. Raises DataError like `load_tasks`."""
    path = Path(path)
    with _open(path) as file:
        row = 0
        try:
            for batch in file.iter_batches(_READ_ROWS, columns=_COLUMNS.names, use_threads=False):
                for values in batch.to_pylist():
                    row += 1
                    yield _read_task(values, f"{path}: row {row}")
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: the file is damaged after row {row} ({error})") from error


def read_build_info(path: Path) -> dict[str, Any]:
    """Return the settings that the tasks of a file were built with: style, thinking, tokenizer, sources, settings.

    The result is empty if the file does not record it. Raises DataError if the file is not a task file.
    """
    with _open(Path(path)) as file:
        metadata = {renew(key.decode()): value for key, value in (file.schema_arrow.metadata or {}).items()}
    return json.loads(metadata.get(BUILD_INFO_KEY.decode(), b"{}"))


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. `nbest tasks build RUN --out {path}` makes one.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
    names = file.schema_arrow.names
    missing = [name for name in _COLUMNS.names if name not in names]
    if missing:
        file.close()
        hint = " It was written for verl; build it without --format verl." if "reward_model" in names else ""
        raise DataError(f"{path}: columns {', '.join(missing)} are missing; it has {', '.join(names)}.{hint}")
    mismatches = [
        f"{f.name} is {file.schema_arrow.field(f.name).type}, not {f.type}" for f in _COLUMNS if not _fits(file, f)
    ]
    if mismatches:
        file.close()
        raise DataError(f"{path}: {'; '.join(mismatches)}")
    return file


def _fits(file: pq.ParquetFile, field: pa.Field) -> bool:
    actual = file.schema_arrow.field(field.name).type
    if pa.types.is_list(field.type):
        is_list = pa.types.is_list(actual) or pa.types.is_large_list(actual)
        return is_list and _is_same_kind(actual.value_type, field.type.value_type)
    return _is_same_kind(actual, field.type)


def _is_same_kind(actual: pa.DataType, expected: pa.DataType) -> bool:
    if pa.types.is_string(expected):
        return pa.types.is_string(actual) or pa.types.is_large_string(actual)
    return pa.types.is_integer(actual) if pa.types.is_integer(expected) else actual == expected


def _read_task(values: Mapping[str, Any], where: str) -> SelectionTask:
    empty = [n for n in _COLUMNS.names if n != "prompt_tokens" and (values[n] is None or values[n] == "")]
    candidates: Sequence[Any] = values["candidates"] or ()
    correct: Sequence[Any] = values["correct"] or ()
    if empty:
        raise DataError(f"{where}: {', '.join(empty)} is empty")
    name = f"{where} (task {values['task_id']!r})"
    if len(candidates) != len(correct):
        values_of_correct = f"{show_count(len(correct), 'value')} of correct"
        raise DataError(f"{name}: got {show_count(len(candidates), 'candidate')} but {values_of_correct}")
    if len(candidates) < 2 or len(set(candidates)) < len(candidates) or None in candidates or None in correct:
        raise DataError(
            f"{name}: got candidates {candidates}, correct {correct}; allowed: two or more, each once, no null"
        )
    if not any(correct):
        candidate_count = show_count(len(correct), "candidate")
        raise DataError(f"{name}: none of its {candidate_count} is right; a task needs at least one")
    return SelectionTask(**{**values, "candidates": tuple(candidates), "correct": tuple(correct)})
