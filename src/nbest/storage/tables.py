# pyright: standard
"""The tables of a run: one schema per kind of record, and the conversion between records and rows.

None is stored as null, an empty array as an empty list. `meta` is stored as a JSON string, so a tuple in it comes back
as a list. This module does not know files; `parquet.py` writes and reads them.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nbest.errors import DataError
from nbest.records import Completion, Problem, Score, Selection, Skip, Trajectory, Usage, Verdict

_TEXT, _LONG, _INT, _REAL = pa.string(), pa.int64(), pa.int32(), pa.float64()
_IDS, _FLOATS = pa.list_(pa.int32()), pa.list_(pa.float32())
_NUMBERS = {pa.int32(): np.int32, pa.float32(): np.float32}
_UNSTORABLE = (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Table:
    """How one kind of record is stored.

    `key` is the id column. `to_columns` returns the values of each column, `decode` the records of an Arrow table, both
    in order. `weigh` estimates the bytes of a record. The values of `repeating` columns are stored in a dictionary;
    `bulky` columns hold one number per token; a part may lack `optional` columns and is read as if they were null.
    """

    name: str
    key: str
    schema: pa.Schema
    to_columns: Callable[[Sequence[Any]], dict[str, Any]]
    decode: Callable[[pa.Table], list[Any]]
    weigh: Callable[[Any], int]
    repeating: frozenset[str] = frozenset()
    bulky: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    def encode(self, records: Sequence[Any]) -> pa.Table:
        """Return the records as an Arrow table. Raises DataError naming the record and field that cannot be stored."""
        columns = self.to_columns(records)
        ids = columns[self.key]
        arrays = [_encode_column(self.name, field, columns[field.name], ids) for field in self.schema]
        return pa.table(arrays, schema=self.schema)


def tokens_checksum(completion: Completion) -> int:
    """Return the CRC-32 of the token ids. It ties captured states to the tokens they were captured with."""
    return zlib.crc32(np.asarray(completion.tokens, dtype="<i4").tobytes())


def _make_schema(nullable: Sequence[str] = (), **kinds: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in kinds.items()])


def _encode_column(table: str, field: pa.Field, values: Any, ids: Sequence[str]) -> pa.Array:
    try:
        column = values if isinstance(values, pa.Array) else pa.array(values, type=field.type)
    except _UNSTORABLE:
        for key, value in zip(ids, values, strict=True):
            try:
                pa.array([value], type=field.type)
            except _UNSTORABLE as error:
                raise DataError(f"{table} {key!r}: {field.name} cannot be stored: {error}") from error
        raise
    if column.null_count and not field.nullable:
        key = ids[column.is_null().to_pylist().index(True)]
        raise DataError(f"{table} {key!r}: {field.name} is missing (None); a value is needed")
    return column


def _encode_lists(name: str, ids: Sequence[str], arrays: Sequence[Any], kind: pa.ListType) -> pa.Array:
    """Return arrays of different lengths (None = null) as one list column, without a Python object per token."""
    empty = np.empty(0, dtype=kind.value_type.to_pandas_dtype())
    flat = [empty if array is None or not len(array) else np.asarray(array) for array in arrays]
    offsets = np.concatenate([[0], np.cumsum([len(array) for array in flat])]).astype(np.int32)
    try:
        values = pa.array(np.concatenate([empty, *flat]), type=kind.value_type)
    except _UNSTORABLE as error:
        raise DataError(
            f"one of the trajectories {ids[0]!r} to {ids[-1]!r}: {name} cannot be stored: {error}"
        ) from error
    nulls = pa.array([array is None for array in arrays], type=pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind, mask=nulls)


def _decode_lists(rows: pa.Table, name: str, create_default: Any) -> list[Any]:
    """Return the arrays of a list column, as copies, so that an array does not hold its row group in memory."""
    if name not in rows.column_names:
        return [create_default() for _ in range(rows.num_rows)]
    column = rows.column(name).combine_chunks()
    offsets, values = _view_numbers(column.offsets), _view_numbers(column.values)
    # Its method `is_valid` imports the functions of Arrow; most columns have no nulls, or nothing else.
    has_both = 0 < column.null_count < len(column)
    valid = column.is_valid().to_pylist() if has_both else [not column.null_count] * len(column)
    return [
        values[start:end].copy() if is_valid else None
        for start, end, is_valid in zip(offsets[:-1], offsets[1:], valid, strict=True)
    ]


def _view_numbers(column: pa.Array) -> Any:
    """Return the numbers of a column as an array, like its method `to_numpy`, which imports pandas."""
    buffer = column.buffers()[1]
    if column.null_count or buffer is None:
        return column.to_numpy(zero_copy_only=False)
    return np.frombuffer(buffer, _NUMBERS[column.type])[column.offset : column.offset + len(column)]


def _encode_meta(name: str, key: str, meta: Any) -> str:
    try:
        return json.dumps(dict(meta))
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} {key!r}: meta is not JSON: {error}; keep strings, numbers, lists and dicts") from error


def _iterate_rows(rows: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows.column(name).to_pylist() for name in names), strict=True)


def _encode_problems(entries: Sequence[tuple[int, Problem]]) -> dict[str, Any]:
    problems = [problem for _, problem in entries]
    return {
        "id": [p.id for p in problems],
        "position": [position for position, _ in entries],
        "prompt": [p.prompt for p in problems],
        "target": [p.target for p in problems],
        "kind": [p.kind for p in problems],
        "tests": [list(p.tests) for p in problems],
        "meta": [_encode_meta("problems", p.id, p.meta) for p in problems],
        # null stands for the default rule, as in runs that were written before there were others.
        "answer_rule": [None if p.answer_rule == "default" else p.answer_rule for p in problems],
    }


def _decode_problems(rows: pa.Table) -> list[Problem]:
    columns = _iterate_rows(rows, "id", "prompt", "target", "kind", "tests", "meta", "answer_rule")
    return [
        Problem(key, prompt, target, kind, tuple(tests), json.loads(meta), rule or "default")
        for key, prompt, target, kind, tests, meta, rule in columns
    ]


def _encode_trajectories(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    ids = [t.id for t in trajectories]
    completions = [t.completion for t in trajectories]
    return {
        "id": ids,
        "problem_id": [t.problem_id for t in trajectories],
        "index": [t.index for t in trajectories],
        "seed": [t.seed for t in trajectories],
        "text": [c.text for c in completions],
        "prompt_tokens": _encode_lists("prompt_tokens", ids, [c.prompt_tokens for c in completions], _IDS),
        "tokens": _encode_lists("tokens", ids, [c.tokens for c in completions], _IDS),
        "logprobs": _encode_lists("logprobs", ids, [c.logprobs for c in completions], _FLOATS),
        "confidences": _encode_lists("confidences", ids, [c.confidences for c in completions], _FLOATS),
        "certainties": _encode_lists("certainties", ids, [c.certainties for c in completions], _FLOATS),
        "finish": [c.finish for c in completions],
        "note": [c.note for c in completions],
        "sampled_tokens": [c.count_usage().sampled_tokens for c in completions],
        "tokens_checksum": [tokens_checksum(c) for c in completions],
        "answer": [t.answer for t in trajectories],
        "meta": [_encode_meta("trajectories", t.id, t.meta) for t in trajectories],
    }


def _decode_trajectories(rows: pa.Table) -> list[Trajectory]:
    fields = zip(
        rows.column("text").to_pylist(),
        _decode_lists(rows, "prompt_tokens", lambda: np.empty(0, dtype=np.int32)),
        _decode_lists(rows, "tokens", lambda: np.empty(0, dtype=np.int32)),
        _decode_lists(rows, "logprobs", lambda: None),
        _decode_lists(rows, "confidences", lambda: None),
        rows.column("finish").to_pylist(),
        rows.column("note").to_pylist(),
        _decode_lists(rows, "certainties", lambda: None),
        strict=True,
    )
    counts: list[int] = rows.column("sampled_tokens").to_pylist()
    completions = (
        Completion(*field[:6], note=field[6], certainties=field[7], usage=_find_usage(field[1], field[2], count))
        for field, count in zip(fields, counts, strict=True)
    )
    columns = _iterate_rows(rows, "id", "problem_id", "index", "seed", "answer", "meta")
    return [
        Trajectory(key, problem_id, index, seed, completion, answer, json.loads(meta))
        for completion, (key, problem_id, index, seed, answer, meta) in zip(completions, columns, strict=True)
    ]


def _find_usage(prompt_tokens: Any, tokens: Any, count: int) -> Usage | None:
    """Return the stored count of sampled tokens where their ids were not stored or not read; else None."""
    return None if count == len(tokens) else Usage(len(prompt_tokens), count)


def _weigh_trajectory(trajectory: Trajectory) -> int:
    completion = trajectory.completion
    arrays = (
        completion.prompt_tokens,
        completion.tokens,
        completion.logprobs,
        completion.confidences,
        completion.certainties,
    )
    return 256 + len(completion.text) + 4 * sum(len(array) for array in arrays if array is not None)


def _encode_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {name: [getattr(v, name) for v in verdicts] for name in ("trajectory_id", "correct", "answer", "note")}


def _decode_verdicts(rows: pa.Table) -> list[Verdict]:
    return [Verdict(*fields) for fields in _iterate_rows(rows, "trajectory_id", "correct", "answer", "note")]


_SKIP_FIELDS = ("trajectory_id", "reason", "message", "policy")


def _encode_skips(skips: Sequence[Skip]) -> dict[str, Any]:
    return {name: [getattr(s, name) for s in skips] for name in _SKIP_FIELDS}


def _decode_skips(rows: pa.Table) -> list[Skip]:
    return [Skip(*fields) for fields in _iterate_rows(rows, *_SKIP_FIELDS)]


def _encode_scores(scores: Sequence[Score]) -> dict[str, Any]:
    columns = {name: [getattr(s, name) for s in scores] for name in ("trajectory_id", "value", "steps")}
    return columns | {"note": [score.note or None for score in scores]}


def _decode_scores(rows: pa.Table) -> list[Score]:
    return [
        Score(key, value, tuple(steps), note or "")
        for key, value, steps, note in _iterate_rows(rows, "trajectory_id", "value", "steps", "note")
    ]


_SELECTION_FIELDS = ("problem_id", "index", "answer", "confidence", "note")
_USAGE_FIELDS = ("prompt_tokens", "sampled_tokens", "flops", "seconds")


def _encode_selections(selections: Sequence[Selection]) -> dict[str, Any]:
    columns = {name: [getattr(s, name) for s in selections] for name in _SELECTION_FIELDS}
    return columns | {name: [getattr(s.usage, name) for s in selections] for name in _USAGE_FIELDS}


def _decode_selections(rows: pa.Table) -> list[Selection]:
    return [
        Selection(*fields[:4], usage=Usage(*fields[5:]), note=fields[4])
        for fields in _iterate_rows(rows, *_SELECTION_FIELDS, *_USAGE_FIELDS)
    ]


PROBLEMS = Table(
    "problems",
    "id",
    _make_schema(
        ("target", "answer_rule"),
        id=_TEXT,
        position=_LONG,
        prompt=_TEXT,
        target=_TEXT,
        kind=_TEXT,
        tests=pa.list_(_TEXT),
        meta=_TEXT,
        answer_rule=_TEXT,
    ),
    _encode_problems,
    _decode_problems,
    lambda entry: 256 + len(entry[1].prompt) + sum(map(len, entry[1].tests)),
    frozenset({"kind", "answer_rule"}),
    optional=frozenset({"answer_rule"}),
)
"""Encodes pairs of a position and a problem; decodes problems."""

TRAJECTORIES = Table(
    "trajectories",
    "id",
    _make_schema(
        ("logprobs", "confidences", "certainties", "answer"),
        id=_TEXT,
        problem_id=_TEXT,
        index=_INT,
        seed=_LONG,
        text=_TEXT,
        prompt_tokens=_IDS,
        tokens=_IDS,
        logprobs=_FLOATS,
        confidences=_FLOATS,
        certainties=_FLOATS,
        finish=_TEXT,
        note=_TEXT,
        sampled_tokens=_INT,
        tokens_checksum=_LONG,
        answer=_TEXT,
        meta=_TEXT,
    ),
    _encode_trajectories,
    _decode_trajectories,
    _weigh_trajectory,
    frozenset({"problem_id", "finish", "note", "answer", "prompt_tokens", "tokens"}),
    frozenset({"prompt_tokens", "tokens", "logprobs", "confidences", "certainties"}),
    frozenset({"certainties"}),
)

SKIPS = Table(
    "skips",
    "trajectory_id",
    _make_schema(trajectory_id=_TEXT, reason=_TEXT, message=_TEXT, policy=_TEXT),
    _encode_skips,
    _decode_skips,
    lambda skip: 128 + len(skip.message),
    frozenset({"reason", "policy"}),
)

VERDICTS = Table(
    "verdicts",
    "trajectory_id",
    _make_schema(("correct", "answer"), trajectory_id=_TEXT, correct=pa.bool_(), answer=_TEXT, note=_TEXT),
    _encode_verdicts,
    _decode_verdicts,
    lambda verdict: 128 + len(verdict.note) + len(verdict.answer or ""),
    frozenset({"answer", "note"}),
)

SCORES = Table(
    "scores",
    "trajectory_id",
    _make_schema(("note",), trajectory_id=_TEXT, value=_REAL, steps=pa.list_(_REAL), note=_TEXT),
    _encode_scores,
    _decode_scores,
    lambda score: 64 + 8 * len(score.steps) + len(score.note),
    frozenset({"note"}),
    optional=frozenset({"note"}),
)

SELECTIONS = Table(
    "selections",
    "problem_id",
    _make_schema(
        ("index", "answer", "confidence"),
        problem_id=_TEXT,
        index=_INT,
        answer=_TEXT,
        confidence=_REAL,
        prompt_tokens=_LONG,
        sampled_tokens=_LONG,
        flops=_REAL,
        seconds=_REAL,
        note=_TEXT,
    ),
    _encode_selections,
    _decode_selections,
    lambda selection: 256 + len(selection.note),
    frozenset({"answer", "note"}),
)
