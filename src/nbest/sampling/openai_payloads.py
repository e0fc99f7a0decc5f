"""Writes the requests to an OpenAI-compatible server and reads its answers.

There are two dialects. `openai` sends what OpenAI's own reference lists and nothing else. `vllm` adds the fields that
vLLM, SGLang, llama.cpp and the server of this package read besides: `top_k`, `min_p`, `return_token_ids` and
`skip_special_tokens` (false: `<think>` stays in the text where it is a special token). Arguments of the chat template
are sent as `chat_template_kwargs`, which the server of this package refuses: there they are a setting of the policy. A
server may leave out the token ids; one that refuses unknown fields needs the dialect `openai`. Messages are sent as
role and content, and the server turns them into tokens, including the texts of control tokens in them.

This module does not know connections and retries.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from nbest.answers.reasoning import CLOSE_TAG, OPEN_TAG
from nbest.errors import UnavailableError
from nbest.records import Completion, Finish, Floats, Ids, Message, SamplingParams, Usage
from nbest.sampling.limits import find_unavailable
from nbest.sampling.tokenizing import join_contents

Dialect: TypeAlias = Literal["vllm", "openai"]
Template: TypeAlias = Literal["chat", "none"]
"""`chat`: the messages go to /v1/chat/completions. `none`: their contents go to /v1/completions as one text."""

_FINISHES: dict[Any, Finish] = {"stop": "stop", "length": "length", "error": "error", "content_filter": "error"}


@dataclass(frozen=True, slots=True)
class Form:
    """The form of requests to a server: model name, dialect, template and its arguments, and whether they ask for
    log-probabilities."""

    model: str
    dialect: Dialect = "vllm"
    template: Template = "chat"
    has_logprobs: bool = True
    template_arguments: Mapping[str, bool | int | float | str] = field(
        default_factory=dict[str, bool | int | float | str]
    )

    @property
    def path(self) -> str:
        return "/chat/completions" if self.template == "chat" else "/completions"


class BadBodyError(ValueError):
    """An answer with status 200 that does not follow the protocol."""


def check_params(form: Form, params: SamplingParams) -> None:
    """Raise UnavailableError listing every field of `params` that needs what such a server does not return."""
    if faults := list_missing(form, params):
        raise UnavailableError("\n".join(faults))


def list_missing(form: Form, params: SamplingParams) -> list[str]:
    """Return one message per field of `params` that needs what such a server does not return."""
    faults = find_unavailable(params)
    if params.top_logprobs and not form.has_logprobs:
        faults.append("top_logprobs: this endpoint has logprobs = false, which requests no log-probabilities")
    if form.dialect == "openai":
        faults += [
            f"{name}: {value!r} is no field of OpenAI's protocol; set it to 0 (off), or use dialect = 'vllm'"
            for name, value in (("top_k", params.top_k), ("min_p", params.min_p))
            if value
        ]
    return faults


def build_payload(form: Form, messages: Sequence[Message], seed: int, params: SamplingParams) -> dict[str, Any]:
    """Return the JSON of one request for one completion."""
    is_chat, is_vllm = form.template == "chat", form.dialect == "vllm"
    limit = "max_tokens" if is_vllm or not is_chat else "max_completion_tokens"
    payload: dict[str, Any] = {"model": form.model, "n": 1, "seed": seed, limit: params.max_tokens}
    payload |= {"temperature": params.temperature, "top_p": params.top_p}
    if is_chat:
        payload["messages"] = [{"role": message.role, "content": message.content} for message in messages]
    else:
        payload["prompt"] = join_contents(messages)
    if params.stop:
        payload["stop"] = list(params.stop)
    if form.has_logprobs:
        payload |= {"logprobs": True} if is_chat else {"logprobs": params.top_logprobs}
        if params.top_logprobs and is_chat:
            payload["top_logprobs"] = params.top_logprobs
    if is_vllm:
        # Tags of thinking are special tokens in some vocabularies, and part of the text in all.
        payload |= {"return_token_ids": True, "skip_special_tokens": False}
        payload |= {"top_k": params.top_k} if params.top_k else {}
        payload |= {"min_p": params.min_p} if params.min_p else {}
        payload |= {"chat_template_kwargs": dict(form.template_arguments)} if form.template_arguments else {}
    return payload


def read_completion(form: Form, body: str, params: SamplingParams) -> Completion:
    """Return the completion in the body of an answer.

    Reasoning that the server separated is put before the text as `<think>...</think>`, without the closing tag where it
    was cut at the token limit before any text. Token ids are empty if the server returns none. Raises BadBodyError,
    which says what is wrong and how the body begins.
    """
    try:
        answer = json.loads(body)
        choice: Any = answer["choices"][0]
        text = _read_chat_text(choice) if form.template == "chat" else choice["text"]
        if not isinstance(text, str):
            raise TypeError("the text is no string")
        logprobs, confidences = _read_logprobs(form, choice.get("logprobs"), params.top_logprobs)
        return Completion(
            text,
            _read_ids(answer.get("prompt_token_ids") or choice.get("prompt_token_ids")),
            _read_ids(choice.get("token_ids")),
            logprobs,
            confidences,
            _FINISHES.get(choice.get("finish_reason"), "unknown"),
            note=_describe_finish(choice.get("finish_reason")),
            usage=_read_usage(answer.get("usage")),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadBodyError(f"not the JSON of a completion ({reason}); it begins {body[:200]!r}") from error


def _describe_finish(reason: Any) -> str:
    return f"the server ended it with finish_reason={reason!r}" if _FINISHES.get(reason, "unknown") == "error" else ""


def _read_chat_text(choice: Any) -> str:
    message = choice["message"]
    content = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if content is None and reasoning is None and message.get("refusal") is None and "content" not in message:
        raise KeyError("content")
    if not reasoning:
        return content or message.get("refusal") or ""
    is_cut = not content and choice.get("finish_reason") == "length"
    return f"{OPEN_TAG}{reasoning}" + ("" if is_cut else f"{CLOSE_TAG}{content or ''}")


def _read_logprobs(form: Form, entry: Any, top: int) -> tuple[Floats | None, Floats | None]:
    """Return the log-probabilities of the tokens, and the mean of the `top` likeliest per token.

    Each is None if the server returned none.
    """
    if not entry:
        return None, None
    sampled: list[float]
    likeliest: list[list[float]]
    if form.template == "chat":
        rows: Any = entry.get("content") or []
        sampled = [row["logprob"] for row in rows]
        likeliest = [[token["logprob"] for token in row.get("top_logprobs") or ()] for row in rows]
    else:
        sampled, best = entry["token_logprobs"], cast(Any, entry.get("top_logprobs") or ())
        likeliest = [list(row.values()) if row else [] for row in best]
    logprobs = np.array(sampled, dtype=np.float32)
    if not top or len(likeliest) != len(sampled) or any(len(row) < top for row in likeliest):
        return logprobs, None
    means = [float(np.mean(sorted(row, reverse=True)[:top])) for row in likeliest]
    return logprobs, np.array(means, dtype=np.float32)


def _read_ids(ids: Sequence[int] | None) -> Ids:
    return np.array(ids or [], dtype=np.int32)


def _read_usage(usage: Any) -> Usage | None:
    if not usage:
        return None
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
