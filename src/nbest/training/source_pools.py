# pyright: standard
"""Verified runs as one stream of pools: the attempts at one problem in all of them, side by side.

Ids in tasks: with one run the trajectory's id; with several `RUN/ID`, where RUN is the name of the run's folder, or
what was given before `=` in `NAME=FOLDER`. Names must differ, so an id stands for one trajectory of one run.

Memory holds problem ids, and the pools of one problem; verdicts are sorted by DuckDB, which spills to the disk. Only
where runs hold the same problems in orders that contradict each other, a window of problems stands in memory.

This module does not know how candidates are chosen.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.records import Pool
from nbest.storage.run import Run
from nbest.training.selection_tasks import Attempt, SourcePool

WINDOW_PROBLEMS = 64
_FETCH_ROWS = 8192
_NAMED = re.compile(r"([A-Za-z0-9_.:-]+)=(.+)")

_Verdicts: TypeAlias = Mapping[str, tuple[bool | None, str | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A run under the name its trajectories bear in tasks."""

    name: str
    run: Run


def open_sources(places: Sequence[str]) -> list[Source]:
    """Runs given as `FOLDER` or `NAME=FOLDER`.

    Raises ConfigError (no run there, one named twice), UnavailableError for a run that is not wholly verified,
    DamagedRunError.
    """
    sources: list[Source] = []
    for place in places:
        named = None if Path(place).exists() else _NAMED.fullmatch(place)
        run = Run.open(named[2] if named else place)
        _require_verdicts(run)
        sources.append(Source(named[1] if named else Path(os.path.normpath(run.path)).name, run))
    repeated = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"RUN: {len(sources)} runs came, of which several are called {', '.join(repeated)}; candidates are told "
            "apart by the names of their runs. Give each run once, and another name as NAME=FOLDER."
        )
    return sources


def read_source_pools(sources: Sequence[Source]) -> Iterator[SourcePool]:
    """The pool of every problem of the runs, each problem once. Raises DataError where two runs put different
    questions under one problem id, DamagedRunError."""
    if len(sources) == 1:
        yield from _read_run(sources[0].run, lambda id: id)
        return
    order = _merge_orders([[problem.id for problem in source.run.problems()] for source in sources])
    yield from _read_windows(sources) if order is None else _read_in_step(sources, order)


def _read_in_step(sources: Sequence[Source], order: Sequence[str]) -> Iterator[SourcePool]:
    streams = [_read_run(source.run, _rename(source.name)) for source in sources]
    heads = [next(stream, None) for stream in streams]
    for problem_id in order:
        members: list[tuple[Source, SourcePool]] = []
        for place, head in enumerate(heads):
            if head is not None and head.problem_id == problem_id:
                members.append((sources[place], head))
                heads[place] = next(streams[place], None)
        yield _join(members)


def _read_windows(sources: Sequence[Source]) -> Iterator[SourcePool]:
    known = [{problem.id for problem in source.run.problems()} for source in sources]
    union = list(dict.fromkeys(problem.id for source in sources for problem in source.run.problems()))
    for start in range(0, len(union), WINDOW_PROBLEMS):
        window = union[start : start + WINDOW_PROBLEMS]
        members: dict[str, list[tuple[Source, SourcePool]]] = {problem_id: [] for problem_id in window}
        for source, ids in zip(sources, known, strict=True):
            mine = ids.intersection(window)
            for pool in _read_run(source.run, _rename(source.name), mine) if mine else ():
                members[pool.problem_id].append((source, pool))
        yield from map(_join, members.values())


def _merge_orders(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """One order that keeps all of them; None where they contradict each other."""
    waiting = Counter(problem_id for order in orders for problem_id in order)
    at_head: Counter[str] = Counter()
    places = [0] * len(orders)
    merged: list[str] = []
    for order in orders:
        at_head.update(order[:1])
    while len(merged) < len(waiting):
        heads = [order[place] for order, place in zip(orders, places, strict=True) if place < len(order)]
        ready = next((head for head in heads if at_head[head] == waiting[head]), None)
        if ready is None:
            return None
        merged.append(ready)
        for number, order in enumerate(orders):
            if places[number] < len(order) and order[places[number]] == ready:
                places[number] += 1
                at_head.update(order[places[number] : places[number] + 1])
    return merged


def _join(members: Sequence[tuple[Source, SourcePool]]) -> SourcePool:
    first, pool = members[0]
    for source, other in members[1:]:
        if (other.prompt, other.kind) != (pool.prompt, pool.kind):
            raise DataError(
                f"problem {pool.problem_id!r}: {first.run.path} asks {pool.prompt!r:.200} ({pool.kind}), "
                f"{source.run.path} asks {other.prompt!r:.200} ({other.kind}). One id must stand for one question: "
                "build their tasks one by one, or sample both with the same template."
            )
    attempts = tuple(attempt for _, member in members for attempt in member.attempts)
    return SourcePool(pool.problem_id, pool.prompt, pool.kind, attempts)


def _rename(name: str) -> Any:
    return lambda id: f"{name}/{id}"


def _read_run(run: Run, rename: Any, ids: Collection[str] | None = None) -> Iterator[SourcePool]:
    with closing(_read_verdicts(run, ids)) as judged:
        head = next(judged, None)
        for pool in run.pools(ids, tokens=False):
            verdicts: _Verdicts = {}
            if head is not None and head[0] == pool.problem_id:
                verdicts = head[1]
                head = next(judged, None)
            yield _source_pool(pool, verdicts, rename)


def _source_pool(pool: Pool, verdicts: _Verdicts, rename: Any) -> SourcePool:
    attempts = [
        Attempt(rename(trajectory.id), trajectory, *verdicts.get(trajectory.id, (None, None)))
        for trajectory in pool.trajectories
    ]
    return SourcePool(pool.problem_id, pool.prompt, pool.kind, tuple(attempts))


def _read_verdicts(run: Run, ids: Collection[str] | None) -> Generator[tuple[str, _Verdicts]]:
    """The verdicts of each problem that has any, in the order of the problems."""
    among = "" if ids is None else "WHERE p.id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
    query = f"""
        SELECT p.id, v.trajectory_id, v.correct, v.answer
        FROM verdicts v JOIN trajectories t ON t.id = v.trajectory_id JOIN problems p ON p.id = t.problem_id
        {among} ORDER BY p.position
    """
    with run.connect() as connection:
        result = connection.execute(query, [] if ids is None else [sorted(ids)])
        rows = (row for batch in iter(lambda: result.fetchmany(_FETCH_ROWS), []) for row in batch)
        for problem_id, held in groupby(rows, key=lambda row: row[0]):
            yield problem_id, {key: (correct, answer) for _, key, correct, answer in held}


def _require_verdicts(run: Run) -> None:
    with run.connect() as connection:
        query = """
            SELECT count(*), count(v.trajectory_id) FROM trajectories t LEFT JOIN verdicts v ON v.trajectory_id = t.id
        """
        total, judged = connection.execute(query).fetchone() or (0, 0)
    if not total:
        raise UnavailableError(f"{run.path}: no trajectories yet. Run `nbest sample` or `nbest import` first.")
    if judged < total:
        raise UnavailableError(
            f"{run.path}: {total - judged:,} of {total:,} trajectories have no verdict, and tasks need one of each. "
            f"Run `nbest verify {run.path}` first."
        )
