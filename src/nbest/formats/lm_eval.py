"""Import sample files of lm-evaluation-harness: `samples_<task>_<date>.jsonl`, written with `--log_samples`.

The schema is that of `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py`; `docs/formats.md` says where
each field goes. Only generated texts become trajectories: a log-likelihood task has none, which is reported as a fault.
A metric becomes a verdict only if the document has exactly one text, because for several texts the harness records one
number for all of them.
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
from nbest.plurals import agree, show_count
from nbest.problems.stated_answers import take_answer
from nbest.records import Completion, Kind, Problem, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run
from nbest.text.json_lines import Fault, Fields, Line, describe, read_lines

FILE_NAME = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d{2}-\d{2}T[^/]*)?\.jsonl(\.gz)?")
NO_MATCH = "[invalid]"
"""The text that the regex filters of the harness write if they find no answer."""

ANSWER_MARK = "####"
"""The mark in targets of GSM8K between the worked solution and the reference answer."""

HASHES = ("doc_hash", "prompt_hash", "target_hash")


@dataclass(slots=True)
class _FileState:
    """State across the lines of a file: the filter to read, the ids of earlier documents, skipped lines per filter."""

    task: str
    filter: str | None
    documents: set[str] = field(default_factory=set[str])
    skipped_lines: dict[str, int] = field(default_factory=dict[str, int])


def import_lm_eval(
    run: Run,
    files: Sequence[Path],
    kind: str | None = None,
    on_progress: OnProgress | None = None,
    filter: str | None = None,
    metric: str = "exact_match",
    answer: str | None = None,
) -> ImportReport:
    """Import sample files into the run. `kind` None means "math".

    `answer` is the rule by which answers are read where the files record none (see `nbest.answers.rules`).

    The harness writes each document once per filter. `filter` names the filter to read (None = the first one of each
    file); a note counts the lines of other filters. `metric` is the field that holds correctness as 0 or 1. A second
    import of the same files adds only what is missing. Raises ConfigError if `kind` or the rule does not exist,
    DataError if a file cannot be opened.
    """
    paths = list(files)
    read = partial(_read_files, paths, check_kind(kind) or "math", filter, metric)
    return import_entries(run, read, size_bytes(paths), on_progress, check_answer_rule(answer))


def task_of(file: Path) -> str:
    """Return the task in the name of a sample file; the whole stem if the name has another form."""
    match = FILE_NAME.fullmatch(file.name)
    return match["task"] if match else file.name.removesuffix(".gz").removesuffix(".jsonl")


def _read_files(files: list[Path], kind: Kind, filter: str | None, metric: str) -> Iterator[Item]:
    before_bytes = 0
    for file in files:
        state = _FileState(task_of(file), filter)
        for line in read_lines(file):
            if isinstance(line, Fault):
                yield line
            elif not _is_skipped(line, state):
                yield from _read_document(line, state, kind, metric, before_bytes + line.end_bytes)
        for name, count in state.skipped_lines.items():
            yield Note(
                f"{file}: {show_count(count, 'line')} of filter {name!r} {agree(count, 'was')} skipped; pass its "
                "name as the filter to read it instead"
            )
        before_bytes += size_bytes([file])


def _is_skipped(line: Line, state: _FileState) -> bool:
    """Return whether the line belongs to another filter than the one that is read.

    Older versions of the harness do not name the filter: there the second occurrence of a document is of the next one.
    """
    filter = line.values.get("filter")
    if isinstance(filter, str):
        state.filter = state.filter or filter
        skipped_filter = filter if filter != state.filter else None
    else:
        doc_id = str(line.values.get("doc_id"))
        skipped_filter = "(not named)" if doc_id in state.documents else None
        state.documents.add(doc_id)
    if skipped_filter is not None:
        state.skipped_lines[skipped_filter] = state.skipped_lines.get(skipped_filter, 0) + 1
    return skipped_filter is not None


def _read_document(line: Line, state: _FileState, kind: Kind, metric: str, end_bytes: int) -> list[Item]:
    fields = Fields(line)
    doc_id = fields.take_term("doc_id", required=True)
    texts = _take_texts(fields)
    prompt = _take_prompt(fields)
    meta: dict[str, Any] = {"task": state.task, "doc": fields.take("doc"), "filter": fields.take("filter")}
    target, meta["stated_target"] = _take_target(fields, kind)
    answers, answer_fields = _take_answers(fields, len(texts))
    fields.take("metrics")
    hashes = {name: fields.take(name) for name in HASHES if fields.has(name)}
    correct = _take_correct(fields, metric) if len(texts) == 1 else None
    if fields.faults:
        return list(fields.faults)
    # The remaining fields are metrics: of the text if there is one, of the whole document if there are several.
    metrics = fields.rest() | answer_fields
    id = f"{state.task}/{doc_id}"
    meta |= hashes if len(texts) == 1 else hashes | metrics
    problem = Problem(id, prompt, target, kind, (), {name: value for name, value in meta.items() if value is not None})
    samples: list[Sample] = []
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
        samples.append(Sample(trajectory, verdict))
    return [Entry(line.file, line.number, problem, tuple(samples), end_bytes)]


def _take_texts(fields: Fields) -> list[str]:
    """Return the texts of the only request: `resps` is `[[text, ...]]`."""
    requests: object = fields.take("resps")
    allowed = "[[text, ...]], one request with its texts (a generate_until task)"
    if not isinstance(requests, list) or len(cast("list[Any]", requests)) != 1:
        actual = "nothing (the field is missing)" if requests is None else describe(cast(object, requests))
        fields.add_fault("resps", actual, allowed)
        return []
    inner = fields.inside({"0": cast("list[Any]", requests)[0]}, "resps.")
    texts = inner.take_texts("0")
    if texts is None and not inner.faults:
        fields.add_fault("resps", "[null]", allowed)
    return texts or []


def _take_prompt(fields: Fields) -> str:
    """Return the prompt that was sent, with its few-shot examples and chat template.

    It stands in `arguments` under `gen_args_0.arg_0`, or as `[[prompt, ...]]` in older versions. If it is absent,
    `doc.question` or `doc.problem` is used.
    """
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


def _take_target(fields: Fields, kind: Kind) -> tuple[str | None, Any]:
    """Return the target, and the original field if the target is only a part of it.

    The target follows the last `####` if there is one. If the field is a list or an object there is no target.
    """
    value = fields.values.get("target")
    if isinstance(value, (list, dict)):
        return None, fields.take("target")
    text = take_answer(fields, "target", kind=kind)
    if text is None or ANSWER_MARK not in text:
        return text, None
    return text.rpartition(ANSWER_MARK)[2].strip(), text


def _take_answers(fields: Fields, count: int) -> tuple[list[str | None], dict[str, Any]]:
    """Return one filtered answer per text, and the fields for meta.

    If the filter did not return one answer per text, there are no answers, and its result goes to meta.
    """
    filtered = fields.take("filtered_resps")
    no_answers: list[str | None] = [None] * count
    if not isinstance(filtered, list) or len(cast("list[Any]", filtered)) != 1:
        return no_answers, {} if filtered is None else {"filtered_resps": filtered}
    result: Any = cast("list[Any]", filtered)[0]
    values: list[Any] = cast("list[Any]", result) if isinstance(result, list) else [result]
    if len(values) != count or not all(isinstance(value, str) for value in values):
        return no_answers, {"filtered_resps": filtered}
    return [None if value == NO_MATCH else value for value in values], {}


def _take_correct(fields: Fields, metric: str) -> bool | None:
    """Return the metric as a verdict if it is 0 or 1 (or a boolean); any other value stays in meta."""
    value = fields.values.get(metric)
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        fields.take(metric)
        return bool(value)
    return None
