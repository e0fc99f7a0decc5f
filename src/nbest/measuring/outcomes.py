"""What became of every trajectory of a run, problem by problem: the small columns that evaluation needs.

Streams over the tables of a run (DuckDB views `problems`, `trajectories`, `verdicts`, `scores`, one row an id) in the
order of problems and indices. Token and text columns are never read, but for the length of texts where a trajectory
has no tokens. Memory: one row of numbers a trajectory inside DuckDB, one problem at a time outside.

This module does not know selectors, estimators or how answers are compared. Shapes: N judged trajectories of a problem.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import duckdb
import numpy as np

from nbest.errors import UnavailableError
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.storage.parquet import SUFFIX, open_part
from nbest.storage.parts import list_parts
from nbest.storage.run import Run
from nbest.storage.tables import TRAJECTORIES

_FETCH_ROWS = 8192


_JOINED = """
    FROM trajectories t
    JOIN problems p ON p.id = t.problem_id
    LEFT JOIN verdicts v ON v.trajectory_id = t.id
"""
_FAILED = "t.finish = 'error'"
_SECONDS = "TRY_CAST(json_extract_string(t.meta, '$.generation_time') AS DOUBLE)"
"""Wall-clock seconds of one generation, as NeMo-Skills writes them; no other source tells any."""
_SCORES_FROM = 9
"""The column of the first score in a row of outcomes."""
_JUDGED = f"({_FAILED} OR v.correct IS NOT NULL)"

_SURVEY = f"""
    SELECT count(*), coalesce(sum(trajectories), 0), coalesce(sum(unverified), 0), coalesce(sum(unjudged), 0),
           coalesce(sum(answered), 0), coalesce(sum(failed), 0), coalesce(sum(tokenless), 0),
           coalesce(min(judged), 0), coalesce(max(judged), 0)
    FROM (
        SELECT count(*) AS trajectories,
               count(*) FILTER (NOT {_FAILED} AND v.trajectory_id IS NULL) AS unverified,
               count(*) FILTER (NOT {_FAILED} AND v.trajectory_id IS NOT NULL AND v.correct IS NULL) AS unjudged,
               count(*) FILTER (NOT {_FAILED} AND v.correct IS NOT NULL AND v.answer IS NOT NULL) AS answered,
               count(*) FILTER ({_FAILED}) AS failed,
               count(*) FILTER (NOT {_FAILED} AND t.sampled_tokens = 0) AS tokenless,
               count(*) FILTER ({_JUDGED}) AS judged
        {_JOINED}
        GROUP BY t.problem_id
    )
"""

_SIGNS = f"""
    SELECT s.scorer, count(*) FILTER (s.value < 0), count(*) FILTER (isinf(s.value)), count(*)
    {_JOINED} JOIN scores s ON s.trajectory_id = t.id
    WHERE NOT {_FAILED} AND v.correct IS NOT NULL AND v.answer IS NOT NULL AND NOT isnan(s.value)
    GROUP BY s.scorer
"""


def survey(connection: duckdb.DuckDBPyConnection) -> Survey:
    """Counts what the run behind `connection` holds."""
    counts = _rows(connection, _SURVEY)[0]
    names = [str(row[0]) for row in _rows(connection, "SELECT DISTINCT scorer FROM scores ORDER BY scorer")]
    signs = _rows(connection, _SIGNS) if names else []
    return Survey(
        *(int(count) for count in counts),
        unscored=_count_unscored(connection, names),
        negative={str(row[0]): int(row[1]) for row in signs},
        infinite={str(row[0]): int(row[2]) for row in signs},
        voting={str(row[0]): int(row[3]) for row in signs},
    )


def require_verdicts(held: Survey, run: str) -> None:
    """Raises UnavailableError where the run has no trajectories, some were never verified, or none could be judged."""
    if held.trajectories == 0:
        raise UnavailableError(f"run {run} has no trajectories. Sample or import some first.")
    if held.unverified:
        raise UnavailableError(
            f"{held.unverified} of {held.trajectories} trajectories of run {run} have no verdict. "
            f"Run `nbest verify {run}` first."
        )
    if held.n_max == 0:
        raise UnavailableError(f"none of the {held.trajectories} trajectories of run {run} could be judged")


def count_duplicates(run: Run, connection: duckdb.DuckDBPyConnection) -> int:
    """Stored trajectories whose id an earlier part (or row) holds: readers drop them, so they never count twice."""
    stored = 0
    for path in list_parts(run.path / TRAJECTORIES.name, SUFFIX):
        opened: Any = open_part(path, TRAJECTORIES)  # Arrow comes without types
        with opened as part:
            stored += int(part.metadata.num_rows)
    return stored - int(_rows(connection, "SELECT count(*) FROM trajectories")[0][0])


def read_outcomes(
    connection: duckdb.DuckDBPyConnection,
    scorers: Sequence[str] = (),
    with_characters: bool = False,
    with_prompt_tokens: bool = False,
) -> Iterator[Outcomes]:
    """Streams one Outcomes a problem that has trajectories, by problem position; trajectories by index.

    The connection is busy until the stream is read. `scorers` names the scores to read along. `with_characters` reads
    the length of every text, which costs a pass over the text column, `with_prompt_tokens` that of every prompt.
    """
    columns = "".join(f", s.s{place}" for place in range(len(scorers)))
    characters = "length(t.text)" if with_characters else "0"
    prompts = "len(t.prompt_tokens)" if with_prompt_tokens else "NULL"
    query = f"""
        SELECT t.problem_id, t."index", {_FAILED}, v.correct, v.answer, t.sampled_tokens, {characters}, {prompts},
               {_SECONDS} {columns}
        {_JOINED} {_scores_beside(len(scorers))}
        ORDER BY p.position, t.problem_id, t."index"
    """
    result = connection.execute(query, list(scorers))
    for problem_id, rows in groupby(_fetch(result), key=lambda row: str(row[0])):
        yield _outcomes(problem_id, list(rows), scorers)


def _scores_beside(scorers: int) -> str:
    """Joins the scores of each trajectory as columns s0, s1, ...; takes one parameter a scorer, its name."""
    pivot = "".join(f", any_value(value) FILTER (scorer = ?) AS s{place}" for place in range(scorers))
    return f"LEFT JOIN (SELECT trajectory_id {pivot} FROM scores GROUP BY trajectory_id) s ON s.trajectory_id = t.id"


def _count_unscored(connection: duckdb.DuckDBPyConnection, scorers: Sequence[str]) -> dict[str, int]:
    """For each scorer the problems that have a judged attempt that did not fail, and no score of one."""
    if not scorers:
        return {}
    places = range(len(scorers))
    scored = ", ".join(
        f"count(*) FILTER (s.s{place} IS NOT NULL AND NOT isnan(s.s{place})) AS n{place}" for place in places
    )
    query = f"""
        SELECT {", ".join(f"count(*) FILTER (n{place} = 0)" for place in places)}
        FROM (
            SELECT {scored}
            {_JOINED} {_scores_beside(len(scorers))}
            WHERE NOT {_FAILED} AND v.correct IS NOT NULL
            GROUP BY t.problem_id
        )
    """
    counts = _rows(connection, query, scorers)[0]
    return {name: int(count) for name, count in zip(scorers, counts, strict=True)}


def _outcomes(problem_id: str, rows: list[tuple[Any, ...]], scorers: Sequence[str]) -> Outcomes:
    judged = [place for place, row in enumerate(rows) if row[2] or row[3] is not None]
    unjudged = len(rows) - len(judged)
    if not unjudged:
        return _pool(problem_id, rows, scorers)
    wrong, right = (_pool(problem_id, [_settle(row, verdict) for row in rows], scorers) for verdict in (False, True))
    return replace(
        _pool(problem_id, [rows[place] for place in judged], scorers),
        unjudged=unjudged,
        positions=np.array(judged, dtype=np.int64),
        extremes=(wrong, right),
    )


def _settle(row: tuple[Any, ...], verdict: bool) -> tuple[Any, ...]:
    return row if row[3] is not None else (*row[:3], verdict, *row[4:])


def _pool(problem_id: str, rows: list[tuple[Any, ...]], scorers: Sequence[str]) -> Outcomes:
    failed = np.array([row[2] for row in rows], dtype=np.bool_)
    prompts = [row[7] for row in rows]
    seconds = [row[8] for row in rows]
    return Outcomes(
        problem_id=problem_id,
        indices=np.array([row[1] for row in rows], dtype=np.int64),
        correct=np.array([bool(row[3]) for row in rows], dtype=np.bool_) & ~failed,
        failed=failed,
        answers=tuple(None if row[2] else row[4] for row in rows),
        sampled_tokens=np.array([row[5] for row in rows], dtype=np.int64),
        characters=np.array([row[6] for row in rows], dtype=np.int64),
        scores={
            # A float dtype turns None into NaN.
            name: np.where(failed, np.nan, np.array([row[_SCORES_FROM + place] for row in rows], dtype=np.float64))
            for place, name in enumerate(scorers)
        },
        prompt_tokens=None if None in prompts else np.array(prompts, dtype=np.int64),
        sampling_seconds=None if None in seconds or not rows else float(np.mean(seconds)),
    )


def _fetch(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_FETCH_ROWS):
        yield from rows


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(query, list(parameters)).fetchall()
