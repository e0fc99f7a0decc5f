"""Scores trajectories by the policy's hidden states at step ends, with any trained scorer of steps.

What it does with what it is given
    States of another policy, norm or step rule, or without the layers the scorer reads: refused (DataError).
    A trajectory without states, without a step, with states that are not finite, or without the log-probabilities the
    scorer reads beside them: NaN (no score); `unscored` counts the reasons. A whole run without states: refused.
    A truncated trajectory, or one without `</think>`: scored on the steps it has (`text/steps.py` says which).
    A failed attempt: NaN.

A pool is read and scored in batches of similar length, at most `batch_steps` padded steps at once (a longer trajectory
alone); the states in memory are those of one batch, whatever the size of the run. This module does not know how a
scorer was trained.

Shapes: B trajectories, S steps (padded on the right), L layers, D hidden size, F features.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, PretrainedConfig

import nbest.scoring.step_heads
import nbest.scoring.step_scorer  # noqa: F401 - both register their classes with AutoModel
from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.former_name import renew
from nbest.records import HiddenStates, Pool, Score, Trajectory
from nbest.sampling.checkpoint import choose_device, choose_dtype, without_progress_bar
from nbest.scoring.aggregation import aggregate_rows
from nbest.scoring.step_heads import weigh
from nbest.scoring.step_scorer import StepOutput, StepScorer
from nbest.statistics.logprobs import step_features
from nbest.storage.run import Run

BATCH_STEPS = 8192
"""Padded steps in one forward pass."""
Row: TypeAlias = tuple[HiddenStates, NDArray[np.float32] | None]
"""A trajectory's states, and what its log-probabilities say of each step [S F] where the scorer reads that."""
_SOURCE_FIELDS = ("content_hash", "step_rule", "last_layer_after_norm")


def load_step_scorer(model: str | Path, device: str = "auto", dtype: str = "float32") -> StepScorer:
    """A trained scorer from a folder or hub id. Raises ConfigError where it is none or is damaged."""
    place = choose_device(device)
    try:
        with without_progress_bar():
            loaded = AutoModel.from_pretrained(
                str(model), config=_read_config(str(model)), dtype=choose_dtype(dtype, place)
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(f"scorer {str(model)!r} cannot be loaded: {error}") from error
    if not isinstance(loaded, StepScorer):
        raise ConfigError(f"scorer {str(model)!r} is a {type(loaded).__name__}, not a scorer of steps")
    return loaded.to(place).eval()  # pyright: ignore[reportArgumentType]


def _read_config(model: str) -> PretrainedConfig:
    """The configuration in the folder or at the hub id, whose `model_type` may bear the package's former name."""
    values, _ = PretrainedConfig.get_config_dict(model)
    return AutoConfig.for_model(**values | {"model_type": renew(str(values.get("model_type", "")))})


class HiddenScorer:
    """`model` on the states of `run`. Safe for concurrent pools; the model works in a thread of its own."""

    def __init__(self, model: StepScorer, run: Run, aggregation: str | None = None, batch_steps: int = BATCH_STEPS):
        self.model, self.run = model, run
        self.aggregation = aggregation or model.config.aggregation
        self.batch_steps = batch_steps
        self.unscored: Counter[str] = Counter()
        self._known = run.states_folder.index()
        self._layers = tuple(model.config.layers or (-1,))
        self._lock = asyncio.Lock()
        if not self._known:
            raise UnavailableError(f"{run.path}: no hidden states. Fill them in: nbest encode {run.path}")
        for part in {id(part): part for part in self._known.values()}.values():
            check_source(model.config.states_source or {}, part.about, str(part.path))
            missing = set(self._layers) - set(part.layers)
            if missing:
                raise DataError(
                    f"{part.path}: states of layers {list(part.layers)}; the scorer was trained on {list(self._layers)}"
                )

    async def score(self, pool: Pool) -> list[Score]:
        """One Score a trajectory, in pool order; NaN where there is nothing to score."""
        async with self._lock:
            return await asyncio.to_thread(self._score, pool.trajectories)

    def _score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        scores = {each.id: Score(each.id, float("nan")) for each in trajectories}
        able = [each for each in trajectories if self._is_able(each)]
        for batch in self._batches(able):
            rows = list(self._read(batch))
            for score in self._score_batch(rows) if rows else ():
                scores[score.trajectory_id] = score
        return [scores[each.id] for each in trajectories]

    def _read(self, batch: Sequence[Trajectory]) -> Iterator[Row]:
        """The states of one batch: no more than that is in memory at once."""
        for each, held in zip(batch, self.run.states([each.id for each in batch]), strict=True):
            if not np.isfinite(held.values).all():
                self.unscored["states not finite"] += 1
                continue
            logprobs = each.completion.logprobs if self.model.config.features else None
            yield held, None if logprobs is None else step_features(logprobs, held.steps)

    def _is_able(self, trajectory: Trajectory) -> bool:
        part = self._known.get(trajectory.id)
        if trajectory.completion.finish == "error":
            reason = "failed attempt"
        elif part is None:
            reason = "no states"
        elif not part.entries[trajectory.id].shape[0]:
            reason = "no steps"
        elif self.model.config.features and trajectory.completion.logprobs is None:
            reason = "no log-probabilities"
        else:
            return True
        self.unscored[reason] += 1
        return False

    def _batches(self, able: Sequence[Trajectory]) -> Iterator[list[Trajectory]]:
        def count_steps(trajectory: Trajectory) -> int:
            return self._known[trajectory.id].entries[trajectory.id].shape[0]

        batch: list[Trajectory] = []
        for each in sorted(able, key=count_steps):
            if batch and (len(batch) + 1) * count_steps(each) > self.batch_steps:
                yield batch
                batch = []
            batch.append(each)
        if batch:
            yield batch

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[Row]) -> Iterator[Score]:
        states, mask, features = pad_rows(batch, self._layers, self.model.config.features)
        inputs = [torch.from_numpy(array).to(self.model.device) for array in (states, mask, features)]
        output = self.model(inputs[0], inputs[1], inputs[2] if self.model.config.features else None)
        steps_of = output.scores.double().cpu().numpy()
        values = score_rows(output, mask, self.aggregation)
        for row, (held, _) in enumerate(batch):
            yield Score(held.trajectory_id, float(values[row]), tuple(steps_of[row, : len(held.steps)].tolist()))


def pad_rows(
    rows: Sequence[Row], layers: Sequence[int], features: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """`states` [B S L D] of these layers, `mask` [B S] and `features` [B S F], zero behind the end of a trajectory.

    Training and scoring read the same batches.
    """
    width = max(len(held.steps) for held, _ in rows)
    states = np.zeros((len(rows), width, len(layers), rows[0][0].values.shape[2]), dtype=np.float32)
    mask = np.zeros((len(rows), width), dtype=bool)
    numbers = np.zeros((len(rows), width, features), dtype=np.float32)
    for row, (held, given) in enumerate(rows):
        steps = len(held.steps)
        states[row, :steps] = held.values[:, [held.layers.index(layer) for layer in layers]]
        mask[row, :steps] = True
        if given is not None:
            numbers[row, :steps] = given
    return states, mask, numbers


def score_rows(output: StepOutput, mask: NDArray[np.bool_], aggregation: str) -> NDArray[np.float64]:
    """The trajectories' scores [B]: the gated mean where steps are weighed (SWIFT), else the aggregate of its steps."""
    if output.gates is not None:
        return weigh(output.logits, output.gates).sigmoid().double().cpu().numpy()
    return aggregate_rows(output.scores.double().cpu().numpy(), mask, aggregation)  # pyright: ignore[reportArgumentType]


def check_source(trained: Mapping[str, Any], about: Mapping[str, str], where: str) -> None:
    """Raises DataError where states are not of the policy, norm or step rule a scorer was trained for.

    What either side does not state is not compared.
    """
    faults = [
        f"{name} is {about[name]!r}, the scorer was trained with {trained[name]!r}"
        for name in _SOURCE_FIELDS
        if name in trained and name in about and trained[name] != about[name]
    ]
    if faults:
        raise DataError(
            f"{where}: these states are not what this scorer reads (policy {about.get('model', 'unknown')!r}, trained "
            f"on {trained.get('model', 'unknown')!r}): {'; '.join(faults)}. Train a scorer on this policy's states."
        )
