"""Samples with vLLM in this process (its AsyncLLM engine, 0.24 or later). Needs the extra `vllm`.

There is one request per seed, with n = 1; vLLM's prefix cache shares the prompt. The chat template is applied and
tokenized here, by the model's own tokenizer, so that a prompt is the same for every engine of this package.
Log-probabilities are vLLM's raw ones, before temperature and filters. Hidden states are not captured: the Encoder
computes them afterwards. For the same seed, vLLM and other engines draw different completions.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nbest.errors import ConfigError, EngineError, MissingExtraError, UnavailableError
from nbest.hub import find_cached_commit, needs_cache
from nbest.loop_thread import LoopThread, as_finished
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import Completion, Finish, Floats, Message, SamplingParams, Usage, WorkReport
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.sampling.limits import MOST_TOP_LOGPROBS, TokenLimit, check_ranges, find_unavailable, limit_tokens
from nbest.sampling.model_files import hash_model
from nbest.sampling.tokenizing import (
    TokenizerVocabulary,
    require_template,
    set_template_arguments,
    tokenize_messages,
)

_FINISHES: dict[str | None, Finish] = {"stop": "stop", "length": "length", "abort": "error", "error": "error"}


class VllmSampler(Sampler):
    """A model in vLLM as a Sampler. Usable from any event loop; close it when done."""

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: str = "auto",
        template: str = "chat",
        engine: Mapping[str, Any] | None = None,
        template_arguments: Mapping[str, bool | int | float | str] | None = None,
    ):
        """Load the model: `bundled:NAME`, a folder, or a hub id.

        `engine` holds further AsyncEngineArgs, such as `tensor_parallel_size`. Raises MissingExtraError, and
        ConfigError if vLLM refuses the model or a setting.
        """
        try:
            vllm: Any = import_module("vllm")
            arguments: Any = import_module("vllm.engine.arg_utils").AsyncEngineArgs
            engine_class: Any = import_module("vllm.v1.engine.async_llm").AsyncLLM
            self._final_only = import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY
        except ImportError as error:
            raise MissingExtraError("vllm", "vllm") from error
        if template not in ("chat", "none"):
            raise ConfigError(f"template: got {template!r}; allowed are 'chat' and 'none'")
        self._vllm, self._template = vllm, template
        folder = locate_checkpoint(model)
        self._tokenizer = _load_tokenizer(model, folder, revision, template)
        set_template_arguments(self._tokenizer, model, template_arguments or {})
        settings = {"max_logprobs": MOST_TOP_LOGPROBS} | dict(engine or {})
        settings |= {"model": folder, "revision": revision, "dtype": dtype}
        self.info = {"type": "vllm", "model": model, "revision": revision, "dtype": dtype, "template": template}
        if template_arguments:
            self.info["template_arguments"] = dict(template_arguments)
        # A folder is known by the content of its files, a model of the hub by its commit.
        self.info |= {
            "content_hash": hash_model(folder) if Path(folder).is_dir() else None,
            "commit": find_cached_commit(folder, revision),
        }
        self.info |= {"engine": settings, "vllm": getattr(vllm, "__version__", "unknown")}

        async def load() -> Any:
            return engine_class.from_engine_args(arguments(**settings))

        self._thread = LoopThread("nbest-vllm")
        try:
            # On the thread's loop: an engine works only on the loop that created it.
            self._engine: Any = self._thread.wait(load())
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            self._thread.close()
            raise ConfigError(f"model: vLLM did not load {model!r}. {type(error).__name__}: {error}") from error
        self._usage = Usage()
        self._context_tokens = int(self._engine.model_config.max_model_len)

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield one completion per seed, with its seed, as each finishes; closing the generator aborts the others.

        Where the prompt fills the model's context, and where vLLM fails a request, completions have `finish="error"`.
        Raises EngineError if the engine is dead.
        """
        self.check(params)
        if not seeds:
            return
        tokens = tokenize_messages(self._tokenizer, messages, self._template)
        limit = limit_tokens(self._context_tokens, len(tokens), params.max_tokens)
        if not limit.tokens:
            for seed in seeds:
                yield seed, Completion("", np.array(tokens, dtype=np.int32), finish="error", note=limit.note)
            return
        works = [partial(self._draw, tokens, seed, params, limit) for seed in seeds]
        async with aclosing(self._thread.iterate(as_finished(works))) as completions:
            async for seed, completion in completions:
                self._usage += completion.count_usage()
                yield seed, completion

    def _translate(self, params: SamplingParams, seed: int, max_tokens: int) -> Any:
        return self._vllm.SamplingParams(
            n=1,
            seed=seed,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            min_p=params.min_p,
            max_tokens=max_tokens,
            stop=list(params.stop) or None,
            # 0 returns the log-probability of the sampled token alone.
            logprobs=params.top_logprobs,
            # Tags of thinking are special tokens in some vocabularies, and part of the text in all.
            skip_special_tokens=False,
            output_kind=self._final_only,
        )

    async def _draw(
        self, tokens: list[int], seed: int, params: SamplingParams, limit: TokenLimit
    ) -> tuple[int, Completion]:
        settings, last_output = self._translate(params, seed, limit.tokens), None
        try:
            # Cancelling this task closes vLLM's generator, which aborts the request in the engine.
            async for output in self._engine.generate({"prompt_token_ids": tokens}, settings, uuid.uuid4().hex):
                last_output = output
        except Exception as error:
            if self._engine.errored:
                raise EngineError(f"vLLM stopped: {type(error).__name__}: {error}") from error
            ids = np.array(tokens, dtype=np.int32)
            return seed, Completion("", ids, finish="error", note=f"{type(error).__name__}: {error}")
        return seed, _read_output(last_output, tokens, params.top_logprobs, limit.note)

    def check(self, params: SamplingParams) -> None:
        check_ranges(params)
        if faults := find_unavailable(params):
            raise UnavailableError("\n".join(faults))

    def describe(self) -> PolicyDescription:
        names = ("type", "model", "revision", "dtype", "template", "content_hash", "commit", "template_arguments")
        return PolicyDescription({name: self.info[name] for name in names if name in self.info}, dict(self.info))

    @property
    def vocabulary(self) -> TokenizerVocabulary:
        return TokenizerVocabulary(self._tokenizer, self._template, self._context_tokens)

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        """Return 0: vLLM does not say how many parameters the model has."""
        del prompt_tokens, sampled_tokens
        return 0.0

    def report(self) -> WorkReport:
        return WorkReport(usage=self._usage)

    def close(self) -> None:
        """End the engine's processes and the thread. Callers that are waiting are cancelled."""
        self._thread.close(self._end())

    async def _end(self) -> None:
        # No reference may stay, because the finaliser has to run now and not while the interpreter shuts down.
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)


def _load_tokenizer(model: str, folder: str, revision: str | None, template: str) -> Any:
    from transformers import AutoTokenizer

    local_files_only = needs_cache(folder, "model", revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision, local_files_only=local_files_only)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {model!r} has no tokenizer. {type(error).__name__}: {error}") from error
    require_template(tokenizer, model, template)
    return tokenizer


def _read_output(output: Any, tokens: list[int], top: int, note: str) -> Completion:
    if output is None or not output.outputs:
        return Completion("", np.array(tokens, dtype=np.int32), finish="error", note="vLLM returned no output")
    result = output.outputs[0]
    finish = _FINISHES.get(result.finish_reason, "unknown")
    if finish == "error":
        note = f"vLLM ended it with finish_reason={result.finish_reason!r}"
    sampled = np.array(list(result.token_ids), dtype=np.int32)
    logprobs, confidences = _read_logprobs(result.logprobs, list(result.token_ids), top)
    is_cut = finish == "length"
    return Completion(
        result.text,
        np.array(tokens, dtype=np.int32),
        sampled,
        logprobs,
        confidences,
        finish,
        note=note if is_cut or finish == "error" else "",
    )


def _read_logprobs(rows: Any, tokens: list[int], top: int) -> tuple[Floats | None, Floats | None]:
    """Return the log-probabilities of the tokens, and the mean of the `top` likeliest per token.

    `rows` holds one mapping per token: from the ids of the sampled token and the `top` likeliest to objects with
    `.logprob`.
    """
    if rows is None:
        return None, None
    sampled = np.array([row[token].logprob for row, token in zip(rows, tokens, strict=True)], dtype=np.float32)
    if not top:
        return sampled, None
    best = [sorted((entry.logprob for entry in row.values()), reverse=True)[:top] for row in rows]
    return sampled, np.array([np.mean(row) for row in best], dtype=np.float32)
