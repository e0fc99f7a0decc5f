"""The prompts that ask a model for a judgement, and the parsers of its replies.

Training (`training/task_building.py`) and judging call these functions; there is no second copy of a prompt or a
pattern. Indices are 0-based in every prompt of this module and in every `Judgement`. The long texts and their sources
are in `judging/prompt_templates.py`.

This module does not know models, tokenizers, pools or targets.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.answers.reasoning import remove_reasoning, remove_tags, split_reasoning
from nbest.config import CandidateThinking, PromptStyle
from nbest.judging.prompt_templates import GENSELECT_CODE, GENSELECT_MATH, PAIRWISE, POINTWISE, SUMMARY, USC
from nbest.programs.extraction import extract_program
from nbest.records import CodeTask, Finish, Kind

Fault: TypeAlias = Literal["", "unparsed", "out-of-range", "truncated", "error"]
"""The reason why a judgement names no candidate: the text has no judgement, its index is not in the window, it was cut
at the token limit, or the call failed. "" means that it names one."""

_ANNOUNCED = r"(?<![A-Za-z])judge?ment[\s*_`]{0,8}(?::|=|is\b|[-\u2013\u2014](?=\s))[\s*_`$#(\[{\"']{0,16}"
_WRAPPED = r"(?:\\boxed\s{0,4}\{|\\\(|(?:solution|candidate|index|number)\b[\s:#]{0,4})?[\s*_`$#(\[{\"']{0,8}"
_SECOND = (
    r"[ \t\])}*$\\]{0,8}(?:,|;|/|&|-|\u2013|or\b|and\b)[ \t]{0,4}"
    r"(?:either|solution|candidate)?[ \t*_`$#(\[{]{0,8}(?:\\boxed\{)?\d"
)
JUDGEMENT = re.compile(rf"{_ANNOUNCED}{_WRAPPED}(\d+|tie\b)({_SECOND})?", re.IGNORECASE)
"""A judgement: the index of a candidate, or "tie"; the second group matches where it names another index too."""

_MOST_CONSISTENT = re.compile(r"most consistent response is[:\s*]*(?:Response)?[\s*#\[]*(\d+)", re.IGNORECASE)
_APPROVAL = re.compile(
    r"(?:Is the (?:answer|solution) correct \(Yes/No\)\?|Judge?ment[\s*_]{0,8}:)"
    r"[\s*:]{0,16}[(\[]?\s{0,4}(yes|no)\b",
    re.IGNORECASE,
)
_LONGEST_INDEX = 9  # digits; Python refuses to read thousands of them


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a prompt shows candidates; use a trained selector with the format that it was trained with."""

    style: PromptStyle = "published"
    thinking: CandidateThinking = "remove"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`index` is a position among the candidates of the prompt; it is None if there is a `fault`, which says why."""

    index: int | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """A judgement on two candidates: `points` of the first one (1 = it is better, 0 = the second is, 0.5 = a tie).

    None if there is a `fault`, which says why.
    """

    points: float | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """A judgement on one candidate: whether it was called right; None if there is a `fault`, which says why.

    `start` is the index of the first character of the word yes or no in the text of the completion.
    """

    is_right: bool | None
    start: int = 0
    fault: Fault = ""


def show_candidate(
    text: str,
    thinking: CandidateThinking = "remove",
    kind: Kind = "math",
    answer: str | None = None,
    code: CodeTask | None = None,
) -> str:
    """Return a trajectory's text as a candidate: without its thinking, or with it and without the tags.

    Where thinking was cut off (no `</think>` after `<think>`), the text holds nothing else: with "remove" the candidate
    is empty. With "answer" the candidate is `\\boxed{...}` around `answer`, empty if there is none. For `code` it is
    the program alone, in any mode: what `nbest.programs.extraction` finds for the task `code`, as the text holds it,
    and empty if there is none. An empty candidate cannot be judged.
    """
    if kind == "code":
        program = extract_program(text, code)
        return "" if program is None else program.excerpt.strip("\n")
    if thinking == "answer":
        return "" if answer is None else f"\\boxed{{{answer}}}"
    if thinking == "keep":
        return remove_tags(text).strip()
    return remove_reasoning(text)


def render_genselect(
    problem: str, candidates: Sequence[str], kind: Kind = "math", style: PromptStyle = "published"
) -> str:
    """Return the prompt that asks for the best of `candidates` (texts as `show_candidate` returns them), from 0."""
    solutions = "".join(number_candidate(position, text, kind, style) for position, text in enumerate(candidates))
    if style == "compact":
        return solutions + problem
    template = GENSELECT_CODE if kind == "code" else GENSELECT_MATH
    return template.format(
        count=len(candidates), last=len(candidates) - 1, problem=problem, solutions=solutions.removeprefix("\n\n")
    )


def number_candidate(position: int, text: str, kind: Kind = "math", style: PromptStyle = "published") -> str:
    """Return one candidate as the prompt of `render_genselect` holds it, with the separator before it."""
    if style == "compact":
        return f"{text}\nCandidate {position}\n\n"
    return f"\n\nSolution {position}:\n```\n{text}\n```" if kind == "code" else f"\n\nSolution {position}: {text}"


def write_judgement(candidate: str, position: int) -> str:
    """Return the end of a judgement of a small trained model: the text of the candidate, and its number."""
    return f"{candidate}\nJudgment: {position}"


def parse_genselect(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """Return the judgement among `count` candidates: the last `Judgment: IDX` after the thinking.

    The index may stand in brackets, in bold or in a box. A judgement that names two indices ("1 or 3") is `unparsed`. A
    text cut at the token limit is `truncated` whatever it says.
    """
    return _read_index(JUDGEMENT, text, count, finish)


def render_usc(problem: str, candidates: Sequence[str], kind: Kind = "math") -> str:
    """Return the prompt of universal self-consistency: which of `candidates` agrees most with the others."""
    responses = "\n\n".join(
        f"Response {position}:\n```\n{text}\n```" if kind == "code" else f"Response {position}: {text}"
        for position, text in enumerate(candidates)
    )
    return USC.format(problem=problem, responses=responses)


def parse_usc(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """Return the last `most consistent response is Response X` after the thinking; cut texts as in
    `parse_genselect`."""
    return _read_index(_MOST_CONSISTENT, text, count, finish)


def render_pairwise(
    problem: str, first: str, second: str, kind: Kind = "math", style: PromptStyle = "published"
) -> str:
    """Return the prompt that asks which of two is better; in style `compact` that of GenSelect with two candidates."""
    if style == "compact":
        return render_genselect(problem, (first, second), kind, style)
    solutions = (number_candidate(position, text, kind) for position, text in enumerate((first, second)))
    return PAIRWISE.format(problem=problem, solutions="".join(solutions).removeprefix("\n\n"))


def parse_pairwise(text: str, finish: Finish = "stop") -> Preference:
    """Return the last `Judgment: 0`, `Judgment: 1` or `Judgment: tie` after the thinking.

    Cut texts as in `parse_genselect`.
    """
    fault = _find_early_fault(finish)
    preference = "" if fault else _read_last(JUDGEMENT, text)
    if not preference:
        return Preference(None, fault or "unparsed")
    if preference == "tie":
        return Preference(0.5)
    index = _to_index(preference, 2)
    return Preference(None, "out-of-range") if index is None else Preference(1.0 - index)


def render_pointwise(problem: str, candidate: str, kind: Kind = "math", style: PromptStyle = "published") -> str:
    """Return the prompt that asks whether one candidate is right.

    In style `compact` the reply is `Judgment: yes` or `Judgment: no`.
    """
    text = f"```\n{candidate}\n```" if kind == "code" else candidate
    if style == "compact":
        return f"{problem}\n\nCandidate:\n{text}"
    return POINTWISE.format(role="programming" if kind == "code" else "math", problem=problem, solution=text)


def parse_pointwise(text: str, finish: Finish = "stop") -> Approval:
    """Return the last `Is the answer correct (Yes/No)? X` or `Judgment: X` after the thinking.

    Cut texts as in `parse_genselect`.
    """
    fault = _find_early_fault(finish)
    start = len(text) - len(split_reasoning(text)[2])
    matches = [] if fault else list(_APPROVAL.finditer(text, start))
    if not matches:
        return Approval(None, fault=fault or "unparsed")
    return Approval(matches[-1][1].lower() == "yes", matches[-1].start(1))


def render_summary(problem: str, text: str) -> str:
    """Return the prompt that asks for a clean version of one trajectory (its whole text, thinking included)."""
    return SUMMARY.format(problem=problem, solution=remove_tags(text).strip())


def _read_index(pattern: re.Pattern[str], text: str, count: int, finish: Finish) -> Judgement:
    fault = _find_early_fault(finish)
    judgement = "" if fault else _read_last(pattern, text)
    if not judgement or judgement == "tie":
        return Judgement(None, fault or "unparsed")
    index = _to_index(judgement, count)
    return Judgement(None, "out-of-range") if index is None else Judgement(index)


def _read_last(pattern: re.Pattern[str], text: str) -> str:
    """Return the index of the last match after the thinking, in lower case; "" if it names two or there is none."""
    last = ""
    for match in pattern.finditer(split_reasoning(text)[2]):
        last = "" if match.lastindex == 2 else match[1].lower()
    return last


def _to_index(digits: str, count: int) -> int | None:
    """Return an index below `count`; None for any other, however long it is."""
    index = int(digits) if len(digits) <= _LONGEST_INDEX else count
    return index if index < count else None


def _find_early_fault(finish: Finish) -> Fault:
    """Return the fault of a completion that shows before its text is read; "" if there is none."""
    return "error" if finish == "error" else "truncated" if finish == "length" else ""
