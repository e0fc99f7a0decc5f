"""Tasks of benchmarks whose tests are known to be faulty: `errata.toml` has them with their sources."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from nbest.records import Problem

_TASK = re.compile(r"(?:^|/)((?:HumanEval|Mbpp)/\d+)\Z", re.IGNORECASE)
_CONTEST = re.compile(r"(?:^|/)((?:abc|arc|agc)\d+_[a-z]\d*)\Z")
"""Ids of AtCoder, which are unlike others. LeetCode's are bare numbers, which `meta` has to name."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the tests of a task, and who says so."""

    fault: str
    source: str

    def __str__(self) -> str:
        return f"known fault of this task: {self.fault} ({self.source})"


@cache
def read_faults() -> Mapping[str, Fault]:
    """Return the faults by the id of the task, in lower case."""
    rows = tomllib.loads(files("nbest.verifying.code").joinpath("errata.toml").read_text(encoding="utf-8"))["faults"]
    return {task_id.lower(): Fault(row["fault"], row["source"]) for row in rows for task_id in row["ids"]}


def find_task_id(problem: Problem) -> str:
    """Return the id that a problem has in its benchmark, such as `HumanEval/47`, `Mbpp/2` or `abc311_c`; "" if unknown.

    It is read from `meta` (`task_id` or `question_id`), or else from the end of the problem's id.
    """
    for name in ("task_id", "question_id"):
        value: Any = problem.meta.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            # The original MBPP numbers its tasks.
            return f"Mbpp/{value}" if name == "task_id" else str(value)
    match = _TASK.search(problem.id) or _CONTEST.search(problem.id)
    return match.group(1) if match else ""


def find_fault(problem: Problem) -> Fault | None:
    """Return what is known to be wrong with the tests of a problem; None if nothing is."""
    return read_faults().get(find_task_id(problem).lower())
