"""Import pools: JSON lines, one problem per line with its samples. `docs/formats.md` describes the schema.

A line is imported as a whole or not at all: if any of its fields is faulty, every fault is reported and the line is
skipped, so that no pool is silently smaller than its source. What a line lacks stays absent: no token ids, no verdict,
no score. Keys that the schema does not know are stored in `meta` of the problem or the trajectory. This module does not
verify answers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from nbest.formats.intake import (
    IMPORTED,
    UNKNOWN_SEED,
    Entry,
    ImportReport,
    Item,
    OnProgress,
    Sample,
    check_kind,
    import_entries,
    size_bytes,
)
from nbest.former_name import FORMER
from nbest.records import KINDS, Completion, Finish, Kind, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import MAX_INT32, Fault, Fields, Line, describe, read_lines

EXTRAS = "nbest"
"""The reserved key for data that has no field in the plain schema, such as token ids and step scores."""

FINISHES: tuple[Finish, ...] = ("stop", "length", "error", "unknown")


def import_pools(
    run: Run, files: Sequence[Path], kind: str | None = None, on_progress: OnProgress | None = None
) -> ImportReport:
    """Import pool files into the run. `kind` overrides the kind that the lines state or imply.

    A second import of the same files adds only what is missing. Faulty lines are in the report. Raises ConfigError if
    `kind` does not exist, DataError if a file cannot be opened.
    """
    paths = list(files)
    read = partial(read_pools, paths, check_kind(kind))
    return import_entries(run, read, size_bytes(paths), on_progress)


def read_pools(files: Sequence[Path], kind: Kind | None = None) -> Iterator[Item]:
    """Yield the entries and faults of pool files in order; one line is in memory at a time."""
    before_bytes = 0
    for file in files:
        for line in read_lines(file):
            if isinstance(line, Fault):
                yield line
            else:
                yield from _read_problem(line, kind, before_bytes + line.end_bytes)
        before_bytes += size_bytes([file])


def _read_problem(line: Line, kind: Kind | None, end_bytes: int) -> list[Item]:
    fields = Fields(line)
    extras = fields.take_object(EXTRAS) or fields.take_object(FORMER)
    own_kind = _take_kind(fields)
    implied_kind: Kind = "code" if (fields.has("test") or fields.has("tests")) and fields.has("entry_point") else "math"
    id = fields.take_term("problem_id", required=True)
    if id == "":
        fields.add_fault("problem_id", "an empty string", "a string with at least one character")
    prompt = fields.take_text("question", required=True)
    target = _take_target(fields)
    tests = _take_tests(fields)
    items = fields.take_objects("samples", required=True)
    meta = fields.rest() | (_take_meta(extras) if extras else {})
    problem = Problem(id or "", prompt or "", target, kind or own_kind or implied_kind, tests, meta)
    samples = [_read_sample(item, problem, position) for position, item in enumerate(items)]
    indices = [sample.trajectory.index for sample in samples]
    if len(set(indices)) < len(indices):
        fields.add_fault("samples", f"repeated indices in {describe(indices)}", "each index once")
    if fields.faults:
        return list(fields.faults)
    return [Entry(line.file, line.number, problem, tuple(samples), end_bytes)]


def _take_kind(fields: Fields) -> Kind | None:
    kind = fields.take_text("kind")
    for allowed in KINDS:
        if kind == allowed:
            return allowed
    if kind is not None:
        fields.add_fault("kind", describe(kind), ", ".join(KINDS))
    return None


def _take_target(fields: Fields) -> str | None:
    target, gold = fields.take_term("target"), fields.take_term("gold")
    if target is not None and gold is not None and target != gold:
        fields.add_fault(
            "gold",
            f"{describe(gold)}, while target is {describe(target)}",
            "only one of the two, or the same value in both",
        )
    return gold if target is None else target


def _take_tests(fields: Fields) -> tuple[str, ...]:
    """Return `tests` (a list), or `test` (one string) if the line has an `entry_point` too, as in HumanEval."""
    tests = fields.take_texts("tests") or []
    if fields.has("test") and fields.has("entry_point"):
        test = fields.take_text("test")
        if test is not None:
            tests = [test, *tests]
    return tuple(tests)


def _read_sample(fields: Fields, problem: Problem, position: int) -> Sample:
    """Return one sample of a line; its faults go to the list of the line."""
    text = fields.take_text("text", required=True) or ""
    answer = fields.take_term("answer")
    has_verdict = fields.has("correct")
    correct = fields.take_flag("correct")
    logprobs = fields.take_numbers("logprobs")
    score_values = _take_scores(fields)
    extras = fields.take_object(EXTRAS) or fields.take_object(FORMER) or fields.inside({}, f"{EXTRAS}.")
    own_index, seed = extras.take_integer("index", 0, MAX_INT32), extras.take_integer("seed", 0, 2**63 - 1)
    index = position if own_index is None else own_index
    id = trajectory_id(problem.id, index)
    completion = _read_completion(extras, text, logprobs)
    trajectory = Trajectory(
        id=id,
        problem_id=problem.id,
        index=index,
        seed=UNKNOWN_SEED if seed is None else seed,
        completion=completion,
        answer=answer,
        meta=fields.rest() | _take_meta(extras),
    )
    steps = extras.take_object("steps") or extras.inside({}, "steps.")
    scores = {name: Score(id, value, tuple(steps.take_numbers(name) or ())) for name, value in score_values.items()}
    if not has_verdict:
        return Sample(trajectory, None, scores)
    details = extras.take_object("verdict")
    if details is None:
        return Sample(trajectory, Verdict(id, correct, None, IMPORTED), scores)
    verdict = Verdict(id, correct, details.take_text("answer"), details.take_text("note") or "")
    return Sample(trajectory, verdict, scores, has_verdict_answer=True)


def _take_scores(fields: Fields) -> dict[str, float]:
    inner = fields.take_object("scores")
    scores: dict[str, float] = {}
    for name in inner.values if inner else ():
        value = inner.take_number(name) if inner else None
        if value is not None:
            scores[name] = value
    return scores


def _read_completion(extras: Fields, text: str, logprobs: list[float] | None) -> Completion:
    finish = extras.take_text("finish") or "unknown"
    if finish not in FINISHES:
        extras.add_fault("finish", describe(finish), ", ".join(FINISHES))
    confidences, certainties = extras.take_numbers("confidences"), extras.take_numbers("certainties")
    return Completion(
        text=text,
        prompt_tokens=np.array(extras.take_token_ids("prompt_tokens") or [], dtype=np.int32),
        tokens=np.array(extras.take_token_ids("tokens") or [], dtype=np.int32),
        logprobs=None if logprobs is None else np.array(logprobs, dtype=np.float32),
        confidences=None if confidences is None else np.array(confidences, dtype=np.float32),
        finish=cast(Finish, finish),
        note=extras.take_text("note") or "",
        certainties=None if certainties is None else np.array(certainties, dtype=np.float32),
    )


def _take_meta(extras: Fields) -> dict[str, object]:
    inner = extras.take_object("meta")
    return dict(inner.values) if inner else {}
