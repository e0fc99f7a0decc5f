"""What writes tests for a problem: a policy that is asked to, such as the judge of a command.

The implementation is in `judging/writing_tests.py`; here is only what selectors need to know of it.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from nbest.protocols import Managed
from nbest.records import Pool, Usage


@dataclass(frozen=True, slots=True)
class WrittenTests:
    """Tests in the form of `CodeTask.generated_tests`, what they cost, and what is to be said about them."""

    tests: tuple[str, ...]
    usage: Usage = field(default_factory=Usage)
    note: str = ""


@runtime_checkable
class TestWriter(Managed, Protocol):
    """Writes tests for the problem of a pool."""

    # Its name begins as those of test classes do.
    __test__ = False

    async def write(self, pool: Pool, count: int) -> WrittenTests:
        """Return about `count` tests; the same problem gets the same ones again. Raises EngineError."""
        ...
