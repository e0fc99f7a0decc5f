"""Batches of step sequences for training a step scorer. States are read from runs by memory map, never as a whole.

In memory are, per trajectory, its id, problem, verdict and number of steps, and, if log-probabilities are read, four
numbers per step. Each epoch balances right and wrong trajectories by a seeded draw, by default within each problem, so
that a scorer cannot profit from knowing which problems are hard. A batch has trajectories of similar length.

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
from nbest.plurals import agree, show_count
from nbest.records import HiddenStates, Trajectory
from nbest.scoring.padding import pad_batch
from nbest.statistics.logprobs import STEP_FEATURES, step_features
from nbest.storage.run import Run
from nbest.storage.states import StatesPart

FEATURES = len(STEP_FEATURES)
BATCHES_SORTED = 64
"""The number of batches in each section of the shuffled epoch that is sorted by length."""

Balance: TypeAlias = Literal["problem", "run", "set", "none"]
Indices: TypeAlias = NDArray[np.int64]


@dataclass(eq=False)
class StepSet:
    """The trajectories to learn from, each with states and a verdict.

    `problem` [M] is the number of the problem, `right` [M] the verdict, `steps` [M] the number of steps, `features[m]`
    float32 [S F]; `origin` names the policy, norm and step rule of the states. `exclusions` counts the trajectories
    that cannot be used, by reason.
    """

    runs: list[Run]
    layers: tuple[int, ...]
    origin: Mapping[str, str]
    hidden_size: int
    ids: list[str] = field(default_factory=list[str])
    run_of: list[int] = field(default_factory=list[int])
    problems: list[str] = field(default_factory=list[str])
    problem_of: list[int] = field(default_factory=list[int])
    is_right: list[bool] = field(default_factory=list[bool])
    step_counts: list[int] = field(default_factory=list[int])
    features: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    exclusions: Counter[str] = field(default_factory=Counter[str])

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.array(self.is_right, dtype=bool)

    @property
    def run(self) -> Indices:
        return np.array(self.run_of, dtype=np.int64)

    @property
    def problem(self) -> Indices:
        return np.array(self.problem_of, dtype=np.int64)

    @property
    def steps(self) -> Indices:
        return np.array(self.step_counts, dtype=np.int64)


def is_held_out(problem_id: str, share: float) -> bool:
    """Return whether a problem belongs to validation. It depends on a stable hash of the id alone, not on the run."""
    digest = hashlib.blake2b(problem_id.encode(), digest_size=8, person=b"validation").digest()
    return int.from_bytes(digest, "big") < share * 2**64


def read_step_set(
    runs: Sequence[Run],
    layers: tuple[int, ...],
    with_features: bool,
    is_included: Callable[[str], bool] = lambda problem_id: True,  # noqa: ARG005
    limit: int | None = None,
) -> StepSet:
    """Collect the trajectories of verified runs with states.

    Only problems for which `is_included(problem_id)` is true are read; after `limit` trajectories no further problem
    is. Raises UnavailableError if a run has no states, no verdicts or not these layers, DataError if the states of two
    runs differ in policy, norm or step rule.
    """
    step_set: StepSet | None = None
    for number, run in enumerate(runs):
        index = run.states_folder.index()
        if not index:
            raise UnavailableError(f"{run.path}: no hidden states. Fill them in: nbest encode {run.path}")
        verdicts = {verdict.trajectory_id: verdict.correct for verdict in run.verdicts()}
        if not verdicts:
            raise UnavailableError(f"{run.path}: no verdicts. Make them first: nbest verify {run.path}")
        part = next(iter(index.values()))
        layer_numbers = resolve_layers(layers, part.layers, str(run.path))
        size = next(iter(part.entries.values())).shape[2]
        if step_set is None:
            step_set = StepSet(list(runs), layer_numbers, part.origin, size)
        _require_same(step_set, part.origin, layer_numbers, str(run.path))
        for pool in run.pools(tokens=with_features):
            if limit is not None and len(step_set.ids) >= limit:
                break
            if is_included(pool.problem_id):
                step_set.problems.append(pool.problem_id)
                for trajectory in pool.trajectories:
                    key = trajectory.id
                    _add_trajectory(step_set, number, trajectory, verdicts.get(key), index.get(key), with_features)
    assert step_set is not None
    if not step_set.ids:
        raise UnavailableError(
            f"no trajectory to learn from in {', '.join(str(r.path) for r in runs)}: {step_set.exclusions}"
        )
    return step_set


def resolve_layers(layers: Sequence[int], stored: Sequence[int], run: str) -> tuple[int, ...]:
    """Return the layers by number; -1 is the highest stored layer. Raises UnavailableError if a layer is not stored."""
    resolved = tuple(sorted(stored)[layer] if -len(stored) <= layer < 0 else layer for layer in layers)
    missing = [layer for layer in resolved if layer not in stored]
    if missing:
        raise UnavailableError(
            f"{run}: states of layer {', '.join(map(str, missing))} are needed, but the run stores {list(stored)}"
        )
    return resolved


def _require_same(step_set: StepSet, origin: Mapping[str, str], layers: tuple[int, ...], run: str) -> None:
    for name in ("content_hash", "step_rule", "last_layer_after_norm"):
        if step_set.origin.get(name) != origin.get(name):
            raise DataError(
                f"{run}: its states have {name} {origin.get(name)!r}, those of {step_set.runs[0].path} "
                f"{step_set.origin.get(name)!r}; a scorer is trained on the states of one policy and one step rule"
            )
    if layers != step_set.layers:
        raise DataError(
            f"{run}: the layers are {list(layers)}, but those of {step_set.runs[0].path} are {list(step_set.layers)}"
        )


def _add_trajectory(
    step_set: StepSet,
    run: int,
    trajectory: Trajectory,
    correct: bool | None,
    part: StatesPart | None,
    with_features: bool,
) -> None:
    """Add a trajectory of run number `run` to the set, or count the reason why it cannot be used."""
    key, logprobs = trajectory.id, trajectory.completion.logprobs
    reason = _find_obstacle(step_set, key, correct, part)
    if not reason and with_features and logprobs is None:
        reason = "no log-probabilities"
    if reason or part is None:
        step_set.exclusions[reason] += 1
        return
    if with_features and logprobs is not None:
        step_set.features.append(step_features(logprobs, part.read_steps(key)))
    step_set.ids.append(key)
    step_set.run_of.append(run)
    step_set.problem_of.append(len(step_set.problems) - 1)
    step_set.is_right.append(bool(correct))
    step_set.step_counts.append(part.entries[key].shape[0])


def _find_obstacle(step_set: StepSet, key: str, correct: bool | None, part: StatesPart | None) -> str:
    if correct is None:
        return "no verdict"
    if part is None:
        return "no states"
    if not part.entries[key].shape[0]:
        return "no steps"
    return "" if set(step_set.layers) <= set(part.layers) else "other layers"


def thin(problem: Indices, most: int | None, seed: int) -> Indices:
    """Return at most `most` trajectories of each problem (all of them if None) as ascending indices.

    The choice depends on the seed alone and not on the epoch: the published set has one trajectory per problem.
    """
    if most is None:
        return np.arange(len(problem))
    rng = np.random.default_rng((seed, most))
    order = np.lexsort((rng.random(len(problem)), problem))
    starts = np.flatnonzero(np.r_[True, np.diff(problem[order]) != 0])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[rank < most])


def draw_members(
    steps: StepSet, mode: Balance, per_problem: int | None, seed: int, rng: np.random.Generator
) -> Indices:
    """Return the trajectories of an epoch as ascending indices: `thin`ned by `seed`, then balanced by `rng`."""
    members = thin(steps.problem, per_problem, seed)
    groups = steps.run if mode == "run" else steps.problem
    return members[balance(steps.right[members], groups[members], mode, rng)]


def balance(right: NDArray[np.bool_], group: Indices, mode: Balance, rng: np.random.Generator) -> Indices:
    """Return the trajectories of an epoch as ascending indices.

    With "none" these are all; with "problem" or "run" as many right as wrong ones per `group` (the number of the
    problem or run of each trajectory), with "set" over all. From the larger class as many are drawn as the smaller one
    has, so a problem with only one class has none.
    """
    all_members = np.arange(len(right))
    if mode == "none" or not len(right):
        return all_members
    groups = np.zeros_like(group) if mode == "set" else group
    order = np.lexsort((rng.random(len(right)), right, groups))
    # Within a group the wrong ones come first, each class in random order; the rank within the class decides.
    classes = groups[order] * 2 + right[order]
    starts = np.flatnonzero(np.r_[True, classes[1:] != classes[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    sizes = np.bincount(groups * 2 + right, minlength=2 * (int(groups.max(initial=0)) + 1)).reshape(-1, 2)
    quota = sizes.min(axis=1)[groups[order]]
    return np.sort(order[rank < quota])


def cut_batches(members: Indices, steps: Indices, size: int, rng: np.random.Generator) -> list[Indices]:
    """Return batches of `size` trajectories of similar length, in random order; smaller remainders are dropped."""
    shuffled = rng.permutation(members)
    batches: list[Indices] = []
    section_size = size * BATCHES_SORTED
    for start in range(0, len(shuffled), section_size):
        part = shuffled[start : start + section_size]
        part = part[np.argsort(steps[part], kind="stable")]
        batches += [part[i : i + size] for i in range(0, len(part) - size + 1, size)]
    return [batches[index] for index in rng.permutation(len(batches))]


class StepBatches(Dataset[dict[str, Tensor]]):
    """The batches of `epochs` epochs: item i is the same in every run. Each epoch draws its balance anew."""

    def __init__(
        self, steps: StepSet, batch: int, mode: Balance, epochs: int, seed: int, per_problem: int | None = None
    ):
        self.set, self.batch, self.seed, self.per_problem = steps, batch, seed, per_problem
        self.mode: Balance = mode
        self._steps = steps.steps
        self._epoch = lru_cache(maxsize=2)(self._plan)
        self.batches_per_epoch = len(self._epoch(0))
        self.epochs = epochs
        if not self.batches_per_epoch:
            rng = np.random.default_rng((seed, 0))
            count = len(draw_members(steps, mode, per_problem, seed, rng))
            raise UnavailableError(
                f"{show_count(count, 'trajectory')} {agree(count, 'remains')} after balancing by {mode!r}, fewer than "
                f"a batch of {batch}. Sample more problems that have both right and wrong "
                "trajectories, or lower batch_trajectories."
            )

    def _plan(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng((self.seed, epoch))
        members = draw_members(self.set, self.mode, self.per_problem, self.seed, rng)
        return cut_batches(members, self._steps, self.batch, rng)

    def __len__(self) -> int:
        return self.batches_per_epoch * self.epochs

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, number = divmod(index, self.batches_per_epoch)
        return load_batch(self.set, self._epoch(epoch)[number])


def load_batch(steps: StepSet, trajectories: Sequence[int] | NDArray[np.integer]) -> dict[str, Tensor]:
    """Return `states` [B S L D], `mask` [B S], `labels` [B], and `features` [B S F] if the set has them.

    Raises DataError if a state is not finite.
    """
    members = [int(index) for index in trajectories]
    states: dict[int, HiddenStates] = {}
    for number, run in enumerate(steps.runs):
        of_run = [m for m in members if steps.run_of[m] == number]
        for m, value in zip(of_run, run.states([steps.ids[m] for m in of_run]), strict=True):
            if not np.isfinite(value.values).all():
                raise DataError(
                    f"{run.path}: the hidden states of {steps.ids[m]!r} are not finite; encode this run again"
                )
            states[m] = value
    features = [steps.features[m] if steps.features else None for m in members]
    padded = pad_batch([states[m] for m in members], features, steps.layers, FEATURES)
    arrays = {
        "states": padded.states,
        "mask": padded.mask,
        "labels": np.array([steps.is_right[m] for m in members], dtype=np.float32),
    }
    if steps.features:
        arrays["features"] = padded.features
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
