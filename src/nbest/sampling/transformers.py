"""Samples in this process from any causal language model that transformers loads, on CPU or CUDA.

The completions of all concurrent `sample` calls are decoded in one batch. Completions of one prompt share its prefill,
waiting ones replace finished ones, and hidden states at step ends are captured while decoding, without a second pass.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import numpy as np

from nbest.errors import ConfigError
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import Completion, Message, SamplingParams, Usage, WorkReport
from nbest.sampling.checkpoint import Checkpoint, load_checkpoint
from nbest.sampling.decoding import Batch
from nbest.sampling.limits import limit_tokens, list_range_faults
from nbest.sampling.model_checks import find_layer_fault
from nbest.sampling.rows import Job
from nbest.sampling.scheduling import Scheduler
from nbest.text.steps import BlankLineSplitter

IDENTITY_FIELDS = ("content_hash", "tokenizer_hash", "chat_template_hash", "template", "dtype", "commit")
"""The fields of a checkpoint's description that fix the trajectories it draws."""


class TransformersSampler(Sampler):
    """A policy as a Sampler.

    A trajectory is a function of the model, the prompt, the parameters and its own seed: it draws one uniform number
    per token, fixed by seed and position, whatever else is in the batch. Only rounding can change it: a matrix product
    over another number of rows may round the last bits of a logit differently, and where the uniform number is that
    close to the edge between two tokens, the other token is drawn and the texts differ from there. Measured with a
    5-layer policy of this package's kind on CPU, batches of 128 rows against batches of 9: in float32 none of 256
    trajectories (11,420 tokens) changed, in bfloat16 32 of 256 did. Where a trajectory must not depend on the batch,
    sample in float32.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_rows: int = 256,
        template: str = "chat",
        local_files_only: bool = False,
        template_arguments: Mapping[str, bool | int | float | str] | None = None,
    ):
        """Load a model: `bundled:NAME`, a folder, or a hub id. Raises ConfigError if it cannot be loaded.

        `batch_rows` is the largest number of completions decoded at once; `dtype`, `device`, `template` and
        `template_arguments` are as in `load_checkpoint`.
        """
        if batch_rows < 1:
            raise ConfigError(f"batch_rows: got {batch_rows}; it must be at least 1")
        checkpoint = load_checkpoint(model, revision, dtype, device, template, local_files_only, template_arguments)
        self._open(checkpoint, batch_rows)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, batch_rows: int = 256) -> "TransformersSampler":
        """Return a sampler of a model that is loaded already, such as one shared with an encoder or in training."""
        sampler = cls.__new__(cls)
        sampler._open(checkpoint, batch_rows)
        return sampler

    def _open(self, checkpoint: Checkpoint, batch_rows: int) -> None:
        self.checkpoint = checkpoint
        self.splitter = BlankLineSplitter(checkpoint.pieces, checkpoint.end_tokens)
        self._usage = Usage()
        self._scheduler = Scheduler(lambda rows: Batch(checkpoint, self.splitter.rule, rows), batch_rows)

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield one completion per seed, with its seed, as each finishes.

        Where the prompt fills the model's context, all of them have `finish="error"`. Raises ConfigError, EngineError.
        """
        self.check(params)
        layers = () if params.capture is None else self.checkpoint.resolve_layers(params.capture)
        if not seeds:
            return
        tokens = self.checkpoint.tokenize_prompt(messages)
        limit = limit_tokens(self.checkpoint.context_tokens, len(tokens), params.max_tokens)
        if not limit.tokens:
            for seed in seeds:
                ids = np.array(tokens, dtype=np.int32)
                yield seed, Completion(text="", prompt_tokens=ids, finish="error", note=limit.note)
            return
        job = Job(tokens, params, limit.tokens, layers, note=limit.note)
        async with aclosing(self._scheduler.draw(job, seeds)) as completions:
            async for seed, completion in completions:
                self._usage += completion.count_usage()
                yield seed, completion

    def check(self, params: SamplingParams) -> None:
        faults = list_range_faults(params)
        if params.capture and (fault := find_layer_fault(params.capture, self.checkpoint.layer_count)):
            faults.append(fault)
        if faults:
            raise ConfigError(faults)

    def describe(self) -> PolicyDescription:
        """Return the hashes that fix what this policy draws, and its sizes and versions."""
        info = {**self.checkpoint.info, "batch_rows": self._scheduler.rows}
        identity = {"type": "transformers", "model": info["model"]} | {name: info[name] for name in IDENTITY_FIELDS}
        return PolicyDescription(identity, info)

    @property
    def vocabulary(self) -> Checkpoint:
        return self.checkpoint

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        return self.checkpoint.count_flops(prompt_tokens, sampled_tokens)

    def report(self) -> WorkReport:
        return WorkReport(usage=self._usage)

    def close(self) -> None:
        """Stop the worker thread. Callers that are waiting get an EngineError."""
        self._scheduler.close()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)
