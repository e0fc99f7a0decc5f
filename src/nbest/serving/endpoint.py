"""Any Sampler behind OpenAI's protocol: POST /v1/chat/completions, POST /v1/completions, GET /v1/models.

Rules
    A chat has turns of the roles system, user and assistant, of which the last is the user's. Their content is text or
    text parts; anything else is refused with status 400.
    Whether a chat template is put around a prompt is the sampler's own setting, on both paths.
    No field is ignored: a field that is not supported is refused, and so is `stream = true`.
    Choice 0 is drawn with `seed`, choice i with a seed derived from it; without one, a random seed is drawn.
    A failed completion is an error with status 500 and `x-should-retry: false`, because its seed would fail again.
    Sampling stops when the client disconnects.
    Log-probabilities come with the names `token_id:ID`, as vLLM writes them: a Sampler gives ids, no pieces of text.

Needs the extra `serve`. This module does not know which sampler answers.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from nbest.errors import ConfigError, DataError, MissingExtraError, UnavailableError
from nbest.plurals import show_part
from nbest.protocols import Sampler
from nbest.records import ROLES, Completion, Message, Role, SamplingParams, Usage, derive_seed, user_message
from nbest.sampling.collecting import collect

MOST_CHOICES = 128
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")
    role: str
    content: str | list[_Part]


class _Request(BaseModel):
    """The fields of both paths. `user` and `metadata` are accepted because they change nothing, and so is
    `chat_template_kwargs` where it is empty.

    Samplers skip no special token but the end token, so `skip_special_tokens` can only be false.
    """

    model_config = ConfigDict(extra="forbid")
    model: str
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    stop: str | list[str] | None = None
    stream: bool = False
    return_token_ids: bool = False
    skip_special_tokens: Literal[False] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def to_params(self, max_tokens: int | None) -> SamplingParams:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        limit = SamplingParams().max_tokens if max_tokens is None else max_tokens
        return SamplingParams(
            self.temperature, self.top_p, max(self.top_k, 0), self.min_p, limit, tuple(text for text in stop if text)
        )

    def list_seeds(self) -> list[int]:
        first = secrets.randbits(63) if self.seed is None else self.seed
        return [first, *(derive_seed(first, "choice", index) for index in range(1, self.n))]


class ChatRequest(_Request):
    messages: Annotated[list[_Message], Field(min_length=1)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool = False


class CompletionRequest(_Request):
    prompt: str
    max_tokens: Count | None = None
    logprobs: Annotated[int, Field(ge=0, le=0)] | None = None


class _Refusal(Exception):
    """An error that is answered in OpenAI's format."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code

    def to_json(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def create_app(sampler: Sampler, name: str) -> Any:
    """Return the FastAPI application that serves `sampler` as the model `name`. Raises MissingExtraError."""
    try:
        from fastapi import FastAPI, Request
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import JSONResponse
        from starlette.exceptions import HTTPException
    except ImportError as error:
        raise MissingExtraError("fastapi", "serve") from error

    app = FastAPI(title=f"nbest: {name}", docs_url=None, redoc_url=None)

    def write_refusal(refusal: _Refusal) -> JSONResponse:
        headers = {"x-should-retry": "false"} if refusal.status == 500 else None
        return JSONResponse(refusal.to_json(), refusal.status, headers)

    @app.exception_handler(_Refusal)
    async def answer_refusal(_: Request, refusal: _Refusal) -> JSONResponse:
        return write_refusal(refusal)

    @app.exception_handler(RequestValidationError)
    async def answer_fault(_: Request, error: RequestValidationError) -> JSONResponse:
        return write_refusal(_read_faults(error.errors()))

    @app.exception_handler(HTTPException)
    async def answer_status(request: Request, error: HTTPException) -> JSONResponse:
        return write_refusal(_Refusal(error.status_code, f"{request.method} {request.url.path}: {error.detail}"))

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "nbest"}]}

    @app.post("/v1/chat/completions")
    async def chat(request: ChatRequest, connection: Request) -> dict[str, Any]:
        limit = request.max_completion_tokens or request.max_tokens
        _check_served(request, name)
        work = _sample(sampler, request, _read_messages(request.messages), limit)
        completions = await _run_while_connected(work, connection.receive)
        return _write("chat.completion", request, completions, request.logprobs)

    @app.post("/v1/completions")
    async def complete(request: CompletionRequest, connection: Request) -> dict[str, Any]:
        _check_served(request, name)
        work = _sample(sampler, request, user_message(request.prompt), request.max_tokens)
        completions = await _run_while_connected(work, connection.receive)
        return _write("text_completion", request, completions, request.logprobs is not None)

    # The decorators have registered these functions; without this, type checkers report them as unused.
    del answer_refusal, answer_fault, answer_status, list_models, chat, complete
    return app


def _read_faults(faults: Sequence[Any]) -> _Refusal:
    """Return all faults of a request as one refusal; `param` is the first field."""
    fields = [".".join(str(part) for part in fault["loc"] if part != "body") for fault in faults]
    lines = [f"{field or 'body'}: {fault['msg']}" for field, fault in zip(fields, faults, strict=True)]
    return _Refusal(400, "; ".join(lines), param=fields[0] or None)


def _read_messages(messages: Sequence[_Message]) -> tuple[Message, ...]:
    roles = [message.role for message in messages]
    unknown = sorted({role for role in roles if role not in ROLES})
    if unknown or roles[-1] != "user":
        reason = f"roles {', '.join(unknown)}" if unknown else f"a last message of role {roles[-1]!r}"
        allowed = f"roles {', '.join(ROLES)}, the last one user"
        raise _Refusal(400, f"messages: got {reason}; allowed: {allowed}", param="messages")
    return tuple(Message(cast("Role", message.role), _read_content(message)) for message in messages)


def _read_content(message: _Message) -> str:
    content = message.content
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _check_served(request: _Request, name: str) -> None:
    if request.stream:
        raise _Refusal(400, "stream: answers are sent whole here; leave it out or set it to false", param="stream")
    if request.chat_template_kwargs:
        names = ", ".join(request.chat_template_kwargs)
        message = (
            f"chat_template_kwargs: got {names}; the policy of this server sets the variables of its chat template "
            "itself. Leave them out, or load the policy with template_arguments before it is served"
        )
        raise _Refusal(400, message, param="chat_template_kwargs")
    if request.model != name:
        message = f"model: {request.model!r} is not served here; the model of this server is {name!r}"
        raise _Refusal(404, message, param="model", code="model_not_found")


async def _sample(
    sampler: Sampler, request: _Request, messages: Sequence[Message], max_tokens: int | None
) -> list[Completion]:
    try:
        completions = await collect(sampler, messages, request.list_seeds(), request.to_params(max_tokens))
    except (ConfigError, UnavailableError, DataError) as error:
        raise _Refusal(400, str(error)) from error
    failed = [completion for completion in completions if completion.finish == "error"]
    if failed:
        message = f"{show_part(len(failed), len(completions), 'completion')} failed: {failed[0].note}"
        raise _Refusal(500, message, "server_error", code="sampling_failed")
    return completions


async def _run_while_connected(
    work: Coroutine[Any, Any, list[Completion]], receive: Callable[[], Awaitable[Any]]
) -> list[Completion]:
    """Return the result of `work`, which is cancelled when the client disconnects.

    `receive` is that of ASGI, which returns after the request's body only when the connection is closed.
    """
    task, disconnection = asyncio.create_task(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((task, disconnection), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _Refusal(499, "the client closed the connection", code="client_closed")
        return task.result()
    finally:
        task.cancel()
        disconnection.cancel()
        await asyncio.gather(task, disconnection, return_exceptions=True)


def _write(kind: str, request: _Request, completions: Sequence[Completion], has_logprobs: bool) -> dict[str, Any]:
    is_chat = kind == "chat.completion"
    choices: list[dict[str, Any]] = []
    for index, completion in enumerate(completions):
        text = completion.text
        choice: dict[str, Any] = {"index": index, "finish_reason": _name_finish(completion)}
        choice |= {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        choice["logprobs"] = _write_logprobs(completion, is_chat) if has_logprobs else None
        if request.return_token_ids:
            choice["token_ids"] = completion.tokens.tolist()
        choices.append(choice)
    usages = [completion.count_usage() for completion in completions]
    # The choices share one prompt, which counts once.
    total = Usage(usages[0].prompt_tokens, sum(usage.sampled_tokens for usage in usages))
    answer: dict[str, Any] = {
        "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": total.prompt_tokens,
            "completion_tokens": total.sampled_tokens,
            "total_tokens": total.prompt_tokens + total.sampled_tokens,
        },
    }
    return answer | ({"prompt_token_ids": completions[0].prompt_tokens.tolist()} if request.return_token_ids else {})


def _name_finish(completion: Completion) -> str | None:
    return completion.finish if completion.finish in ("stop", "length") else None


def _write_logprobs(completion: Completion, is_chat: bool) -> dict[str, Any] | None:
    if completion.logprobs is None:
        return None
    values = completion.logprobs.tolist()
    ids = completion.tokens.tolist() if len(completion.tokens) == len(values) else [-1] * len(values)
    names = [f"token_id:{token}" for token in ids]
    if not is_chat:
        return {"tokens": names, "token_logprobs": values, "top_logprobs": None, "text_offset": []}
    rows = zip(names, values, strict=True)
    return {"content": [{"token": n, "logprob": v, "bytes": None, "top_logprobs": []} for n, v in rows]}
