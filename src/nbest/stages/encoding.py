"""The stage that computes the hidden states of text that was sampled elsewhere, in one teacher-forced pass."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nbest.config import PolicyConfig
from nbest.errors import ConfigError, OutOfMemoryError
from nbest.protocols import Encoder
from nbest.records import EncodingFault, HiddenStates, Pool, Skip, Step, Trajectory
from nbest.run_settings import find_policy
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    path_of,
    report_activity,
    report_wait,
    require_trajectories,
    run_to_end,
)
from nbest.stages.redoing import drop_skips
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneStates
from nbest.storage.run import Run


class PreparingEncoder(Encoder, Protocol):
    """An encoder that can also tokenize text sampled elsewhere and split it into steps."""

    def prepare(self, prompt: str, trajectory: Trajectory) -> tuple[Trajectory, list[Step]] | EncodingFault:
        """Return the trajectory with the tokens this model would read, and its steps; or why it cannot be encoded."""
        ...


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """How many trajectories of the run have hidden states after `encode`.

    `skipped` counts those that could not be encoded, by reason, and `first_messages` has the first message of
    each reason. `failed` counts those whose sampling failed, which have no states. `redone` counts the skipped ones
    that were tried again (None: that was not requested).
    """

    run: Path
    trajectories: int
    with_states: int
    failed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    first_messages: Mapping[str, str] = field(default_factory=dict[str, str])
    redone: int | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "run": str(self.run),
            "trajectories": self.trajectories,
            "with_states": self.with_states,
            "failed": self.failed,
            "skipped": dict(self.skipped),
            "first_messages": dict(self.first_messages),
        }
        return row if self.redone is None else row | {"redone": self.redone}


@dataclass(slots=True)
class Skips:
    """The trajectories that an encoder could not encode and that are not stored yet; `failed` counts those whose
    sampling failed."""

    failed: int = 0
    new: list[tuple[str, EncodingFault]] = field(default_factory=list[tuple[str, EncodingFault]])

    def add(self, trajectory_id: str, fault: EncodingFault) -> None:
        self.new.append((trajectory_id, fault))

    def take(self, policy: str) -> list[Skip]:
        """Return the new ones as records of this policy, and forget them."""
        records = [Skip(id, fault.reason, fault.message, policy) for id, fault in self.new]
        self.new.clear()
        return records


def encode(
    run: Run | str | Path,
    policy: str | None = None,
    layers: Sequence[int] = (-1,),
    *,
    redo_failed: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> EncodeReport:
    """Compute the hidden states of every trajectory that has none.

    `policy` is a folder, hub id or bundled:NAME; None is the policy that sampled the run. `layers` are numbered as
    transformers numbers `hidden_states`, negative ones from the end. A trajectory that cannot be encoded, such as one
    longer than the model's context, is skipped; the run stores why, and the same policy tries it again only with
    `redo_failed`. Raises ConfigError if no policy is known or a layer does not exist, UnavailableError if the run holds
    no trajectories.
    """
    return run_to_end(_encode(open_run(run), path_of(run), policy, layers, redo_failed, on_progress))


async def _encode(
    run: Run, path: Path, policy: str | None, layers: Sequence[int], redo_failed: bool, on_progress: OnProgress
) -> EncodeReport:
    from nbest.sampling.policies import describe_origin
    from nbest.states.encoder import TransformersEncoder

    report_activity("read the run", on_progress)
    total = require_trajectories(run)
    config = await asyncio.to_thread(_read_policy, run, policy)
    await asyncio.to_thread(_check_settings, config, layers)
    report_activity(f"load {config.model}", on_progress)
    encoder = await asyncio.to_thread(
        TransformersEncoder,
        *(config.model, tuple(layers), config.revision, config.dtype, config.device, config.template),
        *(config.template_arguments, run.manifest["identity"].get("system")),
    )
    skips = Skips()
    async with encoder:
        origin = describe_origin(encoder.checkpoint.info)
        dropped = await asyncio.to_thread(drop_skips, run, None if redo_failed else name_policy(origin))
        missing = total - len(run.done_states()) - sum(1 for _ in run.skips())
        on_done, on_wait = count_progress("encode", missing, on_progress), report_wait("encode", on_progress)
        await encode_run(run, encoder, on_done, origin, skips, on_wait=on_wait)
    done = run.done_states()
    stored = [skip for skip in run.skips() if skip.trajectory_id not in done]
    first_messages: dict[str, str] = {}
    for skip in stored:
        first_messages.setdefault(skip.reason, f"{skip.trajectory_id}: {skip.message}")
    counts = dict(Counter(skip.reason for skip in stored))
    return EncodeReport(path, total, len(done), skips.failed, counts, first_messages, dropped if redo_failed else None)


def name_policy(origin: Mapping[str, str]) -> str:
    """Return the content hash of a policy, or its name where the hash is not known."""
    return origin.get("content_hash") or origin.get("model", "")


async def encode_run(
    run: Run,
    encoder: PreparingEncoder,
    on_done: OnDone,
    origin: Mapping[str, str],
    skips: Skips | None = None,
    *,
    on_wait: Callable[[int], None] = ignore_wait,
) -> None:
    """Compute the hidden states of every trajectory that has none; `origin` goes into their header.

    A trajectory that cannot be encoded is left out, and the reason is stored; those stored before are not tried again.
    `skips` counts those that failed when they were sampled.
    """
    skips = Skips() if skips is None else skips
    policy = name_policy(origin)
    done = await asyncio.to_thread(DoneStates, run.states_folder)
    skipped = {skip.trajectory_id for skip in run.skips()}

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Pool]]:
        yield from ((pool.problem_id, pool) for pool in run.pools(problem_ids))

    def plan(pool: Pool, ids: Collection[str]) -> tuple[str, list[Trajectory]] | None:
        missing = [t for t in pool.trajectories if t.id not in ids and t.id not in skipped]
        return (pool.prompt, missing) if missing else None

    async def encode_pool(item: tuple[str, list[Trajectory]]) -> AsyncGenerator[list[str], None]:
        prompt, missing = item
        trajectories, steps_by_id = _prepare(encoder, prompt, missing, skips)
        states = await _encode_all(encoder, trajectories, steps_by_id, skips)
        # States are large, so those of a pool are written at once and not gathered with others.
        if states:
            await asyncio.to_thread(run.append_states, states, origin)
        await asyncio.to_thread(run.append_skips, skips.take(policy))
        tokens = sum(len(trajectory.completion.tokens) for trajectory in trajectories if trajectory.id in states)
        on_done(len(missing), tokens)
        yield []

    async def write(_: list[str]) -> None:
        """Do nothing: the states are written already."""

    work = SharedWork(run.path, "states", done, read, plan, encode_pool, write)
    await share_work(work, open_items=1, on_wait=on_wait)


def _prepare(
    encoder: PreparingEncoder, prompt: str, trajectories: Sequence[Trajectory], skips: Skips
) -> tuple[list[Trajectory], dict[str, list[Step]]]:
    """Return the trajectories that can be encoded with their tokens, and the steps of each; count the others."""
    prepared: list[Trajectory] = []
    steps_by_id: dict[str, list[Step]] = {}
    for trajectory in trajectories:
        if trajectory.has_failed:
            skips.failed += 1
            continue
        outcome = encoder.prepare(prompt, trajectory)
        if isinstance(outcome, EncodingFault):
            skips.add(trajectory.id, outcome)
            continue
        prepared.append(outcome[0])
        steps_by_id[trajectory.id] = outcome[1]
    return prepared, steps_by_id


async def _encode_all(
    encoder: Encoder, trajectories: Sequence[Trajectory], steps: Mapping[str, Sequence[Step]], skips: Skips
) -> dict[str, HiddenStates]:
    """Return the states by id. Where memory runs out, each half is tried alone, and a single trajectory is skipped."""
    if not trajectories:
        return {}
    try:
        states = await encoder.encode(trajectories, [steps[trajectory.id] for trajectory in trajectories])
    except OutOfMemoryError as error:
        if len(trajectories) == 1:
            skips.add(trajectories[0].id, EncodingFault("out of memory", str(error)))
            return {}
        middle = len(trajectories) // 2
        first = await _encode_all(encoder, trajectories[:middle], steps, skips)
        return first | await _encode_all(encoder, trajectories[middle:], steps, skips)
    return {trajectory.id: values for trajectory, values in zip(trajectories, states, strict=True)}


def _read_policy(run: Run, policy: str | None) -> PolicyConfig:
    """Return the policy of this name, or the one that sampled the run. Raises ConfigError if neither is known."""
    if policy is not None:
        return PolicyConfig(model=policy)
    config = find_policy(run.manifest, run.path)
    if config is None:
        raise ConfigError(f"{run.path}: its manifest names no policy (it was imported); name one with --policy")
    return config


def _check_settings(config: PolicyConfig, layers: Sequence[int]) -> None:
    """Raise ConfigError listing what the model's config and this machine do not allow; no weights are loaded."""
    from nbest.sampling.model_checks import list_model_faults

    faults = list_model_faults(
        config.model, config.revision, config.dtype, config.device, config.template, tuple(layers)
    )
    if faults:
        raise ConfigError(faults)
