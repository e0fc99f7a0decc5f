# pyright: standard
"""How many tokens a model is given for a prompt, counted by its tokenizer through its chat template.

This module does not know models' weights, tasks or limits.
"""

import hashlib
import json
from typing import Any

from transformers import AutoTokenizer

from nbest.errors import ConfigError
from nbest.records import user_message
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.sampling.tokenizing import tokenize_messages


class PromptLengths:
    """A tokenizer: a folder, a hub id or `bundled:NAME`. Raises ConfigError where it cannot be loaded or has no chat
    template. `hashes` tell which tokenizer and template it was."""

    def __init__(self, tokenizer: str):
        folder = locate_checkpoint(tokenizer)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"tokenizer: {tokenizer!r} could not be loaded: it is neither bundled:NAME, nor a folder with a "
                f"tokenizer, nor a hub id that can be reached. {type(error).__name__}: {error}"
            ) from error
        if not getattr(self._tokenizer, "chat_template", None):
            raise ConfigError(f"tokenizer: {tokenizer!r} has no chat template, and prompts are counted through it")
        # Prompts beyond the model's window are counted, not fed: no warning about them.
        self._tokenizer.model_max_length = int(1e30)

    @property
    def hashes(self) -> dict[str, str]:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        words = backend.to_str() if backend is not None else json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
        template = json.dumps(self._tokenizer.chat_template, sort_keys=True)
        return {
            "tokenizer_hash": hashlib.sha256(words.encode()).hexdigest(),
            "chat_template_hash": hashlib.sha256(template.encode()).hexdigest(),
        }

    def count_prompt(self, prompt: str) -> int:
        """Tokens of a user's message with everything the template puts around it, generation prompt included."""
        return len(tokenize_messages(self._tokenizer, user_message(prompt)))

    def count_text(self, text: str) -> int:
        """Tokens of a text alone, with no special tokens around it."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def is_text_within(self, text: str, limit: int) -> bool:
        """Whether a text alone has at most `limit` tokens."""
        # A token stands for at least one byte: short texts need no counting.
        if len(text) * 4 <= limit or len(text.encode("utf-8", "replace")) <= limit:
            return True
        return self.count_text(text) <= limit
