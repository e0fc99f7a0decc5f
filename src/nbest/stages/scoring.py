"""The stage that scores: scorers rate every trajectory of a run, and the run keeps the scores."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig
from nbest.errors import ConfigError
from nbest.protocols import Scorer
from nbest.records import Pool, Score
from nbest.registry import find_scorer, load_scorer, stored_name
from nbest.specs import Spec
from nbest.stages.context import needs_judge
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
    run_stage,
)
from nbest.stages.origins import describe_scorer, is_known, open_results
from nbest.stages.redoing import drop_failed_scores
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneIds
from nbest.storage.origins import Origin
from nbest.storage.run import Run
from nbest.storage.tables import SCORES

READY_POOLS = 4
"""A scorer works on one pool at a time; a few more are read ahead so that it never waits."""


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """Counts of the scores that the run now holds under the name `scorer`: trajectories `scored` and `unscored` (NaN).

    `reasons` counts the trajectories that got no score in this call, by reason. `judgements` counts the calls of a
    model that judged in this call (see `nbest.judging.conversation`), None if none did. `redone` counts the failed
    scores that were dropped first (None: that was not requested). `note` says what is unknown about the stored scores.
    """

    scorer: str
    scored: int
    unscored: int
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    judgements: Mapping[str, Any] | None = None
    redone: int | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "scorer": self.scorer,
            "scored": self.scored,
            "without": self.unscored,
            "reasons": dict(self.reasons),
        }
        further = {"judgements": self.judgements, "redone": self.redone, "note": self.note or None}
        return row | {name: value for name, value in further.items() if value is not None}


def score(
    run: Run | str | Path,
    scorers: Sequence[str],
    *,
    scorer_model: str | None = None,
    family: str | None = None,
    judge: GenerativeConfig | None = None,
    as_name: str | None = None,
    redo_failed: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> list[ScoreReport]:
    """Let each of `scorers` rate every trajectory it has not rated yet; `score:NAME` and `vote:NAME` select by it.

    `scorer_model` is a trained step scorer or reward model (folder or hub id), `family` the family of a reward model,
    `judge` the settings of the model that a generative scorer calls, `as_name` the name to store the scores under.
    These four can be given for a single scorer only. With `redo_failed` the scores that failed are made again (see
    `nbest.stages.redoing`). Raises ConfigError, also for an option that the scorer does not use and for scores of
    another origin under the same name (see `nbest.stages.origins`), UnavailableError, DataError, EngineError.
    """
    options = {"--scorer-model": scorer_model, "--family": family, "--judge": judge}
    names = list(dict.fromkeys(scorers))
    _check_options(names, options, as_name)
    return run_stage(path_of(run), _score(open_run(run), names, options, as_name, redo_failed, on_progress))


async def _score(
    run: Run,
    names: Sequence[str],
    options: Mapping[str, Any],
    as_name: str | None,
    redo_failed: bool,
    on_progress: OnProgress,
) -> list[ScoreReport]:
    """Check the origins of all scorers before the first one is loaded."""
    from nbest.stages.context import create_context
    from nbest.stages.judges import JudgeLoader
    from nbest.verifying.equivalence import Equivalence

    report_activity("read the run", on_progress)
    require_trajectories(run)
    reports: list[ScoreReport] = []
    async with AsyncExitStack() as stack:
        judge, scorer_model, family = options["--judge"], options["--scorer-model"], options["--family"]
        load_judge = None if judge is None else await stack.enter_async_context(JudgeLoader(judge))
        equivalence = stack.enter_context(Equivalence())
        context = create_context(run, equivalence, scorer_model=scorer_model, family=family, judge=load_judge)

        def describe(name: str) -> Origin:
            calls_judge = load_judge is not None and needs_judge(find_scorer(name, scorer_model, family)[0])
            judge_model = load_judge() if load_judge is not None and calls_judge else None
            return describe_scorer(name, scorer_model=scorer_model, family=family, judge=judge_model)

        stored_names = {name: as_name or stored_name("scorer", name) for name in names}
        origins = {name: await asyncio.to_thread(describe, name) for name in names}
        for name in names:
            with open_results(run, "scores", stored_names[name], origins[name]):
                pass
        for name in names:
            report_activity(f"load {name}", on_progress)
            async with await asyncio.to_thread(load_scorer, name, context) as scorer:
                if not is_known(origins[name]):
                    # Only now is the model on this machine.
                    origins[name] = await asyncio.to_thread(describe, name)
                reports.append(
                    await score_under(
                        run, scorer, stored_names[name], on_progress, origin=origins[name], redo_failed=redo_failed
                    )
                )
    return reports


async def score_under(
    run: Run,
    scorer: Scorer,
    name: str,
    on_progress: OnProgress = ignore_progress,
    *,
    origin: Origin | None = None,
    redo_failed: bool = False,
) -> ScoreReport:
    """Score what is missing under `name`, and count what the run then holds.

    `origin` says where the scores come from; None records nothing. Raises ConfigError if those stored have another one.
    """
    redone = None
    with open_results(run, "scores", name, origin) as results:
        if redo_failed:
            has_judge = origin is not None and "judge" in origin.identity
            redone = await asyncio.to_thread(drop_failed_scores, run, name, has_judge)
        missing = len(run.done_trajectories()) - len(run.done_scores(name))
        on_done, on_wait = count_progress(name, missing, on_progress), report_wait(name, on_progress)
        await score_run(run, scorer, name, on_done, before_write=results.record, on_wait=on_wait)
    values = [score.value for score in run.scores(name)]
    unscored = sum(1 for value in values if value != value)
    work = scorer.report()
    scored = len(values) - unscored
    return ScoreReport(name, scored, unscored, dict(work.unscored), work.judgements, redone, results.note)


async def score_run(
    run: Run,
    scorer: Scorer,
    name: str,
    on_done: OnDone,
    *,
    before_write: Callable[[], object] = lambda: None,
    on_wait: Callable[[int], None] = ignore_wait,
) -> None:
    """Score every pool that has a trajectory without a score under `name`; only the missing scores are written.

    `before_write` is called, in a thread, before scores are written.
    """
    done = DoneIds(run.results_folder("scores", name), SCORES)

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Pool]]:
        yield from ((pool.problem_id, pool) for pool in run.pools(problem_ids))

    def plan(pool: Pool, ids: Collection[str]) -> Pool | None:
        return pool if any(trajectory.id not in ids for trajectory in pool.trajectories) else None

    async def score_pool(pool: Pool) -> AsyncGenerator[list[Score], None]:
        scores = await scorer.score(pool, run.states_folder)
        yield [score for score in scores if score.trajectory_id not in done.ids]

    def append(scores: list[Score]) -> None:
        before_write()
        run.append_scores(name, scores)

    async def write(scores: list[Score]) -> None:
        await asyncio.to_thread(append, scores)
        on_done(len(scores), 0)

    work = SharedWork(run.path, f"scores/{name}", done, read, plan, score_pool, write)
    await share_work(work, READY_POOLS, on_wait)


def _check_options(names: Sequence[str], options: Mapping[str, Any], as_name: str | None) -> None:
    """Raise ConfigError for an unknown scorer or option, an option of one scorer if several are named, and an option
    that no scorer uses."""
    from nbest.registry import find_method, find_spec
    from nbest.stages.context import check_single, check_used, needs_judge

    used_options = [option for option, value in options.items() if value is not None]
    if used_options or as_name is not None:
        check_single(f"{', '.join(options)} and --as belong", "scorer", names)
    specs_by_name: dict[str, Spec] = {}
    for name in names:
        try:
            specs_by_name[name], method = find_method("scorer", name)
            specs_by_name[name].parse_options(method)
        except ConfigError:
            # With a model, an unknown name is the name that the user gives to a step scorer.
            if options["--scorer-model"] is None or "(" in name:
                raise
            specs_by_name[name] = find_spec("scorer", "step-scorer")
    users: dict[str, Callable[[Spec, Any], bool]] = {
        "--scorer-model": lambda spec, _: "model" in spec.options.model_fields,
        "--family": lambda spec, _: "family" in spec.options.model_fields,
        "--judge": needs_judge,
    }
    for option in used_options:
        check_used(option, specs_by_name, users[option])
