# pyright: standard
"""Read verified runs as one stream of pools, each with the trajectories of one problem from all runs.

Ids in tasks: with one run, the id of the trajectory; with several runs `RUN/ID`, where RUN is the name of the run's
folder, or the name before `=` in `NAME=FOLDER`. Names must differ, so that an id names one trajectory of one run.

The problem ids and the pools of one problem are in memory; DuckDB sorts the verdicts and spills to disk. If runs hold
the same problems in orders that contradict each other, the pools of a batch of problems are in memory.

This module does not know how candidates are chosen.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.plurals import agree, show_count, show_part
from nbest.records import Pool
from nbest.storage.run import Run
from nbest.training.selection_tasks import GradedTrajectory, SourcePool

BATCH_PROBLEMS = 64
_FETCH_ROWS = 8192
_NAME_AND_FOLDER = re.compile(r"([A-Za-z0-9_.:-]+)=(.+)")

RenameId: TypeAlias = Callable[[str], str]
"""Turns the id of a trajectory into the id that it has in tasks."""
_Verdicts: TypeAlias = Mapping[str, tuple[bool | None, str | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A run, and the name that identifies it in the ids of tasks."""

    name: str
    run: Run


def open_sources(arguments: Sequence[str]) -> list[Source]:
    """Open runs that are given as `FOLDER` or `NAME=FOLDER`.

    Raises ConfigError if there is no such run or if two runs have the same name, UnavailableError if a run is not fully
    verified, DamagedRunError if a run is damaged.
    """
    sources: list[Source] = []
    for argument in arguments:
        match = None if Path(argument).exists() else _NAME_AND_FOLDER.fullmatch(argument)
        run = Run.open(match[2] if match else argument)
        _require_verdicts(run)
        sources.append(Source(match[1] if match else Path(os.path.normpath(run.path)).name, run))
    duplicates = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"RUN: got {show_count(len(sources), 'run')}, of which several have the name {', '.join(duplicates)}; "
            "every run needs its own name. Give each run once, and choose another name with NAME=FOLDER."
        )
    return sources


def count_pools(sources: Sequence[Source]) -> int:
    """Return how many pools `read_source_pools` yields. Raises DamagedRunError if a run is damaged."""
    if len(sources) == 1:
        return sum(1 for _ in sources[0].run.problems())
    return len({problem.id for source in sources for problem in source.run.problems()})


def read_source_pools(sources: Sequence[Source]) -> Iterator[SourcePool]:
    """Yield one pool per problem, with the trajectories of all runs.

    Raises DataError if two runs have different questions under one problem id, DamagedRunError if a run is damaged.
    """
    if len(sources) == 1:
        yield from _read_run(sources[0].run, lambda id: id)
        return
    order = _merge_orders([[problem.id for problem in source.run.problems()] for source in sources])
    yield from _read_batches(sources) if order is None else _read_in_step(sources, order)


def _read_in_step(sources: Sequence[Source], order: Sequence[str]) -> Iterator[SourcePool]:
    streams = [_read_run(source.run, _prefix_with(source.name)) for source in sources]
    heads = [next(stream, None) for stream in streams]
    for problem_id in order:
        members: list[tuple[Source, SourcePool]] = []
        for number, head in enumerate(heads):
            if head is not None and head.problem_id == problem_id:
                members.append((sources[number], head))
                heads[number] = next(streams[number], None)
        yield _join(members)


def _read_batches(sources: Sequence[Source]) -> Iterator[SourcePool]:
    ids_of_runs = [{problem.id for problem in source.run.problems()} for source in sources]
    union = list(dict.fromkeys(problem.id for source in sources for problem in source.run.problems()))
    for start in range(0, len(union), BATCH_PROBLEMS):
        batch = union[start : start + BATCH_PROBLEMS]
        members: dict[str, list[tuple[Source, SourcePool]]] = {problem_id: [] for problem_id in batch}
        for source, ids in zip(sources, ids_of_runs, strict=True):
            shared = ids.intersection(batch)
            for pool in _read_run(source.run, _prefix_with(source.name), shared) if shared else ():
                members[pool.problem_id].append((source, pool))
        yield from map(_join, members.values())


def _merge_orders(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """Return one order that is compatible with all of `orders`; None if they contradict each other."""
    run_counts = Counter(problem_id for order in orders for problem_id in order)
    head_counts: Counter[str] = Counter()
    positions = [0] * len(orders)
    merged: list[str] = []
    for order in orders:
        head_counts.update(order[:1])
    while len(merged) < len(run_counts):
        heads = [order[position] for order, position in zip(orders, positions, strict=True) if position < len(order)]
        problem_id = next((head for head in heads if head_counts[head] == run_counts[head]), None)
        if problem_id is None:
            return None
        merged.append(problem_id)
        for number, order in enumerate(orders):
            if positions[number] < len(order) and order[positions[number]] == problem_id:
                positions[number] += 1
                head_counts.update(order[positions[number] : positions[number] + 1])
    return merged


def _join(members: Sequence[tuple[Source, SourcePool]]) -> SourcePool:
    first_source, first_pool = members[0]
    for source, pool in members[1:]:
        if (pool.prompt, pool.kind) != (first_pool.prompt, first_pool.kind):
            raise DataError(
                f"problem {first_pool.problem_id!r}: "
                f"{first_source.run.path} asks {first_pool.prompt!r:.200} ({first_pool.kind}), "
                f"{source.run.path} asks {pool.prompt!r:.200} ({pool.kind}). One id must have one question: "
                "build the tasks of these runs separately, or sample both with the same template."
            )
    trajectories = tuple(trajectory for _, member in members for trajectory in member.trajectories)
    return replace(first_pool, trajectories=trajectories)


def _prefix_with(name: str) -> RenameId:
    return lambda id: f"{name}/{id}"


def _read_run(run: Run, rename: RenameId, ids: Collection[str] | None = None) -> Iterator[SourcePool]:
    with closing(_read_verdicts(run, ids)) as stream:
        head = next(stream, None)
        for pool in run.pools(ids, tokens=False):
            verdicts: _Verdicts = {}
            if head is not None and head[0] == pool.problem_id:
                verdicts = head[1]
                head = next(stream, None)
            yield _make_source_pool(pool, verdicts, rename)


def _make_source_pool(pool: Pool, verdicts: _Verdicts, rename: RenameId) -> SourcePool:
    trajectories = [
        GradedTrajectory(rename(trajectory.id), trajectory, *verdicts.get(trajectory.id, (None, None)))
        for trajectory in pool.trajectories
    ]
    return SourcePool(pool.problem_id, pool.prompt, pool.kind, tuple(trajectories), pool.answer_rule, pool.code)


def _read_verdicts(run: Run, ids: Collection[str] | None) -> Generator[tuple[str, _Verdicts]]:
    """Yield the verdicts of each problem that has any, in the order of the problems."""
    condition = "" if ids is None else "WHERE p.id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
    query = f"""
        SELECT p.id, v.trajectory_id, v.correct, v.answer
        FROM verdicts v JOIN trajectories t ON t.id = v.trajectory_id JOIN problems p ON p.id = t.problem_id
        {condition} ORDER BY p.position
    """
    with run.connect(large=()) as connection:
        result = connection.execute(query, [] if ids is None else [sorted(ids)])
        rows = (row for batch in iter(lambda: result.fetchmany(_FETCH_ROWS), []) for row in batch)
        for problem_id, group in groupby(rows, key=lambda row: row[0]):
            yield problem_id, {key: (correct, answer) for _, key, correct, answer in group}


def _require_verdicts(run: Run) -> None:
    with run.connect(large=()) as connection:
        query = """
            SELECT count(*), count(v.trajectory_id) FROM trajectories t LEFT JOIN verdicts v ON v.trajectory_id = t.id
        """
        total, verdicts = connection.execute(query).fetchone() or (0, 0)
    if not total:
        raise UnavailableError(f"{run.path}: no trajectories yet. Run `nbest sample` or `nbest import` first.")
    if verdicts < total:
        missing = total - verdicts
        raise UnavailableError(
            f"{run.path}: {show_part(missing, total, 'trajectory')} {agree(missing, 'has')} no verdict, but tasks "
            f"need all of them. Run `nbest verify {run.path}` first."
        )
