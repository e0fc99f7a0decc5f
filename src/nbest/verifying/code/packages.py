"""Programs that fail because a package is missing: whether that is the program's fault.

A program may import the packages of the sandbox, which are pinned and recorded with the verdicts. Another package is
the program's own fault, with one exception: a package that the benchmark's own environment offers to programs. There
the program may be right, so that it stays ungraded until the sandbox has that package.
"""

import re
import sys

from nbest.sandbox.executions import Isolation
from nbest.verifying.code.grades import Grade

OFFERED_PACKAGES = frozenset({"numpy"})
"""What the runners of LiveCodeBench and EvalPlus install beside the standard library, and programs import there."""

_MISSING = re.compile(r"ModuleNotFoundError[^\n]*?No module named '([A-Za-z_][A-Za-z0-9_]*)(\.?)[^'\n]*(.*)")


def find_missing_package(message: str, isolation: Isolation) -> str | None:
    """Return the package that an error message of a program says is missing, None if it says something else.

    A module that is missing in a package that is there (`os.foo`) is something else.
    """
    match = _MISSING.search(message)
    if match is None:
        return None
    package, dot, rest = match.groups()
    is_there = package in sys.stdlib_module_names or package in isolation.packages or "is not a package" in rest
    return None if dot and is_there else package


def grade_missing_package(message: str, isolation: Isolation) -> Grade | None:
    """Return the grade of a program that failed with this message because of a package; None if it did not."""
    package = find_missing_package(message, isolation)
    if package is None:
        return None
    if package in OFFERED_PACKAGES and package not in isolation.packages:
        return Grade(
            None, f"imports {package}, which the benchmark offers and this sandbox has not: add it to the package set"
        )
    return Grade(False, f"imports {package}, which is not in the package set")
