"""Import of NeMo-Skills generations: folders with `output-rs<seed>.jsonl`, one file a random seed.

Line i of every file is the same problem (NeMo-Skills restores the order of its input), so the files are read side by
side and memory holds one line of each. A faulty line costs one trajectory, not the problem. The schema read here is
that of `nemo_skills/inference/generate.py`; which field goes where stands in `docs/formats.md`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from nbest.errors import DataError
from nbest.formats.intake import (
    IMPORTED,
    UNKNOWN_SEED,
    Attempt,
    Entry,
    ImportReport,
    Item,
    Note,
    OnProgress,
    check_kind,
    import_entries,
    size_bytes,
)
from nbest.records import Completion, Finish, Kind, Problem, Score, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import Fields, Line, LineOrFault, read_lines

SEED_FILE = re.compile(r"output-rs(\d+)\.jsonl(\.gz)?")
SINGLE_FILE = re.compile(r"output\.jsonl(\.gz)?")
JUDGEMENT = re.compile(r"\*{0,2}Judgement\*{0,2}\s*:\W*(yes|no)\b", re.IGNORECASE)
REWARD_SCORER = "reward_model"

SAMPLE_FIELDS = frozenset(
    {
        "_generation_finished_thinking",
        "num_generated_tokens",
        "num_input_tokens",
        "num_reasoning_tokens",
        "num_answer_tokens",
        "generation_start_time",
        "generation_end_time",
        "generation_time",
        "interleaved_eval_single_time_s",
        "reasoning_content",
        "usage",
        "judgement",
        "detailed_error",
        "num_code_executions",
        "code_rounds_executed",
        "tool_calls",
        "conversation",
    }
)
"""Fields that NeMo-Skills adds to a line besides those read by name; they belong to the trajectory."""

LEFT_OUT = ("tokens", "top_logprobs", "serialized_output", "response")
"""Not kept: `tokens` are strings, not ids, and the others repeat the text."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of a folder; `seed` is None where its name states none."""

    file: Path
    index: int
    seed: int | None


def import_nemo_skills(
    run: Run, files: Sequence[Path], kind: str | None = None, on_progress: OnProgress | None = None
) -> ImportReport:
    """Imports NeMo-Skills folders (or single files of one) into the run. `kind` is "math" unless given.

    Running it again adds only what is missing, seeds that were sampled since included. Raises ConfigError on a `kind`
    that does not exist, DataError where a folder holds no output file.
    """
    folders = _find_folders(files)
    paths = [source.file for sources in folders.values() for source in sources]
    read = partial(_read_folders, folders, check_kind(kind) or "math")
    return import_entries(run, read, size_bytes(paths), on_progress)


def _find_folders(files: Sequence[Path]) -> dict[Path, list[_Source]]:
    folders: dict[Path, list[_Source]] = {}
    for path in files:
        found = _find_sources(sorted(path.iterdir())) if path.is_dir() else _find_sources([path])
        if not found:
            raise DataError(f"{path}: no output-rs<seed>.jsonl or output.jsonl here. Give a NeMo-Skills output folder.")
        folder = path if path.is_dir() else path.parent
        folders.setdefault(folder, []).extend(found)
    for sources in folders.values():
        sources.sort(key=lambda source: source.index)
    return folders


def _find_sources(files: Sequence[Path]) -> list[_Source]:
    seeded = [(file, match) for file in files if (match := SEED_FILE.fullmatch(file.name))]
    if seeded:
        return [_Source(file, int(match[1]), int(match[1])) for file, match in seeded]
    return [_Source(file, 0, None) for file in files if SINGLE_FILE.fullmatch(file.name)]


def _read_folders(folders: dict[Path, list[_Source]], kind: Kind) -> Iterator[Item]:
    before_bytes = 0
    for folder, sources in folders.items():
        unfinished = sorted(file.name for file in folder.glob("output*.jsonl-async"))
        if unfinished:
            yield Note(f"{folder}: not read, because still being sampled: {', '.join(unfinished)}")
        for item in _read_folder(folder, sources, kind):
            if isinstance(item, Entry):
                yield Entry(item.file, item.line, item.problem, item.attempts, before_bytes + item.end_bytes)
            else:
                yield item
        before_bytes += size_bytes([source.file for source in sources])


def _read_folder(folder: Path, sources: list[_Source], kind: Kind) -> Iterator[Item]:
    """Merges the files of a folder by line number; a file that ends early just has no more attempts."""
    streams = [read_lines(source.file) for source in sources]
    heads: list[LineOrFault | None] = [next(stream, None) for stream in streams]
    positions = [0] * len(sources)
    while any(head is not None for head in heads):
        number = min(_number(head) for head in heads if head is not None)
        row: list[tuple[_Source, Line]] = []
        for position, head in enumerate(heads):
            if head is None or _number(head) != number:
                continue
            if isinstance(head, Line):
                row.append((sources[position], head))
                positions[position] = head.end_bytes
            else:
                yield head
            heads[position] = next(streams[position], None)
        if row:
            yield from _read_row(folder, row, kind, sum(positions))


def _number(head: LineOrFault) -> int:
    return head.number if isinstance(head, Line) else head.line


def _read_row(folder: Path, row: list[tuple[_Source, Line]], kind: Kind, end_bytes: int) -> Iterator[Item]:
    """One problem from the same line of every file: the first good line states the problem, the others must agree."""
    problem: Problem | None = None
    place: Line | None = None
    attempts: list[Attempt] = []
    for source, line in row:
        fields = Fields(line)
        stated = _take_problem(fields, folder, kind)
        if problem is not None and (stated.id, stated.prompt) != (problem.id, problem.prompt):
            came = f"{stated.id!r}: {stated.prompt:.40}, where {place.file if place else ''} has {problem.id!r} here"
            fields.add_fault("problem", came, "the same problem on the same line of every file")
        attempt = _take_attempt(fields, problem or stated, source)
        if fields.faults:
            yield from fields.faults
            continue
        if problem is None:
            own = {name: value for name, value in fields.rest().items() if name not in SAMPLE_FIELDS}
            problem = Problem(stated.id, stated.prompt, stated.target, stated.kind, (), own)
            place = line
        attempts.append(_with_meta(attempt, fields.rest(), problem))
    if problem is not None and place is not None:
        # The place is that of the first good line, which is the same in both passes.
        yield Entry(place.file, place.number, problem, tuple(attempts), end_bytes)


def _take_problem(fields: Fields, folder: Path, kind: Kind) -> Problem:
    """`id` or `problem_id` where stated, else folder name and 0-based line; `problem` or `question` is the prompt."""
    id = fields.take_term("problem_id") or fields.take_term("id") or f"{folder.resolve().name}/{fields.line.number - 1}"
    name = "question" if fields.has("question") and not fields.has("problem") else "problem"
    prompt = fields.take_text(name, required=True)
    return Problem(id, prompt or "", fields.take_term("expected_answer"), kind)


def _take_attempt(fields: Fields, problem: Problem, source: _Source) -> Attempt:
    id = trajectory_id(problem.id, source.index)
    short = fields.take_text("generation", required=not fields.has("_full_generation"))
    text = fields.take_text("_full_generation") or short or ""
    answer = fields.take_term("predicted_answer")
    logprobs = fields.take_numbers("logprobs")
    reward = fields.take_number("reward_model_score")
    error = fields.take_text("error")
    for name in LEFT_OUT:
        fields.take(name)
    completion = Completion(
        text=text,
        logprobs=None if logprobs is None else np.array(logprobs, dtype=np.float32),
        finish="error" if error else _take_finish(fields),
        note=error or "",
    )
    seed = UNKNOWN_SEED if source.seed is None else source.seed
    trajectory = Trajectory(id, problem.id, source.index, seed, completion, answer)
    verdict = _take_verdict(fields, id)
    return Attempt(trajectory, verdict, {} if reward is None else {REWARD_SCORER: Score(id, reward)})


def _take_finish(fields: Fields) -> Finish:
    """`finish_reason` "stop" and "length" as they are; any other word stays in the trajectory's meta."""
    reason = fields.values.get("finish_reason")
    if reason in ("stop", "length"):
        fields.take("finish_reason")
        return cast(Finish, reason)
    return "unknown"


def _take_verdict(fields: Fields, id: str) -> Verdict | None:
    """`symbolic_correct`, else `is_correct` (its older name), else the `judgement` of a language model, which stays
    in meta; a judgement without a yes or no could not be judged (None), where NeMo-Skills counts it as wrong."""
    for name in ("symbolic_correct", "is_correct"):
        if fields.has(name):
            return Verdict(id, fields.take_flag(name), None, IMPORTED)
    judgement = fields.values.get("judgement")
    if not isinstance(judgement, str):
        return None
    match = JUDGEMENT.search(judgement)
    if match is None:
        return Verdict(id, None, None, f"{IMPORTED}: a judgement without yes or no")
    return Verdict(id, match[1].lower() == "yes", None, f"{IMPORTED}: judgement")


def _with_meta(attempt: Attempt, rest: dict[str, Any], problem: Problem) -> Attempt:
    """A field belongs to the trajectory where NeMo-Skills is known to write it a sample, or where it differs from the
    problem's."""
    own = {
        name: value
        for name, value in rest.items()
        if name in SAMPLE_FIELDS or name not in problem.meta or problem.meta[name] != value
    }
    old = attempt.trajectory
    trajectory = Trajectory(old.id, old.problem_id, old.index, old.seed, old.completion, old.answer, own)
    return Attempt(trajectory, attempt.verdict, attempt.scores)
