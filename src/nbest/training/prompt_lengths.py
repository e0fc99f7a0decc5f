# pyright: standard
"""Count the tokens of prompts and texts as a model reads them: by its tokenizer, through its chat template.

This module does not know the weights of models, tasks or limits.
"""

import hashlib
import json
from typing import Any

from nbest.records import user_message
from nbest.sampling.checkpoint import load_prompt_tokenizer
from nbest.sampling.tokenizing import count_text_tokens, tokenize_messages


class PromptLengths:
    """A tokenizer with a chat template: a folder, a hub id or `bundled:NAME`.

    Raises ConfigError if it cannot be loaded or has no chat template. `hashes` identify tokenizer and template.
    """

    def __init__(self, tokenizer: str):
        self._tokenizer: Any = load_prompt_tokenizer(tokenizer)

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 hashes of the tokenizer and of its chat template, by the name of their field in a task file."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        vocabulary = (
            backend.to_str() if backend is not None else json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
        )
        template = json.dumps(self._tokenizer.chat_template, sort_keys=True)
        return {
            "tokenizer_hash": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "chat_template_hash": hashlib.sha256(template.encode()).hexdigest(),
        }

    def count_prompt(self, prompt: str) -> int:
        """Count the tokens of a user's message with what the template puts around it, generation prompt included."""
        return len(tokenize_messages(self._tokenizer, user_message(prompt)))

    def count_text(self, text: str) -> int:
        """Count the tokens that a text takes within a message."""
        return count_text_tokens(self._tokenizer, text)

    def is_text_within(self, text: str, limit: int) -> bool:
        """Return whether a text takes at most `limit` tokens within a message."""
        # A token stands for at least one byte: short texts need no counting.
        if len(text) * 4 <= limit or len(text.encode("utf-8", "replace")) <= limit:
            return True
        return self.count_text(text) <= limit
