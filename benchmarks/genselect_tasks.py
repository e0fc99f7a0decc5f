"""Measure selection accuracy on held-out tasks, one judgement per task (question `tasks` of `genselect.py`).

The unit of every interval is the problem: its value is the mean over its tasks and draws. `accuracy_of_tasks` weighs
all tasks equally, as the metric of the training does. Judgements are stored in one file per model and way of decoding,
and are not repeated if they are there.
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
from genselect_pools import format_accuracy, format_gap_to, pair_all, print_table

from nbest.judging.models import JudgeModel
from nbest.loop_thread import gather_all
from nbest.records import Completion, SamplingParams, derive_seed, user_message
from nbest.sampling.collecting import collect
from nbest.statistics.intervals import interval
from nbest.storage.run import Run
from nbest.training.selection_rewards import JudgementText, reward_selection
from nbest.training.source_pools import Source, read_source_pools
from nbest.training.task_files import SelectionTask, iter_tasks, read_build_info
from nbest.training.task_statistics import measure_majority_accuracy
from nbest.verifying.equivalence import Equivalence

MAJORITY, POOL = "majority of the candidates", "majority of the whole pool"
Draws = list[tuple[float, str]]
"""The reward and the fault of each draw of a task."""


def read_votes(tasks: Sequence[SelectionTask], file: Path, equivalence: Equivalence) -> dict[str, list[float]]:
    """Return the expected accuracy per task of two votes: among its candidates, and in its whole pool.

    The result is empty if the source runs are not there any more.
    """
    sources = read_build_info(file).get("sources", [])
    if not sources or not all((Path(source["run"]) / "run.json").is_file() for source in sources):
        return {}
    by_problem: dict[str, list[SelectionTask]] = {}
    for task in tasks:
        by_problem.setdefault(task.problem_id, []).append(task)
    accuracies: dict[str, tuple[float, float]] = {}
    for pool in read_source_pools([Source(source["name"], Run.open(source["run"])) for source in sources]):
        if pool.problem_id not in by_problem:
            continue
        numbers = equivalence.cluster([trajectory.answer for trajectory in pool.trajectories])
        cluster_of = dict(zip((trajectory.id for trajectory in pool.trajectories), numbers, strict=True))
        votes = Counter(numbers)
        votes[None] = 0
        for task in by_problem[pool.problem_id]:
            clusters = [cluster_of[key] for key in task.candidates]
            most_votes = max(votes[number] for number in clusters)
            best = [
                is_right for is_right, number in zip(task.correct, clusters, strict=True) if votes[number] == most_votes
            ]
            accuracies[task.task_id] = (measure_majority_accuracy(task.correct, clusters), sum(best) / len(best))
    return {name: [accuracies[task.task_id][column] for task in tasks] for column, name in enumerate((MAJORITY, POOL))}


def judge_tasks(
    judge: JudgeModel, tasks: Sequence[SelectionTask], params: SamplingParams, draws: int, cache: Path
) -> dict[str, Draws]:
    """Return the draws of every task, from the file `cache` if it has them."""
    results: dict[str, Any] = json.loads(cache.read_text()) if cache.is_file() else {}
    missing = [task for task in tasks if len(results.get(task.task_id, ())) != draws]

    async def ask(task: SelectionTask) -> list[Completion]:
        seeds = [derive_seed(0, task.task_id, number) for number in range(draws)]
        return await collect(judge.sampler, user_message(task.prompt), seeds, params)

    async def ask_all() -> list[list[Completion]]:
        return await gather_all([ask(task) for task in missing])

    for task, completions in zip(missing, asyncio.run(ask_all()), strict=True):
        results[task.task_id] = [reward_selection(JudgementText(c.text, c.finish, task.correct)) for c in completions]
    if missing:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(results))
    return {task.task_id: [(reward, fault) for reward, fault in results[task.task_id]] for task in tasks}


def average_problems(tasks: Sequence[SelectionTask], values: Sequence[float]) -> np.ndarray:
    """Return the mean [P] over the tasks of each problem, in the order of their first tasks."""
    by_problem: dict[str, list[float]] = {}
    for task, value in zip(tasks, values, strict=True):
        by_problem.setdefault(task.problem_id, []).append(value)
    return np.array([np.mean(values) for values in by_problem.values()])


def compare_tasks(
    models: dict[str, JudgeModel], file: Path, count: int | None, draws: int, out: Path, equivalence: Equivalence
) -> dict[str, Any]:
    """Compare models on the tasks of a file; the first model is the baseline of the others, per way of decoding."""
    tasks = list(islice(iter_tasks(file), count))
    chance = [sum(task.correct) / len(task.correct) for task in tasks]
    accuracies: dict[str, list[float]] = {"random": chance, **read_votes(tasks, file, equivalence)}
    faults: dict[str, Counter[str]] = {}
    pairs: dict[str, list[str]] = {}
    for name, judge in models.items():
        sampling = judge.config.sampling or SamplingParams()
        for way, params, times in (
            ("greedy", replace(sampling, temperature=0.0), 1),
            (f"T={sampling.temperature:g}", sampling, draws),
        ):
            results = judge_tasks(judge, tasks, params, times, out / f"{name}-{way}-{times}.json")
            label = f"{name}, {way}"
            accuracies[label] = [float(np.mean([reward for reward, _ in results[task.task_id]])) for task in tasks]
            faults[label] = Counter(fault for draws_of_task in results.values() for _, fault in draws_of_task if fault)
            pairs.setdefault("random", []).append(label)
            pairs.setdefault(f"{next(iter(models))}, {way}", []).append(label)
    by_problem = {name: average_problems(tasks, values) for name, values in accuracies.items()}
    gaps = pair_all({name: values[:, None] for name, values in by_problem.items()}, 1, pairs)
    return report_tasks(tasks, accuracies, by_problem, gaps, faults)


def report_tasks(
    tasks: Sequence[SelectionTask],
    accuracies: dict[str, list[float]],
    by_problem: dict[str, np.ndarray],
    gaps: dict[str, Any],
    faults: dict[str, Counter[str]],
) -> dict[str, Any]:
    """Print the table, and return it as JSON."""
    problems = len(next(iter(by_problem.values())))
    print(f"## Held-out tasks: {len(tasks):,} of {problems:,} problems\n")
    rows: dict[str, dict[str, Any]] = {}
    cells: list[list[str]] = []
    for name, values in by_problem.items():
        bound = interval(values, seed=0)
        rows[name] = {"accuracy": bound.mean, "low": bound.low, "high": bound.high}
        rows[name] |= {"accuracy_of_tasks": float(np.mean(accuracies[name])), "faults": dict(faults.get(name, {}))}
        cold = next((format_gap_to(gaps, base, name) for base in gaps if base != "random" and name in gaps[base]), "")
        summary = ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.get(name, {}).items()))
        cell = [name, format_accuracy(rows[name]), f"{100 * rows[name]['accuracy_of_tasks']:.1f}"]
        cells.append([*cell, format_gap_to(gaps, "random", name), cold, summary])
    heads = ["selector", "accuracy in % [95 %]", "of tasks", "against random", "against the cold start", "no judgement"]
    print_table(heads, cells)
    return {"tasks": len(tasks), "problems": problems, "accuracy": rows, "paired": gaps}
