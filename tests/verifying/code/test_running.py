from collections.abc import Callable
from typing import Any

from nbest.sandbox.executions import Call, Calls, Outcome, Return, Script
from nbest.verifying.code.running import Runner
from nbest.verifying.code.settings import CodeSettings

SETTINGS = CodeSettings(slack=2.0)
CALLS = Calls("def f(): pass", (Call("f"), Call("f")))


async def test_a_program_within_its_limit_runs_once(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished", seconds=0.9)])
    run = await Runner(fake, SETTINGS).run(Script("x"), 1.0)
    assert run.slow is None
    ((_, limits, is_alone),) = fake.jobs
    assert (limits.wall_seconds, limits.total_seconds, is_alone) == (2.0, 2.0, False)


async def test_a_program_over_its_limit_runs_again_alone_and_that_counts(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished", seconds=1.5), Outcome("finished", seconds=0.8)])
    run = await Runner(fake, SETTINGS).run(Script("x"), 1.0)
    assert run.slow is None
    assert [is_alone for _, _, is_alone in fake.jobs] == [False, True]
    assert fake.jobs[1][1].wall_seconds == 1.0
    fake = make_fake([Outcome("finished", seconds=1.5), Outcome("finished", seconds=1.2)])
    assert (await Runner(fake, SETTINGS).run(Script("x"), 1.0)).slow == 0


async def test_a_program_that_computed_all_the_time_is_stopped_at_once(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("timed_out", seconds=2.0, cpu_seconds=1.9)])
    run = await Runner(fake, SETTINGS).run(Script("x"), 1.0)
    assert run.outcome.status == "timed_out"
    assert len(fake.jobs) == 1


async def test_a_program_that_waited_for_the_processor_runs_again_alone(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("timed_out", seconds=2.0, cpu_seconds=0.4), Outcome("finished", seconds=0.5)])
    run = await Runner(fake, SETTINGS).run(Script("x"), 1.0)
    assert run.outcome.status == "finished"


async def test_processor_time_of_earlier_calls_does_not_count_for_a_later_one(make_fake: Callable[..., Any]) -> None:
    slow = Outcome("timed_out", cpu_seconds=1.5, returns=(Return("1", seconds=0.9),))
    fake = make_fake([slow, Outcome("finished", returns=(Return("1"), Return("1")))])
    run = await Runner(fake, SETTINGS).run(CALLS, 1.0)
    assert (run.outcome.status, len(fake.jobs)) == ("finished", 2)


async def test_each_call_has_its_own_limit(make_fake: Callable[..., Any]) -> None:
    outcome = Outcome("finished", returns=(Return("1", seconds=2.5), Return("1", seconds=1.5)))
    fake = make_fake([outcome])
    run = await Runner(fake, SETTINGS).run(CALLS, [3.0, 1.0])
    assert (run.slow, run.seconds) == (1, (3.0, 1.0))
    assert fake.jobs[0][1].total_seconds == 8.0


async def test_output_limits(make_fake: Callable[..., Any]) -> None:
    fake = make_fake([Outcome("finished")])
    await Runner(fake, SETTINGS).run(Script("x"), 1.0, output_bytes=1 << 30)
    await Runner(fake, SETTINGS).run(Script("x"), 1.0, output_bytes=5)
    assert [limits.output_bytes for _, limits, _ in fake.jobs] == [1 << 30, SETTINGS.output_bytes]


async def test_a_program_that_something_outside_may_have_killed_runs_again_alone(make_fake: Callable[..., Any]) -> None:
    killed = Outcome("killed", "ended by signal SIGKILL, below its limit of memory")
    fake = make_fake([killed, Outcome("finished", seconds=0.5)])
    assert (await Runner(fake, SETTINGS).run(Script("x"), 1.0)).outcome.status == "finished"
    assert [is_alone for _, _, is_alone in fake.jobs] == [False, True]
    fake = make_fake([killed])
    assert (await Runner(fake, SETTINGS).run(Script("x"), 1.0)).outcome == killed
    assert len(fake.jobs) == 2
    fake = make_fake([Outcome("killed", "ended by signal SIGSEGV")])
    await Runner(fake, SETTINGS).run(Script("x"), 1.0)
    assert len(fake.jobs) == 1
