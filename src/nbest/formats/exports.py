"""Export a run: its pools as JSON lines (the schema that `import pools` reads), or a table of verdicts and scores.

Exports are streamed: a few thousand trajectories are in memory at a time. A file is written under a temporary name and
renamed when it is complete, so an export that is killed leaves the old file, or none. Importing a pools file restores
the same problems, texts, answers, verdicts and scores. This module does not know the formats of other tools.
"""

import gzip
import json
import os
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import duckdb

from nbest.errors import ConfigError, StorageError
from nbest.formats.intake import IMPORTED, UNKNOWN_SEED
from nbest.formats.pools import EXTRAS
from nbest.former_name import FORMER
from nbest.records import Completion, Pool, Problem, Trajectory
from nbest.specs import did_you_mean
from nbest.storage.run import Run
from nbest.text.answers import answer_of

FORMATS = ("pools", "csv", "parquet")
BATCH_TRAJECTORIES = 5_000
PROBLEM_FIELDS = frozenset(
    {"problem_id", "question", "target", "gold", "samples", "kind", "tests", "test", EXTRAS, FORMER}
)
SAMPLE_FIELDS = frozenset({"text", "answer", "correct", "logprobs", "scores", EXTRAS, FORMER})


@dataclass(frozen=True, slots=True)
class _Evaluations:
    """The verdicts (correct, answer, note) and scores (scorer, value, steps) of some trajectories, by trajectory id."""

    verdicts: Mapping[str, tuple[bool | None, str | None, str]]
    scores: Mapping[str, list[tuple[str, float, list[float]]]]


def export_run(run: Run, out: Path, format: str = "pools", tokens: bool = False) -> int:
    """Write the run to `out`, replacing an existing file, and return the number of lines or rows.

    `pools` is one JSON line per problem, compressed with gzip if the name ends in .gz; `tokens` adds token ids,
    confidences and certainties. `csv` and `parquet` are one row per trajectory (problem_id, index, trajectory_id,
    finish, sampled_tokens, answer, correct, note and one column `score:NAME` per scorer; empty if the run has no
    value). Raises ConfigError if the format does not exist, StorageError if the file cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: got {format!r}; allowed: {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    with _replace_file(out) as temporary:
        if format == "pools":
            return _write_pools(run, temporary, out.name.endswith(".gz"), tokens)
        return _write_table(run, temporary, format)


@contextmanager
def _replace_file(out: Path) -> Generator[Path]:
    """Yield a temporary path; afterwards rename it to `out` after an fsync, or remove it if an error occurred."""
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(out)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{out}: cannot be written ({error.strerror or error}). An existing file was not replaced."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_pools(run: Run, path: Path, is_gzip: bool, tokens: bool) -> int:
    count = 0
    with path.open("wb") as raw:
        if not is_gzip:
            return _write_lines(run, raw, tokens)
        # Without a name and a time in the header, the same run always gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            count = _write_lines(run, cast(BinaryIO, packed), tokens)
    return count


def _write_lines(run: Run, stream: BinaryIO, tokens: bool) -> int:
    count = 0
    for batch in _batches(run):
        evaluations = _read_evaluations(run, [trajectory.id for _, pool in batch for trajectory in pool.trajectories])
        for problem, pool in batch:
            stream.write(_encode(_line(problem, pool, evaluations, tokens)) + b"\n")
            count += 1
    return count


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # The meta of an import may hold half of a surrogate pair, which only a JSON escape can represent.
        return json.dumps(line).encode()


def _batches(run: Run) -> Iterator[list[tuple[Problem, Pool]]]:
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


def _read_evaluations(run: Run, ids: list[str]) -> _Evaluations:
    among = "WHERE trajectory_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))"
    scores: dict[str, list[tuple[str, float, list[float]]]] = {}
    with run.connect() as connection:
        query = f"SELECT trajectory_id, correct, answer, note FROM verdicts {among}"
        verdicts = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query, {"ids": ids}).fetchall()}
        query = f"SELECT trajectory_id, scorer, value, steps FROM scores {among} ORDER BY scorer"
        for id, scorer, value, steps in connection.execute(query, {"ids": ids}).fetchall():
            scores.setdefault(id, []).append((scorer, value, steps))
    return _Evaluations(verdicts, scores)


def _line(problem: Problem, pool: Pool, evaluations: _Evaluations, tokens: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"problem_id": problem.id, "question": problem.prompt, "target": problem.target}
    line["kind"] = problem.kind
    if problem.tests:
        line["tests"] = list(problem.tests)
    own, hidden = _split_meta(problem.meta, PROBLEM_FIELDS)
    if hidden:
        line[EXTRAS] = {"meta": hidden}
    samples = [
        _sample(trajectory, position, pool, evaluations, tokens)
        for position, trajectory in enumerate(pool.trajectories)
    ]
    return line | own | {"samples": samples}


def _split_meta(meta: Mapping[str, Any], reserved: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split meta into entries that can stand beside the fields of the schema, and entries whose name is reserved."""
    own = {name: value for name, value in meta.items() if name not in reserved}
    return own, {name: value for name, value in meta.items() if name in reserved}


def _sample(
    trajectory: Trajectory, position: int, pool: Pool, evaluations: _Evaluations, tokens: bool
) -> dict[str, Any]:
    completion = trajectory.completion
    sample: dict[str, Any] = {"text": completion.text}
    extras = _completion_extras(completion, tokens)
    if trajectory.index != position:
        extras["index"] = trajectory.index
    if trajectory.seed != UNKNOWN_SEED:
        extras["seed"] = trajectory.seed
    if trajectory.answer is not None:
        sample["answer"] = trajectory.answer
    if trajectory.id in evaluations.verdicts:
        correct, answer, note = evaluations.verdicts[trajectory.id]
        sample["correct"] = correct
        if (answer, note) != (answer_of(trajectory, pool.kind), IMPORTED):
            extras["verdict"] = {"answer": answer, "note": note}
    if completion.logprobs is not None:
        sample["logprobs"] = completion.logprobs.tolist()
    scores = evaluations.scores.get(trajectory.id, [])
    if scores:
        sample["scores"] = {name: value for name, value, _ in scores}
    steps = {name: steps for name, _, steps in scores if steps}
    if steps:
        extras["steps"] = steps
    own, hidden = _split_meta(trajectory.meta, SAMPLE_FIELDS)
    if hidden:
        extras["meta"] = hidden
    return sample | own | ({EXTRAS: extras} if extras else {})


def _completion_extras(completion: Completion, tokens: bool) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if completion.finish != "unknown":
        extras["finish"] = completion.finish
    if completion.note:
        extras["note"] = completion.note
    if tokens:
        arrays = {"prompt_tokens": completion.prompt_tokens, "tokens": completion.tokens}
        extras |= {name: ids.tolist() for name, ids in arrays.items() if len(ids)}
        numbers = {"confidences": completion.confidences, "certainties": completion.certainties}
        extras |= {name: values.tolist() for name, values in numbers.items() if values is not None}
    return extras


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
        with run.connect() as connection:
            row = connection.execute(f"COPY ({query}) TO {_quote(str(path), chr(39))} ({options})").fetchone()
    except duckdb.IOException as error:
        raise StorageError(f"{path}: cannot be written ({error}). An existing file was not replaced.") from error
    return 0 if row is None else int(row[0])


def _quote(text: str, mark: str) -> str:
    """Return an SQL literal (mark `'`) or name (mark `"`), because COPY accepts no parameters."""
    return mark + text.replace(mark, mark * 2) + mark
