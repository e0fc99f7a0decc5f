"""Read a question (a text, a conversation or a problem) into one problem and the messages that a policy gets.

A Problem keeps its id, so that its trajectories have the same seeds as in a run. The id of a text or conversation is a
hash of its content: the same question has the same trajectories on every machine.

This module does not know policies, selectors or files.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast, get_args, get_type_hints

from nbest.errors import ConfigError
from nbest.records import Kind, Message, Problem, user_message

Question: TypeAlias = str | Problem | Sequence[Message | Mapping[str, Any]]
"""A text (one user message), a problem, or the messages of a conversation: `nbest.Message` or `{"role", "content"}`."""

ROLES: tuple[str, ...] = get_args(get_type_hints(Message)["role"])
_KEYS = ("role", "content")


def read_question(question: Question, kind: Kind | None = None) -> tuple[Problem, tuple[Message, ...]]:
    """Return the problem that a question is, and the messages that ask it.

    `kind` says how its answer is read; None is "math", or the kind of a problem that was given. `Problem.prompt` is
    the user's text, or the whole conversation as text if there is more than one message; then `Problem.meta` has
    the messages. Raises ConfigError that lists every faulty message.
    """
    if isinstance(question, Problem):
        if not question.prompt.strip():
            raise ConfigError(f"problem {question.id!r}: its prompt is empty; it must hold a question")
        problem = question if kind is None else replace(question, kind=kind)
        return problem, user_message(problem.prompt)
    messages = _read_text(question) if isinstance(question, str) else read_messages(question)
    conversation = [[message.role, message.content] for message in messages]
    digest = hashlib.blake2b(json.dumps(conversation).encode(), digest_size=8).hexdigest()
    meta = {"messages": conversation} if len(messages) > 1 else {}
    return Problem(f"question-{digest}", render_conversation(messages), kind=kind or "math", meta=meta), messages


def read_messages(messages: Sequence[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of a conversation; the last one must be the user's.

    `content` is text or a list of parts `{"type": "text", "text": ...}`, which are joined. Raises ConfigError that
    names every faulty message and what is allowed.
    """
    if not isinstance(messages, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may not be checked
        raise ConfigError(f"question: got {type(messages).__name__}; allowed are text, a list of messages, a Problem")
    if not messages:
        raise ConfigError("messages: the list is empty; it must end with a message of role 'user'")
    faults: list[str] = []
    conversation = [_read_message(message, f"messages[{index}]", faults) for index, message in enumerate(messages)]
    if not faults and conversation[-1].role != "user":
        faults.append(
            f"messages[{len(messages) - 1}].role: the last message must be of role 'user', not "
            f"{conversation[-1].role!r}"
        )
    if faults:
        raise ConfigError(faults)
    return tuple(conversation)


def render_conversation(messages: Sequence[Message]) -> str:
    """Return the text of a single user message alone, else every message behind its role, blank lines between."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)


def _read_text(text: str) -> tuple[Message, ...]:
    if not text.strip():
        raise ConfigError("question: the text is empty; it must hold a question")
    if not text.isascii() and any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise ConfigError("question: it holds bytes or surrogates that are no text; it must be UTF-8")
    return user_message(text)


def _read_message(message: Any, where: str, faults: list[str]) -> Message:
    """Return the message; what is wrong with it is added to `faults`."""
    if isinstance(message, Message):
        fields: Mapping[str, Any] = {"role": message.role, "content": message.content}
    elif isinstance(message, Mapping):
        fields = cast("Mapping[str, Any]", message)
    else:
        faults.append(
            f"{where}: got {type(message).__name__}; a message is nbest.Message or {{'role': ..., 'content': ...}}"
        )
        return Message("user", "")
    # Clients write out every field of their schema; one that is None says nothing.
    unknown = [key for key, value in fields.items() if key not in _KEYS and value is not None]
    if unknown:
        faults.append(f"{where}: unknown keys {', '.join(map(repr, unknown))}; allowed are role and content")
    role = fields.get("role")
    if role not in ROLES:
        faults.append(f"{where}.role: got {role!r}; allowed are {', '.join(map(repr, ROLES))}")
        role = "user"
    content = _read_content(fields.get("content"), f"{where}.content", faults)
    return Message(role, content)


def _read_content(content: Any, where: str, faults: list[str]) -> str:
    if isinstance(content, str):
        texts = [content]
    elif isinstance(content, Sequence) and not isinstance(content, bytes):
        parts = cast("Sequence[Any]", content)
        texts = [_read_part(part, f"{where}[{index}]", faults) for index, part in enumerate(parts)]
    else:
        faults.append(f"{where}: got {type(content).__name__}; allowed is text or a list of text parts")
        return ""
    if not "".join(texts).strip() and not any(where in fault for fault in faults):
        faults.append(f"{where}: it is empty; a message must hold text")
    return "".join(texts)


def _read_part(part: Any, where: str, faults: list[str]) -> str:
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}
    text = fields.get("text")
    if fields.get("type") == "text" and isinstance(text, str):
        return text
    description = f"a part of type {fields['type']!r}" if "type" in fields else type(cast("object", part)).__name__
    faults.append(f"{where}: got {description}; allowed is {{'type': 'text', 'text': '...'}}: only text is read")
    return ""
