"""Reads a table of problems by itself: guesses from the names of its columns which hold question, answer and id.

A guess that is not certain is an error that names the columns. This module does not read the problems.
"""

from pathlib import Path

from nbest.errors import DataError
from nbest.problems.benchmark_table import Benchmark
from nbest.problems.rows import read_rows
from nbest.text.json_lines import Fault

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
"""The endings by which a source of problems is known to be a file of them."""
QUESTIONS = ("question", "problem", "prompt", "query")
ANSWERS = ("answer", "target", "expected_answer", "final_answer", "ground_truth", "reference_answer")
IDS = ("id", "problem_id", "question_id", "unique_id", "task_id")
"""The names of columns that are recognised, in any case. Of several names of ids the first one counts."""


def is_problem_file(source: str) -> bool:
    """Return whether a source of problems is a table of problems, by its ending."""
    return source.lower().endswith(ENDINGS)


def describe_guess(file: Path) -> str:
    """Return a sentence that says which column of a table is read as what. Raises as `guess_benchmark`."""
    benchmark = guess_benchmark(file)
    ids = f"the id from {benchmark.id[0]!r}" if benchmark.id else "the position as the id"
    return (
        f"{file}: the question is read from {benchmark.question[0]!r}, the answer from {benchmark.answer[0]!r}, {ids}"
    )


def guess_benchmark(file: Path) -> Benchmark:
    """Return how the problems of a table are read, from the names of all its columns.

    Raises DataError if no column, or more than one, may hold the question or the answer, or if there is no row.
    """
    columns: dict[str, None] = {}
    faults: list[str] = []
    for row in read_rows(file):
        if isinstance(row, Fault):
            faults.append(str(row))
        else:
            columns |= dict.fromkeys(row.values)
    if not columns:
        raise DataError("\n".join(faults[:20]) or f"{file}: it has no problems. Write one per line")
    names = list(columns)
    messages = list[str]()
    question = _find_column(names, QUESTIONS, f"{file}: question", messages)
    answer = _find_column(names, ANSWERS, f"{file}: answer", messages)
    if messages:
        raise DataError("\n".join(messages))
    ids = [name for known in IDS for name in names if name.lower() == known]
    stem = file.name[: -len(next(end for end in ENDINGS if file.name.lower().endswith(end)))]
    return Benchmark(
        name=stem, title=stem, question=(question,), answer=(answer,), id=tuple(ids[:1]), file=file, is_own=True
    )


def _find_column(names: list[str], known: tuple[str, ...], field: str, messages: list[str]) -> str:
    """Return the only column with a known name; otherwise "", and a message is added."""
    candidates = [name for name in names if name.lower() in known]
    if len(candidates) == 1:
        return candidates[0]
    advice = "or name the column in a .toml file (docs/formats.md)"
    if candidates:
        messages.append(f"{field}: it may be any of the columns {', '.join(candidates)}; leave one of them, {advice}")
    else:
        columns = ", ".join(names)
        messages.append(f"{field}: no column of this kind among {columns}; allowed are {', '.join(known)}, {advice}")
    return ""
