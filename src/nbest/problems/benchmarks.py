"""Loads published problem sets as `Problem`s, from a local copy or from the hub; `benchmark_table` lists them.

The prompt of a problem is its question in a template: the placeholders `{question}`, `{starter}` and `{tests}` are
replaced in one pass and nothing else is interpreted, so `\\boxed{}` needs no escaping; `meta["question"]` holds the
bare question. Users define their own sets in a short TOML file, see `docs/formats.md`. The content hash of a published
set is recorded at its first load (`content_records`). This module does not sample, does not verify and does not unpack
hidden tests.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nbest.answers.rules import DEFAULT
from nbest.errors import ConfigError, DataError
from nbest.plurals import show_count
from nbest.problems.answer_rules import take_answer_rule
from nbest.problems.benchmark_table import (
    QUESTION,
    STARTER,
    TESTS,
    Benchmark,
    find_benchmark,
    find_template,
    list_benchmarks,
    templates,
)
from nbest.problems.code_rows import (
    ENTRY_POINT,
    PUBLIC_TESTS,
    check_tests,
    name_entry_point,
    take_public_tests,
    take_tests,
)
from nbest.problems.content_records import check_record
from nbest.problems.hub import read_hub, resolve_revision
from nbest.problems.problem_files import guess_benchmark, is_problem_file
from nbest.problems.rows import read_rows
from nbest.problems.stated_answers import take_answer
from nbest.records import Problem
from nbest.text.json_lines import Fault, Fields, LineOrFault, describe

__all__ = [
    "Benchmark",
    "apply_template",
    "content_hash",
    "find_benchmark",
    "list_benchmarks",
    "load_benchmark",
    "resolve_revision",
    "source_hash",
    "templates",
]

REPORTED_FAULTS = 20
_PLACEHOLDERS = re.compile("|".join(re.escape(name) for name in (QUESTION, STARTER, TESTS)))


def load_benchmark(
    name: str, file: Path | None = None, revision: str | None = None, template: str | None = None
) -> list[Problem]:
    """Return the problems of a benchmark in the order of the source. `name` may also be the path of a table of
    problems, whose columns are then guessed (`problem_files`).

    Ids are `<name>/<id>`, with the 0-based position for rows without an id. `file` is a local copy in the upstream
    schema (JSONL, also with gzip, CSV, Parquet); without one the dataset is loaded from the hub at `revision` (None =
    the newest). `template` replaces the template of the benchmark: the name of a preset, or a text with `{question}`.
    The content hash of a published set is recorded at its first load on this machine, and a later load with another
    content is rejected; a user's own set is checked against its `hash`, if it has one.

    Raises ConfigError (unknown name, faulty TOML), DataError (a faulty row, no row, another number of problems, another
    content hash), MissingExtraError (no `datasets`), EngineError (the hub cannot be reached), StorageError (the hash
    cannot be recorded).
    """
    if is_problem_file(name):
        if file is not None or revision is not None:
            fields = {"file": file, "revision": revision}
            raise ConfigError(
                f"problems.{field}: got {value}, but the source {name!r} is a file already; leave it out"
                for field, value in fields.items()
                if value is not None
            )
        benchmark = guess_benchmark(Path(name))
    else:
        benchmark = find_benchmark(name)
    if template is not None:
        benchmark = replace(
            benchmark, template=find_template(template, "template"), template_starter="", template_tests=""
        )
    source, commit = file or benchmark.file, ""
    if source is None:
        commit = resolve_revision(benchmark, revision)
        rows = read_hub(benchmark, commit, is_reached=commit != revision)
    else:
        rows = read_rows(source)
    problems = list(_read_problems(rows, benchmark))
    if not problems:
        raise DataError(f"{source or benchmark.hub}: it has no problems. Give a source with at least one problem.")
    if benchmark.problems and len(problems) != benchmark.problems:
        raise DataError(
            f"{source or benchmark.hub}: got {show_count(len(problems), 'problem')}; {benchmark.name} has "
            f"{benchmark.problems}. "
            "Give a complete copy, or define a part of it as your own benchmark in a .toml file."
        )
    _check_content(benchmark, problems, source, commit)
    return problems


def content_hash(problems: Iterable[Problem]) -> str:
    """Return a hash of 32 hex digits over the problems in their order.

    It covers id, prompt and target, and tests and answer rule where a problem has others than none and the default.
    """
    digest = hashlib.blake2b(digest_size=16)
    for problem in problems:
        fields = [problem.id, problem.prompt, problem.target, *([problem.tests] if problem.tests else [])]
        fields += [] if problem.answer_rule == DEFAULT else [{"answer_rule": problem.answer_rule}]
        digest.update(json.dumps(fields, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def source_hash(problems: Iterable[Problem]) -> str:
    """Return the `content_hash` of the bare questions, which depends on neither the template nor answer rules."""
    return content_hash(replace(p, prompt=str(p.meta.get("question", p.prompt)), answer_rule=DEFAULT) for p in problems)


def apply_template(template: str, question: str, starter: str = "", tests: Sequence[str] = ()) -> str:
    """Return the template with its placeholders replaced, one test per line. Other braces, as in `\\boxed{}`, stay."""
    values = {QUESTION: question, STARTER: starter, TESTS: "\n".join(tests)}
    return _PLACEHOLDERS.sub(lambda match: values[match.group()], template)


def _check_content(benchmark: Benchmark, problems: list[Problem], source: Path | None, commit: str) -> None:
    digest = source_hash(problems)
    if benchmark.hash and digest != benchmark.hash:
        raise DataError(
            f"{source or benchmark.hub}: got content hash {digest}; {benchmark.name} requires {benchmark.hash}. Give "
            "the copy with this hash, or correct `hash`."
        )
    if not benchmark.is_own:
        key = benchmark.name if source is None else f"{benchmark.name} {source.absolute()}"
        check_record(key, digest, len(problems), commit)


def _read_problems(rows: Iterator[LineOrFault], benchmark: Benchmark) -> Iterator[Problem]:
    """Yield the problems of the rows. Raises DataError with all faults (20 in full) after the last row."""
    faults: list[Fault] = []
    seen: set[str] = set()
    questions: set[bytes] = set()
    position = 0
    for row in rows:
        if isinstance(row, Fault):
            faults.append(row)
            continue
        columns = benchmark.columns or tuple(row.values)
        fields = Fields(row, {name: value for name, value in row.values.items() if name in columns})
        if benchmark.distinct and _is_repeated(fields, benchmark, questions):
            continue
        day = _take_day(fields, benchmark.released) if benchmark.released else None
        if day is not None and not _is_within(day, benchmark):
            continue
        if benchmark.id_range is not None and not _is_in_range(fields, benchmark, benchmark.id_range):
            continue
        problem = _read_problem(fields, benchmark, position, day)
        if problem.id in seen:
            fields.add_fault("id", f"{problem.id!r} for a second time", "each id once")
        seen.add(problem.id)
        faults += fields.faults
        position += 1
        if not faults:
            yield problem
    if faults:
        lines = [str(fault) for fault in faults[:REPORTED_FAULTS]]
        more = len(faults) - len(lines)
        raise DataError("\n".join([*lines, f"... and {more} more"] if more else lines))


def _is_repeated(fields: Fields, benchmark: Benchmark, questions: set[bytes]) -> bool:
    """Return whether an earlier row has the same question. `questions` holds the hashes of earlier questions."""
    text = next((fields.values[name] for name in benchmark.question if fields.has(name)), None)
    key = hashlib.blake2b(str(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if text is None or key not in questions:
        questions.add(key)
        return False
    return True


def _read_problem(fields: Fields, benchmark: Benchmark, position: int, day: date | None) -> Problem:
    question = _take_question(fields, benchmark)
    take = partial(take_answer, fields, kind=benchmark.kind)
    answer = _take_first(fields, benchmark.answer, take) if benchmark.answer else None
    target = answer
    if answer is not None and benchmark.answer_after and benchmark.answer_after in answer:
        target = answer.rpartition(benchmark.answer_after)[2].strip()
    id = next((fields.take_term(name) for name in benchmark.id if fields.has(name)), None)
    tests, public_tests = take_tests(fields, benchmark, question), take_public_tests(fields, benchmark)
    starter = fields.take_text(benchmark.starter) or "" if benchmark.starter else ""
    rule = take_answer_rule(fields) or benchmark.answer_rule
    entry_point = name_entry_point(fields, benchmark, (*public_tests, *tests)) if benchmark.kind == "code" else ""
    meta = fields.rest() | {"benchmark": benchmark.name, "question": question}
    if public_tests:
        meta[PUBLIC_TESTS] = list(public_tests)
    if entry_point:
        meta[ENTRY_POINT] = entry_point
    if target != answer:
        meta["stated_answer"] = answer
    if starter:
        meta[benchmark.starter] = starter
    if day is not None:
        meta[benchmark.released] = day.isoformat()
    prompt = apply_template(
        _choose_template(benchmark, starter, public_tests), question, starter, public_tests or tests
    )
    problem_id = f"{benchmark.name}/{position if id is None else id}"
    problem = Problem(problem_id, prompt, target, benchmark.kind, tests, meta, rule)
    if benchmark.is_own and benchmark.kind == "code":
        check_tests(fields, problem)
    return problem


def _choose_template(benchmark: Benchmark, starter: str, public_tests: Sequence[str]) -> str:
    if starter and benchmark.template_starter:
        return benchmark.template_starter
    return benchmark.template_tests if public_tests and benchmark.template_tests else benchmark.template


def _take_question(fields: Fields, benchmark: Benchmark) -> str:
    """Return the question of a row. One that is empty or blank is a fault."""
    question = _take_first(fields, benchmark.question, fields.take_text)
    if question is not None and not question.strip():
        name = next(name for name in benchmark.question if fields.has(name))
        fields.add_fault(name, describe(question), "a question that is not empty")
    return question or ""


def _take_first(fields: Fields, names: Sequence[str], take: Callable[[str, bool], str | None]) -> str | None:
    """Return the value of the first of these columns that the row has; a row with none of them is a fault."""
    for name in names:
        if fields.has(name):
            return take(name, True)
    fields.add_fault(" or ".join(names), f"columns {', '.join(fields.values)}", "a column of this name")
    return None


def _is_in_range(fields: Fields, benchmark: Benchmark, id_range: tuple[int, int]) -> bool:
    """Return whether the id of a row is a number of the range. A row with another id is a fault."""
    value = next((fields.values[name] for name in benchmark.id if fields.has(name)), None)
    try:
        return id_range[0] <= int(str(value)) <= id_range[1]
    except ValueError:
        fields.add_fault(" or ".join(benchmark.id), describe(value), "a whole number")
        return True


def _take_day(fields: Fields, name: str) -> date | None:
    """Return the day in a column of dates, or of texts such as 2024-08-03T00:00:00."""
    value: Any = fields.take(name)
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(value).date() if isinstance(value, str) else _add_day_fault(fields, name, value)
    except ValueError:
        return _add_day_fault(fields, name, value)


def _add_day_fault(fields: Fields, name: str, value: Any) -> None:
    fields.add_fault(name, describe(value), "a date, or a text such as 2024-08-03T00:00:00")


def _is_within(day: date, benchmark: Benchmark) -> bool:
    """Return whether a problem was released between `since` and `until`, inclusive."""
    return (benchmark.since or day) <= day <= (benchmark.until or day)
