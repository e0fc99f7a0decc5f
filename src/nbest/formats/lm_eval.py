"""Import of lm-evaluation-harness sample files: `samples_<task>_<date>.jsonl`, written with `--log_samples`.

The schema read here is that of `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py`; which field goes
where stands in `docs/formats.md`. Only generated texts make trajectories: a log-likelihood task has none and is
reported. A metric is a verdict only where the document has exactly one text, because with several the harness states
one number for all of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

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
from nbest.records import Completion, Kind, Problem, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import Fault, Fields, Line, describe, read_lines

FILE_NAME = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d{2}-\d{2}T[^/]*)?\.jsonl(\.gz)?")
NO_MATCH = "[invalid]"
"""What the harness's regex filters write where they found no answer."""

ANSWER_MARK = "####"
"""GSM8K's mark: the reference answer follows it, the worked solution stands before."""

HASHES = ("doc_hash", "prompt_hash", "target_hash")


@dataclass(slots=True)
class _FileState:
    """What has to be remembered over the lines of one file: which filter is read, and which documents were seen."""

    task: str
    filter: str | None
    seen: set[str] = field(default_factory=set[str])
    passed: dict[str, int] = field(default_factory=dict[str, int])


def import_lm_eval(
    run: Run,
    files: Sequence[Path],
    kind: str | None = None,
    on_progress: OnProgress | None = None,
    filter: str | None = None,
    metric: str = "exact_match",
) -> ImportReport:
    """Imports sample files into the run. `kind` is "math" unless given.

    The harness writes a document once a filter; `filter` names the one to read (None = the first one of each file;
    lines of others are counted in a note). `metric` is the field that states correctness as 0 or 1. Running it again
    adds only what is missing. Raises ConfigError on a `kind` that does not exist, DataError on a file that cannot be
    opened.
    """
    paths = list(files)
    read = partial(_read_files, paths, check_kind(kind) or "math", filter, metric)
    return import_entries(run, read, size_bytes(paths), on_progress)


def task_of(file: Path) -> str:
    """The task in the name of a sample file; the whole stem where the name has another form."""
    match = FILE_NAME.fullmatch(file.name)
    return match["task"] if match else file.name.removesuffix(".gz").removesuffix(".jsonl")


def _read_files(files: list[Path], kind: Kind, filter: str | None, metric: str) -> Iterator[Item]:
    before_bytes = 0
    for file in files:
        state = _FileState(task_of(file), filter)
        for line in read_lines(file):
            if isinstance(line, Fault):
                yield line
            elif not _is_passed(line, state):
                yield from _read_document(line, state, kind, metric, before_bytes + line.end_bytes)
        for name, count in state.passed.items():
            yield Note(f"{file}: {count} lines of filter {name!r} not read; name a filter to read it instead")
        before_bytes += size_bytes([file])


def _is_passed(line: Line, state: _FileState) -> bool:
    """Whether the line belongs to a filter that is not read. Older versions do not name the filter: there a document
    that comes again is the next filter's."""
    stated = line.values.get("filter")
    if isinstance(stated, str):
        state.filter = state.filter or stated
        other = stated if stated != state.filter else None
    else:
        doc_id = str(line.values.get("doc_id"))
        other = "(not named)" if doc_id in state.seen else None
        state.seen.add(doc_id)
    if other is not None:
        state.passed[other] = state.passed.get(other, 0) + 1
    return other is not None


def _read_document(line: Line, state: _FileState, kind: Kind, metric: str, end_bytes: int) -> list[Item]:
    fields = Fields(line)
    doc_id = fields.take_term("doc_id", required=True)
    texts = _take_texts(fields)
    prompt = _take_prompt(fields)
    meta: dict[str, Any] = {"task": state.task, "doc": fields.take("doc"), "filter": fields.take("filter")}
    target, meta["stated_target"] = _take_target(fields)
    answers, left = _take_answers(fields, len(texts))
    fields.take("metrics")
    hashes = {name: fields.take(name) for name in HASHES if fields.has(name)}
    correct = _take_correct(fields, metric) if len(texts) == 1 else None
    if fields.faults:
        return list(fields.faults)
    # What is left are metrics: of the one text where there is one, of the whole document where there are several.
    metrics = fields.rest() | left
    id = f"{state.task}/{doc_id}"
    meta |= hashes if len(texts) == 1 else hashes | metrics
    problem = Problem(id, prompt, target, kind, (), {name: value for name, value in meta.items() if value is not None})
    attempts: list[Attempt] = []
    for index, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        trajectory = Trajectory(
            id=trajectory_id(id, index),
            problem_id=id,
            index=index,
            seed=UNKNOWN_SEED,
            completion=Completion(text),
            answer=answer,
            meta=metrics if len(texts) == 1 else {},
        )
        verdict = None if correct is None else Verdict(trajectory.id, correct, None, IMPORTED)
        attempts.append(Attempt(trajectory, verdict))
    return [Entry(line.file, line.number, problem, tuple(attempts), end_bytes)]


def _take_texts(fields: Fields) -> list[str]:
    """The texts of the one request: `resps` is `[[text, ...]]`."""
    requests: object = fields.take("resps")
    allowed = "[[text, ...]], one request with its texts (a generate_until task)"
    if not isinstance(requests, list) or len(cast("list[Any]", requests)) != 1:
        came = "nothing (the field is missing)" if requests is None else describe(cast(object, requests))
        fields.add_fault("resps", came, allowed)
        return []
    inner = fields.inside({"0": cast("list[Any]", requests)[0]}, "resps.")
    texts = inner.take_texts("0")
    if texts is None and not inner.faults:
        fields.add_fault("resps", "[null]", allowed)
    return texts or []


def _take_prompt(fields: Fields) -> str:
    """The prompt that was sent (`arguments`: `gen_args_0.arg_0`, or `[[prompt, ...]]` in older versions), with its
    few-shot examples and chat template; where it is absent, `doc.question` or `doc.problem`."""
    arguments, doc = fields.take("arguments"), fields.values.get("doc")
    candidates: list[Any] = []
    if isinstance(arguments, dict):
        first = cast("dict[str, Any]", arguments).get("gen_args_0")
        candidates.append(cast("dict[str, Any]", first).get("arg_0") if isinstance(first, dict) else None)
    elif isinstance(arguments, list) and arguments and isinstance(arguments[0], list) and arguments[0]:
        candidates.append(cast("list[Any]", arguments[0])[0])
    if isinstance(doc, dict):
        candidates += [cast("dict[str, Any]", doc).get(name) for name in ("question", "problem")]
    for candidate in candidates:
        if isinstance(candidate, str):
            return candidate
    fields.add_fault(
        "arguments", describe(cast(object, arguments)), "a prompt in gen_args_0.arg_0, or doc.question or doc.problem"
    )
    return ""


def _take_target(fields: Fields) -> tuple[str | None, Any]:
    """The target, and the field as stated where the target is only a part of it (after the last `####`) or is absent
    because the field is a list or an object."""
    value = fields.values.get("target")
    if isinstance(value, (list, dict)):
        return None, fields.take("target")
    stated = fields.take_term("target")
    if stated is None or ANSWER_MARK not in stated:
        return stated, None
    return stated.rpartition(ANSWER_MARK)[2].strip(), stated


def _take_answers(fields: Fields, count: int) -> tuple[list[str | None], dict[str, Any]]:
    """One filtered answer a text where the filter kept one for each; else none, and what it kept goes to meta."""
    filtered = fields.take("filtered_resps")
    nothing: list[str | None] = [None] * count
    if not isinstance(filtered, list) or len(cast("list[Any]", filtered)) != 1:
        return nothing, {} if filtered is None else {"filtered_resps": filtered}
    kept: Any = cast("list[Any]", filtered)[0]
    values: list[Any] = cast("list[Any]", kept) if isinstance(kept, list) else [kept]
    if len(values) != count or not all(isinstance(value, str) for value in values):
        return nothing, {"filtered_resps": filtered}
    return [None if value == NO_MATCH else value for value in values], {}


def _take_correct(fields: Fields, metric: str) -> bool | None:
    """The metric as a verdict where it is 0 or 1 (or true, false); any other value stays in meta."""
    value = fields.values.get(metric)
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        fields.take(metric)
        return bool(value)
    return None
