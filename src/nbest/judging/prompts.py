"""How candidates are shown to a generative selector, and how its judgement is read. The only place for both.

Training (`training/selection_tasks.py`), selection (`selectors/`, `judging/scorer.py`) and serving call these
functions; there is no second copy of a prompt or a pattern. Indices are 0-based in every prompt of this module and in
every `Judgement`.

The long texts and their sources stand in `judging/prompt_templates.py`.

This module does not know models, tokenizers, pools or targets.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.judging.prompt_templates import GENSELECT_CODE, GENSELECT_MATH, PAIRWISE, POINTWISE, SUMMARY, USC
from nbest.records import Finish, Kind
from nbest.text.answers import extract_answer

Style: TypeAlias = Literal["published", "compact"]
"""`published`: the GenSelect prompt of NeMo-Skills (arXiv 2507.17797). `compact`: candidates and problem alone, for
small models that were trained to judge: each candidate stands right before its number and the problem comes last, as
a small model finds what stood beside a thing and works on what it read last."""

Thinking: TypeAlias = Literal["remove", "keep", "answer"]
"""What of a candidate is shown: what stands behind `</think>`, all of it, or its final answer alone."""

Fault: TypeAlias = Literal["", "unparsed", "out-of-range", "truncated", "error"]
"""Why a judgement names nobody: no judgement in it, an index that is not in the window, cut at the token limit, or the
call failed."""

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
    """How a selection is put to the model; a trained selector keeps the one it was trained with."""

    style: Style = "published"
    thinking: Thinking = "remove"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`index` is a position among the candidates shown, None where `fault` says why there is none."""

    index: int | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """Of two candidates: `points` of the first one shown (1 = it is better, 0 = the second is, 0.5 = a tie), None
    where `fault` says why there are none."""

    points: float | None
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """Of one candidate: whether it was called right, None where `fault` says why that is unknown. `start` is where the
    word yes or no begins in the text of the completion."""

    is_right: bool | None
    start: int = 0
    fault: Fault = ""


def show_candidate(text: str, thinking: Thinking = "remove", kind: Kind = "math") -> str:
    """A trajectory's text as a candidate: without its thinking, or with it and without the tags.

    Where thinking was cut off (no `</think>` after `<think>`), nothing but the thinking is there: with "remove" the
    candidate is empty. With "answer" it is `\\boxed{...}` around what `text/answers.py` reads, empty where that is
    nothing. For `code` only the last closed code block behind the thinking is shown, in either mode; a text
    without one is empty. An empty candidate cannot be judged.
    """
    if kind == "code":
        blocks: list[str] = _CODE.findall(_behind_thinking(text))
        return blocks[-1].strip("\n") if blocks else ""
    if thinking == "answer":
        answer = extract_answer(text, kind)
        return "" if answer is None else f"\\boxed{{{answer}}}"
    if thinking == "keep":
        return _THINK_TAG.sub("", text).strip()
    return _behind_thinking(text)


def _behind_thinking(text: str) -> str:
    _, mark, after = text.rpartition("</think>")
    if mark:
        return after.strip()
    return "" if "<think>" in text else text.strip()


def render_genselect(problem: str, candidates: Sequence[str], kind: Kind = "math", style: Style = "published") -> str:
    """The prompt that asks for the best of `candidates` (texts as `show_candidate` gives them), numbered from 0."""
    shown = "".join(number_candidate(place, text, kind, style) for place, text in enumerate(candidates))
    if style == "compact":
        return shown + problem
    template = GENSELECT_CODE if kind == "code" else GENSELECT_MATH
    return template.format(
        count=len(candidates), last=len(candidates) - 1, problem=problem, solutions=shown.removeprefix("\n\n")
    )


def number_candidate(place: int, text: str, kind: Kind = "math", style: Style = "published") -> str:
    """One candidate as it stands in the prompt of `render_genselect`, with what separates it from the one before."""
    if style == "compact":
        return f"{text}\nCandidate {place}\n\n"
    return f"\n\nSolution {place}:\n```\n{text}\n```" if kind == "code" else f"\n\nSolution {place}: {text}"


def write_judgement(shown: str, place: int) -> str:
    """How a judgement of a small trained model ends: the candidate as it was shown, and its number."""
    return f"{shown}\nJudgment: {place}"


def parse_genselect(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """The judgement among `count` candidates: the last `Judgment: IDX` behind the thinking.

    A text cut at the token limit is `truncated` whatever it says.
    """
    return _read_index(_JUDGEMENT, text, count, finish)


def render_usc(problem: str, candidates: Sequence[str], kind: Kind = "math") -> str:
    """The prompt of universal self-consistency: which of `candidates` agrees most with the others."""
    shown = "\n\n".join(
        f"Response {place}:\n```\n{text}\n```" if kind == "code" else f"Response {place}: {text}"
        for place, text in enumerate(candidates)
    )
    return USC.format(problem=problem, responses=shown)


def parse_usc(text: str, count: int, finish: Finish = "stop") -> Judgement:
    """The last `most consistent response is Response X` behind the thinking; cut texts as in `parse_genselect`."""
    return _read_index(_MOST_CONSISTENT, text, count, finish)


def render_pairwise(problem: str, first: str, second: str, kind: Kind = "math", style: Style = "published") -> str:
    """The prompt that asks which of two is better. In style `compact` it is that of GenSelect with two candidates."""
    if style == "compact":
        return render_genselect(problem, (first, second), kind, style)
    shown = (number_candidate(place, text, kind) for place, text in enumerate((first, second)))
    return PAIRWISE.format(problem=problem, solutions="".join(shown).removeprefix("\n\n"))


def parse_pairwise(text: str, finish: Finish = "stop") -> Preference:
    """The last `Judgment: 0`, `Judgment: 1` or `Judgment: tie` behind the thinking; cut texts as in
    `parse_genselect`."""
    fault = _early_fault(finish)
    found: list[str] = [] if fault else _PREFERENCE.findall(text.rpartition("</think>")[2])
    if not found:
        return Preference(None, fault or "unparsed")
    word = found[-1].lower()
    if word == "tie":
        return Preference(0.5)
    return Preference(1.0 - int(word)) if int(word) < 2 else Preference(None, "out-of-range")


def render_pointwise(problem: str, candidate: str, kind: Kind = "math", style: Style = "published") -> str:
    """The prompt that asks whether one candidate is right. In style `compact` the answer looked for is
    `Judgment: yes` or `Judgment: no`."""
    text = f"```\n{candidate}\n```" if kind == "code" else candidate
    if style == "compact":
        return f"{problem}\n\nCandidate:\n{text}"
    return POINTWISE.format(role="programming" if kind == "code" else "math", problem=problem, solution=text)


def parse_pointwise(text: str, finish: Finish = "stop") -> Approval:
    """The last `Is the answer correct (Yes/No)? X` or `Judgment: X` behind the thinking; cut texts as in
    `parse_genselect`."""
    fault = _early_fault(finish)
    behind = max(text.rfind("</think>"), 0)
    found = [] if fault else list(_APPROVAL.finditer(text, behind))
    if not found:
        return Approval(None, fault=fault or "unparsed")
    return Approval(found[-1][1].lower() == "yes", found[-1].start(1))


def render_summary(problem: str, text: str) -> str:
    """The prompt that asks for a clean version of one trajectory (its whole text, thinking included)."""
    return SUMMARY.format(problem=problem, solution=_THINK_TAG.sub("", text).strip())


def _read_index(pattern: re.Pattern[str], text: str, count: int, finish: Finish) -> Judgement:
    fault = _early_fault(finish)
    found: list[str] = [] if fault else pattern.findall(text.rpartition("</think>")[2])
    if not found:
        return Judgement(None, fault or "unparsed")
    index = int(found[-1]) if len(found[-1]) <= _LONGEST_INDEX else count
    return Judgement(index) if index < count else Judgement(None, "out-of-range")


def _early_fault(finish: Finish) -> Fault:
    """What is wrong with a completion before it is read."""
    return "error" if finish == "error" else "truncated" if finish == "length" else ""
