"""Programs that fail because a package is missing: whether that is the program's fault.

A program may import the packages of the sandbox, which are pinned and recorded with the verdicts. Another package is
the program's own fault, with one exception: a package that the benchmark's own environment offers to programs. There
the program may be right, so that it stays ungraded until the sandbox has that package.
"""

import re

from nbest.sandbox.executions import Isolation
from nbest.verifying.code.grades import Grade

OFFERED_PACKAGES = frozenset({"numpy"})
"""What the runners of LiveCodeBench and EvalPlus install beside the standard library, and programs import there."""

_MISSING = re.compile(r"ModuleNotFoundError[^\n]*?No module named '([A-Za-z_][A-Za-z0-9_]*)")


def find_missing_package(message: str) -> str | None:
    """Return the package that an error message of a program says is missing, None if it says something else."""
    match = _MISSING.search(message)
    return match.group(1) if match else None


def grade_missing_package(message: str, isolation: Isolation) -> Grade | None:
    """Return the grade of a program that failed with this message because of a package; None if it did not."""
    package = find_missing_package(message)
    if package is None:
        return None
    if package in OFFERED_PACKAGES and package not in isolation.packages:
        return Grade(
            None, f"imports {package}, which the benchmark offers and this sandbox has not: add it to the package set"
        )
    return Grade(False, f"imports {package}, which is not in the package set")
