"""The tags around a model's reasoning: one table for steps, answers, judges and reward models.

A completion may open its reasoning itself, or its chat template may have done so in the prompt; then the completion
holds only a closer. Tags are read in any mixture of case, and any closer of the table ends the reasoning: everything
before the last closer is reasoning, however tags are nested or repeated.

This module does not know answers, tokens or tokenizers.
"""

import re
from dataclasses import dataclass

OPEN_TAG, CLOSE_TAG = "<think>", "</think>"
"""The tags that nbest writes itself."""


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The text that opens reasoning, the text that closes it, and who writes them."""

    opener: str
    closer: str
    models: str


REASONING_TAGS = (
    ReasoningTags(OPEN_TAG, CLOSE_TAG, "DeepSeek-R1, Qwen3, QwQ and most others"),
    ReasoningTags("<thinking>", "</thinking>", "prompts for Claude, Granite"),
    ReasoningTags("<thought>", "</thought>", "Gemma and Reflection fine-tunes"),
    ReasoningTags("<reasoning>", "</reasoning>", "GRPO recipes"),
    ReasoningTags("[THINK]", "[/THINK]", "Magistral"),
    ReasoningTags("<|begin_of_thought|>", "<|end_of_thought|>", "Sky-T1, OpenThinker"),
    ReasoningTags("<seed:think>", "</seed:think>", "Seed-OSS"),
    ReasoningTags("\u25c1think\u25b7", "\u25c1/think\u25b7", "Kimi-VL"),
    ReasoningTags("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "gpt-oss (the Harmony format)"),
)

_STARTS = re.escape("".join(sorted({tag[0] for tags in REASONING_TAGS for tag in (tags.opener, tags.closer)})))


def _any_of(tags: list[str]) -> str:
    # A set of first characters lets the engine skip over plain text.
    return f"(?=[{_STARTS}])(?:{'|'.join(re.escape(tag) for tag in tags)})"


OPENER = re.compile(_any_of([tags.opener for tags in REASONING_TAGS]), re.IGNORECASE)
CLOSER = re.compile(_any_of([tags.closer for tags in REASONING_TAGS]), re.IGNORECASE)
TAG = re.compile(f"{OPENER.pattern}|{CLOSER.pattern}", re.IGNORECASE)
TAG_STARTS = _STARTS
"""The first characters of all tags, escaped for a set in a regular expression."""


def split_reasoning(text: str) -> tuple[str, str, str]:
    """Return the text before the last closer, the closer, and the text after it; ("", "", text) without a closer."""
    last: re.Match[str] | None = None
    for match in CLOSER.finditer(text):
        last = match
    return ("", "", text) if last is None else (text[: last.start()], last[0], text[last.end() :])


def final_part(text: str) -> tuple[str, bool]:
    """Return the text after the reasoning, and whether the reasoning was cut off.

    Reasoning was cut off where it was opened and never closed, closed with nothing after it, or opened again right
    after it was closed. What was cut off is returned as the text, because it may hold a box.
    """
    before, closer, after = split_reasoning(text)
    if not closer:
        return text, OPENER.search(text) is not None
    if not after.strip():
        return before, True
    return after, OPENER.match(after.lstrip()) is not None


def remove_reasoning(text: str) -> str:
    """Return the text after the reasoning without outer white space; "" where the reasoning was cut off."""
    area, is_cut_off = final_part(text)
    return "" if is_cut_off else area.strip()


def remove_tags(text: str) -> str:
    """Return the text without any reasoning tags; the reasoning itself stays."""
    return TAG.sub("", text)
