"""Export a run: its pools as JSON lines (the schema that `import pools` reads), or a table of verdicts and scores.

Exports are streamed: a few thousand trajectories are in memory at a time. A file is written under a temporary name and
renamed when it is complete, so an export that is killed leaves the old file, or none. Importing a pools file restores
the same problems, texts, answers, verdicts, scores and selections. JSON has no NaN: it is written as null. This module
does not know the formats of other tools.
"""

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import duckdb
import numpy as np

from nbest.answers.extraction import answer_of
from nbest.answers.rules import DEFAULT
from nbest.errors import ConfigError, StorageError
from nbest.formats.intake import IMPORTED, UNKNOWN_SEED
from nbest.formats.pool_samples import EXTRAS, SAMPLE_FIELDS
from nbest.formats.pools import PROBLEM_FIELDS
from nbest.formats.selections import NAME as SELECTIONS
from nbest.formats.selections import write_selection
from nbest.problems.answer_rules import FIELD as ANSWER_RULE
from nbest.progress import OnDone, OnProgress, count_progress, ignore_progress, report_activity
from nbest.records import Completion, Pool, Problem, Selection, Trajectory, Usage
from nbest.specs import did_you_mean
from nbest.storage.outputs import check_output, replace_file
from nbest.storage.run import Run

FORMATS = ("pools", "csv", "parquet")
BATCH_TRAJECTORIES = 5_000


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """The verdicts (correct, answer, note) and scores (scorer, value, steps) of some trajectories, by trajectory id.

    `selections` are those of their problems, by problem id and selector.
    """

    verdicts: Mapping[str, tuple[bool | None, str | None, str]]
    scores: Mapping[str, list[tuple[str, float, list[float]]]]
    selections: Mapping[str, Mapping[str, Selection]]


def export_run(
    run: Run, out: Path, format: str = "pools", tokens: bool = False, on_progress: OnProgress = ignore_progress
) -> int:
    """Write the run to `out`, replacing an existing file, and return the number of lines or rows.

    `pools` is one JSON line per problem, compressed with gzip if the name ends in .gz; `tokens` adds token ids,
    confidences and certainties. `csv` and `parquet` are one row per trajectory (problem_id, index, trajectory_id,
    finish, sampled_tokens, answer, correct, note and one column `score:NAME` per scorer; empty if the run has no
    value). Raises ConfigError if the format does not exist or `out` is inside a run, StorageError.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: got {format!r}; allowed: {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    check_output(out)
    with replace_file(out) as temporary:
        if format == "pools":
            on_done = count_progress("export", sum(1 for _ in run.problems()), on_progress)
            return _write_pools(run, temporary, out.name.endswith(".gz"), tokens, on_done)
        report_activity("export", on_progress)
        return _write_table(run, temporary, format)


def _write_pools(run: Run, path: Path, is_gzip: bool, tokens: bool, on_done: OnDone) -> int:
    count = 0
    with path.open("wb") as raw_file:
        if not is_gzip:
            return _write_lines(run, raw_file, tokens, on_done)
        # Without a name and a time in the header, the same run always gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw_file, mtime=0) as file:
            count = _write_lines(run, cast(BinaryIO, file), tokens, on_done)
    return count


def _write_lines(run: Run, stream: BinaryIO, tokens: bool, on_done: OnDone) -> int:
    count = 0
    for batch in _read_batches(run):
        ids = [trajectory.id for _, pool in batch for trajectory in pool.trajectories]
        evaluations = _read_evaluations(run, ids, [problem.id for problem, _ in batch])
        for problem, pool in batch:
            stream.write(_encode(_make_line(problem, pool, evaluations, tokens)) + b"\n")
            count += 1
        on_done(len(batch), 0)
    return count


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # The meta of an import may hold half of a surrogate pair, which only a JSON escape can represent.
        return json.dumps(line).encode()


def _read_batches(run: Run) -> Iterator[list[tuple[Problem, Pool]]]:
    """Yield the problems with their pools in the order of the run, a few thousand trajectories at a time."""
    batch: list[tuple[Problem, Pool]] = []
    size = 0
    for problem, pool in zip(run.problems(), run.pools(tokens=True), strict=True):
        batch.append((problem, pool))
        size += len(pool.trajectories)
        if size >= BATCH_TRAJECTORIES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_evaluations(run: Run, ids: list[str], problem_ids: list[str]) -> _Evaluations:
    among = "WHERE trajectory_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))"
    scores: dict[str, list[tuple[str, float, list[float]]]] = {}
    with run.connect(large=()) as connection:
        query = f"SELECT trajectory_id, correct, answer, note FROM verdicts {among}"
        verdicts = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query, {"ids": ids}).fetchall()}
        query = f"SELECT trajectory_id, scorer, value, steps FROM scores {among} ORDER BY scorer"
        for id, scorer, value, steps in connection.execute(query, {"ids": ids}).fetchall():
            scores.setdefault(id, []).append((scorer, value, steps))
        selections = _read_selections(connection, problem_ids)
    return _Evaluations(verdicts, scores, selections)


def _read_selections(
    connection: duckdb.DuckDBPyConnection, problem_ids: list[str]
) -> Mapping[str, Mapping[str, Selection]]:
    selections: dict[str, dict[str, Selection]] = {}
    query = (
        'SELECT selector, problem_id, "index", answer, confidence, prompt_tokens, sampled_tokens, flops, seconds, note '
        "FROM selections WHERE problem_id IN (SELECT unnest(CAST($ids AS VARCHAR[]))) ORDER BY selector"
    )
    for selector, id, index, answer, confidence, *usage, note in connection.execute(
        query, {"ids": problem_ids}
    ).fetchall():
        selections.setdefault(id, {})[selector] = Selection(id, index, answer, confidence, Usage(*usage), note)
    return selections


def _make_line(problem: Problem, pool: Pool, evaluations: _Evaluations, tokens: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"problem_id": problem.id, "question": problem.prompt, "target": problem.target}
    line["kind"] = problem.kind
    if problem.answer_rule != DEFAULT:
        line[ANSWER_RULE] = problem.answer_rule
    if problem.tests:
        line["tests"] = list(problem.tests)
    plain_meta, reserved_meta = _split_meta(problem.meta, PROBLEM_FIELDS)
    extras: dict[str, Any] = {"meta": reserved_meta} if reserved_meta else {}
    if selections := evaluations.selections.get(problem.id):
        extras[SELECTIONS] = {name: write_selection(selection) for name, selection in selections.items()}
    if extras:
        line[EXTRAS] = extras
    samples = [
        _make_sample(trajectory, position, pool, evaluations, tokens)
        for position, trajectory in enumerate(pool.trajectories)
    ]
    return line | plain_meta | {"samples": samples}


def _split_meta(meta: Mapping[str, Any], reserved: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split meta into entries that can stand beside the fields of the schema, and entries whose name is reserved."""
    plain = {name: value for name, value in meta.items() if name not in reserved}
    return plain, {name: value for name, value in meta.items() if name in reserved}


def _make_sample(
    trajectory: Trajectory, position: int, pool: Pool, evaluations: _Evaluations, tokens: bool
) -> dict[str, Any]:
    completion = trajectory.completion
    sample: dict[str, Any] = {"text": completion.text}
    extras = _collect_extras(completion, tokens)
    if trajectory.index != position:
        extras["index"] = trajectory.index
    if trajectory.seed != UNKNOWN_SEED:
        extras["seed"] = trajectory.seed
    if trajectory.answer is not None:
        sample["answer"] = trajectory.answer
    if trajectory.id in evaluations.verdicts:
        correct, answer, note = evaluations.verdicts[trajectory.id]
        sample["correct"] = correct
        if (answer, note) != (answer_of(trajectory, pool), IMPORTED):
            extras["verdict"] = {"answer": answer, "note": note}
    if completion.usage is not None or (len(completion.tokens) and not tokens):
        sample["sampled_tokens"] = completion.count_usage().sampled_tokens
    if completion.logprobs is not None:
        is_plain = bool(np.isfinite(completion.logprobs).all())
        (sample if is_plain else extras)["logprobs"] = _write_numbers(completion.logprobs.tolist())
    scores = evaluations.scores.get(trajectory.id, [])
    if scores:
        sample["scores"] = {name: _write_number(value) for name, value, _ in scores}
    steps = {name: _write_numbers(steps) for name, _, steps in scores if steps}
    if steps:
        extras["steps"] = steps
    plain_meta, reserved_meta = _split_meta(trajectory.meta, SAMPLE_FIELDS)
    if reserved_meta:
        extras["meta"] = reserved_meta
    return sample | plain_meta | ({EXTRAS: extras} if extras else {})


def _collect_extras(completion: Completion, tokens: bool) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if completion.finish != "unknown":
        extras["finish"] = completion.finish
    if completion.note:
        extras["note"] = completion.note
    if tokens:
        arrays = {"prompt_tokens": completion.prompt_tokens, "tokens": completion.tokens}
        extras |= {name: ids.tolist() for name, ids in arrays.items() if len(ids)}
        numbers = {"confidences": completion.confidences, "certainties": completion.certainties}
        extras |= {name: _write_numbers(values.tolist()) for name, values in numbers.items() if values is not None}
    return extras


def _write_number(value: float) -> float | str | None:
    """Return a number as JSON can express it: None (null) for NaN, "inf" and "-inf" for the infinities."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else "inf" if value > 0 else "-inf"


def _write_numbers(values: Sequence[float]) -> list[float | str | None]:
    return [_write_number(value) for value in values]


def _write_table(run: Run, path: Path, format: str) -> int:
    columns = ["t.problem_id", 't."index"', "t.id AS trajectory_id", "t.finish", "t.sampled_tokens"]
    columns += ["coalesce(v.answer, t.answer) AS answer", "v.correct", "v.note"]
    joins = ["LEFT JOIN verdicts v ON v.trajectory_id = t.id", "LEFT JOIN problems p ON p.id = t.problem_id"]
    for position, name in enumerate(run.scorers()):
        columns.append(f"s{position}.value AS {_quote('score:' + name, chr(34))}")
        joins.append(
            f"LEFT JOIN (SELECT trajectory_id, value FROM scores WHERE scorer = {_quote(name, chr(39))}) s{position} "
            f"ON s{position}.trajectory_id = t.id"
        )
    query = f'SELECT {", ".join(columns)} FROM trajectories t {" ".join(joins)} ORDER BY p.position, t."index"'
    options = "FORMAT csv, HEADER" if format == "csv" else "FORMAT parquet, COMPRESSION zstd"
    try:
        with run.connect(large=()) as connection:
            row = connection.execute(f"COPY ({query}) TO {_quote(str(path), chr(39))} ({options})").fetchone()
    except duckdb.IOException as error:
        raise StorageError(f"{path}: cannot be written ({error}). An existing file was not replaced.") from error
    return 0 if row is None else int(row[0])


def _quote(text: str, mark: str) -> str:
    """Return an SQL literal (mark `'`) or name (mark `"`), because COPY accepts no parameters."""
    return mark + text.replace(mark, mark * 2) + mark
