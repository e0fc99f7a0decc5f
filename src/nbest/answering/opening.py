"""Load the policy, the scorers that the selector reads, the selector and its judge, as a plan names them.

The sampling settings are extended by the data that these need: hidden states of a scorer's layers, token confidences,
self-certainty. This module does not know questions, trajectories or run folders.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nbest.answering.plan import Plan
from nbest.answering.turns import Turns
from nbest.config import GenerativeConfig
from nbest.protocols import Sampler, Scorer, Selector
from nbest.records import Pool, SamplingParams, Score
from nbest.registry import BuildContext, load_scorer, load_selector
from nbest.specs import Need
from nbest.stages.context import make_writer
from nbest.stages.sandboxes import SandboxLoader, SandboxSettings
from nbest.verifying.equivalence import Equivalence

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel

TOP_LOGPROBS = 20
"""The k of token confidences where a scorer needs them and the sampling settings name none (arXiv 2508.15260)."""


@dataclass(slots=True)
class Session:
    """The loaded objects that the questions of one `BestOfN` share. `params` are the extended sampling settings.

    `scores` holds, by scorer and trajectory id, the scores of the pools that are being selected from. `judge` is the
    model that judges, None if none does.
    """

    plan: Plan
    sampler: Sampler
    params: SamplingParams
    scorers: Mapping[str, Scorer]
    selector: Selector
    equivalence: Equivalence
    scores: Mapping[str, dict[str, Score]]
    resources: AsyncExitStack
    judge: "JudgeModel | None" = None
    turns: Turns = field(default_factory=Turns)

    def forget_scores(self, pool: Pool) -> None:
        """Drop the scores of a pool that was selected from."""
        for scores in self.scores.values():
            for trajectory in pool.trajectories:
                scores.pop(trajectory.id, None)

    async def aclose(self) -> None:
        """Close everything that was loaded here; objects that the caller passed in stay open."""
        await self.resources.aclose()


async def open_session(plan: Plan) -> Session:
    """Load the policy, the scorers and the selector of `plan`; nothing stays open where one of them fails."""
    async with AsyncExitStack() as resources:
        sampler = await _open_policy(plan, resources)
        equivalence = resources.enter_context(Equivalence())
        scores: defaultdict[str, dict[str, Score]] = defaultdict(dict)
        judge = await _open_judge(plan, resources)
        context = BuildContext(
            equivalence=equivalence,
            seed=plan.seed,
            scores=scores.__getitem__,
            scorer_model=plan.scorer_model,
            judge=None if judge is None else lambda: judge,
            sandbox=await resources.enter_async_context(SandboxLoader(SandboxSettings())),
            writer=None if judge is None else make_writer(lambda: judge, equivalence),
            where="the pool in memory",
            policy_hash=sampler.describe().identity.get("content_hash"),
        )
        scorers: dict[str, Scorer] = {}
        for name in plan.scorers:
            scorers[name] = await resources.enter_async_context(await asyncio.to_thread(load_scorer, name, context))
        selector = plan.selector
        if isinstance(selector, str):
            selector = await resources.enter_async_context(await asyncio.to_thread(load_selector, selector, context))
        params = complete_params(plan.sampling, plan.needs, scorers)
        sampler.check(params)
        return Session(plan, sampler, params, scorers, selector, equivalence, scores, resources.pop_all(), judge)


def complete_params(params: SamplingParams, needs: frozenset[Need], scorers: Mapping[str, Scorer]) -> SamplingParams:
    """Return `params` extended by the data that the scorers and the selector need of a trajectory."""
    if "states" in needs:
        layers = dict.fromkeys([*(params.capture or ()), *_read_layers(scorers.values())])
        params = replace(params, capture=tuple(layers))
    if "confidences" in needs and not params.top_logprobs:
        params = replace(params, top_logprobs=TOP_LOGPROBS)
    if "certainties" in needs:
        params = replace(params, self_certainty=True)
    return params


async def _open_policy(plan: Plan, resources: AsyncExitStack) -> Sampler:
    from nbest.sampling.policies import check_policy, load_policy

    if isinstance(plan.policy, Sampler):
        return plan.policy
    await asyncio.to_thread(check_policy, plan.policy, plan.sampling)
    return await resources.enter_async_context(await asyncio.to_thread(load_policy, plan.policy))


async def _open_judge(plan: Plan, resources: AsyncExitStack) -> "JudgeModel | None":
    if plan.judge is None:
        return None
    from nbest.judging.models import JudgeModel, load_judge

    if isinstance(plan.judge, GenerativeConfig):
        model = await asyncio.to_thread(load_judge, plan.judge)
        resources.push_async_callback(model.aclose)
    else:
        model = JudgeModel(GenerativeConfig(seed=plan.seed), plan.judge)
    return model


@runtime_checkable
class StatesReader(Protocol):
    """A scorer that says which layers' hidden states it reads, numbered as in `SamplingParams.capture`."""

    @property
    def layers(self) -> tuple[int, ...]: ...


def _read_layers(scorers: Iterable[Scorer]) -> list[int]:
    """Return the layers whose states the scorers read; the last layer if no scorer says which."""
    layers = [layer for scorer in scorers if isinstance(scorer, StatesReader) for layer in scorer.layers]
    return layers or [-1]
