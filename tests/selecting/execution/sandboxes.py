"""A sandbox for tests of selectors: runs the programs of tests, which are ours, in this process and without limits."""

import asyncio
import contextlib
import io
import sys

from nbest.sandbox.executions import Calls, CheckResult, Isolation, Outcome, Return, Sandbox, Script
from nbest.sandbox.values import encode_value


class PlainSandbox(Sandbox):
    """Counts its jobs in `jobs`. A call of `hang` runs out of time, one of `stop` ends the process.

    `broken` is an error that every job raises instead.
    """

    def __init__(self, packages=None, broken=None):
        self.jobs = []
        self.alone = 0
        self.is_closed = False
        self.packages = packages or {"python": "3.11"}
        self.broken = broken

    def describe(self):
        return Isolation("plain", False, (), self.packages)

    async def aclose(self):
        self.is_closed = True

    async def run_alone(self, job, limits=None):
        self.alone += 1
        return await self.run(job, limits)

    async def run(self, job, limits=None):  # noqa: ARG002
        self.jobs.append(job)
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        if isinstance(job, Script):
            return run_script(job)
        names = {"hang": lambda *_: raise_it(TimeoutError()), "stop": lambda *_: raise_it(SystemExit(1))}
        try:
            exec(job.source, names)
        except Exception as error:  # noqa: BLE001 - whatever a program raises
            return Outcome("raised", describe(error))
        return run_calls(job, names) if isinstance(job, Calls) else run_checks(job, names)


def raise_it(error):
    raise error


def describe(error):
    return f"{type(error).__name__}: {error}"


def run_script(job):
    out, stdin = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(job.stdin)
    try:
        with contextlib.redirect_stdout(out):
            exec(job.source, {"__name__": "__main__"})
    except TimeoutError:
        return Outcome("timed_out", stdout=out.getvalue(), seconds=1.0, cpu_seconds=1.0)
    except Exception as error:  # noqa: BLE001 - whatever a program raises
        return Outcome("raised", describe(error), stdout=out.getvalue())
    finally:
        sys.stdin = stdin
    return Outcome("finished", stdout=out.getvalue())


def run_calls(job, names):
    returns = []
    for call in job.calls:
        owner, _, method = call.function.rpartition(".")
        try:
            function = getattr(names[owner](), method) if owner else names[method]
        except KeyError as error:
            return Outcome("raised", f"NameError: {error}")
        try:
            returns.append(Return(encode_value(function(*call.arguments))))
        except TimeoutError:
            return Outcome("timed_out", returns=tuple(returns), seconds=1.0, cpu_seconds=1.0)
        except SystemExit:
            return Outcome("exited", returns=tuple(returns), exit_code=1)
        except Exception as error:  # noqa: BLE001 - whatever a program raises
            returns.append(Return(None, describe(error)))
    return Outcome("finished", returns=tuple(returns))


def run_checks(job, names):
    checks = []
    exec(job.setup, names)
    for check in job.checks:
        try:
            exec(check, names)
            checks.append(CheckResult(True))
        except TimeoutError:
            return Outcome("timed_out", checks=tuple(checks), seconds=1.0, cpu_seconds=1.0)
        except SystemExit:
            return Outcome("exited", checks=tuple(checks), exit_code=1)
        except Exception as error:  # noqa: BLE001 - whatever a program raises
            checks.append(CheckResult(False, describe(error)))
    return Outcome("finished", checks=tuple(checks))
