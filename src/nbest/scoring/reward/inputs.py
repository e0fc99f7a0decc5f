"""Writes the input of a reward model: from a pool's text to token ids and the positions of its rewards.

This module knows the layouts of `families.py` and a Hugging Face tokenizer, but no torch and no scores. The question is
never cut; a response is shortened by whole steps only, and only where the caller asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nbest.answers.reasoning import CLOSER, OPENER
from nbest.errors import ConfigError, DataError
from nbest.plurals import show_part
from nbest.records import Completion
from nbest.scoring.reward.families import RewardFamily, Thinking
from nbest.text.steps import split_text


@dataclass(frozen=True, slots=True)
class RewardInput:
    """One row for the model: `tokens` [T] and `positions` [K], at which the reward of each step (or of all) is read.

    `is_shortened` says that earlier steps were left out of the row and get no reward. `start` is the position of the
    first token of the response; 0 where no head needs it.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    is_shortened: bool = False
    start: int = 0


def read_steps(completion: Completion, thinking: Thinking, is_process: bool = True) -> list[str]:
    """Return the step texts of a completion, without the thinking tags; none of a completion that failed.

    Steps are those of `text/steps.py`, in the reasoning and, by the same rule, in the answer behind `</think>`. A
    text without any tag counts as answer and as reasoning alike. For a process model a step has no white space around
    it, and the text after the last boundary of a completion that was cut is no step; an outcome model reads all of the
    text as it is.
    """
    if completion.finish == "error":
        return []
    is_finished = completion.finish != "length" or not is_process
    parts = CLOSER.split(completion.text)
    steps: list[str] = []
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        # Only the part before the first closing tag is reasoning; a text that opens and never closes is all of it.
        is_reasoning = index == 0 and (not is_last or OPENER.match(part.lstrip()) is not None)
        is_tagged = len(parts) > 1 or is_reasoning
        if is_tagged and thinking != "both" and is_reasoning != (thinking == "reasoning"):
            continue
        spans = split_text(part, is_finished or not is_last)
        if is_process:
            steps.extend(part[start:end].strip() for start, end in spans)
            continue
        if steps and spans:
            steps[-1] = steps[-1].rstrip() + "\n\n"
        # White space between two steps stays with the first.
        starts = [*(start for start, _ in spans), len(part)]
        steps.extend(part[start:end] for start, end in pairwise(starts))
    return steps


class RewardReader:
    """Writes a question and steps as one family reads them, with one tokenizer.

    Raises ConfigError if the tokenizer lacks what the family needs: a chat template, a bos token, offsets of
    characters, or the separator as a single token.
    """

    def __init__(self, tokenizer: Any, family: RewardFamily):
        self.tokenizer, self.family = tokenizer, family
        if family.layout == "chat" and not tokenizer.chat_template:
            raise ConfigError(f"tokenizer: family {family.name!r} needs a chat template, and this one has none")
        if family.has_bos and tokenizer.bos_token_id is None:
            raise ConfigError(f"tokenizer: family {family.name!r} needs a bos token, and this one has none")
        if family.layout != "pieces" and not tokenizer.is_fast:
            raise ConfigError(
                f"tokenizer: family {family.name!r} needs a fast tokenizer, which maps characters to tokens"
            )
        self.separator_token = self.find_token(family.separator) if family.separator else None

    def find_token(self, text: str) -> int:
        """Return the id that `text` ends with when it is tokenized alone. Raises ConfigError if there is none.

        The last id is taken, because a SentencePiece tokenizer may put a word-start token before it (the card of
        Math-Shepherd takes `encode(...)[-1]` too).
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        piece = self.tokenizer.decode(ids[-1:], skip_special_tokens=False) if ids else ""
        if not ids or ids[-1] == self.tokenizer.unk_token_id or piece.strip(" ") != text.strip(" "):
            raise ConfigError(
                f"tokenizer: family {self.family.name!r} needs {text!r} as one token, and this tokenizer writes it as "
                f"{ids} ({piece!r} last). It is not the tokenizer of such a model"
            )
        return ids[-1]

    def label_steps(self, steps: Sequence[str]) -> list[str]:
        """Return the steps, each with the family's label in front, unless it begins with one already."""
        label = self.family.step_label
        if not label:
            return list(steps)
        word = label.split()[0]
        return [
            step if step.startswith(word) else label.format(number=number) + step
            for number, step in enumerate(steps, 1)
        ]

    def write(self, question: str, steps: Sequence[str]) -> RewardInput:
        """Return one row with the whole of `question` and `steps`; `label_steps` has labelled the steps before."""
        if self.family.layout == "pieces":
            return self._write_pieces(question, steps)
        family = self.family
        content, ends = _join_steps(family, steps)
        if family.layout == "chat":
            text = self._render(question, content)
            start = text.rfind(content)
            if start < 0:
                raise ConfigError(
                    f"tokenizer: its chat template changes the assistant's text, so the rewards of family "
                    f"{family.name!r} cannot be found in it"
                )
        else:
            text = question + family.joint + content
            start = len(text) - len(content)
        ids, spans = self._tokenize(text)
        if not family.is_process:
            return RewardInput(tuple(ids), (len(ids) - 1,))
        if family.reads_ends:
            # A tokenizer may write the end of a step and the blank line behind it as one token: it is the step's.
            covers = [[p for p, (first, stop) in enumerate(spans) if first < start + end <= stop] for end in ends]
            response = next(position for position, (_, stop) in enumerate(spans) if stop > start)
            return RewardInput(tuple(ids), tuple(cover[0] - family.offset for cover in covers), start=response)
        # Special tokens that are not in the text have the empty span (0, 0).
        token_at = {stop: position for position, (first, stop) in enumerate(spans) if stop > first}
        positions = tuple(token_at.get(start + end, -1) for end in ends)
        wrong = [position for position in positions if position < 0 or ids[position] != self.separator_token]
        if wrong:
            raise DataError(
                f"{show_part(len(wrong), len(positions), 'separator')} {family.separator!r} did not become the token "
                f"{self.separator_token} in this text: the tokenizer merges them with the text beside them"
            )
        return RewardInput(tuple(ids), positions)

    def _tokenize(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a text and the span of characters behind each.

        A rendered template contains its special tokens; a plain text gets those of the tokenizer, unless the family
        begins with a bos token of its own.
        """
        has_special = self.family.layout == "plain" and not self.family.has_bos
        encoding = self.tokenizer(text, add_special_tokens=has_special, return_offsets_mapping=True)
        ids, spans = list(encoding["input_ids"]), list(encoding["offset_mapping"])
        if self.family.has_bos:
            ids, spans = [self.tokenizer.bos_token_id, *ids], [(0, 0), *spans]
        return ids, spans

    def _write_pieces(self, question: str, steps: Sequence[str]) -> RewardInput:
        family = self.family
        text = family.prompt.replace("{question}", question) if family.prompt else question + family.joint
        # Without a name for it in the family, a bos token is written where the tokenizer has one.
        has_bos = not family.reads_ends or family.has_bos
        opening = (self.tokenizer.bos_token or "") * has_bos + text
        ids = list(self.tokenizer(opening, add_special_tokens=False)["input_ids"])
        positions, start = list[int](), len(ids)
        for step in steps:
            ids.extend(self.tokenizer(step, add_special_tokens=False)["input_ids"])
            if self.separator_token is None:
                positions.append(len(ids) - 1 - family.offset)
            else:
                positions.append(len(ids))
                ids.append(self.separator_token)
        return RewardInput(tuple(ids), tuple(positions), start=start)

    def _render(self, question: str, content: str) -> str:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": content}]
        if self.family.system is not None:
            messages.insert(0, {"role": "system", "content": self.family.system})
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)


def _join_steps(family: RewardFamily, steps: Sequence[str]) -> tuple[str, list[int]]:
    """Return the response as one text, and the position (in characters) at which each separator ends."""
    if not family.is_process:
        return "".join(steps).strip(), []
    text, ends = "", list[int]()
    for step in steps:
        text += (family.after_separator if text else "") + step + family.before_separator + family.separator
        ends.append(len(text))
    return text, ends
