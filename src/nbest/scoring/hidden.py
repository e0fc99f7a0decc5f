"""Scores trajectories by the policy's hidden states at step ends, with any trained step scorer.

Rules
    States of another policy, norm or step rule, or without the layers that the scorer reads, raise a DataError.
    A trajectory has the score NaN if it failed, has no states or steps, has states that are not finite, or lacks the
    log-probabilities that the scorer reads beside them; `report().unscored` counts the reasons.
    A source without any states raises an UnavailableError, unless all trajectories failed.
    A trajectory that was cut, or has no `</think>`, is scored on the steps it has (`text/steps.py` says which).

A pool is read and scored in batches of similar length, of at most `batch_steps` padded steps (a longer trajectory is a
batch of its own). Only the states of one batch are in memory, whatever the size of the run. This module does not know
where states are stored, nor how a scorer was trained.

Shapes: B trajectories, S steps (padded on the right), L layers, D hidden size, F features.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, PretrainedConfig

import nbest.scoring.step_heads
import nbest.scoring.step_scorer  # noqa: F401 - both register their classes with AutoModel
from nbest.config import Aggregation
from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.former_name import renew
from nbest.hub import needs_cache
from nbest.protocols import Scorer, StateSource
from nbest.records import Floats, HiddenStates, Pool, Score, StatesEntry, Trajectory, WorkReport
from nbest.sampling.checkpoint import choose_device, choose_dtype, without_progress_bar
from nbest.scoring.aggregation import aggregate_rows
from nbest.scoring.padding import PaddedBatch, pad_batch
from nbest.scoring.step_heads import weigh
from nbest.scoring.step_scorer import Readout, StepOutput, StepScorer, read_scores
from nbest.statistics.logprobs import step_features

BATCH_STEPS = 8192
"""The largest number of padded steps in one forward pass."""
_ORIGIN_FIELDS = ("content_hash", "step_rule", "last_layer_after_norm")


def load_step_scorer(model: str | Path, device: str = "auto", dtype: str = "float32") -> StepScorer:
    """Load a trained step scorer from a folder or hub id. Raises ConfigError if it is another model or damaged."""
    target = choose_device(device)
    local_files_only = needs_cache(str(model), "scorer")
    try:
        with without_progress_bar():
            scorer = AutoModel.from_pretrained(
                str(model),
                config=_read_config(str(model), local_files_only),
                dtype=choose_dtype(dtype, target),
                local_files_only=local_files_only,
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(
            f"scorer {str(model)!r} cannot be loaded: {error}. Name the folder or hub id of a trained step scorer"
        ) from error
    if not isinstance(scorer, StepScorer):
        raise ConfigError(f"scorer {str(model)!r} is a {type(scorer).__name__}; it must be a step scorer")
    return scorer.to(target).eval()  # pyright: ignore[reportArgumentType]


def _read_config(model: str, local_files_only: bool) -> PretrainedConfig:
    """Return the config in the folder or at the hub id, whose `model_type` may bear the package's former name."""
    values, _ = PretrainedConfig.get_config_dict(model, local_files_only=local_files_only)
    return AutoConfig.for_model(**values | {"model_type": renew(str(values.get("model_type", "")))})


class HiddenScorer(Scorer):
    """Scores by `model`, a trained step scorer. Safe for concurrent pools: they are scored one after another.

    `aggregation` is how step scores become one value, `readout` which number of the probabilities of a step is its
    score; None takes that of the model's config. `batch_steps` bounds the padded steps of one forward pass.
    """

    def __init__(
        self,
        model: StepScorer,
        aggregation: Aggregation | None = None,
        batch_steps: int = BATCH_STEPS,
        readout: Readout | None = None,
    ):
        self.model = model
        self.aggregation = aggregation or model.config.aggregation
        self.readout = readout or model.config.readout
        self.layers = tuple(model.config.layers or (-1,))
        self.batch_steps = batch_steps
        self._unscored: Counter[str] = Counter()
        # What is wrong with states of an origin and of layers, "" if they fit.
        self._faults: dict[tuple[frozenset[tuple[str, str]], tuple[int, ...]], str] = {}
        self._fitting_source: StateSource | None = None
        self._lock = threading.Lock()

    async def score(self, pool: Pool, states: StateSource) -> list[Score]:
        """Return one Score per trajectory, in pool order; NaN if there is nothing to score.

        States of another policy, norm or step rule than the scorer was trained on, or without its layers, are not
        scored. Raises DataError if no fitting states of this source were seen yet, in this pool or before, and
        UnavailableError if `states` is empty although a trajectory did not fail.
        """
        return await asyncio.to_thread(self._score, pool.trajectories, states)

    def report(self) -> WorkReport:
        return WorkReport(unscored=dict(self._unscored))

    def _score(self, trajectories: Sequence[Trajectory], source: StateSource) -> list[Score]:
        with self._lock:
            scores = {trajectory.id: Score(trajectory.id, float("nan")) for trajectory in trajectories}
            if source.is_empty and not all(trajectory.has_failed for trajectory in trajectories):
                raise UnavailableError(
                    "no hidden states to score: capture them while sampling (`nbest sample --capture`), or fill them "
                    "in with `nbest encode RUN`"
                )
            step_counts = self._count_steps(trajectories, source)
            candidates = [trajectory for trajectory in trajectories if trajectory.id in step_counts]
            for batch in self._cut_batches(candidates, step_counts):
                scores |= {score.trajectory_id: score for score in self._score_batch(batch, source)}
            return [scores[trajectory.id] for trajectory in trajectories]

    def _count_steps(self, trajectories: Sequence[Trajectory], source: StateSource) -> dict[str, int]:
        """Return the number of steps of each trajectory that can be scored; count the reasons of the others."""
        step_counts: dict[str, int] = {}
        reasons, fault = Counter[str](), ""
        for trajectory in trajectories:
            entry = source.find(trajectory.id)
            if trajectory.has_failed:
                reason = "failed"
            elif entry is None:
                reason = "no states"
            elif not entry.step_count:
                reason = "no steps"
            elif self.model.config.features and trajectory.completion.logprobs is None:
                reason = "no log-probabilities"
            elif new_fault := self._find_fault(entry):
                fault = new_fault
                reason = "states of another policy or layer"
            else:
                step_counts[trajectory.id] = entry.step_count
                continue
            reasons[reason] += 1
        if step_counts:
            self._fitting_source = source
        elif fault and self._fitting_source is not source:
            raise DataError(fault)
        self._unscored += reasons
        return step_counts

    def _find_fault(self, entry: StatesEntry) -> str:
        """Return why these states do not fit the scorer, "" if they do. Each combination is checked once."""
        key = (frozenset(entry.origin.items()), entry.layers)
        if key not in self._faults:
            self._faults[key] = ""
            if set(self.layers) - set(entry.layers):
                self._faults[key] = (
                    f"{entry.location}: states of layers {list(entry.layers)}; the scorer was trained on "
                    f"{list(self.layers)}"
                )
            try:
                check_origin(self.model.config.states_source or {}, entry.origin, entry.location)
            except DataError as error:
                self._faults[key] = str(error)
        return self._faults[key]

    def _cut_batches(
        self, trajectories: Sequence[Trajectory], step_counts: Mapping[str, int]
    ) -> Iterator[list[Trajectory]]:
        batch: list[Trajectory] = []
        for trajectory in sorted(trajectories, key=lambda trajectory: step_counts[trajectory.id]):
            if batch and (len(batch) + 1) * step_counts[trajectory.id] > self.batch_steps:
                yield batch
                batch = []
            batch.append(trajectory)
        if batch:
            yield batch

    def _score_batch(self, batch: Sequence[Trajectory], source: StateSource) -> list[Score]:
        """Read and score one batch; no other states are in memory at the same time."""
        trajectories: list[Trajectory] = []
        states: list[HiddenStates] = []
        features: list[Floats | None] = []
        for trajectory, value in zip(batch, source.read([trajectory.id for trajectory in batch]), strict=True):
            if not np.isfinite(value.values).all():
                self._unscored["states not finite"] += 1
                continue
            logprobs = trajectory.completion.logprobs if self.model.config.features else None
            trajectories.append(trajectory)
            states.append(value)
            features.append(None if logprobs is None else step_features(logprobs, value.steps))
        if not states:
            return []
        padded = pad_batch(states, features, self.layers, self.model.config.features)
        values, step_scores = self._compute(padded)
        if without_score := int(np.isnan(values).sum()):
            self._unscored["score not finite"] += without_score
        return [
            Score(trajectory.id, float(values[row]), tuple(step_scores[row, : len(states[row].steps)].tolist()))
            for row, trajectory in enumerate(trajectories)
        ]

    @torch.inference_mode()
    def _compute(self, batch: PaddedBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the scores of the trajectories [B] and of their steps [B S]."""
        arrays = (batch.states, batch.mask, batch.features)
        states, mask, features = (torch.from_numpy(array).to(self.model.device) for array in arrays)
        output = self.model(states, mask, features if self.model.config.features else None)
        if self.readout != self.model.config.readout:
            output = replace(output, scores=read_scores(output.logits, self.readout))
        return score_rows(output, batch.mask, self.aggregation), output.scores.double().cpu().numpy()


def score_rows(output: StepOutput, mask: NDArray[np.bool_], aggregation: str) -> NDArray[np.float64]:
    """Return the scores of the trajectories [B] of a batch.

    That is the gated mean where the model has gates (SWIFT), else the aggregate of the step scores.
    """
    if output.gates is not None:
        return weigh(output.logits, output.gates).sigmoid().double().cpu().numpy()
    return aggregate_rows(output.scores.double().cpu().numpy(), mask, aggregation)  # pyright: ignore[reportArgumentType]


def check_origin(trained: Mapping[str, Any], origin: Mapping[str, str], location: str) -> None:
    """Raise DataError if states are not of the policy, norm and step rule that a scorer was trained on.

    `trained` is the origin of the states it was trained on, `location` the file or sampler of these states. A field
    that is absent on either side is not compared.
    """
    faults = [
        f"{name} is {origin[name]!r}, the scorer was trained with {trained[name]!r}"
        for name in _ORIGIN_FIELDS
        if name in trained and name in origin and trained[name] != origin[name]
    ]
    if faults:
        raise DataError(
            f"{location}: these states are not what this scorer reads (policy {origin.get('model', 'unknown')!r}, "
            f"trained on {trained.get('model', 'unknown')!r}): {'; '.join(faults)}. "
            "Train a scorer on this policy's states."
        )
