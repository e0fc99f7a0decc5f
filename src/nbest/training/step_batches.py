"""Batches of step sequences for training a scorer, read from runs by memory map: the states are never loaded whole.

What stands in memory is one row a trajectory (its id, problem, verdict, number of steps) and, where log-probabilities
are read, four numbers a step. An epoch balances right and wrong within each problem by a seeded draw, so a scorer
cannot win by knowing which problems are hard; batches hold trajectories of similar length.

This module does not know models or losses. Shapes: M trajectories, B of a batch, S steps (padded on the right),
L layers, D hidden size, F features.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from nbest.errors import DataError, UnavailableError
from nbest.records import Trajectory
from nbest.scoring.hidden import Row, pad_rows
from nbest.statistics.logprobs import STEP_FEATURES, step_features
from nbest.storage.run import Run
from nbest.storage.states import StatesPart

FEATURES = len(STEP_FEATURES)
BATCHES_SORTED = 64
"""Batches cut from one stretch of the shuffled epoch that is sorted by length."""

Balance: TypeAlias = Literal["problem", "set", "none"]
Indices: TypeAlias = NDArray[np.int64]


@dataclass(eq=False)
class StepSet:
    """Trajectories that have states and a verdict. `problem` [M] numbers their problems, `right` [M], `steps` [M];
    `features[m]` float32 [S F]. `left_out` counts what cannot be learned from, by reason."""

    runs: list[Run]
    layers: tuple[int, ...]
    about: Mapping[str, str]
    hidden_size: int
    ids: list[str] = field(default_factory=list[str])
    run_of: list[int] = field(default_factory=list[int])
    problems: list[str] = field(default_factory=list[str])
    problem_of: list[int] = field(default_factory=list[int])
    is_right: list[bool] = field(default_factory=list[bool])
    step_counts: list[int] = field(default_factory=list[int])
    features: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    left_out: Counter[str] = field(default_factory=Counter[str])

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.array(self.is_right, dtype=bool)

    @property
    def problem(self) -> Indices:
        return np.array(self.problem_of, dtype=np.int64)

    @property
    def steps(self) -> Indices:
        return np.array(self.step_counts, dtype=np.int64)


def is_held_out(problem_id: str, share: float) -> bool:
    """Whether a problem belongs to validation: by a stable hash of its id, whatever the run or its order."""
    digest = hashlib.blake2b(problem_id.encode(), digest_size=8, person=b"validation").digest()
    return int.from_bytes(digest, "big") < share * 2**64


def read_step_set(
    runs: Sequence[Run],
    layers: tuple[int, ...],
    with_features: bool,
    keep: Callable[[str], bool] = lambda problem_id: True,  # noqa: ARG005
    limit: int | None = None,
) -> StepSet:
    """Surveys verified runs with states; `keep(problem_id)` chooses problems, `limit` the most trajectories.

    Raises UnavailableError where a run has no states, no verdicts or not these layers, DataError where two runs'
    states differ in policy, norm or step rule.
    """
    found: StepSet | None = None
    for number, run in enumerate(runs):
        index = run.states_folder.index()
        if not index:
            raise UnavailableError(f"{run.path}: no hidden states. Fill them in: nbest encode {run.path}")
        verdicts = {verdict.trajectory_id: verdict.correct for verdict in run.verdicts()}
        if not verdicts:
            raise UnavailableError(f"{run.path}: no verdicts. Make them first: nbest verify {run.path}")
        part = next(iter(index.values()))
        resolved = resolve_layers(layers, part.layers, str(run.path))
        size = next(iter(part.entries.values())).shape[2]
        if found is None:
            found = StepSet(list(runs), resolved, part.about, size)
        _require_same(found, part.about, resolved, str(run.path))
        for pool in run.pools(tokens=with_features):
            if limit is not None and len(found.ids) >= limit:
                break
            if keep(pool.problem_id):
                found.problems.append(pool.problem_id)
                for trajectory in pool.trajectories:
                    key = trajectory.id
                    _survey(found, number, trajectory, verdicts.get(key), index.get(key), with_features)
    assert found is not None
    if not found.ids:
        raise UnavailableError(
            f"no trajectory to learn from in {', '.join(str(r.path) for r in runs)}: {found.left_out}"
        )
    return found


def resolve_layers(layers: Sequence[int], kept: Sequence[int], run: str) -> tuple[int, ...]:
    """The layers by number; -1 is the highest that was kept. Raises UnavailableError where one was not kept."""
    resolved = tuple(sorted(kept)[layer] if -len(kept) <= layer < 0 else layer for layer in layers)
    missing = [layer for layer in resolved if layer not in kept]
    if missing:
        raise UnavailableError(
            f"{run}: states of layer {', '.join(map(str, missing))} are asked for; the run keeps {list(kept)}"
        )
    return resolved


def _require_same(found: StepSet, about: Mapping[str, str], layers: tuple[int, ...], run: str) -> None:
    for name in ("content_hash", "step_rule", "last_layer_after_norm"):
        if found.about.get(name) != about.get(name):
            raise DataError(
                f"{run}: its states have {name} {about.get(name)!r}, those of {found.runs[0].path} "
                f"{found.about.get(name)!r}; a scorer is trained on one policy and one rule"
            )
    if layers != found.layers:
        raise DataError(f"{run}: layers {list(layers)}, and {list(found.layers)} in {found.runs[0].path}")


def _survey(
    found: StepSet, run: int, trajectory: Trajectory, correct: bool | None, part: StatesPart | None, with_features: bool
) -> None:
    key, logprobs = trajectory.id, trajectory.completion.logprobs
    reason = _find_obstacle(found, key, correct, part)
    if not reason and with_features and logprobs is None:
        reason = "no log-probabilities"
    if reason or part is None:
        found.left_out[reason] += 1
        return
    if with_features and logprobs is not None:
        found.features.append(step_features(logprobs, part.read_steps(key)))
    found.ids.append(key)
    found.run_of.append(run)
    found.problem_of.append(len(found.problems) - 1)
    found.is_right.append(bool(correct))
    found.step_counts.append(part.entries[key].shape[0])


def _find_obstacle(found: StepSet, key: str, correct: bool | None, part: StatesPart | None) -> str:
    if correct is None:
        return "no verdict"
    if part is None:
        return "no states"
    if not part.entries[key].shape[0]:
        return "no steps"
    return "" if set(found.layers) <= set(part.layers) else "other layers"


def balance(right: NDArray[np.bool_], problem: Indices, how: Balance, rng: np.random.Generator) -> Indices:
    """Which trajectories [..] an epoch holds, ascending: all, or as many right as wrong (of each problem, or over all).

    Of the larger side as many are drawn as the smaller has; a problem with one side only is left out.
    """
    everything = np.arange(len(right))
    if how == "none":
        return everything
    groups = problem if how == "problem" else np.zeros_like(problem)
    order = np.lexsort((rng.random(len(right)), right, groups))
    # Within a group the wrong ones come first, each side in random order: the rank inside a side decides.
    side = groups[order] * 2 + right[order]
    starts = np.flatnonzero(np.r_[True, side[1:] != side[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    sizes = np.bincount(groups * 2 + right, minlength=2 * (int(groups.max(initial=0)) + 1)).reshape(-1, 2)
    quota = sizes.min(axis=1)[groups[order]]
    return np.sort(order[rank < quota])


def cut_batches(chosen: Indices, steps: Indices, size: int, rng: np.random.Generator) -> list[Indices]:
    """Batches of `size` of similar length, in random order; a rest smaller than `size` is dropped."""
    shuffled = rng.permutation(chosen)
    batches: list[Indices] = []
    stretch = size * BATCHES_SORTED
    for start in range(0, len(shuffled), stretch):
        part = shuffled[start : start + stretch]
        part = part[np.argsort(steps[part], kind="stable")]
        batches += [part[i : i + size] for i in range(0, len(part) - size + 1, size)]
    return [batches[place] for place in rng.permutation(len(batches))]


class StepBatches(Dataset[dict[str, Tensor]]):
    """Item i is batch i of `epochs` epochs, the same on every run; each epoch draws its balance anew."""

    def __init__(self, steps: StepSet, batch: int, how: Balance, epochs: int, seed: int):
        self.set, self.batch, self.seed = steps, batch, seed
        self.how: Balance = how
        self._right, self._problem, self._steps = steps.right, steps.problem, steps.steps
        self._epoch = lru_cache(maxsize=2)(self._plan)
        self.batches_per_epoch = len(self._epoch(0))
        self.epochs = epochs
        if not self.batches_per_epoch:
            chosen = len(balance(self._right, self._problem, how, np.random.default_rng(0)))
            raise UnavailableError(
                f"{chosen} trajectories are left after balancing by {how!r}, fewer than a batch of {batch}. "
                "Sample more problems that have both right and wrong trajectories, or lower batch_trajectories."
            )

    def _plan(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng((self.seed, epoch))
        return cut_batches(balance(self._right, self._problem, self.how, rng), self._steps, self.batch, rng)

    def __len__(self) -> int:
        return self.batches_per_epoch * self.epochs

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, place = divmod(index, self.batches_per_epoch)
        return load_batch(self.set, self._epoch(epoch)[place])


def load_batch(steps: StepSet, chosen: Sequence[int] | NDArray[np.integer]) -> dict[str, Tensor]:
    """`states` [B S L D], `mask` [B S], `labels` [B], and `features` [B S F] where the set has them.

    Raises DataError where a state is not finite.
    """
    members = [int(m) for m in chosen]
    rows: dict[int, Row] = {}
    for number, run in enumerate(steps.runs):
        of_run = [m for m in members if steps.run_of[m] == number]
        for m, held in zip(of_run, run.states([steps.ids[m] for m in of_run]), strict=True):
            if not np.isfinite(held.values).all():
                raise DataError(
                    f"{run.path}: the hidden states of {held.trajectory_id!r} are not finite; encode this run again"
                )
            rows[m] = (held, steps.features[m] if steps.features else None)
    states, mask, features = pad_rows([rows[m] for m in members], steps.layers, FEATURES)
    labels = np.array([steps.is_right[m] for m in members], dtype=np.float32)
    batch = {"states": torch.from_numpy(states), "mask": torch.from_numpy(mask), "labels": torch.from_numpy(labels)}
    return batch | ({"features": torch.from_numpy(features)} if steps.features else {})
