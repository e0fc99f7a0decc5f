"""Import NeMo-Skills generations: folders with `output-rs<seed>.jsonl`, one file per random seed.

Line i of every file is the same problem (NeMo-Skills restores the order of its input), so the files are read side by
side and one line of each is in memory. A faulty line costs one trajectory, not the problem. The schema is that of
`nemo_skills/inference/generate.py`; `docs/formats.md` says where each field goes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from nbest.errors import DataError
from nbest.formats.intake import (
    IMPORTED,
    UNKNOWN_SEED,
    Entry,
    ImportReport,
    Item,
    Note,
    OnProgress,
    Sample,
    check_answer_rule,
    check_kind,
    import_entries,
    size_bytes,
)
from nbest.formats.signs import take_logprobs
from nbest.problems.stated_answers import take_answer
from nbest.records import Completion, Finish, Kind, Problem, Score, Trajectory, Usage, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import MAX_INT32, Fields, Line, LineOrFault, read_lines

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
"""Fields of the trajectory that NeMo-Skills adds to a line, besides those that are read by name."""

IGNORED_FIELDS = ("tokens", "top_logprobs", "serialized_output", "response")
"""Fields that are not imported: `tokens` are strings, not ids, and the others repeat the text."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of a folder. `seed` is None if the file name has none."""

    file: Path
    index: int
    seed: int | None


def import_nemo_skills(
    run: Run,
    files: Sequence[Path],
    kind: str | None = None,
    on_progress: OnProgress | None = None,
    answer: str | None = None,
) -> ImportReport:
    """Import NeMo-Skills folders (or single files of a folder) into the run. `kind` None means "math".

    `answer` is the rule by which answers are read where the files record none (see `nbest.answers.rules`). A second
    import adds only what is missing, including seeds that were sampled in the meantime. Raises ConfigError if `kind` or
    the rule does not exist, DataError if a folder holds no output file.
    """
    folders = _find_folders(files)
    paths = [source.file for sources in folders.values() for source in sources]
    read = partial(_read_folders, folders, check_kind(kind) or "math")
    return import_entries(run, read, size_bytes(paths), on_progress, check_answer_rule(answer))


def _find_folders(files: Sequence[Path]) -> dict[Path, list[_Source]]:
    folders: dict[Path, list[_Source]] = {}
    for path in files:
        sources = _find_sources(sorted(path.iterdir())) if path.is_dir() else _find_sources([path])
        if not sources:
            raise DataError(
                f"{path}: there is no output-rs<seed>.jsonl or output.jsonl here. Give a NeMo-Skills output folder."
            )
        folder = path if path.is_dir() else path.parent
        folders.setdefault(folder, []).extend(sources)
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
            yield Note(
                f"{folder}: these files were skipped because they are still being sampled: {', '.join(unfinished)}"
            )
        for item in _read_folder(folder, sources, kind):
            if isinstance(item, Entry):
                yield Entry(item.file, item.line, item.problem, item.samples, before_bytes + item.end_bytes)
            else:
                yield item
        before_bytes += size_bytes([source.file for source in sources])


def _read_folder(folder: Path, sources: list[_Source], kind: Kind) -> Iterator[Item]:
    """Merge the files of a folder by line number; a file that ends early has no more samples."""
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
    """Read one problem from the same line of every file: the first valid line defines it, the others must agree."""
    problem: Problem | None = None
    first_line: Line | None = None
    samples: list[Sample] = []
    for source, line in row:
        fields = Fields(line)
        candidate = _take_problem(fields, folder, kind)
        if problem is not None and (candidate.id, candidate.prompt) != (problem.id, problem.prompt):
            expectation = f"{first_line.file if first_line else ''} has {problem.id!r} on this line"
            actual = f"{candidate.id!r} ({candidate.prompt:.40}), but {expectation}"
            fields.add_fault("problem", actual, "the same problem on the same line of every file")
        sample = _take_sample(fields, problem or candidate, source)
        if fields.faults:
            yield from fields.faults
            continue
        if problem is None:
            meta = {name: value for name, value in fields.rest().items() if name not in SAMPLE_FIELDS}
            problem = replace(candidate, meta=meta)
            first_line = line
        samples.append(_with_meta(sample, fields.rest(), problem))
    if problem is not None and first_line is not None:
        # The entry bears the position of the first valid line, which is the same in both passes.
        yield Entry(first_line.file, first_line.number, problem, tuple(samples), end_bytes)


def _take_problem(fields: Fields, folder: Path, kind: Kind) -> Problem:
    """Return the problem of a line.

    Its id is `problem_id` or `id` if there is one, else the folder name and the 0-based line number. Its prompt is
    `problem` or `question`.
    """
    id = fields.take_term("problem_id") or fields.take_term("id") or f"{folder.resolve().name}/{fields.line.number - 1}"
    name = "question" if fields.has("question") and not fields.has("problem") else "problem"
    prompt = fields.take_text(name, required=True)
    return Problem(id, prompt or "", take_answer(fields, "expected_answer", kind=kind), kind)


def _take_sample(fields: Fields, problem: Problem, source: _Source) -> Sample:
    id = trajectory_id(problem.id, source.index)
    short = fields.take_text("generation", required=not fields.has("_full_generation"))
    text = fields.take_text("_full_generation") or short or ""
    answer = take_answer(fields, "predicted_answer", kind=problem.kind)
    logprobs = take_logprobs(fields)
    reward = fields.take_number("reward_model_score")
    error = fields.take_text("error")
    for name in IGNORED_FIELDS:
        fields.take(name)
    completion = Completion(
        text=text,
        logprobs=None if logprobs is None else np.array(logprobs, dtype=np.float32),
        finish="error" if error else _take_finish(fields),
        note=error or "",
        usage=_read_usage(fields),
    )
    seed = UNKNOWN_SEED if source.seed is None else source.seed
    trajectory = Trajectory(id, problem.id, source.index, seed, completion, answer)
    verdict = _take_verdict(fields, id)
    return Sample(trajectory, verdict, {} if reward is None else {REWARD_SCORER: Score(id, reward)})


def _read_usage(fields: Fields) -> Usage | None:
    """Return the counts of tokens, which also stay in the meta of the trajectory; None without a count."""
    counts = [fields.values.get(name) for name in ("num_input_tokens", "num_generated_tokens")]
    prompt, sampled = (count if isinstance(count, int) and 0 <= count <= MAX_INT32 else 0 for count in counts)
    return Usage(prompt, sampled) if sampled else None


def _take_finish(fields: Fields) -> Finish:
    """Return `finish_reason` if it is "stop" or "length"; any other value stays in the meta of the trajectory."""
    reason = fields.values.get("finish_reason")
    if reason in ("stop", "length"):
        fields.take("finish_reason")
        return cast(Finish, reason)
    return "unknown"


def _take_verdict(fields: Fields, id: str) -> Verdict | None:
    """Return the verdict of a line, or None if it has none.

    It is `symbolic_correct`, else `is_correct` (its older name), else the `judgement` of a language model, which also
    stays in meta. A judgement without a yes or no is ungraded (None); NeMo-Skills counts it as wrong.
    """
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


def _with_meta(sample: Sample, rest: dict[str, Any], problem: Problem) -> Sample:
    """Return the sample with those fields as meta that belong to it and not to the problem.

    A field belongs to the sample if NeMo-Skills writes it per sample, or if it differs from that of the problem.
    """
    meta = {
        name: value
        for name, value in rest.items()
        if name in SAMPLE_FIELDS or name not in problem.meta or problem.meta[name] != value
    }
    return replace(sample, trajectory=replace(sample.trajectory, meta=meta))
