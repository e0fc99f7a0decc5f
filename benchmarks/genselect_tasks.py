"""Selection accuracy on held-out tasks: one judgement a task, as in training (question `tasks` of `genselect.py`).

The unit of every interval is the problem: its value is the mean over its tasks, and over the draws where some are
drawn. `accuracy_of_tasks` weighs each task alike, as the training's own metric does. Judgements are kept a model and
way of decoding in a file; one that is there is not asked again.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from genselect_pools import pair_all, print_table, tell_accuracy, tell_against

from nbest.loop_thread import gather_all
from nbest.records import Completion, SamplingParams, derive_seed
from nbest.registry import JudgeModel
from nbest.statistics.intervals import interval
from nbest.storage.run import Run
from nbest.training.selection_rewards import JudgedText, reward_selection
from nbest.training.source_pools import Source, read_source_pools
from nbest.training.task_files import SelectionTask, iter_tasks, read_about
from nbest.training.task_statistics import majority_accuracy
from nbest.verifying.equivalence import Equivalence

MAJORITY, POOL = "majority of the candidates", "majority of the whole pool"
Judged = list[tuple[float, str]]
"""The reward and the fault of each draw of a task."""


def read_votes(tasks: Sequence[SelectionTask], file: Path, equivalence: Equivalence) -> dict[str, list[float]]:
    """Of each task, how likely the most frequent answer among its candidates is right; and how likely the one of them
    is whose answer is most frequent in its whole pool. Empty where the source runs are gone."""
    named = read_about(file).get("sources", [])
    if not named or not all((Path(each["run"]) / "run.json").is_file() for each in named):
        return {}
    wanted: dict[str, list[SelectionTask]] = {}
    for task in tasks:
        wanted.setdefault(task.problem_id, []).append(task)
    found: dict[str, tuple[float, float]] = {}
    for pool in read_source_pools([Source(each["name"], Run.open(each["run"])) for each in named]):
        if pool.problem_id not in wanted:
            continue
        numbers = equivalence.cluster([attempt.answer for attempt in pool.attempts])
        cluster_of = dict(zip((attempt.id for attempt in pool.attempts), numbers, strict=True))
        votes = Counter(numbers)
        votes[None] = 0
        for task in wanted[pool.problem_id]:
            shown = [cluster_of[key] for key in task.candidates]
            most = max(votes[number] for number in shown)
            best = [ok for ok, number in zip(task.correct, shown, strict=True) if votes[number] == most]
            found[task.task_id] = (majority_accuracy(task.correct, shown), sum(best) / len(best))
    return {name: [found[task.task_id][place] for task in tasks] for place, name in enumerate((MAJORITY, POOL))}


def judge_tasks(
    judge: JudgeModel, tasks: Sequence[SelectionTask], params: SamplingParams, draws: int, kept: Path
) -> dict[str, Judged]:
    """The judged draws of every task, from the file `kept` where they are there."""
    held: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    missing = [task for task in tasks if len(held.get(task.task_id, ())) != draws]

    async def ask(task: SelectionTask) -> list[Completion]:
        seeds = [derive_seed(0, task.task_id, number) for number in range(draws)]
        return await judge.policy.sampler.sample(task.prompt, seeds, params)

    async def ask_each() -> list[list[Completion]]:
        return await gather_all([ask(task) for task in missing])

    for task, made in zip(missing, asyncio.run(ask_each()), strict=True):
        held[task.task_id] = [reward_selection(JudgedText(each.text, each.finish, task.correct)) for each in made]
    if missing:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(held))
    return {task.task_id: [(reward, fault) for reward, fault in held[task.task_id]] for task in tasks}


def average_problems(tasks: Sequence[SelectionTask], values: Sequence[float]) -> np.ndarray:
    """[P] the mean over the tasks of each problem, in the order of their first tasks."""
    by_problem: dict[str, list[float]] = {}
    for task, value in zip(tasks, values, strict=True):
        by_problem.setdefault(task.problem_id, []).append(value)
    return np.array([np.mean(values) for values in by_problem.values()])


def compare_tasks(
    models: dict[str, JudgeModel], file: Path, count: int | None, draws: int, out: Path, equivalence: Equivalence
) -> dict[str, Any]:
    """The first of `models` is the baseline of the others, way of decoding by way of decoding."""
    tasks = list(islice(iter_tasks(file), count))
    chance = [sum(task.correct) / len(task.correct) for task in tasks]
    each: dict[str, list[float]] = {"random": chance, **read_votes(tasks, file, equivalence)}
    faults: dict[str, Counter[str]] = {}
    pairs: dict[str, list[str]] = {}
    for name, judge in models.items():
        own = judge.config.sampling or SamplingParams()
        for way, params, times in (
            ("greedy", replace(own, temperature=0.0), 1),
            (f"T={own.temperature:g}", own, draws),
        ):
            judged = judge_tasks(judge, tasks, params, times, out / f"{name}-{way}-{times}.json")
            shown = f"{name}, {way}"
            each[shown] = [float(np.mean([reward for reward, _ in judged[task.task_id]])) for task in tasks]
            faults[shown] = Counter(fault for made in judged.values() for _, fault in made if fault)
            pairs.setdefault("random", []).append(shown)
            pairs.setdefault(f"{next(iter(models))}, {way}", []).append(shown)
    by_problem = {name: average_problems(tasks, values) for name, values in each.items()}
    gaps = pair_all({name: values[:, None] for name, values in by_problem.items()}, 1, pairs)
    return tell_tasks(tasks, each, by_problem, gaps, faults)


def tell_tasks(
    tasks: Sequence[SelectionTask],
    each: dict[str, list[float]],
    by_problem: dict[str, np.ndarray],
    gaps: dict[str, Any],
    faults: dict[str, Counter[str]],
) -> dict[str, Any]:
    """Prints the table; returns it as JSON."""
    problems = len(next(iter(by_problem.values())))
    print(f"## Held-out tasks: {len(tasks):,} of {problems:,} problems\n")
    rows: dict[str, dict[str, Any]] = {}
    cells: list[list[str]] = []
    for name, values in by_problem.items():
        bound = interval(values, seed=0)
        rows[name] = {"accuracy": bound.mean, "low": bound.low, "high": bound.high}
        rows[name] |= {"accuracy_of_tasks": float(np.mean(each[name])), "faults": dict(faults.get(name, {}))}
        cold = next((tell_against(gaps, base, name) for base in gaps if base != "random" and name in gaps[base]), "")
        told = ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.get(name, {}).items()))
        cell = [name, tell_accuracy(rows[name]), f"{100 * rows[name]['accuracy_of_tasks']:.1f}"]
        cells.append([*cell, tell_against(gaps, "random", name), cold, told])
    heads = ["selector", "accuracy in % [95 %]", "of tasks", "against random", "against the cold start", "no judgement"]
    print_table(heads, cells)
    return {"tasks": len(tasks), "problems": problems, "accuracy": rows, "paired": gaps}
