"""Import pools: JSON lines, one problem per line with its samples. `docs/formats.md` describes the schema.

A line is imported as a whole or not at all: if any of its fields is faulty, every fault is reported and the line is
skipped, so that no pool is silently smaller than its source. What a line lacks stays absent: no token ids, no verdict,
no score. Keys that the schema does not know are stored in `meta` of the problem or the trajectory. This module does not
verify answers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from nbest.answers.rules import DEFAULT
from nbest.formats.intake import (
    Entry,
    ImportReport,
    Item,
    Note,
    OnProgress,
    check_answer_rule,
    check_kind,
    import_entries,
    size_bytes,
)
from nbest.formats.pool_samples import EXTRAS, read_sample, refuse_rest, take_extras, take_meta
from nbest.formats.selections import take_selections
from nbest.formats.signs import SIGN_FIELD, ConfidencesSign, check_sign, take_sign
from nbest.former_name import FORMER
from nbest.problems.answer_rules import FIELD as ANSWER_RULE
from nbest.problems.answer_rules import take_answer_rule
from nbest.problems.code_rows import take_test_column
from nbest.problems.stated_answers import take_answer
from nbest.records import KINDS, Kind, Problem
from nbest.storage.run import Run
from nbest.text.json_lines import Fault, Fields, Line, describe, read_lines

_OF_SAMPLE = (
    *("text", "correct", "logprobs", "confidences", "certainties", "finish", "finish_reason"),
    *("sampled_tokens", "scores", "step_scores", "step_labels", "first_wrong_step"),
)
PROBLEM_FIELDS = frozenset(
    {
        *("problem_id", "question", "target", "gold", "samples", "kind", ANSWER_RULE, "tests", "test"),
        *(SIGN_FIELD, "answer", EXTRAS, FORMER),
        *_OF_SAMPLE,
    }
)
"""Names that are read in a line: meta of a problem with such a name is exported below `nbest.meta`."""
TEST_LISTS = ("public_tests", "generated_tests", "gen_tests")
"""Fields of a code problem with tests that selectors may run; they stay in meta, where `nbest.programs.tasks` reads
them."""


def import_pools(
    run: Run,
    files: Sequence[Path],
    kind: str | None = None,
    on_progress: OnProgress | None = None,
    answer: str | None = None,
    confidences_sign: str | None = None,
) -> ImportReport:
    """Import pool files into the run.

    `kind` overrides the kind that the lines state or imply, `answer` their `answer_rule`, `confidences_sign` (`nbest`
    or `deepconf`, see `nbest.formats.signs`) that of the files. A second import of the same files adds only what is
    missing. Faulty lines are in the report. Raises ConfigError if `kind`, the rule `answer` or the sign does not exist,
    UnavailableError if the function of a rule cannot be imported, DataError if a file cannot be opened.
    """
    paths = list(files)
    read = partial(read_pools, paths, check_kind(kind), check_sign(confidences_sign))
    return import_entries(run, read, size_bytes(paths), on_progress, check_answer_rule(answer))


def read_pools(files: Sequence[Path], kind: Kind | None = None, sign: ConfidencesSign | None = None) -> Iterator[Item]:
    """Yield the entries and faults of pool files in order; one line is in memory at a time.

    The first object of a file may be its header: an object with `confidences_sign` and without a problem.
    """
    before_bytes = 0
    for file in files:
        is_first, file_sign = True, sign
        for line in read_lines(file):
            if isinstance(line, Fault):
                yield line
            elif is_first and _is_header(line):
                header_sign, items = _read_header(line)
                file_sign = sign or header_sign
                yield from items
            else:
                yield from _read_problem(line, kind, file_sign, sign is not None, before_bytes + line.end_bytes)
            is_first = False
        before_bytes += size_bytes([file])


def _is_header(line: Line) -> bool:
    return SIGN_FIELD in line.values and not {"problem_id", "question", "samples"} & line.values.keys()


def _read_header(line: Line) -> tuple[ConfidencesSign | None, list[Item]]:
    """Return the sign of the confidences of a file, and faults or notes."""
    fields = Fields(line)
    sign = take_sign(fields)
    items: list[Item] = list(fields.faults)
    if fields.rest():
        names = ", ".join(fields.rest())
        items.append(Note(f"{line.file}: the first line is a header; of it, these fields are not read: {names}"))
    return sign, items


def _read_problem(
    line: Line, kind: Kind | None, file_sign: ConfidencesSign | None, is_fixed: bool, end_bytes: int
) -> list[Item]:
    """Return the entry of a line, or its faults. `is_fixed`: the sign of the line itself does not count."""
    fields = Fields(line)
    extras = take_extras(fields)
    own_kind, own_rule, own_sign = _take_kind(fields), take_answer_rule(fields), take_sign(fields)
    own_kind = kind or own_kind or _imply_kind(fields)
    id = fields.take_term("problem_id", required=True)
    if id == "":
        fields.add_fault("problem_id", "an empty string", "a string with at least one character")
    prompt = fields.take_text("question", required=True)
    target = _take_target(fields, own_kind)
    tests = _take_tests(fields)
    if own_kind == "code":
        _check_code_fields(fields)
    items = fields.take_objects("samples", required=True)
    _refuse_sample_fields(fields, target)
    meta = fields.rest() | take_meta(extras)
    selections = take_selections(extras, id or "", len(items))
    refuse_rest(extras, f"the {EXTRAS} of a problem holds meta and selections; other fields stand in the line itself")
    problem = Problem(id or "", prompt or "", target, own_kind, tests, meta, own_rule or DEFAULT)
    sign = (None if is_fixed else own_sign) or file_sign or "nbest"
    samples = [read_sample(item, problem, position, sign) for position, item in enumerate(items)]
    indices = [sample.trajectory.index for sample in samples]
    if len(set(indices)) < len(indices):
        fields.add_fault("samples", f"repeated indices in {describe(indices)}", "each index once")
    if fields.faults:
        return list(fields.faults)
    return [Entry(line.file, line.number, problem, tuple(samples), end_bytes, selections)]


def _refuse_sample_fields(fields: Fields, target: str | None) -> None:
    """Report the fields of a sample that stand beside `samples`, and an `answer` where there is no target."""
    for name in _OF_SAMPLE:
        if fields.values.get(name) is not None:
            actual = f"{describe(fields.take(name))} beside `samples`"
            fields.add_fault(name, actual, f"a field of each sample: samples[0].{name}, samples[1].{name}, ...")
    if fields.values.get("answer") is not None and target is None:
        actual = f"{describe(fields.take('answer'))} beside `samples`"
        fields.add_fault(
            "answer", actual, "`target` for the answer of the problem, samples[0].answer for that of a sample"
        )


def _take_kind(fields: Fields) -> Kind | None:
    kind = fields.take_text("kind")
    for allowed in KINDS:
        if kind == allowed:
            return allowed
    if kind is not None:
        fields.add_fault("kind", describe(kind), ", ".join(KINDS))
    return None


def _take_target(fields: Fields, kind: Kind) -> str | None:
    target, gold = take_answer(fields, "target", kind=kind), take_answer(fields, "gold", kind=kind)
    if target is not None and gold is not None and target != gold:
        fields.add_fault(
            "gold",
            f"{describe(gold)}, while target is {describe(target)}",
            "only one of the two, or the same value in both",
        )
    return gold if target is None else target


def _imply_kind(fields: Fields) -> Kind:
    """Return the kind of a line that does not state it: `code` for tests of a function or tests that are objects."""
    tests = fields.values.get("tests")
    has_objects = isinstance(tests, list) and any(isinstance(test, dict) for test in cast("list[Any]", tests))
    has_function = (fields.has("test") or fields.has("tests")) and fields.has("entry_point")
    return "code" if has_function or has_objects else "math"


def _check_code_fields(fields: Fields) -> None:
    """Report fields of a code problem that cannot be read; they stay in meta."""
    copy = fields.inside(fields.values, "")
    for name in ("entry_point", "prefix", "starter_code"):
        copy.take_text(name)
    for name in TEST_LISTS:
        if copy.has(name) and copy.values[name] is not None:
            take_test_column(copy, name)


def _take_tests(fields: Fields) -> tuple[str, ...]:
    """Return `tests` (a list), or `test` (one string) if the line has an `entry_point` too, as in HumanEval."""
    has_list = isinstance(fields.values.get("tests"), list)
    tests = take_test_column(fields, "tests") if has_list else fields.take_texts("tests") or []
    if fields.has("test") and fields.has("entry_point"):
        test = fields.take_text("test")
        if test is not None:
            tests = [test, *tests]
    return tuple(tests)
