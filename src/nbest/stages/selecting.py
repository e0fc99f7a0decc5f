"""The stage that selects: selectors pick one trajectory of every pool, and the run keeps what they picked."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
    require_trajectories,
    run_to_end,
    work_through,
)
from nbest.storage.run import Run


@dataclass(frozen=True, slots=True)
class SelectReport:
    """The selections that the run now holds under the name `selector`: pools `selected` in, and `abstained` from.

    `judgements` is the account of a model that judged in this call (see `nbest.judging.conversation`), None where none
    did; what earlier calls asked is not in it.
    """

    selector: str
    selected: int
    abstained: int
    judgements: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"selector": self.selector, "selected": self.selected, "abstained": self.abstained}
        return row if self.judgements is None else row | {"judgements": dict(self.judgements)}


def select(
    run: Run | str | Path,
    selectors: Sequence[str],
    *,
    seed: int | None = None,
    judge: GenerativeConfig | None = None,
    n: int | None = None,
    as_name: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[SelectReport]:
    """Let each of `selectors` pick one trajectory of every pool in which it has not picked yet.

    `seed` is for selectors that draw (None: 0, or the judge's own), `judge` the settings of the model that generative
    selectors ask. With `n` a selector sees the first n trajectories of each pool, and its selections are kept as
    NAME@n. `as_name` is the name to keep them under, for one selector. Raises ConfigError, also for an option that no
    selector uses, UnavailableError, DataError, EngineError.
    """
    names = list(dict.fromkeys(selectors))
    _check_options(names, seed, judge, as_name)
    if judge is not None and seed is not None:
        judge = judge.model_copy(update={"seed": seed})
    return run_to_end(_select(open_run(run), names, seed or 0, judge, (n, as_name), on_progress))


async def _select(
    run: Run,
    names: Sequence[str],
    seed: int,
    judge: GenerativeConfig | None,
    kept_as: tuple[int | None, str | None],
    on_progress: OnProgress,
) -> list[SelectReport]:
    from nbest.registry import load_selector, stored_name
    from nbest.selecting.limited import LimitedSelector
    from nbest.stages.context import create_context
    from nbest.stages.judges import JudgeLoader
    from nbest.verifying.equivalence import Equivalence

    require_trajectories(run)
    n, as_name = kept_as
    async with AsyncExitStack() as stack:
        load_judge = None if judge is None else await stack.enter_async_context(JudgeLoader(judge))
        equivalence = stack.enter_context(Equivalence())
        context = create_context(run, equivalence, seed=seed, judge=load_judge)
        loaded: dict[str, Selector] = {}
        for name in names:
            stored = as_name or stored_name("selector", name)
            selector = await stack.enter_async_context(load_selector(name, context))
            loaded[f"{stored}@{n}" if n else stored] = LimitedSelector(selector, stored, n) if n else selector
        return [await select_under(run, selector, stored, on_progress) for stored, selector in loaded.items()]


async def select_under(
    run: Run, selector: Selector, name: str, on_progress: OnProgress = ignore_progress
) -> SelectReport:
    """Select in every pool that has no selection under `name`, and count what the run then holds."""
    total = sum(1 for _ in run.problems())
    await select_run(run, selector, name, count_progress(name, total - len(run.done_selections(name)), on_progress))
    selections = list(run.selections(name))
    abstained = sum(1 for selection in selections if selection.index is None)
    return SelectReport(name, len(selections) - abstained, abstained, selector.report().judgements)


async def select_run(run: Run, selector: Selector, name: str, on_done: OnDone) -> None:
    """Select in every pool that has no selection under `name` yet; an empty pool is left for later."""
    done = run.done_selections(name)
    pools = (pool for pool in run.pools() if pool.trajectories and pool.problem_id not in done)

    async def select_pool(pool: Pool) -> AsyncGenerator[list[Selection], None]:
        yield [await selector.select(pool)]

    async def write(selections: list[Selection]) -> None:
        await asyncio.to_thread(run.append_selections, name, selections)
        on_done(len(selections), 0)

    await work_through(pools, select_pool, write)


def _check_options(names: Sequence[str], seed: int | None, judge: GenerativeConfig | None, as_name: str | None) -> None:
    """Raise ConfigError for an unknown selector or option, for what belongs to one of several, and for what is
    unused."""
    from nbest.registry import find_method
    from nbest.stages.context import asks_judge, check_single, check_used, draws

    if as_name is not None:
        check_single("--as belongs", "selector", names)
    named: dict[str, Spec] = {}
    for name in names:
        named[name], method = find_method("selector", name)
        named[name].list_scorers(method)
    if judge is not None:
        check_used("--judge", named, asks_judge)
    if seed is not None:
        check_used("--seed", named, draws)
