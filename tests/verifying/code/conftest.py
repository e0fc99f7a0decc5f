from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from nbest.errors import UnavailableError
from nbest.protocols import Managed
from nbest.sandbox.executions import Isolation, Job, Limits, Outcome, Sandbox
from nbest.sandbox.opening import open_sandbox
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings


@dataclass
class FakeSandbox(Managed):
    """Answers jobs with prepared outcomes, in order, and keeps what it was asked."""

    outcomes: Sequence[Outcome | Exception] = ()
    packages: dict[str, str] = field(default_factory=lambda: {"python": "3.11.0"})
    jobs: list[tuple[Job, Limits | None, bool]] = field(default_factory=list)
    is_closed: bool = False

    async def run(self, job: Job, limits: Limits | None = None) -> Outcome:
        return self._answer(job, limits, False)

    async def run_alone(self, job: Job, limits: Limits | None = None) -> Outcome:
        return self._answer(job, limits, True)

    def _answer(self, job: Job, limits: Limits | None, is_alone: bool) -> Outcome:
        self.jobs.append((job, limits, is_alone))
        outcome = self.outcomes[min(len(self.jobs), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def describe(self) -> Isolation:
        return Isolation("fake", True, (), self.packages)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
def make_fake() -> Callable[..., Any]:
    return FakeSandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The best sandbox of this machine; skips where there is none."""
    try:
        opened = open_sandbox("auto", 2)
    except UnavailableError as error:
        pytest.skip(str(error))
    async with opened:
        yield opened


@pytest.fixture
def runner(sandbox: Sandbox) -> Runner:
    return Runner(sandbox, CodeSettings(test_seconds=3.0, check_seconds=3.0, least_seconds=2.0))
