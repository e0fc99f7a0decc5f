"""Import of pools: JSON lines, one problem a line with its samples. `docs/formats.md` states the schema.

A line is taken whole or not at all: where any of its fields is faulty, every fault is reported and the line is left
out, so no pool is silently smaller than its source. What a line lacks stays absent: no token ids, no verdict, no
score. Keys the schema does not know are kept in `meta` of the problem or the trajectory. This module does not verify
answers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from nbest.formats.intake import (
    IMPORTED,
    UNKNOWN_SEED,
    Attempt,
    Entry,
    ImportReport,
    Item,
    OnProgress,
    check_kind,
    import_entries,
    size_bytes,
)
from nbest.former_name import FORMER
from nbest.records import KINDS, Completion, Finish, Kind, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import MAX_INT32, Fault, Fields, Line, describe, read_lines

EXTRAS = "nbest"
"""The one reserved key under which an export keeps what the plain schema has no field for."""

FINISHES: tuple[Finish, ...] = ("stop", "length", "error", "unknown")


def import_pools(
    run: Run, files: Sequence[Path], kind: str | None = None, on_progress: OnProgress | None = None
) -> ImportReport:
    """Imports pool files into the run. `kind` overrides what the lines say or imply.

    Running it again adds only what is missing. Raises ConfigError on a `kind` that does not exist, DataError on a
    file that cannot be opened; faulty lines are in the report.
    """
    paths = list(files)
    read = partial(read_pools, paths, check_kind(kind))
    return import_entries(run, read, size_bytes(paths), on_progress)


def read_pools(files: Sequence[Path], kind: Kind | None = None) -> Iterator[Item]:
    """Streams the entries and faults of pool files, in order; memory holds one line."""
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
    stated_kind = _take_kind(fields)
    implied: Kind = "code" if (fields.has("test") or fields.has("tests")) and fields.has("entry_point") else "math"
    id = fields.take_term("problem_id", required=True)
    if id == "":
        fields.add_fault("problem_id", "an empty string", "a string with at least one character")
    prompt = fields.take_text("question", required=True)
    target = _take_target(fields)
    tests = _take_tests(fields)
    samples = fields.take_objects("samples", required=True)
    meta = fields.rest() | (_taken_meta(extras) if extras else {})
    problem = Problem(id or "", prompt or "", target, kind or stated_kind or implied, tests, meta)
    attempts = [_read_sample(sample, problem, position) for position, sample in enumerate(samples)]
    indices = [attempt.trajectory.index for attempt in attempts]
    if len(set(indices)) < len(indices):
        fields.add_fault("samples", f"indices {describe(indices)} with a repetition", "each index once")
    if fields.faults:
        return list(fields.faults)
    return [Entry(line.file, line.number, problem, tuple(attempts), end_bytes)]


def _take_kind(fields: Fields) -> Kind | None:
    stated = fields.take_text("kind")
    for allowed in KINDS:
        if stated == allowed:
            return allowed
    if stated is not None:
        fields.add_fault("kind", describe(stated), ", ".join(KINDS))
    return None


def _take_target(fields: Fields) -> str | None:
    target, gold = fields.take_term("target"), fields.take_term("gold")
    if target is not None and gold is not None and target != gold:
        fields.add_fault("gold", f"{describe(gold)} beside target {describe(target)}", "one of the two, or the same")
    return gold if target is None else target


def _take_tests(fields: Fields) -> tuple[str, ...]:
    """`tests` (a list), or `test` (one string) where the line has an `entry_point` too: HumanEval's schema."""
    tests = fields.take_texts("tests") or []
    if fields.has("test") and fields.has("entry_point"):
        test = fields.take_text("test")
        if test is not None:
            tests = [test, *tests]
    return tuple(tests)


def _read_sample(fields: Fields, problem: Problem, position: int) -> Attempt:
    """The attempt a sample states; its faults are in the list it shares with the line."""
    text = fields.take_text("text", required=True) or ""
    answer = fields.take_term("answer")
    states_correct = fields.has("correct")
    correct = fields.take_flag("correct")
    logprobs = fields.take_numbers("logprobs")
    values = _take_scores(fields)
    extras = fields.take_object(EXTRAS) or fields.take_object(FORMER) or fields.inside({}, f"{EXTRAS}.")
    stated_index, stated_seed = extras.take_integer("index", 0, MAX_INT32), extras.take_integer("seed", 0, 2**63 - 1)
    index = position if stated_index is None else stated_index
    id = trajectory_id(problem.id, index)
    completion = _read_completion(extras, text, logprobs)
    trajectory = Trajectory(
        id=id,
        problem_id=problem.id,
        index=index,
        seed=UNKNOWN_SEED if stated_seed is None else stated_seed,
        completion=completion,
        answer=answer,
        meta=fields.rest() | _taken_meta(extras),
    )
    steps = extras.take_object("steps") or extras.inside({}, "steps.")
    scores = {name: Score(id, value, tuple(steps.take_numbers(name) or ())) for name, value in values.items()}
    if not states_correct:
        return Attempt(trajectory, None, scores)
    stated = extras.take_object("verdict")
    if stated is None:
        return Attempt(trajectory, Verdict(id, correct, None, IMPORTED), scores)
    verdict = Verdict(id, correct, stated.take_text("answer"), stated.take_text("note") or "")
    return Attempt(trajectory, verdict, scores, is_answer_stated=True)


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


def _taken_meta(extras: Fields) -> dict[str, object]:
    inner = extras.take_object("meta")
    return dict(inner.values) if inner else {}
