"""From a conversation to the token ids that a policy reads. This module does not know models.

The text of a message is text: where it holds the text of a control token (`<|im_end|>`, `</s>`), the policy reads these
characters and no control token. Everything else becomes the ids that the tokenizer's own chat template gives.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbest.errors import ConfigError
from nbest.records import Message

TOKENIZING = threading.RLock()
"""Held by whoever calls a tokenizer: a fast one refuses work in one thread while another changes its settings."""

_PRIVATE_USE = range(0xE000, 0xF900)
_ANCHOR = "\n"
"""A text that takes the place before a piece, so that the piece is not the beginning of what is tokenized."""


@dataclass(frozen=True, slots=True)
class TokenizerVocabulary:
    """A tokenizer as the `Vocabulary` of a policy whose model is not loaded here."""

    tokenizer: Any
    template: str
    context_tokens: int | None

    def count_tokens(self, text: str) -> int:
        return count_text_tokens(self.tokenizer, text)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return len(tokenize_messages(self.tokenizer, messages, self.template))

    def token_text(self, token: int) -> str:
        with TOKENIZING:
            return self.tokenizer.decode([token], clean_up_tokenization_spaces=False)


def tokenize_messages(tokenizer: Any, messages: Sequence[Message], template: str = "chat") -> list[int]:
    """Return the ids of a conversation, generation prompt included.

    With template "none" the contents stand one behind another, separated by blank lines, without any template. Raises
    ConfigError where there is no message, or where the chat template refuses the conversation.
    """
    if not messages:
        raise ConfigError("messages: got none; a policy needs at least one message")
    with TOKENIZING:
        controls = _find_controls(tokenizer, [message.content for message in messages])
        if controls:
            return _tokenize_around(tokenizer, messages, template, controls)
        if template == "none":
            return list(tokenizer(join_contents(messages))["input_ids"])
        return list(_apply_template(tokenizer, messages, tokenize=True))


def count_text_tokens(tokenizer: Any, text: str) -> int:
    """Count the tokens that `text` takes within a message, where the texts of control tokens are text."""
    with TOKENIZING:
        controls = _find_controls(tokenizer, [text])
        pieces = re.split(f"({_match_any(controls)})", text) if controls else [text]
        return len(_tokenize_pieces(tokenizer, pieces))


def require_template(tokenizer: Any, model: str, template: str) -> None:
    """Raise ConfigError where `template` is "chat" and the tokenizer has none."""
    if template == "chat" and not tokenizer.chat_template:
        raise ConfigError(f"template: the tokenizer of {model!r} has no chat template; use template='none'")


def join_contents(messages: Sequence[Message]) -> str:
    """Return the contents of a conversation as one text, for policies that know no chat template."""
    return "\n\n".join(message.content for message in messages)


def _apply_template(tokenizer: Any, messages: Sequence[Message], *, tokenize: bool) -> Any:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=tokenize, return_dict=False)
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise ConfigError(f"messages: the policy's chat template refuses the roles {roles}: {error}") from error


def _list_controls(tokenizer: Any) -> dict[str, int]:
    """Return the id of each control token by its text."""
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def _find_controls(tokenizer: Any, contents: Sequence[str]) -> list[str]:
    """Return the texts of control tokens that occur in `contents`, the longest first."""
    texts = [text for text in _list_controls(tokenizer) if text and any(text in content for content in contents)]
    return sorted(texts, key=len, reverse=True)


def _match_any(texts: Sequence[str]) -> str:
    return "|".join(map(re.escape, texts))


def _tokenize_around(tokenizer: Any, messages: Sequence[Message], template: str, controls: Sequence[str]) -> list[int]:
    """Tokenize a conversation whose contents hold the texts of control tokens.

    A mark stands for each such text while the conversation is rendered, so that the template sees every message, and
    only what the template itself writes is read as control tokens.
    """
    used = set("".join([*(message.content for message in messages), str(tokenizer.chat_template)]))
    opening, closing = islice((chr(code) for code in _PRIVATE_USE if chr(code) not in used), 2)
    pattern = re.compile(_match_any(controls))

    def mark(match: re.Match[str]) -> str:
        return f"{opening}{controls.index(match[0])}{closing}"

    marked = [Message(message.role, pattern.sub(mark, message.content)) for message in messages]
    text = join_contents(marked) if template == "none" else _apply_template(tokenizer, marked, tokenize=False)
    pieces = re.split(f"{opening}(\\d+){closing}", text)
    pieces[1::2] = [controls[int(number)] for number in pieces[1::2]]
    ids = _tokenize_pieces(tokenizer, pieces)
    if template != "none":
        return ids
    before, after = _surrounding_ids(tokenizer)
    return [*before, *ids, *after]


def _tokenize_pieces(tokenizer: Any, pieces: Sequence[str]) -> list[int]:
    """Return the ids of a text in pieces, of which every second one is the text of a control token and read as text."""
    control_ids = frozenset(_list_controls(tokenizer).values())
    ids: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2:
            ids += _tokenize_control(tokenizer, piece, control_ids, not ids)
        else:
            ids += _tokenize_piece(tokenizer, piece, False, not ids)
    return ids


def _tokenize_control(tokenizer: Any, text: str, control_ids: frozenset[int], is_first: bool) -> list[int]:
    """Return ids for the text of a control token, none of which is that of a control token."""
    ids = _tokenize_piece(tokenizer, text, True, is_first)
    if len(text) == 1 or control_ids.isdisjoint(ids):
        return ids
    # Some vocabularies join the characters to the control token by ordinary merges: its halves cannot become it.
    middle = len(text) // 2
    first = _tokenize_control(tokenizer, text[:middle], control_ids, is_first)
    return first + _tokenize_control(tokenizer, text[middle:], control_ids, False)


def _tokenize_piece(tokenizer: Any, piece: str, is_split: bool, is_first: bool) -> list[int]:
    """Return the ids of a piece of a longer text, without what a tokenizer puts before the beginning of a text.

    With `is_split` the texts of control tokens are not looked for.
    """

    def tokenize(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=is_split)["input_ids"] if text else []

    if is_first or not piece:
        return tokenize(piece)
    # SentencePiece writes a space before a text: behind an anchor the piece gets none.
    anchor, ids = tokenize(_ANCHOR), tokenize(_ANCHOR + piece)
    return ids[len(anchor) :] if ids[: len(anchor)] == anchor else tokenize(piece)


def _surrounding_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return what the tokenizer puts before and after a text of its own accord."""
    bare = list(tokenizer("0", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("0")["input_ids"])
    start = next((at for at in range(len(full) - len(bare) + 1) if full[at : at + len(bare)] == bare), 0)
    return full[:start], full[start + len(bare) :]
