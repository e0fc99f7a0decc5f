"""Read one sample of a line of pools: a trajectory with its verdict and scores. `docs/formats.md` lists the fields.

What exports write below the reserved key `nbest` is also read from the sample itself. A field that belongs to the
problem may be repeated here with the same value, and is a fault with another one: nothing that nbest would use
elsewhere goes to `meta` in silence. This module does not know lines, files or runs.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from nbest.formats.intake import IMPORTED, UNKNOWN_SEED, Sample
from nbest.formats.signs import ConfidencesSign, take_certainties, take_confidences, take_logprobs
from nbest.former_name import FORMER
from nbest.plurals import show_count
from nbest.problems.answer_rules import FIELD as ANSWER_RULE
from nbest.problems.stated_answers import answer_text, take_answer
from nbest.records import KINDS, Completion, Finish, Problem, Score, Trajectory, Usage, Verdict, trajectory_id
from nbest.text.json_lines import MAX_INT32, Fields, describe

EXTRAS = "nbest"
"""The reserved key for data that has no field in the plain schema, such as meta with the name of a field."""

FINISHES: tuple[Finish, ...] = ("stop", "length", "error", "unknown")
CONFIDENCE_SCORER = "confidence"
"""The scorer of the field `confidence`."""

_BOTH = f"either in the sample or in its {EXTRAS}, not in both"
_OF_PROBLEM = ("problem_id", "question", "target", "gold", "tests", "samples", "entry_point", ANSWER_RULE, "kind")
SAMPLE_FIELDS = frozenset(
    {
        *("text", "answer", "correct", "logprobs", "scores", EXTRAS, FORMER),
        *("index", "seed", "finish", "finish_reason", "note", "prompt_tokens", "tokens", "sampled_tokens"),
        *("confidences", "certainties", "confidence", "steps", "step_scores"),
        *_OF_PROBLEM,
    }
)
"""Names that are read in a sample: meta of a trajectory with such a name is exported below `nbest.meta`."""


def read_sample(fields: Fields, problem: Problem, position: int, sign: ConfidencesSign) -> Sample:
    """Return one sample of a line; its faults go to the list of the line.

    `problem` is that of the line, `position` the place of the sample in it, `sign` that of its confidences.
    """
    extras = take_extras(fields)
    _check_problem_fields(fields, problem)
    own_index, seed = _take(fields, extras, "index", 0), _take(fields, extras, "seed", UNKNOWN_SEED)
    id = trajectory_id(problem.id, position if own_index is None else own_index)
    answer = take_answer(fields, "answer", kind=problem.kind)
    has_verdict, correct = fields.has("correct"), fields.take_flag("correct")
    scores = _take_scores(fields, extras, id)
    completion = _take_completion(fields, extras, sign)
    details = extras.take_object("verdict")
    _check_step_labels(fields)
    trajectory = Trajectory(
        id=id,
        problem_id=problem.id,
        index=position if own_index is None else own_index,
        seed=UNKNOWN_SEED if seed is None else seed,
        completion=completion,
        answer=answer,
        meta=_collect_meta(fields, extras),
    )
    if not has_verdict:
        return Sample(trajectory, None, scores)
    if details is None:
        return Sample(trajectory, Verdict(id, correct, None, IMPORTED), scores)
    verdict = Verdict(id, correct, details.take_text("answer"), details.take_text("note") or "")
    return Sample(trajectory, verdict, scores, has_verdict_answer=True)


class ExportedFields(Fields):
    """What an export writes below the reserved key: lists of numbers may hold what JSON has no number for.

    `null` is NaN, and "inf" and "-inf" are the infinities.
    """

    @classmethod
    def of(cls, fields: Fields) -> "ExportedFields":
        """Return the same fields, with the same list of faults."""
        exported = cls(fields.line, fields.values, fields.prefix)
        exported.faults = fields.faults
        return exported

    def has_special(self, name: str) -> bool:
        """Return whether a field is a list with a number that JSON cannot express."""
        return bool(self._find_special(name))

    def _find_special(self, name: str) -> dict[int, float]:
        raw = self.values.get(name)
        values = cast("list[Any]", raw) if isinstance(raw, list) else []
        numbers = ((position, read_special(value)) for position, value in enumerate(values))
        return {position: number for position, number in numbers if number is not None}

    def take_numbers(self, name: str) -> list[float] | None:
        special = self._find_special(name)
        if not special:
            return super().take_numbers(name)
        finite = [0.0 if position in special else value for position, value in enumerate(self.values[name])]
        numbers = self.inside({name: finite}, "").take_numbers(name)
        self.take(name)
        return None if numbers is None else [special.get(position, number) for position, number in enumerate(numbers)]


def read_special(value: object) -> float | None:
    """Return the number that an export writes as `null`, "inf" or "-inf"; None for any other value."""
    if value is None:
        return math.nan
    return float(value) if value in ("inf", "-inf") else None


def take_extras(fields: Fields) -> ExportedFields:
    """Return the fields below the reserved key, or below its former name; none where there is neither."""
    inner = fields.take_object(EXTRAS) or fields.take_object(FORMER) or fields.inside({}, f"{EXTRAS}.")
    return ExportedFields.of(inner)


def take_meta(extras: Fields) -> dict[str, object]:
    """Return `meta` of the reserved key."""
    inner = extras.take_object("meta")
    return dict(inner.values) if inner else {}


def refuse_rest(extras: Fields, what: str) -> None:
    """Report every field below the reserved key that was not taken."""
    for name, value in extras.rest().items():
        extras.add_fault(name, describe(value), f"nothing of this name: {what}")


def _check_problem_fields(fields: Fields, problem: Problem) -> None:
    """Take fields of the problem that repeat it, and report those that differ or that the problem lacks."""
    expected: dict[str, Any] = {"problem_id": problem.id, "question": problem.prompt, ANSWER_RULE: problem.answer_rule}
    expected |= {"target": problem.target, "gold": problem.target, "tests": list(problem.tests), "kind": problem.kind}
    expected["entry_point"] = problem.meta.get("entry_point")
    for name in _OF_PROBLEM:
        value = fields.values.get(name)
        if value is None or (name == "kind" and value not in KINDS):
            continue
        is_answer = name in ("target", "gold", "problem_id")
        if (answer_text(value, problem.kind) if is_answer else value) == expected.get(name):
            fields.take(name)
        else:
            actual = f"{describe(value)} in a sample"
            fields.add_fault(name, actual, f"a field of the problem: put {name} beside `samples`, once for all of them")


def _home(fields: Fields, extras: Fields, name: str) -> Fields:
    """Return where a field stands: in the sample or below the reserved key. A fault where it stands in both."""
    if fields.has(name) and extras.has(name):
        fields.add_fault(name, "a value in both", _BOTH)
        extras.take(name)
    return fields if fields.has(name) else extras


def _take(fields: Fields, extras: Fields, name: str, low: int) -> int | None:
    high = MAX_INT32 if name == "index" else 2**63 - 1
    return _home(fields, extras, name).take_integer(name, low, high)


def _take_completion(fields: Fields, extras: ExportedFields, sign: ConfidencesSign) -> Completion:
    finish = _take_finish(fields, extras)
    has_text = fields.values.get("text") is not None
    if not has_text and fields.values.get("answer") is None and finish != "error":
        fields.add_fault(
            "text", "null" if fields.has("text") else "nothing (the field is missing)", "a string, or an answer instead"
        )
    text = fields.take_text("text") or ""
    logprobs = take_logprobs(extras if extras.has_special("logprobs") else fields)
    confidences = take_confidences(_home(fields, extras, "confidences"), sign)
    certainties = take_certainties(_home(fields, extras, "certainties"))
    prompt_tokens, tokens = _take_ids(fields, extras, "prompt_tokens"), _take_ids(fields, extras, "tokens")
    count = _home(fields, extras, "sampled_tokens").take_integer("sampled_tokens", 0, MAX_INT32)
    if count is not None and tokens and count != len(tokens):
        fields.add_fault(
            "sampled_tokens",
            f"{count} beside {show_count(len(tokens), 'token')}",
            "the number of tokens, or leave it out",
        )
    return Completion(
        text=text,
        prompt_tokens=np.array(prompt_tokens, dtype=np.int32),
        tokens=np.array(tokens, dtype=np.int32),
        logprobs=None if logprobs is None else np.array(logprobs, dtype=np.float32),
        confidences=None if confidences is None else np.array(confidences, dtype=np.float32),
        finish=finish,
        note=_home(fields, extras, "note").take_text("note") or "",
        certainties=None if certainties is None else np.array(certainties, dtype=np.float32),
        usage=None if count is None or tokens else Usage(len(prompt_tokens), count),
    )


def _take_ids(fields: Fields, extras: Fields, name: str) -> list[int]:
    home = _home(fields, extras, name)
    value = home.values.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        home.take(name)
        where = "`sampled_tokens`" if name == "tokens" else "a field of another name, which goes to meta"
        home.add_fault(name, describe(value), f"a list of token ids; a number of tokens goes to {where}")
        return []
    return home.take_token_ids(name) or []


def _take_finish(fields: Fields, extras: Fields) -> Finish:
    """Return `finish`, else `finish_reason` where it is one of our words; other reasons stay in meta."""
    home = _home(fields, extras, "finish")
    finish = home.take_text("finish")
    if finish is None:
        reason = fields.values.get("finish_reason")
        if reason in FINISHES:
            finish = cast(str, fields.take("finish_reason"))
    if finish is not None and finish not in FINISHES:
        home.add_fault("finish", describe(finish), ", ".join(FINISHES))
    return cast(Finish, finish or "unknown")


def _take_scores(fields: Fields, extras: Fields, id: str) -> Mapping[str, Score]:
    """Return the scores by scorer, with the scores of their steps."""
    values: dict[str, float] = {}
    inner = fields.take_object("scores")
    for name, raw in inner.values.items() if inner else ():
        # null is the score of a trajectory that could not be scored.
        value = read_special(raw)
        if value is None and inner:
            value = inner.take_number(name)
        if value is not None:
            values[name] = value
    confidence = fields.take_number("confidence")
    if confidence is not None:
        if values.get(CONFIDENCE_SCORER, confidence) != confidence:
            fields.add_fault("confidence", f"{confidence}, while scores has another", "one value, in one of the two")
        values[CONFIDENCE_SCORER] = confidence
    steps = _take_step_scores(fields, extras)
    for name in steps:
        if name not in values:
            allowed = f"a scorer that `scores` names too, with its value for the whole trajectory: {', '.join(values)}"
            fields.add_fault("step_scores", f"scores of {name!r} for the steps alone", allowed)
    return {name: Score(id, value, tuple(steps.get(name, ()))) for name, value in values.items()}


def _take_step_scores(fields: Fields, extras: Fields) -> dict[str, list[float]]:
    """Return the step scores by scorer: `step_scores`, or `steps` if it is an object (else `steps` stays in meta)."""
    steps: dict[str, list[float]] = {}
    exported = extras.take_object("steps")
    objects = [fields.take_object("step_scores"), exported and ExportedFields.of(exported)]
    if isinstance(fields.values.get("steps"), dict):
        objects.append(fields.take_object("steps"))
    for inner in objects:
        for name in inner.values if inner else ():
            numbers = inner.take_numbers(name) if inner else None
            if numbers is not None:
                steps[name] = numbers
    return steps


def _check_step_labels(fields: Fields) -> None:
    """Check `step_labels` and `first_wrong_step`, which stay in the meta of the trajectory."""
    labels: object = fields.values.get("step_labels")
    first: object = fields.values.get("first_wrong_step")
    if labels is not None and not (
        isinstance(labels, list) and all(isinstance(label, bool) for label in cast("list[Any]", labels))
    ):
        fields.add_fault(
            "step_labels", describe(cast(object, labels)), "a list with true (right) or false (wrong) for each step"
        )
        return
    if first is not None and (isinstance(first, bool) or not isinstance(first, int) or first < -1):
        allowed = "the number of the first wrong step, counted from 0, or -1 where no step is wrong"
        fields.add_fault("first_wrong_step", describe(first), allowed)
    elif first is not None and labels is not None:
        stated = cast("list[bool]", labels)
        counted = stated.index(False) if False in stated else -1
        if counted != first:
            fields.add_fault("first_wrong_step", describe(first), f"{counted}, which is what step_labels says")


def _collect_meta(fields: Fields, extras: Fields) -> dict[str, object]:
    inner = take_meta(extras)
    refuse_rest(extras, f"{EXTRAS} holds what exports write there; other fields stand in the sample itself")
    return fields.rest() | inner
