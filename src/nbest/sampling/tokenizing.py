"""From a conversation to the token ids that a policy reads. This module does not know models.

The text of a message is text: where it holds the text of a control token (`<|im_end|>`, `</s>`), the policy reads these
characters and no control token. Everything else becomes the ids that the tokenizer's own chat template gives.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbest.errors import ConfigError
from nbest.records import Message

_PRIVATE_USE = range(0xE000, 0xF900)


@dataclass(frozen=True, slots=True)
class TokenizerVocabulary:
    """A tokenizer as the `Vocabulary` of a policy whose model is not loaded here."""

    tokenizer: Any
    template: str
    context_tokens: int | None

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return len(tokenize_messages(self.tokenizer, messages, self.template))

    def token_text(self, token: int) -> str:
        return self.tokenizer.decode([token], clean_up_tokenization_spaces=False)


def tokenize_messages(tokenizer: Any, messages: Sequence[Message], template: str = "chat") -> list[int]:
    """Return the ids of a conversation, generation prompt included.

    With template "none" the contents stand one behind another, separated by blank lines, without any template. Raises
    ConfigError where there is no message, or where the chat template refuses the conversation.
    """
    if not messages:
        raise ConfigError("messages: got none; a policy needs at least one message")
    specials = _find_special_texts(tokenizer, [message.content for message in messages])
    if not specials:
        return _tokenize_plain(tokenizer, messages, template)
    return _tokenize_around(tokenizer, messages, template, specials)


def require_template(tokenizer: Any, model: str, template: str) -> None:
    """Raise ConfigError where `template` is "chat" and the tokenizer has none."""
    if template == "chat" and not tokenizer.chat_template:
        raise ConfigError(f"template: the tokenizer of {model!r} has no chat template; use template='none'")


def join_contents(messages: Sequence[Message]) -> str:
    """Return the contents of a conversation as one text, for policies that know no chat template."""
    return "\n\n".join(message.content for message in messages)


def _tokenize_plain(tokenizer: Any, messages: Sequence[Message], template: str) -> list[int]:
    if template == "none":
        return list(tokenizer(join_contents(messages))["input_ids"])
    return list(_apply_template(tokenizer, messages, tokenize=True))


def _apply_template(tokenizer: Any, messages: Sequence[Message], *, tokenize: bool) -> Any:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=tokenize, return_dict=False)
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise ConfigError(f"messages: the policy's chat template refuses the roles {roles}: {error}") from error


def _find_special_texts(tokenizer: Any, contents: Sequence[str]) -> list[str]:
    """Return the texts of control tokens that occur in `contents`, the longest first."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    texts = {text for text in (*added, *tokenizer.all_special_tokens) if text}
    return sorted((text for text in texts if any(text in content for content in contents)), key=len, reverse=True)


def _tokenize_around(tokenizer: Any, messages: Sequence[Message], template: str, specials: Sequence[str]) -> list[int]:
    """Tokenize a conversation whose contents hold control texts: a mark stands for each of these while the rest is
    rendered, so that only what the template itself writes is read as control tokens."""
    contents = [message.content for message in messages]
    used = set("".join([*contents, str(tokenizer.chat_template)]))
    opening, closing = islice((chr(code) for code in _PRIVATE_USE if chr(code) not in used), 2)
    pattern = re.compile("|".join(map(re.escape, specials)))
    marked = [
        Message(
            message.role, pattern.sub(lambda match: f"{opening}{specials.index(match[0])}{closing}", message.content)
        )
        for message in messages
    ]
    text = join_contents(marked) if template == "none" else _apply_template(tokenizer, marked, tokenize=False)
    ids: list[int] = []
    for position, piece in enumerate(re.split(f"{opening}(\\d+){closing}", text)):
        # Every second piece is the number of a control text.
        if position % 2:
            ids += tokenizer(specials[int(piece)], add_special_tokens=False, split_special_tokens=True)["input_ids"]
        elif piece:
            ids += tokenizer(piece, add_special_tokens=False)["input_ids"]
    if template != "none":
        return ids
    before, after = _surrounding_ids(tokenizer)
    return [*before, *ids, *after]


def _surrounding_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return what the tokenizer puts before and after a text of its own accord."""
    bare = list(tokenizer("0", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("0")["input_ids"])
    start = next((at for at in range(len(full) - len(bare) + 1) if full[at : at + len(bare)] == bare), 0)
    return full[:start], full[start + len(bare) :]
