"""The stage that scores: scorers rate every trajectory of a run, and the run keeps the scores."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig
from nbest.errors import ConfigError
from nbest.protocols import Scorer
from nbest.records import Pool, Score
from nbest.specs import Spec
from nbest.stages.flow import (
    OnDone,
    OnProgress,
    count_progress,
    ignore_progress,
    open_run,
    require_trajectories,
    run_to_end,
    work_through,
)
from nbest.storage.run import Run

READY_POOLS = 4
"""A scorer works on one pool at a time; a few are ready so that it never waits, more would only fill memory."""


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """The scores that the run now holds under the name `scorer`: trajectories `scored`, and those `without` a score.

    `reasons` counts why trajectories of this call have no score, `judgements` is the account of a model that judged in
    this call (see `nbest.judging.conversation`), None where none did.
    """

    scorer: str
    scored: int
    without: int
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    judgements: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "scorer": self.scorer,
            "scored": self.scored,
            "without": self.without,
            "reasons": dict(self.reasons),
        }
        return row if self.judgements is None else row | {"judgements": dict(self.judgements)}


def score(
    run: Run | str | Path,
    scorers: Sequence[str],
    *,
    scorer_model: str | None = None,
    family: str | None = None,
    judge: GenerativeConfig | None = None,
    as_name: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[ScoreReport]:
    """Let each of `scorers` rate every trajectory it has not rated yet; `score:NAME` and `vote:NAME` select by it.

    `scorer_model` is a trained step scorer or reward model (folder or hub id), `family` that of a reward model, `judge`
    the settings of the model that a generative scorer asks; these and `as_name`, the name to keep the scores under,
    belong to one scorer. Raises ConfigError, also for an option that the scorer does not use, UnavailableError,
    DataError, EngineError.
    """
    options = {"--scorer-model": scorer_model, "--family": family, "--judge": judge}
    names = list(dict.fromkeys(scorers))
    _check_options(names, options, as_name)
    return run_to_end(_score(open_run(run), names, options, as_name, on_progress))


async def _score(
    run: Run, names: Sequence[str], options: Mapping[str, Any], as_name: str | None, on_progress: OnProgress
) -> list[ScoreReport]:
    from nbest.registry import load_scorer, stored_name
    from nbest.stages.context import create_context
    from nbest.stages.judges import JudgeLoader
    from nbest.verifying.equivalence import Equivalence

    require_trajectories(run)
    reports: list[ScoreReport] = []
    async with AsyncExitStack() as stack:
        judge = options["--judge"]
        load_judge = None if judge is None else await stack.enter_async_context(JudgeLoader(judge))
        context = create_context(
            run,
            stack.enter_context(Equivalence()),
            scorer_model=options["--scorer-model"],
            family=options["--family"],
            judge=load_judge,
        )
        for name in names:
            async with await asyncio.to_thread(load_scorer, name, context) as scorer:
                reports.append(await score_under(run, scorer, as_name or stored_name("scorer", name), on_progress))
    return reports


async def score_under(run: Run, scorer: Scorer, name: str, on_progress: OnProgress = ignore_progress) -> ScoreReport:
    """Score what is missing under `name`, and count what the run then holds."""
    missing = len(run.done_trajectories()) - len(run.done_scores(name))
    await score_run(run, scorer, name, count_progress(name, missing, on_progress))
    values = [score.value for score in run.scores(name)]
    without = sum(1 for value in values if value != value)
    work = scorer.report()
    return ScoreReport(name, len(values) - without, without, dict(work.unscored), work.judgements)


async def score_run(run: Run, scorer: Scorer, name: str, on_done: OnDone) -> None:
    """Score every pool that has a trajectory without a score under `name`; only the missing scores are written."""
    done = await asyncio.to_thread(run.done_scores, name)
    pools = (pool for pool in run.pools() if any(t.id not in done for t in pool.trajectories))

    async def score_pool(pool: Pool) -> AsyncGenerator[list[Score], None]:
        scores = await scorer.score(pool, run.states_folder)
        yield [score for score in scores if score.trajectory_id not in done]

    async def write(scores: list[Score]) -> None:
        await asyncio.to_thread(run.append_scores, name, scores)
        on_done(len(scores), 0)

    await work_through(pools, score_pool, write, READY_POOLS)


def _check_options(names: Sequence[str], options: Mapping[str, Any], as_name: str | None) -> None:
    """Raise ConfigError for an unknown scorer or option, for what belongs to one of several, and for what is unused."""
    from nbest.registry import find_method, find_spec
    from nbest.stages.context import asks_judge, check_single, check_used

    used = [option for option, value in options.items() if value is not None]
    if used or as_name is not None:
        check_single(f"{', '.join(options)} and --as belong", "scorer", names)
    named: dict[str, Spec] = {}
    for name in names:
        try:
            named[name], method = find_method("scorer", name)
            named[name].parse_options(method)
        except ConfigError:
            # A name that is not known is a step scorer of the user's own where its model is named.
            if options["--scorer-model"] is None or "(" in name:
                raise
            named[name] = find_spec("scorer", "step-scorer")
    users: dict[str, Callable[[Spec], bool]] = {
        "--scorer-model": lambda spec: "model" in spec.options.model_fields,
        "--family": lambda spec: "family" in spec.options.model_fields,
        "--judge": asks_judge,
    }
    for option in used:
        check_used(option, named, users[option])
