"""Sampling with vLLM in this process (its AsyncLLM engine, 0.24 or later). Needs the extra `vllm`.

One request a seed, n = 1: vLLM's prefix cache shares the prompt. Prompts are put into the chat template and tokenized
here, by the model's own tokenizer, so that a prompt is the same for every engine of this package. Log-probabilities
are vLLM's raw ones: before temperature and filters. Hidden states are not kept: the Encoder fills them afterwards.

This module does not know the events of other engines; what vLLM draws for a seed, no other engine draws.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from nbest.errors import ConfigError, EngineError, MissingExtraError, UnavailableError
from nbest.loop_thread import LoopThread, gather_all
from nbest.records import Completion, Finish, Floats, SamplingParams
from nbest.sampling.checkpoint import locate_checkpoint, require_template, tokenize_message

_FINISHES: dict[str | None, Finish] = {"stop": "stop", "length": "length", "abort": "error", "error": "error"}
MOST_TOP_LOGPROBS = 20


class VllmSampler:
    """A model in vLLM as a Sampler. Usable from any event loop; close it when done."""

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: str = "auto",
        template: str = "chat",
        engine: Mapping[str, Any] | None = None,
    ):
        """Loads the model: `bundled:NAME`, a folder, or a hub id. `engine` holds further AsyncEngineArgs
        (`tensor_parallel_size`, say). Raises MissingExtraError, ConfigError where vLLM refuses the model or a setting.
        """
        try:
            vllm: Any = import_module("vllm")
            arguments: Any = import_module("vllm.engine.arg_utils").AsyncEngineArgs
            engine_class: Any = import_module("vllm.v1.engine.async_llm").AsyncLLM
            self._final_only = import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY
        except ImportError as error:
            raise MissingExtraError("vllm", "vllm") from error
        if template not in ("chat", "none"):
            raise ConfigError(f"template: {template!r} given; allowed are 'chat' and 'none'")
        self._vllm, self._template = vllm, template
        folder = locate_checkpoint(model)
        self._tokenizer = _load_tokenizer(model, folder, revision, template)
        settings = {"max_logprobs": MOST_TOP_LOGPROBS} | dict(engine or {})
        settings |= {"model": folder, "revision": revision, "dtype": dtype}
        self.info = {"type": "vllm", "model": model, "revision": revision, "dtype": dtype, "template": template}
        self.info |= {"engine": settings, "vllm": getattr(vllm, "__version__", "unknown")}

        async def load() -> Any:
            return engine_class.from_engine_args(arguments(**settings))

        self._thread = LoopThread("nbest-vllm")
        try:
            # On the thread's loop: the engine keeps to the loop it was made on.
            self._engine: Any = self._thread.wait(load())
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            self._thread.close()
            raise ConfigError(f"model: vLLM did not load {model!r}. {type(error).__name__}: {error}") from error
        self._context_tokens = int(self._engine.model_config.max_model_len)

    async def sample(self, prompt: str, seeds: Sequence[int], params: SamplingParams) -> list[Completion]:
        """One completion a seed. A prompt that fills the model's context gives `finish="error"` completions; so does
        a request that vLLM fails. Raises EngineError where the engine is dead."""
        _check(params)
        if not seeds:
            return []
        tokens = tokenize_message(self._tokenizer, prompt, self._template)
        context = self._context_tokens
        if not tokens or len(tokens) >= context:
            note = f"the prompt has {len(tokens)} tokens; it needs at least 1, and fewer than the context of {context}"
            ids = np.array(tokens, dtype=np.int32)
            return [Completion("", ids, finish="error", note=note) for _ in seeds]
        limit, note = params.max_tokens, ""
        if len(tokens) + limit > context:
            limit = context - len(tokens)
            note = f"cut at the model's context of {context} tokens, before max_tokens={params.max_tokens}"
        asked = [self._translate(params, seed, limit) for seed in seeds]
        return await self._thread.run(self._draw_all(tokens, asked, params, note))

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
            # 0 asks for the sampled token alone.
            logprobs=params.top_logprobs,
            # Tags of thinking are special tokens in some vocabularies, and part of the text in all.
            skip_special_tokens=False,
            output_kind=self._final_only,
        )

    async def _draw_all(
        self, tokens: list[int], asked: Sequence[Any], params: SamplingParams, note: str
    ) -> list[Completion]:
        return await gather_all([self._draw(tokens, each, params, note) for each in asked])

    async def _draw(self, tokens: list[int], asked: Any, params: SamplingParams, note: str) -> Completion:
        last: Any = None
        try:
            async for output in self._engine.generate({"prompt_token_ids": tokens}, asked, uuid.uuid4().hex):
                last = output
        except Exception as error:
            if getattr(self._engine, "errored", False):
                raise EngineError(f"vLLM stopped: {type(error).__name__}: {error}") from error
            ids = np.array(tokens, dtype=np.int32)
            return Completion("", ids, finish="error", note=f"{type(error).__name__}: {error}")
        return _read_output(last, tokens, params.top_logprobs, note)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a manifest keeps: what fixes the result, and what is only told."""
        kept = ("type", "model", "revision", "dtype", "template")
        return {name: self.info[name] for name in kept}, dict(self.info)

    def close(self) -> None:
        """Ends the engine's processes and the thread. Callers that wait are cancelled."""
        self._thread.close(self._end())

    async def _end(self) -> None:
        # Let go of, so that its finaliser runs now and not while the interpreter is taken down.
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> "VllmSampler":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _load_tokenizer(model: str, folder: str, revision: str | None, template: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {model!r} has no tokenizer. {type(error).__name__}: {error}") from error
    require_template(tokenizer, model, template)
    return tokenizer


def _check(params: SamplingParams) -> None:
    faults: list[str] = []
    if params.capture is not None:
        faults.append("capture: this sampler keeps no hidden states; leave it out and run `nbest encode` afterwards")
    if params.self_certainty:
        faults.append("self_certainty: needs the whole vocabulary of each draw; policy.type = 'transformers' keeps it")
    if params.top_logprobs > MOST_TOP_LOGPROBS:
        faults.append(f"top_logprobs: {params.top_logprobs} asked for; at most {MOST_TOP_LOGPROBS} are kept")
    if faults:
        raise UnavailableError("\n".join(faults))


def _read_output(output: Any, tokens: list[int], top: int, note: str) -> Completion:
    if output is None or not output.outputs:
        return Completion("", np.array(tokens, dtype=np.int32), finish="error", note="vLLM gave no output")
    done = output.outputs[0]
    finish = _FINISHES.get(done.finish_reason, "unknown")
    if finish == "error":
        note = f"vLLM ended it with finish_reason={done.finish_reason!r}"
    sampled = np.array(list(done.token_ids), dtype=np.int32)
    logprobs, confidences = _read_logprobs(done.logprobs, list(done.token_ids), top)
    is_cut = finish == "length"
    return Completion(
        done.text,
        np.array(tokens, dtype=np.int32),
        sampled,
        logprobs,
        confidences,
        finish,
        note=note if is_cut or finish == "error" else "",
    )


def _read_logprobs(rows: Any, tokens: list[int], top: int) -> tuple[Floats | None, Floats | None]:
    """`rows` holds one mapping a token: id to an object with `.logprob`, of the sampled and of the `top` likeliest."""
    if rows is None:
        return None, None
    own = np.array([row[token].logprob for row, token in zip(rows, tokens, strict=True)], dtype=np.float32)
    if not top:
        return own, None
    best = [sorted((each.logprob for each in row.values()), reverse=True)[:top] for row in rows]
    return own, np.array([np.mean(row) for row in best], dtype=np.float32)
