"""The prompts that ask a model for a judgement, and how its reply is read.

Training (`training/selection_tasks.py`) and judging call these functions; there is no second copy of a prompt or a
pattern. Indices are 0-based in every prompt of this module and in
every `Judgement`.

The long texts and their sources stand in `judging/prompt_templates.py`.

This module does not know models, tokenizers, pools or targets.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.config import CandidateThinking, PromptStyle
from nbest.judging.prompt_templates import GENSELECT_CODE, GENSELECT_MATH, PAIRWISE, POINTWISE, SUMMARY, USC
from nbest.records import Finish, Kind
from nbest.text.answers import extract_answer

Fault: TypeAlias = Literal["", "unparsed", "out-of-range", "truncated", "error"]
"""Why a judgement names no candidate: the text has no judgement, its index is not in the window, it was cut at the
token limit, or the call failed."""

_THINK_TAG = re.compile(r"</?think>")
_JUDGEMENT = re.compile(r"Judge?ment:\s*\**\[?\s*(\d+)")
_PREFERENCE = re.compile(r"Judge?ment:\s*\**\[?\s*(\d+|tie)", re.IGNORECASE)
_MOST_CONSISTENT = re.compile(r"most consistent response is[:\s*]*(?:Response)?[\s*#\[]*(\d+)", re.IGNORECASE)
_APPROVAL = re.compile(
    r"(?:Is the (?:answer|solution) correct \(Yes/No\)\?|Judge?ment:)[\s*:]*\[?\s*(yes|no)\b", re.IGNORECASE
)
_LONGEST_INDEX = 9  # digits; Python refuses to read thousands of them
_CODE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How candidates are put to the model; use a trained selector with the format it was trained with."""

    style: PromptStyle = "published"
    thinking: CandidateThinking = "remove"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`index` is a position among the candidates of the prompt; None where `fault` says why there is none."""

    index: int | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """A judgement on two candidates: `points` of the first one (1 = it is better, 0 = the second is, 0.5 = a tie).

    None where `fault` says why there are none.
    """

    points: float | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """A judgement on one candidate: whether it was called right; None where `fault` says why that is unknown.

    `start` is the index of the first character of the word yes or no in the text of the completion.
    """

    is_right: bool | None
    start: int = 0
    fault: Fault = ""


def show_candidate(text: str, thinking: CandidateThinking = "remove", kind: Kind = "math") -> str:
    """Return a trajectory's text as a candidate: without its thinking, or with it and without the tags.

    Where thinking was cut off (no `</think>` after `<think>`), the text holds nothing else: with "remove" the candidate
    is empty. With "answer" it is `\\boxed{...}` around what `text/answers.py` reads, empty where that is nothing. For
    `code` it is the last closed code block after the thinking, in any mode; a text without one is empty. An empty
    candidate cannot be judged.
    """
    if kind == "code":
        blocks: list[str] = _CODE.findall(_text_after_thinking(text))
        return blocks[-1].strip("\n") if blocks else ""
    if thinking == "answer":
        answer = extract_answer(text, kind)
        return "" if answer is None else f"\\boxed{{{answer}}}"
    if thinking == "keep":
        return _THINK_TAG.sub("", text).strip()
    return _text_after_thinking(text)


def _text_after_thinking(text: str) -> str:
    _, mark, after = text.rpartition("</think>")
    if mark:
        return after.strip()
    return "" if "<think>" in text else text.strip()


def render_genselect(
    problem: str, candidates: Sequence[str], kind: Kind = "math", style: PromptStyle = "published"
) -> str:
    """Return the prompt that asks for the best of `candidates` (texts as `show_candidate` returns them), from 0."""
    shown = "".join(number_candidate(position, text, kind, style) for position, text in enumerate(candidates))
    if style == "compact":
        return shown + problem
    template = GENSELECT_CODE if kind == "code" else GENSELECT_MATH
    return template.format(
        count=len(candidates), last=len(candidates) - 1, problem=problem, solutions=shown.removeprefix("\n\n")
    )


def number_candidate(position: int, text: str, kind: Kind = "math", style: PromptStyle = "published") -> str:
    """Return one candidate as the prompt of `render_genselect` holds it, separator to the one before included."""
    if style == "compact":
        return f"{text}\nCandidate {position}\n\n"
    return f"\n\nSolution {position}:\n```\n{text}\n```" if kind == "code" else f"\n\nSolution {position}: {text}"


def write_judgement(shown: str, position: int) -> str:
    """Return the end of a judgement of a small trained model: the text of the candidate, and its number."""
    return f"{shown}\nJudgment: {position}"


def parse_genselect(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """Return the judgement among `count` candidates: the last `Judgment: IDX` after the thinking.

    A text cut at the token limit is `truncated` whatever it says.
    """
    return _read_index(_JUDGEMENT, text, count, finish)


def render_usc(problem: str, candidates: Sequence[str], kind: Kind = "math") -> str:
    """Return the prompt of universal self-consistency: which of `candidates` agrees most with the others."""
    shown = "\n\n".join(
        f"Response {position}:\n```\n{text}\n```" if kind == "code" else f"Response {position}: {text}"
        for position, text in enumerate(candidates)
    )
    return USC.format(problem=problem, responses=shown)


def parse_usc(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """Return the last `most consistent response is Response X` after the thinking; cut texts as `parse_genselect`."""
    return _read_index(_MOST_CONSISTENT, text, count, finish)


def render_pairwise(
    problem: str, first: str, second: str, kind: Kind = "math", style: PromptStyle = "published"
) -> str:
    """Return the prompt that asks which of two is better; in style `compact` that of GenSelect with two candidates."""
    if style == "compact":
        return render_genselect(problem, (first, second), kind, style)
    shown = (number_candidate(position, text, kind) for position, text in enumerate((first, second)))
    return PAIRWISE.format(problem=problem, solutions="".join(shown).removeprefix("\n\n"))


def parse_pairwise(text: str, finish: Finish = "stop") -> Preference:
    """Return the last `Judgment: 0`, `Judgment: 1` or `Judgment: tie` after the thinking.

    Cut texts as in `parse_genselect`.
    """
    fault = _early_fault(finish)
    matches: list[str] = [] if fault else _PREFERENCE.findall(text.rpartition("</think>")[2])
    if not matches:
        return Preference(None, fault or "unparsed")
    word = matches[-1].lower()
    if word == "tie":
        return Preference(0.5)
    return Preference(1.0 - int(word)) if int(word) < 2 else Preference(None, "out-of-range")


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
    fault = _early_fault(finish)
    behind = max(text.rfind("</think>"), 0)
    matches = [] if fault else list(_APPROVAL.finditer(text, behind))
    if not matches:
        return Approval(None, fault=fault or "unparsed")
    return Approval(matches[-1][1].lower() == "yes", matches[-1].start(1))


def render_summary(problem: str, text: str) -> str:
    """Return the prompt that asks for a clean version of one trajectory (its whole text, thinking included)."""
    return SUMMARY.format(problem=problem, solution=_THINK_TAG.sub("", text).strip())


def _read_index(pattern: re.Pattern[str], text: str, count: int, finish: Finish) -> Judgement:
    fault = _early_fault(finish)
    matches: list[str] = [] if fault else pattern.findall(text.rpartition("</think>")[2])
    if not matches:
        return Judgement(None, fault or "unparsed")
    index = int(matches[-1]) if len(matches[-1]) <= _LONGEST_INDEX else count
    return Judgement(index) if index < count else Judgement(None, "out-of-range")


def _early_fault(finish: Finish) -> Fault:
    """Return what is wrong with a completion before it is read, "" for nothing."""
    return "error" if finish == "error" else "truncated" if finish == "length" else ""
