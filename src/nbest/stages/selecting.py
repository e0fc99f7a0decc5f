"""The stage that selects: selectors pick one trajectory of every pool, and the run stores the selections."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig
from nbest.protocols import Selector
from nbest.records import Pool, Selection
from nbest.specs import Spec
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
from nbest.stages.origins import describe_selector, find_scores_of, open_results
from nbest.stages.redoing import drop_failed_selections
from nbest.stages.sandboxes import SandboxLoader, SandboxSettings
from nbest.stages.sharing import SharedWork, ignore_wait, share_work
from nbest.storage.done import DoneIds
from nbest.storage.origins import Origin
from nbest.storage.run import Run
from nbest.storage.tables import SELECTIONS


@dataclass(frozen=True, slots=True)
class SelectReport:
    """How many pools the run now has a selection for under the name `selector`, and in how many it abstained.

    `judgements` counts the calls of the judge (see `nbest.judging.conversation`) during this call of `select` alone;
    None if no judge was called. `redone` counts the failed selections that were dropped first (None: that was not
    requested). `note` says what is unknown about the stored selections, `reasons` counts the abstentions whose reason
    is known by it.
    """

    selector: str
    selected: int
    abstained: int
    judgements: Mapping[str, Any] | None = None
    redone: int | None = None
    note: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"selector": self.selector, "selected": self.selected, "abstained": self.abstained}
        further = {
            "judgements": self.judgements,
            "redone": self.redone,
            "note": self.note or None,
            "reasons": dict(self.reasons) or None,
        }
        return row | {name: value for name, value in further.items() if value is not None}


def select(
    run: Run | str | Path,
    selectors: Sequence[str],
    *,
    seed: int | None = None,
    judge: GenerativeConfig | None = None,
    n: int | None = None,
    as_name: str | None = None,
    redo_failed: bool = False,
    sandbox: SandboxSettings | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[SelectReport]:
    """Let each of `selectors` pick one trajectory of every pool that it has not selected from yet.

    `seed` is the seed of selectors that use random numbers (None: 0, or the judge's own), `judge` the settings of the
    model that generative selectors call. With `n` a selector sees only the first n trajectories of each pool, and its
    selections are stored as NAME@n. `as_name` is stored in place of NAME, and needs a single selector. With
    `redo_failed` the selections that failed are made again (see `nbest.stages.redoing`). `sandbox` isolates programs
    (None: the best isolation of this machine does). Raises ConfigError, also for an option that no selector uses and
    for selections of another origin under the same name (see `nbest.stages.origins`), UnavailableError, DataError,
    EngineError.
    """
    names = list(dict.fromkeys(selectors))
    _check_options(names, seed, judge, as_name, sandbox)
    if judge is not None and seed is not None:
        judge = judge.model_copy(update={"seed": seed})
    work = _select(
        open_run(run), names, seed or 0, judge, n, as_name, redo_failed, sandbox or SandboxSettings(), on_progress
    )
    return run_stage(path_of(run), work)


async def _select(
    run: Run,
    names: Sequence[str],
    seed: int,
    judge: GenerativeConfig | None,
    n: int | None,
    as_name: str | None,
    redo_failed: bool,
    sandbox: SandboxSettings,
    on_progress: OnProgress,
) -> list[SelectReport]:
    """Load all selectors, and check where stored selections come from, before the first one selects."""
    from nbest.registry import find_method, load_selector, stored_name
    from nbest.selecting.limited import LimitedSelector
    from nbest.stages.context import create_context, needs_judge, needs_sandbox
    from nbest.stages.judges import JudgeLoader
    from nbest.verifying.equivalence import Equivalence

    report_activity("read the run", on_progress)
    require_trajectories(run)
    async with AsyncExitStack() as stack:
        load_judge = None if judge is None else await stack.enter_async_context(JudgeLoader(judge))
        equivalence = stack.enter_context(Equivalence())
        load_sandbox = await stack.enter_async_context(SandboxLoader(sandbox, run.path))
        context = create_context(run, equivalence, seed=seed, judge=load_judge, sandbox=load_sandbox)
        selectors: dict[str, tuple[Selector, Origin]] = {}
        for name in names:
            report_activity(f"load {name}", on_progress)
            selector = await stack.enter_async_context(load_selector(name, context))
            spec, method = find_method("selector", name)
            asks_judge = load_judge is not None and needs_judge(spec, spec.parse_options(method))
            origin = await asyncio.to_thread(
                describe_selector,
                name,
                seed=seed,
                n=n,
                judge=load_judge() if load_judge is not None and asks_judge else None,
                find_scores=find_scores_of(run),
                isolation=load_sandbox().describe() if needs_sandbox(spec) else None,
            )
            selection_name = as_name or stored_name("selector", name)
            if n:
                selector = LimitedSelector(selector, selection_name, n)
                selection_name = f"{selection_name}@{n}"
            with open_results(run, "selections", selection_name, origin):
                selectors[selection_name] = selector, origin
        return [
            await select_under(run, selector, name, on_progress, origin=origin, redo_failed=redo_failed)
            for name, (selector, origin) in selectors.items()
        ]


async def select_under(
    run: Run,
    selector: Selector,
    name: str,
    on_progress: OnProgress = ignore_progress,
    *,
    origin: Origin | None = None,
    redo_failed: bool = False,
) -> SelectReport:
    """Select in every pool that has no selection under `name`, and count what the run then holds.

    `origin` says where the selections come from; None records nothing. Raises ConfigError if those stored have another
    one.
    """
    redone = None
    with open_results(run, "selections", name, origin) as results:
        if redo_failed:
            redone = await asyncio.to_thread(drop_failed_selections, run, name)
        missing = sum(1 for _ in run.problems()) - len(run.done_selections(name))
        on_done, on_wait = count_progress(name, missing, on_progress), report_wait(name, on_progress)
        await select_run(run, selector, name, on_done, before_write=results.record, on_wait=on_wait)
    selections = list(run.selections(name))
    notes = [selection.note for selection in selections if selection.index is None]
    reasons = dict(Counter(filter(None, notes)).most_common())
    selected, judgements = len(selections) - len(notes), selector.report().judgements
    return SelectReport(name, selected, len(notes), judgements, redone, results.note, reasons)


async def select_run(
    run: Run,
    selector: Selector,
    name: str,
    on_done: OnDone,
    *,
    before_write: Callable[[], object] = lambda: None,
    on_wait: Callable[[int], None] = ignore_wait,
) -> None:
    """Select in every pool that has no selection under `name` yet; an empty pool is left for later.

    `before_write` is called, in a thread, before selections are written.
    """
    done = DoneIds(run.results_folder("selections", name), SELECTIONS)

    def read(problem_ids: Collection[str] | None) -> Iterator[tuple[str, Pool]]:
        yield from ((pool.problem_id, pool) for pool in run.pools(problem_ids))

    def plan(pool: Pool, ids: Collection[str]) -> Pool | None:
        return pool if pool.trajectories and pool.problem_id not in ids else None

    async def select_pool(pool: Pool) -> AsyncGenerator[list[Selection], None]:
        yield [await selector.select(pool)]

    def append(selections: list[Selection]) -> None:
        before_write()
        run.append_selections(name, selections)

    async def write(selections: list[Selection]) -> None:
        await asyncio.to_thread(append, selections)
        on_done(len(selections), 0)

    work = SharedWork(run.path, f"selections/{name}", done, read, plan, select_pool, write)
    await share_work(work, on_wait=on_wait)


def _check_options(
    names: Sequence[str],
    seed: int | None,
    judge: GenerativeConfig | None,
    as_name: str | None,
    sandbox: SandboxSettings | None,
) -> None:
    """Raise ConfigError for an unknown selector or option, `as_name` if several are named, and an option that no
    selector uses."""
    from nbest.registry import find_method
    from nbest.stages.context import check_single, check_used, needs_judge, needs_sandbox, uses_seed

    if as_name is not None:
        check_single("--as belongs", "selector", names)
    specs_by_name: dict[str, Spec] = {}
    options_by_name: dict[str, Any] = {}
    for name in names:
        specs_by_name[name], method = find_method("selector", name)
        specs_by_name[name].list_scorers(method)
        options_by_name[name] = specs_by_name[name].parse_options(method)
    if judge is not None:
        check_used("--judge", specs_by_name, needs_judge, options_by_name)
    if sandbox is not None:
        check_used("--sandbox", specs_by_name, needs_sandbox, options_by_name)
    if seed is not None:
        check_used("--seed", specs_by_name, uses_seed, options_by_name)
