"""The stage that fills hidden states in for text that was sampled elsewhere, in one teacher-forced pass."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbest.config import PolicyConfig, parse_config
from nbest.errors import ConfigError
from nbest.protocols import Encoder, StepSplitter
from nbest.records import Trajectory
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    path_of,
    require_trajectories,
    run_to_end,
)
from nbest.storage.run import Run

LOADED_FIELDS = ("model", "revision", "dtype", "device", "template")
"""The settings that say how a policy is loaded; other settings in a manifest may be those of another version."""


class TokenizingEncoder(Encoder, Protocol):
    """An encoder that can also split its own tokens into steps, and tokenize text sampled elsewhere."""

    @property
    def splitter(self) -> StepSplitter:
        """The rule that splits this model's tokens into steps."""
        ...

    def tokenize_trajectory(self, prompt: str, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory with the tokens this model would read, where it has none."""
        ...


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """How many trajectories of the run have hidden states after `encode`."""

    run: Path
    trajectories: int
    with_states: int

    def to_json(self) -> dict[str, Any]:
        return {"run": str(self.run), "trajectories": self.trajectories, "with_states": self.with_states}


def encode(
    run: Run | str | Path,
    policy: str | None = None,
    layers: Sequence[int] = (-1,),
    *,
    on_progress: OnProgress = ignore_progress,
) -> EncodeReport:
    """Compute the hidden states of every trajectory that has none.

    `policy` is a folder, hub id or bundled:NAME; None is the policy that sampled the run. `layers` are numbered as
    transformers numbers `hidden_states`, negative ones from the end. Raises ConfigError where no policy is known,
    UnavailableError where the run holds no trajectories, DataError for text longer than the model's context.
    """
    return run_to_end(_encode(open_run(run), path_of(run), policy, layers, on_progress))


async def _encode(
    run: Run, path: Path, policy: str | None, layers: Sequence[int], on_progress: OnProgress
) -> EncodeReport:
    from nbest.sampling.policies import describe_origin
    from nbest.states.encoder import TransformersEncoder

    total = require_trajectories(run)
    config = _read_policy(run, policy)
    encoder = await asyncio.to_thread(
        TransformersEncoder,
        *(config.model, tuple(layers), config.revision, config.dtype, config.device, config.template),
    )
    async with encoder:
        missing = total - len(run.done_states())
        origin = describe_origin(encoder.checkpoint.info)
        await encode_run(run, encoder, count_progress("encode", missing, on_progress), origin)
    return EncodeReport(path, total, len(run.done_states()))


async def encode_run(run: Run, encoder: TokenizingEncoder, on_done: OnDone, origin: Mapping[str, str]) -> None:
    """Compute the hidden states of every trajectory that has none; `origin` goes into their header."""
    done = await asyncio.to_thread(run.done_states)
    for pool in run.pools():
        missing = [t for t in pool.trajectories if t.id not in done and not t.has_failed]
        if not missing:
            continue
        trajectories = [encoder.tokenize_trajectory(pool.prompt, trajectory) for trajectory in missing]
        steps = [encoder.splitter(trajectory.completion) for trajectory in trajectories]
        states = await encoder.encode(trajectories, steps)
        by_id = {trajectory.id: values for trajectory, values in zip(trajectories, states, strict=True)}
        await asyncio.to_thread(run.append_states, by_id, origin)
        on_done(len(trajectories), sum(len(trajectory.completion.tokens) for trajectory in trajectories))


def _read_policy(run: Run, policy: str | None) -> PolicyConfig:
    """Return the policy of this name, or the one that sampled the run. Raises ConfigError where neither is known."""
    if policy is not None:
        return PolicyConfig(model=policy)
    settings = run.manifest["info"].get("config", {}).get("policy")
    if settings is None:
        raise ConfigError(f"{run.path}: its manifest names no policy (it was imported); name one with --policy")
    values = {name: settings[name] for name in LOADED_FIELDS if name in settings}
    return parse_config(PolicyConfig, values, f"{run.path / 'run.json'}: info.config.policy")
