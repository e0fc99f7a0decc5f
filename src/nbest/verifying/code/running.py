"""Run jobs with fair time limits: a program that was slow beside others runs again alone before it counts.

This module does not know tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbest.sandbox.executions import Calls, Job, Limits, Outcome, Sandbox, Script
from nbest.verifying.code.grades import describe_ending
from nbest.verifying.code.settings import CodeSettings

_KILLED = "ended by signal SIGKILL"
"""How the message of a sandbox begins where the system may have killed a program below its limit of memory."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of a job under the limits that count.

    `seconds` holds the limit of each part: of the script, or of each call or check. `slow` is the number of the first
    part that was over its limit, None if none was; the parts before it count.
    """

    outcome: Outcome
    seconds: tuple[float, ...]
    slow: int | None = None


class Runner:
    """Runs jobs in a sandbox under the limits of `settings`."""

    def __init__(self, sandbox: Sandbox, settings: CodeSettings):
        self.sandbox, self.settings = sandbox, settings

    async def run(
        self,
        job: Job,
        seconds: float | Sequence[float],
        total_seconds: float | None = None,
        output_bytes: int = 0,
    ) -> Run:
        """Run a job. `seconds` limits each part, or holds one limit per part; `total_seconds` all parts together.

        `output_bytes` replaces the limit of the settings where it is higher.

        Beside other jobs the limits are `settings.slack` times as long. A job with a part over its limit, and one that
        was stopped before it had the processor for that long, runs again alone, and so does one that something outside
        may have killed. Raises SandboxError.
        """
        parts = _count_parts(job)
        limits = tuple(seconds) if isinstance(seconds, Sequence) else (seconds,) * parts
        if total_seconds is None:
            total_seconds = sum(limits)
        longest = max(limits, default=1.0)
        total_seconds = max(total_seconds, longest)
        settings, slack = self.settings, self.settings.slack
        exact_limits = Limits(
            wall_seconds=longest,
            total_seconds=total_seconds,
            memory_bytes=settings.memory_bytes,
            output_bytes=max(output_bytes, settings.output_bytes),
        )
        loose_limits = replace(exact_limits, wall_seconds=longest * slack, total_seconds=total_seconds * slack)
        outcome = await self.sandbox.run(job, loose_limits)
        if not _needs_second_run(outcome, limits, longest):
            return Run(outcome, limits, _find_slow(outcome, limits))
        outcome = await self.sandbox.run_alone(job, exact_limits)
        return Run(outcome, limits, _find_slow(outcome, limits))

    def describe_ending(self, run: Run, part: int = 0) -> str:
        """Return how the program of a run ended, for a part that gave no result."""
        seconds = run.seconds[part] if part < len(run.seconds) else max(run.seconds, default=0.0)
        return describe_ending(run.outcome, seconds, self.settings.memory_bytes)


def _count_parts(job: Job) -> int:
    if isinstance(job, Script):
        return 1
    return len(job.calls) if isinstance(job, Calls) else len(job.checks)


def _list_seconds(outcome: Outcome) -> list[float]:
    """Return how long each part took that gave a result."""
    return [part.seconds for part in (*outcome.returns, *outcome.checks)]


def _needs_second_run(outcome: Outcome, limits: Sequence[float], longest: float) -> bool:
    times = _list_seconds(outcome)
    if outcome.status == "killed" and outcome.message.startswith(_KILLED):
        return True
    if outcome.status == "timed_out":
        # The part under way had what the finished ones did not use: enough of it was processor time, or it was starved.
        return outcome.cpu_seconds - sum(times) < longest
    if not times and len(limits) == 1:
        return outcome.status == "finished" and outcome.seconds > limits[0]
    return any(time > limit for time, limit in zip(times, limits, strict=False))


def _find_slow(outcome: Outcome, limits: Sequence[float]) -> int | None:
    times = _list_seconds(outcome)
    if not times and outcome.status == "finished" and len(limits) == 1:
        times = [outcome.seconds]
    return next((number for number, (time, limit) in enumerate(zip(times, limits, strict=False)) if time > limit), None)
