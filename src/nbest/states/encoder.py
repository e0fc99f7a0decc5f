"""Computes hidden states at the step ends of existing text, in one teacher-forced pass over prompt and completion.

This module does not know where states are stored or what reads them.

Shapes: T tokens of prompt and completion, S steps, L layers, D hidden size.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nbest.errors import ConfigError, DataError, OutOfMemoryError
from nbest.plurals import show_count
from nbest.protocols import Encoder
from nbest.records import Completion, EncodingFault, HiddenStates, Step, Trajectory, make_conversation
from nbest.sampling.checkpoint import Checkpoint, load_checkpoint
from nbest.text.steps import BlankLineSplitter


class TransformersEncoder(Encoder):
    """An Encoder over a causal language model that transformers loads.

    States differ from those captured while sampling by rounding only, because the sums are added in another order:
    by at most 1e-4 in float32, and in bfloat16 by at most 5 % of the largest entry (1 % measured on a 5-layer policy,
    with a root mean square difference of 0.5 %).
    """

    def __init__(
        self,
        model: str,
        layers: tuple[int, ...] = (-1,),
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        template: str = "chat",
        template_arguments: Mapping[str, bool | int | float | str] | None = None,
        system: str | None = None,
    ):
        """Load a model: `bundled:NAME`, a folder or a hub id. `layers` are numbered as `hidden_states` of transformers.

        `system` is the system prompt that went before every question. Raises ConfigError.
        """
        checkpoint = load_checkpoint(model, revision, dtype, device, template, template_arguments=template_arguments)
        self._open(checkpoint, layers, 16_384)
        self._system = system

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, layers: tuple[int, ...] = (-1,), batch_tokens: int = 16_384
    ) -> "TransformersEncoder":
        """Return an encoder of a model that is loaded already.

        `batch_tokens` bounds a forward pass, padding included. Raises ConfigError.
        """
        encoder = cls.__new__(cls)
        encoder._open(checkpoint, layers, batch_tokens)
        return encoder

    def _open(self, checkpoint: Checkpoint, layers: tuple[int, ...], batch_tokens: int) -> None:
        if batch_tokens < 1:
            raise ConfigError(f"batch_tokens: got {batch_tokens}; it must be at least 1")
        self.checkpoint, self.layers = checkpoint, checkpoint.resolve_layers(layers)
        self.splitter = BlankLineSplitter(checkpoint.pieces, checkpoint.end_tokens)
        self._batch_tokens = batch_tokens
        self._system: str | None = None
        self._busy = threading.Lock()

    def tokenize_trajectory(self, prompt: str, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory with the tokens that this model would read; as it is where it has tokens already.

        Where it has the tokens of the completion alone, those of the prompt are added.
        `prompt` is the user's message. A text that ended by itself (`finish` "stop" or "unknown") gets an end token, so
        that its last step is complete; one that was cut or failed does not.
        """
        completion = trajectory.completion
        if len(completion.tokens) and len(completion.prompt_tokens):
            return trajectory
        prompt_tokens = np.array(
            self.checkpoint.tokenize_prompt(make_conversation(prompt, self._system)), dtype=np.int32
        )
        if len(completion.tokens):
            return replace(trajectory, completion=replace(completion, prompt_tokens=prompt_tokens))
        tokens: list[int] = self.checkpoint.tokenize_text(completion.text)
        if completion.finish in ("stop", "unknown") and self.checkpoint.end_tokens:
            tokens.append(min(self.checkpoint.end_tokens))
        tokenized = replace(completion, prompt_tokens=prompt_tokens, tokens=np.array(tokens, dtype=np.int32))
        return replace(trajectory, completion=tokenized)

    def prepare(self, prompt: str, trajectory: Trajectory) -> tuple[Trajectory, list[Step]] | EncodingFault:
        """Return the trajectory with the tokens this model would read, and its steps; or why it cannot be encoded."""
        try:
            tokenized = self.tokenize_trajectory(prompt, trajectory)
        except ConfigError as error:
            return EncodingFault("refused by the chat template", str(error))
        if fault := self._find_foreign_id(tokenized.completion):
            return fault
        steps = self.splitter(tokenized.completion)
        return self.find_fault(tokenized, steps) or (tokenized, steps)

    async def encode(self, trajectories: Sequence[Trajectory], steps: Sequence[Sequence[Step]]) -> list[HiddenStates]:
        """Return the states of each trajectory, in order; one without steps has values [0 L D].

        Raises DataError, naming the trajectory, for one that `find_fault` refuses: tokens are missing or of another
        vocabulary, a step lies outside them, or prompt and steps are longer than the model's context (nothing is ever
        cut to fit). Raises OutOfMemoryError.
        """
        if len(trajectories) != len(steps):
            raise DataError(
                f"{show_count(len(trajectories), 'trajectory')} and {show_count(len(steps), 'list')} of steps; "
                "each trajectory needs one list"
            )
        for trajectory, spans in zip(trajectories, steps, strict=True):
            self._check(trajectory, spans)
        return await asyncio.to_thread(self._encode, list(trajectories), [tuple(spans) for spans in steps])

    def find_fault(self, trajectory: Trajectory, steps: Sequence[Step]) -> EncodingFault | None:
        """Return why `encode` would refuse a trajectory; None if it would not."""
        completion = trajectory.completion
        if not steps:
            return None
        if not len(completion.tokens) or not len(completion.prompt_tokens):
            return EncodingFault("no token ids", "it has no token ids; fill them with tokenize_trajectory first")
        if not all(0 <= step.start < step.end <= len(completion.tokens) for step in steps):
            message = f"a step lies outside its {show_count(len(completion.tokens), 'token')}: {list(steps)}"
            return EncodingFault("a step outside its tokens", message)
        if fault := self._find_foreign_id(completion):
            return fault
        context = self.checkpoint.context_tokens
        needed = len(completion.prompt_tokens) + max(step.end for step in steps)
        if context is not None and needed > context:
            return EncodingFault(
                "longer than the model's context",
                f"prompt and steps are {show_count(needed, 'token')} long; the model's context holds {context}. "
                "Leave it out, or encode with a model that has a longer context",
            )
        return None

    def _find_foreign_id(self, completion: Completion) -> EncodingFault | None:
        """Return a fault if a token id is none of this model's."""
        size = min(self.checkpoint.embedding_rows, len(self.checkpoint.pieces))
        for ids in (completion.prompt_tokens, completion.tokens):
            foreign = ids[(ids < 0) | (ids >= size)]
            if len(foreign):
                message = f"it has the token id {foreign[0]}, and this model has ids 0..{size - 1}"
                return EncodingFault(
                    "token ids of another model", f"{message}. Encode it with the model that sampled it"
                )
        return None

    def _check(self, trajectory: Trajectory, steps: Sequence[Step]) -> None:
        if fault := self.find_fault(trajectory, steps):
            raise DataError(f"trajectory {trajectory.id}: {fault.message}")

    @torch.inference_mode()
    def _encode(self, trajectories: list[Trajectory], steps: list[tuple[Step, ...]]) -> list[HiddenStates]:
        rows = [_read_tokens(trajectory, spans) for trajectory, spans in zip(trajectories, steps, strict=True)]
        shape = (len(self.layers), self.checkpoint.hidden_size)
        values = [np.zeros((len(spans), *shape), dtype=np.float32) for spans in steps]
        with self._busy:
            for batch in batch_by_length([len(row) for row in rows], self._batch_tokens):
                ends = [_find_ends(trajectories[index], steps[index]) for index in batch]
                states = self._compute([rows[index] for index in batch], ends)
                offsets = np.cumsum([len(end) for end in ends])[:-1]
                for index, block in zip(batch, np.split(states, offsets), strict=True):
                    values[index] = block
        return [HiddenStates(self.layers, spans, rows) for spans, rows in zip(steps, values, strict=True)]

    def _compute(self, rows: list[np.ndarray], ends: list[np.ndarray]) -> np.ndarray:
        """Return the states [S L D] at tokens `ends` of each row, one row after another.

        Rows are padded on the right: attention is causal, so the padding changes no state.
        """
        device, width = self.checkpoint.device, max(map(len, rows))
        ids = torch.zeros((len(rows), width), dtype=torch.int64)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)], mask[number, : len(row)] = torch.from_numpy(row), 1
        numbers = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(end) for end in ends])).to(device)
        positions = torch.from_numpy(np.concatenate(ends)).to(device)
        try:
            states = self._forward(ids.to(device), mask.to(device))
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"out of memory over {len(rows)} x {show_count(width, 'token')}; lower batch_tokens: {error}"
            ) from error
        return torch.stack([states[layer][numbers, positions] for layer in self.layers], dim=1).float().cpu().numpy()

    def _forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        output: Any = self.checkpoint.model(
            input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True, logits_to_keep=1
        )
        return output.hidden_states


def _read_tokens(trajectory: Trajectory, steps: tuple[Step, ...]) -> np.ndarray:
    """Return the ids of the prompt and of the completion up to its last step: later tokens change no state."""
    if not steps:
        return np.empty(0, dtype=np.int64)
    completion = trajectory.completion
    end = max(step.end for step in steps)
    return np.concatenate([completion.prompt_tokens, completion.tokens[:end]]).astype(np.int64)


def _find_ends(trajectory: Trajectory, steps: tuple[Step, ...]) -> np.ndarray:
    return len(trajectory.completion.prompt_tokens) + np.array([step.end - 1 for step in steps], dtype=np.int64)


def batch_by_length(lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """Return the indices of the non-empty rows in batches of similar length.

    A batch has at most `batch_tokens`, padding included; a longer row is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted((index for index, length in enumerate(lengths) if length), key=lambda index: lengths[index]):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
