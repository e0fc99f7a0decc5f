"""Samples from any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, a hosted API, `nbest` itself.

Rules
    There is one request per seed, with n = 1: a completion depends on its own seed only, and a lost answer costs one
    completion.
    A request is sent again, with the same seed, after status 408, 409, 425, 429 and 5xx, after a failed connection,
    after `timeout_seconds` without an answer, and where the body is cut or is not a completion. Waits grow as
    2^attempt, with a jitter drawn from the seed; a longer `Retry-After` overrides it; neither exceeds
    MOST_WAIT_SECONDS.
    A completion has `finish="error"`, and a note that says what happened, after `retries` more attempts, where the
    server says not to retry (`x-should-retry: false`), where the prompt does not fit the model, and where the server
    refuses it (400, 413, 422: too long, stopped by a filter) while it answers others.
    Where it refuses all prompts with the same message, and for any other 4xx, a setting is at fault. This is raised at
    once: ConfigError (400, 401, 403, 404, 405, 422) or EngineError. `refusals.py` tells the two apart.
    `counts` has every attempt that failed, by kind: as retried or as failed for good.

This module does not know chat templates or tokenizers: both belong to the server, which also decides how it reads the
texts of control tokens in a message.
"""

import asyncio
import email.utils
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

from nbest.errors import ConfigError, EngineError, MissingExtraError, NbestError
from nbest.loop_thread import LoopThread, as_finished
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import Completion, Message, SamplingParams, Usage, WorkReport, derive_seed
from nbest.sampling.limits import check_ranges
from nbest.sampling.openai_payloads import BadBodyError, Form, build_payload, check_params, read_completion
from nbest.sampling.refusals import Refusals

Fault: TypeAlias = Literal[
    "rate-limit", "server-error", "timeout", "connection", "cut-body", "bad-body", "refused", "bad-prompt"
]
"""Why an attempt failed. `refused`: the server said not to retry; `bad-prompt`: the prompt does not fit the model, or
the server refuses it."""

MOST_WAIT_SECONDS = 60.0
_RETRY_STATUSES = frozenset({408, 409, 425})
_PROMPT_STATUSES = frozenset({400, 413, 422})
"""Statuses by which a server refuses either a prompt or a setting."""
_SETTINGS_STATUSES = frozenset({400, 401, 403, 404, 405, 422})
_TOO_LONG = re.compile(r"context[_ ](length|window|size)|maximum (model|context) length|prompt is too long", re.I)
_FINAL: frozenset[Fault] = frozenset({"refused", "bad-prompt"})
_MOST_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server, and the limits and retry settings of requests to it.

    `base_url` usually ends in `/v1`. `api_key_env` names the environment variable of the key; None sends no key.
    `timeout_seconds` limits one attempt, `retries` is the number of attempts after the first one, `concurrency` is the
    number of requests at once, and `backoff_seconds` is the wait before the first retry.
    """

    base_url: str
    api_key_env: str | None = None
    timeout_seconds: float = 600.0
    retries: int = 5
    concurrency: int = 64
    backoff_seconds: float = 0.5

    def __post_init__(self) -> None:
        rules = {
            "base_url": (re.match(r"https?://[^/\s]+", self.base_url), "http://HOST:PORT/v1 or https://..."),
            "timeout_seconds": (self.timeout_seconds > 0, "above 0"),
            "retries": (self.retries >= 0, "0 or more"),
            "concurrency": (self.concurrency >= 1, "1 or more"),
            "backoff_seconds": (self.backoff_seconds >= 0, "0 or more"),
        }
        faults = [
            f"{name}: got {getattr(self, name)!r}; allowed is {rule}"
            for name, (is_allowed, rule) in rules.items()
            if not is_allowed
        ]
        if self.api_key_env and not os.environ.get(self.api_key_env):
            faults.append(f"api_key_env: the environment has no {self.api_key_env}; set it to the key of this server")
        if faults:
            raise ConfigError(faults)


@dataclass(slots=True)
class RequestCounts:
    """Counts of what happened to the requests.

    Every attempt is in `attempts`; one that failed is also in `retried` (another one followed) or in `failed` (its
    completion has `finish="error"`). `completions` counts the answers, `stopped` the errors raised to the caller.
    """

    attempts: int = 0
    completions: int = 0
    stopped: int = 0
    retried: "Counter[Fault]" = field(default_factory=lambda: Counter[Fault]())
    failed: "Counter[Fault]" = field(default_factory=lambda: Counter[Fault]())


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: Fault
    reason: str
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A request that was refused. `error` is raised if a setting is at fault."""

    message: str
    reason: str
    error: NbestError


class OpenAISampler(Sampler):
    """A server's model as a Sampler. Needs the extra `openai`. Usable from any event loop; close it when done."""

    def __init__(self, endpoint: Endpoint, form: Form):
        """Create the sampler; the first request connects. Raises MissingExtraError."""
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("openai", "openai") from error
        self.endpoint, self.form = endpoint, form
        self.counts = RequestCounts()
        self._usage = Usage()
        self._openai = openai
        self._client: Any = None
        self._refusals = Refusals()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._thread = LoopThread("nbest-openai")

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield one completion per seed, with its seed, as each answer comes. Closing the generator cancels the others.

        Raises UnavailableError before any request, and ConfigError or EngineError by the rules of this module; the
        other requests of the call are then cancelled.
        """
        self.check(params)
        works = [partial(self._draw, messages, seed, params) for seed in seeds]
        async with aclosing(self._thread.iterate(as_finished(works))) as completions:
            async for seed, completion in completions:
                self._usage += completion.count_usage()
                yield seed, completion

    def check(self, params: SamplingParams) -> None:
        check_ranges(params)
        check_params(self.form, params)

    def describe(self) -> PolicyDescription:
        """Return the model and the form of requests as identity; the address of the server is no part of it."""
        form = self.form
        identity = {"type": "openai", "model": form.model, "template": form.template, "dialect": form.dialect}
        if form.template_arguments:
            identity |= {"template_arguments": dict(form.template_arguments)}
        return PolicyDescription(identity, {"base_url": self.endpoint.base_url})

    @property
    def vocabulary(self) -> None:
        return None

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        """Return 0: the size of the server's model is not known."""
        del prompt_tokens, sampled_tokens
        return 0.0

    def report(self) -> WorkReport:
        counts = self.counts
        return WorkReport(
            calls=counts.attempts, usage=self._usage, retried={**counts.retried}, failed={**counts.failed}
        )

    async def _draw(self, messages: Sequence[Message], seed: int, params: SamplingParams) -> tuple[int, Completion]:
        prompt = tuple(messages)
        with self._refusals.opened(prompt):
            return seed, await self._request(prompt, seed, params)

    async def _request(self, prompt: tuple[Message, ...], seed: int, params: SamplingParams) -> Completion:
        payload = build_payload(self.form, prompt, seed, params)
        attempts = 0
        while True:
            await self._refusals.hold(prompt)
            async with self._slots:
                outcome = await self._attempt(payload, params)
            attempts += 1
            if isinstance(outcome, Completion):
                self.counts.completions += 1
                self._refusals.record_answer()
                return outcome
            if isinstance(outcome, _Refusal):
                if await self._refusals.judge(prompt, outcome.message) == "settings":
                    self.counts.stopped += 1
                    raise outcome.error
                outcome = _Failure("bad-prompt", outcome.reason)
            if outcome.kind in _FINAL or attempts > self.endpoint.retries:
                self.counts.failed[outcome.kind] += 1
                note = f"{outcome.kind} after {attempts} attempt{'s' * (attempts > 1)}: {outcome.reason}"
                return Completion("", finish="error", note=note)
            self.counts.retried[outcome.kind] += 1
            await asyncio.sleep(self._wait_seconds(seed, attempts, outcome))

    async def _attempt(self, payload: dict[str, Any], params: SamplingParams) -> Completion | _Failure | _Refusal:
        """Send one request. Raises the errors that no further attempt can avoid."""
        self.counts.attempts += 1
        client = self._open_client()
        try:
            async with asyncio.timeout(self.endpoint.timeout_seconds):
                body = await client.post(self.form.path, cast_to=str, body=payload)
            return read_completion(self.form, body, params)
        except BadBodyError as error:
            return _Failure("bad-body", str(error))
        except (TimeoutError, self._openai.APITimeoutError):
            return _Failure("timeout", f"no whole answer in {self.endpoint.timeout_seconds:g} s")
        except self._openai.APIConnectionError as error:
            return _read_connection_error(error)
        except self._openai.APIStatusError as error:
            try:
                return self._read_status(error)
            except NbestError:
                self.counts.stopped += 1
                raise

    def _open_client(self) -> Any:
        if self._client is None:
            name = self.endpoint.api_key_env
            self._client = self._openai.AsyncOpenAI(
                base_url=self.endpoint.base_url,
                api_key=os.environ[name] if name else "none",
                timeout=self.endpoint.timeout_seconds,
                # This sampler retries by itself, because it counts retries.
                max_retries=0,
            )
        return self._client

    def _read_status(self, error: Any) -> _Failure | _Refusal:
        status, headers = error.status_code, error.response.headers
        reason = f"HTTP {status} from {error.request.url}: {error.response.text[:_MOST_SHOWN]!r}"
        if status == 400 and _TOO_LONG.search(error.response.text):
            return _Failure("bad-prompt", reason)
        if status == 429 or status >= 500 or status in _RETRY_STATUSES:
            if headers.get("x-should-retry") == "false":
                return _Failure("refused", reason)
            kind: Fault = "rate-limit" if status == 429 else "server-error"
            return _Failure(kind, reason, _read_retry_after(headers.get("retry-after")))
        fault: NbestError = EngineError(reason)
        if status in _SETTINGS_STATUSES:
            fault = ConfigError(f"{reason}. {_advise(status, self.endpoint, self.form)}")
        fault.__cause__ = error
        if status in _PROMPT_STATUSES:
            return _Refusal(_read_message(error.response.text), reason, fault)
        raise fault

    def _wait_seconds(self, seed: int, attempts: int, failure: _Failure) -> float:
        jitter = 0.5 + derive_seed(seed, "retry", attempts) / 2**64
        backoff = self.endpoint.backoff_seconds * 2.0 ** min(attempts - 1, 30) * jitter
        return min(max(backoff, failure.wait_seconds), MOST_WAIT_SECONDS)

    def close(self) -> None:
        """Cancel the open requests and close the connections."""
        self._thread.close(self._close_client())

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)


def _read_connection_error(error: Exception) -> _Failure:
    cause = error.__cause__ or error
    reason = f"{type(cause).__name__}: {cause}"
    # The words of h11: nothing else distinguishes a body that ends early from a server that never answered.
    return _Failure("cut-body" if "message body" in str(cause) else "connection", reason)


def _read_message(body: str) -> str:
    """Return the message in the body of a refusal; the body itself if it has none in a known place."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return body
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    inner: Any = fields.get("error")
    message: Any = inner.get("message") if isinstance(inner, dict) else fields.get("message")
    return message if isinstance(message, str) else body


def _read_retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After` header, a number or a date; 0 for anything else."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        seconds = email.utils.mktime_tz(moment) - time.time() if moment else 0.0
    return max(seconds, 0.0) if seconds == seconds else 0.0


def _advise(status: int, endpoint: Endpoint, form: Form) -> str:
    """Return what to do about a status for which the settings are to blame."""
    if status in (401, 403):
        variable = endpoint.api_key_env or "not set"
        return f"Check the key (api_key_env is {variable})."
    if status in (404, 405):
        return f"Check base_url ({endpoint.base_url}; it usually ends in /v1) and the model ({form.model!r})."
    return (
        f"The server refuses this request. If its message names a field, leave the field out: dialect = 'openai' sends "
        f"only fields that OpenAI knows (dialect is {form.dialect!r}), and logprobs = false requests no "
        f"log-probabilities (logprobs is {str(form.has_logprobs).lower()})."
    )
