"""Store the trajectories, scores and selections of a `BestOfN` in a run folder.

Such a folder is a run like any other: `nbest show`, `score`, `select`, `verify` and `compare` work on
it. Its manifest has the fields that `nbest sample` writes, except that its problems are questions that come one by one,
stored as parts of `problems/`. A run of `nbest sample` can be used as well, with the same policy, sampling settings and
seed, but for its own problems only.

Trajectories are written within a second of the moment they finish. A process that is killed loses no more than that,
and the same question draws only what is missing. Scores and the selection are computed anew for every question; the
run keeps the first ones under the scorer's name, and under the selector's name with the pool's size (`majority@16`).
Those of another model, judge or seed are not mixed with them under one name: such settings are refused. A Selector
object has no name, and its selections are not kept.
"""

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbest.answering.keeping import Keeper
from nbest.answering.plan import Plan
from nbest.config import PolicyConfig
from nbest.errors import ConfigError, DataError, NbestError
from nbest.protocols import PolicyDescription, StateSource
from nbest.records import Pool, Problem, SamplingParams, Score, Selection, Trajectory, trajectory_id
from nbest.registry import stored_name
from nbest.run_settings import describe_folder, read_git_commit
from nbest.sampling.policies import origin_of
from nbest.stages.origins import StoredResults, describe_scorer, describe_selector
from nbest.storage import manifest as manifests
from nbest.storage.drafts import prepare_run
from nbest.storage.run import Run
from nbest.version import VERSION

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel

WRITE_SECONDS = 1.0
"""The time that a finished trajectory waits, so that several are written together."""
ANOTHER_FOLDER = "Choose another folder for the run"
QUESTIONS = {"source": "questions"}
"""The entry of a manifest for problems that come one by one."""


class RunKeeper(Keeper):
    """Keeps everything in `run`; `selector` is the name under which selections are stored; None stores none.

    `results` has the stored scores of each scorer, and under None the stored selections, with their origin.
    What the run holds is read once, at the start. A trajectory that another process adds later may be drawn twice; of
    two with the same id, readers take the first.
    """

    def __init__(
        self,
        run: Run,
        origin: Mapping[str, str],
        selector: str | None,
        scorers: Sequence[str],
        results: Mapping[str | None, StoredResults],
    ):
        super().__init__(origin)
        self._run, self._selector, self._results = run, selector, results
        self._stored_ids = run.done_trajectories()
        self._has_new_problems = run.manifest["identity"].get("problems") == QUESTIONS
        # Read now, so that a name that no folder can have is refused before anything is drawn.
        self._scored_ids = {scorer: run.done_scores(scorer) for scorer in scorers}
        self._selected_ids = set[str]() if selector is None else run.done_selections(selector)
        self._unwritten: list[Trajectory] = []
        self._writing = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._failure: NbestError | None = None

    async def begin(self, problem: Problem, n: int) -> list[Trajectory]:
        """Return what the run holds of this problem; a new question becomes one of its problems.

        Raises ConfigError if the run holds another problem of this id, or only problems of its own.
        """
        async with self._writing:
            return await asyncio.to_thread(self._begin, problem, n)

    def _begin(self, problem: Problem, n: int) -> list[Trajectory]:
        if self._has_new_problems:
            self._run.append_problems([problem])
        else:
            self._require_problem(problem)
        if not any(trajectory_id(problem.id, index) in self._stored_ids for index in range(n)):
            return []
        (pool,) = self._run.pools({problem.id})
        return [trajectory for trajectory in pool.trajectories if trajectory.index < n]

    def _require_problem(self, problem: Problem) -> None:
        fault = f"run: {self._run.path} was sampled from problems of its own; it holds none of the id {problem.id!r}"
        try:
            stored = self._run.problem(problem.id)
        except DataError as error:
            raise ConfigError(f"{fault}. Choose another folder for new questions.") from error
        if stored.prompt != problem.prompt:
            raise ConfigError(f"{fault} with this prompt. Choose another folder for new questions.")

    async def keep_trajectory(self, trajectory: Trajectory) -> None:
        self._raise_failure()
        self._unwritten.append(trajectory)
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._write_later())

    async def flush(self) -> None:
        await self._write()
        self._raise_failure()

    async def _write_later(self) -> None:
        await asyncio.sleep(WRITE_SECONDS)
        try:
            await self._write()
        except NbestError as error:
            # No caller awaits this task, so the next call raises the error.
            self._failure = error

    async def _write(self) -> None:
        async with self._writing:
            trajectories, self._unwritten = self._unwritten, []
            if trajectories:
                await asyncio.to_thread(self._run.append_trajectories, trajectories, self._origin)
                self._stored_ids.update(trajectory.id for trajectory in trajectories)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def states_of(self, pool: Pool) -> StateSource:
        """Return the states in memory if all trajectories were drawn just now, else the states of the run."""
        is_new = all(
            trajectory.completion.states is not None or trajectory.has_failed for trajectory in pool.trajectories
        )
        return super().states_of(pool) if is_new else self._run.states_folder

    async def keep_scores(self, scorer: str, scores: Sequence[Score]) -> None:
        def write() -> None:
            done = self._scored_ids[scorer]
            self._results[scorer].record()
            self._run.append_scores(scorer, [score for score in scores if score.trajectory_id not in done])
            done.update(score.trajectory_id for score in scores)

        await self._write_alone(write)

    async def keep_selection(self, selection: Selection) -> None:
        def write() -> None:
            if self._selector is not None and selection.problem_id not in self._selected_ids:
                self._results[None].record()
                self._run.append_selections(self._selector, [selection])
                self._selected_ids.add(selection.problem_id)

        await self._write_alone(write)

    async def _write_alone(self, write: Callable[[], None]) -> None:
        """Run `write` in a thread, one at a time, because it reads and changes the sets of stored ids."""
        async with self._writing:
            await asyncio.to_thread(write)


def open_run_keeper(
    path: Path,
    plan: Plan,
    params: SamplingParams,
    description: PolicyDescription,
    judge: "JudgeModel | None" = None,
) -> RunKeeper:
    """Return a keeper for the run at `path`, which is created with the first trajectories if it does not exist.

    Raises ConfigError if the folder holds a run of another policy, other sampling settings or another seed, if it
    holds scores or selections of another origin under the same name, or if a method has a name that no folder can have.
    """
    manifest = _make_manifest(path, plan, params, description)
    if (path / manifests.NAME).exists():
        stored = manifests.read_manifest(path / manifests.NAME)["identity"]
        # Which problems a run has does not matter to how one of them is drawn.
        manifest["identity"]["problems"] = stored.get("problems", QUESTIONS)
    run = prepare_run(path, manifest)
    selector = f"{stored_name('selector', plan.selector)}@{plan.n}" if isinstance(plan.selector, str) else None
    results = _open_results(run, plan, selector, judge)
    return RunKeeper(run, origin_of(description), selector, plan.scorers, results)


def _open_results(
    run: Run, plan: Plan, selector: str | None, judge: "JudgeModel | None"
) -> dict[str | None, StoredResults]:
    """Return the stored scores of each scorer and, under None, the stored selections. Raises ConfigError."""
    origins = {name: describe_scorer(name, scorer_model=plan.scorer_model, judge=judge) for name in plan.scorers}
    results: dict[str | None, StoredResults] = {
        name: StoredResults(run, "scores", name, origin, advice=ANOTHER_FOLDER) for name, origin in origins.items()
    }
    if selector is not None and isinstance(plan.selector, str):
        origin = describe_selector(plan.selector, seed=plan.seed, n=plan.n, judge=judge, find_scores=origins.get)
        results[None] = StoredResults(run, "selections", selector, origin, advice=ANOTHER_FOLDER)
    for stored in results.values():
        stored.check()
    return results


def _make_manifest(path: Path, plan: Plan, params: SamplingParams, description: PolicyDescription) -> dict[str, Any]:
    """Return the manifest of a new run, with the fields that `describe_sampling` gives to a run of `nbest sample`.

    A policy that is a Sampler object has no settings, so the recorded config then lacks `policy`.
    """
    policy = PolicyConfig(model=plan.policy) if isinstance(plan.policy, str) else plan.policy
    policy_settings = {"policy": policy.model_dump(mode="json")} if isinstance(policy, PolicyConfig) else {}
    sampling = asdict(params)
    return {
        "identity": {
            "problems": QUESTIONS,
            "policy": dict(description.identity),
            "sampling": sampling,
            "seed": plan.seed,
        },
        "info": {
            "nbest": VERSION,
            "git_commit": read_git_commit(),
            "python": platform.python_version(),
            "config": {**policy_settings, "sampling": sampling, "n": plan.n, "seed": plan.seed},
            "policy": dict(description.info),
            **(describe_folder(policy.model, path) if isinstance(policy, PolicyConfig) else {}),
        },
    }
