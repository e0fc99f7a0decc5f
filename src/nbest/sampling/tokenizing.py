"""Turns a conversation into the token ids that a policy reads. This module does not know models.

The text of a message is always text: where it contains the text of a control token (`<|im_end|>`, `</s>`), the policy
reads these characters and no control token. Everything else becomes the ids that the tokenizer's chat template gives.
"""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbest.errors import ConfigError
from nbest.records import Message

TOKENIZING = threading.RLock()
"""The lock for every call of a tokenizer: a fast one fails in one thread while another changes its settings."""

_PRIVATE_USE = range(0xE000, 0xF900)
_ANCHOR = "\n"
"""A text that is put before a piece, so that the tokenizer does not treat the piece as the beginning of a text."""


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

    With template "none" the contents are joined by blank lines and tokenized without any template. Raises
    ConfigError if there is no message, or if the chat template refuses the conversation.
    """
    if not messages:
        raise ConfigError("messages: got none; a policy needs at least one message")
    with TOKENIZING:
        controls = _find_controls(tokenizer, [message.content for message in messages])
        if controls:
            return _tokenize_around(tokenizer, messages, template, controls)
        if template == "none":
            return list(tokenizer(join_contents(messages), verbose=False)["input_ids"])
        return list(_apply_template(tokenizer, messages, tokenize=True))


def count_text_tokens(tokenizer: Any, text: str) -> int:
    """Count the tokens that `text` takes within a message, where the texts of control tokens are text."""
    with TOKENIZING:
        controls = _find_controls(tokenizer, [text])
        pieces = re.split(f"({_match_any(controls)})", text) if controls else [text]
        return len(_tokenize_pieces(tokenizer, pieces))


def require_template(tokenizer: Any, model: str, template: str) -> None:
    """Raise ConfigError if `template` is "chat" and the tokenizer has none."""
    if template == "chat" and not tokenizer.chat_template:
        raise ConfigError(f"template: the tokenizer of {model!r} has no chat template; use template='none'")


def set_template_arguments(tokenizer: Any, model: str, arguments: Mapping[str, bool | int | float | str]) -> None:
    """Give variables of the chat template their values, for every conversation that this tokenizer renders.

    The template itself sets them in its first lines, so `chat_template_hash` differs from that without arguments.
    Raises ConfigError for a variable that the template does not have.
    """
    template: Any = tokenizer.chat_template
    if not arguments:
        return
    unknown = [name for name in arguments if not re.search(rf"\b{re.escape(name)}\b", str(template))]
    if unknown:
        raise ConfigError(
            f"template_arguments: the chat template of {model!r} has no variable {', '.join(unknown)}; leave it out"
        )
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in arguments.items()}
    # Transformers removes the one line break behind a block, so that the template still begins a line.
    head = "".join(f"{{% set {name} = {value} %}}\n" for name, value in values.items())
    is_one = isinstance(template, str)
    tokenizer.chat_template = head + template if is_one else {key: head + text for key, text in template.items()}


def join_contents(messages: Sequence[Message]) -> str:
    """Return the contents of a conversation as one text, for policies that know no chat template."""
    return "\n\n".join(message.content for message in messages)


def _apply_template(tokenizer: Any, messages: Sequence[Message], *, tokenize: bool) -> Any:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        # A prompt beyond the model's context needs no warning: what reads the ids says so.
        options = {"verbose": False} if tokenize else None
        return tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=tokenize, return_dict=False, tokenizer_kwargs=options
        )
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

    A mark replaces each such text while the conversation is rendered. The template thus reads every message, and only
    what the template itself writes becomes control tokens.
    """
    characters = set("".join([*(message.content for message in messages), str(tokenizer.chat_template)]))
    opening, closing = islice((chr(code) for code in _PRIVATE_USE if chr(code) not in characters), 2)
    pattern = re.compile(_match_any(controls))

    def mark(match: re.Match[str]) -> str:
        return f"{opening}{controls.index(match[0])}{closing}"

    turns = [Message(message.role, pattern.sub(mark, message.content)) for message in messages]
    text = join_contents(turns) if template == "none" else _apply_template(tokenizer, turns, tokenize=False)
    pieces = re.split(f"{opening}(\\d+){closing}", text)
    pieces[1::2] = [controls[int(number)] for number in pieces[1::2]]
    ids = _tokenize_pieces(tokenizer, pieces)
    if template != "none":
        return ids
    before, after = _surrounding_ids(tokenizer)
    return [*before, *ids, *after]


def _tokenize_pieces(tokenizer: Any, pieces: Sequence[str]) -> list[int]:
    """Return the ids of a text in pieces; every second piece is the text of a control token, which is read as text."""
    control_ids = frozenset(_list_controls(tokenizer).values())
    ids: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2:
            ids += _tokenize_control(tokenizer, piece, control_ids, not ids)
        else:
            ids += _tokenize_piece(tokenizer, piece, False, not ids)
    return ids


def _tokenize_control(tokenizer: Any, text: str, control_ids: frozenset[int], is_first: bool) -> list[int]:
    """Return ids for the text of a control token, none of which is the id of a control token."""
    ids = _tokenize_piece(tokenizer, text, True, is_first)
    if len(text) == 1 or control_ids.isdisjoint(ids):
        return ids
    # Some vocabularies merge the characters into the control token like any others; each half alone cannot become it.
    middle = len(text) // 2
    first = _tokenize_control(tokenizer, text[:middle], control_ids, is_first)
    return first + _tokenize_control(tokenizer, text[middle:], control_ids, False)


def _tokenize_piece(tokenizer: Any, piece: str, is_split: bool, is_first: bool) -> list[int]:
    """Return the ids of a piece of a longer text, without what a tokenizer puts before the beginning of a text.

    With `is_split` the texts of control tokens are read as ordinary text.
    """

    def tokenize(text: str) -> list[int]:
        if not text:
            return []
        # A text beyond the model's context needs no warning: what reads the ids says so.
        return tokenizer(text, add_special_tokens=False, split_special_tokens=is_split, verbose=False)["input_ids"]

    if is_first or not piece:
        return tokenize(piece)
    # SentencePiece puts a space before a text; a piece after an anchor gets none.
    anchor, ids = tokenize(_ANCHOR), tokenize(_ANCHOR + piece)
    return ids[len(anchor) :] if ids[: len(anchor)] == anchor else tokenize(piece)


def _surrounding_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer adds before and after every text."""
    bare = list(tokenizer("0", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("0")["input_ids"])
    starts = range(len(full) - len(bare) + 1)
    start = next((start for start in starts if full[start : start + len(bare)] == bare), 0)
    return full[:start], full[start + len(bare) :]
