"""Read what became of every trajectory of a run, problem by problem: the small columns that measuring needs.

Streams over the tables of a run (DuckDB views `problems`, `trajectories`, `verdicts` and `scores`, one row per id) in
the order of problems and indices. Token and text columns are never read, except for the length of texts where a
trajectory has no tokens. Memory: one row of numbers per trajectory inside DuckDB, one problem at a time outside.

This module does not know selectors, estimators or how answers are compared. Shapes: N graded trajectories of a problem.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any

import duckdb
import numpy as np

from nbest.errors import UnavailableError
from nbest.plurals import agree, show_count, show_part
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.storage.parquet import SUFFIX, open_part
from nbest.storage.parts import list_parts
from nbest.storage.run import Run
from nbest.storage.tables import TRAJECTORIES

MEASURED_COLUMNS = ("text", "prompt_tokens")
"""The large columns of trajectories that these queries may read, as lengths: connect to a run with these."""

_FETCH_ROWS = 8192

_JOINED = """
    FROM trajectories t
    JOIN problems p ON p.id = t.problem_id
    LEFT JOIN verdicts v ON v.trajectory_id = t.id
"""
_FAILED = "t.finish = 'error'"
_SECONDS = "TRY_CAST(json_extract_string(t.meta, '$.generation_time') AS DOUBLE)"
"""Wall-clock seconds of one generation, as NeMo-Skills writes them; no other source records any."""
_FIRST_SCORE = 10
"""The column of the first score in a row of outcomes."""
_GRADED = f"({_FAILED} OR v.correct IS NOT NULL)"

_SURVEY = f"""
    SELECT count(*), coalesce(sum(trajectories), 0), coalesce(sum(unverified), 0), coalesce(sum(ungraded), 0),
           coalesce(sum(answered), 0), coalesce(sum(failed), 0), coalesce(sum(tokenless), 0),
           coalesce(min(graded), 0), coalesce(max(graded), 0)
    FROM (
        SELECT count(*) AS trajectories,
               count(*) FILTER (NOT {_FAILED} AND v.trajectory_id IS NULL) AS unverified,
               count(*) FILTER (NOT {_FAILED} AND v.trajectory_id IS NOT NULL AND v.correct IS NULL) AS ungraded,
               count(*) FILTER (NOT {_FAILED} AND v.correct IS NOT NULL AND v.answer IS NOT NULL) AS answered,
               count(*) FILTER ({_FAILED}) AS failed,
               count(*) FILTER (NOT {_FAILED} AND t.sampled_tokens = 0) AS tokenless,
               count(*) FILTER ({_GRADED}) AS graded
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


_LENGTHLESS = f"""
    SELECT count(*)
    FROM (
        SELECT count(*) FILTER (t.sampled_tokens = 0) AS tokenless,
               count(*) FILTER (t.text = '') AS textless,
               count(*) FILTER (t.text = '' AND (t.answer IS NOT NULL OR v.answer IS NOT NULL)) AS answered,
               count(*) AS trajectories
        {_JOINED}
        WHERE NOT {_FAILED}
        GROUP BY t.problem_id
    )
    WHERE tokenless > 0 AND (answered > 0 OR textless = trajectories)
"""
"""Problems whose lengths are unknown: a text is absent, not empty, if it has an answer or if all texts are empty."""


def survey(connection: duckdb.DuckDBPyConnection) -> Survey:
    """Count what the run behind `connection` holds."""
    counts = _rows(connection, _SURVEY)[0]
    tokenless = int(counts[6])
    names = [str(row[0]) for row in _rows(connection, "SELECT DISTINCT scorer FROM scores ORDER BY scorer")]
    signs = _rows(connection, _SIGNS) if names else []
    return Survey(
        *(int(count) for count in counts),
        unscored=_count_unscored(connection, names),
        negative={str(row[0]): int(row[1]) for row in signs},
        infinite={str(row[0]): int(row[2]) for row in signs},
        voting={str(row[0]): int(row[3]) for row in signs},
        # The text column is large: it is read only if lengths are not counted in tokens.
        lengthless=int(_rows(connection, _LENGTHLESS)[0][0]) if tokenless else 0,
    )


def require_verdicts(contents: Survey, run: str) -> None:
    """Raise UnavailableError where the run has no trajectories, some have no verdict, or none could be graded."""
    if contents.trajectories == 0:
        raise UnavailableError(f"run {run} has no trajectories. Sample or import some first.")
    if contents.unverified:
        raise UnavailableError(
            f"{show_part(contents.unverified, contents.trajectories, 'trajectory')} of run {run} "
            f"{agree(contents.unverified, 'has')} no verdict. "
            f"Run `nbest verify {run}` first."
        )
    if contents.n_max == 0:
        trajectories = show_count(contents.trajectories, "trajectory")
        raise UnavailableError(f"none of the {trajectories} of run {run} could be graded")


def count_duplicates(run: Run, connection: duckdb.DuckDBPyConnection) -> int:
    """Count the stored trajectories whose id an earlier part or row holds; readers drop them, so none counts twice."""
    rows = 0
    for path in list_parts(run.path / TRAJECTORIES.name, SUFFIX):
        file: Any = open_part(path, TRAJECTORIES)  # Arrow comes without types
        with file as part:
            rows += int(part.metadata.num_rows)
    return rows - int(_rows(connection, "SELECT count(*) FROM trajectories")[0][0])


def read_outcomes(
    connection: duckdb.DuckDBPyConnection,
    scorers: Sequence[str] = (),
    with_characters: bool = False,
    with_prompt_tokens: bool = False,
) -> Iterator[Outcomes]:
    """Yield one Outcomes per problem that has trajectories, by problem position; trajectories come by index.

    The connection is busy until the stream is read. `scorers` names the scores to read along. `with_characters` reads
    the length of every text, which costs a pass over the text column, `with_prompt_tokens` the length of every prompt.
    """
    columns = "".join(f", s.s{column}" for column in range(len(scorers)))
    characters = "length(t.text)" if with_characters else "0"
    prompts = "len(t.prompt_tokens)" if with_prompt_tokens else "NULL"
    query = f"""
        SELECT t.problem_id, t."index", {_FAILED}, v.correct, v.answer, t.sampled_tokens, {characters}, {prompts},
               {_SECONDS}, p.kind {columns}
        {_JOINED} {_join_scores(len(scorers))}
        ORDER BY p.position, t.problem_id, t."index"
    """
    result = connection.execute(query, list(scorers))
    rows = chain.from_iterable(iter(lambda: result.fetchmany(_FETCH_ROWS), []))
    for problem_id, pool in groupby(rows, key=lambda row: str(row[0])):
        yield _make_outcomes(problem_id, list(pool), scorers)


def _join_scores(scorers: int) -> str:
    """Return the join of each trajectory's scores as columns s0, s1, ...; its parameters are the scorers' names."""
    pivot = "".join(f", any_value(value) FILTER (scorer = ?) AS s{column}" for column in range(scorers))
    return f"LEFT JOIN (SELECT trajectory_id {pivot} FROM scores GROUP BY trajectory_id) s ON s.trajectory_id = t.id"


def _count_unscored(connection: duckdb.DuckDBPyConnection, scorers: Sequence[str]) -> dict[str, int]:
    """Count for each scorer the problems with a graded trajectory that did not fail, and no score of such a one."""
    if not scorers:
        return {}
    columns = range(len(scorers))
    counts = ", ".join(
        f"count(*) FILTER (s.s{column} IS NOT NULL AND NOT isnan(s.s{column})) AS n{column}" for column in columns
    )
    query = f"""
        SELECT {", ".join(f"count(*) FILTER (n{column} = 0)" for column in columns)}
        FROM (
            SELECT {counts}
            {_JOINED} {_join_scores(len(scorers))}
            WHERE NOT {_FAILED} AND v.correct IS NOT NULL
            GROUP BY t.problem_id
        )
    """
    row = _rows(connection, query, scorers)[0]
    return {name: int(count) for name, count in zip(scorers, row, strict=True)}


def _make_outcomes(problem_id: str, rows: Sequence[tuple[Any, ...]], scorers: Sequence[str]) -> Outcomes:
    """Return the graded trajectories of a problem, and where some are ungraded the whole pool under both verdicts."""
    positions = [position for position, row in enumerate(rows) if row[2] or row[3] is not None]
    ungraded = len(rows) - len(positions)
    extremes = None
    if ungraded:
        wrong, right = (
            [row if row[3] is not None else (*row[:3], verdict, *row[4:]) for row in rows] for verdict in (False, True)
        )
        extremes = (_make_outcomes(problem_id, wrong, scorers), _make_outcomes(problem_id, right, scorers))
        rows = [rows[position] for position in positions]
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
            name: np.where(failed, np.nan, np.array([row[column] for row in rows], dtype=np.float64))
            for column, name in enumerate(scorers, start=_FIRST_SCORE)
        },
        ungraded=ungraded,
        prompt_tokens=None if None in prompts else np.array(prompts, dtype=np.int64),
        positions=np.array(positions, dtype=np.int64) if ungraded else None,
        extremes=extremes,
        sampling_seconds=None if None in seconds or not rows else float(np.mean(seconds)),
        kind=rows[0][9] if rows else "math",
    )


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(query, list(parameters)).fetchall()
