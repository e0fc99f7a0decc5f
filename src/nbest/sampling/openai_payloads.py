"""What is sent to an OpenAI-compatible server, and how its answer is read. Knows no connection and no retry.

Two dialects. `openai` sends what OpenAI's own reference lists and nothing else. `vllm` adds the fields that vLLM,
SGLang, llama.cpp and the server of this package read besides: `top_k`, `min_p`, `return_token_ids` and
`skip_special_tokens` (false: `<think>` stays in the text where it is a special token); a server that returns no token
ids is fine, one that refuses unknown fields needs `openai`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from nbest.errors import UnavailableError
from nbest.records import Completion, Finish, Floats, Ids, Message, SamplingParams, Usage
from nbest.sampling.tokenizing import join_contents

Dialect: TypeAlias = Literal["vllm", "openai"]
Template: TypeAlias = Literal["chat", "none"]
"""`chat`: the messages go to /v1/chat/completions. `none`: their contents go to /v1/completions as one text."""

MOST_TOP_LOGPROBS = 20
"""OpenAI's limit, and vLLM's default one."""
_FINISHES: dict[Any, Finish] = {"stop": "stop", "length": "length", "error": "error", "content_filter": "error"}


@dataclass(frozen=True, slots=True)
class Form:
    """How a server is asked: model name, dialect, template, and whether log-probabilities are asked for."""

    model: str
    dialect: Dialect = "vllm"
    template: Template = "chat"
    has_logprobs: bool = True

    @property
    def path(self) -> str:
        return "/chat/completions" if self.template == "chat" else "/completions"


class BadBodyError(ValueError):
    """An answer with status 200 that is not what the protocol promises."""


def check_params(form: Form, params: SamplingParams) -> None:
    """Raises UnavailableError where `params` asks for what no such server gives, with every such field."""
    faults: list[str] = []
    if params.capture is not None:
        faults.append("capture: a server returns no hidden states; leave it out, or use policy.type = 'transformers'")
    if params.self_certainty:
        faults.append("self_certainty: needs the whole vocabulary of each draw, which a server does not return")
    if params.top_logprobs > MOST_TOP_LOGPROBS:
        faults.append(f"top_logprobs: {params.top_logprobs} asked for; servers give at most {MOST_TOP_LOGPROBS}")
    if params.top_logprobs and not form.has_logprobs:
        faults.append("top_logprobs: this endpoint is set not to be asked for log-probabilities")
    if form.dialect == "openai":
        faults += [
            f"{name}: {value!r} is no field of OpenAI's protocol; set it to 0 (off), or use dialect = 'vllm'"
            for name, value in (("top_k", params.top_k), ("min_p", params.min_p))
            if value
        ]
    if faults:
        raise UnavailableError("\n".join(faults))


def build_payload(form: Form, messages: Sequence[Message], seed: int, params: SamplingParams) -> dict[str, Any]:
    """The JSON of one request for one completion."""
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
    return payload


def read_completion(form: Form, body: str, params: SamplingParams) -> Completion:
    """The completion in the body of an answer. Raises BadBodyError, which says what is wrong and how the body begins.

    Reasoning that the server split off is put back before the text as `<think>...</think>`; without the closing tag
    where it was cut at the token limit before any text came. Token ids are empty where the server gives none.
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
            note=_tell_finish(choice.get("finish_reason")),
            usage=_read_usage(answer.get("usage")),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise BadBodyError(f"not the JSON of a completion ({said}); it begins {body[:200]!r}") from error


def _tell_finish(reason: Any) -> str:
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
    return f"<think>{reasoning}" + ("" if is_cut else f"</think>{content or ''}")


def _read_logprobs(form: Form, held: Any, top: int) -> tuple[Floats | None, Floats | None]:
    """Of the tokens, and the mean of the `top` likeliest of each; None where the server gave none."""
    if not held:
        return None, None
    own: list[float]
    likeliest: list[list[float]]
    if form.template == "chat":
        rows: Any = held.get("content") or []
        own = [row["logprob"] for row in rows]
        likeliest = [[each["logprob"] for each in row.get("top_logprobs") or ()] for row in rows]
    else:
        own, named = held["token_logprobs"], cast(Any, held.get("top_logprobs") or ())
        likeliest = [list(row.values()) if row else [] for row in named]
    logprobs = np.array(own, dtype=np.float32)
    if not top or len(likeliest) != len(own) or any(len(row) < top for row in likeliest):
        return logprobs, None
    means = [float(np.mean(sorted(row, reverse=True)[:top])) for row in likeliest]
    return logprobs, np.array(means, dtype=np.float32)


def _read_ids(ids: Sequence[int] | None) -> Ids:
    return np.array(ids or [], dtype=np.int32)


def _read_usage(usage: Any) -> Usage | None:
    if not usage:
        return None
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
